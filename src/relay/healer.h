// SPDX-License-Identifier: BSD-3-Clause
/*
 * Heals a subcollector: pulls what it ought to hold and others do. A node ought to hold the lanes for which it is among the first
 * members on the ring (sc_cluster_holders), as far back as its retention would keep now. So a node that was away, a wiped or replaced
 * disk, a new member, one that leaves and more copies than before are the same case: batches that another one holds and this one lacks.
 *
 * In turn it asks each member that shares a lane with it, and one of the others, for digests of windows that are over; where they
 * differ, for the batches; and pulls the row groups with those that it lacks, newest windows first. Each is verified, and stored as
 * batches are (sc_lane_store_heal): durable before the next look finds it here. What comes twice does no harm. Where all is the same,
 * a look is one question and one answer.
 *
 * When nothing lacks, and all that share a lane were asked, a horizon that was set too far goes back to what is held (sc_lane_store_is_whole).
 *
 * It gives way: SC_HEALER_RATE bytes a second unless it is hurried, nothing while the lane store is behind, nothing where retention by
 * size would delete it again. What fails is tried again after 2, 4, 8 s ... 10 min.
 *
 * A thread of its own, which may wait for the disk and the network.
 */
#ifndef SC_RELAY_HEALER_H
#define SC_RELAY_HEALER_H

#include "relay/lane_store.h"
#include "relay/lender.h"

#include "net/tls.h"

#define SC_HEALER_EVERY_MS  10000u
#define SC_HEALER_SETTLE_MS 5000u /* after its end a window is left to the proxies */
#define SC_HEALER_RATE      (20u << 20)

struct sc_healer;

struct sc_healer_options {
    const struct sc_cluster *cluster;     /* copied */
    uint32_t self;                        /* member */
    struct sc_tls *tls;                   /* NULL: plain */
    const struct sc_reference *reference; /* the time by the other members; NULL: nobody tells it */
    struct sc_retention retention;
    struct sc_lane_store *store; /* these outlive it */
    struct sc_lender *lender;
    struct sc_log log;
};

struct sc_healer_stats {
    uint64_t rounds; /* done */
    bool hurried;
    uint64_t lacking_batches, lacking_windows; /* that others hold; as far as is known */
    uint64_t lacking_since_ms;                 /* wall clock; 0: nothing lacks */
    /* Wall clock: when nothing lacked last, and all that share a lane were asked; 0 again with other members. */
    uint64_t whole_ms;
    uint64_t whole_to_ms;            /* of windows that ended by then */
    uint64_t groups, batches, bytes; /* pulled since the start */
    uint64_t failed;                 /* row groups that could not be had, or stored */
    char from[SC_CLUSTER_NAME_MAX];  /* whom it asks now */
    char problem[192];               /* why it did not go on; empty: it did */
};

/* NULL with *err: no memory, descriptors or thread. */
struct sc_healer *sc_healer_start(const struct sc_healer_options *options, struct sc_error *err);
void sc_healer_stop(struct sc_healer *healer); /* NULL is allowed */

/* Takes effect with the next member that is asked. Any thread. @return SC_OK or SC_NOMEM. */
enum sc_status sc_healer_set_cluster(struct sc_healer *healer, const struct sc_cluster *cluster,
                                     uint32_t self);
void sc_healer_set_tls(struct sc_healer *healer, struct sc_tls *tls);
void sc_healer_set_retention(struct sc_healer *healer, const struct sc_retention *retention);

/* Looks at once, at everybody, and pulls as fast as it can until nothing lacks. Any thread. */
void sc_healer_hurry(struct sc_healer *healer);
void sc_healer_get_stats(struct sc_healer *healer, struct sc_healer_stats *out);

#endif
