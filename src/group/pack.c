// SPDX-License-Identifier: BSD-3-Clause
/* The values of rows to packed keys, a chunk of rows at a time: the layout of each row, then key by key all rows of a layout. */
#include "group/rows.h"

#include <stdlib.h>

static const struct sc_addr no_address = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};

/* One key in the rows of a chunk; a null is 0, and 0.0.0.0. */
struct chunk_key {
    uint64_t numbers[SC_GROUP_CHUNK];
    const struct sc_addr *addresses[SC_GROUP_CHUNK];
};

struct chunk {
    struct chunk_key keys[SC_MAX_KEYS];
    uint64_t nulls[SC_MAX_KEYS]; /* a bit for each row */
};

static uint64_t first_rows(uint32_t n)
{
    return n == 0 ? 0 : ~UINT64_C(0) >> (64 - n);
}

/* Which rows of a chunk have which layout, a bit for each; the wider one counts. */
struct chunk_rows {
    uint64_t wide, middle;
};

bool sc_packed_init(struct sc_packed *packed, const struct sc_aggregate *a)
{
    uint32_t most = SC_MIN_KEY_BYTES;
    for (unsigned layout = 0; layout < SC_KEY_LAYOUTS; layout++)
        most = a->key_bytes[layout] > most ? a->key_bytes[layout] : most;
    packed->stride = (most + 7) & ~7u;
    packed->keys = malloc((size_t)SC_GROUP_CHUNK * packed->stride);
    return packed->keys != NULL;
}

static uint64_t nulls_of(const struct sc_row_values *v, const uint32_t *rows, uint32_t n)
{
    uint64_t nulls = 0;
    for (uint32_t j = 0; j < n && !v->all_valid; j++)
        nulls |= (uint64_t)!sc_row_is_set(v->valid, rows[j]) << j;
    return nulls;
}

#define EACH_CODE(type)                                                                                      \
    for (uint32_t j = 0; j < n; j++) {                                                                       \
        uint32_t code = ((const type *)key->codes->values)[rows[j]];                                         \
        middle |= (uint64_t)(code - key->first4 >= key->count4) << j;                                        \
        out->addresses[j] = key->addresses + code;                                                           \
    }

/* Those that are not IPv4. */
static uint64_t take_coded(const struct sc_key_rows *key, const uint32_t *rows, uint32_t n,
                           struct chunk_key *out)
{
    uint64_t middle = 0;
    if (key->codes->form == SC_FORM_CONST) {
        for (uint32_t j = 0; j < n; j++)
            out->addresses[j] = key->addresses;
        return key->count4 == 0 ? first_rows(n) : 0;
    }
    if (key->codes->width == 1)
        EACH_CODE(uint8_t)
    else if (key->codes->width == 2)
        EACH_CODE(uint16_t)
    else
        EACH_CODE(uint32_t)
    return middle;
}

static uint64_t take_addresses(const struct sc_key_rows *key, const uint32_t *rows, uint32_t n,
                               uint64_t nulls, struct chunk_key *out)
{
    uint64_t middle = 0;
    if (key->codes != NULL) {
        middle = take_coded(key, rows, n, out);
    } else {
        for (uint32_t j = 0; j < n; j++) {
            out->addresses[j] = key->addresses + rows[j];
            middle |= (uint64_t)!sc_addr_is_v4(out->addresses[j]) << j;
        }
    }
    for (uint64_t left = nulls; left != 0; left &= left - 1)
        out->addresses[__builtin_ctzll(left)] = &no_address;
    return middle & ~nulls;
}

static uint64_t take_numbers(const struct sc_key_rows *key, unsigned width, const uint32_t *rows, uint32_t n,
                             struct chunk_key *out)
{
    uint64_t wide = 0;
    sc_group_take_values(&key->numbers, rows, n, out->numbers);
    const struct sc_column *c = key->numbers.plain;
    if (width == 8 || (c != NULL && c->form == SC_FORM_FLAT && c->width <= width))
        return 0;
    for (uint32_t j = 0; j < n; j++)
        wide |= (uint64_t)(out->numbers[j] >> (8 * width) != 0) << j;
    return wide;
}

static void take_keys(const struct sc_aggregate *a, const struct sc_key_rows *const *keys,
                      const uint32_t *rows, uint32_t n, struct chunk *out, struct chunk_rows *which)
{
    *which = (struct chunk_rows){0};
    memset(out->nulls, 0, sizeof(out->nulls));
    for (uint32_t k = 0; k < a->key_count; k++) {
        out->nulls[k] = nulls_of(&keys[k]->numbers, rows, n);
        if (a->keys[k].address)
            which->middle |= take_addresses(keys[k], rows, n, out->nulls[k], &out->keys[k]);
        else
            which->wide |= take_numbers(keys[k], a->keys[k].width[SC_KEY_NARROW], rows, n, &out->keys[k]);
    }
    which->middle &= ~which->wide;
}

/* ---- one layout ---- */

struct places {
    uint8_t list[SC_GROUP_CHUNK]; /* of the rows in the chunk */
    uint32_t count;
};

static void list_places(uint64_t bits, struct places *out)
{
    out->count = 0;
    for (; bits != 0; bits &= bits - 1)
        out->list[out->count++] = (uint8_t)__builtin_ctzll(bits);
}

#define STORE_EACH(store)                                                                                    \
    for (uint32_t i = 0; i < places->count; i++) {                                                           \
        uint32_t j = places->list[i];                                                                        \
        uint8_t *to = at + (size_t)j * stride;                                                               \
        store;                                                                                               \
    }

