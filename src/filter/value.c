// SPDX-License-Identifier: BSD-3-Clause
/* Words to ranges of values, by the type of the field they are compared with. */
#include "filter/time_range.h"
#include "filter/tree.h"
#include "flow/value_names.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* A word or the inside of a quoted text. */
struct piece {
    const char *text;
    size_t length;
    size_t offset; /* in the filter */
};

static struct piece piece_of(const struct sc_filter_parse *p, uint32_t token)
{
    const struct sc_filter_token *t = &p->tokens[token];
    struct piece piece = {p->text + t->offset, t->length, t->offset};
    if (t->raw == SC_RAW_STRING) {
        piece.text++;
        piece.offset++;
        piece.length -= 2;
    }
    return piece;
}

static struct piece cut_piece(struct piece piece, size_t first, size_t length)
{
    return (struct piece){piece.text + first, length, piece.offset + first};
}

/* As a text of its own; false when there is none, or no room for it. */
static bool copy_piece(struct piece piece, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)(piece.length < size ? piece.length : size), piece.text);
    return piece.length != 0 && piece.length < size;
}

/* For messages. */
#define SHOWN(piece) ((piece).length > 60 ? 60 : (int)(piece).length), (piece).text

/* ---- names for numbers ---- */

/* The element behind a field in either direction of a biflow; 0 for others. */
static uint16_t element_of(const struct sc_field *field)
{
    const struct sc_column_key *key = &field->sources[0].key;
    bool known = field->source_count != 0 && (key->pen == SC_PEN_IANA || key->pen == SC_PEN_REVERSE);
    return known ? key->id : 0;
}

int sc_filter_protocol(const char *name, size_t length)
{
    return sc_value_number(4, name, length);
}

static bool is_flags(const struct sc_field *field)
{
    return element_of(field) == 6 && field->type == SC_VALUE_UINT;
}

static int named_value(const struct sc_field *field, const char *text, size_t length)
{
    return sc_value_number(element_of(field), text, length);
}

/* "S", "SA", "..A.S." as they are shown; X is all of the six of old. -1 when it is no such word. */
static int flag_letters(const char *text, size_t length)
{
    static const char letters[] = "FSRPAUECN";
    int flags = 0;
    bool any = false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.')
            continue;
        int letter = toupper((unsigned char)text[i]);
        const char *place = letter == '\0' ? NULL : strchr(letters, letter);
        if (place == NULL && letter != 'X')
            return -1;
        flags |= place == NULL ? 63 : 1 << (place - letters);
        any = true;
    }
    return any ? flags : -1;
}

const char *sc_filter_value_noun(const struct sc_field *field)
{
    uint16_t id = element_of(field);
    switch (field->type) {
    case SC_VALUE_ADDRESS:
        return "an address";
    case SC_VALUE_MAC:
        return "a MAC address";
    case SC_VALUE_TIME_MS:
    case SC_VALUE_TIME_NS:
        return "a time";
    case SC_VALUE_STRING:
        return "a text";
    case SC_VALUE_BYTES:
        return "bytes (0x...) or a quoted text";
    default:
        break;
    }
    if (id == 7 || id == 11)
        return "a port number";
    if (id == 4)
        return "a protocol (tcp, udp, icmp, ... or a number)";
    return is_flags(field) ? "TCP flags" : "a number";
}

/* ---- numbers ---- */

enum number { NUMBER_OK, NUMBER_NONE, NUMBER_TOO_BIG, NUMBER_BROKEN };

static uint64_t multiplier(const char *text, size_t length)
{
    static const char prefixes[] = "kmgtpe";
    if (length != 0 && (text[length - 1] == 'b' || text[length - 1] == 'B'))
        length--;
    if (length == 0)
        return 1;
    const char *prefix = strchr(prefixes, tolower((unsigned char)text[0]));
    bool binary = length == 2 && tolower((unsigned char)text[1]) == 'i';
    if (prefix == NULL || *prefix == '\0' || (length != 1 && !binary))
        return 0;
    uint64_t m = 1;
    for (const char *c = prefixes; c <= prefix; c++)
        m *= binary ? 1024 : 1000;
    return m;
}

