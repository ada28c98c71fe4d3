// SPDX-License-Identifier: BSD-3-Clause
/* Where to listen or to send: "udp://ADDRESS:PORT" or "tcp://ADDRESS:PORT"; IPv6 addresses in brackets. */
#ifndef SC_BASE_URL_H
#define SC_BASE_URL_H

#include "base/addr.h"
#include "base/status.h"

enum sc_url_scheme { SC_URL_UDP, SC_URL_TCP };

#define SC_URL_HOST_MAX 256
/* Longest text that sc_url_format writes, with its terminator. */
#define SC_URL_TEXT_MAX (SC_URL_HOST_MAX + 16)

struct sc_url {
    enum sc_url_scheme scheme;
    char host[SC_URL_HOST_MAX]; /* as written, without brackets */
    bool numeric;               /* the host is an address, and this is it: */
    struct sc_addr address;
    uint16_t port;
};

/* Reads a URL. A host that is no address is taken as a name and not looked up. @return SC_OK, or SC_USAGE
 * with *err. */
enum sc_status sc_url_parse(const char *text, struct sc_url *out, struct sc_error *err);

/* Writes the URL to out[SC_URL_TEXT_MAX], addresses in their canonical form, and returns its length. */
size_t sc_url_format(const struct sc_url *url, char *out);

/* "udp" or "tcp". */
const char *sc_url_scheme_name(enum sc_url_scheme scheme);

#endif
