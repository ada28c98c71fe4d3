// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the status tells of exporters: of the first by flows their accounts, of the others how many they are. An exporter is who
 * had something decoded; the rest, junk and data whose templates never came, is counted in one. Filled by passes of
 * sc_decoder_care. Belongs to one thread.
 */
#ifndef SC_COLLECT_EXPORTERS_H
#define SC_COLLECT_EXPORTERS_H

#include "wire/decoder.h"

#define SC_EXPORTERS_TOP 1024u

struct sc_exporters_sum {
    uint64_t accounts;  /* of exporters that had something decoded */
    uint64_t strangers; /* accounts of others; what they sent: */
    uint64_t strangers_messages, strangers_no_template_sets, strangers_malformed;
};

/* Zero-initialise. */
struct sc_exporters {
    struct sc_exporter_stats *top; /* `count` of them: a heap, the one with the fewest flows first */
    uint32_t count, capacity;
    struct sc_exporters_sum sum;
};

void sc_exporters_free(struct sc_exporters *exporters);

/* For sc_care.account: NULL begins anew. Without memory an account is counted only. */
void sc_exporters_visit(struct sc_exporters *e, const struct sc_exporter_stats *stats);

/* Orders accounts for people: the most flows first, then by address, port and domain. For qsort. */
int sc_exporters_compare(const void *a, const void *b);

#endif