static enum number read_hex(const char *text, size_t length, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < length; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return NUMBER_NONE;
        if (v >> 60 != 0)
            return NUMBER_TOO_BIG;
        int c = tolower((unsigned char)text[i]);
        v = v << 4 | (uint64_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    *out = v;
    return length == 0 ? NUMBER_NONE : NUMBER_OK;
}

/* "80", "0x50", "10k", "1.5M", "64Ki". BROKEN: 1.2345k is no whole number. */
static enum number read_uint(const char *text, size_t length, uint64_t *out)
{
    if (length > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return read_hex(text + 2, length - 2, out);
    unsigned __int128 v = 0, scale = 1;
    bool point = false;
    size_t i = 0;
    for (; i < length && (isdigit((unsigned char)text[i]) || (text[i] == '.' && !point && i > 0)); i++) {
        point = point || text[i] == '.';
        if (text[i] == '.')
            continue;
        v = v * 10 + (unsigned)(text[i] - '0');
        scale *= point ? 10 : 1;
        if (v > UINT64_MAX || scale > UINT64_MAX)
            return NUMBER_TOO_BIG;
    }
    uint64_t unit = multiplier(text + i, length - i);
    if (i == 0 || unit == 0 || text[i - 1] == '.')
        return NUMBER_NONE;
    v *= unit;
    if (v % scale != 0)
        return NUMBER_BROKEN;
    v /= scale;
    *out = (uint64_t)v;
    return v > UINT64_MAX ? NUMBER_TOO_BIG : NUMBER_OK;
}

static uint64_t greatest_of(const struct sc_field_source *source)
{
    const struct sc_ie *e = sc_ie_find(source->key.pen, source->key.id);
    unsigned width = e == NULL ? 8 : sc_column_width_of((enum sc_ie_type)e->type);
    enum sc_transform transform = (enum sc_transform)source->transform;
    if (transform == SC_TRANSFORM_MPLS_LABEL || transform == SC_TRANSFORM_MPLS_BOTTOM)
        return (1u << 20) - 1;
    if (transform == SC_TRANSFORM_MPLS_EXP)
        return 7;
    if (transform == SC_TRANSFORM_HIGH_BYTE || transform == SC_TRANSFORM_LOW_BYTE ||
        transform >= SC_TRANSFORM_OF_ICMP)
        return UINT8_MAX;
    return width == 0 || width >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * width) - 1;
}

/* The greatest value that the field's elements can carry. */
static uint64_t greatest_value(const struct sc_field *field)
{
    uint64_t greatest = 0;
    for (unsigned i = 0; i < field->source_count; i++) {
        uint64_t g = greatest_of(&field->sources[i]);
        greatest = g > greatest ? g : greatest;
    }
    return field->computed != SC_COMPUTED_NONE || greatest == 0 ? UINT64_MAX : greatest;
}

static bool fail_number(struct sc_filter_parse *p, const struct sc_field *field, struct piece piece,
                        enum number why)
{
    uint64_t greatest = greatest_value(field);
    if (why == NUMBER_TOO_BIG)
        sc_filter_complain(p, piece.offset, "%.*s does not fit \"%s\": the greatest value is %llu",
                           SHOWN(piece), field->name, (unsigned long long)greatest);
    else if (why == NUMBER_BROKEN)
        sc_filter_complain(p, piece.offset, "\"%.*s\" is no whole number", SHOWN(piece));
    else
        sc_filter_complain(p, piece.offset, "\"%.*s\" is not what \"%s\" takes: expected %s%s", SHOWN(piece),
                           field->name, sc_filter_value_noun(field),
                           is_flags(field)          ? " (letters of UAPRSFECN, or a number)"
                           : element_of(field) == 4 ? ""
                                                    : ", as in 80, 0x50, 10k, 1.5M, 64Ki");
    return false;
}

/* "10s", "5m" for what is counted in ms; a bare number is ms. */
static bool read_span(const struct sc_field *field, struct piece piece, uint64_t *out)
{
    char copy[32];
    return strcmp(field->unit, "milliseconds") == 0 && copy_piece(piece, copy, sizeof(copy)) &&
           isalpha((unsigned char)piece.text[piece.length - 1]) &&
           sc_time_parse_span(copy, out, NULL) == SC_OK;
}

static bool read_uint_value(struct sc_filter_parse *p, const struct sc_field *field, struct piece piece,
                            struct sc_filter_range *out)
{
    int named = is_flags(field) ? flag_letters(piece.text, piece.length)
                                : named_value(field, piece.text, piece.length);
    if (named >= 0) {
        out->low = out->high = (uint64_t)named;
        return true;
    }
    enum number got =
        read_span(field, piece, &out->low) ? NUMBER_OK : read_uint(piece.text, piece.length, &out->low);
    if (got == NUMBER_OK && out->low > greatest_value(field))
        got = NUMBER_TOO_BIG;
    out->high = out->low;
    return got == NUMBER_OK || fail_number(p, field, piece, got);
}

static bool read_int_value(struct sc_filter_parse *p, const struct sc_field *field, struct piece piece,
                           struct sc_filter_range *out)
{
    bool negative = piece.length != 0 && *piece.text == '-';
    struct piece digits = cut_piece(piece, negative, piece.length - negative);
    enum number got = read_uint(digits.text, digits.length, &out->low);
    if (got == NUMBER_OK && out->low > (uint64_t)INT64_MAX + negative)
        return sc_filter_complain(p, piece.offset, "%.*s does not fit \"%s\": it has 64 bits and a sign",
                                  SHOWN(piece), field->name) != NULL;
    if (negative)
        out->low = 0 - out->low;
    out->high = out->low;
    return got == NUMBER_OK || fail_number(p, field, piece, got);
}

/* Digits, then a unit. strtod sees digits only, so that neither "inf" nor hexadecimal gets in. */
static bool read_float_value(struct sc_filter_parse *p, const struct sc_field *field, struct piece piece,
                             struct sc_filter_range *out)
{
    char copy[64], *end;
    if (!copy_piece(piece, copy, sizeof(copy)))
        return fail_number(p, field, piece, NUMBER_NONE);
    const char *digits = copy + (*copy == '-');
    if (!isdigit((unsigned char)*digits) || digits[1] == 'x' || digits[1] == 'X')
        return fail_number(p, field, piece, NUMBER_NONE);
    double v = strtod(copy, &end);
    uint64_t unit = multiplier(end, strlen(end));
    if (unit == 0 || !isfinite(v * (double)unit))
        return fail_number(p, field, piece, NUMBER_NONE);
    out->low_f = out->high_f = v * (double)unit;
    return true;
}

static bool read_mac_value(struct sc_filter_parse *p, struct piece piece, struct sc_filter_range *out)
{
    uint64_t v = 0, octet = 0;
    bool ok = piece.length == 17;
    for (size_t i = 0; ok && i < 6; i++) {
        char separator = piece.text[i * 3 + 2];
        ok = read_hex(piece.text + i * 3, 2, &octet) == NUMBER_OK &&
             (i == 5 || separator == ':' || separator == '-');
        v = v << 8 | octet;
    }
    if (!ok)
        sc_filter_complain(p, piece.offset,
                           "\"%.*s\" is no MAC address: expected six octets, as in 00:1b:21:3c:9d:f8",
                           SHOWN(piece));
    out->low = out->high = v;
    return ok;
}

static bool read_time_value(struct sc_filter_parse *p, const struct sc_field *field, struct piece piece,
                            struct sc_filter_range *out)
{
    char copy[80];
    struct sc_error why = {0};
    (void)copy_piece(piece, copy, sizeof(copy)); /* what is longer is no time even when it is cut */
    if (sc_time_parse(copy, p->now_ms, false, &out->low, &why) != SC_OK)
        return sc_filter_complain(p, piece.offset, "%s", why.message) != NULL;
    out->high = out->low;
    if (field->type == SC_VALUE_TIME_NS) { /* the whole millisecond */
        out->low *= 1000000;
        out->high = out->low + 999999;
    }
    return true;
}

/* ---- addresses ---- */

static const struct sc_addr first_v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}};
static const struct sc_addr last_v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static struct sc_addr add_one(struct sc_addr a)
{
    for (int i = 15; i >= 0 && ++a.b[i] == 0; i--)
        ;
    return a;
}

