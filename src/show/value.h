// SPDX-License-Identifier: BSD-3-Clause
/* One value to text. Nothing here allocates; the caller made room. */
#ifndef SC_SHOW_VALUE_H
#define SC_SHOW_VALUE_H

#include "flow/field.h"

enum sc_output_format { SC_OUTPUT_PRETTY, SC_OUTPUT_CSV, SC_OUTPUT_JSON, SC_OUTPUT_NDJSON };

/* How a column's values are written; chosen once, when the formatter is made. */
enum sc_show {
    SC_SHOW_UINT,
    SC_SHOW_INT,
    SC_SHOW_FLOAT,     /* up to three decimals */
    SC_SHOW_FLOAT_RAW, /* an element's own: small ones keep their digits, in csv and json all do */
    SC_SHOW_ADDRESS,
    SC_SHOW_MAC,
    SC_SHOW_TIME_MS, /* as text */
    SC_SHOW_TIME_NS,
    SC_SHOW_BYTES,
    SC_SHOW_STRING,
    SC_SHOW_DURATION,
    SC_SHOW_VOLUME,
    SC_SHOW_FLAGS,
    SC_SHOW_PROTOCOL,
    SC_SHOW_NAT_EVENT, /* by name */
    SC_SHOW_FIREWALL_EVENT
};

/* What a row's values share; on the stack of the one who writes the row. */
struct sc_show_context {
    uint8_t format; /* enum sc_output_format */
    bool local;
    bool binary;     /* volumes by 1024 */
    int64_t day;     /* of `date` */
    char date[10];   /* YYYY-MM-DD */
    int64_t quarter; /* quarter of an hour that `offset` is for */
    int32_t offset;  /* seconds east of UTC */
    bool twice;      /* the clock shows the times of that quarter twice */
};

#define SC_SHOW_NO_DAY INT64_MIN

/* Longest of the values of bounded length: an address in quotes, a time with offset in quotes. */
#define SC_SHOW_SHORT_ROOM 64u

/* Bytes that a value can need, without padding. */
size_t sc_show_room(const struct sc_value *value);

/* Writes a value that is not null and returns the end of its text. */
char *sc_show_put(struct sc_show_context *context, enum sc_show show, const struct sc_value *value, char *p);

/* How a value of a type is written where no conversion applies. */
enum sc_show sc_show_of_type(uint8_t type);

/* True where the value has no text: null, or a float that is no number. */
static inline bool sc_show_is_null(const struct sc_value *v)
{
    return v->null || (v->type == SC_VALUE_FLOAT && !(v->f - v->f == 0));
}

/* JSON string with quotes: at most 6 * length + 2 bytes. */
char *sc_show_json_string(char *p, const uint8_t *text, size_t length);
/* RFC 4180 field: at most 2 * length + 2 bytes. */
char *sc_show_csv_string(char *p, const uint8_t *text, size_t length);

#endif
