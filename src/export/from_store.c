// SPDX-License-Identifier: BSD-3-Clause
#include "export/from_store.h"

#include "base/clock.h"
#include "export/pacer.h"
#include "store/catalogue.h"
#include "store/reader.h"
#include "store/span_set.h"

#include <stdlib.h>

enum { CHUNK = 480, COLUMNS_MAX = 65536 };

/* sysUpTime is 32 bits of ms, 49.7 days: before they are used up the exporter "restarts". */
#define BEFORE_MS (UINT64_C(20) * 86400 * 1000)
#define RENEW_MS  (UINT64_C(45) * 86400 * 1000)

struct resend {
    struct sc_export_run *run;
    const struct sc_from_store_options *options;
    struct sc_export_totals *totals;
    struct sc_error *err;
    struct sc_catalogue catalogue;
    struct sc_read_context context;
    struct sc_span_set sent; /* batches that went out */
    struct sc_encoder *encoder;
    uint64_t init_ms;
    uint64_t now_ms;              /* export clock */
    struct sc_export_totals done; /* with the encoders before this one */
    struct sc_pacer pacer;
    struct sc_truth_columns fields;
    const struct sc_column **columns;
    uint32_t column_count;
};

static enum sc_status emit(void *arg, const uint8_t *message, size_t length)
{
    struct resend *r = arg;
    return sc_sender_put(r->run->sender, 0, r->now_ms, message, length, r->err);
}

/* ---- the encoder ---- */

static void add_up(struct resend *r)
{
    struct sc_encoder_stats stats = {0};
    if (r->encoder != NULL)
        sc_encoder_get_stats(r->encoder, &stats);
    r->totals->messages = r->done.messages + stats.messages;
    r->totals->skipped = r->done.skipped + stats.skipped;
    r->totals->values_dropped = r->done.values_dropped + stats.values_dropped;
}

static enum sc_status end_encoder(struct resend *r)
{
    if (r->encoder == NULL)
        return SC_OK;
    enum sc_status status = sc_encoder_flush(r->encoder, r->now_ms, r->err);
    add_up(r);
    r->done = *r->totals;
    sc_encoder_free(r->encoder);
    r->encoder = NULL;
    return status;
}

/* An encoder whose sysUpTime covers the clock. */
static enum sc_status need_encoder(struct resend *r)
{
    bool relative = r->options->encoder.protocol != SC_EXPORT_IPFIX;
    if (r->encoder != NULL && (!relative || r->now_ms - r->init_ms < RENEW_MS))
        return SC_OK;
    SC_TRY(end_encoder(r));
    struct sc_encoder_options options = r->options->encoder;
    r->init_ms = r->now_ms > BEFORE_MS ? r->now_ms - BEFORE_MS : 1;
    options.system_init_ms = r->init_ms;
    options.domain = 1;
    options.origin = true;
    r->encoder = sc_encoder_create(&options, emit, r, r->err);
    return r->encoder != NULL ? SC_OK : r->err->status;
}

/* ---- rows ---- */

static bool matches(const struct resend *r, uint32_t row)
{
    return r->options->match == NULL || r->options->match(r->options->arg, r->columns, r->column_count, row);
}

/* With a truth each row is encoded alone, so that one which the protocol cannot express is not counted. */
static enum sc_status send_counted(struct resend *r, uint32_t first, uint32_t n)
{
    for (uint32_t row = first; row < first + n; row++) {
        uint64_t skipped = r->totals->skipped;
        SC_TRY(sc_encoder_flows(r->encoder, r->columns, r->column_count, row, 1, r->now_ms, r->err));
        add_up(r);
        if (r->totals->skipped != skipped)
            continue;
        r->totals->flows++;
        if (sc_truth_add_row(r->run->truth, &r->fields, r->columns, r->column_count, row) != SC_OK)
            return sc_fail_nomem(r->err, "the truth");
    }
    return SC_OK;
}

static enum sc_status send_run(struct resend *r, uint32_t first, uint32_t n)
{
    if (r->run->truth != NULL)
        return send_counted(r, first, n);
    uint64_t skipped = r->totals->skipped;
    SC_TRY(sc_encoder_flows(r->encoder, r->columns, r->column_count, first, n, r->now_ms, r->err));
    add_up(r);
    r->totals->flows += n - (r->totals->skipped - skipped);
    return SC_OK;
}

/* The matching rows of at most CHUNK, as runs. */
static enum sc_status send_chunk(struct resend *r, uint32_t first, uint32_t n)
{
    uint64_t before = r->totals->flows;
    for (uint32_t row = first; row < first + n;) {
        uint32_t end = row;
        while (end < first + n && matches(r, end))
            end++;
        if (end > row)
            SC_TRY(send_run(r, row, end - row));
        row = end + 1;
    }
    if (r->run->rate != 0 && r->totals->flows != before) {
        SC_TRY(sc_sender_flush(r->run->sender, r->err));
        sc_pacer_spend(&r->pacer, r->totals->flows - before);
    }
    sc_export_report(r->run, r->totals);
    return SC_OK;
}

