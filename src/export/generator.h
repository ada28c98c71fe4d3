// SPDX-License-Identifier: BSD-3-Clause
/*
 * Seeded, realistic flow records: the data of the benchmarks. The same options give the same records, in the
 * same order, on every machine.
 *
 * Conversations between the hosts of export/network.h: a client asks a server of some service, and most
 * servers answer with a flow of their own, exported a little later. Packets, bytes and durations are
 * heavy-tailed and fit each other (40 to 1500 bytes a packet, no packet rate beyond reason); about 2 % are
 * scans. Record i is exported at start + i / rate; its end lies shortly before (a second after a TCP close,
 * 15 s of inactivity otherwise), its start before that.
 *
 * One thread at a time. Memory is malloc.
 */
#ifndef SC_EXPORT_GENERATOR_H
#define SC_EXPORT_GENERATOR_H

#include "base/addr.h"
#include "flow/batch.h"

struct sc_generator_options {
    uint64_t seed;
    uint32_t hosts;        /* SC_NETWORK_HOSTS_MIN .. MAX; default 65536 */
    uint32_t ipv6_percent; /* 0 .. 100 of the conversations */
    uint32_t exporters;    /* each host's flows leave through one of so many; default 1 */
    uint64_t start_ms;     /* export time of the first record */
    uint64_t rate;         /* records a second of the export clock; default 10000 */
};

struct sc_generator_options sc_generator_default_options(void);

/* One record as a router would have it. */
struct sc_generated {
    struct sc_addr source, destination, next_hop;
    uint64_t first_ms, last_ms;
    uint32_t packets, bytes;
    uint32_t source_as, destination_as;
    uint16_t source_port, destination_port; /* ICMP: 0, and type << 8 | code */
    uint16_t input, output;
    uint16_t exporter; /* 0 .. exporters - 1 */
    uint8_t protocol, flags, tos;
    uint8_t source_length, destination_length;
};

struct sc_generator;

/* @return NULL without memory. */
struct sc_generator *sc_generator_create(const struct sc_generator_options *options);
void sc_generator_free(struct sc_generator *generator);

void sc_generator_next(struct sc_generator *generator, struct sc_generated *out);

/* Export time of the record that comes next. */
uint64_t sc_generator_clock_ms(const struct sc_generator *generator);

/* Appends `n` records to a batch as the decoder would (unified addresses, FLOW_START, FLOW_END). SC_NOMEM:
 * unchanged. */
enum sc_status sc_generated_append(const struct sc_generated *records, uint32_t n, struct sc_batch *batch);

#endif
