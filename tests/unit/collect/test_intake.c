// SPDX-License-Identifier: BSD-3-Clause
/* When batches are cut: by rows, by weight, by age, at the edge of a window; what happens when the queue is full; and that nobody's
 * records cost those of others. */
#include "collect/intake.h"
#include "forward/forward.h"

#include "base/clock.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define V5_RECORDS 30u
#define NOON_MS    UINT64_C(1700006400000)

struct fixture {
    struct sc_queue *queue;
    struct sc_intake *intake;
    uint32_t sequence;
    struct sc_reference reference;
};

static void set_up(struct fixture *f, uint64_t queue_bytes)
{
    struct sc_error err;
    *f = (struct fixture){.queue = sc_queue_create(queue_bytes)};
    const struct sc_intake_options options = {.limits = sc_decoder_default_limits(),
                                              .window_s = 300,
                                              .queue = f->queue,
                                              .reference = &f->reference};
    f->intake = sc_intake_create(&options, &err);
    assert_non_null(f->intake);
}

static void tear_down(struct fixture *f)
{
    sc_queue_free(f->queue);
    sc_intake_free(f->intake);
}

static void send_v5(struct fixture *f, uint64_t receive_ms)
{
    static uint8_t message[24 + 48 * V5_RECORDS];
    const struct sc_message_source source = {.exporter = sc_addr_v4(0x7f000001),
                                             .port = 9,
                                             .transport = SC_TRANSPORT_UDP,
                                             .receive_ms = receive_ms};
    sc_store_be16(message, 5);
    sc_store_be16(message + 2, V5_RECORDS);
    sc_store_be32(message + 8, NOON_MS / 1000);
    sc_store_be32(message + 16, f->sequence);
    f->sequence += V5_RECORDS;
    assert_int_equal(sc_intake_message(f->intake, &source, message, sizeof(message), NULL), SC_OK);
}

/* The rows of the next batch in the queue, which must lie in this window; 0: none is there. */
static uint32_t take(struct fixture *f, uint64_t window_ms)
{
    struct sc_parcel *parcel = sc_queue_pop(f->queue, 0);
    if (parcel == NULL)
        return 0;
    uint32_t rows = parcel->batch->rows;
    assert_int_equal(parcel->batch->window_ms, window_ms);
    assert_int_equal(parcel->batch->record_kind, SC_RECORDS_FLOWS);
    for (uint32_t i = 0; i < parcel->batch->slots; i++) {
        const struct sc_column *c = parcel->batch->columns[i];
        assert_true(c == NULL || c->rows == 0 || c->rows == rows); /* finished */
    }
    sc_queue_done(f->queue, parcel);
    return rows;
}

static void a_batch_is_cut_when_it_is_full(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1 << 30);
    for (uint32_t i = 0; i < 3 * SC_INTAKE_ROWS / V5_RECORDS; i++)
        send_v5(&f, NOON_MS + 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(&f, NOON_MS), SC_INTAKE_ROWS);
    assert_int_equal(take(&f, NOON_MS), 0);
    assert_int_equal(sc_intake_stats_of(f.intake)->flows, 3 * SC_INTAKE_ROWS);
    tear_down(&f);
}

static void a_batch_is_cut_at_the_edge_of_a_window(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1 << 30);
    send_v5(&f, NOON_MS - 1);
    send_v5(&f, NOON_MS);
    send_v5(&f, NOON_MS + 299999);
    send_v5(&f, NOON_MS + 300000);
    send_v5(&f, NOON_MS + 5); /* a packet that lies out of order in a capture */
    sc_intake_flush(f.intake);
    assert_int_equal(take(&f, NOON_MS - 300000), V5_RECORDS);
    assert_int_equal(take(&f, NOON_MS), 2 * V5_RECORDS);
    assert_int_equal(take(&f, NOON_MS + 300000), V5_RECORDS);
    assert_int_equal(take(&f, NOON_MS), V5_RECORDS);
    tear_down(&f);
}

static void without_a_time_of_arrival_the_export_time_tells_the_window(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1 << 30);
    send_v5(&f, 0);
    sc_intake_flush(f.intake);
    assert_int_equal(take(&f, NOON_MS), V5_RECORDS);
    tear_down(&f);
}

