// SPDX-License-Identifier: BSD-3-Clause
/* Forwarding: the shared queue, what is said in messages, connections that break, stall or never come, and who gets what. */
#include "forward/forward.h"

#include "base/clock.h"
#include "collect/queue.h"
#include "decoder_kit.h"
#include "forward/encoder.h"
#include "net/framer.h"
#include "net/socket.h"

#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define ROWS        3000u /* of a parcel: several pieces of encoding */
#define PATIENCE_MS 20000u

static const struct sc_log silent = {0};

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* ---- parcels ---- */

static void put_u64(struct sc_batch *b, struct sc_column_key key, unsigned width, uint32_t rows,
                    uint64_t value)
{
    struct sc_column *c = sc_batch_begin(b, key, NULL, width, rows);
    assert_non_null(c);
    for (uint32_t i = 0; i < rows; i++)
        sc_column_put_u64(c, value);
}

/* Flows of `octets` bytes each from exporter 192.0.2.9, domain 7, received at KIT_RECEIVED. */
static struct sc_parcel *make_parcel(struct sc_pool *pool, uint32_t rows, uint64_t octets)
{
    struct sc_parcel *parcel = sc_pool_take(pool);
    assert_non_null(parcel);
    struct sc_batch *b = parcel->batch;
    const struct sc_addr exporter = sc_addr_v4(0xc0000209);
    put_u64(b, (struct sc_column_key){.id = 1, .kind = SC_COLUMN_UINT}, 8, rows, octets);
    put_u64(b, (struct sc_column_key){SC_PEN_COLLECTOR, SC_IE_OBSERVATION_DOMAIN, 0, SC_COLUMN_UINT}, 4, rows,
            7);
    put_u64(b, (struct sc_column_key){SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, 0, SC_COLUMN_UINT}, 8, rows,
            KIT_RECEIVED);
    struct sc_column *c = sc_batch_begin(
        b, (struct sc_column_key){SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, 0, SC_COLUMN_ADDRESS}, NULL, 16,
        rows);
    assert_non_null(c);
    for (uint32_t i = 0; i < rows; i++)
        sc_column_put_addr(c, &exporter);
    sc_batch_commit(b, rows);
    assert_int_equal(sc_batch_finish(b), SC_OK);
    return parcel;
}

static size_t memory_of_parcel(struct sc_pool *pool)
{
    struct sc_parcel *parcel = make_parcel(pool, ROWS, 1);
    size_t memory = sc_batch_memory(parcel->batch);
    sc_parcel_release(parcel);
    return memory;
}

/* Offers and gives up its own hold at once, as a store would later. */
static void offer(struct sc_forward_peer *peer, struct sc_pool *pool, uint64_t octets)
{
    struct sc_parcel *parcel = make_parcel(pool, ROWS, octets);
    sc_forward_peer_offer(peer, parcel, sc_batch_memory(parcel->batch));
    sc_parcel_release(parcel);
}

/* ---- the queue ---- */

static void a_parcel_goes_home_when_nobody_holds_it(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_forward_queue *a = sc_forward_queue_create(1 << 20), *b = sc_forward_queue_create(1 << 20);
    struct sc_parcel *parcel = make_parcel(pool, 10, 5);
    struct sc_forward_entry entry;
    sc_forward_queue_push(a, parcel, 100);
    sc_forward_queue_push(b, parcel, 100);
    sc_parcel_release(parcel);
    assert_true(sc_forward_queue_pop(a, &entry) && entry.parcel == parcel);
    sc_forward_queue_done(a, &entry);
    assert_int_equal(parcel->batch->rows, 10);
    assert_int_equal(sc_column_u64(parcel->batch->columns[0], 9), 5);
    struct sc_parcel *other = sc_pool_take(pool);
    assert_ptr_not_equal(other, parcel);
    sc_parcel_release(other);
    assert_true(sc_forward_queue_pop(b, &entry));
    sc_forward_queue_done(b, &entry);
    assert_ptr_equal(sc_pool_take(pool), parcel); /* the last one home */
    assert_int_equal(parcel->batch->rows, 0);
    sc_parcel_release(parcel);
    sc_forward_queue_free(a);
    sc_forward_queue_free(b);
    sc_pool_free(pool);
}