static enum sc_status send_rows(struct resend *r, uint32_t first, uint32_t n)
{
    uint32_t chunk = sc_pacer_chunk(r->run->rate, CHUNK);
    for (uint32_t at = 0; at < n; at += chunk) {
        if (*r->run->stop != 0)
            return SC_CANCELLED;
        SC_TRY(send_chunk(r, first + at, n - at < chunk ? n - at : chunk));
    }
    return SC_OK;
}

/* ---- row groups ---- */

static enum sc_status read_columns(struct resend *r, struct sc_row_group *group)
{
    r->column_count = 0;
    for (uint32_t i = 0; i < group->entry_count && r->column_count < COLUMNS_MAX; i++) {
        const struct sc_column *column;
        SC_TRY(sc_row_group_column_at(group, i, &column, r->err));
        if (column != NULL)
            r->columns[r->column_count++] = column;
    }
    return SC_OK;
}

/* Rows outside of batches (a group without spans) are sent; a batch only when it is new. */
static enum sc_status send_spans(struct resend *r, const struct sc_row_group *group)
{
    if (group->span_count == 0)
        return send_rows(r, 0, group->rows);
    for (uint32_t i = 0; i < group->span_count; i++) {
        bool fresh;
        if (sc_span_set_add(&r->sent, &group->spans[i], &fresh) != SC_OK)
            return sc_fail_nomem(r->err, "batch ids");
        if (fresh)
            SC_TRY(send_rows(r, group->spans[i].first_row, group->spans[i].rows));
    }
    return SC_OK;
}

/* Damage ends no more than its row group; the first one is kept in `damage`. */
static enum sc_status note_damage(struct resend *r, enum sc_status status, struct sc_error *damage)
{
    if (status != SC_DAMAGED)
        return status;
    if (r->totals->damaged++ == 0)
        *damage = *r->err;
    return SC_OK;
}

static enum sc_status open_group(struct resend *r, const struct sc_segment *segment, uint32_t index,
                                 struct sc_row_group **group)
{
    SC_TRY(sc_row_group_open(&r->context, segment, index, group, r->err));
    return read_columns(r, *group);
}

static enum sc_status send_group(struct resend *r, const struct sc_segment *segment, uint32_t index,
                                 struct sc_error *damage)
{
    struct sc_row_group *group = NULL;
    if (segment->groups[index].record_kind != SC_RECORDS_FLOWS)
        return SC_OK;
    sc_read_context_reset(&r->context);
    enum sc_status status = open_group(r, segment, index, &group);
    if (status != SC_OK)
        return note_damage(r, status, damage);
    uint64_t received = segment->groups[index].received_max;
    if (received != UINT64_MAX && received > r->now_ms)
        r->now_ms = received;
    if (segment->window_ms > r->now_ms)
        r->now_ms = segment->window_ms;
    SC_TRY(need_encoder(r));
    return send_spans(r, group);
}

static enum sc_status send_segment(struct resend *r, const char *path, struct sc_error *damage)
{
    struct sc_segment *segment;
    enum sc_status status = sc_segment_open(path, &segment, r->err);
    if (status != SC_OK)
        return note_damage(r, status == SC_NOTFOUND ? SC_DAMAGED : status, damage);
    if (segment->damaged_stretches != 0 || segment->footer_damaged)
        note_damage(r, sc_fail(r->err, SC_DAMAGED, "%s is damaged", path), damage);
    for (uint32_t i = 0; i < segment->group_count && status == SC_OK; i++)
        status = send_group(r, segment, i, damage);
    sc_read_context_reset(&r->context);
    sc_segment_close(segment);
    return status;
}

static enum sc_status send_store(struct resend *r)
{
    struct sc_error damage;
    enum sc_status status = SC_OK;
    sc_pacer_start(&r->pacer, r->run->rate);
    for (uint32_t i = 0; i < r->catalogue.count && status == SC_OK; i++)
        status = send_segment(r, r->catalogue.files[i].path, &damage);
    if (status != SC_OK && status != SC_CANCELLED)
        return status;
    SC_TRY(end_encoder(r));
    SC_TRY(sc_sender_flush(r->run->sender, r->err));
    if (status == SC_OK && r->totals->damaged != 0) {
        *r->err = damage;
        status = SC_DAMAGED;
    }
    return status;
}

static enum sc_status prepare(struct resend *r)
{
    SC_TRY(sc_truth_columns_init(&r->fields, r->err));
    SC_TRY(sc_catalogue_add(&r->catalogue, r->options->path, r->err));
    sc_catalogue_sort(&r->catalogue);
    if (r->columns == NULL || sc_read_context_init(&r->context) != SC_OK)
        return sc_fail_nomem(r->err, "reading a store");
    return SC_OK;
}

enum sc_status sc_export_from_store(struct sc_export_run *run, const struct sc_from_store_options *options,
                                    struct sc_export_totals *totals, struct sc_error *err)
{
    struct sc_error own;
    struct resend r = {.run = run, .options = options, .totals = totals, .err = err != NULL ? err : &own};
    *totals = (struct sc_export_totals){0};
    r.columns = calloc(COLUMNS_MAX, sizeof(void *));
    enum sc_status status = prepare(&r);
    if (status == SC_OK) {
        status = send_store(&r);
        sc_read_context_free(&r.context);
    }
    sc_encoder_free(r.encoder);
    sc_span_set_free(&r.sent);
    sc_catalogue_free(&r.catalogue);
    free(r.columns);
    return status;
}
