/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grammar of the filter language. Which words are a field was decided before (words.c), so that what is left
 * is the structure: `not` binds more than `and`, `and` more than `or`. VALUE and FIELD carry the raw token's index;
 * the field itself is in the parse, for there is only one at a time.
 */
%code requires {
#include "filter/tree.h"
}
%code top {
/* Bounds how deep a text may nest, four to five states a level; the stack (100 KB) is never on the heap. */
#define YYMAXDEPTH  4000
#define YYINITDEPTH YYMAXDEPTH
}
%define api.pure full
%define api.prefix {sc_filter_yy}
%define parse.error custom
%param { struct sc_filter_parse *p }

%union {
    uint32_t token;
    enum sc_filter_operator op;
    struct sc_filter_words words;
    struct sc_filter_list list;
    struct sc_filter_node *node;
}
%token <token> FIELD VALUE BARE SET_OPEN SET_CLOSE
%token AND OR NOT IN ANY EXISTS CONTAINS COMMA OPEN CLOSE WRONG
%token <op> SIGN
%type <words> values set
%type <list> or_list and_list
%type <node> unary term expression

%code {
int sc_filter_yylex(SC_FILTER_YYSTYPE *value, struct sc_filter_parse *p);
void sc_filter_yyerror(struct sc_filter_parse *p, const char *message);
/* Stops the parse after an error that is noted. */
#define NEED(node)                                                                                           \
    do {                                                                                                     \
        if ((node) == NULL)                                                                                  \
            YYABORT;                                                                                         \
    } while (0)
}

%%
filter: %empty          { NEED(p->result = (struct sc_filter *)sc_filter_make(p, SC_FILTER_ANY)); }
      | expression      { p->result = &$1->filter; }
      ;
expression: or_list     { NEED($$ = sc_filter_make_chain(p, $1, SC_FILTER_OR)); }
      ;
or_list: and_list       { struct sc_filter_node *n = sc_filter_make_chain(p, $1, SC_FILTER_AND);
                          NEED(n); $$ = (struct sc_filter_list){n, n, 1}; }
      | or_list OR and_list
                        { struct sc_filter_node *n = sc_filter_make_chain(p, $3, SC_FILTER_AND);
                          NEED(n); $$ = $1; sc_filter_list_add(&$$, n); }
      ;
and_list: unary         { $$ = (struct sc_filter_list){$1, $1, 1}; }
      | and_list AND unary { $$ = $1; sc_filter_list_add(&$$, $3); }
      ;
unary: NOT unary        { NEED($$ = sc_filter_make_not(p, $2)); }
      | OPEN expression CLOSE { $$ = $2; $$->enclosed = true; }
      | term
      ;
term: ANY               { NEED($$ = sc_filter_make(p, SC_FILTER_ANY)); }
      | BARE            { NEED($$ = sc_filter_make_bare(p, $1)); }
      | EXISTS FIELD    { NEED($$ = sc_filter_make_exists(p)); }
      | FIELD values    { NEED($$ = sc_filter_make_term(p, SC_OPERATOR_IMPLIED, $2)); }
      | FIELD SIGN values { NEED($$ = sc_filter_make_term(p, $2, $3)); }
      | FIELD CONTAINS values { NEED($$ = sc_filter_make_term(p, SC_OPERATOR_CONTAINS, $3)); }
      | FIELD IN values { NEED($$ = sc_filter_make_term(p, SC_OPERATOR_EQ, $3)); }
      | FIELD NOT IN values { NEED($$ = sc_filter_make_term(p, SC_OPERATOR_NE, $4)); }
      | FIELD set       { NEED($$ = sc_filter_make_term(p, SC_OPERATOR_IN, $2)); }
      | FIELD IN set    { NEED($$ = sc_filter_make_term(p, SC_OPERATOR_IN, $3)); }
      | FIELD NOT IN set { NEED($$ = sc_filter_make_term(p, SC_OPERATOR_NOT_IN, $4)); }
      ;
values: VALUE           { $$ = (struct sc_filter_words){$1, $1}; }
      | values VALUE    { $$ = (struct sc_filter_words){$1.first, $2}; }
      ;
set: SET_OPEN items SET_CLOSE { $$ = (struct sc_filter_words){$1 + 1, $3 - 1}; }
      ;
items: VALUE            { (void)$1; }
      | items VALUE     { (void)$2; }
      | items COMMA
      ;
%%

/* The words say it better than the grammar: sc_filter_yyerror looks at them. */
static int yyreport_syntax_error(const yypcontext_t *context, struct sc_filter_parse *p)
{
    (void)context;
    sc_filter_yyerror(p, NULL);
    return 0;
}
