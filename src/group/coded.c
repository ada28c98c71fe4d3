// SPDX-License-Identifier: BSD-3-Clause
/* Rows to groups where the only key is an address: by the codes of the row group's dictionary. */
#include "group/rows.h"

#include <stdlib.h>

void sc_groups_need_known(struct sc_groups *groups)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    uint64_t need = 1 + (uint64_t)groups->interner.count, size = 2 * need;
    if (a->key_count != 1 || groups->closed || !a->keys[0].interned || need <= s->known_count)
        return;
    uint8_t **known = realloc(s->known, size * sizeof(*known));
    if (known == NULL) {
        free(s->known);
        s->known = NULL;
        s->known_count = 0;
        return;
    }
    memset(known + s->known_count, 0, (size - s->known_count) * sizeof(*known));
    s->known = known;
    s->known_count = size;
}

/* `use` of the code of each row j; a null row has that behind the last. */
#define EACH_CODE(type, use)                                                                                 \
    for (uint32_t j = 0; j < n; j++) {                                                                       \
        uint32_t code = ((const type *)dict->values)[rows[j]];                                               \
        if (dict->nulls != 0 && sc_column_is_null(dict, rows[j]))                                            \
            code = dict->dict.count;                                                                         \
        use;                                                                                                 \
    }

#define EACH_ROW(use)                                                                                        \
    do {                                                                                                     \
        if (dict->width == 1)                                                                                \
            EACH_CODE(uint8_t, use)                                                                          \
        else if (dict->width == 2)                                                                           \
            EACH_CODE(uint16_t, use)                                                                         \
        else                                                                                                 \
            EACH_CODE(uint32_t, use)                                                                         \
    } while (0)

/* As sc_groups_hash, of the only key. */
static uint64_t hash_one(const struct sc_groups *groups, uint64_t value)
{
    uint64_t seed = groups->aggregate->seed;
    return sc_hash_end(sc_hash_more(sc_hash_begin(seed), value, seed));
}

/* The entries of up to SC_GROUP_CHUNK interned values, whose numbers are `ids`. */
static enum sc_status find_numbered(struct sc_groups *groups, const uint32_t *ids, uint32_t n, uint8_t **out)
{
    uint8_t packed[SC_MIN_KEY_BYTES + 1] = {0};
    uint64_t hashes[SC_GROUP_CHUNK];
    for (uint32_t j = 0; j < n; j++) {
        hashes[j] = hash_one(groups, groups->interner.hashes[ids[j]]);
        sc_groups_prefetch_slot(groups, hashes[j]);
    }
    for (uint32_t j = 0; j < n; j++) {
        sc_store_le32(packed, ids[j]); /* the width of an interned key */
        out[j] = sc_groups_find(groups, packed, hashes[j]);
        if (out[j] == NULL)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* The entries of interned values; those that were met before are known. */
static enum sc_status find_ids(struct sc_groups *groups, const uint32_t *ids, uint32_t count, uint8_t **out)
{
    uint8_t **known = groups->scratch->known;
    uint32_t missing[SC_GROUP_CHUNK], places[SC_GROUP_CHUNK], n = 0;
    uint8_t *found[SC_GROUP_CHUNK];
    for (uint32_t i = 0; i < count; i++) {
        out[i] = known == NULL ? NULL : known[ids[i] + 1];
        if (out[i] == NULL) {
            missing[n] = ids[i];
            places[n++] = i;
        }
        if (n < SC_GROUP_CHUNK && (i + 1 < count || n == 0))
            continue;
        SC_TRY(find_numbered(groups, missing, n, found));
        for (uint32_t j = 0; j < n; j++) {
            out[places[j]] = found[j];
            if (known != NULL)
                known[missing[j] + 1] = found[j];
        }
        n = 0;
    }
    return SC_OK;
}

static enum sc_status find_null(struct sc_groups *groups, uint8_t **out)
{
    uint8_t packed[SC_MIN_KEY_BYTES + 1] = {0};
    packed[groups->aggregate->null_at] = 1;
    *out = sc_groups_find(groups, packed, hash_one(groups, 0));
    return *out == NULL ? SC_NOMEM : SC_OK;
}

/* Which codes the rows have, one byte each. */
static void mark_used(const struct sc_column *dict, const uint32_t *rows, uint32_t n, uint8_t *used)
{
    EACH_ROW(used[code] = 1);
}

/* The entry of each code that rows have, and behind the last that of null. */
static enum sc_status find_codes(struct sc_groups *groups, struct sc_arena *arena,
                                 const struct sc_column *dict, const uint32_t *rows, uint32_t count,
                                 uint8_t **entries)
{
    const struct sc_group_key *key = &groups->aggregate->keys[0];
    uint32_t codes = dict->dict.count, distinct = 0;
    uint8_t *used = sc_arena_zalloc(arena, (size_t)codes + 1);
    struct sc_addr *addresses = sc_arena_alloc(arena, (size_t)codes * sizeof(*addresses));
    uint32_t *ids = sc_arena_alloc(arena, (size_t)codes * sizeof(*ids));
    uint8_t **found = sc_arena_alloc(arena, (size_t)codes * sizeof(*found));
    if (used == NULL || addresses == NULL || ids == NULL || found == NULL)
        return SC_NOMEM;
    mark_used(dict, rows, count, used);
    bool whole = key->prefix4 == SC_NO_PREFIX && key->prefix6 == SC_NO_PREFIX;
    for (uint32_t code = 0; code < codes; code++) {
        const struct sc_addr *address = (const struct sc_addr *)dict->dict.values + code;
        if (used[code])
            addresses[distinct++] = whole ? *address : sc_group_mask_key(key, address);
    }
    if (!sc_interner_add_addresses(&groups->interner, addresses, distinct, ids))
        return SC_NOMEM;
    sc_groups_need_known(groups);
    SC_TRY(find_ids(groups, ids, distinct, found));
    uint8_t **next = found;
    for (uint32_t code = 0; code < codes; code++) {
        if (used[code])
            entries[code] = *next++;
    }
    return used[codes] ? find_null(groups, &entries[codes]) : SC_OK;
}

/* Fetches the entries of a chunk of rows. */
static void list_entries(const struct sc_aggregate *a, const struct sc_column *dict, uint8_t *const *by_code,
                         const uint32_t *rows, uint32_t n, uint8_t **out)
{
    EACH_ROW(out[j] = by_code[code]);
    for (uint32_t j = 0; j < n; j++) {
        __builtin_prefetch(out[j], 1);
        __builtin_prefetch(out[j] + a->entry_bytes - 1, 1); /* it may lie across two lines */
    }
}

enum sc_status sc_groups_add_coded(struct sc_groups *groups, struct sc_row_group *group,
                                   const struct sc_column *dict, const uint32_t *rows, uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    struct sc_arena *arena = &group->context->arena;
    uint8_t **by_code = sc_arena_alloc(arena, ((size_t)dict->dict.count + 1) * sizeof(*by_code));
    if (by_code == NULL)
        return SC_NOMEM;
    SC_TRY(find_codes(groups, arena, dict, rows, count, by_code));
    for (uint32_t i = 0; i < count; i += SC_GROUP_CHUNK) {
        uint32_t n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        list_entries(groups->aggregate, dict, by_code, rows + i, n, s->entries);
        sc_group_add_values(groups->aggregate, s, rows + i, n);
    }
    return SC_OK;
}
