// SPDX-License-Identifier: BSD-3-Clause
#include "query/select.h"

#include "flow/vector.h"
#include "query/compare.h"

#include <stdlib.h>

#define BITMAP_BYTES (SC_ROW_GROUP_ROWS / 8)

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
    *selector = (struct sc_selector){.filter = filter, .time = *time, .use_bloom = use_bloom};
    SC_TRY(find_time_fields(selector, err));
    selector->numbers = malloc(SC_ROW_GROUP_ROWS * sizeof(uint64_t));
    selector->numbers2 = malloc(SC_ROW_GROUP_ROWS * sizeof(uint64_t));
    selector->valid = malloc(BITMAP_BYTES);
    selector->valid2 = malloc(BITMAP_BYTES);
    selector->bytes = malloc(SC_ROW_GROUP_ROWS + 64);
    selector->lookup = malloc(SC_ROW_GROUP_ROWS);
    if (selector->numbers == NULL || selector->numbers2 == NULL || selector->valid == NULL ||
        selector->valid2 == NULL || selector->bytes == NULL || selector->lookup == NULL) {
        sc_selector_free(selector);
        return sc_fail_nomem(err, "the filter");
    }
    return SC_OK;
}

void sc_selector_free(struct sc_selector *s)
{
    free(s->numbers);
    free(s->numbers2);
    free(s->valid);
    free(s->valid2);
    free(s->bytes);
    free(s->lookup);
    free(s->addresses);
    *s = (struct sc_selector){0};
}

/* ---- columns of a field ---- */

static enum sc_status load_key(struct sc_row_group *group, struct sc_column_key key,
                               const struct sc_column **columns, uint32_t *count,
                               const struct sc_column **out, struct sc_error *err)
{
    SC_TRY(sc_row_group_column(group, key, out, err));
    if (*out == NULL)
        return SC_OK;
    for (uint32_t i = 0; i < *count; i++) {
        if (columns[i] == *out)
            return SC_OK;
    }
    columns[(*count)++] = *out;
    return SC_OK;
}

static enum sc_status load_named(const char *name, struct sc_row_group *group,
                                 const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    struct sc_field field;
    SC_TRY(sc_field_find(NULL, name, strlen(name), &field, err));
    return sc_field_load(&field, group, columns, count, err);
}

static enum sc_status load_computed(const struct sc_field *field, struct sc_row_group *group,
                                    const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    const struct sc_column *unused;
    if (field->computed == SC_COMPUTED_FLOWS)
        return load_key(group, (struct sc_column_key){SC_PEN_IANA, 3, 0, SC_COLUMN_UINT}, columns, count,
                        &unused, err);
    if (field->computed != SC_COMPUTED_BPP) {
        SC_TRY(load_named("first", group, columns, count, err));
        SC_TRY(load_named("last", group, columns, count, err));
    }
    if (field->computed == SC_COMPUTED_BPS || field->computed == SC_COMPUTED_BPP)
        SC_TRY(load_named("bytes", group, columns, count, err));
    if (field->computed == SC_COMPUTED_PPS || field->computed == SC_COMPUTED_BPP)
        SC_TRY(load_named("packets", group, columns, count, err));
    return SC_OK;
}

static enum sc_status load_operand(enum sc_transform transform, struct sc_row_group *group,
                                   const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    const struct sc_column *unused;
    struct sc_column_key init = {SC_PEN_COLLECTOR, SC_IE_SYSTEM_INIT, 0, SC_COLUMN_UINT};
    struct sc_column_key export = {SC_PEN_COLLECTOR, SC_IE_EXPORT_TIME, 0, SC_COLUMN_UINT};
    switch (transform) {
    case SC_TRANSFORM_MINUS_INIT:
        return load_key(group, init, columns, count, &unused, err);
    case SC_TRANSFORM_EXPORT_MINUS_US:
        return load_key(group, export, columns, count, &unused, err);
    case SC_TRANSFORM_FIRST_PLUS_MS:
    case SC_TRANSFORM_FIRST_PLUS_US:
        return load_named("first", group, columns, count, err);
    case SC_TRANSFORM_V5_ENGINE_TYPE:
    case SC_TRANSFORM_V5_ENGINE_ID:
        return load_named("exportversion", group, columns, count, err);
    case SC_TRANSFORM_ICMP_TYPE:
    case SC_TRANSFORM_ICMP_CODE:
        return load_key(group, (struct sc_column_key){SC_PEN_IANA, 4, 0, SC_COLUMN_UINT}, columns, count,
                        &unused, err);
    default:
        return SC_OK;
    }
}

