// SPDX-License-Identifier: BSD-3-Clause
#include "show/value.h"

#include "base/clock.h"
#include "base/text.h"
#include "flow/value_names.h"
#include "show/digits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

size_t sc_show_room(const struct sc_value *value)
{
    if (value->type == SC_VALUE_STRING || value->type == SC_VALUE_BYTES)
        return SC_SHOW_SHORT_ROOM + (size_t)value->length * 6;
    return SC_SHOW_SHORT_ROOM;
}

/* ---- numbers ---- */

static char *put_i64(char *p, int64_t v)
{
    if (v >= 0)
        return sc_put_u64(p, (uint64_t)v);
    *p++ = '-';
    return sc_put_u64(p, 0 - (uint64_t)v);
}

static char *put_three(char *p, unsigned v)
{
    *p++ = (char)('0' + v / 100);
    return sc_put_two(p, v % 100);
}

static inline char *put_text(char *p, const char *text)
{
    while (*text != '\0')
        *p++ = *text++;
    return p;
}

static char *put_printf_double(char *p, const char *format, double v)
{
    char text[40];
    snprintf(text, sizeof(text), format, v);
    return put_text(p, text);
}

/* Up to three decimals without trailing zeros: "12.5", "3", "0". */
static char *put_float(char *p, double v)
{
    if (v < 0) {
        char *end = put_float(p + 1, -v);
        if (end == p + 2 && p[1] == '0') { /* it rounds to nothing */
            *p = '0';
            return p + 1;
        }
        *p = '-';
        return end;
    }
    if (v >= 9e15)
        return v < 1.8e19 ? sc_put_u64(p, (uint64_t)v) : put_printf_double(p, "%.17g", v);
    uint64_t whole = (uint64_t)v;
    unsigned rest = (unsigned)((v - (double)whole) * 1000 + 0.5);
    p = sc_put_u64(p, whole + rest / 1000);
    rest %= 1000;
    if (rest == 0)
        return p;
    *p++ = '.';
    p = put_three(p, rest);
    while (p[-1] == '0')
        p--;
    return p;
}

/* An element's own value. Programs get the fewest digits that give it back exactly. */
static char *put_raw_float(uint8_t format, char *p, double v)
{
    char text[40];
    if (format == SC_OUTPUT_PRETTY)
        return v != 0 && fabs(v) < 1 ? put_printf_double(p, "%.6g", v) : put_float(p, v);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return put_text(p, text);
}

static char *put_hex(char *p, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *p++ = digits[bytes[i] >> 4];
        *p++ = digits[bytes[i] & 15];
    }
    return p;
}

static char *put_mac(char *p, uint64_t v)
{
    for (int shift = 40; shift >= 0; shift -= 8) {
        uint8_t octet = (uint8_t)(v >> shift);
        p = put_hex(p, &octet, 1);
        if (shift != 0)
            *p++ = ':';
    }
    return p;
}

/* ---- times ---- */

#define DAY_MS INT64_C(86400000)
/* The year 10000, which has no four digits. */
#define TIME_STOP INT64_C(253402300800000)

#define QUARTER   900 /* offsets change at quarters of an hour */
#define FOUR_HOUR 14400

static int32_t offset_at(int64_t seconds)
{
    time_t at = (time_t)seconds;
    struct tm tm;
    return localtime_r(&at, &tm) == NULL ? 0 : (int32_t)tm.tm_gmtoff;
}

/* Whether the clock shows this time twice, as it goes back. */
static bool comes_twice(int64_t seconds, int32_t offset)
{
    int32_t back = offset_at(seconds - FOUR_HOUR) - offset_at(seconds + FOUR_HOUR);
    return back > 0 &&
           (offset_at(seconds + back) == offset - back || offset_at(seconds - back) == offset + back);
}

static int32_t local_offset(struct sc_show_context *x, int64_t ms)
{
    int64_t quarter = ms / (QUARTER * 1000);
    if (x->quarter != quarter) {
        x->offset = offset_at(quarter * QUARTER);
        x->twice = comes_twice(quarter * QUARTER, x->offset);
        x->quarter = quarter;
    }
    return x->offset;
}

