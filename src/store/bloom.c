// SPDX-License-Identifier: BSD-3-Clause
#include "store/bloom.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BLOCK_BYTES  32u
#define BITS_PER_KEY 9u /* about 3 % false positives */

static const uint32_t salt[8] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
                                 0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u};
static const unsigned v4_levels[] = {128, 120, 112};
static const unsigned v6_levels[] = {128, 64, 48};

static uint64_t hash_prefix(const struct sc_addr *a, unsigned bits)
{
    struct sc_addr masked = sc_addr_mask(a, bits);
    return XXH3_64bits_withSeed(masked.b, sizeof(masked.b), bits);
}

static size_t block_of(uint64_t hash, size_t blocks)
{
    return (size_t)((hash >> 32) * blocks >> 32);
}

static void add_key(uint8_t *filter, size_t blocks, uint64_t hash)
{
    uint8_t *block = filter + block_of(hash, blocks) * BLOCK_BYTES;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t bit = UINT32_C(1) << ((uint32_t)hash * salt[i] >> 27);
        sc_store_le32(block + 4 * i, sc_load_le32(block + 4 * i) | bit);
    }
}

static const unsigned *levels_of(const struct sc_addr *a)
{
    return sc_addr_is_v4(a) ? v4_levels : v6_levels;
}

/* How many bits two addresses have in common at their front. */
static unsigned common_bits(const struct sc_addr *x, const struct sc_addr *y)
{
    uint64_t upper = sc_load_be64(x->b) ^ sc_load_be64(y->b),
             lower = sc_load_be64(x->b + 8) ^ sc_load_be64(y->b + 8);
    return upper != 0   ? (unsigned)__builtin_clzll(upper)
           : lower != 0 ? 64 + (unsigned)__builtin_clzll(lower)
                        : 128;
}

/* In sorted order a prefix is new when it differs from the one before: how many of the address's levels are, the first ones. */
static unsigned new_levels(const struct sc_addr *sorted, uint32_t i)
{
    if (i == 0 || sc_addr_is_v4(&sorted[i]) != sc_addr_is_v4(&sorted[i - 1]))
        return 3;
    const unsigned *levels = levels_of(&sorted[i]), common = common_bits(&sorted[i - 1], &sorted[i]);
    return (levels[0] > common) + (levels[1] > common) + (levels[2] > common);
}

void sc_bloom_write(const struct sc_addr *sorted, uint32_t count, struct sc_buf *out)
{
    size_t keys = 0;
    for (uint32_t i = 0; i < count; i++)
        keys += new_levels(sorted, i);
    size_t blocks = (keys * BITS_PER_KEY + BLOCK_BYTES * 8 - 1) / (BLOCK_BYTES * 8);
    if (blocks == 0)
        blocks = 1;
    uint8_t *filter = sc_buf_reserve(out, blocks * BLOCK_BYTES);
    if (filter == NULL)
        return;
    memset(filter, 0, blocks * BLOCK_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        const unsigned *levels = levels_of(&sorted[i]), fresh = new_levels(sorted, i);
        for (unsigned l = 0; l < fresh; l++)
            add_key(filter, blocks, hash_prefix(&sorted[i], levels[l]));
    }
    out->len += blocks * BLOCK_BYTES;
}

/* A prefix of fewer than 96 bits that holds the IPv4 range: its addresses have other levels. */
static bool holds_v4(const struct sc_addr *prefix, unsigned bits)
{
    struct sc_addr v4 = sc_addr_v4(0);
    struct sc_addr x = sc_addr_mask(&v4, bits), y = sc_addr_mask(prefix, bits);
    return bits < 96 && sc_addr_equal(&x, &y);
}

bool sc_bloom_may_contain(const uint8_t *filter, size_t length, const struct sc_addr *prefix, unsigned bits)
{
    const unsigned *levels = levels_of(prefix);
    unsigned level = 0;
    while (level < 3 && levels[level] > bits)
        level++;
    if (level == 3 || length < BLOCK_BYTES || holds_v4(prefix, bits))
        return true;
    uint64_t hash = hash_prefix(prefix, levels[level]);
    const uint8_t *block = filter + block_of(hash, length / BLOCK_BYTES) * BLOCK_BYTES;
    for (unsigned i = 0; i < 8; i++) {
        if ((sc_load_le32(block + 4 * i) >> ((uint32_t)hash * salt[i] >> 27) & 1) == 0)
            return false;
    }
    return true;
}
