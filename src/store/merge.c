// SPDX-License-Identifier: BSD-3-Clause
#include "store/merge.h"

#include "flow/gather.h"

struct merge {
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_read_context context;
    struct sc_gather parts[2]; /* by record kind */
    struct sc_buf copy;        /* of a row group that is taken as it is */
    struct sc_buf made;        /* of each row group that was written: the hash of its head, a u64 */
    uint64_t spans;            /* in all of them */
    struct sc_span_set seen;
    const struct sc_span_set *held;
    enum sc_effort anew;   /* as in struct sc_segment_id */
    enum sc_verify verify; /* likewise */
    struct sc_merge_report *report;
    struct sc_error *err;
};

/* What stands in the file now. Its head has the hash of the directory, and that those of all chunks, so one number knows every byte; it
 * was computed before any of them was written. */
static enum sc_status note_made(struct merge *m, const struct sc_buf *bytes, uint32_t rows, uint32_t spans)
{
    sc_buf_append(&m->made, bytes->data + SC_ROW_GROUP_HEAD_BYTES - sizeof(uint64_t), sizeof(uint64_t));
    m->report->rows += rows;
    m->spans += spans;
    return sc_buf_ok(&m->made) ? SC_OK : sc_fail_nomem(m->err, "merging");
}

static enum sc_status flush(struct merge *m, struct sc_gather *part)
{
    if (part->batch->rows == 0)
        return SC_OK;
    if (sc_batch_finish(part->batch) != SC_OK)
        return sc_fail_nomem(m->err, "merging");
    SC_TRY(sc_segment_writer_add(&m->writer, &m->encoder, part->batch, m->err));
    SC_TRY(note_made(m, &m->writer.buf, part->batch->rows, part->batch->span_count));
    return sc_gather_reset(part) == SC_OK ? SC_OK : sc_fail_nomem(m->err, "merging");
}

static bool is_known(const struct merge *m, const struct sc_span *span)
{
    return (m->held != NULL && sc_span_set_has(m->held, span)) || sc_span_set_has(&m->seen, span);
}

/* Whether nobody had the batch so far; from now on we have it. */
static enum sc_status take_id(struct merge *m, const struct sc_span *span, bool *fresh)
{
    *fresh = false;
    if (!is_known(m, span) && sc_span_set_add(&m->seen, span, fresh) != SC_OK)
        return sc_fail_nomem(m->err, "merging");
    m->report->batches_double += !*fresh;
    return SC_OK;
}

static const struct sc_column *const *columns_of(const struct sc_row_group *group)
{
    return (const struct sc_column *const *)group->columns;
}

static struct sc_gather *part_of(struct merge *m, const struct sc_row_group *group)
{
    return &m->parts[group->record_kind == SC_RECORDS_OPTIONS];
}

static enum sc_status add_span(struct merge *m, const struct sc_row_group *group, const struct sc_span *span)
{
    struct sc_gather *part = part_of(m, group);
    bool fresh;
    SC_TRY(take_id(m, span, &fresh));
    if (!fresh)
        return SC_OK;
    enum sc_status status =
        sc_gather_add(part, columns_of(group), group->entry_count, span, &sc_group_bounds);
    if (status == SC_LIMIT) { /* not beside what is there */
        SC_TRY(flush(m, part));
        status = sc_gather_add(part, columns_of(group), group->entry_count, span, &sc_group_bounds);
    }
    return status == SC_OK ? SC_OK : sc_fail_nomem(m->err, "merging");
}

static bool is_larger_than_made(const struct sc_row_group *group)
{
    for (uint32_t i = 0; i < group->span_count; i++) {
        const struct sc_span *span = &group->spans[i];
        struct sc_weight weight =
            sc_batch_weight(columns_of(group), group->entry_count, span->first_row, span->rows);
        if (!sc_bounds_hold(&sc_group_bounds, &weight))
            return true;
    }
    return false;
}

/* A Bloom filter is what seals make only. */
static bool was_sealed(const struct sc_row_group *group)
{
    return sc_row_group_filter(group) != NULL;
}

/* Its bytes to m->copy, where every hash agrees. */
static bool load_bytes(struct merge *m, const struct sc_row_group *group)
{
    struct sc_encoded_group whole;
    if (sc_row_group_bytes(group, &m->copy, NULL) != SC_OK ||
        sc_row_group_check(m->copy.data, m->copy.len, &whole, NULL) != SC_OK)
        return false;
    sc_encoded_group_free(&whole);
    return true;
}

/* What was gathered until then becomes a row group of its own: of a few rows it is filled up instead. */
#define FEW_ROWS (SC_BOUND_GROUP_ROWS / 8)

static bool is_of_kind(const struct merge *m, const struct sc_row_group *group)
{
    switch (m->anew) {
    case SC_EFFORT_SEALED:
        return !group->packed && group->format == m->writer.format;
    case SC_EFFORT_PACKED:
        return group->packed && group->format <= m->writer.format;
    default:
        return group->format <= m->writer.format;
    }
}

