// SPDX-License-Identifier: BSD-3-Clause
/*
 * The collector's status as one JSON object (docs/operations.md explains the counters). Times are RFC 3339
 * strings, counters integers.
 */
#ifndef SC_DAEMON_STATUS_JSON_H
#define SC_DAEMON_STATUS_JSON_H

#include "collect/keeper.h"
#include "collect/queue.h"
#include "collect/receiver.h"
#include "collect/storer.h"
#include "conf/config.h"
#include "daemon/control.h"
#include "daemon/watch.h"
#include "forward/forward.h"
#include "relay/holder.h"
#include "relay/proxy.h"

struct sc_status_source {
    const struct sc_config *config;
    struct sc_receiver *const *receivers;
    uint32_t receiver_count;
    struct sc_places *places;
    struct sc_queue *queue;
    const struct sc_budget *exporter_memory;
    struct sc_forward *forward;
    struct sc_storer *storer; /* NULL in a cluster */
    const struct sc_keeper *keeper;
    /* In a cluster; proxy and holder by role, else NULL. */
    const struct sc_cluster *cluster;
    uint32_t self;
    const struct sc_tls *tls; /* of the link; NULL: plain */
    struct sc_facts *facts;   /* of the members */
    struct sc_proxy *proxy;
    struct sc_holder *holder;
    struct sc_watch *watch;   /* over the store of a node that writes no segments */
    uint64_t started_ms;      /* wall clock */
    uint64_t started_mono_ms; /* monotonic */
};

/* Makes the object, with the first exporters by flows; *out is empty. @return SC_OK or SC_NOMEM. */
enum sc_status sc_status_json(const struct sc_status_source *source, struct sc_control_status *out);

#endif
