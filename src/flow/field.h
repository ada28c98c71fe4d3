// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fields: what users name, filter, group and print. A field is computed from the first
 * present of a few columns ("sources"), each with a transform, or from other fields. Every information
 * element is a field too, under its registry name or "pen:id"; short names are aliases, nfdump's and
 * fdistdump's.
 */
#ifndef SC_FLOW_FIELD_H
#define SC_FLOW_FIELD_H

#include "flow/batch.h"
#include "ie/learned.h"

/* How a value is compared, shown and, in json, typed. */
enum sc_value_type {
    SC_VALUE_UINT,
    SC_VALUE_INT,
    SC_VALUE_FLOAT,
    SC_VALUE_ADDRESS,
    SC_VALUE_MAC,
    SC_VALUE_TIME_MS, /* ms UTC */
    SC_VALUE_TIME_NS, /* ns UTC */
    SC_VALUE_BYTES,   /* shown as 0x.. hex */
    SC_VALUE_STRING
};

/* From a column's value to the field's. */
enum sc_transform {
    SC_TRANSFORM_NONE,
    SC_TRANSFORM_SECONDS_TO_MS,
    SC_TRANSFORM_NTP_TO_MS,
    SC_TRANSFORM_NTP_TO_NS,
    SC_TRANSFORM_HIGH_BYTE, /* icmpTypeCode >> 8 */
    SC_TRANSFORM_LOW_BYTE,
    SC_TRANSFORM_FAMILY_V4, /* unified address: present only when IPv4 */
    SC_TRANSFORM_FAMILY_V6,
    SC_TRANSFORM_COUNT_OR_ONE, /* deltaFlowCount: 0 counts as 1 */
    SC_TRANSFORM_NOT_ZERO,     /* absent where it is 0: another element may have more to say */
    SC_TRANSFORM_MPLS_LABEL,   /* of the three bytes of a label stack entry (RFC 3032): 20 bits, ... */
    SC_TRANSFORM_MPLS_EXP,     /* ... the 3 of the traffic class, ... */
    SC_TRANSFORM_MPLS_BOTTOM, /* ... and the label where the last bit says that it is the bottom, else absent */
    SC_TRANSFORM_MINUS_INIT,      /* (value - SYSTEM_INIT of the row) modulo 2^32: the raw sysUpTime time */
    SC_TRANSFORM_V9_STRING,       /* fixed-size string: trailing NULs go */
    SC_TRANSFORM_LEARNED,         /* bytes of the source's type, where their length fits; else absent */
    SC_TRANSFORM_MISFIT,          /* the others of them, as bytes */
    SC_TRANSFORM_EXPORT_MINUS_US, /* EXPORT_TIME of the row - value / 1000 (158, 159); absent without
                                     EXPORT_TIME */
    SC_TRANSFORM_FIRST_PLUS_MS,   /* the row's `first` + value (161); absent without `first` */
    SC_TRANSFORM_FIRST_PLUS_US,   /* the row's `first` + value / 1000 (162) */
    SC_TRANSFORM_LAST_MINUS_MS, /* the row's `last` - value; absent without `last`. The base of each is what does not */
    SC_TRANSFORM_LAST_MINUS_US, /* come from the other: see sc_field_base */
    /* Absent in records of another protocol than ICMP and ICMPv6: exporters fill the element with zeros there. */
    SC_TRANSFORM_OF_ICMP,
    SC_TRANSFORM_OF_ICMP_HIGH,
    SC_TRANSFORM_OF_ICMP_LOW,
    /* A destination port that holds ICMP type and code: of records of ICMP and ICMPv6, else absent. */
    SC_TRANSFORM_ICMP_TYPE,
    SC_TRANSFORM_ICMP_CODE,
    /* The observation domain of NetFlow v5, which is engine type << 8 | id; of other versions absent. */
    SC_TRANSFORM_V5_ENGINE_TYPE,
    SC_TRANSFORM_V5_ENGINE_ID
};

/* What a group does with the field when it is not a key. A computed rate or duration is NONE here: a group
 * computes it from its own bytes, packets, first and last. */
