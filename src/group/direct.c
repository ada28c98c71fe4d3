// SPDX-License-Identifier: BSD-3-Clause
/* One key of few values: an entry for each of them. */
#include "group/direct.h"

#include <stdlib.h>

/* What a table of all values costs pays only for more rows than this. */
#define MANY_ROWS 4096u
#define LINE      64u

static uint32_t direct_stride(const struct sc_aggregate *a)
{
    uint32_t bytes = a->entry_bytes[SC_KEY_NARROW];
    return bytes <= LINE ? LINE : bytes; /* best is one line of the cache for each */
}

static uint32_t direct_count(const struct sc_aggregate *a)
{
    return 1 + (1u << (8 * a->keys[0].width[SC_KEY_NARROW]));
}

static void init_direct(const struct sc_aggregate *a, uint8_t *table)
{
    const struct sc_group_key *key = &a->keys[0];
    for (uint32_t i = 0; i < direct_count(a); i++, table += direct_stride(a)) {
        uint8_t *packed = table + a->key_at;
        sc_entry_clear(a, table);
        sc_store_le32(packed, i == 0 ? SC_HEAD_NULL(0) : 0);
        if (i > 0 && key->width[SC_KEY_NARROW] == 1)
            packed[key->at[SC_KEY_NARROW]] = (uint8_t)(i - 1);
        else if (i > 0)
            sc_store_le16(packed + key->at[SC_KEY_NARROW], (uint16_t)(i - 1));
    }
}

static size_t direct_bytes(const struct sc_aggregate *a)
{
    return (size_t)direct_count(a) * direct_stride(a);
}

/* A table of all values must not fail under a limit that those which there are would keep. */
static bool has_room(const struct sc_groups *groups)
{
    return groups->spill.memory == 0 || direct_bytes(groups->aggregate) <= groups->spill.memory;
}

void sc_groups_need_direct(struct sc_groups *groups, uint32_t rows)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    bool bit_free = a->accumulator_count % 8 != 0 || a->accumulator_count == 0;
    if (s->direct != NULL || a->key_count != 1 || groups->closed || a->keys[0].width[SC_KEY_NARROW] > 2 ||
        !bit_free || rows < MANY_ROWS || !has_room(groups))
        return;
    s->direct = sc_groups_make_block(direct_bytes(a));
    if (s->direct == NULL)
        return;
    init_direct(a, s->direct);
    s->direct_seen = UINT64_C(1) << (a->accumulator_count > 8 ? 15 : 7);
}

bool sc_group_find_direct(struct sc_groups *groups, const struct sc_row_values *key, const uint32_t *rows,
                          uint32_t n)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    uint32_t stride = direct_stride(a);
    uint64_t values[SC_GROUP_CHUNK], any = 0;
    sc_group_take_values(key, rows, n, values);
    for (uint32_t j = 0; j < n; j++)
        any |= values[j];
    if (any >> (8 * a->keys[0].width[SC_KEY_NARROW]) != 0)
        return false;
    for (uint32_t j = 0; j < n; j++) {
        bool null = !key->all_valid && !sc_row_is_set(key->valid, rows[j]);
        s->ahead[j] = s->direct + (null ? 0 : (size_t)values[j] + 1) * stride;
        __builtin_prefetch(s->ahead[j], 1);
    }
    return true;
}

void sc_groups_merge_direct(struct sc_groups *to, struct sc_groups *from)
{
    const struct sc_aggregate *a = to->aggregate;
    if (to->scratch == NULL || from->scratch == NULL || to->scratch->direct == NULL ||
        from->scratch->direct == NULL)
        return;
    uint64_t had_rows = from->scratch->direct_seen;
    uint8_t *entry = to->scratch->direct, *other = from->scratch->direct;
    for (uint32_t i = 0; i < direct_count(a); i++, entry += direct_stride(a), other += direct_stride(a)) {
        uint64_t seen = sc_entry_seen(a, other);
        if ((seen & had_rows) != 0)
            sc_groups_combine(a, entry, other);
    }
    free(from->scratch->direct);
    from->scratch->direct = NULL;
    from->scratch->direct_seen = 0;
}

/* Those that had rows, one behind the other at the begin; returns how many. */
static uint32_t pack_entries(const struct sc_aggregate *a, struct sc_group_scratch *s)
{
    const uint8_t *entry = s->direct;
    uint8_t *to = s->direct;
    uint32_t count = 0, bytes = a->entry_bytes[SC_KEY_NARROW];
    for (uint32_t i = 0; i < direct_count(a); i++, entry += direct_stride(a)) {
        uint64_t seen = sc_entry_seen(a, entry);
        if ((seen & s->direct_seen) == 0)
            continue;
        memmove(to, entry, bytes);
        sc_entry_set_seen(a, to, seen & ~s->direct_seen);
        to += bytes;
        count++;
    }
    return count;
}

bool sc_groups_settle_direct(struct sc_groups *groups)
{
    struct sc_group_scratch *s = groups->scratch;
    if (s == NULL || s->direct == NULL)
        return true;
    uint32_t count = pack_entries(groups->aggregate, s);
    bool ok = true;
    for (uint32_t i = 0; i < 1u << SC_PARTITION_BITS && ok; i++) {
        struct sc_partition *p = &groups->partitions[i];
        ok = sc_groups_reserve(groups, p, p->count + (count >> SC_PARTITION_BITS));
    }
    ok = ok && sc_groups_absorb(groups, NULL, SC_KEY_NARROW, s->direct, count);
    free(s->direct);
    s->direct = NULL;
    s->direct_seen = 0;
    return ok;
}

size_t sc_groups_direct_memory(const struct sc_groups *groups)
{
    const struct sc_group_scratch *s = groups->scratch;
    return s == NULL || s->direct == NULL ? 0 : direct_bytes(groups->aggregate);
}
