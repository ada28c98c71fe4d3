// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which lanes a subcollector takes, and how their folders under STORE/.replica are called: lanes of members; of those that have left,
 * while this process has known them or a folder of theirs is there; and a few others, SC_LANES_OTHER in all, since a proxy may know
 * of a new member sooner than this node, and an outbox may hold batches of one that left long ago.
 *
 * Malloc; one thread. Zero-initialise.
 */
#ifndef SC_RELAY_LANE_NAMES_H
#define SC_RELAY_LANE_NAMES_H

#include "conf/cluster.h"

#define SC_LANES_OTHER     16u
#define SC_LANE_FOLDER_MAX SC_CLUSTER_NAME_MAX

struct sc_lane_name {
    uint32_t lane;
    bool is_other;                   /* nobody has a name for it, and no folder was there */
    char folder[SC_LANE_FOLDER_MAX]; /* the member's name, or "lane-HEX" */
};

struct sc_lane_names {
    struct sc_lane_name *list; /* of those that are no members */
    uint32_t count;
};

void sc_lane_names_free(struct sc_lane_names *names);

/* What lies under STORE/.replica, whoever put it there. */
void sc_lane_names_load(struct sc_lane_names *names, const char *store);
/* The members that `after` has not got any more go on under their names. */
void sc_lane_names_keep(struct sc_lane_names *names, const struct sc_cluster *before,
                        const struct sc_cluster *after);

/* Whether the lane is taken. One of the few others is from now on. */
bool sc_lane_names_admit(struct sc_lane_names *names, const struct sc_cluster *cluster, uint32_t lane);
/* The folder of a lane's name. */
void sc_lane_names_folder(const struct sc_lane_names *names, const struct sc_cluster *cluster, uint32_t lane,
                          char out[SC_LANE_FOLDER_MAX]);

#endif
