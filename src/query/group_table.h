// SPDX-License-Identifier: BSD-3-Clause
/* The hash table behind struct sc_groups: partitions by hash, entries in blocks that never move. Internal to
 * aggregate*.c. */
#ifndef SC_QUERY_GROUP_TABLE_H
#define SC_QUERY_GROUP_TABLE_H

#include "query/aggregate.h"

#define SC_PARTITION_BITS 6u
#define SC_PARTITIONS     (1u << SC_PARTITION_BITS)
/* Block 0 and 1 hold 2^SC_BLOCK_BITS entries, each later one twice as many as the one before. */
#define SC_BLOCK_BITS 8u
#define SC_BLOCKS     18u

struct sc_partition {
    uint32_t *slots; /* (entry number + 1) in the lower 24 bits, 8 bits of the hash above; 0 empty */
    uint32_t slot_count;
    uint32_t count;
    uint8_t *blocks[SC_BLOCKS];
};

struct sc_groups {
    const struct sc_aggregate *aggregate;
    struct sc_interner interner;
    bool closed; /* no new groups: sc_groups_find gives NULL for those that are not there */
    struct sc_partition partitions[SC_PARTITIONS];
    struct sc_group_scratch *scratch; /* of sc_groups_add_rows */
};

/* The block of an entry, and the number of the block's first entry. */
static inline uint32_t sc_block_of(uint32_t number)
{
    uint32_t high = number >> SC_BLOCK_BITS;
    return high == 0 ? 0 : 32 - (uint32_t)__builtin_clz(high);
}

static inline uint32_t sc_block_start(uint32_t block)
{
    return block == 0 ? 0 : 1u << (SC_BLOCK_BITS + block - 1);
}

static inline uint32_t sc_block_entries(uint32_t block)
{
    return block == 0 ? 1u << SC_BLOCK_BITS : sc_block_start(block);
}

static inline uint8_t *sc_partition_entry(const struct sc_partition *p, uint32_t number, uint32_t entry_bytes)
{
    uint32_t block = sc_block_of(number);
    return p->blocks[block] + (size_t)(number - sc_block_start(block)) * entry_bytes;
}

/* A null key hashes as 0. */
#define SC_HASH_START UINT64_C(0x2545f4914f6cdd1d)

static inline uint64_t sc_mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 32);
}

static inline uint32_t sc_partition_of(uint64_t hash)
{
    return (uint32_t)(hash >> (64 - SC_PARTITION_BITS));
}

/* A slot: the number of its entry + 1, and 8 bits of the hash, so that few wrong entries are looked at. */
#define SC_SLOT_TAG          0xff000000u
#define SC_SLOT_NUMBER(slot) (((slot) & ~SC_SLOT_TAG) - 1)

static inline uint32_t sc_slot_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32) << 24;
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

static inline void sc_key_store(uint8_t *p, unsigned width, uint64_t v)
{
    switch (width) {
    case 1:
        *p = (uint8_t)v;
        break;
    case 2:
        sc_store_le16(p, (uint16_t)v);
        break;
    case 4:
        sc_store_le32(p, (uint32_t)v);
        break;
    default:
        sc_store_le64(p, v);
        break;
    }
}

/* Hash of a packed key: by value, not by interner number, so that it is the same in all partial results. */
uint64_t sc_groups_hash(const struct sc_groups *groups, const uint8_t *key);

/*
 * The entry of a packed key (key_bytes, null bits included), new when there is none. NULL
 * without memory.
 */
uint8_t *sc_groups_find(struct sc_groups *groups, const uint8_t *key, uint64_t hash);

/* Adds the accumulators of one entry to another's. */
void sc_groups_combine(const struct sc_aggregate *aggregate, uint8_t *to, const uint8_t *from);

/* Adds one value to an accumulator. A new one is 0; a new MIN is UINT64_MAX. */
static inline void sc_accumulate(enum sc_accumulate how, uint8_t *at, uint64_t v)
{
    uint64_t old = sc_load_le64(at);
    switch (how) {
    case SC_ACCUMULATE_SUM:
    case SC_ACCUMULATE_COUNT:
        v += old;
        break;
    case SC_ACCUMULATE_MIN:
        v = old < v ? old : v;
        break;
    case SC_ACCUMULATE_MAX:
        v = old > v ? old : v;
        break;
    default:
        v |= old;
        break;
    }
    sc_store_le64(at, v);
}

void sc_group_scratch_free(struct sc_group_scratch *scratch);
size_t sc_group_scratch_memory(const struct sc_group_scratch *scratch);

#endif
