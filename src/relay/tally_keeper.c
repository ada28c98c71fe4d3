// SPDX-License-Identifier: BSD-3-Clause
#include "relay/tally_keeper.h"

#include "base/array.h"
#include "base/clock.h"

#include <stdlib.h>

#define KEPT_FOR_MS 600000u /* in memory, after it was told last */

/* Of one window, as it stands in its file. */
struct sc_kept_tally {
    struct sc_tally tally;
    struct sc_kept_tally *next; /* of its teller's that have changed */
    struct teller *teller;
    bool changed;
    uint64_t heard_ms; /* monotonic */
};

/* A proxy's share. */
struct teller {
    struct sc_teller share; /* new ones in a second */
    uint32_t kept;
    struct sc_kept_tally *first, *last; /* have changed, the longest ago first */
    uint32_t changed;
};

static void free_kept(struct sc_kept_tally *k)
{
    sc_tally_free(&k->tally);
    free(k);
}

void sc_tally_keeper_free(struct sc_tally_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->count; i++)
        free_kept(keeper->all[i]);
    free(keeper->all);
    sc_tellers_free(&keeper->tellers);
    *keeper = (struct sc_tally_keeper){.store = keeper->store};
}

/* ---- what has changed ---- */

static void enqueue(struct sc_tally_keeper *keeper, struct sc_kept_tally *k)
{
    struct teller *teller = k->teller;
    *(teller->first == NULL ? &teller->first : &teller->last->next) = k;
    teller->last = k;
    k->next = NULL;
    k->changed = true;
    teller->changed++;
    keeper->changed++;
}

/* Of the teller whose turn it is; there is one. */
static struct sc_kept_tally *dequeue(struct sc_tally_keeper *keeper)
{
    struct teller *teller;
    do
        teller = (struct teller *)sc_tellers_next(&keeper->tellers);
    while (teller->first == NULL);
    struct sc_kept_tally *k = teller->first;
    teller->first = k->next;
    k->changed = false;
    teller->changed--;
    keeper->changed--;
    return k;
}

void sc_tally_keeper_rewrite(struct sc_tally_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->count; i++) {
        if (!keeper->all[i]->changed)
            enqueue(keeper, keeper->all[i]);
    }
}

bool sc_tally_keeper_settled(const struct sc_tally_keeper *keeper, const char *proxy)
{
    const struct teller *teller = (const struct teller *)sc_tellers_find(&keeper->tellers, proxy);
    return teller == NULL || teller->changed == 0;
}

/* ---- the list ---- */

static bool lies_before(const struct sc_tally *x, const struct sc_link_tally *y)
{
    return x->stream != y->stream ? x->stream < y->stream : x->window_ms < y->window_ms;
}

