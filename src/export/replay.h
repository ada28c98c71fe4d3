// SPDX-License-Identifier: BSD-3-Clause
/*
 * The export messages of a file (pcap, pcapng, raw payloads, IPFIX file), sent as they are: not a byte is
 * changed, so that times and sequence numbers are those of the file. Each sender of a capture gets a socket
 * of its own.
 *
 * They are decoded on the side to count flows, for the pace and the truth.
 */
#ifndef SC_EXPORT_REPLAY_H
#define SC_EXPORT_REPLAY_H

#include "export/run.h"

struct sc_replay_info {
    uint32_t exporters; /* senders, at least 1; those above SC_SENDER_EXPORTERS_MAX share the last socket */
    uint64_t messages;
    uint64_t not_ipfix; /* of these, NetFlow v5 and v9: not for TCP */
};

/* Looks through the file. @return SC_OK; what net/capture.h says of the file; SC_NOTFOUND when it holds no
 * export message. */
enum sc_status sc_replay_scan(const char *path, struct sc_replay_info *info, struct sc_error *err);

/* The sender has as many exporters as the scan found. @return SC_OK, SC_CANCELLED, SC_IO, SC_DAMAGED (the
 * rest of the file cannot be read; what came before is sent), SC_NOMEM. */
enum sc_status sc_export_replay(struct sc_export_run *run, const char *path, struct sc_export_totals *totals,
                                struct sc_error *err);

#endif
