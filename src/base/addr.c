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

static char *put_octet(char *p, unsigned v)
{
    if (v >= 100) {
        *p++ = (char)('0' + v / 100);
        v %= 100;
        *p++ = (char)('0' + v / 10);
        v %= 10;
    } else if (v >= 10) {
        *p++ = (char)('0' + v / 10);
        v %= 10;
    }
    *p++ = (char)('0' + v);
    return p;
}

size_t sc_addr_format(const struct sc_addr *a, char *out)
{
    if (!sc_addr_is_v4(a)) {
        inet_ntop(AF_INET6, a->b, out, SC_ADDR_TEXT_MAX);
        return strlen(out);
    }
    char *p = out;
    for (int i = 12; i < 16; i++) {
        if (i > 12)
            *p++ = '.';
        p = put_octet(p, a->b[i]);
    }
    *p = '\0';
    return (size_t)(p - out);
}