/* A source without nulls whose transform always gives a value settles the field: later sources are not read.
 */
static bool settles(const struct sc_field_source *source, const struct sc_column *column)
{
    switch (source->transform) {
    case SC_TRANSFORM_FAMILY_V4:
    case SC_TRANSFORM_FAMILY_V6:
    case SC_TRANSFORM_MINUS_INIT:
    case SC_TRANSFORM_EXPORT_MINUS_US:
    case SC_TRANSFORM_FIRST_PLUS_MS:
    case SC_TRANSFORM_FIRST_PLUS_US:
    case SC_TRANSFORM_ICMP_TYPE:
    case SC_TRANSFORM_ICMP_CODE:
    case SC_TRANSFORM_V5_ENGINE_TYPE:
    case SC_TRANSFORM_V5_ENGINE_ID:
    case SC_TRANSFORM_LEARNED:
    case SC_TRANSFORM_MISFIT:
        return false;
    default:
        return column->nulls == 0;
    }
}

enum sc_status sc_field_load(const struct sc_field *field, struct sc_row_group *group,
                             const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    const struct sc_column *unused;
    if (field->scaled)
        SC_TRY(load_key(group, SC_SAMPLING_KEY, columns, count, &unused, err));
    if (field->computed != SC_COMPUTED_NONE)
        return load_computed(field, group, columns, count, err);
    for (unsigned i = 0; i < field->source_count; i++) {
        const struct sc_column *column;
        SC_TRY(load_key(group, field->sources[i].key, columns, count, &column, err));
        if (column == NULL)
            continue;
        SC_TRY(load_operand(field->sources[i].transform, group, columns, count, err));
        if (settles(&field->sources[i], column))
            break;
    }
    return SC_OK;
}

const struct sc_column *sc_field_plain(const struct sc_field *field, const struct sc_column *const *columns,
                                       uint32_t count)
{
    if (count != 1 || field->computed != SC_COMPUTED_NONE)
        return NULL;
    for (unsigned i = 0; i < field->source_count; i++) {
        if (sc_column_key_equal(field->sources[i].key, columns[0]->key))
            return field->sources[i].transform == SC_TRANSFORM_NONE ? columns[0] : NULL;
    }
    return NULL;
}

/* ---- the tree ---- */

struct run {
    struct sc_selector *selector;
    struct sc_row_group *group;
    struct sc_error *err;
    size_t words;
};

static void clear_tail(uint64_t *bits, uint32_t rows)
{
    if (rows % 64 != 0)
        bits[rows / 64] &= (UINT64_C(1) << (rows % 64)) - 1;
}

static void set_all(uint64_t *bits, uint32_t rows)
{
    memset(bits, 0xff, sc_bitmap_words(rows) * sizeof(*bits));
    clear_tail(bits, rows);
}

static uint32_t count_bits(const uint64_t *bits, size_t words)
{
    uint32_t n = 0;
    for (size_t w = 0; w < words; w++)
        n += (uint32_t)__builtin_popcountll(bits[w]);
    return n;
}

static enum sc_status evaluate(struct run *run, const struct sc_filter *filter, uint64_t *out);

static enum sc_status evaluate_pair(struct run *run, const struct sc_filter *filter, uint64_t *out)
{
    bool is_and = filter->kind == SC_FILTER_AND;
    uint32_t rows = run->group->rows;
    SC_TRY(evaluate(run, filter->left, out));
    uint32_t so_far = count_bits(out, run->words);
    if (so_far == (is_and ? 0 : rows)) /* settled: the other side is not even read */
        return SC_OK;
    uint64_t *other = sc_arena_alloc(&run->group->context->arena, run->words * sizeof(*other));
    if (other == NULL)
        return sc_fail_nomem(run->err, "the filter");
    SC_TRY(evaluate(run, filter->right, other));
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
        clear_tail(out, run->group->rows);
        return SC_OK;
    case SC_FILTER_COMPARE:
        return sc_compare_rows(run->selector, run->group, filter, out, run->err);
    default:
        set_all(out, run->group->rows);
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

static enum sc_status field_numbers(struct run *run, const struct sc_field *field, uint64_t *values,
                                    uint64_t *valid)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(field, run->group, columns, &count, run->err));
    sc_field_integers(field, columns, count, run->group->rows, values, valid);
    return SC_OK;
}

