// SPDX-License-Identifier: BSD-3-Clause
/* Decimal digits, for those who write most of them. Each function returns the end of what it wrote. */
#ifndef SC_SHOW_DIGITS_H
#define SC_SHOW_DIGITS_H

#include "base/bytes.h"

/* What is written of a number, at most: 20 digits are. */
#define SC_DIGITS_ROOM 24u

/* Two digits. */
static inline char *sc_put_two(char *p, unsigned v)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    memcpy(p, pairs + (size_t)v * 2, 2);
    return p + 2;
}

/* The four digits of a number below 10,000, the first in the lowest byte. No step waits for a guess of how many there are. */
static inline uint32_t sc_four_digits(uint32_t v)
{
    uint32_t high = v * 5243 >> 19; /* v / 100 */
    uint32_t pairs = high | (v - 100 * high) << 16;
    uint32_t tens = pairs * 103 >> 10 & 0x000f000fu; /* of each pair */
    return (tens | (pairs - 10 * tens) << 8) + 0x30303030u;
}

static inline char *sc_put_four(char *p, uint32_t v)
{
    sc_store_le32(p, sc_four_digits(v));
    return p + 4;
}

/* Below 10,000, without zeros in front; up to four bytes are written. */
static inline char *sc_put_up_to_four(char *p, uint32_t v)
{
    unsigned zeros = (unsigned)(v < 10) + (v < 100) + (v < 1000);
    sc_store_le32(p, sc_four_digits(v) >> 8 * zeros);
    return p + 4 - zeros;
}

static inline char *sc_put_eight(char *p, uint32_t v)
{
    return sc_put_four(sc_put_four(p, v / 10000), v % 10000);
}

static inline char *sc_put_up_to_eight(char *p, uint32_t v)
{
    return v < 10000 ? sc_put_up_to_four(p, v) : sc_put_four(sc_put_up_to_four(p, v / 10000), v % 10000);
}

/* There is room for SC_DIGITS_ROOM. */
static inline char *sc_put_u64(char *p, uint64_t v)
{
    const uint64_t eight = 100000000;
    if (v < eight)
        return sc_put_up_to_eight(p, (uint32_t)v);
    uint64_t upper = v / eight;
    if (upper < eight) {
        p = sc_put_up_to_eight(p, (uint32_t)upper);
    } else {
        p = sc_put_up_to_four(p, (uint32_t)(upper / eight));
        p = sc_put_eight(p, (uint32_t)(upper % eight));
    }
    return sc_put_eight(p, (uint32_t)(v % eight));
}

#endif
