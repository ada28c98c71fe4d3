// SPDX-License-Identifier: BSD-3-Clause
/* What both sides of blocks (store/blocks.h) know of their layout. */
#ifndef SC_STORE_BLOCKS_LAYOUT_H
#define SC_STORE_BLOCKS_LAYOUT_H

#include "store/blocks.h"

#define SC_BLOCK_HEAD 16u
#define SC_BLOCK_LINE 128u /* a word of each lane */

/* What the head of a block says. */
struct sc_block {
    uint64_t base;
    uint32_t at;
    uint32_t count; /* of its values */
    unsigned bits, high_bytes;
    uint32_t exceptions;
};

static inline uint32_t sc_block_count(uint32_t count)
{
    return (uint32_t)(((uint64_t)count + SC_BLOCK_VALUES - 1) / SC_BLOCK_VALUES);
}

static inline uint32_t sc_block_words_size(uint32_t count, unsigned bits)
{
    return bits <= 32 ? ((count + 31) / 32 * bits + 31) / 32 * SC_BLOCK_LINE
                      : ((count + 15) / 16 * bits + 63) / 64 * SC_BLOCK_LINE;
}

static inline uint32_t sc_block_size(const struct sc_block *b)
{
    return sc_block_words_size(b->count, b->bits) + b->exceptions * (2 + b->high_bytes);
}

static inline uint64_t sc_low_bits(unsigned bits)
{
    return bits == 64 ? ~UINT64_C(0) : (UINT64_C(1) << bits) - 1;
}

#endif
