// SPDX-License-Identifier: BSD-3-Clause
/*
 * A listing of the records of all ranks at rank 0: sorted, merged in the order of the local engine, equal keys by rank; else rank by
 * rank. Every rank scans at once, in threads of its own, and keeps a piece or two of records ready until rank 0 asks for them; it
 * stops, scan and all, when rank 0 has enough. Records travel as values: rank 0 alone makes text of them.
 */
#ifndef SC_CLUSTER_LISTING_H
#define SC_CLUSTER_LISTING_H

#include "cluster/ranks.h"
#include "query/engine.h"

struct sc_cluster_list_stats {
    uint64_t bytes;   /* of records, sent by this rank */
    uint64_t records; /* of this rank that are in the answer */
};

/*
 * Called by all ranks with the same `listing`, save `output` and the sink, which are rank 0's. As sc_query_list for the rest:
 * *summary and *stats are this rank's, to be merged by the caller, and the summary counts its records that are in the answer (sorted
 * with a limit: all that matched).
 *
 * @return the same kind at all ranks: SC_OK, also when nobody reads; SC_CANCELLED: one was stopped (SC_CANCELLED of the local
 * engine), what was written is part of the answer; others: one could not go on. What `ranks` returns when it cannot pass bytes comes
 * back at once, and the other ranks wait.
 */
enum sc_status sc_cluster_list(const struct sc_ranks *ranks, struct sc_source *source,
                               const struct sc_scan_options *options, const struct sc_listing *listing,
                               const struct sc_sink *sink, struct sc_summary *summary,
                               struct sc_scan_stats *stats, struct sc_cluster_list_stats *list_stats,
                               struct sc_error *err);

#endif
