// SPDX-License-Identifier: BSD-3-Clause
/*
 * Packed keys, as they stand in entries: group/aggregate.h says what is in them. Only the files of this room, and tests, include it.
 *
 * The hash of a key is one of its packed bytes, in which strings are their own hashes. Its uppermost 6 bits choose the partition among
 * those of its layout, those below them the rank that puts a group together (group/part.c), bits 32 to 39 are the tag of a slot, and the
 * lowest ones, of which MAX_ENTRIES allows 24, choose the slot. Of values that lie beside their groups (sc_aggregate.beside) the partition is
 * that of the group.
 */
#ifndef SC_GROUP_KEY_H
#define SC_GROUP_KEY_H

#include "base/hash.h"
#include "group/aggregate.h"

#define SC_HEAD_LAYOUT    3u
#define SC_HEAD_NULL(k)   (4u << (k))
#define SC_HEAD_SMALL     6u /* keys with which the head is one byte; else it is four */
#define SC_MOST_KEY_BYTES (4u + 16u * SC_MAX_KEYS)

static inline uint32_t sc_head_bytes(const struct sc_aggregate *a)
{
    return a->key_count <= SC_HEAD_SMALL ? 1 : 4;
}

static inline uint32_t sc_key_head(const struct sc_aggregate *a, const uint8_t *key)
{
    return a->key_count <= SC_HEAD_SMALL ? *key : sc_load_le32(key);
}

static inline void sc_key_set_head(const struct sc_aggregate *a, uint8_t *key, uint32_t head)
{
    if (a->key_count <= SC_HEAD_SMALL)
        *key = (uint8_t)head;
    else
        sc_store_le32(key, head);
}

/* Packed integers of a key. */
static inline uint64_t sc_key_load(const uint8_t *p, unsigned width)
{
    switch (width) {
    case 1:
        return *p;
    case 2:
        return sc_load_le16(p);
    case 4:
        return sc_load_le32(p);
    default:
        return sc_load_le64(p);
    }
}

/* Of at least SC_MIN_KEY_BYTES. */
static inline uint64_t sc_key_hash_bytes(const uint8_t *key, uint32_t bytes, uint64_t seed)
{
    if (bytes <= 8)
        return sc_hash_u64(sc_load_le32(key) | (uint64_t)sc_load_le32(key + bytes - 4) << 32, seed);
    if (bytes <= 16)
        return sc_hash_pair(sc_load_le64(key), sc_load_le64(key + bytes - 8), seed);
    uint64_t hash = sc_hash_begin(seed);
    for (uint32_t i = 0; i + 8 < bytes; i += 8)
        hash = sc_hash_more(hash, sc_load_le64(key + i), seed);
    return sc_hash_end(sc_hash_more(hash, sc_load_le64(key + bytes - 8), seed));
}

/*
 * At least 4 bytes, in words that overlap at the end. No byte before the key is touched: `seen` was just
 * written there, and a load across a fresh store waits for it.
 */
static inline bool sc_key_equal(const uint8_t *x, const uint8_t *y, uint32_t bytes)
{
    if (bytes < 8)
        return ((sc_load_le32(x) ^ sc_load_le32(y)) |
                (sc_load_le32(x + bytes - 4) ^ sc_load_le32(y + bytes - 4))) == 0;
    for (uint32_t i = 0; i + 8 < bytes; i += 8) {
        if (sc_load_le64(x + i) != sc_load_le64(y + i))
            return false;
    }
    return sc_load_le64(x + bytes - 8) == sc_load_le64(y + bytes - 8);
}

/* Copies at least 4 bytes, in such words. */
static inline void sc_key_copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if (bytes < 8) {
        uint32_t last = sc_load_le32(from + bytes - 4);
        sc_store_le32(to, sc_load_le32(from));
        sc_store_le32(to + bytes - 4, last);
        return;
    }
    uint64_t last = sc_load_le64(from + bytes - 8);
    for (uint32_t i = 0; i + 8 < bytes; i += 8)
        sc_store_le64(to + i, sc_load_le64(from + i));
    sc_store_le64(to + bytes - 8, last);
}

/* Of a hash: what chooses a partition. */
#define SC_HASH_PARTITION_BITS (~UINT64_C(0) << 58)
/* What chooses a slot, and no partition and no rank. */
#define SC_HASH_SLOT_BITS ((UINT64_C(1) << 26) - 1)

/* Gives each string of a key, a number, another one: `number` of `arg`; false as soon as that is UINT32_MAX. */
bool sc_key_renumber(const struct sc_aggregate *aggregate, uint8_t *key,
                     uint32_t (*number)(const void *arg, uint32_t id), const void *arg);

/*
 * As sc_key_hash_bytes, with strings by value, not by number, so that it is the same in all partial results. With hash_by_group what
 * chooses partitions and ranks is of the keys without the last one, so that all cells of a group meet.
 */
uint64_t sc_key_hash_special(const struct sc_aggregate *aggregate, const struct sc_interner *interner,
                             enum sc_key_layout layout, const uint8_t *key);
/* The hash of the group beside which a key lies, whatever it begins with. */
uint64_t sc_key_hash_beside(const struct sc_aggregate *aggregate, const uint8_t *key);

/*
 * The keys of `to`, which `from` begins with, of a packed key of `from`, with its strings' numbers; the last key of `to` may be one that only it
 * has: that is 0. Returns the layout, the narrowest that fits.
 */
enum sc_key_layout sc_key_project(const struct sc_aggregate *to, const struct sc_aggregate *from,
                                  const uint8_t *key, uint8_t *out);

/*
 * Whether a key begins with the key of the group beside which it lies, as it stands: the last one is not null, and the layout stays
 * the same without it (an address that is not IPv4 is a sign that nearly all have).
 */
static inline bool sc_key_is_before(const struct sc_aggregate *from, const uint8_t *key,
                                    enum sc_key_layout layout)
{
    const struct sc_aggregate *to = from->beside;
    uint32_t last = (from->key_count - 1) % SC_MAX_KEYS;
    return (sc_key_head(from, key) & SC_HEAD_NULL(last)) == 0 &&
           from->keys[last].at[layout] == to->key_bytes[layout] &&
           (layout == SC_KEY_NARROW || (layout == SC_KEY_MIDDLE && to->keys[0].address &&
                                        sc_load_le64(key + to->keys[0].at[layout]) != 0));
}

/* The same hash, without a copy of the key where it begins with that group's. */
static inline uint64_t sc_key_hash_group(const struct sc_aggregate *from, enum sc_key_layout layout,
                                         const uint8_t *key)
{
    return sc_key_is_before(from, key, layout)
               ? sc_key_hash_bytes(key, from->beside->key_bytes[layout], from->seed)
               : sc_key_hash_beside(from, key);
}

#endif
