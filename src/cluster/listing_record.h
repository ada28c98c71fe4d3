// SPDX-License-Identifier: BSD-3-Clause
/*
 * A record of a listing as bytes: their number (4), the values of the listing's fields, then those of its sort keys. A value is a
 * byte, its type and whether it is null; then an integer or a float of 8 bytes, an address of 16, or a length (4) and bytes.
 */
#ifndef SC_CLUSTER_LISTING_RECORD_H
#define SC_CLUSTER_LISTING_RECORD_H

#include "base/buf.h"
#include "base/status.h"
#include "flow/field.h"

void sc_record_put(struct sc_buf *out, const struct sc_value *values, uint32_t count);

/* The number of bytes of the first record, its length included; 0 when they are not whole. */
size_t sc_record_length(const uint8_t *bytes, size_t length);

/* `count` values, borrowed from the bytes of one record. @return SC_OK; SC_DAMAGED: these are not so many values. */
enum sc_status sc_record_get(const uint8_t *bytes, size_t length, struct sc_value *values, uint32_t count);

#endif
