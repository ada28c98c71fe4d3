// SPDX-License-Identifier: BSD-3-Clause
#include "group/table.h"

#include <stdlib.h>
#include <sys/mman.h>

/* ---- the description ---- */

uint32_t sc_aggregate_add(struct sc_aggregate *a, const struct sc_field *field, enum sc_accumulate how)
{
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if (a->accumulators[i].how == how && strcmp(a->accumulators[i].field.name, field->name) == 0)
            return i;
    }
    if (a->accumulator_count == SC_MAX_ACCUMULATORS)
        return UINT32_MAX;
    a->accumulators[a->accumulator_count] = (struct sc_accumulator){.field = *field, .how = (uint8_t)how};
    return a->accumulator_count++;
}

/* Bytes that the values of a field usually need; a value that needs more makes the query start again with 8.
 */
static unsigned usual_width(const struct sc_group_key *key)
{
    const struct sc_field *f = &key->field;
    bool integer = f->type == SC_VALUE_UINT && f->computed == SC_COMPUTED_NONE && f->source_count > 0;
    const struct sc_ie *ie = integer ? sc_ie_find(f->sources[0].key.pen, f->sources[0].key.id) : NULL;
    unsigned width = ie == NULL ? 8 : sc_column_width_of(ie->type);
    return width == 0 || width > 8 ? 8 : width;
}

void sc_aggregate_prepare(struct sc_aggregate *a)
{
    uint32_t at = 0;
    for (uint32_t k = 0; k < a->key_count; k++) {
        struct sc_group_key *key = &a->keys[k];
        key->interned = key->field.type == SC_VALUE_ADDRESS || key->field.type == SC_VALUE_BYTES ||
                        key->field.type == SC_VALUE_STRING;
        key->width = key->interned ? 4 : a->wide_keys ? 8 : (uint8_t)usual_width(key);
        at += key->width;
    }
    a->null_at = at;
    a->key_bytes = at + (a->key_count > 8 ? 2 : 1);
    if (a->key_bytes < SC_MIN_KEY_BYTES) /* the rest is zero */
        a->key_bytes = SC_MIN_KEY_BYTES;
    a->seen_at = a->key_bytes;
    uint32_t end = a->seen_at + (a->accumulator_count > 8 ? 2 : 1);
    a->accumulators_at = (end + 7) & ~7u;
    /* A key that ends just behind a multiple of 8 need not pay 7 bytes of padding: accumulators are loaded
     * unaligned. */
    if (a->accumulators_at - end >= 4)
        a->accumulators_at = (end + 3) & ~3u;
    a->entry_bytes = a->accumulators_at + 8 * a->accumulator_count;
}

/* ---- the table ---- */

struct sc_groups *sc_groups_create(const struct sc_aggregate *aggregate)
{
    struct sc_groups *groups = calloc(1, sizeof(*groups));
    if (groups == NULL)
        return NULL;
    groups->aggregate = aggregate;
    groups->interner.seed = aggregate->seed;
    return groups;
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

static void free_partition(struct sc_partition *p)
{
    sc_partition_empty(p);
    for (struct sc_spilled *list = p->spilled, *next; list != NULL; list = next) {
        next = list->next;
        free(list);
    }
}

void sc_groups_free(struct sc_groups *groups)
{
    if (groups == NULL)
        return;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++)
        free_partition(&groups->partitions[i]);
    sc_interner_free(&groups->interner);
    sc_group_scratch_free(groups->scratch);
    free(groups);
}

void sc_groups_set_cancel(struct sc_groups *groups, const atomic_int *cancel)
{
    groups->cancel = cancel;
}

uint64_t sc_groups_count(const struct sc_groups *groups)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++)
        n += groups->partitions[i].count;
    return n;
}

size_t sc_groups_memory(const struct sc_groups *groups)
{
    size_t bytes =
        sc_interner_memory(&groups->interner) + groups->spill.bytes + sc_group_scratch_memory(groups);
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        bytes +=
            (size_t)p->slot_count * sizeof(*p->slots) + (size_t)p->count * groups->aggregate->entry_bytes;
    }
    return bytes;
}

