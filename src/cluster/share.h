// SPDX-License-Identifier: BSD-3-Clause
/*
 * What ranks must have in common before they answer a query. Each is called by all ranks, and is the same at all of them afterwards,
 * save where it says rank 0. @return SC_OK; SC_NOMEM; SC_DAMAGED: what a rank says makes no sense; what `ranks` returns. A rank that
 * fails gets it back at once, and the other ranks wait.
 */
#ifndef SC_CLUSTER_SHARE_H
#define SC_CLUSTER_SHARE_H

#include "cluster/ranks.h"
#include "cluster/words.h"
#include "ie/learned.h"
#include "query/stored_columns.h"
#include "store/format.h"

/* Those of rank 0; others give an empty list. */
enum sc_status sc_share_words(const struct sc_ranks *ranks, struct sc_words *words, struct sc_error *err);

/* Elements that exporters defined: what any rank has learned. */
enum sc_status sc_share_learned(const struct sc_ranks *ranks, struct sc_ie_learned *learned,
                                struct sc_error *err);

/* The columns that any rank has stored, in one order. @return also SC_LIMIT. */
enum sc_status sc_share_columns(const struct sc_ranks *ranks, struct sc_stored_columns *columns,
                                struct sc_error *err);

/* At rank 0 the sum of all. */
enum sc_status sc_share_totals(const struct sc_ranks *ranks, struct sc_row_stats *totals,
                               struct sc_error *err);

/*
 * Who takes part, before anything else is passed: rank 0 judges what each says. @return SC_OK: all may go on. At rank 0
 * SC_UNSUPPORTED: some ranks may not, *err names the first of them; the other ranks wait, until whoever started them ends them all.
 */
struct sc_muster {
    const struct sc_ranks *ranks; /* borrowed, as all here */
    const char *node;             /* this rank's name */
    int supervisor_fd; /* where rank 0 names those who may not (sc_leave_out_line_write); -1: there is no supervisor */
};

/* Nodes of another version than rank 0's do not understand its partial results, nor perhaps the words of the query. */
enum sc_status sc_muster_version(const struct sc_muster *muster, const char *version, struct sc_error *err);

/* `excuse`: why this rank cannot take part; "": it can. */
enum sc_status sc_muster_excuse(const struct sc_muster *muster, const char *excuse, struct sc_error *err);

#endif
