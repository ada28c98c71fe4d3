// SPDX-License-Identifier: BSD-3-Clause
/* Unaligned loads and stores. `be` = network order (wire), `le` = little-endian (disk). No bounds are
 * checked. */
#ifndef SC_BASE_BYTES_H
#define SC_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the on-disk format is read in place and needs a little-endian machine"
#endif

static inline bool sc_all_zero(const void *p, size_t length)
{
    const uint8_t *b = p;
    return length == 0 || (b[0] == 0 && memcmp(b, b + 1, length - 1) == 0);
}

static inline uint16_t sc_load_be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap16(v);
}

static inline uint32_t sc_load_be32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t sc_load_be64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

/* Big-endian unsigned integer of 0 to 8 bytes (reduced-size encoding, RFC 7011 section 6.2). */
static inline uint64_t sc_load_be(const void *p, size_t length)
{
    const uint8_t *b = p;
    uint64_t v = 0;
    for (size_t i = 0; i < length; i++)
        v = v << 8 | b[i];
    return v;
}

/* An IEEE 754 number of 4 or 8 bytes. */
static inline double sc_load_be_float(const void *p, size_t length)
{
    double d;
    uint64_t wide = sc_load_be(p, length);
    if (length == 8) {
        memcpy(&d, &wide, sizeof(d));
        return d;
    }
    float f;
    uint32_t narrow = (uint32_t)wide;
    memcpy(&f, &narrow, sizeof(f));
    return f;
}

static inline void sc_store_be16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void sc_store_be32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void sc_store_be64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

static inline uint16_t sc_load_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t sc_load_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t sc_load_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void sc_store_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void sc_store_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void sc_store_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

#endif
