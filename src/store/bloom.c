// SPDX-License-Identifier: BSD-3-Clause
#include "store/bloom.h"

#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BLOCK_BYTES  32u
#define HEAD_BYTES   BLOCK_BYTES /* of a page */
#define HASH_BYTES   8u
#define PAGE_BLOCKS  ((SC_BLOOM_PAGE_BYTES - HEAD_BYTES) / BLOCK_BYTES)
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

static uint32_t bit_of(uint64_t hash, unsigned word)
{
    return UINT32_C(1) << ((uint32_t)hash * salt[word] >> 27);
}

bool sc_bloom_layout(bool paged, uint32_t length, struct sc_bloom_layout *out)
{
    uint32_t page = paged ? SC_BLOOM_PAGE_BYTES : length, head = paged ? HEAD_BYTES : 0;
    if (length == 0 || length % BLOCK_BYTES != 0 || (paged && length % page == head))
        return false;
    uint32_t pages = length / page + (length % page != 0);
    *out = (struct sc_bloom_layout){.paged = paged,
                                    .length = length,
                                    .page_bytes = page,
                                    .pages = pages,
                                    .blocks = (length - pages * head) / BLOCK_BYTES};
    return true;
}

static uint32_t block_of(uint64_t hash, uint32_t blocks)
{
    return (uint32_t)((hash >> 32) * blocks >> 32);
}

/* The head of a page is as long as a block. */
static struct sc_bloom_probe probe_of(const struct sc_bloom_layout *layout, uint64_t hash)
{
    uint32_t block = block_of(hash, layout->blocks);
    uint32_t at = (layout->paged ? block + block / PAGE_BLOCKS + 1 : block) * BLOCK_BYTES;
    uint32_t page = layout->paged ? at / SC_BLOOM_PAGE_BYTES : 0;
    return (struct sc_bloom_probe){.hash = hash, .page = page, .offset = at - page * layout->page_bytes};
}

static uint64_t hash_page(const struct sc_bloom_layout *layout, uint32_t page, const uint8_t *bytes)
{
    return sc_hash_bytes(bytes + HASH_BYTES, sc_bloom_page_length(layout, page) - HASH_BYTES, page);
}

bool sc_bloom_page_is_whole(const struct sc_bloom_layout *layout, uint32_t page, const uint8_t *bytes)
{
    static const uint8_t zeros[HEAD_BYTES - HASH_BYTES];
    return !layout->paged || (sc_load_le64(bytes) == hash_page(layout, page, bytes) &&
                              memcmp(bytes + HASH_BYTES, zeros, sizeof(zeros)) == 0);
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

/* How many keys all of them have. */
static size_t count_keys(const struct sc_addr *sorted, uint32_t count)
{
    size_t keys = 0;
    for (uint32_t i = 0; i < count; i++)
        keys += new_levels(sorted, i);
    return keys;
}

static uint32_t length_for(size_t keys, bool paged)
{
    size_t bits = keys == 0 ? 1 : keys * BITS_PER_KEY;
    size_t blocks = (bits + BLOCK_BYTES * 8 - 1) / (BLOCK_BYTES * 8);
    size_t heads = paged ? (blocks + PAGE_BLOCKS - 1) / PAGE_BLOCKS : 0;
    return (uint32_t)(blocks * BLOCK_BYTES + heads * HEAD_BYTES);
}

static void add_key(uint8_t *blocks, uint32_t count, uint64_t hash)
{
    uint8_t *block = blocks + (size_t)block_of(hash, count) * BLOCK_BYTES;
    for (unsigned i = 0; i < 8; i++)
        sc_store_le32(block + 4 * i, sc_load_le32(block + 4 * i) | bit_of(hash, i));
}

/* Blocks that lie one behind the other move to their pages, the last ones first. */
static void put_pages(uint8_t *filter, const struct sc_bloom_layout *layout)
{
    for (uint32_t i = layout->pages; i-- > 0;) {
        uint8_t *page = filter + (size_t)i * SC_BLOOM_PAGE_BYTES;
        const uint8_t *blocks = filter + (size_t)i * PAGE_BLOCKS * BLOCK_BYTES;
        memmove(page + HEAD_BYTES, blocks, sc_bloom_page_length(layout, i) - HEAD_BYTES);
        memset(page, 0, HEAD_BYTES);
        sc_store_le64(page, hash_page(layout, i, page));
    }
}

void sc_bloom_write(const struct sc_addr *sorted, uint32_t count, bool paged, struct sc_buf *out)
{
    struct sc_bloom_layout layout;
    uint32_t length = length_for(count_keys(sorted, count), paged);
    uint8_t *filter = sc_buf_reserve(out, length);
    if (filter == NULL || !sc_bloom_layout(paged, length, &layout))
        return;
    memset(filter, 0, length);
    for (uint32_t i = 0; i < count; i++) {
        const unsigned *levels = levels_of(&sorted[i]), fresh = new_levels(sorted, i);
        for (unsigned l = 0; l < fresh; l++)
            add_key(filter, layout.blocks, hash_prefix(&sorted[i], levels[l]));
    }
    if (paged)
        put_pages(filter, &layout);
    out->len += length;
}

/* A prefix of fewer than 96 bits that holds the IPv4 range: its addresses have other levels. */
static bool holds_v4(const struct sc_addr *prefix, unsigned bits)
{
    struct sc_addr v4 = sc_addr_v4(0);
    struct sc_addr x = sc_addr_mask(&v4, bits), y = sc_addr_mask(prefix, bits);
    return bits < 96 && sc_addr_equal(&x, &y);
}

bool sc_bloom_ask(const struct sc_bloom_layout *layout, const struct sc_addr *prefix, unsigned bits,
                  struct sc_bloom_probe *out)
{
    const unsigned *levels = levels_of(prefix);
    unsigned level = 0;
    while (level < 3 && levels[level] > bits)
        level++;
    if (level == 3 || holds_v4(prefix, bits))
        return false;
    *out = probe_of(layout, hash_prefix(prefix, levels[level]));
    return true;
}

bool sc_bloom_may_contain(const struct sc_bloom_probe *probe, const uint8_t *page)
{
    for (unsigned i = 0; i < 8; i++) {
        if ((sc_load_le32(page + probe->offset + 4 * i) & bit_of(probe->hash, i)) == 0)
            return false;
    }
    return true;
}
