// SPDX-License-Identifier: BSD-3-Clause
#include "group/key.h"

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

uint64_t sc_key_hash_strings(const struct sc_aggregate *a, const struct sc_interner *interner,
                             enum sc_key_layout layout, const uint8_t *key)
{
    uint8_t copy[SC_MOST_KEY_BYTES];
    uint32_t bytes = a->key_bytes[layout];
    memcpy(copy, key, bytes);
    (void)sc_key_renumber(a, copy, hash_of_string, interner);
    return sc_key_hash_bytes(copy, bytes, a->seed);
}
