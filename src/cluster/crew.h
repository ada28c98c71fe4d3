// SPDX-License-Identifier: BSD-3-Clause
/*
 * The nodes that a query is run on, over its attempts: which ranks the next one has, and who takes no part any more after one that
 * brought no answer. A node is given up for what it said, for silence, or when its rank died a second time: one death may be an
 * accident. One thread; not for ranks, but for whoever starts them.
 */
#ifndef SC_CLUSTER_CREW_H
#define SC_CLUSTER_CREW_H

#include "cluster/job.h"
#include "cluster/launch.h"
#include "conf/cluster.h"

#define SC_CREW_PROBLEM_MAX 256u

struct sc_crew_node {
    const struct sc_member *member; /* borrowed */
    bool here;
    bool local; /* no ssh is needed, as its address is one of this machine: whoever has sockets sets it */
    bool given_up;
    bool died; /* in an attempt */
    bool other_version;
    char problem[SC_CREW_PROBLEM_MAX]; /* why it is given up */
};

struct sc_crew {
    const char *ssh, *program;  /* of nodes that are probed: ssh with its options, sc-query-rank; borrowed */
    struct sc_crew_node *nodes; /* subcollectors, the one that runs here first */
    uint32_t node_count;
    /* Of the attempt. */
    struct sc_crew_node **of_rank; /* NULL: the rank reads nothing */
    struct sc_launch_rank *ranks;
    uint32_t rank_count;
    uint32_t puzzles; /* so many failed, and nothing told why */
};

/* An attempt that brought no answer. */
struct sc_crew_failure {
    const struct sc_job_result *result;
    const char *said;               /* by mpiexec and by programs that broke down */
    uint64_t launch_ms, silence_ms; /* what ranks were given */
};

/* `here`: the name of the node that this machine is, or NULL. Zero-initialises *crew. @return SC_OK or SC_NOMEM. */
enum sc_status sc_crew_init(struct sc_crew *crew, const struct sc_cluster *cluster, const char *here,
                            struct sc_error *err);
void sc_crew_free(struct sc_crew *crew);

/* The ranks of the next attempt. Rank 0 is here: the node of this machine, or one that only gathers. */
void sc_crew_choose_ranks(struct sc_crew *crew);

/* Rank 0 has found nodes that cannot take part, before it wrote anything. False: none. */
bool sc_crew_leave_out(struct sc_crew *crew, const struct sc_job_result *result);

/* Decides who takes no part in the next attempt; may probe the nodes for that. False: another attempt would be no better. */
bool sc_crew_learn(struct sc_crew *crew, const struct sc_crew_failure *failure);

/* Nodes that are not given up. */
uint32_t sc_crew_left(const struct sc_crew *crew);

/* All other nodes have another version: more likely than that all are wrong, this machine is. */
bool sc_crew_is_alone(const struct sc_crew *crew);

#endif
