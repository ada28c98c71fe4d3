// SPDX-License-Identifier: BSD-3-Clause
/* Totals over selected rows; from statistics where all rows of a row group count, else from the columns. */
#ifndef SC_SHOW_SUMMARY_H
#define SC_SHOW_SUMMARY_H

#include "store/row_fields.h"

#define SC_MAX_INTERVALS 16u

struct sc_summary {
    uint64_t records;
    uint64_t flows;
    uint64_t packets;
    uint64_t bytes;
    uint64_t sampled;                     /* records with a known sampling interval above 1 */
    uint64_t intervals[SC_MAX_INTERVALS]; /* the distinct ones, ascending; the least, when there are more */
    uint32_t interval_count;
    bool more_intervals;
};

struct sc_summarizer {
    struct sc_field flows, packets, bytes, sampling;
    uint64_t *values; /* scratch */
    uint64_t *valid;
};

/* `scaled`: packets and bytes are times the sampling interval of their record. */
enum sc_status sc_summarizer_init(struct sc_summarizer *summarizer, bool scaled, struct sc_error *err);
void sc_summarizer_free(struct sc_summarizer *summarizer);

/* Adds the selected rows. @return SC_OK; SC_DAMAGED, SC_IO, SC_NOMEM with nothing added. */
enum sc_status sc_summary_add_rows(struct sc_summary *summary, struct sc_summarizer *summarizer,
                                   struct sc_row_group *group, const struct sc_selection *selection,
                                   struct sc_error *err);

void sc_summary_merge(struct sc_summary *to, const struct sc_summary *from);

#endif
