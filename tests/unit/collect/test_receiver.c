// SPDX-License-Identifier: BSD-3-Clause
/* A receiver on loopback: what is sent arrives in the queue, over both transports, until the very end. */
#include "collect/receiver.h"

#include "base/clock.h"
#include "net/socket.h"
#include "unit.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const uint8_t template_message[] = {
    0, 10, 0, 28, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 12, 1, 0, 0, 1, 0, 7, 0, 2,
};
/* Two records. */
static const uint8_t data_message[] = {
    0, 10, 0, 24, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 8, 0, 80, 0, 81,
};

struct fixture {
    struct sc_places *places;
    struct sc_queue *queue;
    struct sc_receiver *receiver;
    struct sc_url urls[2]; /* UDP, TCP; with their real ports */
};

static void listen_at(struct fixture *f, const char *text, struct sc_url *url)
{
    const struct sc_socket_options options = {.receive_buffer = 4 << 20};
    struct sc_error err;
    int fd;
    assert_int_equal(sc_url_parse(text, url, &err), SC_OK);
    assert_int_equal(sc_socket_listen(url, &options, &fd, &err), SC_OK);
    assert_int_equal(sc_socket_local(fd, url, &err), SC_OK);
    assert_int_equal(sc_receiver_add(f->receiver, url, fd, &err), SC_OK);
}

static void start(struct fixture *f)
{
    struct sc_error err;
    *f = (struct fixture){.queue = sc_queue_create(1 << 30)};
    const struct sc_receiver_options options = {
        .intake = {.limits = sc_decoder_default_limits(), .window_s = 300, .queue = f->queue}};
    f->receiver = sc_receiver_create(&options, &err);
    assert_non_null(f->receiver);
    assert_int_equal(sc_receiver_start(f->receiver, &err), SC_OK);
    listen_at(f, "udp://127.0.0.1:0", &f->urls[0]);
    listen_at(f, "tcp://127.0.0.1:0", &f->urls[1]);
}

static void stop(struct fixture *f)
{
    sc_queue_free(f->queue);
    sc_receiver_free(f->receiver);
    sc_places_free(f->places);
}

