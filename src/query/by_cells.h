// SPDX-License-Identifier: BSD-3-Clause
/* The steps of a top N by cells (group/cells.h): of one process (query/top.c), and of several ranks together (cluster/cells.h). */
#ifndef SC_QUERY_BY_CELLS_H
#define SC_QUERY_BY_CELLS_H

#include "query/aggregate.h"

struct sc_by_cells {
    struct sc_source *source;
    const struct sc_scan_options *options;
    const struct sc_top *top;
    uint64_t memory_limit; /* 0 = none */
    bool keep_values;      /* as of sc_aggregate_run, in the second scan */
    struct sc_scan_stats *stats;
};

/* Whether what is wanted are few groups by one descending sum. */
bool sc_by_cells_suits(const struct sc_top *top);

/* More groups of a thread than these after the first row groups (sc_aggregate_run) are very many; fewer where the memory limit is small. */
uint64_t sc_top_few_groups(const struct sc_top *top, const struct sc_scan_options *options,
                           uint64_t memory_limit);

/* About so many rows are read. */
uint64_t sc_by_cells_rows(const struct sc_by_cells *by);
/* How many bits choose a cell for so many rows: there is one for eight or so, and those of all threads are not a quarter of the memory. 0:
 * there is no room for the least. */
unsigned sc_by_cells_bits(const struct sc_by_cells *by, uint64_t rows);

/* The first scan. @return as of sc_aggregate_run; *cells, for the caller to free, also after SC_CANCELLED, or NULL. */
enum sc_status sc_by_cells_sum(const struct sc_by_cells *by, unsigned hash_bits, struct sc_groups **cells,
                               struct sc_summary *summary, struct sc_error *err);
/* The second scan: groups of the chosen cells, in full. */
enum sc_status sc_by_cells_fill(const struct sc_by_cells *by, const struct sc_chosen_cells *chosen,
                                struct sc_groups **groups, struct sc_error *err);
/* Who stops the first scan, after `spent_ns`, waits as long again, a second at most, for groups of the greatest cells so far.
 * @return SC_CANCELLED, or why there are none. */
enum sc_status sc_by_cells_stop(const struct sc_by_cells *by, const struct sc_groups *cells,
                                uint64_t spent_ns, struct sc_groups **groups, struct sc_error *err);
/* Whether the first groups are all there, and greater than what was left out. */
bool sc_by_cells_prove(const struct sc_top *top, const struct sc_chosen_cells *chosen,
                       const struct sc_groups *groups);

#endif
