// SPDX-License-Identifier: BSD-3-Clause
#include "query/select.h"

#include "flow/vector.h"

#include <stdlib.h>

static enum sc_status find_time_fields(struct sc_selector *s, struct sc_error *err)
{
    SC_TRY(sc_field_find(NULL, "first", 5, &s->first, err));
    SC_TRY(sc_field_find(NULL, "last", 4, &s->last, err));
    SC_TRY(sc_field_find(NULL, "received", 8, &s->received, err));
    return sc_field_find(NULL, "observationTimeMilliseconds", 27, &s->observed, err);
}

enum sc_status sc_selector_init(struct sc_selector *selector, const struct sc_filter *filter,
                                const struct sc_time_bounds *time, bool use_bloom, struct sc_error *err)
{
    *selector = (struct sc_selector){.filter = filter, .time = *time};
    SC_TRY(find_time_fields(selector, err));
    return sc_comparer_init(&selector->comparer, use_bloom, err);
}

void sc_selector_free(struct sc_selector *s)
{
    sc_comparer_free(&s->comparer);
    *s = (struct sc_selector){0};
}

/* ---- the tree ---- */

struct run {
    struct sc_selector *selector;
    struct sc_row_group *group;
    struct sc_error *err;
    size_t words;
};

static enum sc_status evaluate(struct run *run, const struct sc_filter *filter, uint64_t *out);

static enum sc_status evaluate_pair(struct run *run, const struct sc_filter *filter, uint64_t *out)
{
    bool is_and = filter->kind == SC_FILTER_AND;
    uint32_t rows = run->group->rows;
    SC_TRY(evaluate(run, filter->left, out));
    uint32_t so_far = sc_bitmap_count(out, run->words);
    if (so_far == (is_and ? 0 : rows)) /* settled: the other side is not even read */
        return SC_OK;
    uint64_t *other = sc_arena_alloc(&run->group->context->arena, run->words * sizeof(*other));
    if (other == NULL)
        return sc_fail_nomem(run->err, "the filter");
    struct sc_wanted wanted = run->group->wanted;
    if (is_and)
        SC_TRY(sc_row_group_want(run->group, out, run->err));
    enum sc_status status = evaluate(run, filter->right, other);
    run->group->wanted = wanted;
    SC_TRY(status);
    for (size_t w = 0; w < run->words; w++)
        out[w] = is_and ? out[w] & other[w] : out[w] | other[w];
    return SC_OK;
}

static enum sc_status evaluate(struct run *run, const struct sc_filter *filter, uint64_t *out)
{
    switch (filter->kind) {
    case SC_FILTER_AND:
    case SC_FILTER_OR:
        return evaluate_pair(run, filter, out);
    case SC_FILTER_NOT:
        SC_TRY(evaluate(run, filter->left, out));
        for (size_t w = 0; w < run->words; w++)
            out[w] = ~out[w];
        sc_bitmap_cut(out, run->group->rows);
        return SC_OK;
    case SC_FILTER_COMPARE:
        return sc_compare_rows(&run->selector->comparer, run->group, filter, out, run->err);
    default:
        sc_bitmap_fill(out, run->group->rows);
        return SC_OK;
    }
}

/* ---- time ---- */

static bool unbounded(const struct sc_time_bounds *t)
{
    return t->begin_ms == 0 && t->end_ms == UINT64_MAX;
}

bool sc_selector_group_possible(const struct sc_selector *s, const struct sc_group_ref *ref)
{
    const struct sc_time_bounds *t = &s->time;
    if (unbounded(t))
        return true;
    switch (t->field) {
    case SC_TIME_RECEIVED:
        return ref->received_min < t->end_ms && ref->received_max >= t->begin_ms;
    case SC_TIME_LAST: /* records without `last` count at their selection time, here and below */
        return (ref->last_min < t->end_ms && ref->last_max >= t->begin_ms) ||
               (ref->time_min < t->end_ms && ref->time_max >= t->begin_ms);
    case SC_TIME_OVERLAP:
        return ref->time_min < t->end_ms && (ref->last_max >= t->begin_ms || ref->time_max >= t->begin_ms);
    default:
        return ref->time_min < t->end_ms && ref->time_max >= t->begin_ms;
    }
}

static bool all_in_time(const struct sc_selector *s, const struct sc_group_ref *ref)
{
    const struct sc_time_bounds *t = &s->time;
    if (unbounded(t))
        return true;
    if (t->field == SC_TIME_FIRST) /* every record has a selection time: the received time at least */
        return ref->time_min >= t->begin_ms && ref->time_max < t->end_ms;
    if (t->field == SC_TIME_RECEIVED)
        return ref->received_min >= t->begin_ms && ref->received_max < t->end_ms;
    return false;
}