static void what_does_not_fit_is_counted_and_the_rest_keeps_its_order(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_forward_queue *q = sc_forward_queue_create(2000);
    struct sc_forward_queue_stats stats;
    struct sc_forward_entry entry;
    for (uint32_t i = 0; i < 40; i++) { /* 50 bytes each: the ring grows; the last of 100 do not fit */
        struct sc_parcel *parcel = make_parcel(pool, 10, i);
        sc_forward_queue_push(q, parcel, i < 30 ? 50 : 100);
        sc_parcel_release(parcel);
    }
    sc_forward_queue_get_stats(q, &stats);
    assert_int_equal(stats.offered[SC_RECORDS_FLOWS], 400);
    assert_int_equal(stats.waiting[SC_RECORDS_FLOWS], 350);
    assert_int_equal(stats.dropped[SC_RECORDS_FLOWS], 50);
    assert_int_equal(stats.bytes, 2000);
    for (uint64_t i = 0; i < 35; i++) {
        assert_true(sc_forward_queue_pop(q, &entry));
        assert_int_equal(sc_column_u64(entry.parcel->batch->columns[0], 0), i);
        sc_forward_queue_done(q, &entry);
    }
    assert_false(sc_forward_queue_pop(q, &entry));
    struct sc_parcel *large = make_parcel(pool, 10, 0);
    sc_forward_queue_push(q, large, 5000); /* alone it passes */
    assert_false(sc_forward_queue_has_room(q, 1));
    sc_parcel_release(large);
    sc_forward_queue_close(q);
    sc_forward_queue_free(q); /* gives it back */
    sc_pool_free(pool);
}

/* ---- messages ---- */

/* Decodes; every message must be whole and know its template. @return its records. */
static uint32_t decode(struct kit *k, const uint8_t *bytes, size_t length)
{
    struct sc_decode_outcome outcome = {0};
    assert_int_equal(sc_decoder_message(k->decoder, &k->source, bytes, length, &k->sink, &outcome, &k->err),
                     SC_OK);
    assert_int_equal(outcome.no_template_sets, 0);
    assert_int_equal(outcome.lost, 0);
    return outcome.flows + outcome.options;
}

static void messages_know_how_many_records_they_hold(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_parcel *parcel = make_parcel(pool, ROWS, 1);
    for (int stream = 0; stream < 2; stream++) {
        struct kit k;
        struct sc_error err;
        const struct sc_forward_message *messages;
        uint32_t count;
        struct sc_forward_encoder *e = sc_forward_encoder_create(SC_EXPORT_IPFIX, stream == 1, &err);
        kit_open(&k);
        assert_int_equal(sc_forward_encode(e, parcel->batch, 0, ROWS, KIT_RECEIVED, &messages, &count, &err),
                         SC_OK);
        assert_in_range(count, stream == 1 ? 1 : 50, stream == 1 ? 3 : ROWS);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(stream == 1 || messages[i].length <= SC_FORWARD_DATAGRAM);
            assert_int_equal(decode(&k, messages[i].bytes, messages[i].length), messages[i].records);
        }
        assert_int_equal(k.sink.flows->rows, ROWS);
        sc_forward_encoder_free(e);
        kit_close(&k);
    }
    sc_parcel_release(parcel);
    sc_pool_free(pool);
}

/* Three options records: a name of interface 4, a sampling interval, and a name that came by another collector
 * and says its own origin. */