static void a_batch_is_cut_when_it_is_old(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1 << 30);
    send_v5(&f, NOON_MS);
    sc_intake_tick(f.intake);
    assert_int_equal(take(&f, NOON_MS), 0);
    const struct timespec nap = {.tv_nsec = (SC_INTAKE_AGE_MS + 20) * 1000000};
    nanosleep(&nap, NULL);
    sc_intake_tick(f.intake);
    assert_int_equal(take(&f, NOON_MS), V5_RECORDS);
    tear_down(&f);
}

/* What a batch of the records of one message weighs in a queue. */
static uint64_t weight_of_one(void)
{
    struct fixture f;
    struct sc_queue_stats stats;
    set_up(&f, 1 << 30);
    send_v5(&f, NOON_MS);
    sc_intake_flush(f.intake);
    sc_queue_get_stats(f.queue, &stats);
    assert_int_equal(take(&f, NOON_MS), V5_RECORDS);
    tear_down(&f);
    return stats.bytes;
}

/* Three quarters of it hold one batch and not two. */
static uint64_t room_for_one(void)
{
    return weight_of_one() * 7 / 4;
}

static bool on_account(void *arg, const struct sc_exporter_stats *stats)
{
    *(uint64_t *)arg += stats->dropped;
    return true;
}

static void a_full_queue_drops_the_newest_and_tells_it(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, room_for_one());
    for (int i = 0; i < 3; i++) {
        send_v5(&f, NOON_MS + (uint64_t)i);
        sc_intake_flush(f.intake);
    }
    assert_int_equal(sc_intake_stats_of(f.intake)->dropped_full, 2 * V5_RECORDS);
    assert_int_equal(sc_intake_stats_of(f.intake)->dropped_batches, 2);
    assert_int_equal(take(&f, NOON_MS), V5_RECORDS);
    send_v5(&f, NOON_MS);
    sc_intake_flush(f.intake);
    assert_int_equal(take(&f, NOON_MS), V5_RECORDS);
    assert_int_equal(sc_intake_stats_of(f.intake)->flows, 4 * V5_RECORDS);
    struct sc_drops drops = sc_queue_take_drops(f.queue);
    const struct sc_addr exporter = sc_addr_v4(0x7f000001);
    assert_int_equal(drops.count, 1);
    assert_int_equal(drops.list[0].window_ms, NOON_MS);
    assert_int_equal(drops.list[0].count.batches[SC_RECORDS_FLOWS], 2);
    assert_int_equal(drops.list[0].count.records[SC_RECORDS_FLOWS], 2 * V5_RECORDS);
    assert_memory_equal(&drops.exporter[SC_DROP_FULL], &exporter, sizeof(exporter));
    sc_drops_free(&drops);
    uint64_t dropped = 0;
    sc_decoder_each_exporter(sc_intake_decoder(f.intake), on_account, &dropped);
    assert_int_equal(dropped, 2 * V5_RECORDS);
    tear_down(&f);
}

/* A destination of nobody: an unknown name, so that what is offered waits. */
static struct sc_forward *forward_to_nobody(void)
{
    struct sc_config config = {.forward = {{.protocol = 10}}, .forward_count = 1, .forward_memory = 1 << 26};
    const struct sc_log silent = {0};
    struct sc_forward *forward = sc_forward_create(&silent);
    assert_int_equal(sc_url_parse("tcp://no..such.host:1", &config.forward[0].to, NULL), SC_OK);
    assert_int_equal(sc_forward_apply(forward, &config, NULL), SC_OK);
    return forward;
}

static void what_the_queue_refuses_is_forwarded_all_the_same(void **state)
{
    (void)state;
    struct fixture f = {.queue = sc_queue_create(room_for_one())};
    struct sc_forward *forward = forward_to_nobody();
    struct sc_forward_view *views;
    uint32_t count;
    const struct sc_intake_options options = {.limits = sc_decoder_default_limits(),
                                              .window_s = 300,
                                              .queue = f.queue,
                                              .offer = sc_forward_offer,
                                              .offer_arg = forward};
    f.intake = sc_intake_create(&options, NULL);
    for (int i = 0; i < 3; i++) {
        send_v5(&f, NOON_MS);
        sc_intake_flush(f.intake);
    }
    assert_int_equal(sc_intake_stats_of(f.intake)->dropped_full, 2 * V5_RECORDS);
    assert_int_equal(take(&f, NOON_MS), V5_RECORDS); /* goes on being held by the destination */
    assert_int_equal(sc_forward_get(forward, &views, &count), SC_OK);
    assert_int_equal(views[0].flows.waiting, 3 * V5_RECORDS);
    free(views);
    sc_forward_close(forward, 0);
    sc_forward_free(forward);
    tear_down(&f);
}