static int connect_to(const struct sc_url *url)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(url->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, url->scheme == SC_URL_UDP ? SOCK_DGRAM : SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void send_all(int fd, const uint8_t *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

/* Rows of all batches that come until `rows` are there, or for ten seconds. */
static uint64_t receive(struct fixture *f, uint64_t rows)
{
    uint64_t got = 0, deadline = sc_clock_mono_ms() + 10000;
    while (got < rows && sc_clock_mono_ms() < deadline) {
        struct sc_parcel *parcel = sc_queue_pop(f->queue, 100);
        if (parcel == NULL)
            continue;
        got += parcel->batch->rows;
        sc_queue_done(f->queue, parcel);
    }
    return got;
}

static struct sc_listener_view view_of(struct fixture *f, enum sc_url_scheme scheme)
{
    struct sc_listener_view *views, found = {.name = ""};
    uint32_t count;
    assert_int_equal(sc_receiver_get_listeners(f->receiver, &views, &count), SC_OK);
    for (uint32_t i = 0; i < count; i++) {
        if (views[i].scheme == scheme)
            found = views[i];
    }
    free(views);
    return found;
}

static void both_transports_arrive(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    for (int i = 0; i < 2; i++) {
        int fd = connect_to(&f.urls[i]);
        send_all(fd, template_message, sizeof(template_message));
        for (int k = 0; k < 100; k++)
            send_all(fd, data_message, sizeof(data_message));
        assert_int_equal(receive(&f, 200), 200);
        close(fd);
    }
    sc_receiver_stop(f.receiver);
    struct sc_listener_view udp = view_of(&f, SC_URL_UDP), tcp = view_of(&f, SC_URL_TCP);
    assert_int_equal(udp.datagrams, 101);
    assert_int_equal(udp.bytes, 28 + 100 * 24);
    assert_int_equal(tcp.messages, 101);
    assert_int_equal(tcp.bytes, 28 + 100 * 24);
    assert_int_equal(tcp.accepted, 1);
    assert_int_equal(tcp.connections, 0);
    assert_int_equal(tcp.framing_errors, 0);
    struct sc_exporter_stats *exporters;
    struct sc_exporters_sum sum;
    uint32_t count;
    assert_int_equal(sc_receiver_get_exporters(f.receiver, &exporters, &count, &sum), SC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(sum.accounts, 2);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(exporters[i].flows, 200);
    free(exporters);
    stop(&f);
}

static void what_lies_in_the_sockets_at_the_end_is_taken(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    int udp = connect_to(&f.urls[0]), tcp = connect_to(&f.urls[1]);
    const int fds[2] = {udp, tcp};
    for (int i = 0; i < 2; i++) {
        send_all(fds[i], template_message, sizeof(template_message));
        for (int k = 0; k < 500; k++)
            send_all(fds[i], data_message, sizeof(data_message));
    }
    sc_receiver_stop(f.receiver);
    assert_int_equal(receive(&f, 2000), 2000);
    close(udp);
    close(tcp);
    stop(&f);
}

static void a_stream_that_makes_no_sense_is_closed(void **state)
{
    (void)state;
    struct fixture f;
    char byte;
    start(&f);
    int bad = connect_to(&f.urls[1]), good = connect_to(&f.urls[1]), half = connect_to(&f.urls[1]);
    send_all(bad, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18);
    send_all(half, template_message, sizeof(template_message) - 5);
    close(half);
    assert_int_equal(recv(bad, &byte, 1, 0) <= 0, true);
    send_all(good, template_message, sizeof(template_message));
    send_all(good, data_message, sizeof(data_message));
    assert_int_equal(receive(&f, 2), 2);
    sc_receiver_stop(f.receiver);
    assert_int_equal(view_of(&f, SC_URL_TCP).framing_errors, 2);
    assert_int_equal(view_of(&f, SC_URL_TCP).accepted, 3);
    close(bad);
    close(good);
    stop(&f);
}

/* The listener that goes takes what it has; the one that stays misses nothing. */
static void a_listener_is_removed_and_the_other_goes_on(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_url second;
    start(&f);
    listen_at(&f, "udp://127.0.0.1:0", &second);
    int stays = connect_to(&f.urls[0]), goes = connect_to(&second);
    send_all(stays, template_message, sizeof(template_message));
    send_all(goes, template_message, sizeof(template_message));
    for (int k = 0; k < 300; k++) {
        send_all(stays, data_message, sizeof(data_message));
        if (k < 150)
            send_all(goes, data_message, sizeof(data_message));
        if (k == 150)
            assert_int_equal(sc_receiver_remove(f.receiver, &second, NULL), SC_OK);
    }
    assert_int_equal(receive(&f, 900), 900);
    struct sc_error err;
    const struct sc_socket_options options = {0};
    int again = -1;
    uint64_t deadline = sc_clock_mono_ms() + 5000;
    while (sc_socket_listen(&second, &options, &again, &err) != SC_OK && sc_clock_mono_ms() < deadline)
        usleep(10000);
    assert_true(again >= 0); /* the port is free */
    close(again);
    close(stays);
    close(goes);
    stop(&f);
}

static void a_tight_queue_makes_tcp_wait_and_loses_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_error err;
    f = (struct fixture){.queue = sc_queue_create(400000)};
    const struct sc_receiver_options options = {
        .intake = {.limits = sc_decoder_default_limits(), .window_s = 86400, .queue = f.queue}};
    f.receiver = sc_receiver_create(&options, &err);
    assert_int_equal(sc_receiver_start(f.receiver, &err), SC_OK);
    listen_at(&f, "tcp://127.0.0.1:0", &f.urls[1]);
    int fd = connect_to(&f.urls[1]);
    send_all(fd, template_message, sizeof(template_message));
    uint64_t rows = 0, got = 0;
    for (int round = 0; round < 20; round++) { /* nothing is taken from the queue for the first two seconds */
        for (int k = 0; k < 50; k++, rows += 2)
            send_all(fd, data_message, sizeof(data_message));
        usleep(100000);
    }
    got = receive(&f, rows);
    assert_int_equal(got, rows);
    close(fd);
    sc_receiver_stop(f.receiver);
    struct sc_intake_stats stats;
    sc_receiver_get_intake(f.receiver, &stats);
    assert_int_equal(stats.dropped_full, 0);
    stop(&f);
}

/* A queue that nobody empties is waited for by all receivers at the same time: sixteen need no longer than one. */
static void receivers_end_together(void **state)
{
    (void)state;
    enum { RECEIVERS = 16, PATIENCE_MS = 1000 };
    struct fixture f[RECEIVERS];
    struct sc_queue *queue = sc_queue_create(1000); /* too little for any batch */
    const struct sc_receiver_options options = {
        .intake = {
            .limits = sc_decoder_default_limits(), .window_s = 86400, .queue = queue, .age_ms = 600000}};
    uint64_t dropped = 0;
    for (int i = 0; i < RECEIVERS; i++) {
        struct sc_error err;
        f[i] = (struct fixture){.receiver = sc_receiver_create(&options, &err)};
        assert_int_equal(sc_receiver_start(f[i].receiver, &err), SC_OK);
        listen_at(&f[i], "udp://127.0.0.1:0", &f[i].urls[0]);
        int fd = connect_to(&f[i].urls[0]);
        send_all(fd, template_message, sizeof(template_message));
        send_all(fd, data_message, sizeof(data_message));
        close(fd);
    }
    uint64_t before = sc_clock_mono_ms();
    for (int i = 0; i < RECEIVERS; i++)
        sc_receiver_end(f[i].receiver, before + PATIENCE_MS);
    for (int i = 0; i < RECEIVERS; i++) {
        struct sc_intake_stats stats;
        sc_receiver_stop(f[i].receiver);
        sc_receiver_get_intake(f[i].receiver, &stats);
        dropped += stats.dropped_full;
    }
    uint64_t took = sc_clock_mono_ms() - before;
    assert_true(took >= PATIENCE_MS && took < RECEIVERS * PATIENCE_MS / 2);
    assert_int_equal(dropped, 2 * RECEIVERS); /* and counted */
    for (int i = 0; i < RECEIVERS; i++)
        sc_receiver_free(f[i].receiver);
    sc_queue_free(queue);
}

#define FILL_ROWS  (1 << 19)
#define FILL_LIMIT ((FILL_ROWS * 8 + 16384) / 3 * 4)

/* Three quarters of a queue of FILL_LIMIT, but for some kilobytes: it grants what is filled, and takes no batch. */
static void fill_queue(struct sc_queue *queue, struct sc_pool *pool)
{
    static const struct sc_column_key bytes = {.id = 1, .kind = SC_COLUMN_UINT};
    struct sc_parcel *parcel = sc_pool_take(pool);
    struct sc_column *numbers = sc_batch_begin(parcel->batch, bytes, NULL, 8, FILL_ROWS);
    for (uint32_t i = 0; i < FILL_ROWS; i++)
        sc_column_put_u64(numbers, UINT64_MAX - i);
    sc_batch_commit(parcel->batch, FILL_ROWS);
    assert_int_equal(sc_batch_finish(parcel->batch), SC_OK);
    assert_int_equal(sc_queue_push(queue, parcel, 0), SC_OK);
}

/* What waits in a UDP socket at the end is read and counted, though the first batch of it takes all the patience. */
static void what_has_no_room_at_the_end_is_counted(void **state)
{
    (void)state;
    enum { BATCH = 1000, DATAGRAMS = 5 * BATCH, PATIENCE_MS = 4000 }; /* longer than reading may take */
    struct fixture f;
    struct sc_error err;
    struct sc_intake_stats stats;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 0);
    f = (struct fixture){.queue = sc_queue_create(FILL_LIMIT)};
    alarm(60);
    fill_queue(f.queue, pool);
    const struct sc_receiver_options options = {.intake = {.limits = sc_decoder_default_limits(),
                                                           .window_s = 86400,
                                                           .queue = f.queue,
                                                           .rows = 2 * BATCH,
                                                           .age_ms = 600000,
                                                           .patience_ms = 1000}};
    f.receiver = sc_receiver_create(&options, &err);
    assert_int_equal(sc_receiver_start(f.receiver, &err), SC_OK);
    listen_at(&f, "udp://127.0.0.1:0", &f.urls[0]);
    int fd = connect_to(&f.urls[0]);
    send_all(fd, template_message, sizeof(template_message));
    for (int i = 0; i < DATAGRAMS; i++) /* the receiver waits with the first batch meanwhile */
        send_all(fd, data_message, sizeof(data_message));
    sc_receiver_end(f.receiver, sc_clock_mono_ms() + PATIENCE_MS);
    sc_receiver_stop(f.receiver);
    sc_receiver_get_intake(f.receiver, &stats);
    struct sc_listener_view udp = view_of(&f, SC_URL_UDP);
    assert_int_equal(udp.datagrams + udp.kernel_drops, 1 + DATAGRAMS);
    assert_int_equal(stats.dropped_full, 2 * (udp.datagrams - 1));
    alarm(0);
    close(fd);
    stop(&f);
    sc_pool_free(pool);
}

/* However many receivers there are, and nothing that was left out is forgotten. */
static void receivers_complain_together(void **state)
{
    (void)state;
    struct sc_complaints c;
    char out[SC_COMPLAINT_MAX];
    const struct sc_addr last = sc_addr_v4(63);
    sc_complaints_init(&c);
    assert_true(sc_complaint_due(&c, SC_COMPLAINT_MESSAGE, out));
    assert_string_equal(out, "");
    for (int i = 0; i < 63; i++)
        assert_false(sc_complaint_due(&c, SC_COMPLAINT_MESSAGE, out));
    assert_true(sc_complaint_due(&c, SC_COMPLAINT_REFUSAL, out)); /* another sort */
    atomic_store(&c.sorts[SC_COMPLAINT_MESSAGE].next_ms, 0);      /* a minute later */
    assert_true(sc_complaint_due(&c, SC_COMPLAINT_MESSAGE, out));
    assert_string_equal(out, " (63 like it before)");
    for (uint64_t i = 0, told = 0; i <= 64; i++) {
        struct sc_overrun o = {.left_out = i < 64, .pushed_out = i < 64, .exporter = sc_addr_v4((uint32_t)i)};
        bool due = sc_complaints_overrun(&c, &o, i < 64 ? 1000 + i : 70000);
        told += due ? o.left_out : 0;
        assert_int_equal(due, i == 0 || i == 64);
        assert_int_equal(told, i < 64 ? 1 : 64);
        if (i == 64)
            assert_true(o.pushed_out == 63 && sc_addr_equal(&o.exporter, &last));
    }
}

/* Connections with more in their sockets than one turn reads, among others that have nothing. */
static void all_connections_are_read_at_the_end(void **state)
{
    (void)state;
    enum { CONNECTIONS = 50, MESSAGES = 4000 };
    struct fixture f;
    int fds[CONNECTIONS];
    start(&f);
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_to(&f.urls[1]);
        send_all(fds[i], template_message, sizeof(template_message));
        for (int k = 0; k < (i % 10 == 0 ? MESSAGES : 0); k++)
            send_all(fds[i], data_message, sizeof(data_message));
    }
    sc_receiver_stop(f.receiver);
    assert_int_equal(receive(&f, 5 * 2 * MESSAGES), 5 * 2 * MESSAGES);
    assert_int_equal(view_of(&f, SC_URL_TCP).connections, 0);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    stop(&f);
}