static void fill_options(struct sc_batch *b)
{
    const struct sc_addr exporter = sc_addr_v4(0xc0000209), original = sc_addr_v4(0xc633640a);
    struct sc_column *c;
    put_u64(b, (struct sc_column_key){SC_PEN_COLLECTOR, SC_IE_OBSERVATION_DOMAIN, 0, SC_COLUMN_UINT}, 4, 3,
            7);
    c = sc_batch_begin(b,
                       (struct sc_column_key){SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, 0, SC_COLUMN_ADDRESS},
                       NULL, 16, 3);
    for (int i = 0; i < 3; i++)
        sc_column_put_addr(c, &exporter);
    put_u64(b, (struct sc_column_key){.id = 10, .kind = SC_COLUMN_UINT}, 4, 3, 4);
    put_u64(b, (struct sc_column_key){SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, 0, SC_COLUMN_UINT}, 4, 3, 100);
    c = sc_batch_begin(b, (struct sc_column_key){.id = 34, .kind = SC_COLUMN_UINT}, NULL, 4, 3);
    assert_int_equal(sc_column_put_null(c), SC_OK);
    sc_column_put_u64(c, 100);
    assert_int_equal(sc_column_put_null(c), SC_OK);
    c = sc_batch_begin(b, (struct sc_column_key){.id = 403, .kind = SC_COLUMN_ADDRESS}, NULL, 16, 3);
    assert_int_equal(sc_column_put_null(c), SC_OK);
    assert_int_equal(sc_column_put_null(c), SC_OK);
    sc_column_put_addr(c, &original);
    c = sc_batch_begin(b, (struct sc_column_key){.id = 82, .kind = SC_COLUMN_BYTES}, NULL, 1, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sc_column_put_bytes(c, "eth0", 4), SC_OK);
    sc_batch_commit(b, 3);
    assert_int_equal(sc_batch_finish(b), SC_OK);
}

static void options_say_whose_they_are_and_no_sampling_is_repeated(void **state)
{
    (void)state;
    const struct sc_column_key address = {.id = 403, .kind = SC_COLUMN_ADDRESS};
    const struct sc_column_key domain = {.id = 405, .kind = SC_COLUMN_UINT};
    const struct sc_column_key name = {.id = 82, .kind = SC_COLUMN_BYTES};
    const struct sc_column_key interval = {.id = 34, .kind = SC_COLUMN_UINT};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_OPTIONS);
    struct kit k;
    struct sc_error err;
    const struct sc_forward_message *messages;
    uint32_t count;
    fill_options(batch);
    kit_open(&k);
    struct sc_forward_encoder *e = sc_forward_encoder_create(SC_EXPORT_IPFIX, true, &err);
    assert_int_equal(sc_forward_encode(e, batch, 0, 3, KIT_RECEIVED, &messages, &count, &err), SC_OK);
    assert_int_equal(count, 1);
    assert_int_equal(messages[0].records, 2);
    decode(&k, messages[0].bytes, messages[0].length);
    struct sc_batch *got = k.sink.options;
    assert_int_equal(got->rows, 2);
    assert_int_equal(sc_batch_finish(got), SC_OK);
    assert_int_equal(sc_addr_get_v4(sc_column_addr(sc_batch_find(got, address), 0)), 0xc0000209);
    assert_int_equal(sc_addr_get_v4(sc_column_addr(sc_batch_find(got, address), 1)), 0xc633640a);
    assert_int_equal(sc_column_u64(sc_batch_find(got, domain), 0), 7);
    assert_non_null(sc_batch_find(got, name));
    assert_null(sc_batch_find(got, interval));
    sc_forward_encoder_free(e);
    e = sc_forward_encoder_create(SC_EXPORT_V9, false, &err);
    assert_int_equal(sc_forward_encode(e, batch, 0, 3, KIT_RECEIVED, &messages, &count, &err), SC_OK);
    assert_int_equal(count, 0); /* v9 cannot say whose they are */
    sc_forward_encoder_free(e);
    kit_close(&k);
    sc_batch_free(batch);
}

/* ---- a destination over TCP ---- */

struct server {
    struct sc_url url;
    int listening, fd;
    struct kit kit;
    struct sc_framer framer;
};

static void server_open(struct server *s)
{
    const struct sc_socket_options how = {0};
    *s = (struct server){.fd = -1};
    assert_int_equal(sc_url_parse("tcp://127.0.0.1:0", &s->url, NULL), SC_OK);
    assert_int_equal(sc_socket_listen(&s->url, &how, &s->listening, NULL), SC_OK);
    assert_int_equal(sc_socket_local(s->listening, &s->url, NULL), SC_OK);
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
}

