// SPDX-License-Identifier: BSD-3-Clause
#include "show/summary.h"

#include "base/saturate.h"
#include "flow/vector.h"

#include <stdlib.h>

enum sc_status sc_summarizer_init(struct sc_summarizer *s, bool scaled, struct sc_error *err)
{
    *s = (struct sc_summarizer){0};
    SC_TRY(sc_field_find(NULL, "flows", 5, &s->flows, err));
    SC_TRY(sc_field_find(NULL, "packets", 7, &s->packets, err));
    SC_TRY(sc_field_find(NULL, "bytes", 5, &s->bytes, err));
    SC_TRY(sc_field_find(NULL, "sampling", 8, &s->sampling, err));
    if (scaled) {
        sc_field_scale(&s->packets);
        sc_field_scale(&s->bytes);
    }
    s->values = malloc(SC_ROW_GROUP_ROWS * sizeof(uint64_t));
    s->valid = malloc(SC_ROW_GROUP_ROWS / 8);
    if (s->values != NULL && s->valid != NULL)
        return SC_OK;
    sc_summarizer_free(s);
    return sc_fail_nomem(err, "the summary");
}

void sc_summarizer_free(struct sc_summarizer *s)
{
    free(s->values);
    free(s->valid);
    *s = (struct sc_summarizer){0};
}

static enum sc_status read_field(struct sc_summarizer *s, const struct sc_field *field,
                                 struct sc_row_group *group, bool *any, struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(field, group, columns, &count, err));
    *any = sc_field_integers(field, columns, count, group->rows, s->values, s->valid);
    return SC_OK;
}

/* The halves apart: a row group has too few rows for either sum to pass 64 bits. Of narrow columns nothing is left of the upper. */
#define ADD_HALVES(value)                                                                                    \
    do {                                                                                                     \
        uint64_t added = (value);                                                                            \
        low += added & UINT32_MAX;                                                                           \
        high += added >> 32;                                                                                 \
    } while (0)

#define SUM_SELECTED(type)                                                                                   \
    for (size_t w = 0; w < sc_bitmap_words(rows); w++) {                                                     \
        const type *v = (const type *)values + w * 64;                                                       \
        uint64_t bits = selected[w];                                                                         \
        if (bits == ~UINT64_C(0)) {                                                                          \
            for (unsigned i = 0; i < 64; i++)                                                                \
                ADD_HALVES(v[i]);                                                                            \
        }                                                                                                    \
        for (; bits != ~UINT64_C(0) && bits != 0; bits &= bits - 1)                                          \
            ADD_HALVES(v[__builtin_ctzll(bits)]);                                                            \
    }

/* The sum of the selected ones of `rows` integers. */
static uint64_t sum_selected(const void *values, unsigned width, const uint64_t *selected, uint32_t rows)
{
    uint64_t low = 0, high = 0;
    if (width == 1) {
        SUM_SELECTED(uint8_t)
    } else if (width == 2) {
        SUM_SELECTED(uint16_t)
    } else if (width == 4) {
        SUM_SELECTED(uint32_t)
    } else {
        SUM_SELECTED(uint64_t)
    }
    high += low >> 32;
    return high > UINT32_MAX ? SC_SATURATED : high << 32 | (low & UINT32_MAX);
}

/* Null counts as 0; *sum is 0 before. */
static enum sc_status sum_field(struct sc_summarizer *s, const struct sc_field *field,
                                struct sc_row_group *group, const struct sc_selection *selection,
                                uint64_t *sum, struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(field, group, columns, &count, err));
    const struct sc_column *plain = sc_field_plain(field, columns, count);
    if (field->computed == SC_COMPUTED_FLOWS && count == 0) /* no column says otherwise: each counts once */
        *sum = selection->count;
    else if (plain != NULL && plain->key.kind == SC_COLUMN_UINT && plain->form == SC_FORM_FLAT)
        *sum = sum_selected(plain->values, plain->width, selection->rows, group->rows);
    else if (sc_field_integers(field, columns, count, group->rows, s->values, s->valid))
        *sum = sum_selected(s->values, 8, selection->rows, group->rows);
    return SC_OK;
}

