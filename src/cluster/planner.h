// SPDX-License-Identifier: BSD-3-Clause
/*
 * Rank 0's plan over what all ranks hold: each batch id is read by one rank, at home if it can. Ids that a rank
 * could not read go to another one that holds them; what nobody can read is missing.
 *
 * Batches come as runs of ids, of which a lane of a stream is a few, however many batches it has; which copy of an id a rank reads
 * is its own matter. An id goes to the rank that likes it most, of those to the first.
 */
#ifndef SC_CLUSTER_PLANNER_H
#define SC_CLUSTER_PLANNER_H

#include "source/source.h"

struct sc_planner;

/* For `ranks` ranks. NULL without memory. */
struct sc_planner *sc_planner_create(uint32_t ranks);
void sc_planner_free(struct sc_planner *planner);

/* What rank 0, 1, 2, ... holds, in this order: runs, see sc_inventory_put_run. @return SC_OK, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_planner_add(struct sc_planner *planner, struct sc_cursor *in);

/* After the last. @return SC_OK, SC_NOMEM. */
enum sc_status sc_planner_assign(struct sc_planner *planner);

/* The runs that each rank is to read, to out[rank]. */
void sc_planner_put_assignments(const struct sc_planner *planner, struct sc_buf *out);

/* The ids that a rank was to read and could not: see sc_inventory_put_lost. @return SC_OK, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_planner_lost(struct sc_planner *planner, uint32_t rank, struct sc_cursor *in);

/* After all ranks told what they lost. *again: others read it now, so that all ranks scan anew; else nobody can, which is noted in
 * `source` as missing. @return SC_OK, SC_NOMEM. */
enum sc_status sc_planner_reassign(struct sc_planner *planner, struct sc_source *source, bool *again);

#endif
