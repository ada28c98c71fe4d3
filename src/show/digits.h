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

/* The eight digits of a number below 10^8 as bytes of 0 to 9, the first in the lowest: all parts of a word are divided at once. */
static inline uint64_t sc_eight_digits(uint32_t v)
{
    uint64_t fours = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t hundreds = fours * 5243 >> 19 & 0x0000007f0000007fu;
    uint64_t pairs = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = pairs * 103 >> 10 & 0x000f000f000f000fu;
    return tens | (pairs - 10 * tens) << 8;
}

#define SC_ZEROS UINT64_C(0x3030303030303030)

static inline char *sc_put_eight(char *p, uint32_t v)
{
    sc_store_le64(p, sc_eight_digits(v) + SC_ZEROS);
    return p + 8;
}

/* Without zeros in front; eight bytes are written. No step waits for a guess of how many digits there are. */
static inline char *sc_put_up_to_eight(char *p, uint32_t v)
{
    uint64_t digits = sc_eight_digits(v);
    unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8;
    sc_store_le64(p, (digits + SC_ZEROS) >> 8 * zeros);
    return p + 8 - zeros;
}

/* ---- of a table ---- */

#define SC_SMALL_NUMBERS 1000u

/* The text of a small number, and its length in the highest byte. */
static inline uint32_t sc_small_text(uint32_t v)
{
    char text[8];
    uint32_t length = (uint32_t)(sc_put_up_to_eight(text, v) - text);
    return (sc_load_le32(text) & 0xffffffu) | length << 24;
}

/* Four bytes are written. */
static inline char *sc_put_small(char *p, uint32_t text)
{
    sc_store_le32(p, text);
    return p + (text >> 24);
}

/* ---- any ---- */

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
        p = sc_put_up_to_eight(p, (uint32_t)(upper / eight));
        p = sc_put_eight(p, (uint32_t)(upper % eight));
    }
    return sc_put_eight(p, (uint32_t)(v % eight));
}

#endif
