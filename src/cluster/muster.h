// SPDX-License-Identifier: BSD-3-Clause
/*
 * Who takes part in a query, before anything else is passed. Called by all ranks; rank 0 judges what each says.
 *
 * @return SC_OK: all may go on. At rank 0 SC_UNSUPPORTED: some ranks may not, *err names the first of them; the other ranks wait,
 * until whoever started them ends them all.
 */
#ifndef SC_CLUSTER_MUSTER_H
#define SC_CLUSTER_MUSTER_H

#include "cluster/ranks.h"

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
