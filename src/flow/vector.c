// SPDX-License-Identifier: BSD-3-Clause
#include "flow/vector.h"

#include <stdlib.h>
#include <string.h>

static const struct sc_column *find_column(struct sc_column_key key, const struct sc_column *const *columns,
                                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (columns[i] != NULL && columns[i]->rows != 0 && sc_column_key_equal(columns[i]->key, key))
            return columns[i];
    }
    return NULL;
}

#define GATHER(type)                                                                                         \
    do {                                                                                                     \
        const type *from = column->values;                                                                   \
        if (dict != NULL) {                                                                                  \
            for (uint32_t i = 0; i < rows; i++)                                                              \
                values[i] = dict[from[i]];                                                                   \
        } else {                                                                                             \
            for (uint32_t i = 0; i < rows; i++)                                                              \
                values[i] = from[i];                                                                         \
        }                                                                                                    \
    } while (0)

static void clear_nulls(const struct sc_column *column, uint32_t rows, uint64_t *values)
{
    for (uint32_t i = 0; i < rows; i++)
        values[i] &= 0 - (column->valid[i / 64] >> (i % 64) & 1);
}

void sc_column_widen(const struct sc_column *column, uint32_t rows, uint64_t *values)
{
    const uint64_t *dict = column->form == SC_FORM_DICT ? column->dict.values : NULL;
    if (column->form == SC_FORM_CONST) {
        uint64_t v = *(const uint64_t *)column->dict.values;
        for (uint32_t i = 0; i < rows; i++)
            values[i] = v;
    } else if (column->key.kind == SC_COLUMN_INT && dict == NULL) {
        for (uint32_t i = 0; i < rows; i++)
            values[i] = sc_column_u64(column, i);
    } else if (column->width == 1) {
        GATHER(uint8_t);
    } else if (column->width == 2) {
        GATHER(uint16_t);
    } else if (column->width == 4) {
        GATHER(uint32_t);
    } else {
        GATHER(uint64_t);
    }
    if (column->nulls != 0)
        clear_nulls(column, rows, values);
}

static void copy_valid(const struct sc_column *column, uint32_t rows, uint64_t *valid)
{
    if (column->valid != NULL)
        memcpy(valid, column->valid, sc_bitmap_words(rows) * sizeof(*valid));
    else
        memset(valid, 0xff, sc_bitmap_words(rows) * sizeof(*valid));
    sc_bitmap_cut(valid, rows);
}

static bool all_valid(const uint64_t *valid, uint32_t rows)
{
    uint32_t whole = rows / 64;
    for (uint32_t w = 0; w < whole; w++) {
        if (valid[w] != ~UINT64_C(0))
            return false;
    }
    return rows % 64 == 0 || valid[whole] == (UINT64_C(1) << (rows % 64)) - 1;
}

static bool any_valid(const uint64_t *valid, uint32_t rows)
{
    for (size_t w = 0; w < sc_bitmap_words(rows); w++) {
        if (valid[w] != 0)
            return true;
    }
    return false;
}

