// SPDX-License-Identifier: BSD-3-Clause
/* The first and the last line of a collector in the log: who it is, and what came of it. */
#ifndef SC_DAEMON_ANNOUNCE_H
#define SC_DAEMON_ANNOUNCE_H

#include "base/log.h"
#include "conf/cluster.h"
#include "conf/config.h"

struct sc_announce {
    const struct sc_config *config;
    const struct sc_cluster *cluster; /* NULL: a single node; else the next two are its own */
    uint32_t self;
    bool tls;
};

/* What this process did, all since its start. */
struct sc_announce_sums {
    bool stores, accepts;     /* the node's part; of the next, those of a part that it has not are 0 */
    uint64_t flows, options;  /* stored */
    uint64_t accepted, waits; /* records, as a proxy; of which stay in the outbox */
    uint64_t lost;            /* records that were decoded and then dropped, or refused for good */
};

void sc_announce_begin(const struct sc_announce *who, const struct sc_log *log);
/* `why`: what ended it, such as SIGTERM. */
void sc_announce_end(const char *why, const struct sc_announce_sums *sums, const struct sc_log *log);

#endif
