// SPDX-License-Identifier: BSD-3-Clause
#include "group/beside.h"

#include "group/fold.h"

#include <stdlib.h>

#define DEALT                                                                                                \
    2048u /* values of a bucket, about: they and their slots stay in the first cache or are near it */
#define BUCKET_BITS 8u /* at most */
/* Bits of the hash that choose neither the part nor, in a bucket, the slot. */
#define BUCKET_AT 18u
/* Bytes of values that a thread deals out at a time, with and without a memory limit. */
#define MOST_BYTES  ((uint64_t)64 << 20)
#define LEAST_BYTES ((uint64_t)1 << 20)

struct sc_beside_work {
    uint8_t *entries;
    size_t room; /* bytes */
    uint32_t *slots;
    uint32_t slot_count;
};

/* The values of one partition in all partial results; those of a part of their hashes at a time. */
struct deal {
    const struct sc_beside_values *all;
    struct sc_beside_work *work;
    const struct sc_aggregate *aggregate;
    uint32_t values, index;
    enum sc_key_layout layout;
    uint32_t parts, part;
    uint32_t mask;                    /* of the number of buckets */
    uint64_t ends[1u << BUCKET_BITS]; /* entries */
};

static struct sc_groups *exact_of(const struct deal *d, uint32_t partial)
{
    return d->all->partials[partial]->values[d->values].exact;
}

/* ---- dealing out ---- */

static bool takes(const struct deal *d, uint64_t hash)
{
    return d->parts == 1 || ((hash >> 26 & UINT32_MAX) * d->parts >> 32) == d->part;
}

static inline uint64_t hash_entry(const struct deal *d, const uint8_t *entry, uint32_t key_bytes)
{
    return sc_key_hash_bytes(entry + d->aggregate->key_at, key_bytes, d->aggregate->seed);
}

static enum sc_status count_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                    uint32_t count)
{
    struct deal *d = arg;
    uint32_t bytes = d->aggregate->entry_bytes[layout], key_bytes = d->aggregate->key_bytes[layout];
    for (uint32_t i = 0; i < count; i++, entries += bytes) {
        uint64_t hash = hash_entry(d, entries, key_bytes);
        d->ends[hash >> BUCKET_AT & d->mask] += takes(d, hash);
    }
    return sc_groups_stopped(exact_of(d, 0)) ? SC_CANCELLED : SC_OK;
}

/* Words that overlap at the end: at least 8 bytes. */
static inline void copy_entry(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t i = 0; i + 8 < bytes; i += 8)
        sc_store_le64(to + i, sc_load_le64(from + i));
    sc_store_le64(to + bytes - 8, sc_load_le64(from + bytes - 8));
}

/* The ends are begins until then. */
static enum sc_status put_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                  uint32_t count)
{
    struct deal *d = arg;
    uint32_t bytes = d->aggregate->entry_bytes[layout], key_bytes = d->aggregate->key_bytes[layout];
    for (uint32_t i = 0; i < count; i++, entries += bytes) {
        uint64_t hash = hash_entry(d, entries, key_bytes);
        if (takes(d, hash))
            copy_entry(d->work->entries + d->ends[hash >> BUCKET_AT & d->mask]++ * bytes, entries, bytes);
    }
    return sc_groups_stopped(exact_of(d, 0)) ? SC_CANCELLED : SC_OK;
}

static enum sc_status each_value(struct deal *d, sc_entries_fn *each)
{
    for (uint32_t i = 0; i < d->all->count; i++)
        SC_TRY(sc_groups_each_of(exact_of(d, i), d->index, each, d));
    return SC_OK;
}

static bool make_room(struct sc_beside_work *w, uint64_t bytes)
{
    if (bytes <= w->room)
        return true;
    free(w->entries);
    w->room = bytes + bytes / 4;
    w->entries = sc_groups_make_block(w->room);
    w->room = w->entries == NULL ? 0 : w->room;
    return w->entries != NULL;
}

static enum sc_status deal_out(struct deal *d)
{
    uint64_t before = 0;
    memset(d->ends, 0, sizeof(d->ends));
    SC_TRY(each_value(d, count_entries));
    for (uint32_t b = 0; b <= d->mask; b++) {
        uint64_t count = d->ends[b];
        d->ends[b] = before;
        before += count;
    }
    if (!make_room(d->work, before * d->aggregate->entry_bytes[d->layout]))
        return SC_NOMEM;
    return each_value(d, put_entries);
}

