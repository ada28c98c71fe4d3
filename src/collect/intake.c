// SPDX-License-Identifier: BSD-3-Clause
#include "collect/intake.h"

#include "base/clock.h"

#include <stdlib.h>

/* What a batch may have before it asks the queue for more. */
#define LEAST_GRANT ((size_t)256 << 10)
/* What an intake keeps of the batches of one kind that came back. */
#define KEEP_COMMON ((size_t)16 << 20)
#define KEEP_OTHERS ((size_t)1 << 20)

enum lane {
    LANE_COMMON,
    LANE_STREAM, /* over TCP */
    LANE_ASIDE,
    LANES
};

/* The batch of one kind of records that is being filled. */
struct filling {
    struct sc_pool *pool;
    struct sc_parcel *parcel; /* never NULL once created */
    uint64_t began_ms;        /* monotonic, of the first record; 0: none yet */
    size_t granted;           /* bytes that it may weigh */
};

struct sc_intake {
    struct sc_intake_options options;
    struct sc_decoder *decoder;
    struct filling fillings[LANES][2];        /* by enum sc_record_kind */
    enum lane lane;                           /* of the message at hand */
    struct sc_parcel *first_kept, *last_kept; /* of LANE_STREAM: the queue had no room */
    uint64_t window_begin, window_end;        /* of the batches being filled, ms */
    int64_t correction_ms;                    /* of times of arrival, for windows */
    size_t most_bytes;                        /* of a batch */
    uint64_t end_ms; /* monotonic: a full queue is waited for until then; 0: it is not the end */
    struct sc_intake_stats stats;
};

static bool init_filling(struct filling *f, enum lane lane, enum sc_record_kind kind)
{
    bool large = lane != LANE_ASIDE && kind == SC_RECORDS_FLOWS;
    f->pool = sc_pool_create(kind, large ? KEEP_COMMON : KEEP_OTHERS);
    f->parcel = f->pool == NULL ? NULL : sc_pool_take(f->pool);
    return f->parcel != NULL;
}

static bool init_fillings(struct sc_intake *intake)
{
    bool good = true;
    for (unsigned i = 0; i < 2 * LANES; i++)
        good = init_filling(&intake->fillings[i / 2][i % 2], i / 2, i % 2) && good;
    return good;
}

static void free_filling(struct filling *f)
{
    if (f->parcel != NULL)
        sc_parcel_release(f->parcel);
    sc_pool_free(f->pool);
}

/* An eighth of the queue: several fit it, and one is filled while others wait. */
static size_t most_bytes_of(struct sc_queue *queue)
{
    struct sc_queue_stats stats;
    sc_queue_get_stats(queue, &stats);
    size_t part = stats.limit_bytes / 8;
    return part < SC_BOUND_GROUP_BYTES ? part : SC_BOUND_GROUP_BYTES;
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
    intake->most_bytes = most_bytes_of(options->queue);
    intake->decoder = sc_decoder_create(&options->limits, err);
    bool made = intake->decoder != NULL;
    if (made && !init_fillings(intake)) {
        sc_fail_nomem(err, "a receiver");
        made = false;
    }
    if (!made) {
        sc_intake_free(intake);
        return NULL;
    }
    return intake;
}

static struct sc_parcel *take_kept(struct sc_intake *intake)
{
    struct sc_parcel *parcel = intake->first_kept;
    if (parcel != NULL)
        intake->first_kept = parcel->next;
    return parcel;
}

void sc_intake_free(struct sc_intake *intake)
{
    struct sc_parcel *parcel;
    if (intake == NULL)
        return;
    while ((parcel = take_kept(intake)) != NULL)
        sc_parcel_release(parcel);
    for (unsigned i = 0; i < 2 * LANES; i++)
        free_filling(&intake->fillings[i / 2][i % 2]);
    sc_decoder_free(intake->decoder);
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

void sc_intake_end(struct sc_intake *intake, uint64_t until_ms)
{
    intake->end_ms = until_ms;
}

/* ---- sending batches on ---- */

/* Each exporter's account has its own; neighbours are mostly of one. */
static void blame(struct sc_decoder *decoder, const struct sc_batch *batch)
{
    const struct sc_column_key key = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_EXPORTER_ADDRESS, .kind = SC_COLUMN_ADDRESS};
    const struct sc_column *c = sc_batch_find(batch, key);
    uint32_t first = 0, rows = c == NULL ? 0 : c->rows;
    for (uint32_t row = 1; row <= rows; row++) {
        if (row < rows && sc_addr_equal(sc_column_addr(c, first), sc_column_addr(c, row)))
            continue;
        sc_decoder_note_dropped(decoder, sc_column_addr(c, first), row - first);
        first = row;
    }
}

