// SPDX-License-Identifier: BSD-3-Clause
/*
 * The filter language, parsed: a tree of `and`, `or`, `not` over comparisons of one field with values.
 *
 *     src ip 10.0.0.0/8 and (dst port 53 or dst port in [80 443 8000-8080]) and not proto tcp
 *     srcip 10.1.2.3   bytes > 10k   flags S   flags = 0x12   first >= 2026-01-01   any   duration > 1000
 *
 * - Fields: any name of sc_field_find; its words may stand apart ("src ip", "in if", "next hop",
 * "icmp-type"). Alone: tcp, udp, ... (a protocol), ipv4/inet, ipv6/inet6 (the family of srcip), any. `exists
 * FIELD` = not null.
 * - Comparisons: = == eq, != ne, < lt, <= le, > gt, >= ge, in, not in, contains (texts, bytes); none means =,
 * but of flags "all these are set". `!=` and `not in` are NOT of the comparison: true for null; of a pair
 * word, neither field has the value. `src and dst port 53`: both have it.
 * - Values: numbers (10k, 1.5M decimal, 64Ki binary, 0x..; 10s, 5m, 1h of what is in ms), ranges 1-9
 * and 1..9, addresses, networks 10.0.0.0/8, 10/8, "10.0.0.0 255.0.0.0", names (https, tcp, S, SA), times as
 * in time_range.h (UTC), "quoted texts" with \" \\ \n \xHH, bytes 0x..; sets in [ ], { } or ( ) with blanks
 * or commas.
 * - `not` binds more than `and`, `and` more than `or`; && || ! too; words without regard to case; # begins a
 * remark. `not` is the complement, but for `not flags SA`: none of these flags; `not (flags SA)` is the complement.
 * - Bounds: 2 MiB of text, 100,000 values in a set, 4,000 parser states (some 1,000 levels of nesting).
 *
 * The parser expands words for several fields (`ip`, `host`, `net`, `port`, `as`, `if`, `vlan` without a direction; `mac`, `src mac`,
 * `in mac`, `mpls any`) into an `or` of them, so that the engine sees single fields only. Trees are immutable once
 * parsed, may be shared by threads, and are freed whole.
 */
#ifndef SC_FILTER_FILTER_H
#define SC_FILTER_FILTER_H

#include "base/buf.h"
#include "flow/field.h"

enum sc_filter_kind {
    SC_FILTER_ANY, /* matches every record */
    SC_FILTER_AND,
    SC_FILTER_OR,
    SC_FILTER_NOT,
    SC_FILTER_COMPARE
};

enum sc_compare {
    SC_COMPARE_IN, /* the value lies in one of the ranges; `=` and sets; != is NOT of it */
    SC_COMPARE_LT, /* ranges[0].low is the operand */
    SC_COMPARE_LE,
    SC_COMPARE_GT,
    SC_COMPARE_GE,
    SC_COMPARE_FLAGS,    /* all bits of ranges[0].low set (nfdump `flags SA`) */
    SC_COMPARE_ANY_FLAG, /* any of them; only under NOT: `not flags SA` is "none of them", as in nfdump */
    SC_COMPARE_CONTAINS, /* strings and bytes: `text` occurs in the value, strings without regard to case */
    SC_COMPARE_TEXT,     /* strings and bytes: equal to `text` */
    SC_COMPARE_PRESENT   /* the field is not null */
};

/* A closed range of values: numbers in u, addresses in addr (a network is its first and last address). */
struct sc_filter_range {
    uint64_t low, high;
    double low_f, high_f; /* FLOAT fields */
    struct sc_addr low_addr, high_addr;
};

struct sc_filter {
    uint8_t kind;            /* enum sc_filter_kind */
    uint8_t compare;         /* enum sc_compare */
    struct sc_filter *left;  /* AND, OR, NOT */
    struct sc_filter *right; /* AND, OR */
    struct sc_field field;
    struct sc_filter_range *ranges; /* sorted ascending, disjoint */
    uint32_t range_count;
    uint8_t *text;
    uint32_t text_length;
};

/*
 * Parses `text`; `learned` (NULL: none) as in sc_field_find. An empty or blank text matches all. A comparison of a null value is false (so is its `not`'s
 * operand: `not` is plain complement).
 * @return SC_OK and *out, owned by the caller (sc_filter_free); SC_USAGE with a message of three lines: what
 * is wrong and what was expected, the filter, and a caret under the place.
 */
enum sc_status sc_filter_parse(const struct sc_ie_learned *learned, const char *text, struct sc_filter **out,
                               struct sc_error *err);
void sc_filter_free(struct sc_filter *filter);

/* Writes the tree as filter text that parses to the same tree (for --explain and tests). */
void sc_filter_format(const struct sc_filter *filter, struct sc_buf *out);

/* One row, by the scalar field access: the reference that tests compare the engine with. */
bool sc_filter_match(const struct sc_filter *filter, const struct sc_column *const *columns,
                     uint32_t column_count, uint32_t row);

#endif
