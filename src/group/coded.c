// SPDX-License-Identifier: BSD-3-Clause
/* Rows to groups where the only key is an address: by the codes of the row group's dictionary. */
#include "group/codes.h"
#include "group/rows.h"

#include <stdlib.h>

/* Which codes the rows have, one byte each. */
static void mark_used(const struct sc_column *dict, const uint32_t *rows, uint32_t n, uint8_t *used)
{
    SC_EACH_CODE(used[code] = 1);
}

/* Each address is looked up once here, and many are not there yet or far away: it is less work to put them together at the end. */
#define MANY_ADDRESSES 1024u

static bool are_many(const uint8_t *used, uint32_t codes)
{
    uint32_t n = 0;
    for (uint32_t code = 0; code < codes; code++)
        n += used[code];
    return n > MANY_ADDRESSES;
}

/* The entries of up to SC_GROUP_CHUNK codes. */
static enum sc_status find_some(struct sc_groups *groups, const struct sc_addr *addresses,
                                const uint32_t *codes, uint32_t n, uint8_t **by_code)
{
    const struct sc_addr *some[SC_GROUP_CHUNK];
    uint8_t *found[SC_GROUP_CHUNK];
    for (uint32_t j = 0; j < n; j++)
        some[j] = &addresses[codes[j]];
    sc_group_pack_addresses(groups, &groups->scratch->packed, some, n);
    SC_TRY(sc_group_search(groups, &groups->scratch->packed, n, found));
    for (uint32_t j = 0; j < n; j++)
        by_code[codes[j]] = found[j];
    return SC_OK;
}

/* The entry of each code that rows have, and behind the last that of null; NULL where the groups are closed and have none. */
static enum sc_status find_codes(struct sc_groups *groups, const struct sc_key_rows *key, const uint8_t *used,
                                 uint8_t **by_code)
{
    uint32_t codes[SC_GROUP_CHUNK] = {0}, n = 0, count = key->codes->dict.count;
    for (uint32_t code = 0; code < count; code++) {
        codes[n] = code;
        n += used[code];
        if (n < SC_GROUP_CHUNK)
            continue;
        SC_TRY(find_some(groups, key->addresses, codes, n, by_code));
        n = 0;
    }
    if (n != 0)
        SC_TRY(find_some(groups, key->addresses, codes, n, by_code));
    if (!used[count])
        return SC_OK;
    uint8_t null[SC_MOST_KEY_BYTES] = {0};
    sc_key_set_head(groups->aggregate, null, SC_HEAD_NULL(0));
    by_code[count] = sc_groups_find(groups, SC_KEY_NARROW, null, sc_groups_hash(groups, SC_KEY_NARROW, null));
    return by_code[count] == NULL && !groups->closed ? SC_NOMEM : SC_OK;
}

/* Fetches the entries of a chunk of rows. */
static void list_entries(const struct sc_aggregate *a, const struct sc_column *dict, uint8_t *const *by_code,
                         const uint32_t *rows, uint32_t n, uint8_t **out)
{
    SC_EACH_CODE(out[j] = by_code[code]);
    for (uint32_t j = 0; j < n; j++) {
        __builtin_prefetch(out[j], 1);
        __builtin_prefetch(out[j] + a->entry_bytes[SC_KEY_MIDDLE] - 1, 1); /* it may lie across two lines */
    }
}

/* Rows of groups that are not there leave the list; returns how many are left. */
static uint32_t drop_absent(const struct sc_column *dict, uint8_t *const *by_code, const uint32_t *rows,
                            uint32_t n, uint32_t *out)
{
    uint32_t left = 0;
    SC_EACH_CODE(out[left] = rows[j]; left += by_code[code] != NULL);
    return left;
}

enum sc_status sc_groups_add_coded(struct sc_groups *groups, struct sc_row_group *group,
                                   const struct sc_key_rows *key, const uint32_t *rows, uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    struct sc_arena *arena = &group->context->arena;
    const struct sc_column *dict = key->codes;
    size_t codes = (size_t)dict->dict.count + 1;
    uint8_t **by_code = sc_arena_alloc(arena, codes * sizeof(*by_code));
    uint8_t *used = sc_arena_zalloc(arena, codes);
    if (by_code == NULL || used == NULL)
        return SC_NOMEM;
    mark_used(dict, rows, count, used);
    bool whole = key->addresses == dict->dict.values; /* cut to prefixes they are fewer, and mostly there */
    if (!groups->closed && whole && are_many(used, dict->dict.count))
        groups->spill.apart = count;
    SC_TRY(find_codes(groups, key, used, by_code));
    if (groups->closed)
        count = drop_absent(dict, by_code, rows, count, s->rows);
    for (uint32_t i = 0; i < count; i += SC_GROUP_CHUNK) {
        uint32_t n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        list_entries(groups->aggregate, dict, by_code, rows + i, n, s->entries);
        sc_group_add_values(groups->aggregate, s, rows + i, n);
    }
    return groups->closed ? SC_OK : sc_groups_consider_spill(groups, count);
}
