// SPDX-License-Identifier: BSD-3-Clause
/*
 * A subcollector's end of the link: takes batches from proxies, acknowledges those that are durable, and beats every 200 ms. Its
 * thread touches no disk; the lane store's does.
 */
#ifndef SC_COLLECT_HOLDER_H
#define SC_COLLECT_HOLDER_H

#include "collect/lane_store.h"

struct sc_holder;

struct sc_holder_options {
    struct sc_lane_store_options store; /* `answered` and `arg` are set by the holder */
    struct sc_url listen;               /* a numeric host */
};

struct sc_holder_stats {
    struct sc_lane_store_stats store;
    uint32_t connections;
    uint64_t malformed; /* connections closed because what came made no sense */
};

/* @return SC_OK, or what keeps it from listening or storing. */
enum sc_status sc_holder_start(const struct sc_holder_options *options, struct sc_holder **out,
                               struct sc_error *err);
void sc_holder_get_stats(struct sc_holder *holder, struct sc_holder_stats *out);
/* Other members (copied); its own address and roles stay. @return SC_OK or SC_NOMEM. */
enum sc_status sc_holder_set_cluster(struct sc_holder *holder, const struct sc_cluster *cluster);
/* Soon. Any thread. */
void sc_holder_set_log_level(struct sc_holder *holder, enum sc_log_level level);
void sc_holder_set_retention(struct sc_holder *holder, const struct sc_retention *retention);
/* Makes durable what came, and frees. NULL is allowed. */
void sc_holder_stop(struct sc_holder *holder);

#endif