static struct sc_addr subtract_one(struct sc_addr a)
{
    for (int i = 15; i >= 0 && a.b[i]-- == 0; i--)
        ;
    return a;
}

/* The network of `bits` (of 128) as ranges: IPv4, which lies among the IPv6 addresses, is no part of an IPv6
 * network. */
static uint32_t network_ranges(const struct sc_addr *a, unsigned bits, struct sc_filter_range out[2])
{
    struct sc_addr low = sc_addr_mask(a, bits), high = low;
    for (unsigned bit = bits; bit < 128; bit++)
        high.b[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    out[0] = (struct sc_filter_range){.low_addr = low, .high_addr = high};
    if (bits >= 96 || sc_addr_compare(&low, &first_v4) > 0 || sc_addr_compare(&high, &last_v4) < 0)
        return 1;
    out[0].high_addr = subtract_one(first_v4);
    out[1] = (struct sc_filter_range){.low_addr = add_one(last_v4), .high_addr = high};
    return sc_addr_compare(&high, &last_v4) > 0 ? 2 : 1;
}

uint32_t sc_filter_family_ranges(bool v4, struct sc_filter_range out[2])
{
    static const struct sc_addr zero;
    return v4 ? network_ranges(&first_v4, 96, out) : network_ranges(&zero, 0, out);
}

static bool fail_address(struct sc_filter_parse *p, struct piece piece)
{
    return sc_filter_complain(p, piece.offset,
                              "\"%.*s\" is no address: expected one such as 10.1.2.3, 2001:db8::1 or "
                              "10.0.0.0/8 (names are not "
                              "looked up)",
                              SHOWN(piece)) != NULL;
}

/* "10/8" and "172.16/12": the octets that a short IPv4 network leaves out are 0. */
static bool read_network_address(struct piece piece, struct sc_addr *out)
{
    char copy[SC_ADDR_TEXT_MAX];
    if (sc_addr_parse(piece.text, piece.length, out))
        return true;
    size_t n = piece.length, dots = 0;
    if (n == 0 || n > 11)
        return false;
    memcpy(copy, piece.text, n);
    for (size_t i = 0; i < n; i++)
        dots += copy[i] == '.';
    for (; dots < 3; dots++) {
        copy[n++] = '.';
        copy[n++] = '0';
    }
    return sc_addr_parse(copy, n, out);
}

static bool read_prefix(struct sc_filter_parse *p, struct piece piece, size_t slash,
                        struct sc_filter_range out[2], uint32_t *count)
{
    struct piece address = cut_piece(piece, 0, slash);
    struct piece length = cut_piece(piece, slash + 1, piece.length - slash - 1);
    struct sc_addr a;
    uint64_t bits;
    if (!read_network_address(address, &a))
        return fail_address(p, piece);
    unsigned most = sc_addr_is_v4(&a) && memchr(address.text, ':', address.length) == NULL ? 32 : 128;
    if (read_uint(length.text, length.length, &bits) != NUMBER_OK || bits > most)
        return sc_filter_complain(p, length.offset, "the prefix length \"%.*s\" is not between 0 and %u",
                                  SHOWN(length), most) != NULL;
    *count = network_ranges(&a, (unsigned)bits + 128 - most, out);
    return true;
}

/* An address or a network. */
static bool read_address_value(struct sc_filter_parse *p, struct piece piece, struct sc_filter_range out[2],
                               uint32_t *count)
{
    const char *slash = memchr(piece.text, '/', piece.length);
    if (slash != NULL)
        return read_prefix(p, piece, (size_t)(slash - piece.text), out, count);
    if (!sc_addr_parse(piece.text, piece.length, &out->low_addr))
        return fail_address(p, piece);
    if (p->phrase.network)
        return sc_filter_complain(p, piece.offset + piece.length,
                                  "expected a prefix length or a mask, as in \"net 10.0.0.0/8\" (a single "
                                  "host is \"ip %.*s\")",
                                  SHOWN(piece)) != NULL;
    out->high_addr = out->low_addr;
    return true;
}

/* The words "10.0.0.0 255.0.0.0". */
static bool read_masked(struct sc_filter_parse *p, struct piece address, struct piece mask,
                        struct sc_filter_range *out)
{
    struct sc_addr a, m;
    if (!sc_addr_parse(address.text, address.length, &a))
        return fail_address(p, address);
    bool ok = sc_addr_parse(mask.text, mask.length, &m) && sc_addr_is_v4(&m) && sc_addr_is_v4(&a);
    uint32_t bits = ok ? sc_addr_get_v4(&m) : 0;
    if (!ok || (~bits & (~bits + 1)) != 0)
        return sc_filter_complain(
                   p, mask.offset,
                   "expected \"and\", \"or\" or the mask of an IPv4 network, as in 255.255.0.0") != NULL;
    network_ranges(&a, 96 + (unsigned)__builtin_popcount(bits), out);
    return true;
}

/* ---- ranges ---- */

static bool read_scalar(struct sc_filter_parse *p, const struct sc_field *field, struct piece piece,
                        struct sc_filter_range out[2], uint32_t *count)
{
    *count = 1;
    out[0] = (struct sc_filter_range){0};
    switch (field->type) {
    case SC_VALUE_INT:
        return read_int_value(p, field, piece, out);
    case SC_VALUE_FLOAT:
        return read_float_value(p, field, piece, out);
    case SC_VALUE_ADDRESS:
        return read_address_value(p, piece, out, count);
    case SC_VALUE_MAC:
        return read_mac_value(p, piece, out);
    case SC_VALUE_TIME_MS:
    case SC_VALUE_TIME_NS:
        return read_time_value(p, field, piece, out);
    default:
        return read_uint_value(p, field, piece, out);
    }
}

/* Order of two values; the lows or highs of ranges. */
static int compare_values(const struct sc_field *field, const struct sc_filter_range *a, bool a_high,
                          const struct sc_filter_range *b, bool b_high)
{
    uint64_t x = a_high ? a->high : a->low, y = b_high ? b->high : b->low;
    double f = a_high ? a->high_f : a->low_f, g = b_high ? b->high_f : b->low_f;
    switch (field->type) {
    case SC_VALUE_FLOAT:
        return f < g ? -1 : f > g;
    case SC_VALUE_ADDRESS:
        return sc_addr_compare(a_high ? &a->high_addr : &a->low_addr, b_high ? &b->high_addr : &b->low_addr);
    case SC_VALUE_INT:
        return (int64_t)x < (int64_t)y ? -1 : (int64_t)x > (int64_t)y;
    default:
        return x < y ? -1 : x > y;
    }
}

static int compare_lows(const void *a, const void *b, void *field)
{
    return compare_values(field, a, false, b, false);
}

/* b begins within a or right after it. */
static bool touches(const struct sc_field *field, const struct sc_filter_range *a,
                    const struct sc_filter_range *b)
{
    if (compare_values(field, b, false, a, true) <= 0)
        return true;
    if (field->type == SC_VALUE_FLOAT)
        return false;
    if (field->type == SC_VALUE_ADDRESS) {
        struct sc_addr next = add_one(a->high_addr);
        return sc_addr_equal(&next, &b->low_addr);
    }
    return a->high + 1 == b->low;
}

static void set_high(struct sc_filter_range *range, const struct sc_filter_range *of)
{
    range->high = of->high;
    range->high_f = of->high_f;
    range->high_addr = of->high_addr;
}

/* Sorts ranges ascending in the order of the field's type and merges those that touch. Returns the new count.
 */
static uint32_t merge_ranges(const struct sc_field *field, struct sc_filter_range *ranges, uint32_t count)
{
    if (count < 2)
        return count;
    qsort_r(ranges, count, sizeof(*ranges), compare_lows, (void *)(uintptr_t)field);
    uint32_t n = 1;
    for (uint32_t i = 1; i < count; i++) {
        struct sc_filter_range *last = &ranges[n - 1];
        if (!touches(field, last, &ranges[i]))
            ranges[n++] = ranges[i];
        else if (compare_values(field, &ranges[i], true, last, true) > 0)
            set_high(last, &ranges[i]);
    }
    return n;
}

/* Where a word is "A..B", or "A-B" of a type in whose texts no "-" stands: the place of the sign, else 0. */
static size_t find_range_sign(const struct sc_field *field, struct piece piece, size_t *width)
{
    const char *dots = memmem(piece.text, piece.length, "..", 2);
    bool letters = is_flags(field) && flag_letters(piece.text, piece.length) >= 0;
    *width = 2;
    if (dots != NULL && !letters)
        return (size_t)(dots - piece.text);
    *width = 1;
    bool plain = field->type == SC_VALUE_UINT && named_value(field, piece.text, piece.length) < 0;
    const char *dash = memchr(piece.text, '-', piece.length);
    if (dash == NULL || (field->type != SC_VALUE_ADDRESS && !plain))
        return 0;
    return (size_t)(dash - piece.text);
}

static bool read_from_to(struct sc_filter_parse *p, const struct sc_field *field, struct piece low,
                         struct piece high, struct sc_filter_range *out)
{
    struct sc_filter_range to[2];
    uint32_t n;
    if (!read_scalar(p, field, low, out, &n) || !read_scalar(p, field, high, to, &n))
        return false;
    set_high(out, to);
    if (compare_values(field, out, false, out, true) <= 0)
        return true;
    return sc_filter_complain(p, low.offset, "the range \"%.*s\" runs backwards",
                              (int)(high.offset + high.length - low.offset), low.text) != NULL;
}

/* A value, a network or a range; one or two ranges. */
static bool read_range(struct sc_filter_parse *p, const struct sc_field *field, struct piece piece,
                       struct sc_filter_range out[2], uint32_t *count)
{
    size_t width, sign = find_range_sign(field, piece, &width);
    if (sign == 0)
        return read_scalar(p, field, piece, out, count);
    struct piece low = cut_piece(piece, 0, sign);
    struct piece high = cut_piece(piece, sign + width, piece.length - sign - width);
    bool network = p->phrase.network;
    p->phrase.network = false; /* a range is as good as a network */
    *count = 1;
    bool ok = read_from_to(p, field, low, high, out);
    p->phrase.network = network;
    return ok;
}

static bool read_set(struct sc_filter_parse *p, struct sc_filter *f, struct sc_filter_words words)
{
    uint32_t room = 0;
    for (uint32_t i = words.first; i <= words.last; i++)
        room += p->tokens[i].raw != SC_RAW_COMMA;
    if (room > SC_FILTER_SET_MAX)
        return sc_filter_complain(p, p->tokens[words.first].offset, "the set has %u values, more than %u",
                                  room, SC_FILTER_SET_MAX) != NULL;
    f->ranges = calloc((size_t)room * 2 + 1, sizeof(*f->ranges));
    if (f->ranges == NULL)
        return sc_filter_no_memory(p) != NULL;
    for (uint32_t i = words.first; i <= words.last; i++) {
        uint32_t n = 0;
        if (p->tokens[i].raw == SC_RAW_COMMA)
            continue;
        if (!read_range(p, &f->field, piece_of(p, i), f->ranges + f->range_count, &n))
            return false;
        f->range_count += n;
    }
    f->range_count = merge_ranges(&f->field, f->ranges, f->range_count);
    return true;
}

/* The words of one value: several only of a time ("2026-11-23 10:00"), two of an IPv4 network and its mask.
 */
static bool read_single(struct sc_filter_parse *p, struct sc_filter *f, struct sc_filter_words words)
{
    f->ranges = calloc(2, sizeof(*f->ranges));
    if (f->ranges == NULL)
        return sc_filter_no_memory(p) != NULL;
    struct piece piece = piece_of(p, words.first);
    bool time = f->field.type == SC_VALUE_TIME_MS || f->field.type == SC_VALUE_TIME_NS;
    if (words.last != words.first && f->field.type == SC_VALUE_ADDRESS && words.last == words.first + 1) {
        f->range_count = 1;
        return read_masked(p, piece, piece_of(p, words.last), f->ranges);
    }
    if (words.last != words.first && !time)
        return sc_filter_complain(p, p->tokens[words.first + 1].offset,
                                  "expected \"and\" or \"or\" here, or a set in [ ]") != NULL;
    if (words.last != words.first) {
        struct piece last = piece_of(p, words.last);
        piece.length = last.offset + last.length - piece.offset;
    }
    return read_range(p, &f->field, piece, f->ranges, &f->range_count);
}

static bool is_single_value(const struct sc_filter *f)
{
    uint64_t width = f->field.type == SC_VALUE_TIME_NS ? 999999 : 0;
    const struct sc_filter_range *r = f->ranges;
    return f->range_count == 1 && r->high - r->low == width && !(r->low_f < r->high_f) &&
           sc_addr_equal(&r->low_addr, &r->high_addr);
}

/* After `<` and the like: one value. What is after a millisecond is after all of it. */
static bool fit_order(struct sc_filter_parse *p, struct sc_filter *f, struct sc_filter_words words)
{
    if (!is_single_value(f))
        return sc_filter_complain(p, p->tokens[words.first].offset,
                                  "expected one value here, no range or network") != NULL;
    if (f->field.type == SC_VALUE_TIME_NS && (f->compare == SC_COMPARE_LE || f->compare == SC_COMPARE_GT))
        f->ranges->low = f->ranges->high;
    f->ranges->high = f->ranges->low;
    return true;
}

static struct sc_filter_node *number_node(struct sc_filter_parse *p, struct sc_filter_node *node,
                                          enum sc_filter_operator op, struct sc_filter_words words)
{
    struct sc_filter *f = &node->filter;
    if (op == SC_OPERATOR_CONTAINS)
        return sc_filter_complain(p, p->tokens[words.first].offset,
                                  "\"contains\" is for texts and bytes, which \"%s\" is not", f->field.name);
    if (op == SC_OPERATOR_IN)
        return read_set(p, f, words) ? node : NULL;
    if (!read_single(p, f, words))
        return NULL;
    if (op >= SC_OPERATOR_LT && op <= SC_OPERATOR_GE) {
        f->compare = (uint8_t)(SC_COMPARE_LT + (op - SC_OPERATOR_LT));
        return fit_order(p, f, words) ? node : NULL;
    }
    if (op == SC_OPERATOR_IMPLIED && is_flags(&f->field) && is_single_value(f) && f->ranges->low != 0)
        f->compare = SC_COMPARE_FLAGS;
    return node;
}

/* ---- texts and bytes ---- */

/* One escaped character of a quoted text; returns how many bytes of it were read. */
static size_t read_escape(const char *text, size_t left, uint8_t *out)
{
    uint64_t byte;
    if (left >= 3 && text[0] == 'x' && read_hex(text + 1, 2, &byte) == NUMBER_OK) {
        *out = (uint8_t)byte;
        return 3;
    }
    *out = (uint8_t)(*text == 'n' ? '\n' : *text == 't' ? '\t' : *text == 'r' ? '\r' : *text);
    return 1;
}

/* Bytes of "0x0a0b". False when it is not that. */
static bool read_hex_bytes(struct piece piece, uint8_t *out, uint32_t *length)
{
    if (piece.length < 2 || piece.length % 2 != 0 || piece.text[0] != '0' || (piece.text[1] | 0x20) != 'x')
        return false;
    for (size_t i = 2; i < piece.length; i += 2) {
        uint64_t byte;
        if (read_hex(piece.text + i, 2, &byte) != NUMBER_OK)
            return false;
        out[(*length)++] = (uint8_t)byte;
    }
    return true;
}

static bool read_text(struct sc_filter_parse *p, struct sc_filter *f, uint32_t token)
{
    struct piece piece = piece_of(p, token);
    bool quoted = p->tokens[token].raw == SC_RAW_STRING;
    f->text = malloc(piece.length + 1);
    if (f->text == NULL)
        return sc_filter_no_memory(p) != NULL;
    if (f->field.type == SC_VALUE_BYTES && !quoted) {
        if (!read_hex_bytes(piece, f->text, &f->text_length))
            sc_filter_complain(p, piece.offset, "\"%.*s\" is not what \"%s\" takes: expected %s",
                               SHOWN(piece), f->field.name, sc_filter_value_noun(&f->field));
        return p->status == SC_OK;
    }
    for (size_t i = 0; i < piece.length; i++) {
        uint8_t c = (uint8_t)piece.text[i];
        if (quoted && c == '\\' && i + 1 < piece.length)
            i += read_escape(piece.text + i + 1, piece.length - i - 1, &c);
        f->text[f->text_length++] = c;
    }
    return true;
}

static struct sc_filter_node *texts_node(struct sc_filter_parse *p, const struct sc_field *field,
                                         enum sc_filter_operator op, struct sc_filter_words words)
{
    size_t at = p->tokens[words.first].offset;
    enum sc_compare compare = op == SC_OPERATOR_CONTAINS ? SC_COMPARE_CONTAINS : SC_COMPARE_TEXT;
    struct sc_filter_list list = {0};
    if (op >= SC_OPERATOR_LT && op <= SC_OPERATOR_GE)
        return sc_filter_complain(p, at, "\"%s\" has no order: compare it with =, != or contains",
                                  field->name);
    if (op != SC_OPERATOR_IN && words.last != words.first)
        return sc_filter_complain(
            p, p->tokens[words.first + 1].offset,
            "expected \"and\" or \"or\" here; a text of several words stands in quotes");
    for (uint32_t i = words.first; i <= words.last; i++) {
        if (p->tokens[i].raw == SC_RAW_COMMA)
            continue;
        struct sc_filter_node *node = sc_filter_make_compare(p, field, compare);
        if (node == NULL || !read_text(p, &node->filter, i))
            return NULL;
        sc_filter_list_add(&list, node);
        if (list.count > SC_FILTER_SET_MAX)
            return sc_filter_complain(p, at, "the set has more than %u values", SC_FILTER_SET_MAX);
    }
    return sc_filter_make_chain(p, list, SC_FILTER_OR);
}

struct sc_filter_node *sc_filter_compare_node(struct sc_filter_parse *p, const struct sc_field *field,
                                              enum sc_filter_operator op, struct sc_filter_words words)
{
    if (field->type == SC_VALUE_STRING || field->type == SC_VALUE_BYTES)
        return texts_node(p, field, op, words);
    struct sc_filter_node *node = sc_filter_make_compare(p, field, SC_COMPARE_IN);
    return node == NULL ? NULL : number_node(p, node, op, words);
}