/* ---- by whose clock ---- */

#define WINDOW_MS INT64_C(300000)

/* The others' clocks are so far ahead of the own one. @return the begin of their window. */
static uint64_t set_others(struct fixture *f, int64_t ahead_ms)
{
    uint64_t theirs = sc_clock_wall_ms() + (uint64_t)ahead_ms;
    sc_reference_set(&f->reference, (int64_t)(theirs - sc_clock_mono_ms()));
    return theirs - theirs % (uint64_t)WINDOW_MS;
}

/* Not about to end: what comes within seconds lies in it. */
static void await_the_middle(void)
{
    while (sc_clock_wall_ms() % (uint64_t)WINDOW_MS > (uint64_t)WINDOW_MS - 4000)
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

/* A clock that is more than a window off does not stamp, behind or ahead; one that is less does; and the time of arrival is recorded as it
 * is. */
static void windows_are_stamped_by_others(void **state)
{
    (void)state;
    static const int64_t aheads[] = {2 * 86400000, -2 * 86400000, WINDOW_MS + 1000, -WINDOW_MS - 1000};
    struct fixture f;
    await_the_middle();
    const uint64_t own = sc_clock_wall_ms() - sc_clock_wall_ms() % (uint64_t)WINDOW_MS;
    set_up(&f, 1 << 30);
    for (size_t i = 0; i < sizeof(aheads) / sizeof(aheads[0]); i++) {
        uint64_t window = set_others(&f, aheads[i]);
        sc_intake_tick(f.intake);
        send_v5(&f, sc_clock_wall_ms());
        sc_intake_flush(f.intake);
        assert_int_equal(take(&f, window), V5_RECORDS);
        (void)set_others(&f, aheads[i] < 0 ? -WINDOW_MS + 1000 : WINDOW_MS - 1000);
        sc_intake_tick(f.intake);
        send_v5(&f, sc_clock_wall_ms());
        sc_intake_flush(f.intake);
        assert_int_equal(take(&f, own), V5_RECORDS);
    }
    sc_reference_set(&f.reference, 0); /* nobody knows */
    sc_intake_tick(f.intake);
    send_v5(&f, sc_clock_wall_ms());
    sc_intake_flush(f.intake);
    assert_int_equal(take(&f, own), V5_RECORDS);
    tear_down(&f);
}

/* Between two ticks: the others are known with the first message that leaves the window. */
static void a_clock_that_is_set_stamps_nothing(void **state)
{
    (void)state;
    struct fixture f;
    await_the_middle();
    set_up(&f, 1 << 30);
    send_v5(&f, sc_clock_wall_ms() - 2 * 86400000); /* before it was set two days ahead */
    uint64_t window = set_others(&f, -2 * 86400000);
    send_v5(&f, sc_clock_wall_ms());
    sc_intake_flush(f.intake);
    assert_int_equal(take(&f, window), 2 * V5_RECORDS); /* it is the same window */
    tear_down(&f);
}

static void bad_messages_are_counted(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_error err;
    const struct sc_message_source source = {.transport = SC_TRANSPORT_UDP, .receive_ms = NOON_MS};
    static const uint8_t unknown[32] = {0, 42}, cut[30] = {0, 5, 0, 2};
    set_up(&f, 1 << 30);
    assert_int_equal(sc_intake_message(f.intake, &source, unknown, sizeof(unknown), &err), SC_UNSUPPORTED);
    assert_int_equal(sc_intake_message(f.intake, &source, cut, sizeof(cut), &err), SC_MALFORMED);
    assert_int_not_equal(sc_intake_message(f.intake, &source, cut, 1, &err), SC_OK);
    assert_int_equal(sc_intake_stats_of(f.intake)->malformed, 3);
    assert_int_equal(sc_intake_stats_of(f.intake)->messages, 3);
    tear_down(&f);
}

/* ---- IPFIX, written field by field ---- */

struct writer {
    uint8_t bytes[65536];
    uint32_t length, set;
};

static void put16(struct writer *w, unsigned v)
{
    sc_store_be16(w->bytes + w->length, (uint16_t)v);
    w->length += 2;
}

static void put32(struct writer *w, uint32_t v)
{
    sc_store_be32(w->bytes + w->length, v);
    w->length += 4;
}

static void begin_message(struct writer *w)
{
    *w = (struct writer){.length = 16};
    sc_store_be16(w->bytes, 10);
    sc_store_be32(w->bytes + 4, NOON_MS / 1000);
}

static void begin_set(struct writer *w, unsigned id)
{
    w->set = w->length;
    put16(w, id);
    put16(w, 0);
}

static void end_set(struct writer *w)
{
    sc_store_be16(w->bytes + w->set + 2, (uint16_t)(w->length - w->set));
}

static void put_bytes(struct writer *w, uint8_t value, uint32_t n)
{
    memset(w->bytes + w->length, value, n);
    w->length += n;
}

static enum sc_status deliver(struct fixture *f, struct writer *w, uint32_t exporter,
                              enum sc_transport transport)
{
    const struct sc_message_source source = {.exporter = sc_addr_v4(exporter),
                                             .port = 9,
                                             .transport = transport,
                                             .connection = transport == SC_TRANSPORT_TCP,
                                             .receive_ms = NOON_MS};
    sc_store_be16(w->bytes + 2, (uint16_t)w->length);
    return sc_intake_message(f->intake, &source, w->bytes, w->length, NULL);
}

/* A template of `count` elements of one byte of an enterprise that nobody knows. */
static void send_strange_template(struct fixture *f, uint32_t exporter, uint32_t enterprise, unsigned count)
{
    static struct writer w;
    begin_message(&w);
    begin_set(&w, 2);
    put16(&w, 256);
    put16(&w, count);
    for (unsigned i = 0; i < count; i++) {
        put16(&w, 0x8001 + i);
        put16(&w, 1);
        put32(&w, enterprise);
    }
    end_set(&w);
    assert_int_equal(deliver(f, &w, exporter, SC_TRANSPORT_UDP), SC_OK);
}

static void send_data(struct fixture *f, uint32_t exporter, uint32_t length)
{
    static struct writer w;
    begin_message(&w);
    begin_set(&w, 256);
    put_bytes(&w, 6, length);
    end_set(&w);
    assert_int_equal(deliver(f, &w, exporter, SC_TRANSPORT_UDP), SC_OK);
}

/* One column of one byte: as many records as bytes. */
static void send_narrow_template(struct fixture *f, uint32_t exporter)
{
    static struct writer w;
    begin_message(&w);
    begin_set(&w, 2);
    put16(&w, 256);
    put16(&w, 1);
    put16(&w, 4);
    put16(&w, 1);
    end_set(&w);
    assert_int_equal(deliver(f, &w, exporter, SC_TRANSPORT_UDP), SC_OK);
}

/* Rows of all batches in the queue. Each is as it ought to be. */
static uint64_t take_all(struct fixture *f, uint32_t *batches)
{
    uint64_t rows = 0;
    uint32_t n;
    for (*batches = 0; (n = take(f, NOON_MS)) != 0; (*batches)++)
        rows += n;
    return rows;
}

/* 60,000 records of one byte, and then few ones with 16,000 columns: each column would have 60,000 rows when the batch is finished.
 * It took 2 GB and more. */
static void sparse_columns_cost_what_is_in_them(void **state)
{
    (void)state;
    enum { STRANGERS = 63, COLUMNS = 256 };
    struct fixture f;
    struct sc_queue_stats stats;
    uint32_t batches;
    set_up(&f, 1 << 30);
    send_narrow_template(&f, 1);
    for (uint32_t i = 0; i < STRANGERS; i++)
        send_strange_template(&f, 2 + i, 100000 + i, COLUMNS);
    send_data(&f, 1, 60000);
    for (uint32_t i = 0; i < STRANGERS; i++)
        send_data(&f, 2 + i, COLUMNS);
    sc_intake_flush(f.intake);
    sc_queue_get_stats(f.queue, &stats);
    assert_true(stats.peak_bytes < 32 << 20);
    assert_int_equal(take_all(&f, &batches), 60000 + STRANGERS);
    assert_true(batches <= 16);
    tear_down(&f);
}

/* Registered elements of many columns are padded like all others: a batch is cut before it weighs too much, whatever comes. */
static void no_batch_weighs_more_than_its_bound(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_queue_stats stats;
    uint32_t batches;
    set_up(&f, 16 << 20);
    send_narrow_template(&f, 1);
    send_strange_template(&f, 2, 100000, 200);
    for (int i = 0; i < 8; i++) {
        send_data(&f, 1, 60000);
        send_data(&f, 2, 200 * 300);
        sc_queue_get_stats(f.queue, &stats);
        assert_true(stats.bytes <= 12 << 20);
        assert_true(stats.bytes + stats.filling_bytes <= (16 << 20) + (3 << 20));
        take_all(&f, &batches);
    }
    tear_down(&f);
}

/* 40,000 elements that nobody knows: more than there were slots for, for the life of the process. Then one that all know. */
static void elements_of_others_never_vanish(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t batches;
    set_up(&f, 1 << 30);
    for (uint32_t i = 0; i < 160; i++) {
        send_strange_template(&f, 2 + i, 100000 + i, 250);
        send_data(&f, 2 + i, 250);
    }
    take_all(&f, &batches);
    send_narrow_template(&f, 1);
    send_data(&f, 1, 1);
    sc_intake_flush(f.intake);
    struct sc_parcel *parcel = sc_queue_pop(f.queue, 0);
    const struct sc_column *c =
        sc_batch_find(parcel->batch, (struct sc_column_key){.id = 4, .kind = SC_COLUMN_UINT});
    assert_non_null(c);
    assert_int_equal(sc_column_u64(c, 0), 6);
    sc_queue_done(f.queue, parcel);
    tear_down(&f);
}

/* What would crowd the batch of all waits behind it, and is dropped before it. */
static void crowds_go_aside(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1 << 30);
    for (uint32_t i = 0; i < 3; i++) {
        send_strange_template(&f, 2 + i, 100000 + i, 250);
        send_data(&f, 2 + i, 250);
    }
    send_v5(&f, NOON_MS);
    sc_intake_flush(f.intake);
    struct sc_parcel *first = sc_queue_pop(f.queue, 0), *second = sc_queue_pop(f.queue, 0);
    assert_false(first->aside);
    assert_int_equal(first->batch->rows, V5_RECORDS);
    assert_true(second->aside);
    assert_int_equal(second->batch->rows, 3);
    sc_queue_done(f.queue, first);
    sc_queue_done(f.queue, second);
    tear_down(&f);
}

