// SPDX-License-Identifier: BSD-3-Clause
/*
 * A query over the stores of several ranks, each batch counted once. All functions are called by all ranks, in
 * the same order:
 *
 *     sc_distributed_open(&d, &options, &err);
 *     sc_distributed_read(&d, read, arg, &err);
 *     reduce the results of the last read
 *     sc_distributed_notes(&d, &err);                  rank 0: all sentences are in d.source
 *     sc_distributed_close(&d);
 */
#ifndef SC_CLUSTER_DISTRIBUTED_H
#define SC_CLUSTER_DISTRIBUTED_H

#include "cluster/planner.h"
#include "cluster/ranks.h"
#include "show/summary.h"

struct sc_distributed_options {
    const struct sc_ranks *ranks; /* borrowed, as all here */
    const char *node;             /* this rank's name in sentences */
    const char *const *paths;     /* of this rank; none: it reads nothing */
    uint32_t path_count;
    struct sc_source_bounds bounds;
};

struct sc_distributed {
    struct sc_distributed_options options;
    struct sc_source source;
    struct sc_expected expected;
    struct sc_planner *planner; /* rank 0 */
    uint32_t rounds;            /* of reading, so far */
};

/* Zero-initialises *d. @return SC_OK; SC_IO, SC_NOMEM, SC_DAMAGED: this rank cannot go on, and so nobody can. A store that cannot be
 * read is a missing one, no error. */
enum sc_status sc_distributed_open(struct sc_distributed *d, const struct sc_distributed_options *options,
                                   struct sc_error *err);
/* Calls `read`, which reads d->source, all of it, until everything is read that some rank can. @return the same kind at all ranks:
 * SC_OK; SC_CANCELLED: some rank's `read` was stopped, and the answer is partial. Else as sc_distributed_open. */
enum sc_status sc_distributed_read(struct sc_distributed *d,
                                   enum sc_status (*read)(void *arg, struct sc_error *err), void *arg,
                                   struct sc_error *err);
/* Adds up the ranks' summaries at rank 0. */
enum sc_status sc_distributed_summary(struct sc_distributed *d, struct sc_summary *summary,
                                      struct sc_error *err);
enum sc_status sc_distributed_notes(struct sc_distributed *d, struct sc_error *err);
void sc_distributed_close(struct sc_distributed *d);

#endif