static char *put_date(struct sc_show_context *x, char *p, int64_t day)
{
    if (x->day != day) {
        struct sc_civil c = sc_time_to_civil(day * DAY_MS);
        char *q = sc_put_two(x->date, (unsigned)c.year / 100 % 100);
        q = sc_put_two(q, (unsigned)c.year % 100);
        *q++ = '-';
        q = sc_put_two(q, c.month);
        *q++ = '-';
        sc_put_two(q, c.day);
        x->day = day;
    }
    memcpy(p, x->date, sizeof(x->date));
    return p + sizeof(x->date);
}

static char *put_clock(char *p, uint32_t ms_of_day)
{
    uint32_t seconds = ms_of_day / 1000;
    p = sc_put_two(p, seconds / 3600);
    *p++ = ':';
    p = sc_put_two(p, seconds / 60 % 60);
    *p++ = ':';
    p = sc_put_two(p, seconds % 60);
    *p++ = '.';
    return put_three(p, ms_of_day % 1000);
}

/* RFC 3339's end: "Z", or the offset of a local time. */
static char *put_zone(const struct sc_show_context *x, char *p, int32_t offset)
{
    if (!x->local) {
        *p++ = 'Z';
        return p;
    }
    unsigned minutes = (unsigned)(offset < 0 ? -offset : offset) / 60;
    *p++ = offset < 0 ? '-' : '+';
    p = sc_put_two(p, minutes / 60);
    *p++ = ':';
    return sc_put_two(p, minutes % 60);
}

/* Pretty has the zone in its header, the offset of what comes twice, and a blank before the time of day; the others write RFC 3339. */
static char *put_time(struct sc_show_context *x, char *p, uint64_t ms, unsigned ns_rest, bool with_ns)
{
    bool pretty = x->format == SC_OUTPUT_PRETTY;
    if (ms >= (uint64_t)TIME_STOP - DAY_MS)
        return sc_put_u64(put_text(p, "out-of-range:"), ms);
    int32_t offset = x->local ? local_offset(x, (int64_t)ms) : 0;
    int64_t shown = (int64_t)ms + offset * INT64_C(1000);
    int64_t day = shown / DAY_MS - (shown % DAY_MS < 0);
    p = put_date(x, p, day);
    *p++ = pretty ? ' ' : 'T';
    p = put_clock(p, (uint32_t)(shown - day * DAY_MS));
    if (with_ns) {
        p = put_three(p, ns_rest / 1000);
        p = put_three(p, ns_rest % 1000);
    }
    return pretty && !(x->local && x->twice) ? p : put_zone(x, p, offset);
}

/* hh:mm:ss.mmm; as many hours as there are. */
static char *put_duration(char *p, uint64_t ms)
{
    uint64_t hours = ms / 3600000;
    if (hours < 24)
        return put_clock(p, (uint32_t)ms);
    p = hours < 100 ? sc_put_two(p, (unsigned)hours) : sc_put_u64(p, hours);
    char rest[12];
    put_clock(rest, (uint32_t)(ms % 3600000));
    memcpy(p, rest + 2, 10);
    return p + 10;
}

/* ---- conversions ---- */

/* "999", "1.2 M": one decimal, rounded, so that 999,960 is 1.0 M and not 1000.0 k. */
static char *put_volume(const struct sc_show_context *x, char *p, double v)
{
    static const char prefixes[] = "kMGTPE";
    double step = x->binary ? 1024 : 1000;
    if (v < step - 0.5 && v == floor(v))
        return sc_put_u64(p, (uint64_t)v);
    size_t steps = 0;
    for (; v >= step - 0.05 && prefixes[steps] != '\0'; steps++)
        v /= step;
    if (v >= 1e6) /* beyond what counters can hold */
        return put_printf_double(p, "%.3g E", v);
    uint64_t tenths = (uint64_t)(v * 10 + 0.5);
    p = sc_put_u64(p, tenths / 10);
    *p++ = '.';
    *p++ = (char)('0' + tenths % 10);
    if (steps == 0)
        return p;
    *p++ = ' ';
    *p++ = steps == 1 && x->binary ? 'K' : prefixes[steps - 1];
    if (x->binary)
        *p++ = 'i';
    return p;
}