static void send_string(struct fixture *f, uint32_t length, uint32_t records)
{
    static struct writer w;
    begin_message(&w);
    begin_set(&w, 2);
    put16(&w, 300);
    put16(&w, 1);
    put16(&w, 0x8001);
    put16(&w, 65535);
    put32(&w, 50000);
    end_set(&w);
    begin_set(&w, 300);
    for (uint32_t i = 0; i < records; i++) {
        put_bytes(&w, 255, 1);
        put16(&w, length);
        put_bytes(&w, (uint8_t)i, length);
    }
    end_set(&w);
    assert_int_equal(deliver(f, &w, 5, SC_TRANSPORT_TCP), SC_OK);
}

/* Large records, then small ones: a batch that was large once weighs what is in it. 352,000 of 600,000 records were dropped. */
static void content_is_weighed_not_capacity(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_queue_stats stats;
    uint32_t batches;
    set_up(&f, 64 << 20);
    for (int i = 0; i < 400; i++) {
        send_string(&f, 64000, 1);
        take_all(&f, &batches);
    }
    sc_intake_flush(f.intake);
    take_all(&f, &batches);
    for (int i = 0; i < 40; i++) {
        send_string(&f, 8, 100);
        sc_intake_flush(f.intake);
    }
    sc_queue_get_stats(f.queue, &stats);
    assert_int_equal(stats.held, 40);
    assert_true(stats.bytes < 40 * (128 << 10));
    assert_int_equal(sc_intake_stats_of(f.intake)->dropped_full, 0);
    take_all(&f, &batches);
    tear_down(&f);
}