/* A connection is a transport session of its own: a decoder that knows nothing. */
static void server_accept(struct server *s)
{
    struct sc_addr from;
    uint16_t port;
    wait_readable(s->listening);
    s->fd = sc_socket_accept(s->listening, &from, &port);
    assert_true(s->fd >= 0);
    kit_open(&s->kit);
    s->kit.source.transport = SC_TRANSPORT_TCP;
}

static void server_hang_up(struct server *s)
{
    close(s->fd);
    s->fd = -1;
    kit_close(&s->kit);
    sc_framer_free(&s->framer);
    s->framer = (struct sc_framer){0};
}

/* Reads until so many flows are there; 0: to the end of the connection. */
static void server_read(struct server *s, uint32_t flows)
{
    for (;;) {
        const uint8_t *message;
        size_t room, length;
        uint8_t *into = sc_framer_room(&s->framer, &room);
        assert_non_null(into);
        wait_readable(s->fd);
        ssize_t n = read(s->fd, into, room);
        assert_true(n >= 0);
        sc_framer_filled(&s->framer, (size_t)n);
        while (sc_framer_next(&s->framer, &message, &length, NULL) == SC_OK)
            decode(&s->kit, message, length);
        if (n == 0 || (flows != 0 && s->kit.sink.flows->rows >= flows))
            return;
    }
}

static struct sc_forward_peer *start_peer(const struct sc_url *to, enum sc_export_protocol protocol,
                                          uint64_t limit)
{
    const struct sc_forward_peer_options options = {
        .to = *to, .protocol = protocol, .limit_bytes = limit, .log = silent};
    struct sc_forward_peer *peer = NULL;
    assert_int_equal(sc_forward_peer_start(&options, &peer, NULL), SC_OK);
    return peer;
}

static struct sc_forward_view view_of(struct sc_forward_peer *peer)
{
    struct sc_forward_view view;
    sc_forward_peer_get(peer, &view);
    return view;
}

static void wait_for_end(struct sc_forward_peer *peer)
{
    uint64_t end = sc_clock_mono_ms() + PATIENCE_MS;
    while (!sc_forward_peer_is_done(peer)) {
        assert_true(sc_clock_mono_ms() < end);
        nap();
    }
}

static void wait_until_sent(struct sc_forward_peer *peer, uint64_t flows)
{
    uint64_t end = sc_clock_mono_ms() + PATIENCE_MS;
    while (view_of(peer).flows.sent < flows || view_of(peer).flows.waiting != 0) {
        assert_true(sc_clock_mono_ms() < end);
        nap();
    }
}

/* Every flow is in one place. */
static void check_account(const struct sc_forward_view *v, uint64_t offered)
{
    assert_int_equal(v->flows.offered, offered);
    assert_int_equal(v->flows.sent + v->flows.dropped + v->flows.skipped + v->flows.waiting, offered);
}

static void everything_arrives_over_tcp_with_its_origin(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct server s;
    server_open(&s);
    struct sc_forward_peer *peer = start_peer(&s.url, SC_EXPORT_IPFIX, 1 << 24);
    server_accept(&s);
    for (uint64_t i = 1; i <= 5; i++)
        offer(peer, pool, i);
    sc_forward_peer_close(peer, PATIENCE_MS);
    server_read(&s, 0);
    const struct sc_batch *got = s.kit.sink.flows;
    assert_int_equal(sc_batch_finish(s.kit.sink.flows), SC_OK);
    assert_int_equal(got->rows, 5 * ROWS);
    const struct sc_column *octets =
        sc_batch_find(got, (struct sc_column_key){.id = 1, .kind = SC_COLUMN_UINT});
    const struct sc_column *exporter =
        sc_batch_find(got, (struct sc_column_key){.id = 403, .kind = SC_COLUMN_ADDRESS});
    const struct sc_column *domain =
        sc_batch_find(got, (struct sc_column_key){.id = 405, .kind = SC_COLUMN_UINT});
    const struct sc_column *received =
        sc_batch_find(got, (struct sc_column_key){.id = 258, .kind = SC_COLUMN_UINT});
    for (uint32_t row = 0; row < got->rows; row++) {
        assert_int_equal(sc_column_u64(octets, row), row / ROWS + 1);
        assert_int_equal(sc_addr_get_v4(sc_column_addr(exporter, row)), 0xc0000209);
        assert_int_equal(sc_column_u64(domain, row), 7);
        assert_int_equal(sc_column_u64(received, row), KIT_RECEIVED);
    }
    wait_for_end(peer);
    struct sc_forward_view v = view_of(peer);
    check_account(&v, 5 * ROWS);
    assert_int_equal(v.flows.sent, 5 * ROWS);
    assert_int_equal(v.queue_bytes, 0);
    sc_forward_peer_free(peer);
    server_hang_up(&s);
    close(s.listening);
    sc_pool_free(pool);
}

