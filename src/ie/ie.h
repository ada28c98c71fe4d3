// SPDX-License-Identifier: BSD-3-Clause
/*
 * The registry of information elements (RFC 7012): IANA's, their reverse forms (RFC 5103, PEN 29305) and
 * those of enterprises that we know. It is generated at build time from elements.tsv, is constant, and
 * may be read from any thread. Pointers stay valid for ever.
 *
 * Three pseudo enterprises hold what has no place of its own in the registry. Their numbers lie at the top
 * of the 32 bit range, where IANA assigns none.
 */
#ifndef SC_IE_IE_H
#define SC_IE_IE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SC_PEN_IANA = 0,
    SC_PEN_CISCO = 9,
    SC_PEN_CERT = 6871,
    SC_PEN_REVERSE = 29305,
};
#define SC_PEN_COLLECTOR                                                                                     \
    UINT32_C(0xfffffffd)                     /* what the collector adds to a record: enum sc_collector_ie    \
                                              */
#define SC_PEN_V9_SCOPE UINT32_C(0xfffffffe) /* NetFlow v9 scope types, RFC 3954 section 6.1 */
#define SC_PEN_V9                                                                                            \
    UINT32_C(0xffffffff) /* NetFlow v9 field types from 32768: vendors' own, no PEN on the wire */

enum sc_collector_ie {
    SC_IE_EXPORTER_ADDRESS = 1,
    SC_IE_EXPORTER_PORT = 2,
    SC_IE_OBSERVATION_DOMAIN =
        3,                   /* of the message header: IPFIX domain, v9 source id, v5 engine type << 8 | id */
    SC_IE_RECEIVE_TIME = 4,  /* ms UTC */
    SC_IE_SAMPLING_RATE = 5, /* packets per sampled packet in force for the record; null: none known */
    SC_IE_SEQUENCE_GAP = 6,  /* units lost just before the record's message; on its first record only */
    SC_IE_EXPORT_VERSION = 7, /* 5, 9 or 10 */
    SC_IE_EXPORT_TIME = 8,    /* ms UTC, of the message header */
    SC_IE_TIME_QUALITY = 9,   /* bit 0: base of sysUpTime was estimated (wire/records.c); null: exact */
    /* Either family in one column. Which element it was is told by the family of the value; where a record
     * carries both, the one not chosen stays in its own column (ipVersion decides, else the non-zero one). */
    SC_IE_SOURCE_ADDRESS = 10,       /* 8 or 27 */
    SC_IE_DESTINATION_ADDRESS = 11,  /* 12 or 28 */
    SC_IE_NEXT_HOP = 12,             /* 15 or 62 */
    SC_IE_BGP_NEXT_HOP = 13,         /* 18 or 63 */
    SC_IE_POST_NAT_SOURCE = 14,      /* 225 or 281 */
    SC_IE_POST_NAT_DESTINATION = 15, /* 226 or 282 */
    /* Absolute times of records whose own are relative to sysUpTime (22, 21), and their base: the raw
     * value is (flowStart - systemInitTime) modulo 2^32. */
    SC_IE_FLOW_START = 20,
    SC_IE_FLOW_END = 21,
    SC_IE_SYSTEM_INIT = 22,
    /* What the exporter's options data said of the record when it arrived; null: nothing. */
    SC_IE_INGRESS_INTERFACE_NAME = 30, /* of 10, else 252 */
    SC_IE_EGRESS_INTERFACE_NAME = 31,  /* of 14, else 253 */
    SC_IE_INGRESS_VRF_NAME = 32,       /* of 234 */
    SC_IE_EGRESS_VRF_NAME = 33,        /* of 235 */
    SC_IE_APPLICATION_NAME = 34,       /* of 95 */
    SC_IE_TOLD_EXPORTER = 35,          /* the exporter's address as it tells itself: 403, 404, 130 or 131 */
};

/* Abstract data types of RFC 7012 section 3.1, with lists of RFC 6313. */
enum sc_ie_type {
    SC_TYPE_OCTET_ARRAY,
    SC_TYPE_UNSIGNED8,
    SC_TYPE_UNSIGNED16,
    SC_TYPE_UNSIGNED32,
    SC_TYPE_UNSIGNED64,
    SC_TYPE_SIGNED8,
    SC_TYPE_SIGNED16,
    SC_TYPE_SIGNED32,
    SC_TYPE_SIGNED64,
    SC_TYPE_FLOAT32,
    SC_TYPE_FLOAT64,
    SC_TYPE_BOOLEAN, /* 1 true, 2 false, as on the wire */
    SC_TYPE_MAC_ADDRESS,
    SC_TYPE_STRING,
    SC_TYPE_DATE_TIME_SECONDS,
    SC_TYPE_DATE_TIME_MILLISECONDS,
    SC_TYPE_DATE_TIME_MICROSECONDS, /* NTP 64 bit, kept as exported: sc_ntp_to_ns */
    SC_TYPE_DATE_TIME_NANOSECONDS,  /* likewise */
    SC_TYPE_IPV4_ADDRESS,
    SC_TYPE_IPV6_ADDRESS,
    SC_TYPE_BASIC_LIST,
    SC_TYPE_SUB_TEMPLATE_LIST,
    SC_TYPE_SUB_TEMPLATE_MULTI_LIST,
    SC_TYPE_COUNT
};

struct sc_ie {
    uint32_t pen;
    uint16_t id;
    uint8_t type;     /* enum sc_ie_type */
    const char *name; /* e.g. "octetDeltaCount", "reverseOctetDeltaCount" */
    const char *semantics;
    const char *unit; /* "-" when none */
};

/* The element, or NULL when the registry does not know it. O(log n). */
const struct sc_ie *sc_ie_find(uint32_t pen, uint16_t id);

/* By name, case-insensitive; NULL when unknown. `length` bytes of `name` count. */
const struct sc_ie *sc_ie_find_name(const char *name, size_t length);

/* The i-th element in (pen, id) order, NULL past the end. */
const struct sc_ie *sc_ie_at(size_t i);

/* Type name of RFC 7012 ("unsigned32"). */
const char *sc_ie_type_name(enum sc_ie_type type);

/*
 * Writes the name of any element, known or not, to out[64]: the registry's name, else "pen:id" ("v9:id" and
 * "scope:id" for the pseudo enterprises). Returns its length.
 */
#define SC_IE_NAME_MAX 64
size_t sc_ie_name(uint32_t pen, uint16_t id, char *out);

/* Reads what sc_ie_name writes (a name or "pen:id"). Returns false when it is neither. */
bool sc_ie_parse(const char *text, size_t length, uint32_t *pen, uint16_t *id);

#endif