/* Sealed before, full, and all of it new: encoding it again would give the same. Its bytes are in m->copy then. */
static bool is_as_made(struct merge *m, const struct sc_row_group *group)
{
    uint32_t gathered = part_of(m, group)->batch->rows;
    if (group->rows < SC_FULL_ROWS || !was_sealed(group) || !is_of_kind(m, group) ||
        (gathered != 0 && gathered < FEW_ROWS))
        return false;
    for (uint32_t i = 0; i < group->span_count; i++) {
        if (is_known(m, &group->spans[i]))
            return false;
    }
    return load_bytes(m, group);
}

/* m->copy, when it has any batch that is fresh; another that was met before does no harm in it: readers count an id once. */
static enum sc_status copy_group(struct merge *m, const struct sc_row_group *group)
{
    bool any = false, fresh;
    for (uint32_t i = 0; i < group->span_count; i++) {
        SC_TRY(take_id(m, &group->spans[i], &fresh));
        any = any || fresh;
    }
    if (!any)
        return SC_OK;
    SC_TRY(flush(m, part_of(m, group)));
    struct sc_encoded_group encoded = {
        .length = group->ref->length, .ref = *group->ref, .format = group->format, .stats = group->stats};
    encoded.bytes = m->copy.data;
    encoded.span_count = group->span_count;
    encoded.encoded_spans = encoded.bytes + SC_ROW_GROUP_HEAD_BYTES + sc_row_stats_size(&group->stats);
    SC_TRY(sc_segment_writer_add_encoded(&m->writer, &encoded, m->err));
    m->report->groups_copied++;
    return note_made(m, &m->copy, group->rows, group->span_count);
}

static enum sc_status add_spans(struct merge *m, struct sc_row_group *group)
{
    enum sc_status status = SC_OK;
    if (is_larger_than_made(group))
        return load_bytes(m, group) ? copy_group(m, group)
                                    : sc_fail(m->err, SC_IO, "a row group cannot be read again");
    sc_gather_next_source(part_of(m, group));
    for (uint32_t i = 0; status == SC_OK && i < group->span_count; i++)
        status = add_span(m, group, &group->spans[i]);
    return status;
}

/* A row group with any damaged chunk is skipped whole. */
static enum sc_status add_group(struct merge *m, const struct sc_segment *segment, uint32_t index)
{
    struct sc_row_group *group;
    sc_read_context_reset(&m->context);
    m->report->groups_read++;
    enum sc_status status = sc_row_group_open(&m->context, segment, index, &group, m->err);
    if (status == SC_OK && is_as_made(m, group))
        return copy_group(m, group);
    for (uint32_t i = 0; status == SC_OK && i < group->entry_count; i++) {
        const struct sc_column *column;
        status = sc_row_group_column_at(group, i, &column, m->err);
    }
    if (status == SC_DAMAGED || status == SC_IO) {
        m->report->groups_damaged++;
        return SC_OK;
    }
    return status == SC_OK ? add_spans(m, group) : status;
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
    if (sc_gather_init(&m->parts[0], SC_RECORDS_FLOWS) != SC_OK ||
        sc_gather_init(&m->parts[1], SC_RECORDS_OPTIONS) != SC_OK ||
        sc_read_context_init(&m->context) != SC_OK)
        return sc_fail_nomem(m->err, "merging");
    sc_gather_pool_addresses(&m->parts[0]);
    sc_gather_pool_addresses(&m->parts[1]);
    SC_TRY(sc_row_group_encoder_init(
        &m->encoder, m->anew == SC_EFFORT_PACKED ? SC_EFFORT_PACKED : SC_EFFORT_SEALED, m->err));
    sc_row_group_encoder_set_format(&m->encoder, id->format);
    return sc_segment_writer_create(&m->writer, io, path, id, m->err);
}

static void merge_end(struct merge *m)
{
    sc_gather_free(&m->parts[0]);
    sc_gather_free(&m->parts[1]);
    sc_buf_free(&m->copy);
    sc_buf_free(&m->made);
    sc_read_context_free(&m->context);
    sc_row_group_encoder_free(&m->encoder);
    sc_span_set_free(&m->seen);
}

/* What is read of a segment to know what it holds. */
struct reading {
    struct sc_read_context context;
    struct sc_segment *segment;
    struct sc_span_set *held; /* takes the ids; may be NULL */
    const struct merge *made; /* the merge that wrote it, or NULL */
    struct sc_buf bytes;
    uint64_t rows, spans; /* of row groups that are whole to the last byte */
    struct sc_error *err;
};

/* Which row group is decoded where only one is: another one in each file, so that sooner or later all sorts of them are. */
static bool is_to_be_decoded(const struct merge *m, uint32_t index)
{
    uint64_t count = m->made.len / sizeof(uint64_t);
    return m->verify == SC_VERIFY_FULL || sc_load_le64(m->made.data) % count == index;
}

