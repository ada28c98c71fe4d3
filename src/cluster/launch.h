// SPDX-License-Identifier: BSD-3-Clause
/*
 * The command that starts the ranks of a query on several machines: mpiexec of Open MPI, one rank for each, through ssh, whatever form
 * their addresses have (cluster/reach.h). Words, no shell.
 */
#ifndef SC_CLUSTER_LAUNCH_H
#define SC_CLUSTER_LAUNCH_H

#include "cluster/words.h"

#include <stdint.h>

struct sc_launch_rank {
    const char *node; /* "": it reads nothing */
    const char *host; /* NULL: this machine */
};

struct sc_launch {
    const char *mpiexec; /* found by PATH */
    const char *guard;   /* sc-query-guard: an absolute path without blanks, the same on all machines */
    const char *program; /* sc-query-rank: the same */
    const char *ssh;     /* a program and its options, divided by blanks */
    const struct sc_launch_rank *ranks;
    uint32_t rank_count;
    unsigned connect_s; /* how long ssh may try to reach a host */
    uint64_t draw;      /* a random number: which ports Open MPI's daemons take */
    char *const *query; /* words for sc-query, NULL behind the last; rank 0 has them, and tells the others */
    char *const *first; /* more words for sc-query-rank itself at rank 0; NULL behind the last; may be NULL */
};

/* @return SC_OK; SC_USAGE: a host that could be taken for an option, or has characters that no host has; SC_NOMEM. */
enum sc_status sc_launch_words(const struct sc_launch *launch, struct sc_words *out, struct sc_error *err);

#endif
