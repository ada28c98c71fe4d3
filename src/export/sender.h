// SPDX-License-Identifier: BSD-3-Clause
/*
 * Where export messages go: UDP, TCP, or files. One sender serves several exporters, each with its own
 * socket (and so its own transport session), and may have several targets: each message goes to all of them.
 *
 *   udp://HOST:PORT   datagrams, many a system call. What the network refuses (ECONNREFUSED, ENOBUFS ...) is
 *                     counted, not fatal.
 *   tcp://HOST:PORT   IPFIX messages one after another; a broken connection is final.
 *   PATH.pcap         raw IPv4 packets with UDP headers, readable by tcpdump and by sc-collector --read
 *   PATH.ipfix        IPFIX messages one after another (RFC 5655)
 *
 * Towards an IPv4 loopback address exporter i sends from 127.0.0.(1 + i), counting on through 127/8, so that
 * a collector sees different exporters; elsewhere the system chooses the address and exporters differ by
 * port. A pcap has the same 127/8 sources, UDP port 2055.
 *
 * IPv6 hosts are written in brackets. Memory is malloc; one thread at a time.
 */
#ifndef SC_EXPORT_SENDER_H
#define SC_EXPORT_SENDER_H

#include "export/target.h"

#define SC_SENDER_TARGETS       4u
#define SC_SENDER_EXPORTERS_MAX 1024u

struct sc_sender;

/* Connects and creates files. @return NULL with *err: a host is unknown, a connection is refused, a file
 * cannot be made. */
struct sc_sender *sc_sender_open(const struct sc_target *targets, uint32_t target_count, uint32_t exporters,
                                 struct sc_error *err);

/* Queues a copy of one message of an exporter; sends what is queued when that is much. `time_ms` goes into a
 * pcap. */
enum sc_status sc_sender_put(struct sc_sender *sender, uint32_t exporter, uint64_t time_ms,
                             const uint8_t *message, size_t length, struct sc_error *err);

/* Sends all that is queued. SC_IO: a connection broke or a file could not be written. */
enum sc_status sc_sender_flush(struct sc_sender *sender, struct sc_error *err);

/*
 * Flushes, ends connections in order, closes files, frees. The first error is reported; all is freed in any
 * case. `stats` (may be NULL) gets the final account.
 */
enum sc_status sc_sender_close(struct sc_sender *sender, struct sc_sender_stats *stats, struct sc_error *err);

void sc_sender_get_stats(const struct sc_sender *sender, struct sc_sender_stats *out);

#endif
