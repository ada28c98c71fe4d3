// SPDX-License-Identifier: BSD-3-Clause
#include "relay/lookup.h"

#include "net/client.h"
#include "net/socket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

void sc_lookup_release(struct sc_lookup *lookup)
{
    if (lookup != NULL && atomic_fetch_sub(&lookup->owners, 1) == 1)
        free(lookup);
}

static void ask(struct sc_lookup_host *host)
{
    struct addrinfo *found;
    if (sc_client_resolve(&host->at, &found, NULL) != SC_OK)
        return;
    for (const struct addrinfo *a = found; a != NULL && host->count < SC_GATE_FOUND_MOST; a = a->ai_next) {
        struct sockaddr_storage at = {0};
        uint16_t port;
        memcpy(&at, a->ai_addr, a->ai_addrlen);
        host->count += sc_socket_address(&at, &host->found[host->count], &port);
    }
    freeaddrinfo(found);
}

static void *run(void *arg)
{
    struct sc_lookup *lookup = arg;
    pthread_setname_np(pthread_self(), "sc-lookup");
    for (uint32_t i = 0; i < lookup->count; i++)
        ask(&lookup->hosts[i]);
    atomic_store(&lookup->done, true);
    sc_lookup_release(lookup);
    return NULL;
}

static struct sc_lookup *gather(const struct sc_cluster *cluster)
{
    struct sc_lookup *lookup = calloc(1, sizeof(*lookup) + cluster->count * sizeof(lookup->hosts[0]));
    for (uint32_t i = 0; i < cluster->count && lookup != NULL; i++) {
        const struct sc_member *m = &cluster->members[i];
        if (m->address.numeric)
            continue;
        struct sc_lookup_host *host = &lookup->hosts[lookup->count++];
        memcpy(host->member, m->name, sizeof(host->member));
        host->at = m->address;
    }
    return lookup;
}

struct sc_lookup *sc_lookup_start(const struct sc_cluster *cluster)
{
    struct sc_lookup *lookup = gather(cluster);
    pthread_t thread;
    if (lookup == NULL || lookup->count == 0) {
        free(lookup);
        return NULL;
    }
    atomic_init(&lookup->owners, 2);
    if (pthread_create(&thread, NULL, run, lookup) != 0) {
        free(lookup);
        return NULL;
    }
    pthread_detach(thread);
    return lookup;
}
