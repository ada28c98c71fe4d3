// SPDX-License-Identifier: BSD-3-Clause
/* When batches are cut: by rows, by age, at the edge of a window; and what happens when the queue is full. */
#include "collect/intake.h"

#include <stdlib.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define V5_RECORDS 30u
#define NOON_MS    UINT64_C(1700006400000)

struct fixture {
    struct sc_queue *queue;
    struct sc_intake *intake;
    uint32_t sequence;
};

static void set_up(struct fixture *f, uint64_t queue_bytes)
{
    struct sc_error err;
    *f = (struct fixture){.queue = sc_queue_create(queue_bytes)};
    const struct sc_intake_options options = {
        .limits = sc_decoder_default_limits(), .window_s = 300, .queue = f->queue};
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

static void a_full_queue_drops_the_newest_and_counts(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1); /* a single batch, whatever its size */
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
    tear_down(&f);
}

/* A destination of nobody: an unknown name, so that what is offered waits. */
static struct sc_forward *forward_to_nobody(void)
{
    static struct sc_config_forward to = {.protocol = 10};
    const struct sc_config config = {.forward = &to, .forward_count = 1, .forward_memory = 1 << 26};
    const struct sc_log silent = {0};
    struct sc_forward *forward = sc_forward_create(&silent);
    assert_int_equal(sc_url_parse("tcp://no..such.host:1", &to.to, NULL), SC_OK);
    assert_int_equal(sc_forward_apply(forward, &config, NULL), SC_OK);
    return forward;
}

static void what_the_queue_refuses_is_forwarded_all_the_same(void **state)
{
    (void)state;
    struct fixture f = {.queue = sc_queue_create(1)};
    struct sc_forward *forward = forward_to_nobody();
    struct sc_forward_view *views;
    uint32_t count;
    const struct sc_intake_options options = {
        .limits = sc_decoder_default_limits(), .window_s = 300, .queue = f.queue, .forward = forward};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_cut_when_it_is_full),
        cmocka_unit_test(a_batch_is_cut_at_the_edge_of_a_window),
        cmocka_unit_test(without_a_time_of_arrival_the_export_time_tells_the_window),
        cmocka_unit_test(a_batch_is_cut_when_it_is_old),
        cmocka_unit_test(a_full_queue_drops_the_newest_and_counts),
        cmocka_unit_test(what_the_queue_refuses_is_forwarded_all_the_same),
        cmocka_unit_test(bad_messages_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