/* Also those that the tight queue had wait: they are read, and what finds no room is counted. */
static void waiting_connections_are_read_at_the_end(void **state)
{
    (void)state;
    enum { CONNECTIONS = 20, MESSAGES = 500 };
    struct fixture f = {.queue = sc_queue_create(FILL_LIMIT)};
    struct sc_error err;
    struct sc_intake_stats stats;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 0);
    int fds[CONNECTIONS];
    fill_queue(f.queue, pool);
    const struct sc_receiver_options options = {
        .intake = {.limits = sc_decoder_default_limits(), .window_s = 86400, .queue = f.queue}};
    f.receiver = sc_receiver_create(&options, &err);
    assert_int_equal(sc_receiver_start(f.receiver, &err), SC_OK);
    listen_at(&f, "tcp://127.0.0.1:0", &f.urls[1]);
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_to(&f.urls[1]);
        send_all(fds[i], template_message, sizeof(template_message));
        for (int k = 0; k < MESSAGES; k++)
            send_all(fds[i], data_message, sizeof(data_message));
    }
    sc_receiver_end(f.receiver, sc_clock_mono_ms() + 300);
    sc_receiver_stop(f.receiver);
    sc_receiver_get_intake(f.receiver, &stats);
    assert_int_equal(stats.flows, 2 * CONNECTIONS * MESSAGES);
    assert_int_equal(stats.dropped_full, 2 * CONNECTIONS * MESSAGES);
    assert_int_equal(view_of(&f, SC_URL_TCP).connections, 0);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    stop(&f);
    sc_pool_free(pool);
}

