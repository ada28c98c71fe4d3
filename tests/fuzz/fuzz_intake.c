// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sequences of messages from several exporters through the intake, beside an honest one that is established. The input is a
 * program: each step is one message of NetFlow v5, v9 or IPFIX, put together from the next bytes (templates, options templates,
 * data, withdrawals, bytes as they come), or a minute that passes, an end of a connection, care in steps, or a share of the records of what
 * changed, which another decoder loads and this one merges. The first byte says whose templates are. What must hold:
 *
 * - the honest exporter has every record decoded, by its own template, and all of them come out of the queue;
 * - what was decoded is what comes out and what was counted as dropped;
 * - records can be read, wherever their writing was interrupted;
 * - what exporters hold is within the pool, and nothing of it is left at the end.
 */
#include "collect/intake.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

#define HONEST       UINT32_C(0xc0000201)
#define POOL         ((size_t)256 << 10)
#define ONE_MESSAGE  ((size_t)2 << 20) /* what one may bring over the pool before it is settled */
#define MESSAGE_ROOM 8192u
#define STEPS        400u

struct scene {
    const uint8_t *data;
    size_t left;
    struct sc_budget budget;
    struct sc_queue *queue;
    struct sc_intake *intake;
    struct sc_buf records;
    uint64_t now_ms;
    uint64_t honest_sent, honest_found, rows_found;
    uint32_t connection;
    uint8_t message[MESSAGE_ROOM];
    size_t length;
};

static uint32_t take(struct scene *s)
{
    if (s->left == 0)
        return 0;
    s->left--;
    return *s->data++;
}

/* ---- a message ---- */

static void put(struct scene *s, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0 && s->length < MESSAGE_ROOM; i--)
        s->message[s->length++] = (uint8_t)(value >> 8 * (i - 1));
}

static void put_field(struct scene *s, bool ipfix)
{
    static const uint16_t ids[] = {1, 2, 4, 7, 8, 12, 22, 21, 27, 10, 82, 34, 95, 96, 152, 160, 210, 293};
    static const uint16_t lengths[] = {4, 1, 2, 8, 16, 65535, 0, 3, 300};
    uint32_t choice = take(s);
    bool unknown = choice >= 192 && ipfix;
    put(s, unknown ? 0x8000u | choice : ids[choice % (sizeof(ids) / sizeof(ids[0]))], 2);
    put(s, lengths[take(s) % (sizeof(lengths) / sizeof(lengths[0]))], 2);
    if (unknown)
        put(s, 50000 + take(s), 4);
}

static void put_template(struct scene *s, bool ipfix, bool options)
{
    uint32_t fields = take(s) % 40;
    put(s, 256 + take(s) % 8, 2);
    if (options && !ipfix) {
        put(s, 4, 2);
        put(s, fields * 4, 2);
        fields++;
    } else {
        put(s, fields, 2);
        if (options && fields != 0)
            put(s, take(s) % 3, 2);
    }
    for (uint32_t i = 0; i < fields; i++)
        put_field(s, ipfix);
}

static void put_set(struct scene *s, bool ipfix)
{
    uint32_t kind = take(s) % 6;
    size_t begin = s->length;
    put(s,
        kind == 0   ? (ipfix ? 2 : 0)
        : kind == 1 ? (ipfix ? 3 : 1)
        : kind == 5 ? take(s)
                    : 256 + take(s) % 8,
        2);
    put(s, 0, 2);
    if (kind <= 1) {
        for (uint32_t n = 1 + take(s) % 3; n > 0; n--)
            put_template(s, ipfix, kind == 1);
    } else {
        uint32_t bytes = take(s) * (kind == 2 ? 1 : 4), fill = take(s);
        for (uint32_t i = 0; i < bytes; i++)
            put(s, kind == 4 ? take(s) : fill, 1);
    }
    uint32_t length = (uint32_t)(s->length - begin);
    if (s->length - begin >= 4)
        sc_store_be16(s->message + begin + 2, (uint16_t)(take(s) == 255 ? length + 1 : length));
}

