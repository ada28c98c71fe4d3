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

/* Bytes that the values of a field usually need. */
static unsigned usual_width(const struct sc_group_key *key)
{
    const struct sc_field *f = &key->field;
    bool integer = f->type == SC_VALUE_UINT && f->computed == SC_COMPUTED_NONE && f->source_count > 0;
    const struct sc_ie *ie = integer ? sc_ie_find(f->sources[0].key.pen, f->sources[0].key.id) : NULL;
    unsigned width = ie == NULL ? 8 : sc_column_width_of(ie->type);
    return width == 0 || width > 8 ? 8 : width;
}

static void set_widths(struct sc_group_key *key)
{
    key->address = key->field.type == SC_VALUE_ADDRESS;
    key->interned = key->field.type == SC_VALUE_BYTES || key->field.type == SC_VALUE_STRING;
    unsigned usual = key->address || key->interned ? 4 : usual_width(key);
    key->width[SC_KEY_NARROW] = (uint8_t)usual;
    key->width[SC_KEY_MIDDLE] = key->address ? 16 : (uint8_t)usual;
    key->width[SC_KEY_WIDE] = key->address ? 16 : key->interned ? 4 : 8;
}

void sc_aggregate_prepare(struct sc_aggregate *a)
{
    a->interns = false;
    a->seen_at = 8 * a->accumulator_count;
    a->key_at = a->seen_at + (a->accumulator_count > 8 ? 2 : 1);
    for (uint32_t k = 0; k < a->key_count; k++) {
        set_widths(&a->keys[k]);
        a->interns = a->interns || a->keys[k].interned;
    }
    for (unsigned layout = 0; layout < SC_KEY_LAYOUTS; layout++) {
        uint32_t at = sc_head_bytes(a);
        for (uint32_t k = 0; k < a->key_count; k++) {
            a->keys[k].at[layout] = (uint16_t)at;
            at += a->keys[k].width[layout];
        }
        a->key_bytes[layout] = at < SC_MIN_KEY_BYTES ? SC_MIN_KEY_BYTES : at;  /* the rest is zero */
        a->entry_bytes[layout] = (a->key_at + a->key_bytes[layout] + 3) & ~3u; /* loads may be unaligned */
    }
}

/* ---- packed keys ---- */

bool sc_key_renumber(const struct sc_aggregate *a, uint8_t *key,
                     uint32_t (*number)(const void *arg, uint32_t id), const void *arg)
{
    uint32_t head = sc_key_head(a, key);
    for (uint32_t k = 0; a->interns && k < a->key_count; k++) {
        if (!a->keys[k].interned || (head & SC_HEAD_NULL(k)) != 0)
            continue;
        uint8_t *at = key + a->keys[k].at[head & SC_HEAD_LAYOUT];
        uint32_t other = number(arg, sc_load_le32(at));
        if (other == UINT32_MAX)
            return false;
        sc_store_le32(at, other);
    }
    return true;
}

static uint32_t hash_of_string(const void *arg, uint32_t id)
{
    const struct sc_interner *interner = arg;
    return interner->hashes[id] & ~(uint32_t)1; /* never UINT32_MAX */
}

uint64_t sc_groups_hash_strings(const struct sc_groups *groups, enum sc_key_layout layout, const uint8_t *key)
{
    uint8_t copy[SC_MOST_KEY_BYTES];
    uint32_t bytes = groups->aggregate->key_bytes[layout];
    memcpy(copy, key, bytes);
    (void)sc_key_renumber(groups->aggregate, copy, hash_of_string, &groups->interner);
    return sc_key_hash_bytes(copy, bytes, groups->aggregate->seed);
}

/* ---- the table ---- */

struct sc_groups *sc_groups_create(const struct sc_aggregate *aggregate)
{
    struct sc_groups *groups = calloc(1, sizeof(*groups));
    if (groups == NULL)
        return NULL;
    groups->aggregate = aggregate;
    groups->interner.seed = aggregate->seed;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        struct sc_partition *p = &groups->partitions[i];
        p->layout = (enum sc_key_layout)(i >> SC_PARTITION_BITS);
        p->entry_bytes = aggregate->entry_bytes[p->layout];
    }
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
    for (uint32_t k = 0; k < SC_MAX_KEYS; k++)
        free(groups->seeds[k].addresses);
    sc_interner_free(&groups->interner);
    sc_group_scratch_free(groups->scratch);
    free(groups);
}

void sc_groups_set_cancel(struct sc_groups *groups, const atomic_int *cancel)
{
    groups->cancel = cancel;
}