/* Values of `field` where `valid` has none yet. */
static enum sc_status fill_from(struct run *run, const struct sc_field *field, uint64_t *values,
                                uint64_t *valid, uint64_t *scratch, uint64_t *scratch_valid)
{
    if (count_bits(valid, run->words) == run->group->rows)
        return SC_OK;
    SC_TRY(field_numbers(run, field, scratch, scratch_valid));
    for (uint32_t i = 0; i < run->group->rows; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);
        if ((valid[i / 64] & bit) == 0 && (scratch_valid[i / 64] & bit) != 0) {
            values[i] = scratch[i];
            valid[i / 64] |= bit;
        }
    }
    return SC_OK;
}

/* `own`, else the time that a record is selected by: `first`, else the observation's, else the collector's.
 */
static enum sc_status selection_time(struct run *run, const struct sc_field *own, uint64_t *values,
                                     uint64_t *valid)
{
    struct sc_selector *s = run->selector;
    uint64_t *scratch = sc_arena_alloc(&run->group->context->arena, SC_ROW_GROUP_ROWS * sizeof(*scratch));
    uint64_t *scratch_valid = sc_arena_alloc(&run->group->context->arena, BITMAP_BYTES);
    if (scratch == NULL || scratch_valid == NULL)
        return sc_fail_nomem(run->err, "the time range");
    SC_TRY(field_numbers(run, own, values, valid));
    if (own == &s->received)
        return SC_OK;
    if (own == &s->last)
        SC_TRY(fill_from(run, &s->first, values, valid, scratch, scratch_valid));
    SC_TRY(fill_from(run, &s->observed, values, valid, scratch, scratch_valid));
    return fill_from(run, &s->received, values, valid, scratch, scratch_valid);
}

static void keep_between(const uint64_t *from, const uint64_t *from_valid, const uint64_t *to,
                         const uint64_t *to_valid, const struct sc_time_bounds *t, uint32_t rows,
                         uint64_t *out)
{
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);
        bool valid = (from_valid[i / 64] & to_valid[i / 64] & bit) != 0;
        if (!valid || from[i] >= t->end_ms || to[i] < t->begin_ms)
            out[i / 64] &= ~bit;
    }
}

static enum sc_status keep_in_time(struct run *run, uint64_t *out)
{
    struct sc_selector *s = run->selector;
    if (all_in_time(s, run->group->ref))
        return SC_OK;
    const struct sc_field *from = s->time.field == SC_TIME_LAST       ? &s->last
                                  : s->time.field == SC_TIME_RECEIVED ? &s->received
                                                                      : &s->first;
    SC_TRY(selection_time(run, from, s->numbers, s->valid));
    const uint64_t *to = s->numbers, *to_valid = s->valid;
    if (s->time.field == SC_TIME_OVERLAP) {
        SC_TRY(selection_time(run, &s->last, s->numbers2, s->valid2));
        to = s->numbers2;
        to_valid = s->valid2;
    }
    keep_between(s->numbers, s->valid, to, to_valid, &s->time, run->group->rows, out);
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

enum sc_status sc_selector_run(struct sc_selector *selector, struct sc_row_group *group,
                               const struct sc_source_unit *unit, struct sc_selection *selection,
                               struct sc_error *err)
{
    struct run run = {
        .selector = selector, .group = group, .err = err, .words = sc_bitmap_words(group->rows)};
    selection->rows = sc_arena_alloc(&group->context->arena, run.words * sizeof(uint64_t));
    selection->count = 0;
    selection->all = false;
    if (selection->rows == NULL)
        return sc_fail_nomem(err, "the filter");
    set_all(selection->rows, group->rows);
    if (selector->filter != NULL)
        SC_TRY(evaluate(&run, selector->filter, selection->rows));
    if (count_bits(selection->rows, run.words) == 0)
        return SC_OK;
    SC_TRY(keep_in_time(&run, selection->rows));
    if (unit->ranges != NULL)
        keep_ranges(unit, group->rows, selection->rows);
    selection->count = count_bits(selection->rows, run.words);
    selection->all = selection->count == group->rows;
    return SC_OK;
}
