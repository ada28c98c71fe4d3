// SPDX-License-Identifier: BSD-3-Clause
/*
 * Who may hold how much (DESIGN section 3a). All state that exporters cause, sessions with their domains, templates, names and
 * waiting sets, is charged to its exporter and, through it, to one pool.
 *
 * - An established exporter may hold its share; a newcomer, or a stranger, an eighth of it.
 * - Newcomers and strangers together may hold a quarter of the pool.
 * - Who needs more than its share gets room from its own sessions that were idle for QUIET_MS, the least recently used first.
 * - When the pool has no room, strangers go, the least recently used first; then newcomers that were idle for QUIET_MS, and for an
 *   established exporter any newcomer. So the established never go, and as many newcomers as have room keep it while they send:
 *   one more is refused, and the others do not suffer.
 * - Elements that the registry does not know are a budget of their own, since each is a column: max_unknown_columns of them.
 * - TCP and files send their templates once: who has an open stream does not go.
 *
 * What is charged is settled after each message; what a message needs is asked for before it is taken.
 */
#include "wire/decoder_internal.h"

#include "base/array.h"
#include "base/hash.h"

#include <stdlib.h>

#define QUIET_MS       10000u
#define NEWCOMER_SHARE 8u /* of an established one's: one in so many */
/* Elements that the registry does not know come back when no template was defined with them for so long; who is established may
 * have so many times more of them. */
#define ELEMENT_IDLE_MS      3600000u
#define ESTABLISHED_ELEMENTS 4u
#define TEMPLATES_SHARE      4u /* of any share, names leave one in so many to templates */

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

static bool is_new(const struct sc_exporter *e)
{
    return e->standing != SC_ESTABLISHED;
}

static void charge(struct sc_exporter *e, size_t more, size_t less)
{
    sc_budget_take(e->decoder->budget, is_new(e), more);
    sc_budget_give(e->decoder->budget, is_new(e), less);
    e->bytes = e->bytes + more - less;
}

void sc_exporter_settle(struct sc_session *session)
{
    if (session->owner == NULL || session->bytes == session->charged)
        return;
    charge(session->owner, session->bytes, session->charged);
    session->charged = session->bytes;
}

