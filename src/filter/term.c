// SPDX-License-Identifier: BSD-3-Clause
/* Terms: a field of the phrase, an operator and its values; or one word. */
#include "filter/tree.h"

#include <stdlib.h>
#include <strings.h>

/* One or all fields of the phrase; NULL when one of them could not be made. `!=` and `not in` mean that none has the value. */
static struct sc_filter_node *join_phrase(struct sc_filter_parse *p, struct sc_filter_list terms, bool negate)
{
    struct sc_filter_node *node =
        terms.count != p->phrase.count
            ? NULL
            : sc_filter_make_chain(p, terms, p->phrase.both && !negate ? SC_FILTER_AND : SC_FILTER_OR);
    return negate ? sc_filter_make_not(p, node) : node;
}

static void add_term(struct sc_filter_list *terms, struct sc_filter_node *node)
{
    if (node != NULL)
        sc_filter_list_add(terms, node);
}

struct sc_filter_node *sc_filter_make_term(struct sc_filter_parse *p, enum sc_filter_operator op,
                                           struct sc_filter_words words)
{
    bool negate = op == SC_OPERATOR_NE || op == SC_OPERATOR_NOT_IN;
    if (negate)
        op = op == SC_OPERATOR_NE ? SC_OPERATOR_EQ : SC_OPERATOR_IN;
    struct sc_filter_list terms = {0};
    for (uint32_t i = 0; i < p->phrase.count && terms.count == i; i++)
        add_term(&terms, sc_filter_compare_node(p, &p->phrase.fields[i], op, words));
    return join_phrase(p, terms, negate);
}

struct sc_filter_node *sc_filter_make_exists(struct sc_filter_parse *p)
{
    struct sc_filter_list terms = {0};
    for (uint32_t i = 0; i < p->phrase.count; i++)
        add_term(&terms, sc_filter_make_compare(p, &p->phrase.fields[i], SC_COMPARE_PRESENT));
    return join_phrase(p, terms, false);
}

/* 4 or 6 when the word names a family of addresses, else 0. */
static int family_of(const char *word, size_t length)
{
    static const char *const names[] = {"inet", "ipv4", "inet6", "ipv6"};
    for (int i = 0; i < 4; i++) {
        if (strlen(names[i]) == length && strncasecmp(names[i], word, length) == 0)
            return i < 2 ? 4 : 6;
    }
    return 0;
}

bool sc_filter_is_bare(const char *word, size_t length)
{
    return family_of(word, length) != 0 || sc_filter_protocol(word, length) >= 0;
}

struct sc_filter_node *sc_filter_make_bare(struct sc_filter_parse *p, uint32_t token)
{
    const char *word = sc_filter_text_at(p, token);
    size_t length = p->tokens[token].length;
    int family = family_of(word, length);
    struct sc_field field;
    if (sc_field_find(NULL, family != 0 ? "srcip" : "proto", 5, &field, p->err) != SC_OK)
        return NULL;
    struct sc_filter_node *node = sc_filter_make_compare(p, &field, SC_COMPARE_IN);
    if (node == NULL)
        return NULL;
    struct sc_filter *f = &node->filter;
    f->ranges = calloc(2, sizeof(*f->ranges));
    if (f->ranges == NULL)
        return sc_filter_no_memory(p);
    f->range_count = 1;
    if (family != 0)
        f->range_count = sc_filter_family_ranges(family == 4, f->ranges);
    else
        f->ranges[0].low = f->ranges[0].high = (uint64_t)sc_filter_protocol(word, length);
    return node;
}
