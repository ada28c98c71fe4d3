// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/watch.h"

#include "base/clock.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#define LOOK_MS 250u
#define TRIM_MS 10000u

struct sc_watch {
    struct sc_watch_options options;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t wake;
    bool stopping;
    struct sc_watch_view view;
};

/* ---- the lock ---- */

static void note_hold(struct sc_watch *w, enum sc_status status)
{
    pthread_mutex_lock(&w->mutex);
    w->view.taken = status == SC_TAKEN;
    if (status == SC_OK) {
        w->view.wiped++;
        w->view.wiped_ms = sc_clock_wall_ms();
    }
    pthread_mutex_unlock(&w->mutex);
}

static void look_after_hold(struct sc_watch *w)
{
    const struct sc_watch_options *o = &w->options;
    struct sc_error err;
    if (sc_hold_is_there(o->hold, o->store))
        return;
    enum sc_status status = sc_hold_renew(o->hold, o->store, &err);
    note_hold(w, status);
    if (status == SC_OK)
        sc_log(
            &o->log, SC_LOG_ERROR,
            "the store %s was deleted while this process uses it; it is made anew, and what it held is lost "
            "here",
            o->store);
    else
        sc_log_complain(&o->log, SC_LOG_ERROR, "",
                        "the store %s was deleted while this process uses it, and is not made anew: %s",
                        o->store, err.message);
}

/* ---- the socket ---- */

static void look_after_socket(struct sc_watch *w)
{
    const struct sc_watch_options *o = &w->options;
    struct sc_file_id lock = {0};
    struct sc_error err;
    if (sc_control_is_there(o->control))
        return;
    if (o->hold != NULL)
        lock = o->hold->id;
    else
        o->lock_id(o->arg, &lock);
    if (sc_hold_is_at(o->store, &lock) && sc_control_renew(o->control, &err) != SC_OK)
        sc_log_complain(&o->log, SC_LOG_ERROR, "", "%s", err.message);
}

/* ---- memory ---- */

/* What seals, bursts and healing took and freed goes back to the system: else each thread's heap stays as large as it ever was. */
static void give_back_memory(uint64_t *next_ms)
{
    uint64_t now_ms = sc_clock_mono_ms();
    if (now_ms < *next_ms)
        return;
    malloc_trim(0);
    *next_ms = now_ms + TRIM_MS;
}

/* ---- the thread ---- */

/* False: it is the end. */
static bool pause_a_while(struct sc_watch *w)
{
    const struct timespec until = sc_clock_mono_in(LOOK_MS);
    pthread_mutex_lock(&w->mutex);
    if (!w->stopping)
        (void)pthread_cond_timedwait(&w->wake, &w->mutex, &until);
    bool goes_on = !w->stopping;
    pthread_mutex_unlock(&w->mutex);
    return goes_on;
}

static void *run(void *arg)
{
    struct sc_watch *w = arg;
    uint64_t trim_ms = sc_clock_mono_ms() + TRIM_MS;
    pthread_setname_np(pthread_self(), "sc-watch");
    while (pause_a_while(w)) {
        if (w->options.hold != NULL)
            look_after_hold(w);
        look_after_socket(w);
        give_back_memory(&trim_ms);
    }
    return NULL;
}

/* ---- outside ---- */

static void init_shared(struct sc_watch *w)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void free_watch(struct sc_watch *w)
{
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->wake);
    free(w);
}

enum sc_status sc_watch_start(const struct sc_watch_options *options, struct sc_watch **out,
                              struct sc_error *err)
{
    struct sc_watch *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return sc_fail_nomem(err, "the watch over the store");
    w->options = *options;
    init_shared(w);
    int failed = pthread_create(&w->thread, NULL, run, w);
    if (failed == 0) {
        *out = w;
        return SC_OK;
    }
    free_watch(w);
    return sc_fail_errno(err, failed, "cannot start the watch over the store");
}

void sc_watch_look(struct sc_watch *w, struct sc_watch_view *out)
{
    *out = (struct sc_watch_view){0};
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->mutex);
    *out = w->view;
    pthread_mutex_unlock(&w->mutex);
}

void sc_watch_stop(struct sc_watch *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    free_watch(w);
}
