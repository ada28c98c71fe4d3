// SPDX-License-Identifier: BSD-3-Clause
/* Words to ranges of values, by the type of the field. */
#ifndef SC_FILTER_VALUE_H
#define SC_FILTER_VALUE_H

#include "filter/tree.h"

/* The comparison of one field with the values in `words`; never negated. */
struct sc_filter_node *sc_filter_compare_node(struct sc_filter_parse *p, const struct sc_field *field,
                                              enum sc_filter_operator op, struct sc_filter_words words);
/* "an address", "a number", ... */
const char *sc_filter_value_noun(const struct sc_field *field);
/* Protocol number of a name, -1 when unknown. */
int sc_filter_protocol(const char *name, size_t length);
/* Fills the ranges of a family of addresses; returns how many (1 or 2). */
uint32_t sc_filter_family_ranges(bool v4, struct sc_filter_range out[2]);

#endif