enum sc_combine {
    SC_COMBINE_NONE, /* cannot be aggregated: only a key */
    SC_COMBINE_SUM,
    SC_COMBINE_MIN,
    SC_COMBINE_MAX,
    SC_COMBINE_OR
};

enum sc_field_computed {
    SC_COMPUTED_NONE,     /* from sources */
    SC_COMPUTED_FLOWS,    /* deltaFlowCount above 0, else 1; never null */
    SC_COMPUTED_DURATION, /* last - first, ms; 0 where last < first */
    SC_COMPUTED_BPS,      /* 8000 * bytes / duration; FLOAT, 0 where duration is 0 */
    SC_COMPUTED_PPS,      /* 1000 * packets / duration */
    SC_COMPUTED_BPP,      /* bytes / packets; 0 where packets is 0 */
    SC_COMPUTED_SRCNET, /* srcip cut to srcmask bits, dstip to dstmask: null without a mask, or where it has no such bits */
    SC_COMPUTED_DSTNET
};

#define SC_FIELD_SOURCES 12

struct sc_field_source {
    struct sc_column_key key;
    uint8_t transform; /* enum sc_transform */
    uint8_t type;      /* enum sc_ie_type, of LEARNED and MISFIT */
};

struct sc_field {
    char name[SC_IE_NAME_MAX]; /* canonical; output keys are spelt as the user asked */
    uint8_t type;              /* enum sc_value_type */
    uint8_t combine;           /* enum sc_combine */
    uint8_t computed;          /* enum sc_field_computed */
    uint8_t source_count;
    struct sc_field_source sources[SC_FIELD_SOURCES];
    const char *unit; /* "-" when none */
    bool scaled;      /* values are times the record's sampling interval: sc_field_scale */
};

/* The field of a name: short name, alias, element name ("name#2" = second instance; "name:bytes" = values of
 * a length that does not fit the element's type) or "pen:id".
 * Case-insensitive. `learned` (NULL: none) names and types elements that the registry does not know; the field keeps nothing of
 * it. SC_NOTFOUND with a hint of near names when unknown. */
enum sc_status sc_field_find(const struct sc_ie_learned *learned, const char *name, size_t length,
                             struct sc_field *out, struct sc_error *err);

/* Whether it is made of first and last or of sums, which a group has of its own. */
static inline bool sc_field_is_of_sums(const struct sc_field *field)
{
    return field->computed >= SC_COMPUTED_DURATION && field->computed <= SC_COMPUTED_BPP;
}

/* Whether it is an address that is cut to its mask, and the names of both. */
static inline bool sc_field_is_network(const struct sc_field *field, const char **address, const char **mask)
{
    bool source = field->computed == SC_COMPUTED_SRCNET;
    *address = source ? "srcip" : "dstip";
    *mask = source ? "srcmask" : "dstmask";
    return source || field->computed == SC_COMPUTED_DSTNET;
}

/* The most fields that a word of a filter stands for. */
#define SC_FIELDS_OF_WORD 10u

/* Words of filters that more than two fields have, or the two of a side: `mac`, `in mac`, `mpls any`. Fills them; 0: there is no such. */
uint32_t sc_field_find_all(const char *name, size_t length, struct sc_field out[SC_FIELDS_OF_WORD]);

/* Names that stand for two fields (`ip port as if ifname vlan net mac`): fills both and returns true. */
bool sc_field_find_pair(const char *name, size_t length, struct sc_field out[2]);

/* The field that shows an existing column (element name, instance, the decoder's type or the learned one). */
void sc_field_of_column(const struct sc_ie_learned *learned, struct sc_column_key key, struct sc_field *out);

/* The field of those values of a column whose length does not fit the learned type; false where all fit. */
bool sc_field_of_misfits(const struct sc_ie_learned *learned, struct sc_column_key key, struct sc_field *out);

/*
 * Makes bytes, packets, outbytes, outpackets and the rates of them count what the sampled packets stand for: each
 * value times the sampling interval of its record, where one is known, at most 2^64 - 1. Other fields stay as
 * they are.
 */
