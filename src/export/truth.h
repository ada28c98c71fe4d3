// SPDX-License-Identifier: BSD-3-Clause
/*
 * What was sent, counted by plain code that shares nothing with decoder, store or query, so that tests can
 * compare with it. Written as one JSON object:
 *
 *   flows packets bytes               totals, exact integers
 *   first last first_ms last_ms       earliest start and latest end, RFC 3339 text and ms; null without flows
 *   distinct_5tuples                  of source, destination, both ports, protocol
 *   dstport_53_flows
 *   protocols                         [{"proto", "flows", "packets", "bytes"}], by protocol, ascending
 *   top_srcip_by_flows                [{"srcip", "flows", "packets", "bytes"}], 10, descending; equal ones by address
 *   top_srcip_by_bytes                the same by bytes
 *   top_dstport_by_flows              [{"dstport", ...}], 10, descending; equal ones by port
 *   messages skipped values_dropped   what the encoder says: messages sent, records and values it could not express
 *
 * A record counts under the keys that it has; absent values are a value of their own in the 5-tuple.
 *
 * Memory is malloc: about 32 to 64 bytes for each distinct 5-tuple. One thread at a time.
 */
#ifndef SC_EXPORT_TRUTH_H
#define SC_EXPORT_TRUTH_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/status.h"
#include "flow/field.h"

struct sc_truth;

/* Values that a record lacks. */
enum {
    SC_TRUTH_NO_PROTOCOL = 1,
    SC_TRUTH_NO_SOURCE_PORT = 2,
    SC_TRUTH_NO_DESTINATION_PORT = 4,
    SC_TRUTH_NO_FIRST = 8,
    SC_TRUTH_NO_LAST = 16
};

struct sc_truth_flow {
    const struct sc_addr *source, *destination; /* NULL: absent */
    uint64_t flows;                             /* that the record counts for */
    uint64_t packets, bytes;
    uint64_t first_ms, last_ms;
    uint16_t source_port, destination_port;
    uint8_t protocol;
    uint8_t absent; /* bits of the enumeration above */
};

struct sc_truth_export {
    uint64_t messages;
    uint64_t skipped;
    uint64_t values_dropped;
};

/* @return NULL without memory. */
struct sc_truth *sc_truth_create(void);
void sc_truth_free(struct sc_truth *truth);

/* @return SC_OK or SC_NOMEM. */
enum sc_status sc_truth_add(struct sc_truth *truth, const struct sc_truth_flow *flow);

/* Appends the JSON object and a newline. SC_NOMEM, also when `out` failed. */
enum sc_status sc_truth_write(const struct sc_truth *truth, const struct sc_truth_export *sent,
                              struct sc_buf *out);

/* ---- rows of columns, by the scalar field access, never the query engine (truth_columns.c) ---- */

enum { SC_TRUTH_FIELDS = 10 };

struct sc_truth_columns {
    struct sc_field fields[SC_TRUTH_FIELDS];
};

/* Looks the fields up. @return SC_OK, or what sc_field_find says. */
enum sc_status sc_truth_columns_init(struct sc_truth_columns *t, struct sc_error *err);

/* Adds one row. @return SC_OK or SC_NOMEM. */
enum sc_status sc_truth_add_row(struct sc_truth *truth, const struct sc_truth_columns *t,
                                const struct sc_column *const *columns, uint32_t column_count, uint32_t row);

#endif
