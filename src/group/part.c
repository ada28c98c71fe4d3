// SPDX-License-Identifier: BSD-3-Clause
#include "group/part.h"

#include "group/table.h"

#include <stdlib.h>

static uint64_t nulls_of(const struct sc_aggregate *a, const uint8_t *entry)
{
    return sc_key_load(entry + a->null_at, a->key_count > 8 ? 2 : 1);
}

static bool value_of(const struct sc_aggregate *a, const uint8_t *entry, uint32_t accumulator,
                     uint64_t *value)
{
    uint64_t seen = sc_key_load(entry + a->seen_at, a->accumulator_count > 8 ? 2 : 1);
    *value = sc_load_le64(entry + a->accumulators_at + 8 * accumulator);
    return (seen >> accumulator & 1) != 0;
}

/* ---- choosing ---- */

/*
 * From bits of the hash that choose neither a table's partition nor, among so many groups as there are, a slot: each part fills the
 * table of the one who puts it together evenly.
 */
static uint32_t part_of(uint64_t hash, uint32_t parts)
{
    uint64_t bits = hash << SC_PARTITION_BITS >> 32;
    return (uint32_t)(bits * parts >> 32);
}

/* Counts the entries of each part, or, where `out` has room, puts them there. */
static void deal(const struct sc_groups *groups, uint32_t parts, struct sc_result *out)
{
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        for (uint32_t n = 0; n < p->count; n++) {
            const uint8_t *entry = sc_partition_entry(p, n, groups->aggregate->entry_bytes);
            uint32_t part = parts == 1 ? 0 : part_of(sc_groups_hash(groups, entry), parts);
            if (out[part].entries != NULL)
                out[part].entries[out[part].count] = entry;
            out[part].count++;
        }
    }
}

enum sc_status sc_groups_split(const struct sc_groups *groups, uint32_t parts, struct sc_result *out,
                               struct sc_error *err)
{
    memset(out, 0, parts * sizeof(*out));
    const uint8_t **entries = malloc((sc_groups_count(groups) + 1) * sizeof(*entries));
    if (entries == NULL)
        return sc_fail_nomem(err, "parts of groups");
    deal(groups, parts, out);
    for (uint32_t part = 0; part < parts; part++) {
        out[part].entries = entries;
        entries += out[part].count;
        out[part].count = 0;
    }
    deal(groups, parts, out);
    return SC_OK;
}

/* As deal. */
static void pick(const struct sc_groups *groups, uint32_t accumulator, uint64_t least, struct sc_result *out)
{
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        for (uint32_t n = 0; n < p->count; n++) {
            const uint8_t *entry = sc_partition_entry(p, n, groups->aggregate->entry_bytes);
            uint64_t value;
            if (!value_of(groups->aggregate, entry, accumulator, &value) || value < least)
                continue;
            if (out->entries != NULL)
                out->entries[out->count] = entry;
            out->count++;
        }
    }
}

enum sc_status sc_groups_at_least(const struct sc_groups *groups, uint32_t accumulator, uint64_t least,
                                  struct sc_result *out, struct sc_error *err)
{
    *out = (struct sc_result){0};
    pick(groups, accumulator, least, out);
    out->entries = malloc((out->count + 1) * sizeof(*out->entries));
    out->count = 0;
    if (out->entries == NULL)
        return sc_fail_nomem(err, "parts of groups");
    pick(groups, accumulator, least, out);
    return SC_OK;
}

uint64_t sc_groups_greatest(const struct sc_groups *groups, uint32_t accumulator)
{
    uint64_t greatest = 0;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        for (uint32_t n = 0; n < p->count; n++) {
            const uint8_t *entry = sc_partition_entry(p, n, groups->aggregate->entry_bytes);
            uint64_t value;
            if (value_of(groups->aggregate, entry, accumulator, &value) && value > greatest)
                greatest = value;
        }
    }
    return greatest;
}

/* ---- writing ---- */

/* The strings that some entries use, by numbers of their own. */
struct numbering {
    uint32_t *numbers; /* of each string of the groups; UINT32_MAX: not used */
    uint32_t *used;    /* strings by their new numbers */
    uint32_t count;
};