static size_t share_of(const struct sc_exporter *e)
{
    return is_new(e) ? e->share / NEWCOMER_SHARE : e->share;
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
static size_t own_share(const struct sc_session *session, const struct sc_decoder_limits *limits)
{
    struct sc_addr network = network_of(&session->exporter);
    size_t share = configured_share(limits, &network);
    return session->minutes >= SC_ESTABLISHED_MINUTES ? share : share / NEWCOMER_SHARE;
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

void sc_exporter_destroy(struct sc_exporter *e)
{
    struct sc_decoder *d = e->decoder;
    while (e->newest != NULL)
        sc_session_remove(d, e->newest);
    charge(e, 0, e->bytes);
    free(e->unknown);
    unlink_use(e);
    sc_roster_remove(&d->exporters, &e->entry);
    free(e);
}

void sc_exporter_tidy(struct sc_exporter *exporter)
{
    if (exporter->newest == NULL && is_new(exporter))
        sc_exporter_destroy(exporter);
}

void sc_exporters_free_all(struct sc_decoder *decoder)
{
    for (int standing = 0; standing < SC_STANDINGS; standing++) {
        while (decoder->standings[standing].newest != NULL)
            sc_exporter_destroy(decoder->standings[standing].newest);
    }
    sc_roster_free(&decoder->exporters);
}

static bool is_stream(const struct sc_session *session)
{
    return session->transport != SC_TRANSPORT_UDP && !session->ended;
}

struct sc_exporter *sc_exporter_adopt(struct sc_decoder *decoder, struct sc_session *session)
{
    struct sc_addr network = network_of(&session->exporter);
    struct sc_exporter *e = find(decoder, &network);
    if (e == NULL)
        e = create(decoder, &network);
    if (e == NULL)
        return NULL;
    session->owner = e;
    if (session->used_ms > e->used_ms)
        e->used_ms = session->used_ms;
    link_newest_sibling(session);
    e->streams += is_stream(session);
    sc_exporter_restore(e, session->minutes);
    return e;
}

void sc_exporter_disown(struct sc_session *session)
{
    charge(session->owner, 0, session->charged);
    session->charged = 0;
    session->owner->streams -= is_stream(session);
    unlink_sibling(session);
    session->owner = NULL;
}

void sc_exporter_end(struct sc_session *session)
{
    if (session->owner != NULL)
        session->owner->streams -= is_stream(session);
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
        sc_session_note(exporter->decoder, s);
    }
}

void sc_exporter_restore(struct sc_exporter *exporter, uint8_t minutes)
{
    if (minutes > exporter->minutes)
        exporter->minutes = minutes < SC_ESTABLISHED_MINUTES ? minutes : SC_ESTABLISHED_MINUTES;
    if (exporter->minutes != 0)
        promote(exporter);
}

/* ---- room ---- */

static bool is_quiet(uint64_t used_ms, uint64_t now_ms)
{
    return now_ms > used_ms && now_ms - used_ms > QUIET_MS;
}

static bool is_busy(const struct sc_decoder *d, const struct sc_session *s)
{
    return s == d->busy[0] || s == d->busy[1];
}

/* Idle sessions of the exporter go until it holds no more than `most` bytes. */
static bool shrink(struct sc_exporter *e, const struct sc_session *asking, size_t held, size_t most)
{
    for (struct sc_session *s = e->oldest, *next; held > most && s != NULL; s = next) {
        next = s->sibling_newer;
        if (!is_quiet(s->used_ms, e->used_ms))
            break;
        if (s == asking || is_busy(e->decoder, s) || is_stream(s))
            continue;
        held -= s->charged;
        e->decoder->overrun.pushed_out++;
        sc_session_remove(e->decoder, s);
    }
    return held <= most;
}

/* The least recently used that may go for `asking`. Only who is before others in the list and can't go is looked at in vain. */
static struct sc_exporter *find_victim(const struct sc_exporter_list *list, const struct sc_exporter *asking,
                                       bool any)
{
    for (struct sc_exporter *e = list->oldest; e != NULL; e = e->newer) {
        if (!any && !is_quiet(e->used_ms, asking->used_ms))
            return NULL;
        if (e != asking && e->streams == 0) /* NOLINT(clang-analyzer-unix.Malloc): who went is in no list */
            return e;
    }
    return NULL;
}

static bool push_out(struct sc_decoder *d, const struct sc_exporter *asking)
{
    struct sc_exporter *victim = find_victim(&d->standings[SC_STRANGER], asking, true);
    if (victim == NULL)
        victim = find_victim(&d->standings[SC_NEWCOMER], asking, !is_new(asking));
    if (victim == NULL)
        return false;
    d->overrun.pushed_out++;
    sc_exporter_destroy(victim);
    return true;
}

static bool refuse(struct sc_exporter *e, bool own_share)
{
    struct sc_overrun *o = &e->decoder->overrun;
    o->left_out++;
    o->exporter = e->network;
    o->own_share = own_share;
    e->over_budget++;
    return false;
}

void sc_exporter_leave_out(struct sc_exporter *exporter)
{
    (void)refuse(exporter, true);
}

/* What the exporter would hold with `size` more; a session that no decoder has stands for itself. */
static size_t held_with(const struct sc_session *session, size_t size)
{
    const struct sc_exporter *e = session->owner;
    return e == NULL ? sizeof(*e) + session->bytes + size
                     : e->bytes + session->bytes - session->charged + size;
}

bool sc_session_has_room(struct sc_session *session, const struct sc_decoder_limits *limits, size_t size)
{
    struct sc_exporter *e = session->owner;
    size_t held = held_with(session, size);
    if (e == NULL)
        return held <= own_share(session, limits);
    if (held > share_of(e) && !shrink(e, session, held, share_of(e)))
        return refuse(e, true);
    while (!sc_budget_allows(e->decoder->budget, is_new(e), session->bytes - session->charged + size)) {
        if (!push_out(e->decoder, e))
            return refuse(e, false);
    }
    return true;
}

bool sc_session_has_room_for_names(struct sc_session *session, const struct sc_decoder_limits *limits,
                                   size_t size)
{
    struct sc_exporter *e = session->owner;
    size_t share = e == NULL ? own_share(session, limits) : share_of(e);
    if (held_with(session, size) > share - share / TEMPLATES_SHARE)
        return e == NULL ? false : refuse(e, true);
    return sc_session_has_room(session, limits, size);
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

/* Index of the first element whose key is not below `key`. */
static uint32_t element_index(const struct sc_exporter *e, uint64_t key)
{
    uint32_t low = 0, high = e->unknown_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (e->unknown[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
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

static bool has_place(struct sc_exporter *e, const struct sc_decoder_limits *limits)
{
    uint32_t most =
        is_new(e) ? limits->max_unknown_columns : ESTABLISHED_ELEMENTS * limits->max_unknown_columns;
    if (e->unknown_count >= most)
        forget_elements(e);
    if (e->unknown_count >= most)
        return refuse(e, true);
    uint32_t before = e->unknown_capacity;
    if (!sc_array_reserve(e->unknown, e->unknown_capacity, e->unknown_count + 1))
        return false;
    charge(e, (e->unknown_capacity - before) * sizeof(*e->unknown), 0);
    return true;
}

bool sc_exporter_may_bring(struct sc_session *session, const struct sc_decoder_limits *limits,
                           const struct sc_wire_field *field, uint32_t instance)
{
    struct sc_exporter *e = session->owner;
    uint64_t key = element_key(field, instance);
    if (e == NULL)
        return true; /* of a saved state: it was judged then */
    uint32_t at = element_index(e, key);
    if (at == e->unknown_count || e->unknown[at].key != key) {
        if (!has_place(e, limits))
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