static void a_broken_connection_is_made_again_and_begins_with_templates(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct server s;
    server_open(&s);
    struct sc_forward_peer *peer = start_peer(&s.url, SC_EXPORT_IPFIX, 1 << 24);
    for (uint32_t i = 1; i <= 3; i++) {
        server_accept(&s);
        offer(peer, pool, i);
        server_read(&s, ROWS);
        wait_until_sent(peer, i * ROWS);
        assert_int_equal(s.kit.sink.flows->rows, ROWS); /* a decoder that knew nothing took all */
        server_hang_up(&s);
    }
    server_accept(&s); /* by itself, before there is something to send */
    struct sc_forward_view v = view_of(peer);
    check_account(&v, 3 * ROWS);
    assert_int_equal(v.flows.sent, 3 * ROWS);
    assert_true(v.connects >= 3);
    assert_string_equal(v.error, "the connection was closed by the other side");
    sc_forward_peer_close(peer, PATIENCE_MS);
    sc_forward_peer_free(peer);
    server_hang_up(&s);
    close(s.listening);
    sc_pool_free(pool);
}

static void one_that_never_reads_drops_and_counts_exactly(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct server s;
    uint64_t offered = 0, end = sc_clock_mono_ms() + PATIENCE_MS;
    server_open(&s);
    struct sc_forward_peer *peer = start_peer(&s.url, SC_EXPORT_IPFIX, 3 * memory_of_parcel(pool));
    server_accept(&s);
    while (view_of(peer).flows.dropped == 0 || view_of(peer).state != SC_FORWARD_STALLED) {
        assert_true(sc_clock_mono_ms() < end);
        offer(peer, pool, 1);
        offered += ROWS;
        nap();
    }
    sc_forward_peer_close(peer, 100);
    wait_for_end(peer);
    struct sc_forward_view v = view_of(peer);
    check_account(&v, offered);
    assert_int_equal(v.flows.waiting, 0);
    assert_true(v.flows.sent > 0);
    sc_forward_peer_free(peer);
    server_read(&s, 0); /* what the system had taken whole is what can be read whole */
    assert_int_equal(s.kit.sink.flows->rows, v.flows.sent);
    server_hang_up(&s);
    close(s.listening);
    sc_pool_free(pool);
}

/* ---- destinations that are not there ---- */

static struct sc_url url_of(const char *text)
{
    struct sc_url url;
    assert_int_equal(sc_url_parse(text, &url, NULL), SC_OK);
    return url;
}

/* A port that nobody listens at. */
static struct sc_url nobody(const char *text)
{
    const struct sc_socket_options how = {0};
    struct sc_url url = url_of(text);
    int fd;
    assert_int_equal(sc_socket_listen(&url, &how, &fd, NULL), SC_OK);
    assert_int_equal(sc_socket_local(fd, &url, NULL), SC_OK);
    close(fd);
    return url;
}

