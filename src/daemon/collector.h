// SPDX-License-Identifier: BSD-3-Clause
/*
 * The daemon on one node: receivers, the queue, then the store thread or, in a cluster, the proxy and the holder by the node's roles;
 * destinations of others, the control socket, signals.
 *
 * SIGTERM and SIGINT end it: sockets are drained once, all is made durable, live files stay live. SIGHUP reads the configuration
 * again and applies what can change (docs/operations.md), in a cluster the membership file too.
 */
#ifndef SC_DAEMON_COLLECTOR_H
#define SC_DAEMON_COLLECTOR_H

#include "base/log.h"
#include "conf/config.h"

struct sc_collector_options {
    FILE *stream; /* log lines, and "listening udp ADDRESS:PORT" for each listener when ready */
    /* Makes the configuration: at the start and at each SIGHUP. *config is empty; on SC_OK the collector
     * frees it. */
    enum sc_status (*configure)(void *arg, struct sc_config *config, struct sc_error *err);
    void *arg;
};

/* Runs until a signal ends it. @return SC_OK; SC_USAGE: the configuration; else what kept it from running or
 * storing. */
enum sc_status sc_collector_run(const struct sc_collector_options *options, struct sc_error *err);

#endif
