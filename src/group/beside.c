// SPDX-License-Identifier: BSD-3-Clause
#include "group/beside.h"

#include "group/fold.h"

#include <stdlib.h>

#define DEALT                                                                                                \
    2048u /* values of a bucket, about: they and their slots stay in the first cache or are near it */
#define BUCKET_BITS 8u  /* at most */
#define CROWDED     16u /* times as many are too many */
/* Bits of a value's hash that choose no slot in a bucket; of a group's hash not the partition. */
#define BUCKET_AT       18u
#define GROUP_BUCKET_AT 50u

/*
 * In bytes: a value's entry, where its key is, that, and what of it is the group's key. The compiler knows the usual ones, of an address
 * and the addresses that it has.
 */
struct sizes {
    uint32_t entry, key_at, key, group;
};

#define USUAL_NARROW ((struct sizes){12, 1, 9, 5})
#define USUAL_MIDDLE ((struct sizes){36, 1, 33, 17})

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* In a bucket: the number of its first value, from 1 on; 0: none. */
struct group {
    uint32_t first, values;
};

/* Of a thread. */
struct work {
    uint8_t *entries;
    size_t room;     /* bytes */
    uint32_t *slots; /* numbers of values, from 1 on */
    struct group *groups;
    uint32_t slot_count; /* of each of these */
};

struct join {
    struct sc_groups *const *partials; /* the first takes all */
    uint32_t count;
    uint32_t which; /* of their values, a bit for each */
    struct work *works;
};

/* The values of one partition in all partial results. */
struct deal {
    const struct join *all;
    struct work *work;
    const struct sc_aggregate *aggregate;
    uint32_t values, index;
    enum sc_key_layout layout;
    struct sizes sizes;
    bool by_group;                    /* buckets have whole groups */
    uint32_t mask;                    /* of the number of buckets */
    uint8_t *to;                      /* NULL: they are counted */
    uint64_t ends[1u << BUCKET_BITS]; /* entries */
};

struct bucket {
    const struct deal *deal;
    const uint8_t *keys;
    uint32_t count;
    uint32_t mask; /* of the slots */
};

static struct sc_groups *exact_of(const struct deal *d, uint32_t partial)
{
    return d->all->partials[partial]->values[d->values].exact;
}

static struct sizes sizes_of(const struct sc_aggregate *a, enum sc_key_layout layout)
{
    return (struct sizes){a->entry_bytes[layout], a->key_at, a->key_bytes[layout],
                          a->beside->key_bytes[layout]};
}

static bool are_sizes(const struct deal *d, struct sizes s)
{
    return d->sizes.entry == s.entry && d->sizes.key_at == s.key_at && d->sizes.key == s.key &&
           d->sizes.group == s.group;
}

/* ---- dealing out ---- */

ALWAYS_INLINE uint32_t bucket_of(const struct deal *d, const uint8_t *key, struct sizes s)
{
    const struct sc_aggregate *a = d->aggregate;
    if (d->by_group)
        return (uint32_t)((sc_key_is_before(a, key, d->layout) ? sc_key_hash_bytes(key, s.group, a->seed)
                                                               : sc_key_hash_beside(a, key)) >>
                          GROUP_BUCKET_AT) &
               d->mask;
    return (uint32_t)(sc_key_hash_bytes(key, s.key, a->seed) >> BUCKET_AT) & d->mask;
}

/* Counts the values of each bucket, or, where there is room for them, puts them there: the ends are begins until then. */
ALWAYS_INLINE void deal_sized(struct deal *d, const uint8_t *entries, uint32_t count, struct sizes s)
{
    for (uint32_t i = 0; i < count; i++, entries += s.entry) {
        uint64_t at = d->ends[bucket_of(d, entries + s.key_at, s)]++;
        if (d->to != NULL)
            sc_key_copy(d->to + at * s.entry, entries, s.entry);
    }
}

static enum sc_status deal_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                   uint32_t count)
{
    struct deal *d = arg;
    (void)layout;
    if (are_sizes(d, USUAL_NARROW))
        deal_sized(d, entries, count, USUAL_NARROW);
    else if (are_sizes(d, USUAL_MIDDLE))
        deal_sized(d, entries, count, USUAL_MIDDLE);
    else
        deal_sized(d, entries, count, d->sizes);
    return sc_groups_stopped(exact_of(d, 0)) ? SC_CANCELLED : SC_OK;
}

