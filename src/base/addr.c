// SPDX-License-Identifier: BSD-3-Clause
#include "base/addr.h"

#include <arpa/inet.h>

struct sc_addr sc_addr_mask(const struct sc_addr *a, unsigned bits)
{
    struct sc_addr out = *a;
    if (bits >= 128)
        return out;
    unsigned whole = bits / 8;
    if (bits % 8 != 0) {
        out.b[whole] &= (uint8_t)(0xff00u >> (bits % 8));
        whole++;
    }
    memset(out.b + whole, 0, sizeof(out.b) - whole);
    return out;
}

bool sc_addr_parse(const char *text, size_t length, struct sc_addr *out)
{
    char copy[SC_ADDR_TEXT_MAX];
    if (length == 0 || length >= sizeof(copy))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    struct in_addr v4;
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        *out = sc_addr_v4(ntohl(v4.s_addr));
        return true;
    }
    return inet_pton(AF_INET6, copy, out->b) == 1;
}

/* 0 to 255, without zeros in front; up to three bytes are written. */
static char *put_octet(char *p, unsigned v)
{
    unsigned hundreds = v * 41 >> 12, rest = v - 100 * hundreds, tens = rest * 103 >> 10;
    uint32_t digits = (hundreds | tens << 8 | (rest - 10 * tens) << 16) + 0x303030u;
    unsigned zeros = (unsigned)(v < 10) + (v < 100);
    digits >>= 8 * zeros;
    memcpy(p, &digits, 3);
    return p + 3 - zeros;
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952 section 4.2); length 0 when there
 * is none. */
static int find_zero_run(const uint8_t *b, int *length)
{
    int best = 0;
    *length = 0;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && b[2 * (i + n)] == 0 && b[2 * (i + n) + 1] == 0)
            n++;
        if (n > 1 && n > *length) {
            best = i;
            *length = n;
        }
        i += n;
    }
    return best;
}

static char *put_group(char *p, unsigned v)
{
    static const char digits[] = "0123456789abcdef";
    for (int shift = v >= 0x1000 ? 12 : v >= 0x100 ? 8 : v >= 0x10 ? 4 : 0; shift >= 0; shift -= 4)
        *p++ = digits[v >> shift & 15];
    return p;
}

static char *put_v6(char *p, const uint8_t *b)
{
    int run, at = find_zero_run(b, &run);
    for (int i = 0; i < 8; i++) {
        if (run != 0 && i == at) {
            *p++ = ':';
            i += run - 1;
            if (i == 7)
                *p++ = ':';
            continue;
        }
        if (i != 0)
            *p++ = ':';
        p = put_group(p, sc_load_be16(b + (size_t)i * 2));
    }
    return p;
}

size_t sc_addr_format(const struct sc_addr *a, char *out)
{
    char *p = out;
    if (!sc_addr_is_v4(a)) {
        p = put_v6(p, a->b);
        *p = '\0';
        return (size_t)(p - out);
    }
    for (int i = 12; i < 16; i++) {
        if (i > 12)
            *p++ = '.';
        p = put_octet(p, a->b[i]);
    }
    *p = '\0';
    return (size_t)(p - out);
}

uint32_t sc_addresses_below(const struct sc_addr *addresses, uint32_t count, const struct sc_addr *than)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (sc_addr_compare(&addresses[mid], than) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void sc_addresses_find_v4(const struct sc_addr *addresses, uint32_t count, uint32_t *first, uint32_t *behind)
{
    static const struct sc_addr least = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}},
                                next = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
    *first = sc_addresses_below(addresses, count, &least);
    *behind = sc_addresses_below(addresses, count, &next);
}
