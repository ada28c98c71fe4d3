// SPDX-License-Identifier: BSD-3-Clause
#include "filter/filter.h"

#include <ctype.h>
#include <stdlib.h>

void sc_filter_free(struct sc_filter *filter)
{
    if (filter == NULL)
        return;
    sc_filter_free(filter->left);
    sc_filter_free(filter->right);
    free(filter->ranges);
    free(filter->text);
    free(filter);
}

/* ---- the reference evaluator ---- */

/* The value against the low end of a range, or its high end. */
static int order(const struct sc_value *v, const struct sc_filter_range *r, bool high)
{
    uint64_t end = high ? r->high : r->low;
    double end_f = high ? r->high_f : r->low_f;
    switch (v->type) {
    case SC_VALUE_ADDRESS:
        return sc_addr_compare(&v->addr, high ? &r->high_addr : &r->low_addr);
    case SC_VALUE_FLOAT:
        return v->f < end_f ? -1 : v->f > end_f;
    case SC_VALUE_INT:
        return (int64_t)v->u < (int64_t)end ? -1 : (int64_t)v->u > (int64_t)end;
    default:
        return v->u < end ? -1 : v->u > end;
    }
}

static bool lies_in(const struct sc_filter *f, const struct sc_value *v)
{
    uint32_t low = 0, high = f->range_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (order(v, &f->ranges[mid], false) < 0)
            high = mid;
        else if (order(v, &f->ranges[mid], true) > 0)
            low = mid + 1;
        else
            return true;
    }
    return false;
}

static bool equal_fold(const uint8_t *a, const uint8_t *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (tolower(a[i]) != tolower(b[i]))
            return false;
    }
    return true;
}

static bool contains(const struct sc_filter *f, const struct sc_value *v)
{
    if (v->type != SC_VALUE_STRING)
        return memmem(v->bytes, v->length, f->text, f->text_length) != NULL;
    for (uint32_t i = 0; f->text_length <= v->length && i <= v->length - f->text_length; i++) {
        if (equal_fold(v->bytes + i, f->text, f->text_length))
            return true;
    }
    return false;
}

static bool match_value(const struct sc_filter *f, const struct sc_value *v)
{
    if (v->null)
        return false;
    switch (f->compare) {
    case SC_COMPARE_IN:
        return lies_in(f, v);
    case SC_COMPARE_LT:
        return order(v, f->ranges, false) < 0;
    case SC_COMPARE_LE:
        return order(v, f->ranges, false) <= 0;
    case SC_COMPARE_GT:
        return order(v, f->ranges, false) > 0;
    case SC_COMPARE_GE:
        return order(v, f->ranges, false) >= 0;
    case SC_COMPARE_FLAGS:
        return (v->u & f->ranges->low) == f->ranges->low;
    case SC_COMPARE_ANY_FLAG:
        return (v->u & f->ranges->low) != 0;
    case SC_COMPARE_CONTAINS:
        return contains(f, v);
    case SC_COMPARE_TEXT:
        return v->length == f->text_length && memcmp(v->bytes, f->text, v->length) == 0;
    default:
        return true; /* PRESENT */
    }
}

bool sc_filter_match(const struct sc_filter *filter, const struct sc_column *const *columns,
                     uint32_t column_count, uint32_t row)
{
    switch (filter->kind) {
    case SC_FILTER_AND:
        return sc_filter_match(filter->left, columns, column_count, row) &&
               sc_filter_match(filter->right, columns, column_count, row);
    case SC_FILTER_OR:
        return sc_filter_match(filter->left, columns, column_count, row) ||
               sc_filter_match(filter->right, columns, column_count, row);
    case SC_FILTER_NOT:
        return !sc_filter_match(filter->left, columns, column_count, row);
    case SC_FILTER_COMPARE: {
        struct sc_value v = sc_field_value(&filter->field, columns, column_count, row);
        return match_value(filter, &v);
    }
    default:
        return true; /* ANY */
    }
}

/* ---- the tree as text ---- */

static void put_address(struct sc_buf *out, const struct sc_addr *a)
{
    char text[SC_ADDR_TEXT_MAX];
    sc_addr_format(a, text);
    sc_buf_append_str(out, text);
}