uint64_t sc_groups_entries(const struct sc_groups *groups)
{
    return sc_groups_count(groups) + groups->spill.held;
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
        bytes += (size_t)p->slot_count * sizeof(*p->slots) + (size_t)p->count * p->entry_bytes;
    }
    return bytes;
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

/*
 * At least 4 bytes, in words that overlap at the end. No byte before the key is touched: `seen` was just
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
    memset(entry, 0, a->key_at);
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if (a->accumulators[i].how == SC_ACCUMULATE_MIN)
            sc_store_le64(entry + (size_t)8 * i, UINT64_MAX);
    }
}

uint8_t *sc_groups_find(struct sc_groups *groups, enum sc_key_layout layout, const uint8_t *key,
                        uint64_t hash)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_partition *p = &groups->partitions[sc_partition_of(layout, hash)];
    if (groups->closed && p->count == 0)
        return NULL;
    if (p->count >= p->slot_count - p->slot_count / 4 && (p->count >= MAX_ENTRIES || !grow_slots(groups, p)))
        return NULL;
    uint32_t mask = p->slot_count - 1, tag = sc_slot_tag(hash), bytes = a->key_bytes[layout];
    uint32_t i = (uint32_t)hash & mask;
    for (; p->slots[i] != 0; i = (i + 1) & mask) {
        if ((p->slots[i] & SC_SLOT_TAG) != tag)
            continue;
        uint8_t *entry = sc_partition_entry(p, SC_SLOT_NUMBER(p->slots[i]));
        if (same_key(entry + a->key_at, key, bytes))
            return entry;
    }
    uint8_t *entry = groups->closed ? NULL : add_entry(p);
    if (entry == NULL)
        return NULL;
    sc_entry_clear(a, entry);
    memcpy(entry + a->key_at, key, bytes);
    p->slots[i] = p->count | tag;
    return entry;
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

/* ---- groups that are known beforehand ---- */

struct transfer {
    struct sc_interner *to;
    const struct sc_interner *from;
};

static uint32_t add_string(const void *arg, uint32_t id)
{
    const struct transfer *t = arg;
    uint32_t length;
    const uint8_t *bytes = sc_interner_bytes(t->from, id, &length);
    return sc_interner_add(t->to, bytes, length);
}

static uint8_t *seed_entry(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry)
{
    uint8_t key[SC_MOST_KEY_BYTES];
    const struct transfer strings = {&to->interner, &from->interner};
    enum sc_key_layout layout = sc_entry_layout(from->aggregate, entry);
    memcpy(key, entry + from->aggregate->key_at, to->aggregate->key_bytes[layout]);
    if (!sc_key_renumber(to->aggregate, key, add_string, &strings))
        return NULL;
    return sc_groups_find(to, layout, key, sc_groups_hash(to, layout, key));
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
    uint64_t now = 0, value;
    uint8_t *made = seed_entry(to, from, entry);
    to->most = SC_SATURATED;
    if (made == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        for (uint32_t k = 0; k < b->accumulator_count; k++) {
            if (!same_accumulator(&a->accumulators[i], &b->accumulators[k]) ||
                !sc_entry_value(b, entry, k, &value))
                continue;
            sc_store_le64(made + (size_t)8 * i, value);
            now |= UINT64_C(1) << i;
        }
    }
    sc_entry_set_seen(a, made, now);
    return SC_OK;
}

/* The address of key k in all entries. */
static bool list_seeds(const struct sc_groups *groups, uint32_t k, struct sc_seeds *out)
{
    const struct sc_result_column column = {.source = SC_RESULT_KEY, .a = k};
    out->addresses = malloc((sc_groups_count(groups) + 1) * sizeof(*out->addresses));
    for (uint32_t i = 0; i < SC_PARTITIONS && out->addresses != NULL; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        for (uint32_t n = 0; n < p->count; n++) {
            struct sc_value v = sc_groups_value(groups, sc_partition_entry(p, n), &column);
            out->null = out->null || v.null;
            out->addresses[out->count] = v.addr;
            out->count += !v.null;
        }
    }
    return out->addresses != NULL;
}

enum sc_status sc_groups_close(struct sc_groups *groups)
{
    for (uint32_t k = 0; k < groups->aggregate->key_count; k++) {
        if (!groups->aggregate->keys[k].address)
            continue;
        if (!list_seeds(groups, k, &groups->seeds[k]))
            return SC_NOMEM;
        sc_seeds_sort(&groups->seeds[k]);
    }
    groups->closed = true;
    return SC_OK;
}
