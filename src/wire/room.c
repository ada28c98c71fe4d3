// SPDX-License-Identifier: BSD-3-Clause
/*
 * What records will weigh in a batch, before any is appended. A template says what its records can have at most; only where that
 * does not fit, its columns are looked up in the batch. Both are upper bounds: too much costs an early cut, never memory.
 */
#include "wire/run.h"

/* Records of one run that are appended at once weigh no more than this, and one at least. */
#define PART_BYTES ((size_t)1 << 20)
/* Heap bytes of a part whose records are of variable length: no message has more. */
#define VARIABLE_HEAP SC_BOUND_MESSAGE

/* ---- of a template ---- */

static uint32_t bytes_of_kind(uint8_t kind, uint16_t length)
{
    switch (kind) {
    case SC_COLUMN_ADDRESS:
        return sizeof(struct sc_addr);
    case SC_COLUMN_BYTES:
        return sizeof(uint32_t);
    case SC_COLUMN_FLOAT:
        return sizeof(double);
    default:
        return length <= 2 ? length : length <= 4 ? 4 : 8;
    }
}

static uint32_t bytes_of(const struct sc_op *op)
{
    bool time = op->action == SC_OP_START || op->action == SC_OP_END;
    return time ? sizeof(uint64_t) : bytes_of_kind(op->key.kind, op->length);
}

/* Whether values of another length than the type's may come: they have a column of their own. */
static bool may_misfit(const struct sc_op *op)
{
    return op->length == SC_VARIABLE_LENGTH && op->key.kind != SC_COLUMN_BYTES;
}

/* Columns beside its own one that an operation may fill. */
static struct sc_need beside(const struct sc_op *op)
{
    if (op->action == SC_OP_PAIR)
        return (struct sc_need){2, 2 * sizeof(struct sc_addr)};
    if (op->action == SC_OP_UNIFIED && op->length != 4)
        return (struct sc_need){1, sizeof(struct sc_addr)};
    return may_misfit(op) ? (struct sc_need){1, sizeof(uint32_t)} : (struct sc_need){0};
}

void sc_template_measure(struct sc_template *t)
{
    t->most_columns = SC_OWN_COLUMNS;
    t->most_bytes = SC_OWN_BYTES;
    for (uint32_t i = 0; i < t->op_count; i++) {
        struct sc_need more = beside(&t->ops[i]);
        if (t->ops[i].action == SC_OP_NONE)
            continue;
        t->most_columns += 1 + more.columns;
        t->most_bytes += bytes_of(&t->ops[i]) + more.row_bytes;
    }
}

/* ---- of a batch ---- */

static void add_column(const struct sc_batch *batch, struct sc_column_key key, uint32_t hint, uint32_t bytes,
                       struct sc_need *need)
{
    uint32_t slot = sc_batch_slot(batch, key, hint);
    uint32_t has = slot == SC_NO_SLOT ? 0 : key.kind == SC_COLUMN_BYTES ? bytes : batch->columns[slot]->width;
    need->columns += slot == SC_NO_SLOT;
    need->row_bytes += has < bytes ? bytes - has : 0;
}

static void add_raw(const struct sc_batch *batch, const struct sc_op *op, struct sc_need *need)
{
    const struct sc_column_key key = {.pen = SC_PEN_IANA, .id = op->element, .kind = SC_COLUMN_ADDRESS};
    add_column(batch, key, op->alt_slot, sizeof(struct sc_addr), need);
}

struct sc_need sc_need_known(const struct sc_batch *batch, const struct sc_template *t)
{
    return t->known_to == batch->serial ? t->known : (struct sc_need){t->most_columns, t->most_bytes};
}

struct sc_need sc_need_exact(const struct sc_batch *batch, struct sc_template *t)
{
    struct sc_need need = {SC_OWN_COLUMNS, SC_OWN_BYTES};
    for (uint32_t i = 0; i < t->op_count; i++) {
        const struct sc_op *op = &t->ops[i];
        struct sc_column_key bytes = op->key;
        bytes.kind = SC_COLUMN_BYTES;
        if (op->action == SC_OP_NONE)
            continue;
        add_column(batch, op->key, op->slot, bytes_of(op), &need);
        if (op->action == SC_OP_PAIR || (op->action == SC_OP_UNIFIED && op->length != 4))
            add_raw(batch, op, &need);
        if (op->action == SC_OP_PAIR)
            add_raw(batch, &t->ops[op->partner], &need);
        if (may_misfit(op))
            add_column(batch, bytes, op->alt_slot, sizeof(uint32_t), &need);
    }
    t->known_to = batch->serial;
    t->known = need;
    return need;
}

/* ---- of a run ---- */

static size_t heap_of(const struct sc_run *run, uint32_t n)
{
    const struct sc_template *t = run->template_record;
    size_t names = run->domain->maps == NULL ? 0 : (size_t)n * SC_NAME_BYTES;
    return names + (t->variable ? VARIABLE_HEAP : (size_t)n * t->record_length);
}

uint32_t sc_run_part(const struct sc_run *run)
{
    const struct sc_template *t = run->template_record;
    size_t record = t->most_bytes + t->most_columns / 8 + (run->domain->maps == NULL ? 0 : SC_NAME_BYTES);
    size_t n = PART_BYTES / (record + (t->variable ? 0 : t->record_length));
    if (t->most_columns > SC_BOUND_COLUMNS) /* one record has no field in two columns */
        n = 1;
    return n == 0 ? 1 : n < run->count ? (uint32_t)n : run->count;
}

static size_t weight(const struct sc_run *run, const struct sc_batch *batch, uint32_t n, struct sc_need need)
{
    return sc_batch_cost((size_t)batch->rows + n, (size_t)batch->used + need.columns,
                         (size_t)batch->row_bytes + need.row_bytes, batch->heap_bytes + heap_of(run, n));
}

enum sc_fit sc_run_fits(const struct sc_run *run, const struct sc_batch *batch, uint32_t n, size_t most_bytes,
                        size_t *bytes)
{
    struct sc_template *t = run->template_record;
    struct sc_need need = sc_need_known(batch, t);
    *bytes = 0;
    if (batch->rows + n > SC_BOUND_GROUP_ROWS)
        return SC_FIT_NEVER;
    *bytes = weight(run, batch, n, need);
    if (*bytes <= most_bytes && batch->used + need.columns <= SC_BOUND_COLUMNS)
        return SC_FITS;
    need = sc_need_exact(batch, t);
    *bytes = weight(run, batch, n, need);
    if (batch->used + need.columns > SC_BOUND_COLUMNS)
        return SC_FIT_NEVER;
    return *bytes <= most_bytes ? SC_FITS : SC_FIT_HEAVY;
}
