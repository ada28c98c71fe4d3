// SPDX-License-Identifier: BSD-3-Clause
/*
 * How far the members of a cluster have expired, as this subcollector has last heard of each (relay/facts.h), and who is to hold what by
 * the membership file: kept beside the segments (store/horizons.h), so that readers, and this node after a start, know it of members that
 * are away too. The file is written when something in it has changed.
 *
 * Malloc; one thread. Zero-initialise; sc_horizon_keeper_free releases.
 */
#ifndef SC_RELAY_HORIZON_KEEPER_H
#define SC_RELAY_HORIZON_KEEPER_H

#include "conf/cluster.h"
#include "relay/facts.h"
#include "store/horizons.h"

struct sc_horizon_keeper {
    struct sc_horizons known; /* what is in the file */
};

/* Where it is kept, and whence it comes. */
struct sc_horizon_sources {
    const char *store;
    struct sc_io *io; /* NULL: the system's */
    const struct sc_cluster *cluster;
    uint32_t node;          /* the lane of this member */
    uint64_t own_ms;        /* its horizon */
    struct sc_facts *facts; /* NULL: of others nothing is heard */
};

/* What an earlier process left; of what can't be read, that nothing is known of others. */
void sc_horizon_keeper_load(struct sc_horizon_keeper *keeper, const char *store);
void sc_horizon_keeper_free(struct sc_horizon_keeper *keeper);
/* The file is gone: it is to be written again. */
void sc_horizon_keeper_rewrite(struct sc_horizon_keeper *keeper);
/* Each second. @return SC_OK; what sc_horizons_write says: it is tried again with the next. */
enum sc_status sc_horizon_keeper_tick(struct sc_horizon_keeper *keeper,
                                      const struct sc_horizon_sources *sources, struct sc_error *err);
/* From here on each lane that this node is to hold is kept by another one who is, too, as they have told since `since_ms`, of the monotonic
 * clock. UINT64_MAX: nobody else is to hold one of them, or has told. */
uint64_t sc_horizon_keeper_others(const struct sc_horizon_sources *sources, uint64_t since_ms);
/* Windows before this are over for all members. */
uint64_t sc_horizon_keeper_least(const struct sc_horizon_keeper *keeper);

#endif
