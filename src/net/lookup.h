// SPDX-License-Identifier: BSD-3-Clause
/*
 * The addresses of host names. The name service (all that the system's configuration names: files, DNS and others) is asked in a
 * thread of its own, which may take long and cannot be stopped; so nobody waits for it, also not at the end. The thread owns no
 * more than the question, which it shares with who asked: whoever is last frees it.
 */
#ifndef SC_NET_LOOKUP_H
#define SC_NET_LOOKUP_H

#include "net/client.h"
#include "net/wake.h"

struct sc_lookup_host {
    struct sc_url at;
    struct sc_client_addresses found;
    struct sc_error err; /* when there is none */
};

struct sc_lookup;

/* Asks for the hosts, one after another. `wake` (NULL: none) is woken when all are through; it is to live until the release.
 * @return NULL without memory or thread. */
struct sc_lookup *sc_lookup_start(const struct sc_url *hosts, uint32_t count, struct sc_wake *wake);
/* Of no interest any more. NULL is allowed. */
void sc_lookup_release(struct sc_lookup *lookup);

/* The hosts in the order in which they were given, with what was found; NULL: not yet. They are there until the release. */
const struct sc_lookup_host *sc_lookup_hosts(struct sc_lookup *lookup);
/* The addresses of a host in our own form. @return how many. */
uint32_t sc_lookup_addresses(const struct sc_lookup_host *host, struct sc_addr out[SC_CLIENT_ADDRESSES]);

#endif