/* One per row, in the row group's arena. */
struct times {
    uint64_t *values;
    uint64_t *valid;
};

static enum sc_status field_times(struct run *run, const struct sc_field *field, struct times *out)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    struct sc_arena *arena = &run->group->context->arena;
    uint32_t rows = run->group->rows, count = 0;
    out->values = sc_arena_alloc(arena, rows * sizeof(*out->values));
    out->valid = sc_arena_alloc(arena, run->words * sizeof(*out->valid));
    if (out->values == NULL || out->valid == NULL)
        return sc_fail_nomem(run->err, "the time range");
    SC_TRY(sc_field_load(field, run->group, columns, &count, run->err));
    sc_field_integers(field, columns, count, rows, out->values, out->valid);
    return SC_OK;
}

/* Values of `field` where there is none yet. */
static enum sc_status fill_from(struct run *run, const struct sc_field *field, struct times *out)
{
    struct times more;
    if (sc_bitmap_count(out->valid, run->words) == run->group->rows)
        return SC_OK;
    SC_TRY(field_times(run, field, &more));
    for (uint32_t i = 0; i < run->group->rows; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);
        if ((out->valid[i / 64] & bit) == 0 && (more.valid[i / 64] & bit) != 0) {
            out->values[i] = more.values[i];
            out->valid[i / 64] |= bit;
        }
    }
    return SC_OK;
}

/* `own`, else the time that a record is selected by: `first`, else the observation's, else the collector's. */
static enum sc_status selection_time(struct run *run, const struct sc_field *own, struct times *out)
{
    const struct sc_selector *s = run->selector;
    SC_TRY(field_times(run, own, out));
    if (own == &s->received)
        return SC_OK;
    if (own == &s->last)
        SC_TRY(fill_from(run, &s->first, out));
    SC_TRY(fill_from(run, &s->observed, out));
    return fill_from(run, &s->received, out);
}

static enum sc_status keep_in_time(struct run *run, uint64_t *out)
{
    const struct sc_selector *s = run->selector;
    const struct sc_time_bounds *t = &s->time;
    struct times from, to;
    SC_TRY(selection_time(run,
                          t->field == SC_TIME_LAST       ? &s->last
                          : t->field == SC_TIME_RECEIVED ? &s->received
                                                         : &s->first,
                          &from));
    to = from;
    if (t->field == SC_TIME_OVERLAP)
        SC_TRY(selection_time(run, &s->last, &to));
    for (uint32_t i = 0; i < run->group->rows; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);
        bool valid = (from.valid[i / 64] & to.valid[i / 64] & bit) != 0;
        if (!valid || from.values[i] >= t->end_ms || to.values[i] < t->begin_ms)
            out[i / 64] &= ~bit;
    }
    return SC_OK;
}

static void keep_ranges(const struct sc_source_unit *unit, uint32_t rows, uint64_t *out)
{
    uint32_t next = 0;
    for (uint32_t r = 0; r <= unit->range_count; r++) {
        uint32_t first = r < unit->range_count ? unit->ranges[r].first : rows;
        for (uint32_t i = next; i < first && i < rows; i++)
            out[i / 64] &= ~(UINT64_C(1) << (i % 64));
        if (r < unit->range_count)
            next = first + unit->ranges[r].rows;
    }
}

/* Counts the rows that are left; of the columns that are read from now on no others are. */
static enum sc_status count_left(struct run *run, struct sc_selection *selection)
{
    selection->count = sc_bitmap_count(selection->rows, run->words);
    selection->all = selection->count == run->group->rows;
    return selection->all || selection->count == 0 ? SC_OK
                                                   : sc_row_group_want(run->group, selection->rows, run->err);
}

enum sc_status sc_selector_run(struct sc_selector *selector, struct sc_row_group *group,
                               const struct sc_source_unit *unit, struct sc_selection *selection,
                               struct sc_error *err)
{
    struct run run = {
        .selector = selector, .group = group, .err = err, .words = sc_bitmap_words(group->rows)};
    *selection = (struct sc_selection){.count = group->rows, .all = true};
    selection->rows = sc_arena_alloc(&group->context->arena, run.words * sizeof(uint64_t));
    if (selection->rows == NULL)
        return sc_fail_nomem(err, "the filter");
    sc_bitmap_fill(selection->rows, group->rows);
    if (selector->filter != NULL) {
        SC_TRY(evaluate(&run, selector->filter, selection->rows));
        SC_TRY(count_left(&run, selection));
    }
    bool in_time = all_in_time(selector, group->ref);
    if (selection->count == 0 || (in_time && unit->ranges == NULL))
        return SC_OK;
    if (!in_time)
        SC_TRY(keep_in_time(&run, selection->rows));
    if (unit->ranges != NULL)
        keep_ranges(unit, group->rows, selection->rows);
    return count_left(&run, selection);
}
