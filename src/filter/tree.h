// SPDX-License-Identifier: BSD-3-Clause
/*
 * Inside the filter parser: the state of a parse, and the nodes it makes. The way of a text:
 *
 *     filter.l   the whole text to an array of raw tokens (words, quoted texts, signs)
 *     words.c    raw tokens to grammar tokens: words where a field is due are joined to one ("src ip", "in if")
 *     filter.y   grammar tokens to a tree
 *     term.c     a term of it, of one field or the two of a pair
 *     value.c    words to ranges of values, by the type of the field
 *     parse.c    all of that
 *
 * Every node is kept in a list until the parse has succeeded, so that an error frees them all in one place.
 */
#ifndef SC_FILTER_TREE_H
#define SC_FILTER_TREE_H

#include "filter/filter.h"

#include <setjmp.h>

#define SC_FILTER_TEXT_MAX (2u << 20)
#define SC_FILTER_SET_MAX  100000u

enum sc_filter_raw {
    SC_RAW_END, /* of the text; never stored */
    SC_RAW_WORD,
    SC_RAW_STRING,
    SC_RAW_AND,
    SC_RAW_OR,
    SC_RAW_NOT,
    SC_RAW_IN,
    SC_RAW_ANY,
    SC_RAW_EXISTS,
    SC_RAW_CONTAINS,
    SC_RAW_EQ,
    SC_RAW_NE,
    SC_RAW_LT,
    SC_RAW_LE,
    SC_RAW_GT,
    SC_RAW_GE,
    SC_RAW_OPEN,  /* ( [ { */
    SC_RAW_CLOSE, /* ) ] } */
    SC_RAW_COMMA,
    SC_RAW_UNFINISHED /* a quote without its end */
};

struct sc_filter_token {
    uint32_t offset;
    uint32_t length;
    uint32_t raw; /* enum sc_filter_raw */
};

/* The field that a term is about: one, or several of a word that stands for them. */
struct sc_filter_phrase {
    struct sc_field fields[SC_FIELDS_OF_WORD];
    uint32_t count;
    bool both;       /* "src and dst": both must hold, else any of them */
    bool network;    /* named `net`: a bare address is not enough */
    uint32_t offset; /* of its words in the text */
};

/* What a term does with its field; the first six are in the order of the signs above. */
enum sc_filter_operator {
    SC_OPERATOR_EQ,
    SC_OPERATOR_NE,
    SC_OPERATOR_LT,
    SC_OPERATOR_LE,
    SC_OPERATOR_GT,
    SC_OPERATOR_GE,
    SC_OPERATOR_IMPLIED, /* no sign: equality; of flags: all of them set */
    SC_OPERATOR_CONTAINS,
    SC_OPERATOR_IN,
    SC_OPERATOR_NOT_IN
};

/* What the grammar wants next; JOINT: a term is complete, `and`, `or` or the end may follow. */
enum sc_filter_due { SC_DUE_FIELD, SC_DUE_EXISTS_FIELD, SC_DUE_VALUE, SC_DUE_SET_VALUE, SC_DUE_JOINT };

struct sc_filter_node {
    struct sc_filter filter;      /* first: sc_filter_free frees the node through it */
    struct sc_filter_node *older; /* in the list of all */
    struct sc_filter_node *next;  /* in a list of operands */
    bool enclosed;                /* in parentheses */
};

struct sc_filter_list {
    struct sc_filter_node *first, *last;
    uint32_t count;
};

/* Raw tokens [first, last]. */
struct sc_filter_words {
    uint32_t first, last;
};

struct sc_filter_parse {
    const char *text;
    uint32_t length;
    uint64_t now_ms;
    const struct sc_ie_learned *learned; /* may be NULL */
    struct sc_filter_token *tokens;
    uint32_t count;
    uint32_t next;    /* raw token to be read next */
    uint32_t due;     /* enum sc_filter_due */
    uint32_t was_due; /* before the token that the grammar looks at */
    uint32_t open;    /* parentheses not closed */
    uint32_t opened;  /* offset of the last one opened */
    char set_close;   /* the sign that ends the set being read */
    bool at_end;      /* the grammar looks at the end */
    struct sc_filter_phrase phrase;
    struct sc_filter_node *nodes;
    struct sc_filter *result;
    enum sc_status status;
    struct sc_error *err;
    jmp_buf scanner_failed;
    size_t scanner_used; /* of the memory below */
    _Alignas(16) uint8_t scanner_memory[2048];
};

/* Fills p->tokens (filter.l). False without memory. */
bool sc_filter_scan(struct sc_filter_parse *p);
bool sc_filter_push_token(struct sc_filter_parse *p, enum sc_filter_raw raw, size_t offset, size_t length);

/* Where the text of token i begins. */
static inline const char *sc_filter_text_at(const struct sc_filter_parse *p, uint32_t i)
{
    return p->text + p->tokens[i].offset;
}

/* Notes the first error, with the place in the text. Returns NULL, for `return` in those who build or read. */
void *sc_filter_complain(struct sc_filter_parse *p, size_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *sc_filter_no_memory(struct sc_filter_parse *p);

/* Node builders. NULL after an error that is noted; a NULL operand gives NULL. */
struct sc_filter_node *sc_filter_make(struct sc_filter_parse *p, enum sc_filter_kind kind);
struct sc_filter_node *sc_filter_make_compare(struct sc_filter_parse *p, const struct sc_field *field,
                                              enum sc_compare compare);
struct sc_filter_node *sc_filter_make_not(struct sc_filter_parse *p, struct sc_filter_node *operand);
/* The operands of one `and` or `or` chain as a balanced tree, so that long chains are not deep. */
struct sc_filter_node *sc_filter_make_chain(struct sc_filter_parse *p, struct sc_filter_list list,
                                            enum sc_filter_kind kind);
void sc_filter_list_add(struct sc_filter_list *list, struct sc_filter_node *node);
/* Frees all nodes that were made. */
void sc_filter_free_nodes(struct sc_filter_parse *p);

/* Node builders of term.c: the term of p->phrase with the values in raw tokens `words` ... */
struct sc_filter_node *sc_filter_make_term(struct sc_filter_parse *p, enum sc_filter_operator op,
                                           struct sc_filter_words words);
struct sc_filter_node *sc_filter_make_exists(struct sc_filter_parse *p);
/* ... and of a word that is a whole term: tcp, ipv6. */
struct sc_filter_node *sc_filter_make_bare(struct sc_filter_parse *p, uint32_t token);
bool sc_filter_is_bare(const char *word, size_t length);

/* Of value.c: the comparison of one field with the values in `words`; never negated. */
struct sc_filter_node *sc_filter_compare_node(struct sc_filter_parse *p, const struct sc_field *field,
                                              enum sc_filter_operator op, struct sc_filter_words words);
/* "an address", "a number", ... */
const char *sc_filter_value_noun(const struct sc_field *field);
/* Protocol number of a name, -1 when unknown. */
int sc_filter_protocol(const char *name, size_t length);
/* Fills the ranges of a family of addresses; returns how many (1 or 2). */
uint32_t sc_filter_family_ranges(bool v4, struct sc_filter_range out[2]);

#endif