static bool make_numbering(const struct sc_groups *groups, const struct sc_result *entries,
                           struct numbering *out)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint32_t strings = groups->interner.count;
    out->numbers = malloc(((size_t)strings + 1) * sizeof(*out->numbers));
    out->used = malloc(((size_t)strings + 1) * sizeof(*out->used));
    if (out->numbers == NULL || out->used == NULL)
        return false;
    memset(out->numbers, 0xff, (size_t)strings * sizeof(*out->numbers));
    for (uint64_t i = 0; i < entries->count; i++) {
        const uint8_t *key = entries->entries[i];
        uint64_t nulls = nulls_of(a, key);
        for (uint32_t k = 0; k < a->key_count; key += a->keys[k].width, k++) {
            uint32_t id = a->keys[k].interned && (nulls >> k & 1) == 0 ? sc_load_le32(key) : strings;
            if (id == strings || out->numbers[id] != UINT32_MAX)
                continue;
            out->numbers[id] = out->count;
            out->used[out->count++] = id;
        }
    }
    return true;
}

static void free_numbering(struct numbering *n)
{
    free(n->numbers);
    free(n->used);
}

static void write_strings(const struct sc_groups *groups, const struct numbering *n, struct sc_buf *out)
{
    for (uint32_t i = 0; i < n->count; i++) {
        uint32_t length;
        const uint8_t *bytes = sc_interner_bytes(&groups->interner, n->used[i], &length);
        sc_buf_append_le32(out, length);
        sc_buf_append(out, bytes, length);
    }
}

static void renumber(const struct sc_aggregate *a, const struct numbering *n, uint8_t *key)
{
    uint64_t nulls = nulls_of(a, key);
    for (uint32_t k = 0; k < a->key_count; key += a->keys[k].width, k++) {
        if (a->keys[k].interned && (nulls >> k & 1) == 0)
            sc_store_le32(key, n->numbers[sc_load_le32(key)]);
    }
}

static void put_sketch(const struct sc_aggregate *a, const uint8_t *entry, uint32_t accumulator,
                       const struct sc_aggregate *sketch, uint8_t *to)
{
    uint64_t value;
    bool has_value = value_of(a, entry, accumulator, &value);
    memset(to, 0, sketch->entry_bytes);
    memcpy(to, entry, a->key_bytes);
    to[sketch->seen_at] = (uint8_t)(1u << SC_SKETCH_TOLD | (has_value ? 1u << SC_SKETCH_VALUE : 0));
    sc_store_le64(to + sketch->accumulators_at + (size_t)8 * SC_SKETCH_VALUE, has_value ? value : 0);
    sc_store_le64(to + sketch->accumulators_at + (size_t)8 * SC_SKETCH_TOLD, 1);
}

/* `sketch` NULL: whole entries. */
static enum sc_status write_part(const struct sc_groups *groups, const struct sc_result *entries,
                                 const struct sc_aggregate *sketch, uint32_t accumulator, struct sc_buf *out,
                                 struct sc_error *err)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint32_t bytes = sketch != NULL ? sketch->entry_bytes : a->entry_bytes;
    struct numbering n = {0};
    bool ok = make_numbering(groups, entries, &n);
    if (ok) {
        sc_groups_write_head(out, bytes, n.count, entries->count);
        write_strings(groups, &n, out);
        ok = sc_buf_ok(out) && sc_buf_reserve(out, entries->count * bytes + 1) != NULL;
    }
    for (uint64_t i = 0; ok && i < entries->count; i++) {
        uint8_t *to = out->data + out->len;
        if (sketch != NULL)
            put_sketch(a, entries->entries[i], accumulator, sketch, to);
        else
            memcpy(to, entries->entries[i], bytes);
        renumber(a, &n, to);
        out->len += bytes;
    }
    free_numbering(&n);
    return ok ? SC_OK : sc_fail_nomem(err, "parts of groups");
}

enum sc_status sc_groups_write_entries(const struct sc_groups *groups, const struct sc_result *entries,
                                       struct sc_buf *out, struct sc_error *err)
{
    return write_part(groups, entries, NULL, 0, out, err);
}