/* Over TCP nothing is dropped: it waits here, and the exporter is not read from meanwhile. */
static void streams_wait_for_room(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t batches;
    uint64_t rows = 0;
    set_up(&f, 16 << 20);
    for (int i = 0; i < 300; i++) /* the receiver would have stopped before */
        send_string(&f, 60000, 1);
    sc_intake_flush(f.intake);
    assert_true(sc_intake_is_tight(f.intake));
    for (int i = 0; i < 10 && rows < 300; i++) {
        rows += take_all(&f, &batches);
        sc_intake_tick(f.intake);
    }
    assert_int_equal(rows, 300);
    assert_false(sc_intake_is_tight(f.intake));
    assert_int_equal(sc_intake_stats_of(f.intake)->dropped_full, 0);
    tear_down(&f);
}

/* UDP beside it is stored: what waits for room does not hold it up. */
static void datagrams_pass_streams_that_wait(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t batches;
    set_up(&f, 16 << 20);
    for (int i = 0; i < 300; i++)
        send_string(&f, 60000, 1);
    take_all(&f, &batches);
    send_v5(&f, NOON_MS);
    sc_intake_flush(f.intake);
    assert_int_equal(sc_intake_stats_of(f.intake)->dropped_full, 0);
    while (take_all(&f, &batches) != 0)
        sc_intake_tick(f.intake);
    tear_down(&f);
}

