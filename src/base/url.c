// SPDX-License-Identifier: BSD-3-Clause
#include "base/url.h"

#include <stdio.h>

static const char *const scheme_names[] = {"udp", "tcp"};

const char *sc_url_scheme_name(enum sc_url_scheme scheme)
{
    return scheme_names[scheme];
}

static enum sc_status parse_scheme(const char *text, size_t length, struct sc_url *out, struct sc_error *err)
{
    for (unsigned i = 0; i < sizeof(scheme_names) / sizeof(scheme_names[0]); i++) {
        if (strlen(scheme_names[i]) == length && memcmp(text, scheme_names[i], length) == 0) {
            out->scheme = (enum sc_url_scheme)i;
            return SC_OK;
        }
    }
    return sc_fail(err, SC_USAGE, "\"%s\": unknown scheme \"%.*s\"; udp and tcp are known", text, (int)length,
                   text);
}

static bool parse_port(const char *text, uint16_t *out)
{
    unsigned value = 0;
    size_t digits = strlen(text);
    if (digits == 0 || digits > 5)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *out = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* The host's first byte, its length, and the text of the port; false when there is no port. */
static bool split(const char *rest, const char **host, size_t *length, const char **port)
{
    const char *end;
    if (rest[0] == '[') {
        end = strchr(rest, ']');
        if (end == NULL || end[1] != ':')
            return false;
        *host = rest + 1;
        *port = end + 2;
    } else {
        end = strrchr(rest, ':');
        if (end == NULL)
            return false;
        *host = rest;
        *port = end + 1;
    }
    *length = (size_t)(end - *host);
    return true;
}

static enum sc_status take_host(const char *text, const char *host, size_t length, struct sc_url *out,
                                struct sc_error *err)
{
    bool bracketed = host[length] == ']';
    if (length == 0 || length >= sizeof(out->host))
        return sc_fail(err, SC_USAGE, "\"%s\": the host is %s", text, length == 0 ? "missing" : "too long");
    memcpy(out->host, host, length);
    out->host[length] = '\0';
    out->numeric = sc_addr_parse(host, length, &out->address);
    if (bracketed && !out->numeric)
        return sc_fail(err, SC_USAGE, "\"%s\": \"%s\" is no IPv6 address", text, out->host);
    if (!bracketed && memchr(host, ':', length) != NULL)
        return sc_fail(err, SC_USAGE, "\"%s\": an IPv6 address stands in brackets, as in %s://[%s]:4739",
                       text, scheme_names[out->scheme], out->numeric ? out->host : "2001:db8::1");
    if (strpbrk(out->host, "/@?# \t") != NULL)
        return sc_fail(err, SC_USAGE, "\"%s\": \"%s\" is no host", text, out->host);
    return SC_OK;
}

enum sc_status sc_url_parse(const char *text, struct sc_url *out, struct sc_error *err)
{
    memset(out, 0, sizeof(*out));
    const char *mark = strstr(text, "://");
    const char *host, *port;
    size_t length;
    if (mark == NULL)
        return sc_fail(err, SC_USAGE, "\"%s\" is no URL such as udp://127.0.0.1:4739 or tcp://[::]:4739",
                       text);
    SC_TRY(parse_scheme(text, (size_t)(mark - text), out, err));
    if (!split(mark + 3, &host, &length, &port))
        return sc_fail(err, SC_USAGE, "\"%s\": the port is missing, as in %s://%s:4739", text,
                       scheme_names[out->scheme], mark[3] == '\0' ? "127.0.0.1" : mark + 3);
    SC_TRY(take_host(text, host, length, out, err));
    if (!parse_port(port, &out->port))
        return sc_fail(err, SC_USAGE, "\"%s\": \"%s\" is no port from 0 to 65535", text, port);
    return SC_OK;
}

size_t sc_url_format(const struct sc_url *url, char *out)
{
    char address[SC_ADDR_TEXT_MAX];
    const char *host = url->host;
    if (url->numeric) {
        sc_addr_format(&url->address, address);
        host = address;
    }
    bool brackets = strchr(host, ':') != NULL;
    return (size_t)snprintf(out, SC_URL_TEXT_MAX, "%s://%s%s%s:%u", scheme_names[url->scheme],
                            brackets ? "[" : "", host, brackets ? "]" : "", url->port);
}