/* ---- a bucket ---- */

static bool make_slots(struct sc_beside_work *w, uint64_t entries, uint32_t *mask)
{
    uint32_t count = 64;
    while (count < 2 * entries)
        count *= 2;
    *mask = count - 1;
    if (count > w->slot_count) {
        free(w->slots);
        w->slots = malloc(count * sizeof(*w->slots));
        w->slot_count = w->slots == NULL ? 0 : count;
    }
    if (w->slots != NULL)
        memset(w->slots, 0, count * sizeof(*w->slots));
    return w->slots != NULL;
}

/* Moves one of each to the front; returns how many there are. */
static uint32_t drop_same(const struct deal *d, uint8_t *entries, uint32_t count, uint32_t mask)
{
    uint32_t bytes = d->aggregate->entry_bytes[d->layout], key_bytes = d->aggregate->key_bytes[d->layout];
    uint32_t *slots = d->work->slots, left = 0;
    uint8_t *keys = entries + d->aggregate->key_at;
    for (uint32_t n = 0; n < count; n++) {
        const uint8_t *entry = entries + (size_t)n * bytes;
        uint32_t i = (uint32_t)hash_entry(d, entry, key_bytes) & mask;
        while (slots[i] != 0 &&
               !sc_key_equal(keys + (size_t)(slots[i] - 1) * bytes, entry + d->aggregate->key_at, key_bytes))
            i = (i + 1) & mask;
        if (slots[i] != 0)
            continue;
        copy_entry(entries + (size_t)left * bytes, entry, bytes);
        slots[i] = ++left;
    }
    return left;
}

static enum sc_status take_buckets(const struct deal *d)
{
    const struct sc_groups *from = exact_of(d, 0);
    struct sc_folding f = {d->all->partials[0], from, &d->all->partials[0]->values[d->values]};
    uint64_t begin = 0;
    uint32_t mask;
    for (uint32_t b = 0; b <= d->mask; begin = d->ends[b++]) {
        uint8_t *entries = d->work->entries + begin * d->aggregate->entry_bytes[d->layout];
        if (!make_slots(d->work, d->ends[b] - begin, &mask))
            return SC_NOMEM;
        uint32_t count = drop_same(d, entries, (uint32_t)(d->ends[b] - begin), mask);
        SC_TRY(sc_fold_beside(&f, d->layout, entries, count));
    }
    return SC_OK;
}

/* ---- all of a partition ---- */

static uint64_t most_entries(const struct deal *d)
{
    uint64_t limit = exact_of(d, 0)->spill.limit / d->all->threads;
    uint64_t bytes = limit == 0 || limit > MOST_BYTES ? MOST_BYTES
                     : limit < LEAST_BYTES            ? LEAST_BYTES
                                                      : limit;
    return bytes / d->aggregate->entry_bytes[d->layout];
}

static enum sc_status add_layout(struct deal *d)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < d->all->count; i++)
        total += sc_partition_held(&exact_of(d, i)->partitions[d->index]);
    d->parts = (uint32_t)(total / most_entries(d)) + 1;
    d->mask = 0;
    while (d->mask + 1 < 1u << BUCKET_BITS && total / d->parts > (uint64_t)DEALT * (d->mask + 1))
        d->mask = 2 * d->mask + 1;
    for (d->part = 0; d->part < d->parts && total != 0; d->part++) {
        SC_TRY(deal_out(d));
        SC_TRY(take_buckets(d));
    }
    for (uint32_t i = 0; i < d->all->count; i++)
        sc_partition_free(&exact_of(d, i)->partitions[d->index]);
    return SC_OK;
}

enum sc_status sc_beside_add(void *arg, unsigned thread, uint32_t number)
{
    const struct sc_beside_values *all = arg;
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

bool sc_beside_begin(struct sc_beside_values *values)
{
    values->works = calloc(values->threads, sizeof(*values->works));
    return values->works != NULL;
}

void sc_beside_end(struct sc_beside_values *values)
{
    for (unsigned i = 0; i < values->threads; i++) {
        free(values->works[i].entries);
        free(values->works[i].slots);
    }
    free(values->works);
}
