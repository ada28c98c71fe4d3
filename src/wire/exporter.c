// SPDX-License-Identifier: BSD-3-Clause
/* Whom sessions belong to: what is charged to an exporter, its standing, the elements of its own. */
#include "wire/exporter.h"

#include "base/array.h"
#include "base/hash.h"
#include "wire/record.h"

#include <stdlib.h>

#define NEWCOMER_SHARE 8u /* of an established one's: one in so many */
/* Elements that the registry does not know come back when no template was defined with them for so long; who is established may
 * have so many times more of them. */
#define ELEMENT_IDLE_MS      3600000u
#define ESTABLISHED_ELEMENTS 4u

/* ---- lists ---- */

static void unlink_use(struct sc_exporter *e)
{
    struct sc_exporter_list *list = &e->decoder->standings[e->standing];
    *(e->newer != NULL ? &e->newer->older : &list->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &list->oldest) = e->newer;
}

static void link_newest(struct sc_exporter *e)
{
    struct sc_exporter_list *list = &e->decoder->standings[e->standing];
    e->newer = NULL;
    e->older = list->newest;
    *(e->older != NULL ? &e->older->newer : &list->oldest) = e;
    list->newest = e;
}

static void unlink_sibling(struct sc_session *s)
{
    struct sc_exporter *e = s->owner;
    *(s->sibling_newer != NULL ? &s->sibling_newer->sibling_older : &e->newest) = s->sibling_older;
    *(s->sibling_older != NULL ? &s->sibling_older->sibling_newer : &e->oldest) = s->sibling_newer;
}

static void link_newest_sibling(struct sc_session *s)
{
    struct sc_exporter *e = s->owner;
    s->sibling_newer = NULL;
    s->sibling_older = e->newest;
    *(s->sibling_older != NULL ? &s->sibling_older->sibling_newer : &e->oldest) = s;
    e->newest = s;
}

/* ---- accounts ---- */

static void charge(struct sc_exporter *e, size_t more, size_t less)
{
    sc_budget_take(e->decoder->budget, sc_exporter_is_new(e), more);
    sc_budget_give(e->decoder->budget, sc_exporter_is_new(e), less);
    e->bytes = e->bytes + more - less;
}

void sc_exporter_settle(struct sc_session *session)
{
    if (session->owner == NULL || session->bytes == session->charged)
        return;
    charge(session->owner, session->bytes, session->charged);
    session->charged = session->bytes;
}

size_t sc_exporter_share(const struct sc_exporter *e)
{
    return sc_exporter_is_new(e) ? e->share / NEWCOMER_SHARE : e->share;
}

static struct sc_addr network_of(const struct sc_addr *address)
{
    return sc_addr_is_v4(address) ? *address : sc_addr_mask(address, 64);
}

static size_t configured_share(const struct sc_decoder_limits *limits, const struct sc_addr *address)
{
    size_t share = limits->share_bytes;
    unsigned longest = 0;
    for (uint32_t i = 0; i < limits->share_count; i++) {
        const struct sc_budget_share *s = &limits->shares[i];
        struct sc_addr masked = sc_addr_mask(address, s->bits);
        if (s->bits < longest || !sc_addr_equal(&masked, &s->network))
            continue;
        longest = s->bits;
        share = s->bytes;
    }
    return share;
}

/* Of a session that no decoder has. */
size_t sc_session_share(const struct sc_session *session)
{
    struct sc_addr network = network_of(&session->exporter);
    size_t share = configured_share(&session->decoder->limits, &network);
    return session->minutes >= SC_ESTABLISHED_MINUTES ? share : share / NEWCOMER_SHARE;
}

/* ---- standing ---- */

static void set_standing(struct sc_exporter *e, enum sc_standing standing)
{
    size_t bytes = e->bytes;
    unlink_use(e);
    charge(e, 0, bytes);
    e->standing = (uint8_t)standing;
    charge(e, bytes, 0);
    link_newest(e);
}

/* The quarter of the newcomers is never used up by the established. */
static bool may_be_established(const struct sc_exporter *e)
{
    const struct sc_budget *b = e->decoder->budget;
    size_t established = sc_budget_used(b, false) - sc_budget_used(b, true);
    return established + e->bytes <= b->limit - b->limit / SC_BUDGET_NEWCOMERS;
}

/* True: it is established from now on. */
static bool promote(struct sc_exporter *e)
{
    if (e->standing == SC_STRANGER)
        set_standing(e, SC_NEWCOMER);
    if (e->standing == SC_ESTABLISHED || e->minutes < SC_ESTABLISHED_MINUTES || !may_be_established(e))
        return false;
    set_standing(e, SC_ESTABLISHED);
    return true;
}

void sc_exporter_decoded(struct sc_exporter *exporter, uint64_t now_ms)
{
    uint64_t minute = now_ms / 60000;
    if (exporter->minutes != 0 && exporter->minute == minute)
        return;
    exporter->minute = minute;
    exporter->minutes += exporter->minutes < SC_ESTABLISHED_MINUTES;
    if (!promote(exporter))
        return;
    for (struct sc_session *s = exporter->newest; s != NULL; s = s->sibling_older) {
        sc_session_changed(s); /* its record tells it */
        sc_session_note(s);
    }
}

static void restore(struct sc_exporter *exporter, uint8_t minutes)
{
    if (minutes > exporter->minutes)
        exporter->minutes = minutes < SC_ESTABLISHED_MINUTES ? minutes : SC_ESTABLISHED_MINUTES;
    if (exporter->minutes != 0)
        promote(exporter);
}

bool sc_exporter_refuse(struct sc_exporter *e, bool own_share)
{
    struct sc_overrun *o = &e->decoder->overrun;
    o->left_out++;
    o->exporter = e->network;
    o->own_share = own_share;
    e->over_budget++;
    return false;
}

