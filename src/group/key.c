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

uint64_t sc_key_hash_special(const struct sc_aggregate *a, const struct sc_interner *interner,
                             enum sc_key_layout layout, const uint8_t *key)
{
    uint8_t copy[SC_MOST_KEY_BYTES];
    uint32_t bytes = a->key_bytes[layout];
    memcpy(copy, key, bytes);
    (void)sc_key_renumber(a, copy, hash_of_string, interner);
    uint64_t hash = sc_key_hash_bytes(copy, bytes, a->seed);
    if (a->beside != NULL)
        return (hash & ~SC_HASH_PARTITION_BITS) |
               (sc_key_hash_group(a, layout, key) & SC_HASH_PARTITION_BITS);
    if (!a->hash_by_group || a->key_count == 0)
        return hash;
    const struct sc_group_key *last = &a->keys[a->key_count - 1];
    sc_key_set_head(a, copy, sc_key_head(a, copy) & ~SC_HEAD_NULL(a->key_count - 1));
    memset(copy + last->at[layout], 0, last->width[layout]);
    uint64_t of_group = sc_key_hash_bytes(copy, bytes, a->seed);
    return (of_group & ~SC_HASH_SLOT_BITS) | (hash & SC_HASH_SLOT_BITS);
}

uint64_t sc_key_hash_beside(const struct sc_aggregate *a, const uint8_t *key)
{
    uint8_t copy[SC_MOST_KEY_BYTES];
    enum sc_key_layout layout = sc_key_project(a->beside, a, key, copy);
    return sc_key_hash_bytes(copy, a->beside->key_bytes[layout], a->seed);
}

/* ---- between aggregates ---- */

/* The narrowest layout of `to` that the value of key k fits. */
static enum sc_key_layout narrowest(const struct sc_group_key *to, const struct sc_group_key *from,
                                    const uint8_t *at, enum sc_key_layout layout)
{
    struct sc_addr address;
    if (layout == SC_KEY_NARROW || from->interned)
        return SC_KEY_NARROW;
    unsigned usual = to->width[SC_KEY_NARROW];
    if (!to->address)
        return usual == 8 || sc_key_load(at, from->width[layout]) >> (8 * usual) == 0 ? SC_KEY_NARROW
                                                                                      : SC_KEY_WIDE;
    memcpy(address.b, at, sizeof(address.b));
    return sc_addr_is_v4(&address) ? SC_KEY_NARROW : SC_KEY_MIDDLE;
}

enum sc_key_layout sc_key_project(const struct sc_aggregate *to, const struct sc_aggregate *from,
                                  const uint8_t *key, uint8_t *out)
{
    uint32_t shared = from->key_count - 1, head = sc_key_head(from, key);
    uint32_t end = from->keys[shared].at[SC_KEY_NARROW], bytes = to->key_bytes[SC_KEY_NARROW];
    if ((head & SC_HEAD_LAYOUT) == SC_KEY_NARROW && sc_head_bytes(to) == sc_head_bytes(from)) {
        memcpy(out, key, end); /* nearly all: as it is, and nothing behind it */
        sc_key_set_head(to, out, head & (SC_HEAD_NULL(shared) - 4));
        for (uint32_t i = end; i < bytes; i++)
            out[i] = 0;
        return SC_KEY_NARROW;
    }
    enum sc_key_layout before = (enum sc_key_layout)(head & SC_HEAD_LAYOUT), layout = SC_KEY_NARROW;
    for (uint32_t k = 0; k < shared && before != SC_KEY_NARROW; k++) {
        enum sc_key_layout least =
            narrowest(&to->keys[k], &from->keys[k], key + from->keys[k].at[before], before);
        layout = least > layout ? least : layout;
    }
    memset(out, 0, to->key_bytes[layout]);
    sc_key_set_head(to, out, (head & (SC_HEAD_NULL(shared) - 4)) | layout);
    for (uint32_t k = 0; k < shared; k++) { /* of addresses the last bytes say most, of numbers the first */
        unsigned width = to->keys[k].width[layout], had = from->keys[k].width[before];
        memcpy(out + to->keys[k].at[layout],
               key + from->keys[k].at[before] + (to->keys[k].address ? had - width : 0), width);
    }
    return layout;
}
