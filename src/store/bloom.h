// SPDX-License-Identifier: BSD-3-Clause
/*
 * A split-block Bloom filter over the addresses of a row group and their prefixes: IPv4 /32, /24, /16; IPv6
 * /128, /64, /48. Blocks of 32 bytes, eight 32-bit words, little-endian; a key sets one bit in each word of one
 * block. Key hash h: XXH3 64 of the masked 16 address bytes with the prefix length (in 128 terms: 128, 120, 112;
 * 64, 48) as seed. Block = (h >> 32) * blocks >> 32; bit of word i = (low 32 bits of h * salt[i], modulo 2^32)
 * >> 27, salt being
 *     47b6137b 44974d91 8824ad5b a2b7289d 705495c7 2df1424b 9efc4947 5c6bfb31
 * There is at least one block.
 *
 * The chunk (role FILTER, in format 2): pages of 4,096 bytes, of which a reader needs one for a question. Block
 * b is the (b % 127)th of page b / 127; the last page ends with the last block.
 *      0  8  hash: XXH3 64 of the rest of the page with the page's number, from 0, as seed
 *      8 24  0
 *     32     up to 127 blocks
 * The chunk (role BLOOM, in format 1 and in some files of format 2): the blocks.
 */
#ifndef SC_STORE_BLOOM_H
#define SC_STORE_BLOOM_H

#include "base/addr.h"
#include "base/buf.h"

#define SC_BLOOM_PAGE_BYTES 4096u

/* How the blocks of a chunk lie. Without pages all of it counts as one. */
struct sc_bloom_layout {
    bool paged;
    uint32_t length;     /* of the chunk */
    uint32_t page_bytes; /* of each page but the last */
    uint32_t pages;
    uint32_t blocks;
};

/* A question to a filter: the hash of a key, and the block that answers. */
struct sc_bloom_probe {
    uint64_t hash;
    uint32_t page;
    uint32_t offset; /* of the block in its page */
};

/* Appends the filter of `count` sorted distinct addresses. */
void sc_bloom_write(const struct sc_addr *sorted, uint32_t count, bool paged, struct sc_buf *out);

/* False: no filter has this length. */
bool sc_bloom_layout(bool paged, uint32_t length, struct sc_bloom_layout *out);

static inline uint32_t sc_bloom_page_length(const struct sc_bloom_layout *layout, uint32_t page)
{
    uint32_t left = layout->length - page * layout->page_bytes;
    return left < layout->page_bytes ? left : layout->page_bytes;
}

/* Whether a page's own hash and zeros are right. Of a filter without pages, which has neither, true. */
bool sc_bloom_page_is_whole(const struct sc_bloom_layout *layout, uint32_t page, const uint8_t *bytes);

/* The question whether any address lies within the prefix (`bits` of 128; IPv4 /24 = 120). False: filters cannot tell, since the
 * prefix is shorter than those that they hold. */
bool sc_bloom_ask(const struct sc_bloom_layout *layout, const struct sc_addr *prefix, unsigned bits,
                  struct sc_bloom_probe *out);
/* False only when no such address was added. `page`: the bytes of the page that the question names. */
bool sc_bloom_may_contain(const struct sc_bloom_probe *probe, const uint8_t *page);

#endif