/* A source that the plain path cannot take: the scalar reference decides row by row. */
static void scalar_rows(const struct sc_field *field, const struct sc_column *const *columns, uint32_t count,
                        uint32_t rows, uint64_t *values, uint64_t *valid)
{
    memset(valid, 0, sc_bitmap_words(rows) * sizeof(*valid));
    for (uint32_t i = 0; i < rows; i++) {
        struct sc_value v = sc_field_value(field, columns, count, i);
        values[i] = v.null ? 0 : v.u;
        if (!v.null)
            valid[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

/* Needs nothing but the value: relative times and families are left to the scalar reference. */
static bool is_plain(enum sc_transform transform)
{
    switch (transform) {
    case SC_TRANSFORM_NONE:
    case SC_TRANSFORM_SECONDS_TO_MS:
    case SC_TRANSFORM_NTP_TO_MS:
    case SC_TRANSFORM_NTP_TO_NS:
    case SC_TRANSFORM_HIGH_BYTE:
    case SC_TRANSFORM_LOW_BYTE:
    case SC_TRANSFORM_COUNT_OR_ONE:
    case SC_TRANSFORM_NOT_ZERO:
        return true;
    default:
        return false;
    }
}

/* Of the rows that have a value; the others keep their zero. */
static void transform_rows(enum sc_transform transform, const uint64_t *valid, uint32_t rows,
                           uint64_t *values)
{
    if (transform == SC_TRANSFORM_NONE)
        return;
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t v = sc_transform_u64(transform, values[i], 0);
        values[i] = (valid[i / 64] >> (i % 64) & 1) != 0 ? v : 0;
    }
}

/* Rows not yet valid take the source's value where it has one. */
static void fill_gaps(const struct sc_field_source *source, const struct sc_column *column, uint32_t rows,
                      uint64_t *values, uint64_t *valid)
{
    for (uint32_t i = 0; i < rows; i++) {
        if ((valid[i / 64] >> (i % 64) & 1) != 0 || sc_column_is_null(column, i))
            continue;
        uint64_t v = sc_transform_u64(source->transform, sc_column_u64(column, i), 0);
        if (source->transform == SC_TRANSFORM_NOT_ZERO && v == 0)
            continue;
        values[i] = v;
        valid[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

/* The values of the first source that is there. */
static void begin_rows(const struct sc_field_source *source, const struct sc_column *column, uint32_t rows,
                       uint64_t *values, uint64_t *valid)
{
    if (source->transform == SC_TRANSFORM_NOT_ZERO) {
        memset(values, 0, (size_t)rows * sizeof(*values));
        memset(valid, 0, sc_bitmap_words(rows) * sizeof(*valid));
        fill_gaps(source, column, rows, values, valid);
        return;
    }
    sc_column_widen(column, rows, values);
    copy_valid(column, rows, valid);
    transform_rows(source->transform, valid, rows, values);
}

static void source_rows(const struct sc_field *field, const struct sc_column *const *columns, uint32_t count,
                        uint32_t rows, uint64_t *values, uint64_t *valid)
{
    bool begun = false;
    for (unsigned s = 0; s < field->source_count; s++) {
        const struct sc_field_source *source = &field->sources[s];
        const struct sc_column *column = find_column(source->key, columns, count);
        if (column == NULL)
            continue;
        if (!is_plain(source->transform) || column->key.kind == SC_COLUMN_BYTES ||
            column->key.kind == SC_COLUMN_ADDRESS) {
            scalar_rows(field, columns, count, rows, values, valid);
            return;
        }
        (begun ? fill_gaps : begin_rows)(source, column, rows, values, valid);
        begun = true;
        if (all_valid(valid, rows))
            return;
    }
    if (!begun) {
        memset(values, 0, (size_t)rows * sizeof(*values));
        memset(valid, 0, sc_bitmap_words(rows) * sizeof(*valid));
    }
}

/* last - first, 0 where last < first; null where either is. */
static bool duration_rows(const struct sc_column *const *columns, uint32_t count, uint32_t rows,
                          uint64_t *values, uint64_t *valid)
{
    struct sc_field first, last;
    size_t words = sc_bitmap_words(rows);
    uint64_t *starts = malloc((size_t)rows * sizeof(*starts) + words * sizeof(*starts));
    if (starts == NULL)
        return false;
    uint64_t *starts_valid = starts + rows;
    sc_field_at(SC_FIELD_FIRST, &first, NULL);
    sc_field_at(SC_FIELD_LAST, &last, NULL);
    sc_field_integers(&first, columns, count, rows, starts, starts_valid);
    sc_field_integers(&last, columns, count, rows, values, valid);
    for (uint32_t i = 0; i < rows; i++)
        values[i] = values[i] > starts[i] ? values[i] - starts[i] : 0;
    for (size_t w = 0; w < words; w++)
        valid[w] &= starts_valid[w];
    for (uint32_t i = 0; i < rows; i++)
        values[i] &= 0 - (valid[i / 64] >> (i % 64) & 1);
    free(starts);
    return true;
}

static void scaled_rows(const struct sc_field *field, const struct sc_column *const *columns, uint32_t count,
                        uint32_t rows, uint64_t *values, uint64_t *valid)
{
    struct sc_field raw = *field;
    const struct sc_column *interval = find_column(SC_SAMPLING_KEY, columns, count);
    raw.scaled = false;
    source_rows(&raw, columns, count, rows, values, valid);
    for (uint32_t i = 0; interval != NULL && i < rows; i++) {
        if (!sc_column_is_null(interval, i))
            values[i] = sc_scale_u64(values[i], sc_column_u64(interval, i));
    }
}

bool sc_field_integers(const struct sc_field *field, const struct sc_column *const *columns, uint32_t count,
                       uint32_t rows, uint64_t *values, uint64_t *valid)
{
    if (field->computed == SC_COMPUTED_FLOWS) {
        struct sc_column_key key = {SC_PEN_IANA, 3, 0, SC_COLUMN_UINT};
        const struct sc_column *column = find_column(key, columns, count);
        sc_bitmap_fill(valid, rows);
        if (column != NULL)
            sc_column_widen(column, rows, values);
        else
            memset(values, 0, (size_t)rows * sizeof(*values));
        for (uint32_t i = 0; i < rows; i++)
            values[i] += values[i] == 0;
        return true;
    }
    if (field->computed == SC_COMPUTED_DURATION && duration_rows(columns, count, rows, values, valid))
        return any_valid(valid, rows);
    if (field->computed != SC_COMPUTED_NONE)
        scalar_rows(field, columns, count, rows, values, valid);
    else if (field->scaled)
        scaled_rows(field, columns, count, rows, values, valid);
    else
        source_rows(field, columns, count, rows, values, valid);
    return any_valid(valid, rows);
}
