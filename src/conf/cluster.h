// SPDX-License-Identifier: BSD-3-Clause
/*
 * The members of a cluster: a YAML file that is the same on every node (man sc-collector, contrib/cluster.yaml). The order of
 * the members is the ring. A member's lane number follows from its name, so that it stays the same whatever else changes in
 * the file; a node that comes back under its name is the same subcollector.
 *
 * Plain data, immutable after the load; threads share it freely.
 */
#ifndef SC_CONF_CLUSTER_H
#define SC_CONF_CLUSTER_H

#include "base/url.h"

#include <stdbool.h>
#include <stdint.h>

#define SC_CLUSTER_MAX_MEMBERS 1024u /* a tally has room for twice as many lanes (store/tally.h) */
#define SC_CLUSTER_NAME_MAX    64u
#define SC_CLUSTER_MAX_COPIES  3u
#define SC_CLUSTER_MAX_FROM    8u
#define SC_CLUSTER_MAX_FORMAT  2u /* of the files that this program writes (store/format.h) */
#define SC_NO_MEMBER           UINT32_MAX

/* Members leave in order: draining, then gone, in their place in the ring, so that their lanes keep their holders; the line goes when
 * nothing of the lane is left. */
enum sc_member_state {
    SC_MEMBER_ACTIVE,
    SC_MEMBER_DRAINING, /* gets no new batches and is to hold none; it gives what it has */
    SC_MEMBER_GONE,     /* has no roles any more */
};

struct sc_member {
    char name[SC_CLUSTER_NAME_MAX];
    struct sc_url
        address; /* where its subcollector takes batches, tcp; of proxies without that role only the host counts */
    uint32_t lane;   /* not 0, different for each */
    uint32_t weight; /* of its share of the batches, 1 to 1000 */
    enum sc_member_state state;
    bool proxy, subcollector;
    struct sc_addr from[SC_CLUSTER_MAX_FROM]; /* its connections may come from these too, beside `address` */
    uint32_t from_count;
};

struct sc_cluster {
    uint64_t version;     /* counted up with each change of the file */
    uint32_t replication; /* copies of each batch, 1 to SC_CLUSTER_MAX_COPIES */
    uint32_t
        format; /* of what members store and lend, 1 to SC_CLUSTER_MAX_FORMAT: a newer one when all are updated */
    struct sc_member *members;
    uint32_t count;
    uint32_t *
        by_lane; /* members by lane; NULL: one made by hand, in which they are looked for one after the other */
};

/* @return SC_OK; SC_NOTFOUND, SC_IO; SC_USAGE with "FILE:LINE: ..."; SC_NOMEM. *out is set only when SC_OK. */
enum sc_status sc_cluster_load(const char *path, struct sc_cluster *out, struct sc_error *err);
enum sc_status sc_cluster_parse(const char *name, const uint8_t *bytes, size_t length, struct sc_cluster *out,
                                struct sc_error *err);
/* Loads the file and finds the member of a name. @return also SC_USAGE when there is none. */
enum sc_status sc_cluster_load_for(const char *path, const char *name, struct sc_cluster *out, uint32_t *self,
                                   struct sc_error *err);
/* @return SC_OK or SC_NOMEM; *out is set only when SC_OK. */
enum sc_status sc_cluster_copy(const struct sc_cluster *cluster, struct sc_cluster *out);
/* Whether both say the same. */
bool sc_cluster_equal(const struct sc_cluster *x, const struct sc_cluster *y);
void sc_cluster_free(struct sc_cluster *cluster);

/* Numbers by which nodes see that their files differ: of the ring (names in order, roles, states, weights), and of all but the version. Not
 * seeded: they are compared between nodes. */
uint64_t sc_cluster_ring_hash(const struct sc_cluster *cluster);
uint64_t sc_cluster_file_hash(const struct sc_cluster *cluster);

/* The member of a name, SC_NO_MEMBER when there is none. */
uint32_t sc_cluster_find(const struct sc_cluster *cluster, const char *name);

/* The member of a lane, SC_NO_MEMBER when it is nobody's. */
uint32_t sc_cluster_find_lane(const struct sc_cluster *cluster, uint32_t lane);

/* The lane number that goes with a name. */
uint32_t sc_cluster_lane(const char *name);

/* As the file spells it. */
const char *sc_member_state_name(enum sc_member_state state);
/* Whether new batches may go to it. */
static inline bool sc_member_takes(const struct sc_member *member)
{
    return member->subcollector && member->state == SC_MEMBER_ACTIVE;
}

/* The member of a lane; of a lane that is nobody's any more, always the same one. The cluster has members. */
uint32_t sc_cluster_home(const struct sc_cluster *cluster, uint32_t lane);
/* Who is to hold a lane as long as it is kept: the first members on the ring from its home that take batches, alive or not. @return
 * as sc_cluster_targets. */
uint32_t sc_cluster_holders(const struct sc_cluster *cluster, uint32_t lane, uint32_t *out);

/*
 * Who is to hold a batch whose home is member `home`: the first subcollectors on the ring from there, itself included, whose
 * `usable` is true, as many as there are copies (at most). @return how many were written to out[SC_CLUSTER_MAX_COPIES].
 */
uint32_t sc_cluster_targets(const struct sc_cluster *cluster, uint32_t home, const bool *usable,
                            uint32_t *out);

#endif
