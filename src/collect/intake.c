// SPDX-License-Identifier: BSD-3-Clause
#include "collect/intake.h"

#include "base/clock.h"

#include <stdlib.h>

/* Columns over all exporters of a thread; beyond them the decoder counts and drops. */
#define SCHEMA_LIMIT 16384u
/* sc_batch_memory looks at every column, so not after each message. */
#define MESSAGES_BETWEEN_MEMORY_CHECKS 64u

/* The batch of one kind of records that is being filled. */
struct filling {
    struct sc_pool *pool;
    struct sc_parcel *parcel; /* never NULL once created */
    uint64_t began_ms;        /* monotonic, of the first record */
};

struct sc_intake {
    struct sc_intake_options options;
    struct sc_schema schema;
    struct sc_decoder *decoder;
    struct filling flows, records;     /* options records */
    uint64_t window_begin, window_end; /* of the batches being filled, ms */
    uint32_t unchecked;                /* messages since the last look at the memory */
    struct sc_intake_stats stats;
};

static bool init_filling(struct filling *f, enum sc_record_kind kind)
{
    f->pool = sc_pool_create(kind);
    f->parcel = f->pool == NULL ? NULL : sc_pool_take(f->pool);
    return f->parcel != NULL;
}

static void free_filling(struct filling *f)
{
    if (f->parcel != NULL)
        sc_parcel_release(f->parcel);
    sc_pool_free(f->pool);
}

struct sc_intake *sc_intake_create(const struct sc_intake_options *options, struct sc_error *err)
{
    struct sc_intake *intake = calloc(1, sizeof(*intake));
    if (intake == NULL) {
        sc_fail_nomem(err, "a receiver");
        return NULL;
    }
    intake->options = *options;
    if (intake->options.rows == 0)
        intake->options.rows = SC_INTAKE_ROWS;
    if (intake->options.age_ms == 0)
        intake->options.age_ms = SC_INTAKE_AGE_MS;
    sc_schema_init(&intake->schema, SCHEMA_LIMIT);
    intake->decoder = sc_decoder_create(&options->limits, &intake->schema, err);
    bool made = intake->decoder != NULL;
    if (made && (!init_filling(&intake->flows, SC_RECORDS_FLOWS) ||
                 !init_filling(&intake->records, SC_RECORDS_OPTIONS))) {
        sc_fail_nomem(err, "a receiver");
        made = false;
    }
    if (!made) {
        sc_intake_free(intake);
        return NULL;
    }
    return intake;
}

void sc_intake_free(struct sc_intake *intake)
{
    if (intake == NULL)
        return;
    free_filling(&intake->flows);
    free_filling(&intake->records);
    sc_decoder_free(intake->decoder);
    sc_schema_free(&intake->schema);
    free(intake);
}

struct sc_decoder *sc_intake_decoder(struct sc_intake *intake)
{
    return intake->decoder;
}

const struct sc_intake_stats *sc_intake_stats_of(const struct sc_intake *intake)
{
    return &intake->stats;
}

void sc_intake_set_patience(struct sc_intake *intake, uint64_t patience_ms)
{
    intake->options.patience_ms = patience_ms;
}

/* ---- sending batches on ---- */

static void count_drop(struct sc_intake *intake, const struct sc_parcel *parcel)
{
    intake->stats.dropped_full += parcel->batch->rows;
    intake->stats.dropped_batches++;
}

/* The parcel's place is taken by an empty one. Without memory for one, or room in the queue, its records are
 * lost. */
static void send(struct sc_intake *intake, struct filling *f)
{
    struct sc_parcel *full = f->parcel;
    if (full->batch->rows == 0)
        return;
    struct sc_parcel *empty = sc_pool_take(f->pool);
    if (empty == NULL || sc_batch_finish(full->batch) != SC_OK) {
        count_drop(intake, full);
        sc_batch_reset(full->batch);
        if (empty != NULL)
            sc_parcel_release(empty);
        return;
    }
    full->batch->window_ms = intake->window_begin;
    f->parcel = empty;
    sc_forward_offer(intake->options.forward, full);
    if (sc_queue_push(intake->options.queue, full, intake->options.patience_ms) != SC_OK) {
        count_drop(intake, full);
        sc_parcel_release(full);
    }
}

