// SPDX-License-Identifier: BSD-3-Clause
/*
 * Blocks: what the integer streams of format 2 are made of (layouts BLOCKS and STEPS of stream.h), so that a reader decodes only
 * those values that it asks for. Values are in blocks of 1,024, the last one shorter. The payload: a head of 16 bytes for each
 * block, then the blocks one behind the other, without gaps.
 *
 *   offset  size
 *        0     8  base
 *        8     4  where the block begins, from the start of the payload
 *       12     1  bits: 0 to 64
 *       13     1  bytes of a high part: 1, 2, 4 or 8; 0 when there are no exceptions
 *       14     2  exceptions
 *
 * A block of n values holds n numbers: of BLOCKS value - base, base being the least value; of STEPS value - value before modulo 2^64,
 * the first number being 0 and base the first value. Their lowest `bits` bits are in words: in lanes, so that as many numbers as there
 * are lanes are taken out at a time by the same shifts. Up to 32 bits there are 32 lanes of u32, else 16 lanes of u64, little-endian.
 * Number i is in lane i % lanes; the numbers of a lane follow one another from the lowest bit of its first word on. A lane has
 * ceil(ceil(n / lanes) * bits / bits of a word) words; the w-th word of lane l is word w * lanes + l of the block. Bits behind the
 * last number are 0.
 *
 * Numbers of more bits are exceptions: behind the words their places, u16, ascending, and then their high parts, number >> bits, so
 * many bytes each.
 */
#ifndef SC_STORE_BLOCKS_H
#define SC_STORE_BLOCKS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/machine.h"
#include "base/status.h"

#define SC_BLOCK_VALUES 1024u

/* Whether no value is less than the one before: only then steps may take less room. */
bool sc_blocks_ascend(const uint64_t *values, uint32_t count);
/* Bytes of the payload. */
size_t sc_blocks_size(const uint64_t *values, uint32_t count, bool steps);
/* About the same of the shorter of both, by some of its blocks. */
size_t sc_blocks_estimate(const uint64_t *values, uint32_t count);
/* Appends the payload. @return SC_OK or SC_NOMEM. */
enum sc_status sc_blocks_put(const uint64_t *values, uint32_t count, bool steps, struct sc_buf *out);

/*
 * Decodes to out[count], of `width` = 1, 2, 4 or 8 bytes, values modulo 2^(8 * width), by vectors that the machine has. The bytes are
 * not trusted. @return SC_OK or SC_DAMAGED.
 */
enum sc_status sc_blocks_get(enum sc_vectors vectors, const uint8_t *payload, size_t length, uint32_t count,
                             bool steps, unsigned width, void *out);

/* As sc_blocks_get, but only of the values whose bits are set. Of the others some are set, too, the rest is left as it is. */
enum sc_status sc_blocks_get_rows(enum sc_vectors vectors, const uint8_t *payload, size_t length,
                                  uint32_t count, bool steps, unsigned width, const uint64_t *bits,
                                  void *out);

/*
 * Adds the places of the values, as 64 bit numbers, that lie in low..high to the set `out`; of BLOCKS only, and nothing is decoded for
 * it. `wanted`: what lies in blocks without any of these is left out; NULL: all. @return SC_OK or SC_DAMAGED.
 */
enum sc_status sc_blocks_match(enum sc_vectors vectors, const uint8_t *payload, size_t length, uint32_t count,
                               uint64_t low, uint64_t high, const uint64_t *wanted, uint64_t *out);

#endif