static void one_that_is_not_there_costs_its_queue_and_no_time_to_end(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    const struct sc_url to = nobody("tcp://127.0.0.1:0");
    struct sc_forward_peer *peer = start_peer(&to, SC_EXPORT_IPFIX, 2 * memory_of_parcel(pool) + 100);
    for (int i = 0; i < 7; i++)
        offer(peer, pool, 1);
    struct sc_forward_view v = view_of(peer);
    assert_int_equal(v.flows.waiting, 2 * ROWS);
    assert_int_equal(v.flows.dropped, 5 * ROWS);
    assert_int_equal(v.state, SC_FORWARD_CONNECTING);
    sc_forward_peer_close(peer, 600000);
    wait_for_end(peer); /* it does not wait for ten minutes */
    v = view_of(peer);
    check_account(&v, 7 * ROWS);
    assert_int_equal(v.flows.dropped, 7 * ROWS);
    assert_non_null(strstr(v.error, "Connection refused"));
    sc_forward_peer_free(peer);
    sc_pool_free(pool);
}

static void a_name_that_is_unknown_is_said_and_asked_again(void **state)
{
    (void)state;
    const struct sc_url to = url_of("udp://no..such.host:4739");
    struct sc_forward_peer *peer = start_peer(&to, SC_EXPORT_IPFIX, 1 << 20);
    uint64_t end = sc_clock_mono_ms() + PATIENCE_MS;
    while (view_of(peer).error[0] == '\0') {
        assert_true(sc_clock_mono_ms() < end);
        nap();
    }
    assert_non_null(strstr(view_of(peer).error, "no..such.host"));
    assert_int_equal(view_of(peer).state, SC_FORWARD_CONNECTING);
    sc_forward_peer_close(peer, 1000);
    sc_forward_peer_free(peer);
}

static void datagrams_that_are_refused_are_told(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    const struct sc_url to = nobody("udp://127.0.0.1:0");
    struct sc_forward_peer *peer = start_peer(&to, SC_EXPORT_IPFIX, 1 << 24);
    offer(peer, pool, 1);
    sc_forward_peer_close(peer, PATIENCE_MS);
    wait_for_end(peer);
    struct sc_forward_view v = view_of(peer);
    check_account(&v, ROWS);
    assert_true(v.refused > 0);
    assert_non_null(strstr(v.error, "refused"));
    sc_forward_peer_free(peer);
    sc_pool_free(pool);
}

static void what_a_protocol_cannot_say_is_skipped_and_counted(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    const struct sc_url to = nobody("udp://127.0.0.1:0");
    struct sc_forward_peer *peer = start_peer(&to, SC_EXPORT_V5, 1 << 24);
    offer(peer, pool, 1); /* no addresses, no times */
    sc_forward_peer_close(peer, PATIENCE_MS);
    wait_for_end(peer);
    struct sc_forward_view v = view_of(peer);
    check_account(&v, ROWS);
    assert_int_equal(v.flows.skipped, ROWS);
    sc_forward_peer_free(peer);
    sc_pool_free(pool);
}

/* ---- several destinations ---- */

/* UDP sockets that take what comes; nobody reads. */
struct sinks {
    int fds[4];
    struct sc_config config;
};

static void sinks_open(struct sinks *s, uint32_t count)
{
    const struct sc_socket_options how = {0};
    *s = (struct sinks){.config = {.forward_count = count, .forward_memory = 1 << 26}};
    for (uint32_t i = 0; i < count; i++) {
        s->config.forward[i] = (struct sc_config_forward){.to = url_of("udp://127.0.0.1:0"), .protocol = 10};
        assert_int_equal(sc_socket_listen(&s->config.forward[i].to, &how, &s->fds[i], NULL), SC_OK);
        assert_int_equal(sc_socket_local(s->fds[i], &s->config.forward[i].to, NULL), SC_OK);
    }
}

static void sinks_close(struct sinks *s)
{
    for (uint32_t i = 0; i < 4; i++)
        if (s->fds[i] > 0)
            close(s->fds[i]);
}

static struct sc_forward *start_forward(const struct sc_config *config)
{
    struct sc_forward *f = sc_forward_create(&silent);
    assert_non_null(f);
    assert_int_equal(sc_forward_apply(f, config, NULL), SC_OK);
    return f;
}