/* All values, to `to` or to be counted. */
static enum sc_status deal_all(struct deal *d, uint8_t *to)
{
    d->to = to;
    for (uint32_t i = 0; i < d->all->count; i++)
        SC_TRY(sc_groups_each_of(exact_of(d, i), d->index, deal_entries, d));
    return SC_OK;
}

static bool make_room(struct work *w, uint64_t bytes)
{
    if (bytes <= w->room)
        return true;
    free(w->entries);
    w->room = bytes + bytes / 4;
    w->entries = sc_groups_make_block(w->room);
    w->room = w->entries == NULL ? 0 : w->room;
    return w->entries != NULL;
}

static enum sc_status count_buckets(struct deal *d, uint64_t *most)
{
    memset(d->ends, 0, sizeof(d->ends));
    SC_TRY(deal_all(d, NULL));
    for (uint32_t b = *most = 0; b <= d->mask; b++)
        *most = d->ends[b] > *most ? d->ends[b] : *most;
    return SC_OK;
}

/* Whole groups to a bucket, so that few groups are in each; but not when one is so large that its values are better apart. */
static enum sc_status deal_out(struct deal *d)
{
    uint64_t before = 0, most;
    d->by_group = true;
    SC_TRY(count_buckets(d, &most));
    if (most > CROWDED * DEALT) {
        d->by_group = false;
        SC_TRY(count_buckets(d, &most));
    }
    for (uint32_t b = 0; b <= d->mask; b++) {
        uint64_t count = d->ends[b];
        d->ends[b] = before;
        before += count;
    }
    if (!make_room(d->work, before * d->aggregate->entry_bytes[d->layout]))
        return SC_NOMEM;
    return deal_all(d, d->work->entries);
}

/* ---- a bucket ---- */

static bool make_slots(struct work *w, uint64_t entries, uint32_t *mask)
{
    uint32_t count = 64;
    while (count - count / 4 < entries)
        count *= 2;
    *mask = count - 1;
    if (count > w->slot_count) {
        free(w->slots);
        free(w->groups);
        w->slots = malloc(count * sizeof(*w->slots));
        w->groups = malloc(count * sizeof(*w->groups));
        w->slot_count = w->slots == NULL || w->groups == NULL ? 0 : count;
    }
    if (w->slot_count == 0)
        return false;
    memset(w->slots, 0, count * sizeof(*w->slots));
    memset(w->groups, 0, count * sizeof(*w->groups));
    return true;
}

ALWAYS_INLINE const uint8_t *key_of(const struct bucket *b, uint32_t number, struct sizes s)
{
    return b->keys + (size_t)(number - 1) * s.entry;
}

/* Whether the value is the first of its kind. */
ALWAYS_INLINE bool is_new(const struct bucket *b, const uint8_t *key, uint32_t number, struct sizes s)
{
    uint32_t i = (uint32_t)sc_key_hash_bytes(key, s.key, b->deal->aggregate->seed) & b->mask;
    uint32_t *slots = b->deal->work->slots;
    for (; slots[i] != 0; i = (i + 1) & b->mask) {
        if (sc_key_equal(key_of(b, slots[i], s), key, s.key))
            return false;
    }
    slots[i] = number;
    return true;
}

/* Counts a value to the group that its key begins with. */
ALWAYS_INLINE void count_here(const struct bucket *b, const uint8_t *key, uint32_t number, struct sizes s)
{
    struct group *groups = b->deal->work->groups;
    uint32_t i = (uint32_t)sc_key_hash_bytes(key, s.group, b->deal->aggregate->seed) & b->mask;
    while (groups[i].first != 0 && !sc_key_equal(key_of(b, groups[i].first, s), key, s.group))
        i = (i + 1) & b->mask;
    groups[i].first = groups[i].first == 0 ? number : groups[i].first;
    groups[i].values++;
}

ALWAYS_INLINE enum sc_status count_sized(const struct bucket *b, struct sc_folding *f, struct sizes s)
{
    const struct deal *d = b->deal;
    const uint8_t *key = b->keys;
    for (uint32_t n = 1; n <= b->count; n++, key += s.entry) {
        if (!is_new(b, key, n, s))
            continue;
        if (sc_key_is_before(d->aggregate, key, d->layout))
            count_here(b, key, n, s);
        else
            SC_TRY(sc_fold_entries(f, d->layout, key - s.key_at, 1));
    }
    return SC_OK;
}

