// SPDX-License-Identifier: BSD-3-Clause
#include "store/merge.h"

#include <stdlib.h>

struct merge {
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_read_context context;
    struct sc_batch *batches[2]; /* by record kind */
    struct sc_span_set seen;
    const struct sc_span_set *held;
    struct sc_merge_report *report;
    struct sc_error *err;
};

static enum sc_status flush(struct merge *m, struct sc_batch *batch)
{
    if (batch->rows == 0)
        return SC_OK;
    if (sc_batch_finish(batch) != SC_OK)
        return sc_fail_nomem(m->err, "merging");
    SC_TRY(sc_segment_writer_add(&m->writer, &m->encoder, batch, m->err));
    m->report->rows += batch->rows;
    sc_batch_reset(batch);
    return SC_OK;
}

static enum sc_status note_span(struct sc_batch *batch, const struct sc_span *span)
{
    struct sc_span *spans = realloc(batch->spans, ((size_t)batch->span_count + 1) * sizeof(*spans));
    if (spans == NULL)
        return SC_NOMEM;
    batch->spans = spans;
    spans[batch->span_count] = *span;
    spans[batch->span_count++].first_row = batch->rows;
    return SC_OK;
}

static enum sc_status add_span(struct merge *m, const struct sc_row_group *group, const struct sc_span *span)
{
    struct sc_batch *batch = m->batches[group->record_kind == SC_RECORDS_OPTIONS];
    bool fresh = false;
    if ((m->held == NULL || !sc_span_set_has(m->held, span)) &&
        sc_span_set_add(&m->seen, span, &fresh) != SC_OK)
        return sc_fail_nomem(m->err, "merging");
    if (!fresh) {
        m->report->batches_double++;
        return SC_OK;
    }
    if (batch->rows + span->rows > SC_ROW_GROUP_ROWS)
        SC_TRY(flush(m, batch));
    if (note_span(batch, span) != SC_OK ||
        sc_batch_append_rows(batch, (const struct sc_column *const *)group->columns, group->entry_count,
                             span->first_row, span->rows) != SC_OK)
        return sc_fail_nomem(m->err, "merging");
    return SC_OK;
}

/* A row group with any damaged chunk is skipped whole. */
static enum sc_status add_group(struct merge *m, const struct sc_segment *segment, uint32_t index)
{
    struct sc_row_group *group;
    sc_read_context_reset(&m->context);
    m->report->groups_read++;
    enum sc_status status = sc_row_group_open(&m->context, segment, index, &group, m->err);
    for (uint32_t i = 0; status == SC_OK && i < group->entry_count; i++) {
        const struct sc_column *column;
        status = sc_row_group_column_at(group, i, &column, m->err);
    }
    if (status == SC_DAMAGED || status == SC_IO) {
        m->report->groups_damaged++;
        return SC_OK;
    }
    for (uint32_t i = 0; status == SC_OK && i < group->span_count; i++)
        status = add_span(m, group, &group->spans[i]);
    return status;
}

static enum sc_status add_input(struct merge *m, const char *path, const volatile int *cancel)
{
    struct sc_segment *segment;
    enum sc_status status = sc_segment_open(path, &segment, m->err);
    if (status == SC_NOTFOUND) /* expired */
        return SC_OK;
    if (status == SC_DAMAGED || status == SC_NOT_OURS) {
        m->report->stretches_damaged++;
        return SC_OK;
    }
    SC_TRY(status);
    m->report->stretches_damaged += segment->damaged_stretches + segment->footer_damaged;
    for (uint32_t i = 0; i < segment->group_count && status == SC_OK; i++) {
        if (cancel != NULL && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0)
            status = sc_fail(m->err, SC_CANCELLED, "stopped");
        else
            status = add_group(m, segment, i);
    }
    sc_segment_close(segment);
    return status;
}

static enum sc_status merge_start(struct merge *m, struct sc_io *io, const char *path,
                                  const struct sc_segment_id *id)
{
    m->batches[0] = sc_batch_create(SC_RECORDS_FLOWS);
    m->batches[1] = sc_batch_create(SC_RECORDS_OPTIONS);
    if (m->batches[0] == NULL || m->batches[1] == NULL || sc_read_context_init(&m->context) != SC_OK)
        return sc_fail_nomem(m->err, "merging");
    SC_TRY(sc_row_group_encoder_init(&m->encoder, SC_EFFORT_SEALED, m->err));
    return sc_segment_writer_create(&m->writer, io, path, id, m->err);
}

static void merge_end(struct merge *m)
{
    sc_batch_free(m->batches[0]);
    sc_batch_free(m->batches[1]);
    sc_read_context_free(&m->context);
    sc_row_group_encoder_free(&m->encoder);
    sc_span_set_free(&m->seen);
}

enum sc_status sc_merge_segments(struct sc_io *io, const char *const *inputs, uint32_t input_count,
                                 const char *path, const struct sc_segment_id *id,
                                 const struct sc_span_set *held, const volatile int *cancel,
                                 struct sc_merge_report *report, struct sc_error *err)
{
    *report = (struct sc_merge_report){0};
    struct merge m = {.report = report, .err = err, .held = held, .writer = {.handle = -1}};
    enum sc_status status = merge_start(&m, io, path, id);
    bool created = status == SC_OK;
    for (uint32_t i = 0; i < input_count && status == SC_OK; i++)
        status = add_input(&m, inputs[i], cancel);
    for (unsigned kind = 0; kind < 2 && status == SC_OK; kind++)
        status = flush(&m, m.batches[kind]);
    if (status == SC_OK) {
        report->bytes_written = m.writer.offset;
        status = sc_segment_writer_finish(&m.writer, err);
    } else {
        sc_segment_writer_abandon(&m.writer);
    }
    if (status != SC_OK && created)
        io->ops->unlink(io, path);
    merge_end(&m);
    return status;
}

static enum sc_status note_group(struct sc_read_context *context, const struct sc_segment *segment,
                                 uint32_t index, struct sc_span_set *held, struct sc_error *err)
{
    struct sc_row_group *group;
    uint32_t damaged;
    bool fresh;
    sc_read_context_reset(context);
    SC_TRY(sc_row_group_open(context, segment, index, &group, err));
    SC_TRY(sc_row_group_verify(group, &damaged, err));
    for (uint32_t i = 0; i < group->span_count; i++) {
        if (sc_span_set_add(held, &group->spans[i], &fresh) != SC_OK)
            return sc_fail_nomem(err, "merging");
    }
    return SC_OK;
}

enum sc_status sc_merge_note_held(const char *path, struct sc_span_set *held, struct sc_error *err)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    SC_TRY(sc_segment_open(path, &segment, err));
    enum sc_status status = sc_read_context_init(&context) == SC_OK ? SC_OK : sc_fail_nomem(err, "merging");
    for (uint32_t i = 0; i < segment->group_count && status == SC_OK; i++) {
        enum sc_status found = note_group(&context, segment, i, held, err);
        status = found == SC_NOMEM ? found : SC_OK; /* a damaged row group holds nothing */
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
    return status;
}