static void offer_to_all(struct sc_forward *f, struct sc_pool *pool, uint32_t parcels)
{
    for (uint32_t i = 0; i < parcels; i++) {
        struct sc_parcel *parcel = make_parcel(pool, ROWS, i);
        sc_forward_offer(f, parcel);
        sc_parcel_release(parcel);
    }
}

/* Waits until destination i is up and has sent so many flows. */
static void wait_sent(struct sc_forward *f, uint32_t i, uint64_t flows)
{
    uint64_t end = sc_clock_mono_ms() + PATIENCE_MS;
    for (bool done = false; !done; nap()) {
        struct sc_forward_view *views;
        uint32_t count;
        assert_int_equal(sc_forward_get(f, &views, &count), SC_OK);
        assert_true(i < count && sc_clock_mono_ms() < end);
        assert_true(views[i].flows.sent <= flows);
        done = views[i].state == SC_FORWARD_UP && views[i].flows.sent == flows;
        free(views);
    }
}

static void stop_forward(struct sc_forward *f)
{
    sc_forward_close(f, PATIENCE_MS);
    sc_forward_free(f);
}

static void round_robin_shares_and_all_gets_all(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sinks s;
    sinks_open(&s, 3);
    s.config.forward[0].round_robin = s.config.forward[2].round_robin = true;
    struct sc_forward *f = start_forward(&s.config);
    for (uint32_t i = 0; i < 3; i++)
        wait_sent(f, i, 0);
    offer_to_all(f, pool, 10);
    wait_sent(f, 0, 5 * ROWS);
    wait_sent(f, 1, 10 * ROWS);
    wait_sent(f, 2, 5 * ROWS);
    stop_forward(f);
    sinks_close(&s);
    sc_pool_free(pool);
}

static void round_robin_passes_over_one_that_is_not_there(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sinks s;
    sinks_open(&s, 2);
    s.config.forward[0].round_robin = s.config.forward[1].round_robin = true;
    s.config.forward[0].to = nobody("tcp://127.0.0.1:0");
    struct sc_forward *f = start_forward(&s.config);
    wait_sent(f, 1, 0);
    offer_to_all(f, pool, 6);
    wait_sent(f, 1, 6 * ROWS);
    stop_forward(f);
    sinks_close(&s);
    sc_pool_free(pool);
}

