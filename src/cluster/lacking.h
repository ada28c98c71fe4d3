// SPDX-License-Identifier: BSD-3-Clause
/*
 * Who of the members that are to hold a lane lacks what of it, by what all hold whole: a batch that somebody holds, whole or
 * damaged, is to be whole at each of sc_cluster_holders. Nothing of files, stores or nodes here. One thread; malloc.
 */
#ifndef SC_CLUSTER_LACKING_H
#define SC_CLUSTER_LACKING_H

#include "cluster/holdings.h"
#include "conf/cluster.h"

/* What a member told, settled, borrowed. */
struct sc_lacking_member {
    const struct sc_holdings *whole,
        *damaged; /* NULL both: it told nothing, and nobody knows what it lacks */
    uint64_t
        kept_from_ms; /* of earlier windows it lacks nothing that it does not hold; what it holds damaged is told */
};

/* Of a window, stream and lane; summed, of all streams (stream 0). */
struct sc_lack {
    uint64_t window_ms, stream;
    uint32_t lane;
    uint32_t member;  /* who lacks it, in the cluster */
    uint64_t absent;  /* batches that it does not hold */
    uint64_t damaged; /* that it holds, and cannot be read whole */
    uint32_t left;    /* the least number of whole copies that any of them has elsewhere */
};

/* `members`: one per member of the cluster. *out: malloc'ed, by window, stream, lane and place on the ring. @return SC_OK or SC_NOMEM. */
enum sc_status sc_lacking_find(const struct sc_cluster *cluster, const struct sc_lacking_member *members,
                               struct sc_lack **out, uint32_t *count);

/* Takes the streams of each window, lane and member together. @return how many are left, by window, lane and member. */
uint32_t sc_lacking_sum(struct sc_lack *list, uint32_t count);

#endif