static void put_head(struct scene *s, uint32_t version, uint32_t sequence, uint32_t domain)
{
    s->length = 0;
    put(s, version, 2);
    put(s, 0, 2); /* IPFIX: the length, later */
    if (version != 10)
        put(s, s->now_ms % 1000000, 4);
    put(s, s->now_ms / 1000, 4);
    put(s, sequence, 4);
    put(s, domain, 4);
}

static void end_message(struct scene *s, uint32_t version)
{
    if (version == 10)
        sc_store_be16(s->message + 2, (uint16_t)s->length);
}

static void make_message(struct scene *s)
{
    uint32_t version = take(s) % 3 == 0 ? 9 : 10;
    put_head(s, version, take(s) * 3, take(s) % 16);
    for (uint32_t sets = take(s) % 5; sets > 0; sets--)
        put_set(s, version == 10);
    end_message(s, version);
}

/* ---- who sends ---- */

static struct sc_message_source source_of(struct scene *s, uint32_t who)
{
    struct sc_message_source source = {.exporter = sc_addr_v4(0x0a000001 + who % 64),
                                       .port = (uint16_t)(1000 + who / 64),
                                       .receive_ms = s->now_ms};
    if (who % 8 == 7) { /* addresses of one /64 */
        source.exporter = (struct sc_addr){{0x20, 1, 0xd, 0xb8}};
        source.exporter.b[15] = (uint8_t)who;
    }
    if (who % 8 == 6) {
        source.transport = SC_TRANSPORT_TCP;
        source.connection = 1 + s->connection;
    }
    return source;
}

static void deliver(struct scene *s, const struct sc_message_source *source, enum sc_status *status)
{
    struct sc_error err;
    *status = sc_intake_message(s->intake, source, s->message, s->length, &err);
    MUST(*status == SC_OK || *status == SC_MALFORMED || *status == SC_UNSUPPORTED || *status == SC_LIMIT);
    MUST(sc_budget_used(&s->budget, false) <= POOL + ONE_MESSAGE);
}

static void honest(struct scene *s, bool with_template)
{
    const struct sc_message_source source = {
        .exporter = sc_addr_v4(HONEST), .port = 4000, .receive_ms = s->now_ms};
    enum sc_status status;
    put_head(s, 10, (uint32_t)s->honest_sent, 1);
    if (with_template)
        put(s, UINT64_C(0x0002000c01000001), 8), put(s, 0x00010008, 4);
    put(s, UINT64_C(0x0100000c), 4);
    put(s, UINT64_C(0x5ca1ab1e00000000) + s->honest_sent++, 8);
    end_message(s, 10);
    uint64_t flows = sc_intake_stats_of(s->intake)->flows;
    deliver(s, &source, &status);
    MUST(status == SC_OK && sc_intake_stats_of(s->intake)->flows == flows + 1);
}

/* ---- what comes out ---- */

static void look_at(struct scene *s, const struct sc_batch *batch)
{
    const struct sc_column_key by = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_EXPORTER_ADDRESS, .kind = SC_COLUMN_ADDRESS};
    const struct sc_column_key of = {.id = 1, .kind = SC_COLUMN_UINT};
    const struct sc_column *exporter = sc_batch_find(batch, by), *octets = sc_batch_find(batch, of);
    const struct sc_addr honest_one = sc_addr_v4(HONEST);
    MUST(batch->rows != 0 && exporter != NULL && exporter->nulls == 0 && exporter->rows == batch->rows);
    s->rows_found += batch->rows;
    for (uint32_t row = 0; row < batch->rows && batch->record_kind == SC_RECORDS_FLOWS; row++) {
        if (!sc_addr_equal(sc_column_addr(exporter, row), &honest_one))
            continue;
        MUST(octets != NULL && sc_column_u64(octets, row) == UINT64_C(0x5ca1ab1e00000000) + s->honest_found);
        s->honest_found++;
    }
}

