// SPDX-License-Identifier: BSD-3-Clause
/*
 * An IP address of either family in 16 bytes, network order. IPv4 a.b.c.d is ::ffff:a.b.c.d
 * (RFC 4291 section 2.5.5.2), so that one type, one order and one dictionary serve both families.
 */
#ifndef SC_BASE_ADDR_H
#define SC_BASE_ADDR_H

#include "base/bytes.h"

#include <stdbool.h>

struct sc_addr {
    uint8_t b[16];
};

/* Longest text of an address with its terminator. */
#define SC_ADDR_TEXT_MAX 46

static inline struct sc_addr sc_addr_v4(uint32_t host_order)
{
    struct sc_addr a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    sc_store_be32(a.b + 12, host_order);
    return a;
}

static inline bool sc_addr_is_v4(const struct sc_addr *a)
{
    return sc_load_le64(a->b) == 0 && sc_load_le32(a->b + 8) == 0xffff0000u;
}

static inline uint32_t sc_addr_get_v4(const struct sc_addr *a)
{
    return sc_load_be32(a->b + 12);
}

/* Order of addresses = order of their bytes; all IPv4 lie together. */
static inline int sc_addr_compare(const struct sc_addr *x, const struct sc_addr *y)
{
    uint64_t a = sc_load_be64(x->b), b = sc_load_be64(y->b);
    if (a == b) {
        a = sc_load_be64(x->b + 8);
        b = sc_load_be64(y->b + 8);
    }
    return a < b ? -1 : a > b;
}

static inline bool sc_addr_equal(const struct sc_addr *x, const struct sc_addr *y)
{
    return memcmp(x->b, y->b, sizeof(x->b)) == 0;
}

/* Keeps the first `bits` of the 128 (an IPv4 prefix of n is 96 + n) and clears the rest. */
struct sc_addr sc_addr_mask(const struct sc_addr *a, unsigned bits);

/* Reads dotted IPv4 or RFC 4291 IPv6 text of `length` bytes. Returns false when it is neither. */
bool sc_addr_parse(const char *text, size_t length, struct sc_addr *out);

/* Writes the text (RFC 5952; IPv4 dotted), terminated, and returns its length (< SC_ADDR_TEXT_MAX). */
size_t sc_addr_format(const struct sc_addr *a, char *out);

/* How many of `count` ascending addresses are below `than`. */
uint32_t sc_addresses_below(const struct sc_addr *addresses, uint32_t count, const struct sc_addr *than);
/* IPv4 addresses lie together among ascending ones, in the midst of IPv6: where they begin, and the number behind the last. */
void sc_addresses_find_v4(const struct sc_addr *addresses, uint32_t count, uint32_t *first, uint32_t *behind);

#endif