/* ---- places ---- */

/* Time-outs of `message_ms` and `idle_ms`; 0: the usual ones. */
static void start_with(struct fixture *f, struct sc_places_limits limits, uint64_t message_ms,
                       uint64_t idle_ms)
{
    struct sc_error err;
    *f = (struct fixture){.queue = sc_queue_create(1 << 30), .places = sc_places_create(limits)};
    const struct sc_receiver_options options = {
        .intake = {.limits = sc_decoder_default_limits(), .window_s = 300, .queue = f->queue},
        .places = f->places,
        .message_ms = message_ms,
        .idle_ms = idle_ms};
    f->receiver = sc_receiver_create(&options, &err);
    assert_non_null(f->receiver);
    assert_int_equal(sc_receiver_start(f->receiver, &err), SC_OK);
    listen_at(f, "tcp://127.0.0.1:0", &f->urls[1]);
}

static int connect_from(const struct fixture *f, const char *from)
{
    struct sockaddr_in me = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    to.sin_port = htons(f->urls[1].port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(inet_pton(AF_INET, from, &me.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&me, sizeof(me)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static uint32_t places_taken(const struct fixture *f)
{
    struct sc_places_view view;
    sc_places_get(f->places, &view);
    return view.taken;
}

static void wait_for_places(const struct fixture *f, uint32_t taken)
{
    uint64_t deadline = sc_clock_mono_ms() + 10000;
    while (places_taken(f) != taken && sc_clock_mono_ms() < deadline)
        usleep(1000);
    assert_int_equal(places_taken(f), taken);
}

/* The other side has closed it. */
static void assert_closed(int fd)
{
    char byte;
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void assert_useful(struct fixture *f, int fd)
{
    send_all(fd, data_message, sizeof(data_message));
    assert_int_equal(receive(f, 2), 2);
}

static int connect_useful(struct fixture *f, const char *from)
{
    int fd = connect_from(f, from);
    send_all(fd, template_message, sizeof(template_message));
    assert_useful(f, fd);
    return fd;
}

/* Those who never sent anything go for those who do; who was of use stays. */
static void a_newcomer_displaces_who_never_was_of_use(void **state)
{
    (void)state;
    enum { MOST = 8 };
    struct fixture f;
    int idle[100], useful[MOST];
    start_with(&f, (struct sc_places_limits){MOST, MOST}, 0, 0);
    useful[0] = connect_useful(&f, "127.0.0.2");
    for (unsigned i = 0; i < 100; i++)
        idle[i] = connect_from(&f, "127.0.0.3");
    for (unsigned i = 0; i < 100 - (MOST - 1); i++)
        assert_closed(idle[i]);
    for (unsigned i = 1; i < MOST; i++)
        useful[i] = connect_useful(&f, "127.0.0.4");
    for (unsigned i = 100 - (MOST - 1); i < 100; i++)
        assert_closed(idle[i]);
    assert_closed(connect_from(&f, "127.0.0.5")); /* all are of use: it is refused */
    for (unsigned i = 0; i < MOST; i++)
        assert_useful(&f, useful[i]);
    for (unsigned i = 0; i < MOST; i++)
        close(useful[i]);
    wait_for_places(&f, 0);
    sc_receiver_stop(f.receiver);
    assert_int_equal(view_of(&f, SC_URL_TCP).displaced, 100);
    assert_int_equal(view_of(&f, SC_URL_TCP).refused, 1);
    stop(&f);
}

static void one_exporter_gets_his_share_and_no_more(void **state)
{
    (void)state;
    struct fixture f;
    int mine[4];
    start_with(&f, (struct sc_places_limits){20, 4}, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        mine[i] = connect_useful(&f, "127.0.0.2");
    for (unsigned i = 0; i < 50; i++)
        assert_closed(connect_from(&f, "127.0.0.2"));
    int other = connect_useful(&f, "127.0.0.3");
    for (unsigned i = 0; i < 4; i++)
        assert_useful(&f, mine[i]);
    close(mine[0]);
    wait_for_places(&f, 4);
    mine[0] = connect_useful(&f, "127.0.0.2");
    for (unsigned i = 0; i < 4; i++)
        close(mine[i]);
    close(other);
    wait_for_places(&f, 0);
    sc_receiver_stop(f.receiver);
    assert_int_equal(view_of(&f, SC_URL_TCP).refused, 50);
    stop(&f);
}

/* A byte now and then is no message; who has sent one may be quiet for as long as he likes. */
static void who_owes_a_message_for_too_long_is_closed(void **state)
{
    (void)state;
    struct fixture f;
    char byte;
    static const uint8_t begun[] = {0, 10, 0xff, 0xff};
    start_with(&f, (struct sc_places_limits){100, 100}, 1000, 0);
    int quiet = connect_useful(&f, "127.0.0.2"), slow = connect_useful(&f, "127.0.0.2");
    int silent = connect_from(&f, "127.0.0.2"), drip = connect_from(&f, "127.0.0.2");
    send_all(drip, begun, sizeof(begun));
    unsigned sent = 0;
    while (sent < 600 && send(drip, begun, 1, MSG_NOSIGNAL) == 1) {
        usleep(50000);
        sent++;
    }
    assert_true(sent < 600);
    assert_closed(silent);
    close(drip);
    send_all(slow, data_message, sizeof(data_message) - 1);
    assert_int_equal(recv(slow, &byte, 1, 0) <= 0, true);
    close(slow);
    assert_useful(&f, quiet);
    close(quiet);
    sc_receiver_stop(f.receiver);
    assert_int_equal(view_of(&f, SC_URL_TCP).timed_out, 3);
    stop(&f);
}

static void who_is_idle_for_long_goes_for_a_newcomer(void **state)
{
    (void)state;
    struct fixture f;
    start_with(&f, (struct sc_places_limits){2, 2}, 0, 300);
    int quiet = connect_useful(&f, "127.0.0.2"), busy = connect_useful(&f, "127.0.0.2");
    for (unsigned i = 0; i < 10; i++) {
        usleep(50000);
        assert_useful(&f, busy);
    }
    int newcomer = connect_useful(&f, "127.0.0.3");
    assert_closed(quiet);
    assert_useful(&f, busy);
    close(busy);
    close(newcomer);
    sc_receiver_stop(f.receiver);
    assert_int_equal(view_of(&f, SC_URL_TCP).displaced, 1);
    stop(&f);
}

static void places_come_out_of_what_is_left(void **state)
{
    (void)state;
    static const struct sc_places_limits any = {0}, few = {100, 0}, wide = {0, 3000};
    struct sc_places_limits l = sc_places_limits(1024, 256, any);
    assert_true(l.most == 768 && l.each == 96);
    l = sc_places_limits(1 << 20, 256, any);
    assert_true(l.most == SC_PLACES_MOST && l.each == SC_PLACES_MOST / 8);
    l = sc_places_limits(1024, 256, few);
    assert_true(l.most == 100 && l.each == 16);
    l = sc_places_limits(1 << 20, 256, wide);
    assert_true(l.most == SC_PLACES_MOST && l.each == 3000);
    l = sc_places_limits(100, 256, wide);
    assert_true(l.most == 8 && l.each == 8);
}

/* Addresses of a /64 are one exporter; every IPv4 address is one. */
static void the_exporters_of_places(void **state)
{
    (void)state;
    struct sc_places *p = sc_places_create((struct sc_places_limits){1000, 3});
    struct sc_places_view view;
    struct sc_addr a;
    for (uint32_t i = 0; i < 4; i++) {
        char text[64];
        snprintf(text, sizeof(text), "2001:db8:0:1:%x::1", i + 1);
        assert_true(sc_addr_parse(text, strlen(text), &a));
        assert_int_equal(sc_places_take(p, &a), i < 3 ? SC_PLACE_TAKEN : SC_PLACE_OVER_SHARE);
    }
    sc_places_give_back(p, &a);
    assert_int_equal(sc_places_take(p, &a), SC_PLACE_TAKEN);
    for (uint32_t i = 0; i < 997; i++) {
        a = sc_addr_v4(i * 2654435761u);
        assert_int_equal(sc_places_take(p, &a), SC_PLACE_TAKEN);
    }
    assert_int_equal(sc_places_take(p, &a), SC_PLACE_NONE_LEFT);
    for (uint32_t i = 0; i < 997; i++) {
        a = sc_addr_v4(i * 2654435761u);
        sc_places_give_back(p, &a);
        sc_places_give_back(p, &a); /* nothing is taken any more */
    }
    sc_places_get(p, &view);
    assert_int_equal(view.taken, 3);
    sc_places_free(p);
}

/* Appends what comes until there is a record, for ten seconds. */
static void await_changes(struct fixture *f, struct sc_buf *out)
{
    uint64_t deadline = sc_clock_mono_ms() + 10000;
    while (out->len == 0 && sc_clock_mono_ms() < deadline) {
        sc_receiver_take_changes(f->receiver, out);
        usleep(10000);
    }
}

static void a_new_template_is_told_at_once(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_buf changes = {0}, last = {0};
    start(&f);
    int fd = connect_to(&f.urls[0]);
    send_all(fd, template_message, sizeof(template_message));
    await_changes(&f, &changes);
    assert_true(changes.len > 100);
    send_all(fd, template_message, sizeof(template_message)); /* as before, but later */
    sc_receiver_stop(f.receiver);
    sc_receiver_take_changes(f.receiver, &last);
    assert_int_equal(last.len, changes.len); /* at the end repetitions count */
    sc_buf_free(&changes);
    sc_buf_free(&last);
    close(fd);
    stop(&f);
}

UNIT(test_receiver)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newcomer_displaces_who_never_was_of_use),
        cmocka_unit_test(one_exporter_gets_his_share_and_no_more),
        cmocka_unit_test(who_owes_a_message_for_too_long_is_closed),
        cmocka_unit_test(who_is_idle_for_long_goes_for_a_newcomer),
        cmocka_unit_test(places_come_out_of_what_is_left),
        cmocka_unit_test(the_exporters_of_places),
        cmocka_unit_test(both_transports_arrive),
        cmocka_unit_test(what_lies_in_the_sockets_at_the_end_is_taken),
        cmocka_unit_test(a_stream_that_makes_no_sense_is_closed),
        cmocka_unit_test(a_listener_is_removed_and_the_other_goes_on),
        cmocka_unit_test(a_tight_queue_makes_tcp_wait_and_loses_nothing),
        cmocka_unit_test(receivers_end_together),
        cmocka_unit_test(what_has_no_room_at_the_end_is_counted),
        cmocka_unit_test(receivers_complain_together),
        cmocka_unit_test(all_connections_are_read_at_the_end),
        cmocka_unit_test(waiting_connections_are_read_at_the_end),
        cmocka_unit_test(a_new_template_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
