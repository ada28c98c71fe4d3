// SPDX-License-Identifier: BSD-3-Clause
/*
 * The network that generated flows cross: hosts in internal and external prefixes with Zipf popularity, and a
 * routing table from which AS, prefix length, next hop and interface of an address follow. All of it follows
 * from the seed.
 *
 * Immutable once created; any thread may read it. Memory is malloc, about 60 bytes a host.
 */
#ifndef SC_EXPORT_NETWORK_H
#define SC_EXPORT_NETWORK_H

#include "base/addr.h"
#include "export/random.h"

struct sc_network_prefix {
    struct sc_addr base[2];     /* IPv4, IPv6 */
    struct sc_addr next_hop[2]; /* towards the prefix */
    uint8_t length[2];
    uint16_t interface; /* of the router, towards the prefix */
    uint32_t as;
};

struct sc_network_host {
    struct sc_addr address[2]; /* IPv4, IPv6 */
    uint32_t prefix;
};

/* Draws an index by weight in constant time (alias method). */
struct sc_alias {
    uint32_t count;
    uint32_t *threshold; /* stay where the 32 bit draw is below */
    uint32_t *other;
};

struct sc_network {
    struct sc_network_prefix *prefixes; /* internal ones first */
    uint32_t internal_prefixes;
    uint32_t external_prefixes;
    struct sc_network_host *hosts; /* internal ones first, the most popular of each side first */
    uint32_t internal_hosts;
    uint32_t external_hosts;
    struct sc_alias internal_popularity;
    struct sc_alias external_popularity;
};

#define SC_NETWORK_INTERNAL_PREFIXES 36u
#define SC_NETWORK_HOSTS_MIN         64u
#define SC_NETWORK_HOSTS_MAX         10000000u

/* One host in five is internal. @return NULL without memory; `hosts` is within the bounds above. */
struct sc_network *sc_network_create(uint64_t seed, uint32_t hosts);
void sc_network_free(struct sc_network *network);

/* A host of one side by popularity. */
const struct sc_network_host *sc_network_internal(const struct sc_network *network, struct sc_random *random);
const struct sc_network_host *sc_network_external(const struct sc_network *network, struct sc_random *random);

/* A server of a service: popularity as before, but each service has an order of its own, and `shift` halves
 * the number of servers each time. */
const struct sc_network_host *sc_network_server(const struct sc_network *network, struct sc_random *random,
                                                bool internal, uint32_t service, unsigned shift);

static inline const struct sc_network_prefix *sc_network_prefix_of(const struct sc_network *network,
                                                                   const struct sc_network_host *host)
{
    return &network->prefixes[host->prefix];
}

#endif