static void drain(struct scene *s)
{
    struct sc_parcel *parcel;
    while ((parcel = sc_queue_pop(s->queue, 0)) != NULL) {
        look_at(s, parcel->batch);
        sc_queue_done(s->queue, parcel);
    }
}

/* ---- records ---- */

static void load_elsewhere(const struct scene *s)
{
    const struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_decoder *other = sc_decoder_create(&limits, NULL);
    struct sc_cursor list = {.data = s->records.data, .len = s->records.len};
    const uint8_t *record;
    uint32_t length;
    MUST(other != NULL);
    while (sc_record_next(&list, &record, &length))
        MUST(sc_decoder_load_record(other, record, length, s->now_ms, NULL) == SC_OK);
    MUST(!list.failed);
    sc_decoder_free(other);
}

static void share_records(struct scene *s)
{
    struct sc_decoder *decoder = sc_intake_decoder(s->intake);
    sc_buf_clear(&s->records);
    sc_decoder_changes(decoder, 1 + take(s) * 4, &s->records);
    if (s->records.len == 0)
        return;
    load_elsewhere(s);
    MUST(sc_decoder_merge_records(decoder, s->records.data, s->records.len, s->now_ms, s->now_ms, NULL) ==
         SC_OK);
}

/* ---- the run ---- */

static void step(struct scene *s)
{
    uint32_t what = take(s);
    enum sc_status status;
    if (what < 16) {
        s->now_ms += 60000 * (uint64_t)what;
        sc_decoder_expire(sc_intake_decoder(s->intake), s->now_ms);
    } else if (what < 24) {
        const struct sc_message_source source = source_of(s, 6);
        sc_decoder_end_session(sc_intake_decoder(s->intake), &source);
        s->connection++;
    } else if (what < 28) {
        sc_decoder_care(sc_intake_decoder(s->intake), 1 + what % 4, s->now_ms, NULL);
    } else if (what < 36) {
        share_records(s);
    } else {
        const struct sc_message_source source = source_of(s, what * 256 + take(s));
        make_message(s);
        deliver(s, &source, &status);
    }
    s->now_ms += 200;
    honest(s, what < 16); /* it repeats its template, as exporters do */
    sc_intake_flush(s->intake);
    drain(s);
}

static void open_scene(struct scene *s)
{
    struct sc_intake_options options = {.limits = sc_decoder_default_limits(), .window_s = 300};
    s->budget.limit = POOL;
    s->now_ms = UINT64_C(1700000000000);
    s->queue = sc_queue_create(64 << 20);
    options.queue = s->queue;
    options.limits.budget = &s->budget;
    options.limits.share_bytes = 64 << 10;
    options.limits.template_scope = take(s) % 2 == 0 ? SC_TEMPLATE_SCOPE_SESSION : SC_TEMPLATE_SCOPE_ADDRESS;
    s->intake = sc_intake_create(&options, NULL);
    MUST(s->queue != NULL && s->intake != NULL);
    for (int minute = 0; minute < 12; minute++, s->now_ms += 60000)
        honest(s, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene s = {.data = data, .left = size};
    open_scene(&s);
    for (uint32_t i = 0; i < STEPS && s.left != 0; i++)
        step(&s);
    sc_intake_flush(s.intake);
    drain(&s);
    const struct sc_intake_stats *stats = sc_intake_stats_of(s.intake);
    MUST(s.honest_found == s.honest_sent);
    MUST(s.rows_found + stats->dropped_full == stats->flows + stats->options);
    sc_intake_free(s.intake);
    sc_queue_free(s.queue);
    sc_buf_free(&s.records);
    MUST(sc_budget_used(&s.budget, false) == 0 && sc_budget_used(&s.budget, true) == 0);
    return 0;
}
