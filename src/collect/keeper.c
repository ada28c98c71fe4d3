// SPDX-License-Identifier: BSD-3-Clause
#include "collect/keeper.h"

#include "base/clock.h"
#include "collect/templates.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sc_keeper {
    const char *store;
    struct sc_receiver *const *receivers;
    uint32_t count;
    struct sc_log log;
    uint64_t generations; /* of what was saved or is being saved, summed over the receivers */
    struct sc_buf *states;
    pthread_t thread;
    bool running;      /* the thread is to be joined */
    atomic_bool ready; /* it is at its end */
    bool failed;       /* what it did was in vain; read after the joining */
};

struct sc_keeper *sc_keeper_create(const char *store, struct sc_receiver *const *receivers, uint32_t count,
                                   const struct sc_log *log)
{
    struct sc_keeper *k = calloc(1, sizeof(*k));
    struct sc_buf *states = calloc((size_t)count + 1, sizeof(*states));
    if (k == NULL || states == NULL) {
        free(k);
        free(states);
        return NULL;
    }
    *k = (struct sc_keeper){
        .store = store, .receivers = receivers, .count = count, .log = *log, .states = states};
    return k;
}

void sc_keeper_load(struct sc_keeper *k)
{
    struct sc_error err;
    for (uint32_t i = 0; i < k->count; i++) {
        if (sc_templates_load(k->store, sc_receiver_decoder(k->receivers[i]), sc_clock_wall_ms(), &err) ==
            SC_OK)
            continue;
        sc_log(&k->log, SC_LOG_WARNING, "saved templates are not used: %s", err.message);
        return;
    }
}

static void *write_states(void *arg)
{
    struct sc_keeper *k = arg;
    struct sc_error err;
    k->failed = sc_templates_save(k->store, k->states, k->count, NULL, &err) != SC_OK;
    if (k->failed)
        sc_log(&k->log, SC_LOG_WARNING, "template state: %s", err.message);
    atomic_store(&k->ready, true);
    return NULL;
}

static void join(struct sc_keeper *k)
{
    if (!k->running)
        return;
    pthread_join(k->thread, NULL);
    k->running = false;
    if (k->failed)
        k->generations = 0; /* try again */
}

/* False: there is nothing new, or no memory. */
static bool gather(struct sc_keeper *k)
{
    uint64_t generations = 0, generation;
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < k->count && status == SC_OK; i++) {
        sc_buf_clear(&k->states[i]);
        status = sc_receiver_get_templates(k->receivers[i], &k->states[i], &generation);
        generations += generation;
    }
    if (status != SC_OK) {
        sc_log(&k->log, SC_LOG_WARNING, "template state: out of memory");
        return false;
    }
    bool changed = generations != k->generations;
    k->generations = generations;
    return changed;
}

void sc_keeper_save(struct sc_keeper *k)
{
    if (k->running && !atomic_load(&k->ready))
        return;
    join(k);
    if (!gather(k))
        return;
    atomic_store(&k->ready, false);
    k->running = pthread_create(&k->thread, NULL, write_states, k) == 0;
    if (!k->running)
        write_states(k);
}

void sc_keeper_finish(struct sc_keeper *k)
{
    if (k == NULL)
        return;
    join(k);
    if (gather(k))
        write_states(k);
    for (uint32_t i = 0; i < k->count; i++)
        sc_buf_free(&k->states[i]);
    free(k->states);
    free(k);
}