void sc_intake_flush(struct sc_intake *intake)
{
    send(intake, &intake->flows);
    send(intake, &intake->records);
}

static void send_if_old(struct sc_intake *intake, struct filling *f, uint64_t now_ms)
{
    if (f->parcel->batch->rows != 0 && now_ms - f->began_ms >= intake->options.age_ms)
        send(intake, f);
}

void sc_intake_tick(struct sc_intake *intake)
{
    uint64_t now_ms = sc_clock_mono_ms();
    send_if_old(intake, &intake->flows, now_ms);
    send_if_old(intake, &intake->records, now_ms);
}

static void send_if_full(struct sc_intake *intake, struct filling *f, uint32_t rows_before,
                         bool look_at_memory)
{
    const struct sc_batch *batch = f->parcel->batch;
    if (rows_before == 0 && batch->rows != 0)
        f->began_ms = sc_clock_mono_ms();
    if (batch->rows >= intake->options.rows || (look_at_memory && sc_batch_memory(batch) > SC_INTAKE_MEMORY))
        send(intake, f);
}

/* ---- messages ---- */

uint64_t sc_intake_export_time(const uint8_t *bytes, size_t length)
{
    if (length < 12)
        return 0;
    switch (sc_load_be16(bytes)) {
    case 5:
    case 9:
        return (uint64_t)sc_load_be32(bytes + 8) * 1000;
    case 10:
        return (uint64_t)sc_load_be32(bytes + 4) * 1000;
    default:
        return 0;
    }
}

static void enter_window(struct sc_intake *intake, uint64_t at_ms)
{
    if (at_ms >= intake->window_begin && at_ms < intake->window_end)
        return;
    sc_intake_flush(intake);
    uint64_t length_ms = (uint64_t)intake->options.window_s * 1000;
    intake->window_begin = at_ms - at_ms % length_ms;
    intake->window_end = intake->window_begin + length_ms;
}

static void count(struct sc_intake_stats *stats, enum sc_status status,
                  const struct sc_decode_outcome *outcome)
{
    bool broken = status == SC_MALFORMED || status == SC_UNSUPPORTED;
    stats->flows += outcome->flows;
    stats->options += outcome->options;
    stats->templates += outcome->templates;
    stats->no_template_sets += outcome->no_template_sets;
    stats->recovered_sets += outcome->recovered_sets;
    stats->lost += outcome->lost;
    stats->over_budget += outcome->over_budget;
    stats->malformed += outcome->malformed == 0 && broken ? 1 : outcome->malformed;
    stats->refused += status != SC_OK && !broken && outcome->malformed == 0;
}

enum sc_status sc_intake_message(struct sc_intake *intake, const struct sc_message_source *source,
                                 const uint8_t *bytes, size_t length, struct sc_error *err)
{
    enter_window(intake, source->receive_ms != 0 ? source->receive_ms : sc_intake_export_time(bytes, length));
    struct sc_decode_sink sink = {intake->flows.parcel->batch, intake->records.parcel->batch};
    struct sc_decode_outcome outcome = {0};
    uint32_t flows_before = sink.flows->rows, options_before = sink.options->rows;
    enum sc_status status = sc_decoder_message(intake->decoder, source, bytes, length, &sink, &outcome, err);
    intake->stats.messages++;
    intake->stats.bytes += length;
    count(&intake->stats, status, &outcome);
    bool look = ++intake->unchecked == MESSAGES_BETWEEN_MEMORY_CHECKS;
    if (look)
        intake->unchecked = 0;
    send_if_full(intake, &intake->flows, flows_before, look);
    send_if_full(intake, &intake->records, options_before, look);
    return status;
}
