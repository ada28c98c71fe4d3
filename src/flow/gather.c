// SPDX-License-Identifier: BSD-3-Clause
#include "flow/gather.h"

#include "base/array.h"
#include "base/bounds.h"

#include <stdlib.h>

static_assert(SC_BOUND_BATCH_ROWS == SC_SPAN_ROWS && SC_BOUND_GROUP_ROWS == SC_ROW_GROUP_ROWS,
              "one table of bounds");

/* Bytes that are kept over a reset. */
#define MOST_KEPT ((size_t)SC_BOUND_GROUP_BYTES)

const struct sc_bounds sc_batch_bounds = {SC_BOUND_BATCH_ROWS, SC_BOUND_COLUMNS, SC_BOUND_BATCH_BYTES};
const struct sc_bounds sc_group_bounds = {SC_BOUND_GROUP_ROWS, SC_BOUND_COLUMNS, SC_BOUND_GROUP_BYTES};

bool sc_bounds_hold(const struct sc_bounds *bounds, const struct sc_weight *weight)
{
    return weight->rows <= bounds->rows && weight->columns <= bounds->columns &&
           sc_weight_bytes(weight) <= bounds->bytes;
}

uint32_t sc_bounds_cut(const struct sc_bounds *bounds, const struct sc_column *const *columns,
                       uint32_t column_count, uint32_t first, uint32_t left)
{
    uint32_t good = 1, bad = (left < bounds->rows ? left : bounds->rows) + 1;
    for (uint32_t n = bad - 1; bad - good > 1; n = good + (bad - good) / 2) { /* mostly all fit */
        struct sc_weight weight = sc_batch_weight(columns, column_count, first, n);
        if (sc_bounds_hold(bounds, &weight))
            good = n;
        else
            bad = n;
    }
    return good;
}

/* ---- gathering ---- */

enum sc_status sc_gather_init(struct sc_gather *gather, enum sc_record_kind kind)
{
    *gather = (struct sc_gather){.batch = sc_batch_create(kind), .kind = kind};
    return gather->batch == NULL ? SC_NOMEM : SC_OK;
}

void sc_gather_pool_addresses(struct sc_gather *gather)
{
    gather->pools = true;
    sc_batch_pool_addresses(gather->batch);
}

void sc_gather_next_source(struct sc_gather *gather)
{
    sc_batch_forget_source(gather->batch);
}

void sc_gather_free(struct sc_gather *gather)
{
    sc_batch_free(gather->batch);
    free(gather->picked);
    *gather = (struct sc_gather){0};
}

/* Without the columns that are kept for reuse, which are as wide as they ever were. */
static enum sc_status begin_anew(struct sc_gather *gather)
{
    sc_batch_free(gather->batch);
    gather->batch = sc_batch_create(gather->kind);
    gather->weight = (struct sc_weight){0};
    gather->reused = false;
    if (gather->batch == NULL)
        return SC_NOMEM;
    if (gather->pools)
        sc_batch_pool_addresses(gather->batch);
    return SC_OK;
}

enum sc_status sc_gather_reset(struct sc_gather *gather)
{
    struct sc_batch *batch = gather->batch;
    if (batch == NULL || batch->schema.count > SC_BOUND_COLUMNS || sc_batch_memory(batch) > MOST_KEPT)
        return begin_anew(gather);
    sc_batch_reset(batch);
    gather->weight = (struct sc_weight){0};
    gather->reused = true;
    return SC_OK;
}

static bool reserve(struct sc_gather *gather, uint32_t column_count)
{
    if (column_count <= gather->picked_cap)
        return true;
    free(gather->picked);
    gather->picked = malloc(column_count * sizeof(const struct sc_column *));
    gather->picked_cap = gather->picked == NULL ? 0 : column_count;
    return gather->picked != NULL;
}

/* What one row has in a column of the batch, which is as wide as the widest that went into it. Codes count as their addresses. */
static uint64_t bits_of(const struct sc_column *c)
{
    if (c == NULL)
        return 0;
    switch (c->key.kind) {
    case SC_COLUMN_BYTES:
        return 8 * sizeof(uint32_t) + 1;
    case SC_COLUMN_ADDRESS:
        return 8 * sizeof(struct sc_addr) + 1;
    default:
        return 8 * (uint64_t)c->width + 1;
    }
}

/* With one column more, whose rows weigh `one`. */
static void weigh_column(const struct sc_batch *batch, struct sc_column_key key, const struct sc_weight *one,
                         struct sc_weight *sum)
{
    uint32_t slot = sc_schema_find(&batch->schema, key);
    const struct sc_column *there = slot < batch->slots ? batch->columns[slot] : NULL;
    uint64_t bits = bits_of(there) > one->row_bits ? bits_of(there) : one->row_bits;
    bool fresh = there == NULL || there->rows == 0;
    sum->columns += fresh;
    sum->row_bits += fresh ? bits : bits - bits_of(there);
    sum->heap += one->heap;
}

/* What the batch would weigh with the rows; the columns that have any of them are picked. */
static enum sc_status weigh(struct sc_gather *gather, const struct sc_column *const *columns,
                            uint32_t column_count, const struct sc_span *span, struct sc_weight *out)
{
    *out = gather->weight;
    out->rows += span->rows;
    gather->picked_count = 0;
    if (!reserve(gather, column_count))
        return SC_NOMEM;
    for (uint32_t i = 0; i < column_count; i++) {
        struct sc_weight one = {0};
        if (columns[i] == NULL || columns[i]->rows == 0 ||
            !sc_column_weigh(columns[i], span->first_row, span->rows, &one))
            continue;
        weigh_column(gather->batch, columns[i]->key, &one, out);
        gather->picked[gather->picked_count++] = columns[i];
    }
    return SC_OK;
}

static enum sc_status note_span(struct sc_batch *batch, const struct sc_span *span)
{
    if (!sc_array_more(batch->spans, batch->span_count, 1))
        return SC_NOMEM;
    batch->spans[batch->span_count] = *span;
    batch->spans[batch->span_count].first_row = batch->rows;
    return SC_OK;
}

enum sc_status sc_gather_add(struct sc_gather *gather, const struct sc_column *const *columns,
                             uint32_t column_count, const struct sc_span *span,
                             const struct sc_bounds *bounds)
{
    struct sc_weight weight;
    SC_TRY(weigh(gather, columns, column_count, span, &weight));
    if (!sc_bounds_hold(bounds, &weight) && gather->reused && gather->batch->rows == 0) {
        SC_TRY(begin_anew(gather));
        SC_TRY(weigh(gather, columns, column_count, span, &weight));
    }
    if (!sc_bounds_hold(bounds, &weight))
        return SC_LIMIT;
    struct sc_batch *batch = gather->batch;
    SC_TRY(note_span(batch, span));
    SC_TRY(sc_batch_append_rows(batch, gather->picked, gather->picked_count, span->first_row, span->rows));
    batch->span_count++;
    gather->weight = weight;
    return SC_OK;
}