static char *put_flags(char *p, uint64_t v)
{
    static const char letters[] = "CEUAPRSF";
    if (v > 0xff) {
        uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        return v > 0xffff ? sc_put_u64(p, v) : put_hex(put_text(p, "0x"), bytes, 2);
    }
    for (unsigned i = 0; i < 8; i++)
        *p++ = v >> (7 - i) & 1 ? letters[i] : '.';
    return p;
}

static char *put_protocol(char *p, uint64_t v)
{
    static const char *const names[] = {
        [0] = "HOPOPT",      [1] = "ICMP",         [2] = "IGMP",        [4] = "IPIP",       [6] = "TCP",
        [8] = "EGP",         [9] = "IGP",          [17] = "UDP",        [33] = "DCCP",      [41] = "IPv6",
        [43] = "IPv6-Route", [44] = "IPv6-Frag",   [46] = "RSVP",       [47] = "GRE",       [50] = "ESP",
        [51] = "AH",         [58] = "ICMPv6",      [59] = "IPv6-NoNxt", [60] = "IPv6-Opts", [88] = "EIGRP",
        [89] = "OSPF",       [103] = "PIM",        [112] = "VRRP",      [115] = "L2TP",     [132] = "SCTP",
        [136] = "UDPLite",   [137] = "MPLS-in-IP",
    };
    const char *name = v < sizeof(names) / sizeof(names[0]) ? names[v] : NULL;
    return name == NULL ? sc_put_u64(p, v) : put_text(p, name);
}

static char *put_named(char *p, uint16_t element, uint64_t v)
{
    const char *name = sc_value_name(element, v);
    return name == NULL ? sc_put_u64(p, v) : put_text(p, name);
}

/* ---- texts ---- */

static char *put_json_escape(char *p, uint8_t c)
{
    static const char short_forms[] = "btn\0fr"; /* of 8 to 13 */
    *p++ = '\\';
    if (c == '"' || c == '\\') {
        *p++ = (char)c;
    } else if (c >= 8 && c <= 13 && short_forms[c - 8] != '\0') {
        *p++ = short_forms[c - 8];
    } else {
        p = put_text(p, "u00");
        p = put_hex(p, &c, 1);
    }
    return p;
}

/* \uHHHH; two of them above U+FFFF. */
static char *put_json_unicode(char *p, uint32_t point)
{
    if (point > 0xffff) {
        p = put_json_unicode(p, 0xd800 + ((point - 0x10000) >> 10));
        point = 0xdc00 + ((point - 0x10000) & 0x3ff);
    }
    uint8_t bytes[2] = {(uint8_t)(point >> 8), (uint8_t)point};
    return put_hex(put_text(p, "\\u"), bytes, 2);
}

char *sc_show_json_string(char *p, const uint8_t *text, size_t length)
{
    *p++ = '"';
    for (size_t i = 0; i < length;) {
        unsigned n = sc_utf8_length(text + i, length - i);
        if (n == 0) {
            p = put_text(p, "\xef\xbf\xbd"); /* U+FFFD */
            i++;
        } else if (text[i] < 0x20 || text[i] == '"' || text[i] == '\\') {
            p = put_json_escape(p, text[i++]);
        } else if (sc_text_is_obeyed(text + i, n)) { /* the same text to a program, nothing to a terminal */
            p = put_json_unicode(p, sc_utf8_code_point(text + i, n));
            i += n;
        } else {
            memcpy(p, text + i, n);
            p += n;
            i += n;
        }
    }
    *p++ = '"';
    return p;
}

char *sc_show_csv_string(char *p, const uint8_t *text, size_t length)
{
    bool plain = length != 0; /* an empty text is "", a null is nothing */
    for (size_t i = 0; i < length && plain; i++)
        plain = text[i] != ',' && text[i] != '"' && text[i] >= 0x20 && text[i] != 0x7f;
    if (plain) {
        memcpy(p, text, length);
        return p + length;
    }
    *p++ = '"';
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"')
            *p++ = '"';
        *p++ = (char)text[i];
    }
    *p++ = '"';
    return p;
}