static enum sc_status count_values(const struct bucket *b, struct sc_folding *f)
{
    if (are_sizes(b->deal, USUAL_NARROW))
        return count_sized(b, f, USUAL_NARROW);
    if (are_sizes(b->deal, USUAL_MIDDLE))
        return count_sized(b, f, USUAL_MIDDLE);
    return count_sized(b, f, b->deal->sizes);
}

static enum sc_status fold_groups(const struct bucket *b, const struct sc_folding *f)
{
    struct sc_counted some[SC_COUNTED];
    const struct group *groups = b->deal->work->groups;
    uint32_t n = 0;
    for (uint32_t i = 0; i <= b->mask; i++) {
        if (groups[i].first == 0)
            continue;
        some[n++] = (struct sc_counted){key_of(b, groups[i].first, b->deal->sizes), groups[i].values};
        if (n < SC_COUNTED)
            continue;
        SC_TRY(sc_fold_counted(f, b->deal->layout, some, n));
        n = 0;
    }
    return sc_fold_counted(f, b->deal->layout, some, n);
}

static enum sc_status take_buckets(const struct deal *d)
{
    struct sc_groups *to = d->all->partials[0];
    struct sc_folding f = {to, exact_of(d, 0), &to->values[d->values]};
    struct bucket b = {.deal = d};
    uint64_t begin = 0;
    for (uint32_t i = 0; i <= d->mask; begin = d->ends[i++]) {
        b.keys = d->work->entries + begin * d->sizes.entry + d->sizes.key_at;
        b.count = (uint32_t)(d->ends[i] - begin);
        if (!make_slots(d->work, b.count, &b.mask))
            return SC_NOMEM;
        SC_TRY(count_values(&b, &f));
        SC_TRY(fold_groups(&b, &f));
    }
    return SC_OK;
}

/* ---- all of a partition ---- */

static enum sc_status add_layout(struct deal *d)
{
    uint64_t total = 0;
    d->sizes = sizes_of(d->aggregate, d->layout);
    for (uint32_t i = 0; i < d->all->count; i++)
        total += sc_partition_held(&exact_of(d, i)->partitions[d->index]);
    if (total == 0)
        return SC_OK;
    for (d->mask = 0; d->mask + 1 < 1u << BUCKET_BITS && total > (uint64_t)DEALT * (d->mask + 1);)
        d->mask = 2 * d->mask + 1;
    SC_TRY(deal_out(d));
    SC_TRY(take_buckets(d));
    for (uint32_t i = 0; i < d->all->count; i++)
        sc_partition_free(&exact_of(d, i)->partitions[d->index]);
    return SC_OK;
}

static enum sc_status add(void *arg, unsigned thread, uint32_t number)
{
    const struct join *all = arg;
    struct deal d = {.all = all, .work = &all->works[thread]};
    for (uint32_t left = all->which; left != 0; left &= left - 1) {
        d.values = (uint32_t)__builtin_ctz(left);
        d.aggregate = &all->partials[0]->values[d.values].aggregate;
        for (uint32_t layout = 0; layout < SC_KEY_LAYOUTS; layout++) {
            d.layout = (enum sc_key_layout)layout;
            d.index = layout << SC_PARTITION_BITS | number;
            SC_TRY(add_layout(&d));
        }
    }
    return SC_OK;
}

enum sc_status sc_beside_join(struct sc_groups *const *partials, uint32_t count, uint32_t which,
                              const struct sc_keep *keep, unsigned threads, struct sc_error *err)
{
    struct join all = {partials, count, which, calloc(threads, sizeof(struct work))};
    const struct sc_beside beside = {add, &all};
    if (all.works == NULL)
        return sc_fail_nomem(err, "merging groups");
    partials[0]->most = SC_SATURATED;
    enum sc_status status = sc_plain_join(partials, count, &beside, keep, threads, err);
    for (unsigned i = 0; i < threads; i++) {
        free(all.works[i].entries);
        free(all.works[i].slots);
        free(all.works[i].groups);
    }
    free(all.works);
    return status;
}
