// SPDX-License-Identifier: BSD-3-Clause
/*
 * Files with export messages: captures (pcap, pcapng), raw export payloads, IPFIX files (RFC 5655). What a
 * file is, is told by its first bytes, not by its name.
 *
 *     sc_capture_open(path, &capture, &err);
 *     while ((status = sc_capture_next(capture, &message, &err)) == SC_OK)
 *         ...
 *     sc_capture_close(capture);
 *
 * One thread at a time. Memory is malloc; a message lives until the next call.
 */
#ifndef SC_NET_CAPTURE_H
#define SC_NET_CAPTURE_H

#include "base/addr.h"
#include "base/status.h"

struct sc_capture;

enum sc_capture_kind {
    SC_CAPTURE_PACKETS, /* pcap or pcapng: each message has a sender and a time */
    SC_CAPTURE_STREAM   /* messages one after another, without sender and time of arrival */
};

struct sc_capture_message {
    const uint8_t *bytes;
    size_t length;
    struct sc_addr from; /* SC_CAPTURE_STREAM: 0.0.0.0 */
    uint16_t port;
    uint64_t time_ms; /* of the packet; SC_CAPTURE_STREAM: 0 */
};

struct sc_capture_stats {
    uint64_t packets;       /* of a capture */
    uint64_t fragments;     /* parts of fragmented IP packets, skipped */
    uint64_t truncated;     /* packets that were not captured whole, skipped */
    uint64_t broken;        /* packets with impossible headers, skipped */
    uint64_t other;         /* packets that are not UDP over IP, skipped */
    uint64_t messages;      /* given out */
    uint64_t damaged_bytes; /* of a stream: passed over to find the next message */
    uint64_t resyncs;       /* how often */
    uint64_t bytes_read;
    uint64_t file_bytes; /* 0 when unknown (a pipe) */
};

/*
 * @return SC_OK; SC_NOT_OURS "not a capture, export payload or IPFIX file"; SC_UNSUPPORTED (a link type that
 * we do not read); SC_NOTFOUND, SC_IO; SC_DAMAGED (a capture's own header is); SC_NOMEM.
 */
enum sc_status sc_capture_open(const char *path, struct sc_capture **out, struct sc_error *err);
void sc_capture_close(struct sc_capture *capture);

/* @return SC_OK; SC_END; SC_DAMAGED: the rest of the file cannot be read, *err says why; SC_IO; SC_NOMEM. */
enum sc_status sc_capture_next(struct sc_capture *capture, struct sc_capture_message *out,
                               struct sc_error *err);

enum sc_capture_kind sc_capture_kind_of(const struct sc_capture *capture);
void sc_capture_get_stats(const struct sc_capture *capture, struct sc_capture_stats *out);

#endif