uint64_t sc_groups_hash(const struct sc_groups *groups, const uint8_t *key)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint64_t nulls = sc_key_load(key + a->null_at, a->key_count > 8 ? 2 : 1);
    uint64_t hash = sc_hash_begin(a->seed);
    for (uint32_t k = 0; k < a->key_count; k++) {
        uint64_t v = sc_key_load(key, a->keys[k].width);
        key += a->keys[k].width;
        if (a->keys[k].interned && (nulls >> k & 1) == 0)
            v = groups->interner.hashes[v];
        hash = sc_hash_more(hash, v, a->seed);
    }
    return sc_hash_end(hash);
}

/* What 18 blocks and 24 bits of a slot hold. */
#define MAX_ENTRIES 0xfffffeu

static bool make_slots(struct sc_groups *groups, struct sc_partition *p, uint32_t count)
{
    uint32_t *slots = calloc(count, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t n = 0; n < p->count; n++) {
        uint64_t hash = sc_groups_hash(groups, sc_partition_entry(p, n, groups->aggregate->entry_bytes));
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
    if (bytes < HUGE_PAGE)
        return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    size_t rounded = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    uint8_t *block = aligned_alloc(HUGE_PAGE, rounded);
    if (block != NULL)
        madvise(block, rounded, MADV_HUGEPAGE);
    return block;
}

static uint8_t *add_entry(struct sc_partition *p, uint32_t entry_bytes)
{
    uint32_t block = sc_block_of(p->count);
    if (p->blocks[block] == NULL) {
        p->blocks[block] = sc_groups_make_block((size_t)sc_block_entries(block) * entry_bytes);
        if (p->blocks[block] == NULL)
            return NULL;
    }
    return sc_partition_entry(p, p->count++, entry_bytes);
}

/*
 * At least 4 bytes, in words that overlap at the end. No byte behind the key is touched: `seen` was just
 * written there, and a load across a fresh store waits for it.
 */
static bool same_key(const uint8_t *x, const uint8_t *y, uint32_t bytes)
{
    if (bytes < 8)
        return ((sc_load_le32(x) ^ sc_load_le32(y)) |
                (sc_load_le32(x + bytes - 4) ^ sc_load_le32(y + bytes - 4))) == 0;
    for (uint32_t i = 0; i + 8 < bytes; i += 8) {
        if (sc_load_le64(x + i) != sc_load_le64(y + i))
            return false;
    }
    return sc_load_le64(x + bytes - 8) == sc_load_le64(y + bytes - 8);
}

/* The entry that will be looked at: the first whose slot has the hash's tag. */
void sc_groups_prefetch_entry(const struct sc_groups *groups, uint64_t hash)
{
    const struct sc_partition *p = &groups->partitions[sc_partition_of(hash)];
    if (p->slot_count == 0)
        return;
    uint32_t mask = p->slot_count - 1, tag = sc_slot_tag(hash), i = (uint32_t)hash & mask;
    while (p->slots[i] != 0 && (p->slots[i] & SC_SLOT_TAG) != tag)
        i = (i + 1) & mask;
    if (p->slots[i] == 0)
        return;
    uint32_t bytes = groups->aggregate->entry_bytes;
    const uint8_t *entry = sc_partition_entry(p, SC_SLOT_NUMBER(p->slots[i]), bytes);
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + bytes - 1, 1); /* it may lie across two lines */
}