/* Times are written as unix seconds, which need no calendar and no zone. */
static void put_time(struct sc_buf *out, uint64_t ms)
{
    sc_buf_printf(out, "@%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

static void put_mac(struct sc_buf *out, uint64_t v)
{
    for (int shift = 40; shift >= 0; shift -= 8)
        sc_buf_printf(out, "%02x%s", (unsigned)(v >> shift & 0xff), shift == 0 ? "" : ":");
}

static void put_end(struct sc_buf *out, const struct sc_field *field, const struct sc_filter_range *r,
                    bool high)
{
    uint64_t u = high ? r->high : r->low;
    switch (field->type) {
    case SC_VALUE_ADDRESS:
        put_address(out, high ? &r->high_addr : &r->low_addr);
        return;
    case SC_VALUE_FLOAT:
        sc_buf_printf(out, "%.17g", high ? r->high_f : r->low_f);
        return;
    case SC_VALUE_INT:
        sc_buf_printf(out, "%lld", (long long)u);
        return;
    case SC_VALUE_MAC:
        put_mac(out, u);
        return;
    case SC_VALUE_TIME_MS:
        put_time(out, u);
        return;
    case SC_VALUE_TIME_NS:
        put_time(out, u / 1000000);
        return;
    default:
        sc_buf_append_u64(out, u);
    }
}

static bool is_one_value(const struct sc_field *field, const struct sc_filter_range *r)
{
    if (field->type == SC_VALUE_ADDRESS)
        return sc_addr_equal(&r->low_addr, &r->high_addr);
    if (field->type == SC_VALUE_FLOAT)
        return !(r->low_f < r->high_f);
    if (field->type == SC_VALUE_TIME_NS)
        return r->low / 1000000 == r->high / 1000000;
    return r->low == r->high;
}

static void put_range(struct sc_buf *out, const struct sc_field *field, const struct sc_filter_range *r)
{
    put_end(out, field, r, false);
    if (is_one_value(field, r))
        return;
    sc_buf_append_str(out, "..");
    put_end(out, field, r, true);
}

static void put_ranges(struct sc_buf *out, const struct sc_filter *f)
{
    if (f->range_count == 1) {
        sc_buf_append_str(out, " = ");
        put_range(out, &f->field, f->ranges);
        return;
    }
    sc_buf_append_str(out, " in [");
    for (uint32_t i = 0; i < f->range_count; i++) {
        if (i != 0)
            sc_buf_append_u8(out, ' ');
        put_range(out, &f->field, &f->ranges[i]);
    }
    sc_buf_append_u8(out, ']');
}

static void put_quoted(struct sc_buf *out, const uint8_t *text, uint32_t length)
{
    sc_buf_append_u8(out, '"');
    for (uint32_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\')
            sc_buf_append_u8(out, '\\');
        if (text[i] < 0x20 || text[i] >= 0x7f)
            sc_buf_printf(out, "\\x%02x", text[i]);
        else
            sc_buf_append_u8(out, text[i]);
    }
    sc_buf_append_u8(out, '"');
}

static void put_compare(struct sc_buf *out, const struct sc_filter *f)
{
    static const char *const signs[] = {
        [SC_COMPARE_LT] = " < ", [SC_COMPARE_LE] = " <= ", [SC_COMPARE_GT] = " > ", [SC_COMPARE_GE] = " >= "};
    if (f->compare == SC_COMPARE_PRESENT)
        sc_buf_append_str(out, "exists ");
    sc_buf_append_str(out, f->field.name);
    switch (f->compare) {
    case SC_COMPARE_IN:
        put_ranges(out, f);
        return;
    case SC_COMPARE_LT:
    case SC_COMPARE_LE:
    case SC_COMPARE_GT:
    case SC_COMPARE_GE:
        sc_buf_append_str(out, signs[f->compare]);
        put_end(out, &f->field, f->ranges, false);
        return;
    case SC_COMPARE_FLAGS:
    case SC_COMPARE_ANY_FLAG:
        sc_buf_printf(out, " 0x%llx", (unsigned long long)f->ranges->low);
        return;
    case SC_COMPARE_CONTAINS:
    case SC_COMPARE_TEXT:
        sc_buf_append_str(out, f->compare == SC_COMPARE_TEXT ? " = " : " contains ");
        put_quoted(out, f->text, f->text_length);
        return;
    default:
        return;
    }
}

/* Operands of `and`, `or` and `not` that are no single term stand in parentheses, so that the tree keeps its
 * shape. */
static void put_operand(struct sc_buf *out, const struct sc_filter *f, bool enclose)
{
    if (enclose)
        sc_buf_append_u8(out, '(');
    sc_filter_format(f, out);
    if (enclose)
        sc_buf_append_u8(out, ')');
}

static bool is_chain(const struct sc_filter *f)
{
    return f->kind == SC_FILTER_AND || f->kind == SC_FILTER_OR;
}

void sc_filter_format(const struct sc_filter *filter, struct sc_buf *out)
{
    bool flags;
    switch (filter->kind) {
    case SC_FILTER_AND:
    case SC_FILTER_OR:
        put_operand(out, filter->left, is_chain(filter->left));
        sc_buf_append_str(out, filter->kind == SC_FILTER_AND ? " and " : " or ");
        put_operand(out, filter->right, is_chain(filter->right));
        return;
    case SC_FILTER_NOT: /* "not flags SA" would be another tree than "not (flags SA)" */
        sc_buf_append_str(out, "not ");
        flags = filter->left->kind == SC_FILTER_COMPARE && filter->left->compare == SC_COMPARE_FLAGS;
        put_operand(out, filter->left, flags || is_chain(filter->left));
        return;
    case SC_FILTER_COMPARE:
        put_compare(out, filter);
        return;
    default:
        sc_buf_append_str(out, "any");
    }
}
