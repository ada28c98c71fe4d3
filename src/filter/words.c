// SPDX-License-Identifier: BSD-3-Clause
/* Raw tokens to grammar tokens; what the grammar did not expect, in words. */
#include "filter/filter_parser.h"
#include "filter/tree.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

int sc_filter_yylex(SC_FILTER_YYSTYPE *value, struct sc_filter_parse *p);
void sc_filter_yyerror(struct sc_filter_parse *p, const char *message);

static enum sc_filter_raw raw_at(const struct sc_filter_parse *p, uint32_t i)
{
    return i < p->count ? (enum sc_filter_raw)p->tokens[i].raw : SC_RAW_END;
}

static bool word_is(const struct sc_filter_parse *p, uint32_t i, const char *word)
{
    size_t n = strlen(word);
    return i < p->count && p->tokens[i].length == n && strncasecmp(sc_filter_text_at(p, i), word, n) == 0;
}

/* ---- phrases: the words that name a field ---- */

#define PHRASE_WORDS 4

/* "src", "dst", "in", "out" in their short spelling; NULL when the token is no direction. */
static const char *direction_at(const struct sc_filter_parse *p, uint32_t i)
{
    static const char *const words[][2] = {
        {"src", "src"}, {"source", "src"},      {"dst", "dst"}, {"dest", "dst"},
        {"in", "in"},   {"destination", "dst"}, {"out", "out"},
    };
    for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
        if (word_is(p, i, words[k][0]))
            return words[k][1];
    }
    return NULL;
}

/* Directions that make a pair: one names the source's side, the other the destination's. */
static bool are_opposite(const char *a, const char *b)
{
    bool a_is_source = *a == 's' || *a == 'i', b_is_source = *b == 's' || *b == 'i';
    return a_is_source != b_is_source;
}

/* "src net 10.0.0.0/8" is of the address, whatever mask was exported. */
static void take_address(struct sc_field *field)
{
    const char *address, *mask;
    if (sc_field_is_network(field, &address, &mask))
        sc_field_find(NULL, address, strlen(address), field, NULL);
}

static bool find_directed(const struct sc_filter_parse *p, const char *direction, uint32_t base,
                          struct sc_field *out)
{
    char name[SC_IE_NAME_MAX];
    int n = snprintf(name, sizeof(name), "%s%.*s", direction, (int)p->tokens[base].length,
                     sc_filter_text_at(p, base));
    if ((size_t)n >= sizeof(name) || sc_field_find(NULL, name, (size_t)n, out, NULL) != SC_OK)
        return false;
    take_address(out);
    return true;
}

/* "src and dst port". Gives the number of raw tokens, 0 when it is none. */
static uint32_t read_both(struct sc_filter_parse *p, uint32_t i)
{
    const char *first = direction_at(p, i), *second = direction_at(p, i + 2);
    enum sc_filter_raw joint = raw_at(p, i + 1);
    if (first == NULL || second == NULL || (joint != SC_RAW_AND && joint != SC_RAW_OR) ||
        raw_at(p, i + 3) != SC_RAW_WORD || !are_opposite(first, second) ||
        !find_directed(p, first, i + 3, &p->phrase.fields[0]) ||
        !find_directed(p, second, i + 3, &p->phrase.fields[1]))
        return 0;
    p->phrase.count = 2;
    p->phrase.both = joint == SC_RAW_AND;
    p->phrase.network = word_is(p, i + 3, "net");
    return 4;
}

/* Writes words [i, i + n) after each other. Only names are joined: what begins with a digit is a value. */
static size_t join_words(const struct sc_filter_parse *p, uint32_t i, uint32_t n, char out[SC_IE_NAME_MAX])
{
    size_t length = 0;
    for (uint32_t k = i; k < i + n; k++) {
        enum sc_filter_raw raw = raw_at(p, k);
        bool joins = raw == SC_RAW_WORD || (k == i ? raw == SC_RAW_IN : raw == SC_RAW_ANY); /* "mpls any" */
        if (!joins)
            return 0;
        const struct sc_filter_token *t = &p->tokens[k];
        if ((k > i && !isalpha((unsigned char)*sc_filter_text_at(p, k))) ||
            length + t->length >= SC_IE_NAME_MAX)
            return 0;
        memcpy(out + length, sc_filter_text_at(p, k), t->length);
        length += t->length;
    }
    return length;
}

/* Learned names are single words: no exporter can take "proto tcp" over by calling an element "prototcp". */
static bool find_phrase(struct sc_filter_parse *p, const char *name, size_t length, uint32_t words)
{
    static const char domain[] =
        "observationdomainid"; /* in one word it is the element of that name, which few records have */
    if (words > 1 && length == sizeof(domain) - 1 && strncasecmp(name, domain, length) == 0) {
        name = "odid";
        length = 4;
    }
    p->phrase.both = false;
    p->phrase.count = sc_field_find_all(name, length, p->phrase.fields);
    if (p->phrase.count != 0)
        return true;
    p->phrase.count = 2;
    if (sc_field_find_pair(name, length, p->phrase.fields))
        return true;
    p->phrase.count = 1;
    return sc_field_find(words == 1 ? p->learned : NULL, name, length, &p->phrase.fields[0], NULL) == SC_OK;
}

