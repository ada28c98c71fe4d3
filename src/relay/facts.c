// SPDX-License-Identifier: BSD-3-Clause
#include "relay/facts.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/reference.h"
#include "base/table.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BOTH_MS 1500u /* two processes were there at once for so long: it was no restart */

/* A process that has a name. */
struct life {
    struct sc_link_facts facts; /* the newest */
    uint64_t first_ms, last_ms; /* when it told some */
    int64_t offset_ms;          /* its clock before this node's monotonic one: no step of the own moves it */
};

/* Of one name. */
struct entry {
    struct life now, other; /* `now` told the newest */
};

struct sc_facts {
    pthread_mutex_t mutex;
    char own[SC_LINK_NAME_MAX];
    struct entry *list;
    uint32_t count;
    uint32_t window_s; /* own */
    struct sc_reference reference;
    struct sc_table by_name; /* of `list` */
    uint64_t seed;
};

struct sc_facts_time sc_facts_now(void)
{
    return (struct sc_facts_time){sc_clock_mono_ms(), sc_clock_wall_ms()};
}

struct sc_facts *sc_facts_create(void)
{
    struct sc_facts *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    f->seed = sc_hash_draw_seed();
    pthread_mutex_init(&f->mutex, NULL);
    return f;
}

void sc_facts_free(struct sc_facts *f)
{
    if (f == NULL)
        return;
    pthread_mutex_destroy(&f->mutex);
    sc_table_free(&f->by_name);
    free(f->list);
    free(f);
}

/* ---- hearing ---- */

static uint64_t hash_of(const struct sc_facts *f, const char *name)
{
    return sc_hash_bytes(name, strlen(name), f->seed);
}

static struct entry *find(const struct sc_facts *f, const char *name)
{
    struct sc_probe p = sc_table_first(&f->by_name, hash_of(f, name));
    while (p.number != SC_TABLE_NONE && strcmp(f->list[p.number].now.facts.name, name) != 0)
        sc_table_next(&f->by_name, &p);
    return p.number == SC_TABLE_NONE ? NULL : &f->list[p.number];
}

/* Goes until all have had their turn. */
static uint32_t turns(const struct sc_facts *f)
{
    return f->count / SC_FACTS_AT_ONCE + 1;
}

static uint64_t fresh_ms(const struct sc_facts *f)
{
    return SC_FACTS_FRESH_MS + (uint64_t)(turns(f) - 1) * SC_FACTS_EVERY_MS;
}

static bool is_fresh(const struct sc_facts *f, const struct life *l, uint64_t now_ms)
{
    return now_ms - l->last_ms <= fresh_ms(f);
}

/* Clocks may say anything: what they differ by wraps. */
static int64_t less(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x - (uint64_t)y);
}

static int64_t own_offset(struct sc_facts_time now)
{
    return (int64_t)(now.wall_ms - now.mono_ms);
}

/* Its clock before the own one. */
static int64_t ahead_of(const struct life *l, struct sc_facts_time now)
{
    return less(l->offset_ms, own_offset(now));
}

/* What has not been heard of for long makes room: names of members come and go. */
static void forget_old(struct sc_facts *f, uint64_t now_ms)
{
    const uint32_t before = f->count;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < before; i++) {
        if (is_fresh(f, &f->list[i].now, now_ms))
            f->list[kept++] = f->list[i];
    }
    f->count = kept;
    if (kept == before)
        return;
    sc_table_clear(&f->by_name);
    for (uint32_t i = 0; i < kept; i++)
        sc_table_add(&f->by_name, hash_of(f, f->list[i].now.facts.name), i);
}

static struct entry *make(struct sc_facts *f, const char *name, uint64_t now_ms)
{
    struct entry *e = find(f, name);
    if (e != NULL)
        return e;
    forget_old(f, now_ms);
    if (!sc_table_reserve(&f->by_name, 1) || !sc_array_more(f->list, f->count, 1))
        return NULL;
    sc_table_add(&f->by_name, hash_of(f, name), f->count);
    e = &f->list[f->count++];
    *e = (struct entry){0};
    return e;
}

static void note(struct life *l, const struct sc_link_facts *heard, uint64_t told_ms, uint64_t now_ms)
{
    if (l->facts.instance != heard->instance)
        *l = (struct life){.first_ms = told_ms};
    l->first_ms = told_ms < l->first_ms ? told_ms : l->first_ms;
    if (told_ms < l->last_ms)
        return;
    l->facts = *heard;
    l->last_ms = told_ms;
    l->offset_ms = (int64_t)(heard->clock_ms + heard->age_ms - now_ms);
}

/* They have the name at the same time. */
static bool are_two(const struct sc_facts *f, const struct entry *e, uint64_t now_ms)
{
    uint64_t from = e->now.first_ms > e->other.first_ms ? e->now.first_ms : e->other.first_ms;
    return e->other.facts.instance != 0 && is_fresh(f, &e->other, now_ms) &&
           e->other.last_ms > from + BOTH_MS;
}

