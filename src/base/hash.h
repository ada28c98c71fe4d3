// SPDX-License-Identifier: BSD-3-Clause
/*
 * Hashes over what exporters send. All take a seed that nobody outside knows, so that nobody can choose values that collide: who
 * owns a table draws one (sc_hash_draw_seed), and a query over several ranks uses one of rank 0's. What is stored has a hash without a
 * seed, the last one here, or one whose seed the format names.
 */
#ifndef SC_BASE_HASH_H
#define SC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* 64 bits from the kernel. Never fails; before the kernel has gathered any, of clocks and addresses. */
uint64_t sc_hash_draw_seed(void);

/* Both halves of a product: what is left of either operand can't be told without the other. */
static inline uint64_t sc_hash_mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of 16 bytes (an address, two numbers) and of one number. A few cycles each. */
static inline uint64_t sc_hash_pair(uint64_t low, uint64_t high, uint64_t seed)
{
    uint64_t other = seed ^ UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = sc_hash_mix(low ^ seed, high ^ (other << 32 | other >> 32));
    return sc_hash_mix(h ^ other, UINT64_C(0xd6e8feb86659fd93));
}

static inline uint64_t sc_hash_u64(uint64_t value, uint64_t seed)
{
    return sc_hash_pair(value, UINT64_C(0xa0761d6478bd642f), seed);
}

/* Of several numbers: begun with the seed, one number more after the other, and ended, after which any bits are as good as others: a
 * partition may be chosen by some, a slot by others. */
static inline uint64_t sc_hash_begin(uint64_t seed)
{
    return (seed << 32 | seed >> 32) ^ UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t sc_hash_more(uint64_t hash, uint64_t value, uint64_t seed)
{
    return sc_hash_mix(hash ^ value, seed ^ UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t sc_hash_end(uint64_t hash)
{
    return sc_hash_mix(hash, UINT64_C(0xd6e8feb86659fd93));
}

/* Of any bytes: XXH3 with the seed. */
uint64_t sc_hash_bytes(const void *bytes, size_t length, uint64_t seed);

/* What is stored beside bytes, many of them: XXH3 without a seed. */
uint64_t sc_hash_stored(const void *bytes, size_t length);

#endif
