// SPDX-License-Identifier: BSD-3-Clause
/* Groups from their begin to their end, and those that are known beforehand. */
#include "group/direct.h"

#include <stdlib.h>

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

void sc_partition_free(struct sc_partition *p)
{
    sc_partition_empty(p);
    for (struct sc_spilled *list = p->spilled, *next; list != NULL; list = next) {
        next = list->next;
        free(list);
    }
    p->spilled = NULL;
    free(p->extents);
    p->extents = NULL;
    p->extent_count = 0;
}

void sc_plain_free(struct sc_groups *groups)
{
    if (groups == NULL)
        return;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++)
        sc_partition_free(&groups->partitions[i]);
    for (uint32_t k = 0; k < SC_MAX_KEYS; k++)
        free(groups->seeds[k].addresses);
    sc_spill_file_free(groups->spill.file);
    free(groups->cells);
    sc_interner_free(&groups->interner);
    sc_group_scratch_free(groups->scratch);
    free(groups);
}

uint64_t sc_groups_entries(const struct sc_groups *groups)
{
    return sc_groups_count(groups) + groups->spill.held;
}

size_t sc_plain_memory(const struct sc_groups *groups)
{
    size_t bytes =
        sc_interner_memory(&groups->interner) + groups->spill.bytes + sc_groups_direct_memory(groups);
    if (groups->cells != NULL)
        bytes += sizeof(*groups->cells) << groups->hash_bits;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        bytes += (size_t)p->slot_count * sizeof(*p->slots) + (size_t)p->count * p->entry_bytes;
    }
    return bytes;
}

/* ---- groups that are known beforehand ---- */

static uint8_t *seed_entry(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry)
{
    uint8_t key[SC_MOST_KEY_BYTES];
    const struct sc_string_transfer strings = {&to->interner, &from->interner};
    enum sc_key_layout layout = sc_entry_layout(from->aggregate, entry);
    if (!sc_groups_translate(to, from, entry, sc_string_add, &strings, key))
        return NULL;
    return sc_groups_find(to, layout, key, sc_groups_hash(to, layout, key));
}

enum sc_status sc_groups_seed(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry)
{
    return seed_entry(to, from, entry) == NULL ? SC_NOMEM : SC_OK;
}

enum sc_status sc_groups_carry(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry)
{
    const struct sc_aggregate *a = to->aggregate, *b = from->aggregate;
    uint64_t now, value;
    uint8_t *made = seed_entry(to, from, entry);
    to->most = SC_SATURATED;
    if (made == NULL)
        return SC_NOMEM;
    now = sc_entry_seen(a, made);
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        for (uint32_t k = 0; k < b->accumulator_count; k++) {
            if (!sc_accumulator_same(&a->accumulators[i], &b->accumulators[k]) ||
                !sc_entry_value(b, entry, k, &value))
                continue;
            sc_store_le64(made + (size_t)8 * i, value);
            now |= UINT64_C(1) << i;
        }
    }
    sc_entry_set_seen(a, made, now);
    return SC_OK;
}

void sc_groups_know(struct sc_groups *groups, const struct sc_groups *from)
{
    const struct sc_aggregate *a = groups->aggregate, *b = from->aggregate;
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        for (uint32_t k = 0; k < b->accumulator_count; k++)
            groups->known |= (uint32_t)sc_accumulator_same(&a->accumulators[i], &b->accumulators[k]) << i;
    }
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
