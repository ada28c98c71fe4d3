// SPDX-License-Identifier: BSD-3-Clause
/*
 * The values of one field over many rows, ready to be taken row by row: of a row group of a store, or of any
 * columns in memory. What can be computed for all rows at once is.
 *
 *     sc_cells_of_group(&cells, &field, group, true, &err);
 *     for (each row)
 *         sc_cells_value(&cells, row, &value);
 *
 * Cells own nothing: what they point to lies in the arena, in the columns, and in the field, and lives as
 * long.
 */
#ifndef SC_SHOW_CELLS_H
#define SC_SHOW_CELLS_H

#include "flow/field.h"
#include "store/row_fields.h"

struct sc_cells {
    const struct sc_field *field;
    const struct sc_column *const *columns; /* those that the field reads */
    uint32_t count;
    const struct sc_column *address; /* the field is this column, unchanged */
    const struct sc_column *number;  /* likewise, of integers without sign */
    uint64_t *numbers;               /* all rows at once, with `valid`; NULL: row by row from `columns` */
    uint64_t *valid;
};

/*
 * Of columns in memory (no NULLs among them; they are borrowed). `arena` NULL: few rows will be taken,
 * compute nothing ahead. @return SC_OK, SC_NOMEM.
 */
enum sc_status sc_cells_of_columns(struct sc_cells *cells, const struct sc_field *field,
                                   const struct sc_column *const *columns, uint32_t count, uint32_t rows,
                                   struct sc_arena *arena, struct sc_error *err);

/*
 * Of a row group: decodes and verifies the columns that the field needs. `many`: most rows will be taken.
 * @return SC_OK, SC_DAMAGED, SC_IO, SC_NOMEM.
 */
enum sc_status sc_cells_of_group(struct sc_cells *cells, const struct sc_field *field,
                                 struct sc_row_group *group, bool many, struct sc_error *err);

/* Whether the values are integers without sign that need not be computed row by row. */
static inline bool sc_cells_are_numbers(const struct sc_cells *cells)
{
    return cells->number != NULL || cells->numbers != NULL;
}

/* Those of some rows; of cells that are numbers. False: some rows have none. */
bool sc_cells_numbers(const struct sc_cells *cells, const uint32_t *rows, uint32_t count, uint64_t *out);

void sc_cells_value(const struct sc_cells *cells, uint32_t row, struct sc_value *out);

#endif