uint8_t *sc_groups_find(struct sc_groups *groups, const uint8_t *key, uint64_t hash)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_partition *p = &groups->partitions[sc_partition_of(hash)];
    if (groups->closed && p->count == 0)
        return NULL;
    if (p->count >= p->slot_count - p->slot_count / 4 && (p->count >= MAX_ENTRIES || !grow_slots(groups, p)))
        return NULL;
    uint32_t mask = p->slot_count - 1, tag = sc_slot_tag(hash);
    uint32_t i = (uint32_t)hash & mask;
    for (; p->slots[i] != 0; i = (i + 1) & mask) {
        if ((p->slots[i] & SC_SLOT_TAG) != tag)
            continue;
        uint8_t *entry = sc_partition_entry(p, SC_SLOT_NUMBER(p->slots[i]), a->entry_bytes);
        if (same_key(entry, key, a->key_bytes))
            return entry;
    }
    uint8_t *entry = groups->closed ? NULL : add_entry(p, a->entry_bytes);
    if (entry == NULL)
        return NULL;
    memcpy(entry, key, a->key_bytes);
    memset(entry + a->key_bytes, 0, a->entry_bytes - a->key_bytes);
    for (uint32_t k = 0; k < a->accumulator_count; k++) {
        if (a->accumulators[k].how == SC_ACCUMULATE_MIN)
            sc_store_le64(entry + a->accumulators_at + 8 * k, UINT64_MAX);
    }
    p->slots[i] = p->count | tag;
    return entry;
}

void sc_groups_combine(const struct sc_aggregate *a, uint8_t *to, const uint8_t *from)
{
    unsigned width = a->accumulator_count > 8 ? 2 : 1;
    uint64_t seen = sc_key_load(to + a->seen_at, width), other = sc_key_load(from + a->seen_at, width);
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if ((other >> i & 1) == 0)
            continue;
        uint32_t at = a->accumulators_at + 8 * i;
        sc_accumulate(a->accumulators[i].how, to + at, sc_load_le64(from + at));
    }
    sc_key_store(to + a->seen_at, width, seen | other);
}

/* ---- groups that are known beforehand ---- */

static uint8_t *seed_entry(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry)
{
    const struct sc_aggregate *a = to->aggregate;
    uint8_t packed[SC_MAX_KEYS * 8 + 16];
    uint64_t nulls = sc_key_load(entry + a->null_at, a->key_count > 8 ? 2 : 1);
    uint8_t *p = packed;
    memcpy(packed, entry, a->key_bytes);
    for (uint32_t k = 0; k < a->key_count; k++) {
        if (a->keys[k].interned && (nulls >> k & 1) == 0) {
            uint32_t length;
            const uint8_t *bytes = sc_interner_bytes(&from->interner, sc_load_le32(p), &length);
            uint32_t id = sc_interner_add(&to->interner, bytes, length);
            if (id == UINT32_MAX)
                return NULL;
            sc_store_le32(p, id);
        }
        p += a->keys[k].width;
    }
    return sc_groups_find(to, packed, sc_groups_hash(to, packed));
}

enum sc_status sc_groups_seed(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry)
{
    return seed_entry(to, from, entry) == NULL ? SC_NOMEM : SC_OK;
}

static bool same_accumulator(const struct sc_accumulator *x, const struct sc_accumulator *y)
{
    return x->how == y->how && strcmp(x->field.name, y->field.name) == 0;
}

enum sc_status sc_groups_carry(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry)
{
    const struct sc_aggregate *a = to->aggregate, *b = from->aggregate;
    unsigned width = a->accumulator_count > 8 ? 2 : 1;
    uint64_t now = 0, seen = sc_key_load(entry + b->seen_at, b->accumulator_count > 8 ? 2 : 1);
    uint8_t *made = seed_entry(to, from, entry);
    to->most = SC_SATURATED;
    if (made == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        for (uint32_t k = 0; k < b->accumulator_count; k++) {
            if ((seen >> k & 1) == 0 || !same_accumulator(&a->accumulators[i], &b->accumulators[k]))
                continue;
            memcpy(made + a->accumulators_at + 8 * i, entry + b->accumulators_at + 8 * k, 8);
            now |= UINT64_C(1) << i;
        }
    }
    sc_key_store(made + a->seen_at, width, now);
    return SC_OK;
}

void sc_groups_close(struct sc_groups *groups)
{
    groups->closed = true;
}