/* Where it is, or would be. */
static uint32_t place_of(const struct sc_tally_keeper *keeper, const struct sc_link_tally *tally)
{
    uint32_t low = 0, high = keeper->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (lies_before(&keeper->all[middle]->tally, tally))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct sc_kept_tally *find(const struct sc_tally_keeper *keeper, const struct sc_link_tally *tally)
{
    uint32_t at = place_of(keeper, tally);
    struct sc_kept_tally *k = at < keeper->count ? keeper->all[at] : NULL;
    return k != NULL && k->tally.stream == tally->stream && k->tally.window_ms == tally->window_ms ? k : NULL;
}

/* With what an earlier process may have written of lanes that are not told any more. NULL without memory. */
static struct sc_kept_tally *make(struct sc_tally_keeper *keeper, const char *proxy,
                                  const struct sc_link_tally *tally)
{
    char path[4096];
    struct sc_tally before;
    if (!sc_array_more(keeper->all, keeper->count, 1))
        return NULL;
    struct sc_kept_tally *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    k->tally = (struct sc_tally){
        .stream = tally->stream, .window_ms = tally->window_ms, .window_s = tally->window_s};
    snprintf(k->tally.proxy, sizeof(k->tally.proxy), "%.63s", proxy);
    sc_tally_path(keeper->store, tally->stream, tally->window_ms, path, sizeof(path));
    if (sc_tally_read(path, &before, NULL) == SC_OK) {
        (void)sc_tally_merge(&k->tally, &before);
        sc_tally_free(&before);
    }
    uint32_t at = place_of(keeper, tally);
    memmove(&keeper->all[at + 1], &keeper->all[at], (keeper->count - at) * sizeof(struct sc_kept_tally *));
    keeper->all[at] = k;
    keeper->count++;
    return k;
}

/* ---- taking ---- */

static void merge(struct sc_tally_keeper *keeper, struct sc_kept_tally *k, const struct sc_link_tally *tally,
                  uint64_t now_ms)
{
    struct sc_tally_lane lane = tally->lane;
    const struct sc_tally one = {.lane_count = 1, .lanes = &lane};
    struct sc_tally_lane *now = sc_tally_lane(&k->tally, lane.lane);
    if (now == NULL)
        return; /* it is told again */
    const struct sc_tally_lane before = *now;
    (void)sc_tally_merge(&k->tally, &one);
    if (!k->changed && (k->heard_ms == 0 || !sc_tally_lane_equal(&before, now)))
        enqueue(keeper, k);
    k->heard_ms = now_ms;
}

static void take_out(struct sc_tally_keeper *keeper, struct sc_kept_tally *k)
{
    struct teller *teller = k->teller;
    struct sc_kept_tally *before = NULL;
    for (struct sc_kept_tally *other = teller->first; other != k; other = other->next)
        before = other;
    *(before == NULL ? &teller->first : &before->next) = k->next;
    teller->last = teller->last == k ? before : teller->last;
    teller->changed--;
    keeper->changed--;
}

/* Its stream has another owner: that one's tally from now on. */
static void hand_over(struct sc_tally_keeper *keeper, struct sc_kept_tally *k, struct teller *to)
{
    bool changed = k->changed;
    if (to == k->teller)
        return;
    if (changed)
        take_out(keeper, k);
    k->teller->kept--;
    k->teller = to;
    to->kept++;
    if (changed)
        enqueue(keeper, k);
}

enum sc_refusal sc_tally_keeper_take(struct sc_tally_keeper *keeper, const char *proxy,
                                     const struct sc_link_tally *tally, uint64_t now_ms)
{
    struct teller *teller = (struct teller *)sc_tellers_get(&keeper->tellers, proxy, sizeof(*teller));
    struct sc_kept_tally *k = find(keeper, tally);
    if (teller == NULL)
        return SC_REFUSAL_NONE;
    if (k == NULL) {
        if (teller->kept >= SC_TALLIES_EACH ||
            !sc_teller_begins(&teller->share, now_ms, 1000, SC_TALLIES_NEW))
            return SC_REFUSAL_TALLIES;
        k = make(keeper, proxy, tally);
        if (k == NULL)
            return SC_REFUSAL_NONE;
        k->teller = teller;
        teller->kept++;
    }
    hand_over(keeper, k, teller);
    merge(keeper, k, tally, now_ms);
    return SC_REFUSAL_NONE;
}

/* ---- writing ---- */

static void forget_old(struct sc_tally_keeper *keeper, uint64_t now_ms)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < keeper->count; i++) {
        struct sc_kept_tally *k = keeper->all[i];
        if (k->changed || now_ms - k->heard_ms < KEPT_FOR_MS) {
            keeper->all[kept++] = k;
            continue;
        }
        k->teller->kept--;
        free_kept(k);
    }
    keeper->count = kept;
}

bool sc_tally_keeper_write(struct sc_tally_keeper *keeper, uint64_t now_ms, uint64_t most_ms)
{
    uint64_t until = sc_clock_mono_ms() + most_ms;
    uint32_t tries = keeper->changed; /* one for each: what the disk refuses comes behind the others */
    while (tries-- != 0) {
        struct sc_kept_tally *k = dequeue(keeper);
        if (sc_tally_write(keeper->store, &k->tally, keeper->io, NULL) != SC_OK)
            enqueue(keeper, k);
        if (sc_clock_mono_ms() >= until)
            break;
    }
    forget_old(keeper, now_ms);
    return keeper->changed == 0;
}
