// SPDX-License-Identifier: BSD-3-Clause
#include "group/part.h"

#include "group/table.h"

#include <stdlib.h>

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
            const uint8_t *entry = sc_partition_entry(p, n);
            uint32_t part =
                parts == 1
                    ? 0
                    : part_of(sc_groups_hash(groups, p->layout, entry + groups->aggregate->key_at), parts);
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
            const uint8_t *entry = sc_partition_entry(p, n);
            uint64_t value;
            if (!sc_entry_value(groups->aggregate, entry, accumulator, &value) || value < least)
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
            const uint8_t *entry = sc_partition_entry(p, n);
            uint64_t value;
            if (sc_entry_value(groups->aggregate, entry, accumulator, &value) && value > greatest)
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

static uint32_t number_string(const void *arg, uint32_t id)
{
    struct numbering *n = *(struct numbering *const *)arg;
    if (n->numbers[id] == UINT32_MAX) {
        n->numbers[id] = n->count;
        n->used[n->count++] = id;
    }
    return n->numbers[id];
}

static bool make_numbering(const struct sc_groups *groups, struct numbering *out)
{
    uint32_t strings = groups->interner.count;
    out->numbers = malloc(((size_t)strings + 1) * sizeof(*out->numbers));
    out->used = malloc(((size_t)strings + 1) * sizeof(*out->used));
    if (out->numbers == NULL || out->used == NULL)
        return false;
    memset(out->numbers, 0xff, (size_t)strings * sizeof(*out->numbers));
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

static void put_sketch(const struct sc_aggregate *a, const uint8_t *entry, uint32_t accumulator,
                       const struct sc_aggregate *sketch, enum sc_key_layout layout, uint8_t *to)
{
    uint64_t value;
    bool has_value = sc_entry_value(a, entry, accumulator, &value);
    memset(to, 0, sketch->entry_bytes[layout]);
    memcpy(to + sketch->key_at, entry + a->key_at, a->key_bytes[layout]);
    sc_entry_set_seen(sketch, to, 1u << SC_SKETCH_TOLD | (has_value ? 1u << SC_SKETCH_VALUE : 0));
    sc_store_le64(to + (size_t)8 * SC_SKETCH_VALUE, has_value ? value : 0);
    sc_store_le64(to + (size_t)8 * SC_SKETCH_TOLD, 1);
}

static void write_each(const struct sc_groups *groups, const struct sc_result *entries,
                       const struct sc_aggregate *sketch, uint32_t accumulator, struct numbering *n,
                       struct sc_buf *out)
{
    const struct sc_aggregate *a = groups->aggregate, *as = sketch != NULL ? sketch : a;
    for (uint64_t i = 0; i < entries->count; i++) {
        const uint8_t *entry = entries->entries[i];
        enum sc_key_layout layout = sc_entry_layout(a, entry);
        uint8_t *to = sc_buf_reserve(out, as->entry_bytes[layout]);
        if (to == NULL)
            return;
        if (sketch != NULL)
            put_sketch(a, entry, accumulator, sketch, layout, to);
        else
            memcpy(to, entry, a->entry_bytes[layout]);
        (void)sc_key_renumber(a, to + as->key_at, number_string, &n);
        out->len += as->entry_bytes[layout];
    }
}

/* Of strings those that entries use; what they are stands before the entries. `sketch` NULL: whole entries. */
static enum sc_status write_part(const struct sc_groups *groups, const struct sc_result *entries,
                                 const struct sc_aggregate *sketch, uint32_t accumulator, struct sc_buf *out,
                                 struct sc_error *err)
{
    const struct sc_aggregate *as = sketch != NULL ? sketch : groups->aggregate;
    struct sc_buf bytes = {0};
    struct numbering n = {0};
    bool ok = make_numbering(groups, &n);
    if (ok && !as->interns) {
        sc_groups_write_head(out, as, 0, entries->count);
        write_each(groups, entries, sketch, accumulator, &n, out);
    } else if (ok) {
        write_each(groups, entries, sketch, accumulator, &n, &bytes);
        sc_groups_write_head(out, as, n.count, entries->count);
        write_strings(groups, &n, out);
        sc_buf_append(out, bytes.data, bytes.len);
    }
    ok = ok && sc_buf_ok(out) && sc_buf_ok(&bytes);
    sc_buf_free(&bytes);
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
    uint8_t key[SC_MOST_KEY_BYTES];
    const struct sc_string_transfer strings = {&groups->interner, &from->interner};
    enum sc_key_layout layout = sc_entry_layout(from->aggregate, entry);
    if (!sc_groups_translate(groups, from, entry, sc_string_find, &strings, key))
        return NULL;
    bool closed = groups->closed;
    groups->closed = true;
    const uint8_t *found = sc_groups_find(groups, layout, key, sc_groups_hash(groups, layout, key));
    groups->closed = closed;
    return found;
}