static void add_interval(struct sc_summary *summary, uint64_t interval)
{
    uint32_t i = 0;
    while (i < summary->interval_count && summary->intervals[i] < interval)
        i++;
    if (i < summary->interval_count && summary->intervals[i] == interval)
        return;
    if (summary->interval_count == SC_MAX_INTERVALS) { /* the least stay, in whatever order they come */
        summary->more_intervals = true;
        if (i == SC_MAX_INTERVALS)
            return;
        summary->interval_count--;
    }
    memmove(&summary->intervals[i + 1], &summary->intervals[i],
            (summary->interval_count - i) * sizeof(summary->intervals[0]));
    summary->intervals[i] = interval;
    summary->interval_count++;
}

static enum sc_status add_sampling(struct sc_summary *summary, struct sc_summarizer *s,
                                   struct sc_row_group *group, const struct sc_selection *selection,
                                   struct sc_error *err)
{
    const struct sc_entry *e = sc_row_group_entry(group, s->sampling.sources[0].key);
    if (e == NULL || e->max <= 1)
        return SC_OK;
    if (e->nulls == 0 && e->min == e->max) {
        summary->sampled += selection->count;
        add_interval(summary, e->max);
        return SC_OK;
    }
    bool any;
    SC_TRY(read_field(s, &s->sampling, group, &any, err));
    for (size_t w = 0; any && w < sc_bitmap_words(group->rows); w++) {
        for (uint64_t bits = selection->rows[w] & s->valid[w]; bits != 0; bits &= bits - 1) {
            uint64_t interval = s->values[w * 64 + (size_t)__builtin_ctzll(bits)];
            if (interval <= 1)
                continue;
            summary->sampled++;
            add_interval(summary, interval);
        }
    }
    return SC_OK;
}

static void add_statistics(struct sc_summary *summary, const struct sc_row_group *group)
{
    for (uint32_t i = 0; i < group->stats.protocol_count; i++) {
        const struct sc_protocol_total *p = &group->stats.protocols[i];
        summary->records += p->records;
        summary->flows = sc_add_saturated(summary->flows, p->flows);
        summary->packets = sc_add_saturated(summary->packets, p->packets);
        summary->bytes = sc_add_saturated(summary->bytes, p->bytes);
    }
}

enum sc_status sc_summary_add_rows(struct sc_summary *summary, struct sc_summarizer *s,
                                   struct sc_row_group *group, const struct sc_selection *selection,
                                   struct sc_error *err)
{
    struct sc_summary sum = {.records = selection->count};
    SC_TRY(add_sampling(&sum, s, group, selection, err));
    /* Statistics are of what was exported. */
    if (selection->all && (sum.sampled == 0 || !s->bytes.scaled)) {
        sum.records = 0;
        add_statistics(&sum, group);
    } else {
        SC_TRY(sum_field(s, &s->flows, group, selection, &sum.flows, err));
        SC_TRY(sum_field(s, &s->packets, group, selection, &sum.packets, err));
        SC_TRY(sum_field(s, &s->bytes, group, selection, &sum.bytes, err));
    }
    sc_summary_merge(summary, &sum);
    return SC_OK;
}

void sc_summary_merge(struct sc_summary *to, const struct sc_summary *from)
{
    to->records += from->records;
    to->flows = sc_add_saturated(to->flows, from->flows);
    to->packets = sc_add_saturated(to->packets, from->packets);
    to->bytes = sc_add_saturated(to->bytes, from->bytes);
    to->sampled += from->sampled;
    to->more_intervals = to->more_intervals || from->more_intervals;
    for (uint32_t i = 0; i < from->interval_count; i++)
        add_interval(to, from->intervals[i]);
}