static void lose(struct sc_intake *intake, struct sc_parcel *parcel, enum sc_drop_reason reason)
{
    *(reason == SC_DROP_ASIDE ? &intake->stats.dropped_aside : &intake->stats.dropped_full) +=
        parcel->batch->rows;
    intake->stats.dropped_batches++;
    blame(intake->decoder, parcel->batch);
    sc_queue_lose(intake->options.queue, parcel, reason);
}

static void keep(struct sc_intake *intake, struct sc_parcel *parcel)
{
    parcel->next = NULL;
    if (intake->first_kept == NULL)
        intake->first_kept = parcel;
    else
        intake->last_kept->next = parcel;
    intake->last_kept = parcel;
}

static enum sc_status push_one(struct sc_intake *intake, struct sc_parcel *parcel)
{
    uint64_t patience_ms = intake->options.patience_ms;
    if (intake->end_ms != 0) {
        uint64_t now = sc_clock_mono_ms();
        patience_ms = intake->end_ms > now ? intake->end_ms - now : 0;
    }
    return sc_queue_push(intake->options.queue, parcel, patience_ms);
}

/* Whether what finds no room is tried again. */
static bool may_keep(const struct sc_intake *intake)
{
    return intake->options.patience_ms == 0 && intake->end_ms == 0;
}

/* Those that wait for room, in their order. False: some still do. */
static bool push_kept(struct sc_intake *intake)
{
    while (intake->first_kept != NULL) {
        struct sc_parcel *parcel = intake->first_kept, *next = parcel->next;
        enum sc_status status = push_one(intake, parcel);
        if (status == SC_FULL && may_keep(intake))
            return false;
        intake->first_kept = next;
        if (status != SC_OK)
            lose(intake, parcel, SC_DROP_FULL);
    }
    return true;
}

static void push(struct sc_intake *intake, struct sc_parcel *parcel, enum lane lane)
{
    bool stream = lane == LANE_STREAM;
    parcel->aside = lane == LANE_ASIDE;
    parcel->stream = stream;
    if (stream && !push_kept(intake)) {
        keep(intake, parcel);
        return;
    }
    enum sc_status status = push_one(intake, parcel);
    if (status == SC_FULL && stream && may_keep(intake))
        keep(intake, parcel);
    else if (status != SC_OK)
        lose(intake, parcel, parcel->aside ? SC_DROP_ASIDE : SC_DROP_FULL);
}

/* The parcel's place is taken by an empty one. Where the queue has no room its records are lost, or of TCP kept. */
static enum sc_status send(struct sc_intake *intake, enum lane lane, enum sc_record_kind kind)
{
    struct filling *f = &intake->fillings[lane][kind];
    struct sc_parcel *full = f->parcel;
    if (full->batch->rows == 0)
        return SC_OK;
    full->batch->window_ms = intake->window_begin;
    struct sc_parcel *empty = sc_pool_take(f->pool);
    if (empty == NULL)
        return SC_NOMEM; /* it goes on being filled, or its records are given up */
    f->parcel = empty;
    f->began_ms = 0;
    f->granted = 0;
    if (sc_batch_finish(full->batch) != SC_OK) {
        lose(intake, full, SC_DROP_NOMEM);
        return SC_OK;
    }
    sc_batch_pack(full->batch);
    if (intake->options.offer != NULL)
        intake->options.offer(intake->options.offer_arg, full);
    push(intake, full, lane);
    return SC_OK;
}

static void compare_clocks(struct sc_intake *intake)
{
    uint64_t by_others_ms, length_ms = (uint64_t)intake->options.window_s * 1000;
    intake->correction_ms = 0;
    if (!sc_reference_time(intake->options.reference, sc_clock_mono_ms(), &by_others_ms))
        return;
    int64_t behind_ms = (int64_t)(by_others_ms - sc_clock_wall_ms());
    if (behind_ms > (int64_t)length_ms || behind_ms < -(int64_t)length_ms)
        intake->correction_ms = behind_ms;
}

void sc_intake_flush(struct sc_intake *intake)
{
    for (unsigned i = 0; i < 2 * LANES; i++)
        (void)send(intake, i / 2, i % 2);
    push_kept(intake);
}

static void send_if_old(struct sc_intake *intake, enum lane lane, enum sc_record_kind kind, uint64_t now_ms)
{
    const struct filling *f = &intake->fillings[lane][kind];
    if (f->parcel->batch->rows != 0 && now_ms - f->began_ms >= intake->options.age_ms)
        (void)send(intake, lane, kind);
}

void sc_intake_tick(struct sc_intake *intake)
{
    uint64_t now_ms = sc_clock_mono_ms();
    push_kept(intake);
    compare_clocks(intake);
    for (unsigned i = 0; i < 2 * LANES; i++)
        send_if_old(intake, i / 2, i % 2, now_ms);
}

