// SPDX-License-Identifier: BSD-3-Clause
#include "net/lookup.h"

#include "net/socket.h"

#include <pthread.h>
#include <stdlib.h>

struct sc_lookup {
    pthread_mutex_t mutex; /* of what follows; the hosts are the thread's until `done` */
    unsigned owners;
    bool done;
    struct sc_wake *wake;
    uint32_t count;
    struct sc_lookup_host hosts[];
};

static void leave(struct sc_lookup *lookup)
{
    bool last = --lookup->owners == 0;
    pthread_mutex_unlock(&lookup->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&lookup->mutex);
    free(lookup);
}

void sc_lookup_release(struct sc_lookup *lookup)
{
    if (lookup == NULL)
        return;
    pthread_mutex_lock(&lookup->mutex);
    lookup->wake = NULL;
    leave(lookup);
}

static void *run(void *arg)
{
    struct sc_lookup *lookup = arg;
    pthread_setname_np(pthread_self(), "sc-lookup");
    for (uint32_t i = 0; i < lookup->count; i++)
        (void)sc_client_resolve(&lookup->hosts[i].at, &lookup->hosts[i].found, &lookup->hosts[i].err);
    pthread_mutex_lock(&lookup->mutex);
    lookup->done = true;
    if (lookup->wake != NULL)
        sc_wake_up(lookup->wake);
    leave(lookup);
    return NULL;
}

struct sc_lookup *sc_lookup_start(const struct sc_url *hosts, uint32_t count, struct sc_wake *wake)
{
    struct sc_lookup *lookup = calloc(1, sizeof(*lookup) + count * sizeof(lookup->hosts[0]));
    pthread_t thread;
    if (lookup == NULL)
        return NULL;
    pthread_mutex_init(&lookup->mutex, NULL);
    lookup->owners = 2;
    lookup->wake = wake;
    lookup->count = count;
    for (uint32_t i = 0; i < count; i++)
        lookup->hosts[i].at = hosts[i];
    if (pthread_create(&thread, NULL, run, lookup) != 0) {
        pthread_mutex_destroy(&lookup->mutex);
        free(lookup);
        return NULL;
    }
    pthread_detach(thread);
    return lookup;
}

const struct sc_lookup_host *sc_lookup_hosts(struct sc_lookup *lookup)
{
    pthread_mutex_lock(&lookup->mutex);
    bool done = lookup->done;
    pthread_mutex_unlock(&lookup->mutex);
    return done ? lookup->hosts : NULL;
}

uint32_t sc_lookup_addresses(const struct sc_lookup_host *host, struct sc_addr out[SC_CLIENT_ADDRESSES])
{
    uint32_t n = 0;
    uint16_t port;
    for (uint32_t i = 0; i < host->found.count; i++)
        n += sc_socket_address(&host->found.all[i], &out[n], &port);
    return n;
}
