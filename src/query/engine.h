// SPDX-License-Identifier: BSD-3-Clause
/*
 * A query over a source: listings, aggregations, summaries. Results go to a sink as text, in order; nothing
 * here knows MPI or sockets. Each call starts threads of its own and joins them; of one source one call at a time, for
 * what cannot be read is replaced in it.
 */
#ifndef SC_QUERY_ENGINE_H
#define SC_QUERY_ENGINE_H

#include "group/aggregate.h"
#include "query/scan.h"
#include "show/output.h"
#include "show/summary.h"

/* Where text goes. Called from one thread at a time. @return false to stop the query (nobody reads any more).
 */
struct sc_sink {
    bool (*write)(void *arg, const void *bytes, size_t count);
    void *arg;
};

struct sc_list_order {
    struct sc_field field;
    bool descending;
};

/* Columns are fitted to so many records: more rows than anybody reads are not looked at twice. */
#define SC_MOST_FITTED 2048u

/* Records one by one: the selected ones in the order of the store, or sorted. */
struct sc_listing {
    struct sc_output *output;      /* not used where `put` is set */
    const struct sc_field *fields; /* of the output's columns */
    uint32_t field_count;
    const struct sc_list_order *orders;
    uint32_t order_count;
    uint64_t limit;        /* 0 = all */
    uint64_t memory_limit; /* bytes for what is sorted, 0 = none; what is more goes to a file */
    const char *separator; /* between records: "" or ",\n" */
    bool summarize;        /* false: the summary is not asked for, and stays empty */
    bool
        fit; /* the output's columns are widened to the first records, and its header is written before them */
    /*
     * Instead of text: appends a record's values in a form of the caller's, at least one byte. Called by several threads at a time. What
     * the sink gets is whole records, one or more at a time; `separator` is "" and `fit` false.
     */
    void (*put)(const void *arg, const struct sc_value *values, struct sc_buf *out);
    const void *put_arg;
};

/*
 * Runs a listing. *summary counts the records that were listed; sorted with a limit: all that matched.
 * @return SC_OK; SC_CANCELLED: stopped, what was written is part of the answer (sorted with more than some
 * records: nothing, or the first of them), *err says what was not done; others with *err.
 */
enum sc_status sc_query_list(struct sc_source *source, const struct sc_scan_options *options,
                             const struct sc_listing *listing, const struct sc_sink *sink,
                             struct sc_summary *summary, struct sc_scan_stats *stats, struct sc_error *err);

/*
 * Runs several aggregations in one scan. *groups gets one result for each (the caller frees them with
 * sc_groups_free); `aggregates` must be prepared, and live as long as the groups. `aggregate_count` 0: only the summary. `memory_limit`
 * bytes for groups, 0 = none: SC_NOMEM with a sentence when passed. With options->no_summary *summary is empty.
 * SC_CANCELLED: stopped; *groups are then of what was read, or NULL where putting them together would take long. *err says
 * what was not done ("before everything was read").
 */
enum sc_status sc_query_aggregate(struct sc_source *source, const struct sc_scan_options *options,
                                  struct sc_aggregate *aggregates, uint32_t aggregate_count,
                                  uint64_t memory_limit, struct sc_groups **groups,
                                  struct sc_summary *summary, struct sc_scan_stats *stats,
                                  struct sc_error *err);

/* One aggregation of which only the first `limit` groups by `orders` are wanted. */
struct sc_top {
    struct sc_aggregate *aggregate; /* prepared */
    const struct sc_result_order *orders;
    uint32_t order_count;
    uint64_t limit; /* 0 = all */
};

/*
 * As sc_query_aggregate; sc_groups_top with the same orders and limit then gives the answer. When there are many groups
 * and few are wanted, only what the order needs is summed, and a second
 * scan fills in the other values of the groups that have won: the table is then a fraction as large.
 */
enum sc_status sc_query_top(struct sc_source *source, const struct sc_scan_options *options,
                            struct sc_top *tops, uint32_t count, uint64_t memory_limit,
                            struct sc_groups **groups, struct sc_summary *summary,
                            struct sc_scan_stats *stats, struct sc_error *err);

/*
 * Adds the totals of all segments of a source by protocol to *out, from statistics; only where batches are held twice are rows read.
 * @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_query_totals(struct sc_source *source, struct sc_row_stats *out, struct sc_error *err);

#endif
