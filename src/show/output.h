// SPDX-License-Identifier: BSD-3-Clause
/*
 * Records to text: pretty, csv, json, ndjson. A formatter is immutable once made and may
 * be used by many threads, each with a buffer of its own; rows are formatted one at a time from values.
 */
#ifndef SC_SHOW_OUTPUT_H
#define SC_SHOW_OUTPUT_H

#include "base/buf.h"
#include "show/cells.h"
#include "show/value.h"

enum sc_convert { SC_CONVERT_DEFAULT, SC_CONVERT_NONE, SC_CONVERT_PRETTY, SC_CONVERT_STR, SC_CONVERT_BINARY };

struct sc_output_options {
    enum sc_output_format format;
    /* fdistdump's --output-*-conv. DEFAULT depends on the format: pretty converts, the others keep raw values
     * (addresses are always text; json and ndjson times are RFC 3339 strings with ms and Z). */
    enum sc_convert timestamp; /* NONE: ms; PRETTY/STR: text in `zone` */
    enum sc_convert duration;  /* NONE: ms; STR/PRETTY: hh:mm:ss.mmm */
    enum sc_convert volume;    /* NONE: exact; PRETTY: 1.2 M; BINARY: 1.2 Mi, by 1024 */
    enum sc_convert tcpflags;  /* NONE: number; STR: ...AP.S. letters */
    enum sc_convert protocol;  /* NONE: number; STR: names (TCP, UDP) */
    bool local_time;           /* --time-zone=system: times as text in the zone of TZ, else UTC */
};

struct sc_output_column {
    struct sc_field field;
    const char *label; /* as the user spelt it; header, json key */
};

struct sc_output; /* the formatter */

/* `columns` is copied (labels too). Returns NULL without memory. */
struct sc_output *sc_output_create(const struct sc_output_options *options,
                                   const struct sc_output_column *columns, uint32_t count);
void sc_output_free(struct sc_output *output);

/* Text before the first record: csv header line; pretty header (with the time zone); json `"records": [`...
 * is the caller's. */
void sc_output_header(const struct sc_output *output, struct sc_buf *out);

/*
 * One record: a csv or pretty line, an ndjson line, or a json object without a trailing comma. `values` has
 * one entry per column, in their order. Pretty columns are right-aligned to their width and separated by one
 * space; a longer value is not cut. In pretty a "+" stands behind a value that is saturated, a "~" before one that is estimated.
 */
void sc_output_row(const struct sc_output *output, const struct sc_value *values, struct sc_buf *out);

/*
 * Rows of the same columns, each as sc_output_row writes it: of `many` what they share is made once. One thread; lives as long as the
 * cells and the arena. NULL without memory. Some rows at once are loaded, column by column; then each is put, by its place among them.
 */
#define SC_ROWS_AT_ONCE 32u

struct sc_output_rows *sc_output_rows_of(const struct sc_output *output, const struct sc_cells *cells,
                                         bool many, struct sc_arena *arena);
void sc_output_rows_load(struct sc_output_rows *rows, const uint32_t *numbers, uint32_t count);
void sc_output_rows_put(struct sc_output_rows *rows, uint32_t k, struct sc_buf *out);

/* Pretty, before the header: widens the columns to these values, within reason, so that they will stand in line. */
void sc_output_fit(struct sc_output *output, const struct sc_value *values);

/* Appends `text` as a JSON string with quotes and escapes; bytes that are no UTF-8 become U+FFFD. */
void sc_output_json_string(struct sc_buf *out, const void *text, size_t length);

#endif