static bool is_utf8(const uint8_t *text, size_t length)
{
    size_t i = 0;
    for (unsigned n; i < length && (n = sc_utf8_length(text + i, length - i)) != 0;)
        i += n;
    return i == length;
}

/* A string that is no UTF-8 is told by its bytes, so that none of them is lost: in JSON as no text can be, {"hex": ".."}. */
static char *put_string(const struct sc_show_context *x, char *p, const struct sc_value *v)
{
    bool csv = x->format == SC_OUTPUT_CSV;
    if (x->format == SC_OUTPUT_PRETTY)
        return sc_text_put_visible(p, v->bytes, v->length);
    if (is_utf8(v->bytes, v->length))
        return (csv ? sc_show_csv_string : sc_show_json_string)(p, v->bytes, v->length);
    p = put_hex(put_text(p, csv ? "0x" : "{\"hex\": \""), v->bytes, v->length);
    return put_text(p, csv ? "" : "\"}");
}

/* ---- a value ---- */

enum sc_show sc_show_of_type(uint8_t type)
{
    static const uint8_t shows[] = {
        [SC_VALUE_UINT] = SC_SHOW_UINT,       [SC_VALUE_INT] = SC_SHOW_INT,
        [SC_VALUE_FLOAT] = SC_SHOW_FLOAT,     [SC_VALUE_ADDRESS] = SC_SHOW_ADDRESS,
        [SC_VALUE_MAC] = SC_SHOW_MAC,         [SC_VALUE_TIME_MS] = SC_SHOW_TIME_MS,
        [SC_VALUE_TIME_NS] = SC_SHOW_TIME_NS, [SC_VALUE_BYTES] = SC_SHOW_BYTES,
        [SC_VALUE_STRING] = SC_SHOW_STRING,
    };
    return (enum sc_show)shows[type];
}

static char *put_plain(struct sc_show_context *x, enum sc_show show, const struct sc_value *v, char *p)
{
    switch (show) {
    case SC_SHOW_ADDRESS:
        return p + sc_addr_format(&v->addr, p);
    case SC_SHOW_MAC:
        return put_mac(p, v->u);
    case SC_SHOW_TIME_MS:
        p = put_time(x, p, v->u, 0, false);
        return v->event && x->format == SC_OUTPUT_PRETTY ? put_text(p, "*") : p;
    case SC_SHOW_TIME_NS:
        return put_time(x, p, v->u / 1000000, (unsigned)(v->u % 1000000), true);
    case SC_SHOW_BYTES:
        return put_hex(put_text(p, "0x"), v->bytes, v->length);
    case SC_SHOW_DURATION:
        return put_duration(p, v->type == SC_VALUE_FLOAT ? (uint64_t)(v->f + 0.5) : v->u);
    case SC_SHOW_VOLUME:
        return put_volume(x, p, v->type == SC_VALUE_FLOAT ? v->f : (double)v->u);
    case SC_SHOW_FLAGS:
        return put_flags(p, v->u);
    case SC_SHOW_NAT_EVENT:
        return put_named(p, 230, v->u);
    case SC_SHOW_FIREWALL_EVENT:
        return put_named(p, 233, v->u);
    default:
        return put_protocol(p, v->u);
    }
}

char *sc_show_put(struct sc_show_context *x, enum sc_show show, const struct sc_value *v, char *p)
{
    switch (show) {
    case SC_SHOW_UINT:
        return sc_put_u64(p, v->u);
    case SC_SHOW_INT:
        return put_i64(p, (int64_t)v->u);
    case SC_SHOW_FLOAT:
        return put_float(p, v->f);
    case SC_SHOW_FLOAT_RAW:
        return put_raw_float(x->format, p, v->f);
    case SC_SHOW_STRING:
        return put_string(x, p, v);
    default:
        break;
    }
    bool quote = x->format == SC_OUTPUT_JSON || x->format == SC_OUTPUT_NDJSON;
    if (quote)
        *p++ = '"';
    p = put_plain(x, show, v, p);
    if (quote)
        *p++ = '"';
    return p;
}
