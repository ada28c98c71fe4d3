// SPDX-License-Identifier: BSD-3-Clause
/* Terms: a field of the phrase, an operator and its values; or one word. */
#ifndef SC_FILTER_TERM_H
#define SC_FILTER_TERM_H

#include "filter/tree.h"

/* The term of p->phrase with the values in raw tokens `words`. */
struct sc_filter_node *sc_filter_make_term(struct sc_filter_parse *p, enum sc_filter_operator op,
                                           struct sc_filter_words words);
struct sc_filter_node *sc_filter_make_exists(struct sc_filter_parse *p);
/* A word that is a whole term: tcp, ipv6. */
struct sc_filter_node *sc_filter_make_bare(struct sc_filter_parse *p, uint32_t token);
bool sc_filter_is_bare(const char *word, size_t length);

#endif
