// SPDX-License-Identifier: BSD-3-Clause
/*
 * The addresses of members whose `address` is a host name. The name service is asked in a thread of its own, which may take long;
 * nobody waits for it, also not at the end.
 */
#ifndef SC_RELAY_LOOKUP_H
#define SC_RELAY_LOOKUP_H

#include "relay/gate.h"

#include <stdatomic.h>

struct sc_lookup_host {
    char member[SC_CLUSTER_NAME_MAX];
    struct sc_url at;
    uint32_t count; /* of the addresses found */
    struct sc_addr found[SC_GATE_FOUND_MOST];
};

struct sc_lookup {
    atomic_uint owners;
    atomic_bool done; /* the hosts may be read */
    uint32_t count;
    struct sc_lookup_host hosts[];
};

/* Asks for all names. NULL: there are none, or no memory or thread. */
struct sc_lookup *sc_lookup_start(const struct sc_cluster *cluster);
/* NULL is allowed. */
void sc_lookup_release(struct sc_lookup *lookup);

#endif
