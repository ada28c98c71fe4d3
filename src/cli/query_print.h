// SPDX-License-Identifier: BSD-3-Clause
/* What sc-query writes around the records: envelope, summary, totals. */
#ifndef SC_CLI_QUERY_PRINT_H
#define SC_CLI_QUERY_PRINT_H

#include "cli/query_progress.h"
#include "cluster/figures.h"
#include "query/request.h"

struct sc_print {
    enum sc_output_format format;
    bool several; /* several statistics: json has `results` */
    bool results_open;
    const char *statistic;     /* whose records come, where there are several; borrowed */
    bool begun;                /* json: the object is open */
    bool records_written;      /* some block of records was begun */
    bool saturated, estimated; /* so was some value that was written */
    bool failed;
    int errnum;                   /* why, when failed */
    enum sc_convert volume;       /* as in sc_output_options */
    struct sc_progress *progress; /* ends with the first output; NULL: it does not disturb it */
};

struct sc_print_end {
    const struct sc_summary *summary;  /* NULL: not asked for */
    const struct sc_row_stats *totals; /* NULL: not asked for */
    char *const *missing;
    uint32_t missing_count;
    char *const *damage; /* what is damaged, and was read elsewhere */
    uint32_t damage_count;
    const struct sc_known_lost *known_lost;
    uint64_t kept_since_ms; /* older windows were expired on purpose, in part or all; 0: none were */
    bool asks_older;        /* the question reaches back before that */
    const struct sc_figures *cluster; /* NULL: a query of this machine alone */
    uint64_t elapsed_ms;
    bool scaled; /* counters are times the sampling interval */
};

bool sc_print_write(void *arg, const void *bytes, size_t count);
/* `name` of the statistic, NULL when there is only one. `output` NULL: no columns, so no header. */
void sc_print_begin_records(struct sc_print *print, const char *name, const struct sc_output *output);
/* Pretty: widens the columns for a table of not too many groups; before its begin. */
void sc_print_fit_groups(const struct sc_print *print, struct sc_output *output,
                         const struct sc_request *request, const struct sc_groups *groups,
                         const struct sc_result *result);
void sc_print_group(struct sc_print *print, const struct sc_output *output, const struct sc_request *request,
                    const struct sc_groups *groups, const uint8_t *entry, bool more);
void sc_print_end_records(struct sc_print *print);
/* The end of the answer. False when stdout could not be written. */
bool sc_print_end(struct sc_print *print, const struct sc_print_end *end);
/* Nothing more comes: flushes what is there. */
void sc_print_abort(struct sc_print *print);

#endif