static void take(struct sc_facts *f, const struct sc_link_facts *heard, struct sc_facts_time now)
{
    struct entry *e = make(f, heard->name, now.mono_ms);
    if (e == NULL)
        return;
    bool same = e->now.facts.instance == heard->instance;
    uint64_t told_ms = heard->age_ms < now.mono_ms ? now.mono_ms - heard->age_ms : 0;
    note(same ? &e->now : &e->other, heard, told_ms, now.mono_ms);
    if (e->other.last_ms > e->now.last_ms) {
        struct life before = e->now;
        e->now = e->other;
        e->other = before;
    }
}

/* ---- the time by others ---- */

static int compare_offsets(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

/* @return how many. */
static uint32_t list_others(const struct sc_facts *f, uint64_t now_ms, int64_t *offsets)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct entry *e = &f->list[i];
        if (strcmp(e->now.facts.name, f->own) != 0 && is_fresh(f, &e->now, now_ms))
            offsets[n++] = e->now.offset_ms;
    }
    return n;
}

static int64_t median_of(int64_t *offsets, uint32_t n, int64_t own)
{
    qsort(offsets, n, sizeof(*offsets), compare_offsets);
    int64_t low = offsets[(n - 1) / 2], high = offsets[n / 2];
    return own < low ? low : own > high ? high : own;
}

/* With the mutex. */
static bool find_median(const struct sc_facts *f, struct sc_facts_time now, int64_t *offset_ms)
{
    int64_t *offsets = calloc(f->count + 1, sizeof(*offsets));
    if (offsets == NULL)
        return false;
    uint32_t n = list_others(f, now.mono_ms, offsets);
    if (n >= 2)
        *offset_ms = median_of(offsets, n, own_offset(now));
    free(offsets);
    return n >= 2;
}

const struct sc_reference *sc_facts_reference(const struct sc_facts *f)
{
    return &f->reference;
}

/* With the mutex. */
static void follow(struct sc_facts *f, struct sc_facts_time now)
{
    int64_t offset_ms;
    bool known = find_median(f, now, &offset_ms);
    sc_reference_set(&f->reference, known ? offset_ms : 0);
}

void sc_facts_follow(struct sc_facts *f, struct sc_facts_time now)
{
    pthread_mutex_lock(&f->mutex);
    follow(f, now);
    pthread_mutex_unlock(&f->mutex);
}

static uint64_t distance(int64_t ahead_ms)
{
    return ahead_ms < 0 ? -(uint64_t)ahead_ms : (uint64_t)ahead_ms;
}

/* Who waits for it waits no longer than it must: with the mutex. */
static void compare_first(struct sc_facts *f, const struct sc_link_facts *heard, struct sc_facts_time now)
{
    const struct entry *e = find(f, heard->name);
    follow(f, now);
    if (e != NULL && strcmp(heard->name, f->own) != 0 &&
        distance(ahead_of(&e->now, now)) <= (uint64_t)f->window_s * 1000)
        sc_reference_confirm(&f->reference);
}

/* ---- from outside ---- */

void sc_facts_hear(struct sc_facts *f, const struct sc_link_facts *heard, struct sc_facts_time now)
{
    uint64_t time_ms;
    pthread_mutex_lock(&f->mutex);
    bool fresh = heard->age_ms <= fresh_ms(f);
    if (fresh)
        take(f, heard, now);
    if (fresh && !sc_reference_time(&f->reference, now.mono_ms, &time_ms))
        compare_first(f, heard, now);
    pthread_mutex_unlock(&f->mutex);
}

void sc_facts_tell(struct sc_facts *f, const struct sc_link_facts *own, struct sc_facts_time now)
{
    struct sc_link_facts told = *own;
    told.clock_ms = now.wall_ms;
    told.age_ms = 0;
    pthread_mutex_lock(&f->mutex);
    memcpy(f->own, own->name, sizeof(f->own));
    f->window_s = own->window_s;
    take(f, &told, now);
    pthread_mutex_unlock(&f->mutex);
}

/* ---- telling ---- */

static void add(const struct sc_facts *f, const struct life *l, uint64_t now_ms, struct sc_link_facts *out,
                uint32_t *n)
{
    if (*n >= SC_FACTS_MOST || !is_fresh(f, l, now_ms))
        return;
    out[*n] = l->facts;
    out[(*n)++].age_ms = now_ms - l->last_ms;
}

/* Of two with one name both, so that others see it. */
uint32_t sc_facts_to_send(struct sc_facts *f, uint32_t turn, struct sc_facts_time now,
                          struct sc_link_facts *out)
{
    uint64_t now_ms = now.mono_ms;
    uint32_t n = 0;
    pthread_mutex_lock(&f->mutex);
    const uint32_t goes = turns(f);
    for (uint32_t i = 0; i < f->count; i++) {
        const struct entry *e = &f->list[i];
        bool own = strcmp(e->now.facts.name, f->own) == 0;
        if (!own && (i + turn) % goes != 0)
            continue;
        add(f, &e->now, now_ms, out, &n);
        if (are_two(f, e, now_ms))
            add(f, &e->other, now_ms, out, &n);
    }
    pthread_mutex_unlock(&f->mutex);
    return n;
}