static void a_new_configuration_keeps_what_stays(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sinks s;
    struct sc_forward_view *views;
    uint32_t count;
    sinks_open(&s, 3);
    s.config.forward_count = 2;
    struct sc_forward *f = start_forward(&s.config);
    offer_to_all(f, pool, 2);
    s.config.forward[0] = s.config.forward[1]; /* the first goes, the third comes */
    s.config.forward[1] = s.config.forward[2];
    s.config.forward_memory = 1 << 22;
    assert_int_equal(sc_forward_apply(f, &s.config, NULL), SC_OK);
    offer_to_all(f, pool, 1);
    wait_sent(f, 0, 3 * ROWS);
    wait_sent(f, 1, ROWS);
    assert_int_equal(sc_forward_get(f, &views, &count), SC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(views[0].connects, 1);
    assert_int_equal(views[0].queue_limit_bytes, 1 << 22);
    free(views);
    s.config.forward_count = 0;
    assert_int_equal(sc_forward_apply(f, &s.config, NULL), SC_OK);
    offer_to_all(f, pool, 1);
    stop_forward(f);
    sinks_close(&s);
    sc_pool_free(pool);
}

struct producer {
    pthread_t thread;
    struct sc_forward *forward;
    struct sc_queue *queue;
    uint32_t parcels;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_forward_view *views;
    uint32_t count;
    for (uint32_t i = 0; i < p->parcels; i++) {
        struct sc_parcel *parcel = make_parcel(pool, ROWS, i);
        sc_forward_offer(p->forward, parcel);
        assert_int_equal(sc_queue_push(p->queue, parcel, PATIENCE_MS), SC_OK);
    }
    assert_int_equal(sc_forward_get(p->forward, &views, &count), SC_OK);
    free(views);
    return pool; /* outlives the parcels */
}

/* Two receivers, one store, three destinations; one of them is taken away meanwhile. */
static void receivers_store_and_destinations_share_batches(void **state)
{
    (void)state;
    struct sinks s;
    struct producer producers[2];
    struct sc_pool *pools[2];
    struct sc_queue *queue = sc_queue_create(1 << 26);
    uint32_t stored = 0;
    sinks_open(&s, 3);
    struct sc_forward *f = start_forward(&s.config);
    for (int i = 0; i < 2; i++) {
        producers[i] = (struct producer){.forward = f, .queue = queue, .parcels = 30};
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    while (stored < 60 * ROWS) {
        struct sc_parcel *parcel = sc_queue_pop(queue, PATIENCE_MS);
        assert_non_null(parcel);
        stored += parcel->batch->rows;
        parcel->batch->span_count = 0; /* the store's own */
        sc_queue_done(queue, parcel);
        if (stored == 30 * ROWS) {
            s.config.forward_count = 2;
            assert_int_equal(sc_forward_apply(f, &s.config, NULL), SC_OK);
        }
    }
    for (int i = 0; i < 2; i++)
        pthread_join(producers[i].thread, (void **)&pools[i]);
    wait_sent(f, 0, 60 * ROWS);
    wait_sent(f, 1, 60 * ROWS);
    stop_forward(f);
    sc_queue_free(queue);
    for (int i = 0; i < 2; i++)
        sc_pool_free(pools[i]);
    sinks_close(&s);
}

static void a_listener_of_its_own_is_no_destination(void **state)
{
    (void)state;
    static const struct {
        const char *listener, *to;
        bool loop;
    } cases[] = {
        {"udp://127.0.0.1:4739", "udp://127.0.0.1:4739", true},
        {"udp://[::]:4739", "udp://127.0.0.1:4739", true},
        {"udp://[::]:4739", "udp://localhost:4739", true},
        {"udp://0.0.0.0:4739", "udp://127.0.0.7:4739", true},
        {"udp://127.0.0.1:4739", "tcp://127.0.0.1:4739", false},
        {"udp://127.0.0.1:4739", "udp://127.0.0.1:2055", false},
        {"udp://127.0.0.1:4739", "udp://127.0.0.2:4739", false},
        {"udp://[::]:4739", "udp://192.0.2.1:4739", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_error err = {.message = ""};
        const struct sc_config config = {.listeners = {url_of(cases[i].listener)},
                                         .listener_count = 1,
                                         .forward = {{.to = url_of(cases[i].to), .protocol = 10}},
                                         .forward_count = 1};
        assert_int_equal(sc_forward_check(&config, &err), cases[i].loop ? SC_USAGE : SC_OK);
        assert_true(!cases[i].loop || strstr(err.message, cases[i].to) != NULL);
    }
}

UNIT(test_forward)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parcel_goes_home_when_nobody_holds_it),
        cmocka_unit_test(what_does_not_fit_is_counted_and_the_rest_keeps_its_order),
        cmocka_unit_test(messages_know_how_many_records_they_hold),
        cmocka_unit_test(options_say_whose_they_are_and_no_sampling_is_repeated),
        cmocka_unit_test(everything_arrives_over_tcp_with_its_origin),
        cmocka_unit_test(a_broken_connection_is_made_again_and_begins_with_templates),
        cmocka_unit_test(one_that_never_reads_drops_and_counts_exactly),
        cmocka_unit_test(one_that_is_not_there_costs_its_queue_and_no_time_to_end),
        cmocka_unit_test(a_name_that_is_unknown_is_said_and_asked_again),
        cmocka_unit_test(datagrams_that_are_refused_are_told),
        cmocka_unit_test(what_a_protocol_cannot_say_is_skipped_and_counted),
        cmocka_unit_test(round_robin_shares_and_all_gets_all),
        cmocka_unit_test(round_robin_passes_over_one_that_is_not_there),
        cmocka_unit_test(a_new_configuration_keeps_what_stays),
        cmocka_unit_test(receivers_store_and_destinations_share_batches),
        cmocka_unit_test(a_listener_of_its_own_is_no_destination),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