void sc_aggregate_sketch(const struct sc_aggregate *full, uint32_t accumulator, struct sc_aggregate *out)
{
    *out = *full;
    out->accumulator_count = 2;
    out->accumulators[SC_SKETCH_VALUE] = full->accumulators[accumulator];
    out->accumulators[SC_SKETCH_TOLD] =
        (struct sc_accumulator){.field = full->accumulators[accumulator].field, .how = SC_ACCUMULATE_COUNT};
    sc_aggregate_prepare(out);
}

enum sc_status sc_groups_write_sketch(const struct sc_groups *groups, const struct sc_result *entries,
                                      const struct sc_aggregate *sketch, uint32_t accumulator,
                                      struct sc_buf *out, struct sc_error *err)
{
    return write_part(groups, entries, sketch, accumulator, out, err);
}

/* ---- between groups ---- */

const uint8_t *sc_groups_lookup(struct sc_groups *groups, const struct sc_groups *from, const uint8_t *entry)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint8_t packed[SC_MAX_KEYS * 8 + 16];
    uint64_t nulls = nulls_of(a, entry);
    memcpy(packed, entry, a->key_bytes);
    uint8_t *key = packed;
    for (uint32_t k = 0; k < a->key_count; key += a->keys[k].width, k++) {
        if (!a->keys[k].interned || (nulls >> k & 1) != 0)
            continue;
        uint32_t length;
        const uint8_t *bytes = sc_interner_bytes(&from->interner, sc_load_le32(key), &length);
        uint32_t id = sc_interner_find(&groups->interner, bytes, length);
        if (id == UINT32_MAX)
            return NULL;
        sc_store_le32(key, id);
    }
    bool closed = groups->closed;
    groups->closed = true;
    const uint8_t *found = sc_groups_find(groups, packed, sc_groups_hash(groups, packed));
    groups->closed = closed;
    return found;
}

/* The entry laid out anew; accumulators as they are. */
static void widen_entry(const struct sc_aggregate *from, const struct sc_aggregate *to, const uint8_t *entry,
                        uint8_t *out)
{
    const uint8_t *key = entry;
    uint8_t *wide = out;
    memset(out, 0, to->entry_bytes);
    for (uint32_t k = 0; k < from->key_count; k++) {
        sc_key_store(wide, to->keys[k].width, sc_key_load(key, from->keys[k].width));
        key += from->keys[k].width;
        wide += to->keys[k].width;
    }
    sc_key_store(out + to->null_at, from->key_count > 8 ? 2 : 1, nulls_of(from, entry));
    memcpy(out + to->seen_at, entry + from->seen_at, from->accumulator_count > 8 ? 2 : 1);
    memcpy(out + to->accumulators_at, entry + from->accumulators_at, (size_t)8 * from->accumulator_count);
}

static bool widen_partition(struct sc_groups *to, const struct sc_aggregate *from,
                            const struct sc_partition *p)
{
    uint8_t wide[SC_MAX_KEYS * 8 + 16 + SC_MAX_ACCUMULATORS * 8];
    for (uint32_t n = 0; n < p->count; n++) {
        widen_entry(from, to->aggregate, sc_partition_entry(p, n, from->entry_bytes), wide);
        uint8_t *entry = sc_groups_find(to, wide, sc_groups_hash(to, wide));
        if (entry == NULL)
            return false;
        memcpy(entry, wide, to->aggregate->entry_bytes);
    }
    return true;
}

enum sc_status sc_groups_widen(struct sc_groups *groups, struct sc_aggregate *aggregate, struct sc_error *err)
{
    const struct sc_aggregate narrow = *aggregate;
    bool ok = true;
    aggregate->wide_keys = true;
    sc_aggregate_prepare(aggregate);
    sc_group_scratch_free(groups->scratch);
    groups->scratch = NULL;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        struct sc_partition own = groups->partitions[i];
        groups->partitions[i] = (struct sc_partition){0};
        ok = ok && widen_partition(groups, &narrow, &own); /* the hash is by value: same partition */
        sc_partition_empty(&own);
    }
    return ok ? SC_OK : sc_fail_nomem(err, "groups with wider keys");
}