bool sc_facts_get(struct sc_facts *f, const char *name, struct sc_facts_time now, struct sc_link_facts *out,
                  int64_t *ahead_ms)
{
    uint32_t n = 0;
    pthread_mutex_lock(&f->mutex);
    const struct entry *e = find(f, name);
    if (e != NULL) {
        add(f, &e->now, now.mono_ms, out, &n);
        *ahead_ms = ahead_of(&e->now, now);
    }
    pthread_mutex_unlock(&f->mutex);
    return n != 0;
}

/* ---- comparing ---- */

struct teller {
    sc_facts_say *say;
    void *arg;
};

static void say(const struct teller *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const struct teller *t, const char *format, ...)
{
    char words[SC_FACTS_WORDS_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    t->say(t->arg, words);
}

static void compare_files(const struct teller *t, const struct sc_link_facts *own,
                          const struct sc_link_facts *x)
{
    if (x->cluster_version != own->cluster_version)
        say(t, "%s has version %" PRIu64 " of the membership file, this node %" PRIu64, x->name,
            x->cluster_version, own->cluster_version);
    else if (x->copies != own->copies)
        say(t,
            "%s keeps %u copies of a batch, this node %u: the membership files have one version and differ "
            "(replication)",
            x->name, x->copies, own->copies);
    else if (x->ring_hash != own->ring_hash)
        say(t,
            "the ring of %s is another one: the membership files have one version and differ (members, their "
            "order, roles or weights)",
            x->name);
    else if (x->file_hash != own->file_hash)
        say(t, "the membership file of %s has the same version and differs (addresses)", x->name);
}

static void compare_clocks(const struct teller *t, const struct sc_link_facts *own, const struct life *l,
                           struct sc_facts_time now)
{
    int64_t ahead_ms = ahead_of(l, now);
    uint64_t apart_ms = distance(ahead_ms);
    if (apart_ms > sc_clock_tolerance_ms(own->window_s))
        say(t, "the clock of %s is %" PRIu64 ".%03" PRIu64 " s %s this node's", l->facts.name,
            apart_ms / 1000, apart_ms % 1000, ahead_ms < 0 ? "behind" : "ahead of");
}

static void compare_own_clock(const struct teller *t, const struct sc_facts *f, const struct entry *own,
                              bool proxy, struct sc_facts_time now)
{
    int64_t offset_ms;
    uint32_t window_s = own->now.facts.window_s;
    if (!find_median(f, now, &offset_ms))
        return;
    int64_t ahead_ms = less(own_offset(now), offset_ms);
    uint64_t apart_ms = distance(ahead_ms);
    bool stamps = proxy && apart_ms > (uint64_t)window_s * 1000;
    if (apart_ms > sc_clock_tolerance_ms(window_s))
        say(t, "this node's clock is %" PRIu64 ".%03" PRIu64 " s %s the median of the other members'%s",
            apart_ms / 1000, apart_ms % 1000, ahead_ms < 0 ? "behind" : "ahead of",
            stamps ? ": the windows of flows that come here are stamped by that" : "");
}

static void compare(const struct teller *t, const struct sc_facts *f, const struct sc_link_facts *own,
                    const struct entry *e, struct sc_facts_time now)
{
    const struct sc_link_facts *x = &e->now.facts;
    if (are_two(f, e, now.mono_ms))
        say(t, "two nodes are called %s: give each a name of its own (key \"node\")", x->name);
    if (strcmp(x->name, own->name) == 0)
        return;
    compare_files(t, own, x);
    if (x->window_s != own->window_s)
        say(t, "%s has windows of %u s, this node of %u s: make them the same (key \"window\")", x->name,
            x->window_s, own->window_s);
    compare_clocks(t, own, &e->now, now);
}

void sc_facts_compare(struct sc_facts *f, const struct sc_cluster *members, struct sc_facts_time now,
                      sc_facts_say *told, void *arg)
{
    const struct teller t = {told, arg};
    pthread_mutex_lock(&f->mutex);
    const struct entry *own = find(f, f->own);
    for (uint32_t i = 0; i < f->count && own != NULL; i++) {
        const struct entry *e = &f->list[i];
        if (is_fresh(f, &e->now, now.mono_ms) && sc_cluster_find(members, e->now.facts.name) != SC_NO_MEMBER)
            compare(&t, f, &own->now.facts, e, now);
    }
    uint32_t self = sc_cluster_find(members, f->own);
    if (own != NULL)
        compare_own_clock(&t, f, own, self != SC_NO_MEMBER && members->members[self].proxy, now);
    pthread_mutex_unlock(&f->mutex);
}