/* ---- life ---- */

static uint64_t hash_of(const struct sc_decoder *d, const struct sc_addr *network)
{
    return sc_hash_pair(sc_load_le64(network->b), sc_load_le64(network->b + 8), d->seed);
}

static struct sc_exporter *find(const struct sc_decoder *d, const struct sc_addr *network)
{
    struct sc_probe p;
    struct sc_roster_entry *e = sc_roster_first(&d->exporters, hash_of(d, network), &p);
    while (e != NULL && !sc_addr_equal(&((struct sc_exporter *)e)->network, network))
        e = sc_roster_next(&d->exporters, &p);
    return (struct sc_exporter *)e;
}

static struct sc_exporter *create(struct sc_decoder *d, const struct sc_addr *network)
{
    struct sc_exporter *e = calloc(1, sizeof(*e));
    if (e == NULL || !sc_roster_add(&d->exporters, &e->entry, hash_of(d, network))) {
        free(e);
        return NULL;
    }
    e->decoder = d;
    e->network = *network;
    e->share = configured_share(&d->limits, network);
    charge(e, sizeof(*e), 0);
    link_newest(e);
    return e;
}

void sc_exporter_release(struct sc_exporter *e)
{
    charge(e, 0, e->bytes);
    free(e->unknown);
    unlink_use(e);
    sc_roster_remove(&e->decoder->exporters, &e->entry);
    free(e);
}

void sc_exporter_tidy(struct sc_exporter *exporter)
{
    if (exporter->newest == NULL && sc_exporter_is_new(exporter))
        sc_exporter_release(exporter);
}

struct sc_exporter *sc_exporter_adopt(struct sc_session *session)
{
    struct sc_addr network = network_of(&session->exporter);
    struct sc_exporter *e = find(session->decoder, &network);
    if (e == NULL)
        e = create(session->decoder, &network);
    if (e == NULL)
        return NULL;
    session->owner = e;
    if (session->used_ms > e->used_ms)
        e->used_ms = session->used_ms;
    link_newest_sibling(session);
    e->streams += sc_session_is_stream(session);
    restore(e, session->minutes);
    return e;
}

void sc_exporter_disown(struct sc_session *session)
{
    charge(session->owner, 0, session->charged);
    session->charged = 0;
    session->owner->streams -= sc_session_is_stream(session);
    unlink_sibling(session);
    session->owner = NULL;
}

void sc_exporter_end(struct sc_session *session)
{
    if (session->owner != NULL)
        session->owner->streams -= sc_session_is_stream(session);
    session->ended = session->transport != SC_TRANSPORT_UDP;
}

void sc_exporter_use(struct sc_session *session, uint64_t now_ms)
{
    struct sc_exporter *e = session->owner;
    session->used_ms = e->used_ms = now_ms;
    if (e->newest != session) {
        unlink_sibling(session);
        link_newest_sibling(session);
    }
    if (e->newer != NULL) {
        unlink_use(e);
        link_newest(e);
    }
}

void sc_decoder_note_dropped(struct sc_decoder *decoder, const struct sc_addr *exporter, uint64_t records)
{
    struct sc_addr network = network_of(exporter);
    struct sc_exporter *e = find(decoder, &network);
    if (e != NULL)
        e->dropped += records;
}

/* ---- unknown elements ---- */

static uint64_t element_key(const struct sc_wire_field *field, uint32_t instance)
{
    return (uint64_t)field->pen << 32 | (uint64_t)field->id << 16 | instance;
}

static uint32_t element_index(const struct sc_exporter *e, uint64_t key)
{
    return sc_array_below(e->unknown, sizeof(*e->unknown), e->unknown_count, key);
}

/* Elements that no template was defined with for long make room for others. */
static void forget_elements(struct sc_exporter *e)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < e->unknown_count; i++) {
        if (e->used_ms < e->unknown[i].used_ms + ELEMENT_IDLE_MS)
            e->unknown[kept++] = e->unknown[i];
    }
    e->unknown_count = kept;
}

static bool has_place(struct sc_exporter *e)
{
    uint32_t most =
        e->decoder->limits.max_unknown_columns * (sc_exporter_is_new(e) ? 1 : ESTABLISHED_ELEMENTS);
    if (e->unknown_count >= most)
        forget_elements(e);
    if (e->unknown_count >= most)
        return sc_exporter_refuse(e, true);
    uint32_t before = e->unknown_capacity;
    if (!sc_array_reserve(e->unknown, e->unknown_capacity, e->unknown_count + 1))
        return false;
    charge(e, (e->unknown_capacity - before) * sizeof(*e->unknown), 0);
    return true;
}

bool sc_exporter_may_bring(struct sc_session *session, const struct sc_wire_field *field, uint32_t instance)
{
    struct sc_exporter *e = session->owner;
    uint64_t key = element_key(field, instance);
    if (e == NULL)
        return true; /* of a saved state: it was judged then */
    uint32_t at = element_index(e, key);
    if (at == e->unknown_count || e->unknown[at].key != key) {
        if (!has_place(e))
            return false;
        at = element_index(e, key); /* some may have gone */
        memmove(e->unknown + at + 1, e->unknown + at, (e->unknown_count - at) * sizeof(*e->unknown));
        e->unknown_count++;
    }
    e->unknown[at] = (struct sc_unknown_element){.key = key, .used_ms = e->used_ms};
    return true;
}

void sc_decoder_take_overrun(struct sc_decoder *decoder, struct sc_overrun *out)
{
    *out = decoder->overrun;
    decoder->overrun = (struct sc_overrun){0};
}
