// SPDX-License-Identifier: BSD-3-Clause
#include "store/span_set.h"

#include "base/array.h"
#include "base/hash.h"

#include <stdlib.h>

static bool is_id(const struct sc_span_id *id, const struct sc_span *span)
{
    return id->stream == span->stream && id->sequence == span->sequence && id->lane == span->lane;
}

/* Where the span's id is, or would go. */
static struct sc_probe find(const struct sc_span_set *set, const struct sc_span *span)
{
    uint64_t hash = sc_hash_pair(span->stream, span->sequence, set->seed ^ span->lane);
    struct sc_probe p = sc_table_first(&set->table, hash);
    while (p.number != SC_TABLE_NONE && !is_id(&set->ids[p.number], span))
        sc_table_next(&set->table, &p);
    return p;
}

enum sc_status sc_span_set_add(struct sc_span_set *set, const struct sc_span *span, bool *fresh)
{
    if (set->count == 0)
        set->seed = sc_hash_draw_seed();
    if (!sc_table_reserve(&set->table, 1) || !sc_array_more(set->ids, set->count, 1))
        return SC_NOMEM;
    struct sc_probe p = find(set, span);
    *fresh = p.number == SC_TABLE_NONE;
    if (*fresh) {
        set->ids[set->count] =
            (struct sc_span_id){.stream = span->stream, .sequence = span->sequence, .lane = span->lane};
        sc_table_put(&set->table, &p, set->count++);
    }
    return SC_OK;
}

bool sc_span_set_has(const struct sc_span_set *set, const struct sc_span *span)
{
    return find(set, span).number != SC_TABLE_NONE;
}

void sc_span_set_free(struct sc_span_set *set)
{
    free(set->ids);
    sc_table_free(&set->table);
    *set = (struct sc_span_set){0};
}

static bool cover(const struct sc_span *spans, uint32_t count, uint32_t rows)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (spans[i].first_row != next || spans[i].rows > rows - next)
            return false;
        next += spans[i].rows;
    }
    return next == rows;
}

bool sc_spans_cover(const struct sc_batch *batch)
{
    return cover(batch->spans, batch->span_count, batch->rows);
}

struct sc_span sc_span_read(struct sc_cursor *in)
{
    struct sc_span span = {.stream = sc_cursor_le64(in)};
    span.sequence = sc_cursor_le64(in);
    span.lane = sc_cursor_le32(in);
    span.first_row = sc_cursor_le32(in);
    span.rows = sc_cursor_le32(in);
    span.reserved = sc_cursor_le32(in);
    return span;
}

enum sc_status sc_spans_read(struct sc_cursor *in, struct sc_span *spans, uint32_t count, uint32_t rows)
{
    for (uint32_t i = 0; i < count; i++)
        spans[i] = sc_span_read(in);
    return !in->failed && cover(spans, count, rows) ? SC_OK : SC_DAMAGED;
}
