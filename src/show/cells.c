// SPDX-License-Identifier: BSD-3-Clause
#include "show/cells.h"

#include "flow/vector.h"
#include "store/by_width.h"

/* A computed field needs no more columns than four plain ones. */
#define CELL_COLUMNS (4 * SC_FIELD_COLUMNS)

static bool is_whole_number(const struct sc_field *field)
{
    return field->type == SC_VALUE_UINT || field->type == SC_VALUE_MAC || field->type == SC_VALUE_TIME_MS ||
           field->type == SC_VALUE_TIME_NS;
}

static const struct sc_column *find_column(const struct sc_cells *cells, struct sc_column_key key)
{
    for (uint32_t i = 0; i < cells->count; i++) {
        if (sc_column_key_equal(cells->columns[i]->key, key))
            return cells->columns[i];
    }
    return NULL;
}

/* The column that is the address, when there is only that one. */
static const struct sc_column *only_address(const struct sc_cells *cells)
{
    const struct sc_field *field = cells->field;
    const struct sc_column *only = NULL;
    if (field->type != SC_VALUE_ADDRESS || field->computed != SC_COMPUTED_NONE)
        return NULL;
    for (unsigned i = 0; i < field->source_count; i++) {
        const struct sc_column *column = find_column(cells, field->sources[i].key);
        if (column == NULL)
            continue;
        if (only != NULL || column->key.kind != SC_COLUMN_ADDRESS ||
            field->sources[i].transform != SC_TRANSFORM_NONE)
            return NULL;
        only = column;
    }
    return only;
}

/* Such values say of themselves that they are events', which numbers cannot. */
static bool has_events(const struct sc_cells *cells)
{
    const struct sc_field *field = cells->field;
    bool any = false;
    for (unsigned i = 0; i < field->source_count; i++)
        any = any || (sc_field_source_is_event(field, &field->sources[i]) &&
                      find_column(cells, field->sources[i].key) != NULL);
    return any;
}

enum sc_status sc_cells_of_columns(struct sc_cells *cells, const struct sc_field *field,
                                   const struct sc_column *const *columns, uint32_t count, uint32_t rows,
                                   struct sc_arena *arena, struct sc_error *err)
{
    *cells = (struct sc_cells){.field = field, .columns = columns, .count = count};
    cells->address = only_address(cells);
    if (!is_whole_number(field) || has_events(cells))
        return SC_OK;
    const struct sc_column *plain = sc_field_plain(field, columns, count);
    cells->number = plain != NULL && plain->key.kind == SC_COLUMN_UINT ? plain : NULL;
    if (arena == NULL || cells->number != NULL)
        return SC_OK;
    cells->numbers = sc_arena_alloc(arena, (size_t)rows * sizeof(uint64_t));
    cells->valid = sc_arena_alloc(arena, sc_bitmap_words(rows) * sizeof(uint64_t));
    if (cells->numbers == NULL || cells->valid == NULL)
        return sc_fail_nomem(err, "the values of a field");
    sc_field_integers(field, columns, count, rows, cells->numbers, cells->valid);
    return SC_OK;
}

enum sc_status sc_cells_of_group(struct sc_cells *cells, const struct sc_field *field,
                                 struct sc_row_group *group, bool many, struct sc_error *err)
{
    struct sc_arena *arena = &group->context->arena;
    const struct sc_column *found[CELL_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(field, group, found, &count, err));
    const struct sc_column **columns = sc_arena_alloc(arena, (count + 1) * sizeof(struct sc_column *));
    if (columns == NULL)
        return sc_fail_nomem(err, "the values of a field");
    for (uint32_t i = 0; i < count; i++)
        columns[i] = found[i];
    return sc_cells_of_columns(cells, field, columns, count, group->rows, many ? arena : NULL, err);
}

static bool all_valid(const uint64_t *valid, const uint32_t *rows, uint32_t count)
{
    uint64_t all = 1;
    for (uint32_t k = 0; k < count && valid != NULL; k++)
        all &= valid[rows[k] / 64] >> (rows[k] % 64);
    return all != 0;
}

#define TAKE(type)                                                                                           \
    for (uint32_t k = 0; k < count; k++)                                                                     \
    out[k] = ((const type *)c->values)[rows[k]]

/* What stands in the values of a column. */
static void take_stored(const struct sc_column *c, const uint32_t *rows, uint32_t count, uint64_t *out)
{
    SC_BY_WIDTH(c->width, TAKE);
}

bool sc_cells_numbers(const struct sc_cells *cells, const uint32_t *rows, uint32_t count, uint64_t *out)
{
    const struct sc_column *c = cells->number;
    const uint64_t *dict = c != NULL && c->form != SC_FORM_FLAT ? c->dict.values : NULL;
    if (c == NULL)
        for (uint32_t k = 0; k < count; k++)
            out[k] = cells->numbers[rows[k]];
    else if (c->form == SC_FORM_CONST)
        for (uint32_t k = 0; k < count; k++)
            out[k] = *dict;
    else
        take_stored(c, rows, count, out);
    for (uint32_t k = 0; k < count && c != NULL && c->form == SC_FORM_DICT; k++)
        out[k] = dict[out[k]];
    return all_valid(c == NULL ? cells->valid : c->valid, rows, count);
}

void sc_cells_value(const struct sc_cells *cells, uint32_t row, struct sc_value *out)
{
    if (cells->number != NULL) {
        out->null = sc_column_is_null(cells->number, row);
        out->type = cells->field->type;
        out->u = out->null ? 0 : sc_column_uint(cells->number, row);
    } else if (cells->numbers != NULL) {
        out->null = (cells->valid[row / 64] >> (row % 64) & 1) == 0;
        out->type = cells->field->type;
        out->u = cells->numbers[row];
    } else if (cells->address != NULL) {
        out->null = sc_column_is_null(cells->address, row);
        out->type = SC_VALUE_ADDRESS;
        if (!out->null)
            out->addr = *sc_column_addr(cells->address, row);
    } else {
        *out = sc_field_value(cells->field, cells->columns, cells->count, row);
    }
}
