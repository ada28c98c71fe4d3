// SPDX-License-Identifier: BSD-3-Clause
/*
 * What this node tells the other members of itself, once a second, and what the log says when theirs differ (relay/facts.h). The main
 * thread's.
 */
#ifndef SC_DAEMON_OWN_FACTS_H
#define SC_DAEMON_OWN_FACTS_H

#include "base/log.h"
#include "relay/facts.h"
#include "relay/holder.h"

struct sc_own_facts {
    struct sc_facts *facts;
    uint64_t instance, next_ms;
    uint64_t told; /* hash of the sentences that the log has told last */
};

/* Of the node, as it is now; `holder` is NULL when it is no subcollector. */
struct sc_own_facts_source {
    const struct sc_cluster *cluster;
    uint32_t self;
    uint32_t window_s;
    struct sc_holder *holder;
    const struct sc_log *log;
};

/* Zero-initialised before. @return SC_OK or SC_NOMEM. */
enum sc_status sc_own_facts_open(struct sc_own_facts *own);
/* A few times a second: what others say of the time, and each second what this node tells. */
void sc_own_facts_tick(struct sc_own_facts *own, const struct sc_own_facts_source *source);
void sc_own_facts_close(struct sc_own_facts *own);

#endif