/* The longest run of words that names a field. Gives the number of raw tokens, 0 when there is none. */
static uint32_t read_joined(struct sc_filter_parse *p, uint32_t i)
{
    char name[SC_IE_NAME_MAX];
    for (uint32_t n = PHRASE_WORDS; n > 0; n--) {
        size_t length = join_words(p, i, n, name);
        if (length != 0 && find_phrase(p, name, length, n)) {
            for (uint32_t k = 0; k < p->phrase.count; k++)
                take_address(&p->phrase.fields[k]);
            p->phrase.network = length >= 3 && strncasecmp(name + length - 3, "net", 3) == 0 &&
                                p->phrase.fields[0].sources[0].key.kind == SC_COLUMN_ADDRESS;
            return n;
        }
    }
    return 0;
}

static bool value_follows(const struct sc_filter_parse *p, uint32_t i)
{
    enum sc_filter_raw raw = raw_at(p, i);
    return raw == SC_RAW_WORD || raw == SC_RAW_STRING || (raw >= SC_RAW_EQ && raw <= SC_RAW_OPEN) ||
           raw == SC_RAW_IN || raw == SC_RAW_CONTAINS;
}

static void complain_unknown(struct sc_filter_parse *p, uint32_t i)
{
    const struct sc_filter_token *t = &p->tokens[i];
    const char *direction = direction_at(p, i);
    struct sc_error why = {.message = "unknown field"};
    struct sc_field ignored;
    struct sc_addr address;
    char name[SC_IE_NAME_MAX];
    int shown = t->length > 60 ? 60 : (int)t->length;
    if (direction != NULL && raw_at(p, i + 1) != SC_RAW_WORD) {
        sc_filter_complain(
            p, t->offset + t->length, "expected \"%s\" after \"%s\"",
            *direction == 's' || *direction == 'd' ? "ip\", \"net\", \"port\", \"as\" or \"vlan" : "if",
            direction);
        return;
    }
    if (sc_filter_is_bare(sc_filter_text_at(p, i), t->length)) {
        sc_filter_complain(p, p->tokens[i + 1].offset, "\"%.*s\" takes no value: expected \"and\" or \"or\"",
                           shown, sc_filter_text_at(p, i));
        return;
    }
    if (sc_addr_parse(sc_filter_text_at(p, i), t->length, &address)) {
        sc_filter_complain(p, t->offset, "expected a field before \"%.*s\", such as \"ip %.*s\"", shown,
                           sc_filter_text_at(p, i), shown, sc_filter_text_at(p, i));
        return;
    }
    size_t length = direction == NULL ? 0 : join_words(p, i, 2, name);
    const char *asked = length == 0 ? sc_filter_text_at(p, i) : name;
    sc_field_find(length == 0 ? p->learned : NULL, asked, length == 0 ? t->length : length, &ignored, &why);
    sc_filter_complain(p, t->offset, "%s", why.message);
}

static int read_phrase(struct sc_filter_parse *p, SC_FILTER_YYSTYPE *value)
{
    uint32_t i = p->next;
    value->token = i;
    p->phrase.offset = p->tokens[i].offset;
    bool bare = p->due == SC_DUE_FIELD && sc_filter_is_bare(sc_filter_text_at(p, i), p->tokens[i].length);
    if (bare && !value_follows(p, i + 1)) {
        p->next++;
        p->due = SC_DUE_JOINT;
        return BARE;
    }
    uint32_t n = read_both(p, i);
    if (n == 0)
        n = read_joined(p, i);
    if (n == 0) {
        complain_unknown(p, i);
        return SC_FILTER_YYerror;
    }
    p->next += n;
    p->due = p->due == SC_DUE_EXISTS_FIELD ? SC_DUE_JOINT : SC_DUE_VALUE;
    return FIELD;
}

/* ---- grammar tokens ---- */

static int read_open(struct sc_filter_parse *p, const struct sc_filter_token *t)
{
    char sign = p->text[t->offset];
    if (p->due == SC_DUE_VALUE) {
        p->set_close = (char)(sign == '(' ? ')' : sign == '[' ? ']' : '}');
        p->due = SC_DUE_SET_VALUE;
        return SET_OPEN;
    }
    if (p->due != SC_DUE_FIELD || sign != '(')
        return WRONG;
    p->open++;
    p->opened = t->offset;
    return OPEN;
}

static int read_close(struct sc_filter_parse *p, const struct sc_filter_token *t)
{
    char sign = p->text[t->offset];
    if (p->due == SC_DUE_SET_VALUE) {
        if (sign != p->set_close)
            return WRONG;
        p->due = SC_DUE_JOINT;
        return SET_CLOSE;
    }
    if (sign != ')' || p->open == 0 || p->due != SC_DUE_JOINT)
        return WRONG;
    p->open--;
    return CLOSE;
}

