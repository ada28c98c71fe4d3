// SPDX-License-Identifier: BSD-3-Clause
#include "forward/forward.h"

#include "base/array.h"
#include "net/client.h"

#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

struct destination {
    struct sc_config_forward what;
    struct sc_forward_peer *peer;
};

struct sc_forward {
    struct sc_log log;
    pthread_mutex_t mutex; /* what follows; held for moments only */
    struct destination *all;
    uint32_t count;
    uint32_t turn;                    /* of the round-robin: where to look first */
    struct sc_forward_peer **leaving; /* closed, not freed yet */
    uint32_t leaving_count;
};

struct sc_forward *sc_forward_create(const struct sc_log *log)
{
    struct sc_forward *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    f->log = *log;
    pthread_mutex_init(&f->mutex, NULL);
    return f;
}

/* ---- offering ---- */

/* The next one of the round-robin that will do: up and with room, or with room; count: none. */
static uint32_t next_of_round(const struct sc_forward *f, size_t memory, bool up)
{
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t at = (f->turn + i) % f->count;
        const struct destination *d = &f->all[at];
        if (d->what.round_robin && sc_forward_peer_has_room(d->peer, memory) &&
            (!up || sc_forward_peer_is_up(d->peer)))
            return at;
    }
    return f->count;
}

static uint32_t whose_turn(const struct sc_forward *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->all[(f->turn + i) % f->count].what.round_robin)
            return (f->turn + i) % f->count;
    return f->count;
}

static void offer_in_turn(struct sc_forward *f, struct sc_parcel *parcel, size_t memory)
{
    uint32_t to = next_of_round(f, memory, true);
    if (to == f->count)
        to = next_of_round(f, memory, false);
    if (to == f->count)
        to = whose_turn(f);
    if (to == f->count)
        return;
    sc_forward_peer_offer(f->all[to].peer, parcel, memory);
    f->turn = to + 1;
}

void sc_forward_offer(void *forward, struct sc_parcel *parcel)
{
    struct sc_forward *f = forward;
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->mutex);
    size_t memory = f->count == 0 ? 0 : sc_batch_memory(parcel->batch);
    for (uint32_t i = 0; i < f->count; i++)
        if (!f->all[i].what.round_robin)
            sc_forward_peer_offer(f->all[i].peer, parcel, memory);
    if (f->count != 0)
        offer_in_turn(f, parcel, memory);
    pthread_mutex_unlock(&f->mutex);
}

/* ---- the list ---- */

static bool same_host(const struct sc_url *x, const struct sc_url *y)
{
    if (x->numeric || y->numeric)
        return x->numeric && y->numeric && sc_addr_equal(&x->address, &y->address);
    return strcasecmp(x->host, y->host) == 0;
}

static bool same_destination(const struct sc_config_forward *x, const struct sc_config_forward *y)
{
    return x->to.scheme == y->to.scheme && x->to.port == y->to.port && x->protocol == y->protocol &&
           same_host(&x->to, &y->to);
}

/* Takes the peer of the destination out of the list, if there is one. */
static struct sc_forward_peer *take_peer(struct destination *all, uint32_t count,
                                         const struct sc_config_forward *what)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sc_forward_peer *peer = all[i].peer;
        if (peer != NULL && same_destination(&all[i].what, what)) {
            all[i].peer = NULL;
            return peer;
        }
    }
    return NULL;
}

static enum sc_status start_peer(const struct sc_forward *f, const struct sc_config_forward *what,
                                 uint64_t memory, struct sc_forward_peer **out, struct sc_error *err)
{
    const struct sc_forward_peer_options options = {.to = what->to,
                                                    .protocol = (enum sc_export_protocol)what->protocol,
                                                    .limit_bytes = memory,
                                                    .log = f->log};
    return sc_forward_peer_start(&options, out, err);
}

static void free_done(struct sc_forward *f)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < f->leaving_count; i++) {
        if (sc_forward_peer_is_done(f->leaving[i]))
            sc_forward_peer_free(f->leaving[i]);
        else
            f->leaving[left++] = f->leaving[i];
    }
    f->leaving_count = left;
}

/* Closes the peers that nobody took. There is room for them in `leaving`. */
static void let_go(struct sc_forward *f, struct destination *old, uint32_t count, uint64_t drain_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        if (old[i].peer == NULL)
            continue;
        sc_forward_peer_close(old[i].peer, drain_ms);
        f->leaving[f->leaving_count++] = old[i].peer;
    }
}

static bool reserve_leaving(struct sc_forward *f)
{
    return sc_array_more(f->leaving, f->leaving_count, f->count);
}

