// SPDX-License-Identifier: BSD-3-Clause
/*
 * The ranks of a query and how they pass bytes to each other. Small on purpose: over MPI in the program (ranks_mpi.c), between
 * threads in tests (ranks_threads.c). Every call is made by all ranks, in the same order, from one thread each; a rank that ends
 * early leaves the others waiting, until whoever started them ends them all (cluster/job.h).
 */
#ifndef SC_CLUSTER_RANKS_H
#define SC_CLUSTER_RANKS_H

#include "base/buf.h"
#include "base/status.h"

struct sc_ranks {
    uint32_t rank, count;
    /* `send` goes to rank `to`, what rank `from` sends comes to `receive` (cleared first); neither is this rank; SC_NO_RANK: none.
     * Any size. @return SC_OK; SC_NOMEM; SC_IO. */
    enum sc_status (*pass)(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                           struct sc_buf *receive, struct sc_error *err);
    void *arg;
};

#define SC_NO_RANK UINT32_MAX

/* Each rank's `mine` to all[count] of rank 0; of other ranks `all` is not used. */
enum sc_status sc_ranks_gather(const struct sc_ranks *ranks, const struct sc_buf *mine, struct sc_buf *all,
                               struct sc_error *err);
/* all[i] of rank 0 to `mine` of rank i. */
enum sc_status sc_ranks_scatter(const struct sc_ranks *ranks, const struct sc_buf *all, struct sc_buf *mine,
                                struct sc_error *err);
/* `bytes` of rank 0 to all. */
enum sc_status sc_ranks_broadcast(const struct sc_ranks *ranks, struct sc_buf *bytes, struct sc_error *err);
/* out[i] of each rank to rank i, whose in[r] has what came from rank r. */
enum sc_status sc_ranks_exchange(const struct sc_ranks *ranks, const struct sc_buf *out, struct sc_buf *in,
                                 struct sc_error *err);
/* The greatest of the ranks' values, for all: so they agree on what comes next. */
enum sc_status sc_ranks_most(const struct sc_ranks *ranks, uint64_t *value, struct sc_error *err);

/* How each rank fared: SC_OK when it is that of all; else a rank's own status, or where that is SC_OK the greatest of the others'. */
enum sc_status sc_ranks_settle(const struct sc_ranks *ranks, enum sc_status mine, struct sc_error *err);

#endif