bool sc_intake_is_tight(const struct sc_intake *intake)
{
    return intake->end_ms == 0 && (intake->first_kept != NULL || sc_queue_is_tight(intake->options.queue));
}

static void send_if_full(struct sc_intake *intake, enum sc_record_kind kind)
{
    struct filling *f = &intake->fillings[intake->lane][kind];
    uint32_t rows = f->parcel->batch->rows;
    if (rows != 0 && f->began_ms == 0)
        f->began_ms = sc_clock_mono_ms();
    if (rows >= intake->options.rows)
        (void)send(intake, intake->lane, kind);
}

/* ---- what the decoder asks for ---- */

static void set_batch(struct sc_decode_sink *sink, const struct filling *f, enum sc_record_kind kind)
{
    *(kind == SC_RECORDS_FLOWS ? &sink->flows : &sink->options) = f->parcel->batch;
    sink->most_bytes[kind] = f->granted;
}

/* Columns grow by doubling: twice what the batch is to weigh is asked for. An empty batch takes its first records in any case; they
 * are few (wire/room.c). */
static bool ask_queue(struct sc_intake *intake, struct filling *f, size_t bytes, bool force)
{
    if (!sc_queue_grant(intake->options.queue, f->parcel, 2 * bytes, force))
        return false;
    f->granted = bytes;
    return true;
}

static bool grant(struct sc_decode_sink *sink, enum sc_record_kind kind, size_t bytes)
{
    struct sc_intake *intake = sink->arg;
    struct filling *f = &intake->fillings[intake->lane][kind];
    bool empty = f->parcel->batch->rows == 0;
    size_t most = intake->most_bytes;
    if (intake->lane == LANE_ASIDE && most > SC_INTAKE_ASIDE)
        most = SC_INTAKE_ASIDE;
    if (bytes > most && !empty)
        return false;
    size_t wanted = f->granted < LEAST_GRANT / 2 ? LEAST_GRANT : 2 * f->granted;
    wanted = wanted > most ? most : wanted;
    bool granted =
        (wanted > bytes && ask_queue(intake, f, wanted, false)) || ask_queue(intake, f, bytes, empty);
    set_batch(sink, f, kind);
    return granted;
}

static enum sc_status cut(struct sc_decode_sink *sink, enum sc_record_kind kind)
{
    struct sc_intake *intake = sink->arg;
    SC_TRY(send(intake, intake->lane, kind));
    set_batch(sink, &intake->fillings[intake->lane][kind], kind);
    return SC_OK;
}

static void choose_lane(struct sc_decode_sink *sink, enum lane lane)
{
    struct sc_intake *intake = sink->arg;
    intake->lane = lane;
    for (unsigned kind = 0; kind < 2; kind++)
        set_batch(sink, &intake->fillings[lane][kind], kind);
}

static void aside(struct sc_decode_sink *sink)
{
    struct sc_intake *intake = sink->arg;
    if (intake->lane == LANE_COMMON)
        choose_lane(sink, LANE_ASIDE);
}

/* ---- messages ---- */

/* Export time in a message's header, ms UTC; 0 when it has none that can be read. */
static uint64_t export_time(const uint8_t *bytes, size_t length)
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

static bool is_in_window(const struct sc_intake *intake, uint64_t at_ms)
{
    return at_ms >= intake->window_begin && at_ms < intake->window_end;
}

/* At each tick, and whenever the window seems to be left: a clock that was set is seen with the first message. */
static void enter_window(struct sc_intake *intake, uint64_t at_ms)
{
    if (is_in_window(intake, at_ms + (uint64_t)intake->correction_ms))
        return;
    compare_clocks(intake);
    at_ms += (uint64_t)intake->correction_ms;
    if (is_in_window(intake, at_ms))
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
    enter_window(intake, source->receive_ms != 0 ? source->receive_ms : export_time(bytes, length));
    struct sc_decode_sink sink = {
        .most_columns = SC_INTAKE_COLUMNS, .grant = grant, .cut = cut, .aside = aside, .arg = intake};
    struct sc_decode_outcome outcome = {0};
    choose_lane(&sink, source->transport == SC_TRANSPORT_TCP ? LANE_STREAM : LANE_COMMON);
    enum sc_status status = sc_decoder_message(intake->decoder, source, bytes, length, &sink, &outcome, err);
    intake->stats.messages++;
    intake->stats.bytes += length;
    count(&intake->stats, status, &outcome);
    send_if_full(intake, SC_RECORDS_FLOWS);
    send_if_full(intake, SC_RECORDS_OPTIONS);
    return status;
}
