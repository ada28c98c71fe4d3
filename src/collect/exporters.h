// SPDX-License-Identifier: BSD-3-Clause
/*
 * The accounts of a decoder's exporters with their rates over the last ten seconds. Belongs to one thread.
 */
#ifndef SC_COLLECT_EXPORTERS_H
#define SC_COLLECT_EXPORTERS_H

#include "wire/decoder.h"

struct sc_exporter_view {
    struct sc_exporter_stats stats;
    double flows_per_s;
};

#define SC_EXPORTERS_SAMPLES 11u /* of one second: ten intervals */
#define SC_EXPORTERS_MAX     65536u

struct sc_exporter_entry {
    struct sc_exporter_view view;
    uint64_t flows[SC_EXPORTERS_SAMPLES]; /* by sample number modulo SC_EXPORTERS_SAMPLES */
    uint64_t first_sample, last_sample;
};

/* Zero-initialise. */
struct sc_exporters {
    struct sc_exporter_entry *entries;
    uint32_t count, capacity;
    uint32_t *index; /* open hash: entry + 1 */
    uint32_t index_size;
    uint64_t sample; /* number of the next sample */
    uint64_t times[SC_EXPORTERS_SAMPLES];
};

void sc_exporters_free(struct sc_exporters *exporters);

/*
 * Takes a sample of every account that has had a message. Accounts that are gone leave the table. Beyond
 * SC_EXPORTERS_MAX, or without memory, the rest is left out.
 */
void sc_exporters_sample(struct sc_exporters *exporters, const struct sc_decoder *decoder, uint64_t mono_ms);

/* The same with an account given by hand: begin, any number of adds, end. */
void sc_exporters_begin(struct sc_exporters *exporters, uint64_t mono_ms);
bool sc_exporters_add(struct sc_exporters *exporters, const struct sc_exporter_stats *stats);
void sc_exporters_end(struct sc_exporters *exporters);

#endif