/* Fills `fresh` with the destinations of the configuration; those that cannot be started are left out. */
static enum sc_status fill(struct sc_forward *f, const struct sc_config *config, struct destination *fresh,
                           uint32_t *count, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < config->forward_count; i++) {
        struct destination *d = &fresh[*count];
        d->what = config->forward[i];
        d->peer = take_peer(f->all, f->count, &d->what);
        if (d->peer != NULL)
            sc_forward_peer_set_limit(d->peer, config->forward_memory);
        else if (start_peer(f, &d->what, config->forward_memory, &d->peer, err) != SC_OK)
            status = err != NULL ? err->status : SC_IO;
        *count += d->peer != NULL;
    }
    return status;
}

enum sc_status sc_forward_apply(struct sc_forward *f, const struct sc_config *config, struct sc_error *err)
{
    struct destination *fresh = calloc((size_t)config->forward_count + 1, sizeof(*fresh));
    uint32_t count = 0;
    if (fresh == NULL)
        return sc_fail_nomem(err, "the destinations");
    pthread_mutex_lock(&f->mutex);
    free_done(f);
    if (!reserve_leaving(f)) {
        pthread_mutex_unlock(&f->mutex);
        free(fresh);
        return sc_fail_nomem(err, "the destinations");
    }
    enum sc_status status = fill(f, config, fresh, &count, err);
    let_go(f, f->all, f->count, SC_FORWARD_DRAIN_MS);
    free(f->all);
    f->all = fresh;
    f->count = count;
    f->turn = 0;
    pthread_mutex_unlock(&f->mutex);
    return status;
}

enum sc_status sc_forward_get(struct sc_forward *f, struct sc_forward_view **views, uint32_t *count)
{
    pthread_mutex_lock(&f->mutex);
    *count = f->count;
    *views = calloc((size_t)f->count + 1, sizeof(**views));
    for (uint32_t i = 0; i < f->count && *views != NULL; i++) {
        sc_forward_peer_get(f->all[i].peer, &(*views)[i]);
        (*views)[i].round_robin = f->all[i].what.round_robin;
    }
    pthread_mutex_unlock(&f->mutex);
    return *views != NULL ? SC_OK : SC_NOMEM;
}

/* ---- the end ---- */

void sc_forward_close(struct sc_forward *f, uint64_t drain_ms)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->mutex);
    for (uint32_t i = 0; i < f->count; i++)
        sc_forward_peer_close(f->all[i].peer, drain_ms);
    for (uint32_t i = 0; i < f->leaving_count; i++)
        sc_forward_peer_close(f->leaving[i], drain_ms);
    pthread_mutex_unlock(&f->mutex);
}

void sc_forward_free(struct sc_forward *f)
{
    if (f == NULL)
        return;
    for (uint32_t i = 0; i < f->count; i++)
        sc_forward_peer_free(f->all[i].peer);
    for (uint32_t i = 0; i < f->leaving_count; i++)
        sc_forward_peer_free(f->leaving[i]);
    pthread_mutex_destroy(&f->mutex);
    free(f->all);
    free(f->leaving);
    free(f);
}

/* ---- a loop ---- */

static bool is_any(const struct sc_addr *a)
{
    static const struct sc_addr any_v6;
    const struct sc_addr any_v4 = sc_addr_v4(0);
    return sc_addr_equal(a, &any_v6) || sc_addr_equal(a, &any_v4);
}

static bool reaches(const struct sc_url *to, const struct sc_url *listener)
{
    struct sc_addr address = to->address;
    if (to->scheme != listener->scheme || to->port != listener->port)
        return false;
    if (!to->numeric && strcasecmp(to->host, "localhost") != 0)
        return false;
    if (!to->numeric)
        address = sc_addr_v4(0x7f000001);
    return is_any(&listener->address) ? sc_client_is_local(&address)
                                      : sc_addr_equal(&address, &listener->address);
}

enum sc_status sc_forward_check(const struct sc_config *config, struct sc_error *err)
{
    for (uint32_t i = 0; i < config->forward_count; i++) {
        for (uint32_t k = 0; k < config->listener_count; k++) {
            char name[SC_URL_TEXT_MAX];
            if (!reaches(&config->forward[i].to, &config->listeners[k]))
                continue;
            sc_url_format(&config->forward[i].to, name);
            return sc_fail(err, SC_USAGE,
                           "forward: %s is a listener of this collector: its flows would go round for ever",
                           name);
        }
    }
    return SC_OK;
}
