// SPDX-License-Identifier: BSD-3-Clause
/*
 * A split-block Bloom filter over the addresses of a row group and their prefixes: IPv4 /32, /24, /16; IPv6
 * /128, /64, /48. Blocks of 32 bytes, eight 32-bit words; a key sets one bit in each word of one block. Key
 * hash h: XXH3 64 of the masked 16 address bytes with the prefix length (in 128 terms: 128, 120, 112; 64, 48)
 * as seed. Block = (h >> 32) * blocks >> 32, blocks = length of the chunk / 32; bit of word i = (low 32 bits
 * of h * salt[i], modulo 2^32) >> 27, salt being
 *     47b6137b 44974d91 8824ad5b a2b7289d 705495c7 2df1424b 9efc4947 5c6bfb31
 * The chunk (role BLOOM) is the blocks, words little-endian.
 */
#ifndef SC_STORE_BLOOM_H
#define SC_STORE_BLOOM_H

#include "base/addr.h"
#include "base/buf.h"

/* Appends the filter of `count` sorted distinct addresses. */
void sc_bloom_write(const struct sc_addr *sorted, uint32_t count, struct sc_buf *out);

/* False only when no address within the prefix (`bits` of 128; IPv4 /24 = 120) was added. True when unsure,
 * also for prefix lengths shorter than the filter holds. `length` is a multiple of 32. */
bool sc_bloom_may_contain(const uint8_t *filter, size_t length, const struct sc_addr *prefix, unsigned bits);

#endif