static int read_value(struct sc_filter_parse *p)
{
    if (p->due == SC_DUE_FIELD || p->due == SC_DUE_EXISTS_FIELD)
        return WRONG; /* a quoted text where a field is due */
    if (p->due == SC_DUE_VALUE)
        p->due = SC_DUE_JOINT;
    return VALUE;
}

static int read_sign(struct sc_filter_parse *p, enum sc_filter_raw raw, SC_FILTER_YYSTYPE *value)
{
    switch (raw) {
    case SC_RAW_AND:
    case SC_RAW_OR:
        p->due = SC_DUE_FIELD;
        return raw == SC_RAW_AND ? AND : OR;
    case SC_RAW_NOT:
        return NOT;
    case SC_RAW_IN:
        return IN;
    case SC_RAW_ANY:
        p->due = SC_DUE_JOINT;
        return ANY;
    case SC_RAW_EXISTS:
        p->due = SC_DUE_EXISTS_FIELD;
        return EXISTS;
    case SC_RAW_CONTAINS:
        return CONTAINS;
    case SC_RAW_COMMA:
        return COMMA;
    default:
        value->op = (enum sc_filter_operator)(raw - SC_RAW_EQ + SC_OPERATOR_EQ);
        return SIGN;
    }
}

int sc_filter_yylex(SC_FILTER_YYSTYPE *value, struct sc_filter_parse *p)
{
    p->was_due = p->due;
    p->at_end = p->next == p->count;
    if (p->at_end)
        return 0;
    const struct sc_filter_token *t = &p->tokens[p->next];
    enum sc_filter_raw raw = (enum sc_filter_raw)t->raw;
    bool field_due = p->due == SC_DUE_FIELD || p->due == SC_DUE_EXISTS_FIELD;
    if (field_due && (raw == SC_RAW_WORD || (raw == SC_RAW_IN && raw_at(p, p->next + 1) != SC_RAW_OPEN)))
        return read_phrase(p, value);
    value->token = p->next++;
    switch (raw) {
    case SC_RAW_WORD:
    case SC_RAW_STRING:
        return read_value(p);
    case SC_RAW_OPEN:
        return read_open(p, t);
    case SC_RAW_CLOSE:
        return read_close(p, t);
    case SC_RAW_UNFINISHED:
        sc_filter_complain(p, t->offset, "the quoted text has no end: expected another %c",
                           p->text[t->offset]);
        return SC_FILTER_YYerror;
    default:
        return read_sign(p, raw, value);
    }
}

/* ---- what is wrong with the structure ---- */

/* "expected an address after "src ip =""; the words run from the phrase to the token before the wrong one. */
static void complain_value(struct sc_filter_parse *p, size_t offset)
{
    uint32_t last = p->at_end ? p->count - 1 : p->next - 2;
    const struct sc_filter_token *t = &p->tokens[last];
    size_t length = t->offset + t->length - p->phrase.offset;
    const char *noun =
        p->phrase.network ? "a network such as 10.0.0.0/8" : sc_filter_value_noun(&p->phrase.fields[0]);
    sc_filter_complain(p, offset, "expected %s after \"%.*s\"", noun, length > 60 ? 60 : (int)length,
                       p->text + p->phrase.offset);
}

static void complain_joint(struct sc_filter_parse *p, size_t offset)
{
    if (p->at_end && p->open != 0)
        sc_filter_complain(p, p->opened, "the \"(\" is not closed: expected \")\" after its terms");
    else if (!p->at_end && p->text[offset] == ')')
        sc_filter_complain(p, offset, "there is no \"(\" for this \")\"");
    else
        sc_filter_complain(p, offset, "expected \"and\", \"or\"%s here",
                           p->open != 0 ? " or \")\"" : " or the end");
}

void sc_filter_yyerror(struct sc_filter_parse *p, const char *message)
{
    const struct sc_filter_token *t = &p->tokens[p->at_end ? p->count - 1 : p->next - 1];
    size_t offset = p->at_end ? t->offset + t->length : t->offset;
    if (message != NULL) { /* of the parser's own: its stack is full */
        sc_filter_complain(p, offset, "the filter nests too deeply");
        return;
    }
    switch (p->was_due) {
    case SC_DUE_VALUE:
        complain_value(p, offset);
        return;
    case SC_DUE_SET_VALUE:
        sc_filter_complain(p, offset, "expected %s or \"%c\" here",
                           sc_filter_value_noun(&p->phrase.fields[0]), p->set_close);
        return;
    case SC_DUE_JOINT:
        complain_joint(p, offset);
        return;
    default:
        sc_filter_complain(p, offset, "expected a field (srcip, port, bytes, ...)%s here",
                           p->was_due == SC_DUE_FIELD ? ", \"not\" or \"(\"" : "");
    }
}