void sc_field_scale(struct sc_field *field);

/* The first fields of the table, which others are computed from. */
enum sc_field_place { SC_FIELD_FIRST, SC_FIELD_LAST, SC_FIELD_BYTES, SC_FIELD_PACKETS, SC_FIELD_DURATION };

/* Whether a source of `first` is an event's time (observationTime*): of other fields none is. */
static inline bool sc_field_source_is_event(const struct sc_field *field,
                                            const struct sc_field_source *source)
{
    return field->combine == SC_COMBINE_MIN && source->key.pen == SC_PEN_IANA && source->key.id >= 322 &&
           source->key.id <= 325;
}

/* `first` or `last` as the base of what is made of it and a duration: without sources that are themselves made so. */
void sc_field_base(enum sc_field_place place, struct sc_field *out);

/* The i-th named field of the table, for --help and completions; false past the end. `aliases` is a
 * space-separated list. */
bool sc_field_at(size_t i, struct sc_field *out, const char **aliases);

/* ---- scalar access, for the store's statistics and for tests; the query engine is vectorised ---- */

struct sc_value {
    bool null;
    bool event;     /* `first` that is no start of a flow but the time of an event */
    bool saturated; /* a sum, or made of one, that reached SC_SATURATED (base/saturate.h) */
    bool
        estimated; /* distinct values that were too many to be kept: 1.04 / sqrt(2^14) = 0.8 % standard error */
    uint8_t type; /* enum sc_value_type */
    uint64_t u;   /* UINT, INT (two's complement), times, MAC */
    double f;     /* FLOAT; computed rates */
    struct sc_addr addr;
    const uint8_t *bytes; /* BYTES, STRING; borrowed from the column */
    uint32_t length;
};

/* One row's value of a field over any set of columns (entries may be NULL). */
struct sc_value sc_field_value(const struct sc_field *field, const struct sc_column *const *columns,
                               uint32_t column_count, uint32_t row);

/*
 * Applies a transform to an integer. `base` is what the transform is relative to in that row: SYSTEM_INIT for
 * MINUS_INIT, EXPORT_TIME for EXPORT_MINUS_US, the field `first` for FIRST_PLUS_*; ignored by the others.
 * Where the base is null the source is absent, which the caller checks.
 */
uint64_t sc_transform_u64(enum sc_transform transform, uint64_t value, uint64_t base);

/* A counter times a sampling interval; 0 and 1 change nothing. */
static inline uint64_t sc_scale_u64(uint64_t value, uint64_t interval)
{
    uint64_t product;
    if (interval <= 1)
        return value;
    return __builtin_mul_overflow(value, interval, &product) ? UINT64_MAX : product;
}

/* Where a record's sampling interval is. */
#define SC_SAMPLING_KEY                                                                                      \
    (struct sc_column_key)                                                                                   \
    {                                                                                                        \
        SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, 0, SC_COLUMN_UINT                                             \
    }

/* How the bytes or the number of an element of this type become a value. */
static inline enum sc_transform sc_transform_of(enum sc_ie_type type)
{
    switch (type) {
    case SC_TYPE_STRING:
        return SC_TRANSFORM_V9_STRING;
    case SC_TYPE_DATE_TIME_SECONDS:
        return SC_TRANSFORM_SECONDS_TO_MS;
    case SC_TYPE_DATE_TIME_MICROSECONDS:
    case SC_TYPE_DATE_TIME_NANOSECONDS:
        return SC_TRANSFORM_NTP_TO_NS;
    default:
        return SC_TRANSFORM_NONE;
    }
}

static inline bool sc_transform_has_base(enum sc_transform t)
{
    return t == SC_TRANSFORM_MINUS_INIT || t >= SC_TRANSFORM_EXPORT_MINUS_US;
}

/* Of ICMP and ICMPv6 only. */
static inline bool sc_transform_is_of_icmp(enum sc_transform t)
{
    return t >= SC_TRANSFORM_OF_ICMP && t <= SC_TRANSFORM_ICMP_CODE;
}

#endif
