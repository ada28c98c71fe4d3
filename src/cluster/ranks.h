// SPDX-License-Identifier: BSD-3-Clause
/*
 * The ranks of a query and how they pass bytes to each other. Small on purpose: over MPI in the program (ranks_mpi.c), between
 * threads in tests (tests/unit/ranks_threads.c). Every call is made by all ranks, in the same order, from one thread each; a rank that ends
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

/* Counted up with each change of what ranks say to each other: programs of other versions answer together when this is the same. */
#define SC_RANKS_PROTOCOL "6"
#define SC_RANKS_VERSION  SC_VERSION " (ranks " SC_RANKS_PROTOCOL ")"

/* Whether two programs that call themselves so do. One that names no protocol is of a version that had none: then all must be the same. */
bool sc_ranks_understand(const char *ours, const char *theirs, size_t length);

/* What rank 0 does with the bytes of each rank, one after the other, its own first. */
typedef enum sc_status sc_ranks_take_fn(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err);

/* Each rank's `mine` to rank 0. @return also what `take` returns, which ends it. */
enum sc_status sc_ranks_collect(const struct sc_ranks *ranks, const struct sc_buf *mine,
                                sc_ranks_take_fn *take, void *arg, struct sc_error *err);
/* The same through a tree, in which ranks hand on what others say: rank 0 hears from few, and bytes go a longer way. */
enum sc_status sc_ranks_collect_short(const struct sc_ranks *ranks, const struct sc_buf *mine,
                                      sc_ranks_take_fn *take, void *arg, struct sc_error *err);
/* all[i] of rank 0 to `mine` of rank i. */
enum sc_status sc_ranks_scatter(const struct sc_ranks *ranks, const struct sc_buf *all, struct sc_buf *mine,
                                struct sc_error *err);
/* `bytes` of rank 0 to all, through that tree. */
enum sc_status sc_ranks_broadcast(const struct sc_ranks *ranks, struct sc_buf *bytes, struct sc_error *err);
/* Numbers of rank 0 to all. @return also SC_DAMAGED. */
enum sc_status sc_ranks_tell(const struct sc_ranks *ranks, uint64_t *numbers, uint32_t count,
                             struct sc_error *err);
/* The greatest of the ranks' values, for all: so they agree on what comes next. */
enum sc_status sc_ranks_most(const struct sc_ranks *ranks, uint64_t *value, struct sc_error *err);

/* How each rank fared: SC_OK when it is that of all; else a rank's own status, or where that is SC_OK the greatest of the others'. */
enum sc_status sc_ranks_settle(const struct sc_ranks *ranks, enum sc_status mine, struct sc_error *err);

/* The same of work that may be stopped: SC_CANCELLED when some rank's was. A rank with another failure gets it back at once, and the
 * other ranks wait. */
enum sc_status sc_ranks_agree(const struct sc_ranks *ranks, enum sc_status mine, struct sc_error *err);

/* ---- over MPI: ranks_mpi.c, which alone includes mpi.h, and which only the rank's program has ---- */

/* Once per process. @return SC_OK; SC_UNSUPPORTED without a library that works. */
enum sc_status sc_ranks_mpi_begin(int *argc, char ***argv, struct sc_ranks *out, struct sc_error *err);
void sc_ranks_mpi_end(void);
/* Ends all ranks, and mostly this process: one that comes back ends by itself. */
void sc_ranks_mpi_abort(int status);

#endif
