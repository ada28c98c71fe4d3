// SPDX-License-Identifier: BSD-3-Clause
#include "filter/tree.h"

#include "base/array.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- errors ---- */

/* A line of the message shows at most this many bytes of the filter, the place not far from its middle. */
#define SHOWN_MAX 100u

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The line of the text that `offset` lies in, cut to what can be shown, and a caret under the place. */
static void show_place(const char *text, size_t length, size_t offset, char *out, size_t size)
{
    size_t begin = offset, end = offset;
    while (begin > 0 && text[begin - 1] != '\n' && offset - begin < SHOWN_MAX / 2)
        begin--;
    while (begin < offset && is_continuation(text[begin]))
        begin++;
    while (end < length && text[end] != '\n' && end - begin < SHOWN_MAX)
        end++;
    while (end > offset && end < length && is_continuation(text[end]))
        end--;
    bool cut = begin > 0 && text[begin - 1] != '\n';
    bool more = end < length && text[end] != '\n';
    char line[SHOWN_MAX + 8];
    size_t column = cut ? 3 : 0, n = 0;
    for (size_t i = begin; i < end; i++) {
        line[n++] = iscntrl((unsigned char)text[i]) ? ' ' : text[i];
        column += i < offset && !is_continuation(text[i]);
    }
    snprintf(out, size, "%s%.*s%s\n%*s^", cut ? "..." : "", (int)n, line, more ? "..." : "", (int)column, "");
}

void *sc_filter_complain(struct sc_filter_parse *p, size_t offset, const char *format, ...)
{
    if (p->status != SC_OK)
        return NULL;
    char message[512], place[2 * SHOWN_MAX + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    for (char *c = message; *c != '\0'; c++) { /* quoted words may have line ends between them */
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    }
    show_place(p->text, p->length, offset, place, sizeof(place));
    p->status = sc_fail(p->err, SC_USAGE, "%s\n%s", message, place);
    return NULL;
}

void *sc_filter_no_memory(struct sc_filter_parse *p)
{
    if (p->status == SC_OK)
        p->status = sc_fail_nomem(p->err, "the filter");
    return NULL;
}

/* ---- raw tokens ---- */

bool sc_filter_push_token(struct sc_filter_parse *p, enum sc_filter_raw raw, size_t offset, size_t length)
{
    if (!sc_array_more(p->tokens, p->count, 1))
        return false;
    p->tokens[p->count++] = (struct sc_filter_token){(uint32_t)offset, (uint32_t)length, raw};
    return true;
}

/* ---- nodes ---- */

struct sc_filter_node *sc_filter_make(struct sc_filter_parse *p, enum sc_filter_kind kind)
{
    struct sc_filter_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return sc_filter_no_memory(p);
    node->filter.kind = (uint8_t)kind;
    node->older = p->nodes;
    p->nodes = node;
    return node;
}

struct sc_filter_node *sc_filter_make_compare(struct sc_filter_parse *p, const struct sc_field *field,
                                              enum sc_compare compare)
{
    struct sc_filter_node *node = sc_filter_make(p, SC_FILTER_COMPARE);
    if (node != NULL) {
        node->filter.compare = (uint8_t)compare;
        node->filter.field = *field;
    }
    return node;
}

struct sc_filter_node *sc_filter_make_not(struct sc_filter_parse *p, struct sc_filter_node *operand)
{
    struct sc_filter_node *node = operand == NULL ? NULL : sc_filter_make(p, SC_FILTER_NOT);
    if (node == NULL)
        return NULL;
    node->filter.left = &operand->filter;
    bool flags = operand->filter.kind == SC_FILTER_COMPARE && operand->filter.compare == SC_COMPARE_FLAGS;
    if (flags && !operand->enclosed)
        operand->filter.compare = SC_COMPARE_ANY_FLAG; /* as nfdump's users know it */
    return node;
}

void sc_filter_list_add(struct sc_filter_list *list, struct sc_filter_node *node)
{
    node->next = NULL;
    if (list->last == NULL)
        list->first = node;
    else
        list->last->next = node;
    list->last = node;
    list->count++;
}

/* Takes `count` operands off the list. The depth is the logarithm of the count. */
static struct sc_filter_node *balance(struct sc_filter_parse *p, struct sc_filter_node **at, uint32_t count,
                                      enum sc_filter_kind kind)
{
    if (count == 1) {
        struct sc_filter_node *node = *at;
        *at = node->next;
        return node;
    }
    struct sc_filter_node *left = balance(p, at, count - count / 2, kind);
    struct sc_filter_node *right = left == NULL ? NULL : balance(p, at, count / 2, kind);
    struct sc_filter_node *node = right == NULL ? NULL : sc_filter_make(p, kind);
    if (node != NULL) {
        node->filter.left = &left->filter;
        node->filter.right = &right->filter;
    }
    return node;
}

struct sc_filter_node *sc_filter_make_chain(struct sc_filter_parse *p, struct sc_filter_list list,
                                            enum sc_filter_kind kind)
{
    struct sc_filter_node *at = list.first;
    return list.count == 0 ? NULL : balance(p, &at, list.count, kind);
}

void sc_filter_free_nodes(struct sc_filter_parse *p)
{
    while (p->nodes != NULL) {
        struct sc_filter_node *node = p->nodes;
        p->nodes = node->older;
        free(node->filter.ranges);
        free(node->filter.text);
        free(node);
    }
}
