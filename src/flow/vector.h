// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fields over whole columns: what sc_field_value gives for one row, for `rows` rows at once. Used for the
 * store's statistics and by the query engine.
 */
#ifndef SC_FLOW_VECTOR_H
#define SC_FLOW_VECTOR_H

#include "flow/field.h"

/*
 * Integer-valued fields (UINT, INT, times, MAC; computed FLOWS and DURATION; not rates and floats) to
 * values[rows], zero where null, and valid[words]. @return false when every row is null (then both are
 * zeroed). `columns` may hold NULLs.
 */
bool sc_field_integers(const struct sc_field *field, const struct sc_column *const *columns,
                       uint32_t column_count, uint32_t rows, uint64_t *values, uint64_t *valid);

/* Widens an integer column to values[rows] (zero where null). */
void sc_column_widen(const struct sc_column *column, uint32_t rows, uint64_t *values);

#endif
