// SPDX-License-Identifier: BSD-3-Clause
/* What listings have in common, sorted or not. Only the files of listings include it. */
#ifndef SC_QUERY_LIST_ROWS_H
#define SC_QUERY_LIST_ROWS_H

#include "query/engine.h"
#include "show/cells.h"

#include <pthread.h>

/* What a thread has of its own. */
struct sc_list_formatter {
    struct sc_summarizer summarizer;
    struct sc_summary summary;
    struct sc_value *values;     /* one per output column */
    struct sc_cells *cells;      /* likewise */
    struct sc_output_rows *rows; /* of them; NULL: the listing puts the values itself */
    /* What is to be formatted of a row group: */
    const uint32_t *next, *behind;
    uint32_t loaded, put; /* rows that `rows` has, that were put of these */
};

struct sc_list_run {
    struct sc_source *source;
    const struct sc_scan_options *options;
    const struct sc_listing *listing;
    const struct sc_sink *sink;
    struct sc_list_formatter *formatters; /* per thread */
    unsigned threads;
    pthread_mutex_t mutex; /* guards the output's widths while they are fitted, and what follows */
    bool headed;           /* nothing to fit, no header to write (any more) */
};

enum sc_status sc_list_formatter_init(struct sc_list_formatter *f, const struct sc_list_run *run,
                                      struct sc_error *err);
void sc_list_formatter_free(struct sc_list_formatter *f);

/* Columns are decoded already; when `many` rows follow, numbers are computed for all at once. */
enum sc_status sc_list_find_cells(struct sc_list_formatter *f, const struct sc_listing *listing,
                                  struct sc_row_group *group, bool many, struct sc_error *err);
/* Rows of that row group to text: which, then each in turn, as often as there are rows. They are borrowed. */
void sc_list_begin(struct sc_list_formatter *f, const uint32_t *rows, uint32_t count);
/* All that are selected, which are returned; NULL without memory. */
const uint32_t *sc_list_begin_selected(struct sc_list_formatter *f, const struct sc_selection *selection,
                                       struct sc_row_group *group, struct sc_error *err);
void sc_list_format_next(struct sc_list_formatter *f, const struct sc_listing *listing, struct sc_buf *out);

/* The header, when columns fit the first records: widens the columns to a row; any thread. */
void sc_list_fit_row(struct sc_list_run *run, struct sc_list_formatter *f, uint32_t row);
bool sc_list_is_headed(struct sc_list_run *run);
/* Once. False when nobody reads. */
bool sc_list_write_header(struct sc_list_run *run);

/* A listing with orders. As sc_query_list, without the header where nothing was listed. */
enum sc_status sc_list_sorted(struct sc_list_run *run, struct sc_scan_stats *stats, struct sc_error *err);

#endif