/* However much waits of streams, while nothing is stored at all: datagrams have room of their own. */
static void streams_leave_room_for_datagrams(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t batches;
    struct sc_queue_stats stats;
    set_up(&f, 16 << 20);
    for (int i = 0; i < 300; i++)
        send_string(&f, 60000, 1);
    sc_intake_flush(f.intake);
    sc_queue_get_stats(f.queue, &stats);
    assert_true(stats.stream_bytes <= (16u << 20) / 8 * 3 && stats.stream_bytes > (16u << 20) / 8);
    for (int i = 0; i < 750; i++) { /* 4 MiB */
        send_v5(&f, NOON_MS);
        if (i % 250 == 249)
            sc_intake_flush(f.intake);
    }
    assert_int_equal(sc_intake_stats_of(f.intake)->dropped_full, 0);
    while (take_all(&f, &batches) != 0)
        sc_intake_tick(f.intake);
    tear_down(&f);
}

/* At the end a full queue is waited for once, not once for each batch: who stops the collector would kill it meanwhile. */
static void the_end_waits_once(void **state)
{
    (void)state;
    enum { PATIENCE_MS = 500 };
    struct fixture f;
    set_up(&f, 16 << 20);
    for (int i = 0; i < 300; i++)
        send_string(&f, 60000, 1);
    sc_intake_flush(f.intake); /* some ten batches wait */
    uint64_t before = sc_clock_mono_ms();
    sc_intake_end(f.intake, before + PATIENCE_MS);
    sc_intake_flush(f.intake);
    assert_true(sc_clock_mono_ms() - before >= PATIENCE_MS);
    assert_true(sc_clock_mono_ms() - before < 4 * PATIENCE_MS);
    uint32_t batches;
    uint64_t rows = take_all(&f, &batches);
    assert_int_equal(rows + sc_intake_stats_of(f.intake)->dropped_full, 300);
    assert_true(rows != 0 && sc_intake_stats_of(f.intake)->dropped_batches > 4);
    struct sc_drops drops = sc_queue_take_drops(f.queue);
    assert_int_equal(drops.records[SC_DROP_FULL], 300 - rows);
    sc_drops_free(&drops);
    tear_down(&f);
}

UNIT(test_intake)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_cut_when_it_is_full),
        cmocka_unit_test(a_batch_is_cut_at_the_edge_of_a_window),
        cmocka_unit_test(without_a_time_of_arrival_the_export_time_tells_the_window),
        cmocka_unit_test(a_batch_is_cut_when_it_is_old),
        cmocka_unit_test(a_full_queue_drops_the_newest_and_tells_it),
        cmocka_unit_test(what_the_queue_refuses_is_forwarded_all_the_same),
        cmocka_unit_test(windows_are_stamped_by_others),
        cmocka_unit_test(a_clock_that_is_set_stamps_nothing),
        cmocka_unit_test(bad_messages_are_counted),
        cmocka_unit_test(sparse_columns_cost_what_is_in_them),
        cmocka_unit_test(no_batch_weighs_more_than_its_bound),
        cmocka_unit_test(elements_of_others_never_vanish),
        cmocka_unit_test(crowds_go_aside),
        cmocka_unit_test(content_is_weighed_not_capacity),
        cmocka_unit_test(streams_wait_for_room),
        cmocka_unit_test(datagrams_pass_streams_that_wait),
        cmocka_unit_test(streams_leave_room_for_datagrams),
        cmocka_unit_test(the_end_waits_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