static void store_numbers(uint8_t *at, uint32_t stride, const struct places *places, const uint64_t *numbers,
                          unsigned width)
{
    if (width == 1)
        STORE_EACH(*to = (uint8_t)numbers[j])
    else if (width == 2)
        STORE_EACH(sc_store_le16(to, (uint16_t)numbers[j]))
    else if (width == 4)
        STORE_EACH(sc_store_le32(to, (uint32_t)numbers[j]))
    else
        STORE_EACH(sc_store_le64(to, numbers[j]))
}

static void store_addresses(uint8_t *at, uint32_t stride, const struct places *places,
                            const struct sc_addr *const *addresses, unsigned width)
{
    if (width == 4)
        STORE_EACH(memcpy(to, addresses[j]->b + 12, 4))
    else
        STORE_EACH(memcpy(to, addresses[j]->b, 16))
}

static void store_heads(const struct sc_aggregate *a, struct sc_packed *packed, const struct places *places,
                        enum sc_key_layout layout, const uint64_t *nulls)
{
    uint8_t *at = packed->keys;
    uint32_t stride = packed->stride;
    STORE_EACH(sc_store_le32(to, layout)) /* all four bytes also where there are fewer keys */
    for (uint32_t k = 0; k < a->key_count; k++) {
        if (nulls[k] != 0)
            STORE_EACH(sc_key_set_head(a, to, sc_key_head(a, to) | (nulls[k] >> j & 1 ? SC_HEAD_NULL(k) : 0)))
    }
}

static void hash_keys(const struct sc_groups *groups, struct sc_packed *packed, const struct places *places,
                      enum sc_key_layout layout)
{
    const uint8_t *at = packed->keys;
    bool beside = groups->aggregate->beside != NULL && groups->spill.apart != 0; /* no slot is looked for */
    for (uint32_t i = 0; i < places->count; i++) {
        uint32_t j = places->list[i];
        const uint8_t *key = at + (size_t)j * packed->stride;
        packed->hashes[j] =
            beside ? sc_key_hash_group(groups->aggregate, layout, key) : sc_groups_hash(groups, layout, key);
        packed->layouts[j] = (uint8_t)layout;
    }
}

/* The head before the values, which may lie in its four bytes. */
static void pack_layout(const struct sc_groups *groups, struct sc_packed *packed, const struct chunk *chunk,
                        uint64_t rows, enum sc_key_layout layout)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct places places;
    list_places(rows, &places);
    if (places.count == 0)
        return;
    store_heads(a, packed, &places, layout, chunk->nulls);
    for (uint32_t k = 0; k < a->key_count; k++) {
        uint8_t *at = packed->keys + a->keys[k].at[layout];
        unsigned width = a->keys[k].width[layout];
        if (a->keys[k].address)
            store_addresses(at, packed->stride, &places, chunk->keys[k].addresses, width);
        else
            store_numbers(at, packed->stride, &places, chunk->keys[k].numbers, width);
    }
    hash_keys(groups, packed, &places, layout);
}

static void pack_chunk(const struct sc_groups *groups, struct sc_packed *packed, const struct chunk *chunk,
                       const struct chunk_rows *which, uint32_t n)
{
    uint64_t all = first_rows(n);
    pack_layout(groups, packed, chunk, all & ~which->middle & ~which->wide, SC_KEY_NARROW);
    pack_layout(groups, packed, chunk, which->middle, SC_KEY_MIDDLE);
    pack_layout(groups, packed, chunk, which->wide, SC_KEY_WIDE);
}

void sc_group_pack(const struct sc_groups *groups, struct sc_packed *packed,
                   const struct sc_key_rows *const *keys, const uint32_t *rows, uint32_t n)
{
    struct chunk chunk;
    struct chunk_rows which;
    take_keys(groups->aggregate, keys, rows, n, &chunk, &which);
    pack_chunk(groups, packed, &chunk, &which, n);
}

void sc_group_pack_addresses(const struct sc_groups *groups, struct sc_packed *packed,
                             const struct sc_addr *const *addresses, uint32_t n)
{
    struct chunk chunk;
    struct chunk_rows which = {0};
    memset(chunk.nulls, 0, sizeof(chunk.nulls));
    for (uint32_t j = 0; j < n; j++) {
        chunk.keys[0].addresses[j] = addresses[j];
        which.middle |= (uint64_t)!sc_addr_is_v4(addresses[j]) << j;
    }
    pack_chunk(groups, packed, &chunk, &which, n);
}

/* ---- the entries ---- */

static enum sc_status append_each(struct sc_groups *groups, const struct sc_packed *packed, uint32_t n,
                                  uint8_t **out)
{
    for (uint32_t j = 0; j < n; j++)
        __builtin_prefetch(groups->partitions[sc_partition_of(packed->layouts[j], packed->hashes[j])].spilled,
                           1);
    for (uint32_t j = 0; j < n; j++) {
        out[j] = sc_groups_append(groups, packed->layouts[j], packed->keys + (size_t)j * packed->stride,
                                  packed->hashes[j]);
        if (out[j] == NULL)
            return SC_NOMEM;
    }
    return SC_OK;
}

enum sc_status sc_group_search(struct sc_groups *groups, const struct sc_packed *packed, uint32_t n,
                               uint8_t **out)
{
    if (groups->spill.apart != 0)
        return append_each(groups, packed, n, out);
    for (uint32_t j = 0; j < n; j++)
        sc_groups_prefetch_slot(groups, packed->layouts[j], packed->hashes[j]);
    for (uint32_t j = 0; j < n; j++)
        sc_groups_prefetch_entry(groups, packed->layouts[j], packed->hashes[j]);
    for (uint32_t j = 0; j < n; j++) {
        out[j] = sc_groups_find(groups, packed->layouts[j], packed->keys + (size_t)j * packed->stride,
                                packed->hashes[j]);
        if (out[j] == NULL && !groups->closed)
            return SC_NOMEM;
    }
    return SC_OK;
}
