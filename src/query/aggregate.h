// SPDX-License-Identifier: BSD-3-Clause
/* The scan behind aggregations, and that of each rank of a cluster query. */
#ifndef SC_QUERY_AGGREGATE_H
#define SC_QUERY_AGGREGATE_H

#include "group/cells.h"
#include "query/engine.h"

/* Groups that are known beforehand: only these are filled. */
struct sc_seed {
    const struct sc_groups *from;
    const struct sc_result *winners;
};

struct sc_aggregate_run {
    struct sc_aggregate **aggregates; /* prepared */
    uint32_t count;
    const struct sc_seed *seeds; /* one per aggregate, or NULL */
    const struct sc_keep *keeps; /* one per aggregate (limit 0: keep all), or NULL */
    uint64_t memory_limit;       /* 0 = none */
    bool keep_values;            /* sc_groups_keep_values: they have to meet those of others */
    unsigned
        hash_bits; /* not 0: what is summed are cells (group/cells.h); the groups are not joined, but the first has the cells */
    const struct sc_chosen_cells *chosen; /* of the only aggregate, or NULL */
    uint64_t few; /* groups, 0 = any; SC_AGAIN when a thread has more of them after few row groups */
};

/* As sc_query_aggregate. */
enum sc_status sc_aggregate_run(const struct sc_aggregate_run *request, struct sc_source *source,
                                const struct sc_scan_options *options, struct sc_groups **groups,
                                struct sc_summary *summary, struct sc_scan_stats *stats,
                                struct sc_error *err);

#endif
