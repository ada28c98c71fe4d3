// SPDX-License-Identifier: BSD-3-Clause
#include "group/interner.h"

#include "base/hash.h"

#include <stdlib.h>

static bool grow(struct sc_interner *in)
{
    uint32_t capacity = in->capacity == 0 ? 1024 : in->capacity * 2;
    if (in->heap.data == NULL &&
        sc_buf_reserve(&in->heap, 1) == NULL) /* also for nothing but empty strings */
        return false;
    uint64_t *offsets = realloc(in->offsets, ((size_t)capacity + 1) * sizeof(*offsets));
    if (offsets == NULL)
        return false;
    if (in->capacity == 0)
        offsets[0] = 0;
    in->offsets = offsets;
    uint32_t *hashes = realloc(in->hashes, (size_t)capacity * sizeof(*hashes));
    if (hashes == NULL)
        return false;
    in->hashes = hashes;
    uint64_t *table = calloc((size_t)capacity * 2, sizeof(*table));
    if (table == NULL)
        return false;
    free(in->table);
    in->table = table;
    in->table_size = capacity * 2;
    in->capacity = capacity;
    for (uint32_t id = 0; id < in->count; id++) {
        uint32_t i = hashes[id] & (in->table_size - 1);
        while (table[i] != 0)
            i = (i + 1) & (in->table_size - 1);
        table[i] = (uint64_t)hashes[id] << 32 | (id + 1);
    }
    return true;
}

static bool same_string(const struct sc_interner *in, uint32_t id, const void *bytes, uint32_t length)
{
    uint64_t at = in->offsets[id];
    return in->offsets[id + 1] - at == length &&
           (length == 0 || memcmp(in->heap.data + at, bytes, length) == 0);
}

/* The slot of the string, or the empty one where it belongs. The table is not empty. */
static inline uint32_t find_slot(const struct sc_interner *in, const void *bytes, uint32_t length,
                                 uint32_t hash)
{
    uint32_t i = hash & (in->table_size - 1);
    for (; in->table[i] != 0; i = (i + 1) & (in->table_size - 1)) {
        if (in->table[i] >> 32 != hash)
            continue;
        uint32_t id = (uint32_t)in->table[i] - 1;
        if (same_string(in, id, bytes, length))
            break;
    }
    return i;
}

uint32_t sc_interner_find(const struct sc_interner *in, const void *bytes, uint32_t length)
{
    if (in->table_size == 0)
        return UINT32_MAX;
    uint32_t i = find_slot(in, bytes, length, (uint32_t)sc_hash_bytes(bytes, length, in->seed));
    return (uint32_t)in->table[i] - 1; /* an empty slot is 0 */
}

uint32_t sc_interner_add(struct sc_interner *in, const void *bytes, uint32_t length)
{
    uint32_t hash = (uint32_t)sc_hash_bytes(bytes, length, in->seed);
    if (in->count == in->capacity && (in->capacity > UINT32_MAX / 4 || !grow(in)))
        return UINT32_MAX;
    uint32_t i = find_slot(in, bytes, length, hash);
    if (in->table[i] != 0)
        return (uint32_t)in->table[i] - 1;
    sc_buf_append(&in->heap, bytes, length);
    if (!sc_buf_ok(&in->heap))
        return UINT32_MAX;
    in->hashes[in->count] = hash;
    in->offsets[in->count + 1] = in->heap.len;
    in->table[i] = (uint64_t)hash << 32 | ++in->count;
    return in->count - 1;
}

const uint8_t *sc_interner_bytes(const struct sc_interner *in, uint32_t id, uint32_t *length)
{
    uint64_t at = in->offsets[id];
    *length = (uint32_t)(in->offsets[id + 1] - at);
    return in->heap.data == NULL ? (const uint8_t *)"" : in->heap.data + at;
}

uint32_t sc_string_add(const void *arg, uint32_t id)
{
    const struct sc_string_transfer *t = arg;
    uint32_t length;
    const uint8_t *bytes = sc_interner_bytes(t->from, id, &length);
    return sc_interner_add(t->to, bytes, length);
}

uint32_t sc_string_find(const void *arg, uint32_t id)
{
    const struct sc_string_transfer *t = arg;
    uint32_t length;
    const uint8_t *bytes = sc_interner_bytes(t->from, id, &length);
    return sc_interner_find(t->to, bytes, length);
}

size_t sc_interner_memory(const struct sc_interner *in)
{
    return in->heap.cap + (size_t)in->capacity * (sizeof(*in->offsets) + sizeof(*in->hashes)) +
           (size_t)in->table_size * sizeof(*in->table);
}

void sc_interner_free(struct sc_interner *in)
{
    sc_buf_free(&in->heap);
    free(in->offsets);
    free(in->hashes);
    free(in->table);
    *in = (struct sc_interner){.seed = in->seed};
}