/* Every byte of a row group against its hashes. */
static enum sc_status check_bytes(struct reading *r, const struct sc_row_group *group)
{
    struct sc_encoded_group whole;
    SC_TRY(sc_row_group_bytes(group, &r->bytes, r->err));
    SC_TRY(sc_row_group_check(r->bytes.data, r->bytes.len, &whole, r->err));
    sc_encoded_group_free(&whole);
    return SC_OK;
}

/* It must be the one that was written there: another that is whole will not do. */
static enum sc_status check_made(struct reading *r, struct sc_row_group *group, uint32_t index)
{
    const struct sc_buf *made = &r->made->made;
    uint32_t damaged;
    size_t at = index * sizeof(uint64_t);
    if (at >= made->len || memcmp(r->bytes.data + SC_ROW_GROUP_HEAD_BYTES - sizeof(uint64_t), made->data + at,
                                  sizeof(uint64_t)) != 0)
        return sc_fail(r->err, SC_DAMAGED, "%s: the row group at byte %llu is not the one that was written",
                       r->segment->path, (unsigned long long)group->ref->offset);
    return is_to_be_decoded(r->made, index) ? sc_row_group_verify(group, &damaged, r->err) : SC_OK;
}

static enum sc_status read_group(struct reading *r, uint32_t index)
{
    struct sc_row_group *group;
    bool fresh;
    sc_read_context_reset(&r->context);
    SC_TRY(sc_row_group_open(&r->context, r->segment, index, &group, r->err));
    SC_TRY(check_bytes(r, group));
    if (r->made != NULL)
        SC_TRY(check_made(r, group, index));
    r->rows += group->rows;
    r->spans += group->span_count;
    for (uint32_t i = 0; r->held != NULL && i < group->span_count; i++) {
        if (sc_span_set_add(r->held, &group->spans[i], &fresh) != SC_OK)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* Of what is damaged *r->err says the last. */
static enum sc_status read_back(const char *path, struct reading *r, bool *sealed)
{
    SC_TRY(sc_segment_open(path, &r->segment, r->err));
    *sealed = r->segment->sealed;
    enum sc_status status = sc_read_context_init(&r->context);
    for (uint32_t i = 0; i < r->segment->group_count && status == SC_OK; i++) {
        enum sc_status found = read_group(r, i);
        status = found == SC_NOMEM ? found : SC_OK; /* a damaged row group holds nothing */
    }
    sc_read_context_free(&r->context);
    sc_segment_close(r->segment);
    sc_buf_free(&r->bytes);
    return status == SC_OK ? SC_OK : sc_fail_nomem(r->err, "merging");
}

enum sc_status sc_merge_note_held(const char *path, struct sc_span_set *held, struct sc_error *err)
{
    struct reading r = {.held = held, .err = err};
    bool sealed;
    return read_back(path, &r, &sealed);
}

/* The rows and batches must be as many as were merged. */
static enum sc_status verify(const struct merge *m, const char *path, struct sc_error *err)
{
    struct sc_error why = {.message = "not sealed"};
    struct reading r = {.made = m, .err = &why};
    bool sealed;
    enum sc_status status = read_back(path, &r, &sealed);
    if (status == SC_OK && sealed && r.rows == m->report->rows && r.spans == m->spans)
        return SC_OK;
    if (status != SC_OK)
        return sc_fail(err, status, "%s", why.message);
    return sc_fail(err, SC_DAMAGED, "%s reads back %llu of %llu records, %llu of %llu batches: %.200s", path,
                   (unsigned long long)r.rows, (unsigned long long)m->report->rows,
                   (unsigned long long)r.spans, (unsigned long long)m->spans, why.message);
}

static enum sc_status merge_finish(struct merge *m, const char *path, enum sc_status status)
{
    if (status != SC_OK) {
        sc_segment_writer_abandon(&m->writer);
        return status;
    }
    m->report->bytes_written = m->writer.offset;
    SC_TRY(sc_segment_writer_finish(&m->writer, m->err));
    return verify(m, path, m->err);
}

enum sc_status sc_merge_segments(struct sc_io *io, const char *const *inputs, uint32_t input_count,
                                 const char *path, const struct sc_segment_id *id,
                                 const struct sc_span_set *held, const volatile int *cancel,
                                 struct sc_merge_report *report, struct sc_error *err)
{
    *report = (struct sc_merge_report){0};
    struct merge m = {.report = report,
                      .err = err,
                      .held = held,
                      .anew = id->anew,
                      .verify = id->verify,
                      .writer = {.handle = -1}};
    enum sc_status status = merge_start(&m, io, path, id);
    bool created = status == SC_OK;
    for (uint32_t i = 0; i < input_count && status == SC_OK; i++)
        status = add_input(&m, inputs[i], cancel);
    for (unsigned kind = 0; kind < 2 && status == SC_OK; kind++)
        status = flush(&m, &m.parts[kind]);
    status = merge_finish(&m, path, status);
    if (status != SC_OK && created)
        io->ops->unlink(io, path);
    merge_end(&m);
    return status;
}
