// SPDX-License-Identifier: BSD-3-Clause
#include "group/table.h"

#include <stdlib.h>
#include <sys/mman.h>

uint64_t sc_groups_count(const struct sc_groups *groups)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++)
        n += groups->partitions[i].count;
    return n;
}

void sc_partition_empty(struct sc_partition *p)
{
    for (uint32_t i = 0; i < SC_BLOCKS; i++) {
        free(p->blocks[i]);
        p->blocks[i] = NULL;
    }
    free(p->slots);
    p->slots = NULL;
    p->slot_count = 0;
    p->count = 0;
}

/* What 18 blocks and 24 bits of a slot hold. */
#define MAX_ENTRIES 0xfffffeu

static bool make_slots(struct sc_groups *groups, struct sc_partition *p, uint32_t count)
{
    uint32_t *slots = calloc(count, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t n = 0; n < p->count; n++) {
        uint64_t hash =
            sc_groups_hash(groups, p->layout, sc_partition_entry(p, n) + groups->aggregate->key_at);
        uint32_t i = (uint32_t)hash & (count - 1);
        while (slots[i] != 0)
            i = (i + 1) & (count - 1);
        slots[i] = (n + 1) | sc_slot_tag(hash);
    }
    free(p->slots);
    p->slots = slots;
    p->slot_count = count;
    return true;
}

static bool grow_slots(struct sc_groups *groups, struct sc_partition *p)
{
    return make_slots(groups, p, p->slot_count == 0 ? 64 : p->slot_count * 2);
}

bool sc_groups_reserve(struct sc_groups *groups, struct sc_partition *p, uint64_t count)
{
    uint32_t slots = 64;
    while (slots - slots / 4 <= count && slots <= MAX_ENTRIES)
        slots *= 2;
    return slots <= p->slot_count || make_slots(groups, p, slots);
}

#define HUGE_PAGE ((size_t)2 << 20)

/* Large tables are walked at random: with pages of 4 KiB most of the time would go into looking them up. */
uint8_t *sc_groups_make_block(size_t bytes)
{
    bytes += SC_ENTRY_SLACK;
    if (bytes < HUGE_PAGE)
        return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    size_t rounded = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    uint8_t *block = aligned_alloc(HUGE_PAGE, rounded);
    if (block != NULL)
        madvise(block, rounded, MADV_HUGEPAGE);
    return block;
}

static uint8_t *add_entry(struct sc_partition *p)
{
    uint32_t block = sc_block_of(p->count);
    if (p->blocks[block] == NULL) {
        p->blocks[block] = sc_groups_make_block((size_t)sc_block_entries(block) * p->entry_bytes);
        if (p->blocks[block] == NULL)
            return NULL;
    }
    return sc_partition_entry(p, p->count++);
}

/* The entry that will be looked at: the first whose slot has the hash's tag. */
void sc_groups_prefetch_entry(const struct sc_groups *groups, enum sc_key_layout layout, uint64_t hash)
{
    const struct sc_partition *p = &groups->partitions[sc_partition_of(layout, hash)];
    if (p->slot_count == 0)
        return;
    uint32_t mask = p->slot_count - 1, tag = sc_slot_tag(hash), i = (uint32_t)hash & mask;
    while (p->slots[i] != 0 && (p->slots[i] & SC_SLOT_TAG) != tag)
        i = (i + 1) & mask;
    if (p->slots[i] == 0)
        return;
    const uint8_t *entry = sc_partition_entry(p, SC_SLOT_NUMBER(p->slots[i]));
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + p->entry_bytes - 1, 1); /* it may lie across two lines */
}

void sc_entry_clear(const struct sc_aggregate *a, uint8_t *entry)
{
    for (uint32_t i = 0; i < a->accumulator_count; i++)
        sc_store_le64(entry + (size_t)8 * i, a->accumulators[i].how == SC_ACCUMULATE_MIN ? UINT64_MAX : 0);
    sc_entry_set_seen(a, entry, 0);
}

uint8_t *sc_groups_find(struct sc_groups *groups, enum sc_key_layout layout, const uint8_t *key,
                        uint64_t hash)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_partition *p = &groups->partitions[sc_partition_of(layout, hash)];
    bool full = p->count >= p->slot_count - p->slot_count / 4;
    if (groups->closed ? p->count == 0 : full && (p->count >= MAX_ENTRIES || !grow_slots(groups, p)))
        return NULL;
    uint32_t mask = p->slot_count - 1, tag = sc_slot_tag(hash), bytes = a->key_bytes[layout];
    uint32_t i = (uint32_t)hash & mask;
    for (; p->slots[i] != 0; i = (i + 1) & mask) {
        if ((p->slots[i] & SC_SLOT_TAG) != tag)
            continue;
        uint8_t *entry = sc_partition_entry(p, SC_SLOT_NUMBER(p->slots[i]));
        if (sc_key_equal(entry + a->key_at, key, bytes))
            return entry;
    }
    uint8_t *entry = groups->closed || p->count >= MAX_ENTRIES ? NULL : add_entry(p);
    if (entry == NULL)
        return NULL;
    sc_entry_clear(a, entry);
    sc_store_le32(entry + p->entry_bytes - 4, 0); /* what is behind the key */
    sc_key_copy(entry + a->key_at, key, bytes);
    p->slots[i] = p->count | tag;
    return entry;
}

bool sc_groups_translate(const struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry,
                         uint32_t (*number)(const void *arg, uint32_t id), const void *arg, uint8_t *key)
{
    enum sc_key_layout layout = sc_entry_layout(from->aggregate, entry);
    memcpy(key, entry + from->aggregate->key_at, to->aggregate->key_bytes[layout]);
    return sc_key_renumber(to->aggregate, key, number, arg);
}

uint8_t *sc_groups_find_entry(struct sc_groups *groups, const uint8_t *entry)
{
    enum sc_key_layout layout = sc_entry_layout(groups->aggregate, entry);
    const uint8_t *key = entry + groups->aggregate->key_at;
    return sc_groups_find(groups, layout, key, sc_groups_hash(groups, layout, key));
}

void sc_groups_combine(const struct sc_aggregate *a, uint8_t *to, const uint8_t *from)
{
    uint64_t other = sc_entry_seen(a, from);
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if ((other >> i & 1) != 0)
            sc_accumulate(a->accumulators[i].how, to + (size_t)8 * i, sc_load_le64(from + (size_t)8 * i));
    }
    sc_entry_set_seen(a, to, sc_entry_seen(a, to) | other);
}
