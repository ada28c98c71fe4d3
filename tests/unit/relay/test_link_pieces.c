// SPDX-License-Identifier: BSD-3-Clause
/*
 * The link as sockets give it. Random streams, whole and broken, are read message by message, from a buffer, from a buffer that is
 * filled in pieces, from a socket into their place, and over TLS: what is told, and how it ends, is the same. And what is sent by
 * reference is held until it is written or its connection is gone.
 */
#include "link_kit.h"

#include "net/wake.h"
#include "relay/link_stream.h"
#include "tls_kit.h"

#include <event2/buffer.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdint.h>

#include "unit.h"

enum { MESSAGE_ROOM = 65535, PART_ID = 258, TURN = 1 << 20, MOST_READ = 65535 + 2048 };

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t below(uint64_t *random, uint32_t bound)
{
    return (uint32_t)(next_random(random) % bound);
}

/* ---- what a reader was told, as text ---- */

struct heard {
    struct sc_link_reader reader;
    struct sc_error err;
    struct sc_buf told;
    uint32_t count, ends_at; /* the callback of this number ends it */
    enum sc_status status;   /* SC_OK: the stream was too short to end otherwise */
};

static enum sc_status next_told(struct heard *h)
{
    return ++h->count == h->ends_at ? SC_CANCELLED : SC_OK;
}

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct heard *h = arg;
    sc_buf_printf(&h->told, "hello %s %llu\n", hello->name, (unsigned long long)hello->cluster_version);
    return next_told(h);
}

/* Taken out of the buffer, or left in it when it is small. */
static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes)
{
    struct heard *h = arg;
    assert_int_equal(bytes->len, head->size);
    sc_buf_printf(&h->told, "batch %llu of %u: %016llx\n", (unsigned long long)head->id.sequence, head->size,
                  (unsigned long long)sc_link_hash(bytes->data, head->size));
    if (head->id.sequence % 2 != 0 || head->size > 300000)
        sc_buf_free(bytes);
    return next_told(h);
}

static enum sc_status on_ack(void *arg, const struct sc_link_ack *ack)
{
    struct heard *h = arg;
    sc_buf_printf(&h->told, "ack %llu-%llu\n", (unsigned long long)ack->first, (unsigned long long)ack->last);
    return next_told(h);
}

static enum sc_status on_tally(void *arg, const struct sc_link_tally *tally)
{
    struct heard *h = arg;
    sc_buf_printf(&h->told, "tally %llu %u\n", (unsigned long long)tally->stream, tally->lane.lane);
    return next_told(h);
}

static enum sc_status on_state(void *arg, const struct sc_hearsay_head *state, const uint8_t *bytes)
{
    struct heard *h = arg;
    sc_buf_printf(&h->told, "state of %u: %016llx\n", state->size,
                  (unsigned long long)sc_link_hash(bytes, state->size));
    return next_told(h);
}

static void listen_to(struct heard *h, uint32_t ends_at)
{
    *h = (struct heard){.ends_at = ends_at};
    h->reader = (struct sc_link_reader){
        .hello = on_hello, .batch = on_batch, .ack = on_ack, .tally = on_tally, .state = on_state, .arg = h};
}

/* Memory grows with what has come, not with what was announced. */
static void assert_memory(const struct heard *h)
{
    const struct sc_buf *b = &h->reader.bytes;
    size_t first = 512 << 10, grown = 2 * b->len + 2 * MESSAGE_ROOM;
    assert_true(b->cap <= (first > grown ? first : grown));
}

static void stop_listening(struct heard *h)
{
    sc_link_reader_free(&h->reader);
    sc_buf_free(&h->told);
}

/* ---- four ways to read ---- */

/* As its definition says: message by message, each in memory of its very size. */
static void read_messages(struct heard *h, const uint8_t *bytes, size_t length)
{
    while (length >= 16 && h->status == SC_OK) {
        size_t n = sc_load_be16(bytes + 2);
        bool framed = sc_load_be16(bytes) == 10 && n >= 16;
        if (framed && n > length)
            return;
        uint8_t *message = malloc(framed ? n : 16);
        assert_non_null(message);
        memcpy(message, bytes, framed ? n : 16);
        h->status = framed ? sc_link_read(&h->reader, message, n, &h->err) : SC_MALFORMED;
        free(message);
        bytes += n;
        length -= framed ? n : 0;
    }
}

/* From a buffer; `most` bytes come at once at the most. */
static void drain_pieces(struct heard *h, const uint8_t *bytes, size_t length, size_t most, uint64_t *random)
{
    struct evbuffer *in = evbuffer_new();
    assert_non_null(in);
    for (size_t at = 0, n; at < length && h->status == SC_OK; at += n) {
        n = most >= length ? length : 1 + below(random, (uint32_t)most);
        n = n > length - at ? length - at : n;
        assert_int_equal(evbuffer_add(in, bytes + at, n), 0);
        h->status = sc_link_drain(in, &h->reader, &h->err);
        assert_memory(h);
    }
    evbuffer_free(in);
}

static struct sc_tls *link_tls;

struct ends {
    struct event_base *base;
    struct sc_link_input input;
    struct bufferevent *io; /* of the input */
    int fds[2];
    bool over;       /* by an event */
    struct heard *h; /* over TLS: who reads when there is something */
    uint64_t came;
};

static uint64_t read_input(struct ends *e, struct heard *h);

static void on_readable(struct bufferevent *io, void *arg)
{
    struct ends *e = arg;
    (void)io;
    if (e->h != NULL && e->h->status == SC_OK)
        e->came += read_input(e, e->h);
}

static void on_end(struct bufferevent *io, short what, void *arg)
{
    struct ends *e = arg;
    (void)io;
    e->over = e->over || (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0;
}

static void open_ends(struct ends *e, struct sc_tls *tls)
{
    const struct sc_link_callbacks callbacks = {on_readable, NULL, on_end, e};
    *e = (struct ends){.base = event_base_new()};
    assert_non_null(e->base);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, e->fds), 0);
    e->io = sc_link_open(e->base, e->fds[1], tls, NULL);
    assert_non_null(e->io);
    assert_int_equal(sc_link_input_open(&e->input, e->io, tls != NULL, &callbacks), SC_OK);
    if (tls == NULL)
        sc_link_input_pause(&e->input); /* it is read when the test says so */
}

/* The first descriptor may be closed already. */
static void close_ends(struct ends *e)
{
    sc_link_input_close(&e->input);
    bufferevent_free(e->io);
    sc_loop_free(e->base);
    if (e->fds[0] >= 0)
        close(e->fds[0]);
}

static uint64_t read_input(struct ends *e, struct heard *h)
{
    uint64_t came;
    h->status = sc_link_input_read(&e->input, &h->reader, &came, &h->err);
    assert_true(came <= TURN + MOST_READ);
    assert_memory(h);
    return came;
}

static void read_socket(struct heard *h, const uint8_t *bytes, size_t length, size_t most, uint64_t *random)
{
    struct ends e;
    open_ends(&e, NULL);
    uint64_t came = 0;
    for (size_t at = 0; at < length && h->status == SC_OK;) {
        size_t n = 1 + below(random, (uint32_t)most);
        ssize_t sent = send(e.fds[0], bytes + at, n > length - at ? length - at : n, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        if (sent < 0 || next_random(random) % 4 != 0)
            came += read_input(&e, h);
    }
    shutdown(e.fds[0], SHUT_WR);
    while (h->status == SC_OK)
        came += read_input(&e, h);
    if (h->status == SC_END) {
        assert_int_equal(came, length);
        h->status = SC_OK;
    }
    close_ends(&e);
}

/* What was sent is deciphered when the loop turns; now and then the reader pauses. */
static void read_tls(struct heard *h, const uint8_t *bytes, size_t length, size_t most, uint64_t *random)
{
    struct ends e;
    open_ends(&e, link_tls);
    struct bufferevent *from = sc_link_open(e.base, e.fds[0], link_tls, "alpha");
    assert_non_null(from);
    e.fds[0] = -1;
    e.h = h;
    bufferevent_enable(from, EV_READ | EV_WRITE);
    for (size_t at = 0; h->status == SC_OK && e.came < length && !e.over;) {
        size_t n = 1 + below(random, (uint32_t)most);
        n = n > length - at ? length - at : n;
        assert_int_equal(bufferevent_write(from, bytes + at, n), 0);
        at += n;
        if (next_random(random) % 3 == 0)
            sc_link_input_pause(&e.input);
        event_base_loop(e.base, EVLOOP_NONBLOCK);
        if (e.input.paused && next_random(random) % 2 == 0)
            sc_link_input_go_on(&e.input);
    }
    assert_false(e.over);
    bufferevent_free(from);
    close_ends(&e);
}

/* ---- streams ---- */

static void put_be(struct sc_buf *out, uint64_t v, unsigned bytes)
{
    while (bytes-- > 0)
        sc_buf_append_u8(out, (uint8_t)(v >> (8 * bytes)));
}

static void put_tally(struct sc_link_writer *w, uint64_t *random)
{
    sc_link_put_tally(w, &(struct sc_link_tally){.stream = next_random(random),
                                                 .window_s = 300,
                                                 .lane = {.lane = below(random, 9)}});
}

/* Between the parts of a batch, too. */
static void put_other(struct sc_link_writer *w, uint64_t *random)
{
    uint8_t bytes[300];
    uint32_t size = 1 + below(random, sizeof(bytes));
    memset(bytes, (int)below(random, 256), size);
    switch (below(random, 3)) {
    case 0:
        put_tally(w, random);
        break;
    case 1:
        sc_link_put_ack(w, &(struct sc_link_ack){.first = 3, .last = 3 + below(random, 100)});
        break;
    default:
        sc_link_put_state(
            w, &(struct sc_hearsay_head){.proxy = "beta", .size = size, .hash = sc_link_hash(bytes, size)});
        sc_link_put_state_part(w, bytes, size / 2);
        put_tally(w, random);
        sc_link_put_state_part(w, bytes + size / 2, size - size / 2);
        break;
    }
}

/* The next bytes of a batch behind another set, or before one, in one message: a form that our writer has not. */
static void put_among_others(struct sc_link_writer *w, const uint8_t *bytes, uint32_t n, bool before)
{
    struct sc_buf *out = &w->out;
    size_t at = out->len;
    put_be(out, UINT64_C(0x000a0000) << 32, 8);
    put_be(out, 0, 8);
    if (before)
        put_be(out, UINT64_C(0x7fff000811223344), 8);
    put_be(out, PART_ID, 2);
    put_be(out, 4 + (n < 255 ? 1 : 3) + n, 2);
    put_be(out, n < 255 ? n : 0xff0000 | n, n < 255 ? 1 : 3);
    sc_buf_append(out, bytes, n);
    if (!before)
        put_be(out, UINT64_C(0x7fff000811223344), 8);
    sc_store_be16(out->data + at + 2, (uint16_t)(out->len - at));
}

static void put_piece(struct sc_link_writer *w, const uint8_t *bytes, uint32_t n, uint64_t *random)
{
    if (n < 60000 && next_random(random) % 4 == 0) {
        put_among_others(w, bytes, n, next_random(random) % 2 != 0);
        return;
    }
    sc_link_put_part_head(w, n);
    sc_buf_append(&w->out, bytes, n);
}

/* Mostly some kB, sometimes more than the first piece of memory; parts of the usual size, of any, or very small ones. */
static void put_any_batch(struct sc_link_writer *w, uint64_t sequence, uint64_t *random)
{
    static const uint32_t sizes[] = {1, 300, 70000, 70000, 300000, 3000000}, parts[] = {40, 7000, 65512};
    uint32_t size = 1 + below(random, sizes[below(random, 6)]), most = parts[below(random, 3)];
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((i * 2654435761u + sequence) >> 11);
    const struct sc_batch_head head = {
        .id.sequence = sequence, .size = size, .hash = sc_link_hash(bytes, size)};
    sc_link_put_announcement(w, &head);
    for (uint32_t done = 0, n; done < size; done += n) {
        n = next_random(random) % 2 != 0 ? SC_LINK_PART : below(random, most + 1);
        n = size > 20000 && n < 1000 ? 1000 : n;
        n = n > size - done ? size - done : n;
        put_piece(w, bytes + done, n, random);
        if (next_random(random) % 8 == 0)
            put_other(w, random);
    }
    free(bytes);
}

static void make_stream(struct sc_link_writer *w, uint64_t *random)
{
    uint32_t records = 1 + below(random, 12);
    sc_link_put_hello(w, &(struct sc_link_hello){.version = SC_LINK_VERSION, .name = "alpha"});
    for (uint32_t i = 0; i < records; i++) {
        if (next_random(random) % 2 == 0)
            put_any_batch(w, i, random);
        else
            put_other(w, random);
    }
    assert_true(sc_buf_ok(&w->out));
}

/* Bytes changed, some of them in heads; cut; with a message twice. */
static void break_stream(struct sc_buf *out, uint64_t *random)
{
    size_t at = 0;
    for (uint32_t skipped = below(random, 40); skipped > 0 && at + 16 < out->len; skipped--) {
        size_t n = sc_load_be16(out->data + at + 2);
        at += at + n < out->len ? n : 0;
    }
    switch (below(random, 4)) {
    case 0:
        out->len = 1 + next_random(random) % out->len;
        break;
    case 1:
        out->data[next_random(random) % out->len] ^= (uint8_t)(1 + below(random, 255));
        break;
    case 2:
        at += below(random, 60);
        out->data[at < out->len ? at : 0] ^= (uint8_t)(1u << below(random, 8));
        break;
    default:
        if (sc_buf_reserve(out, 65535) != NULL && at + 16 < out->len)
            sc_buf_append(out, out->data + at, sc_load_be16(out->data + at + 2));
        break;
    }
}

static void assert_same(struct heard *is, const struct heard *want, uint64_t seed, const char *way)
{
    sc_buf_append_u8(&is->told, 0);
    if (is->status != want->status || is->count != want->count || is->told.len != want->told.len ||
        memcmp(is->told.data, want->told.data, want->told.len) != 0)
        fail_msg("seed %llu, %s: %d, not %d:\n%s", (unsigned long long)seed, way, is->status, want->status,
                 (const char *)is->told.data);
    stop_listening(is);
}

static int make_tls(void **state)
{
    char folder[64];
    struct sc_authority *authority = tls_kit_authority(folder);
    (void)state;
    tls_kit_issue(authority, folder, "alpha", "alpha", 10);
    link_tls = tls_kit_load(folder, "alpha");
    sc_authority_free(authority);
    tls_kit_remove(folder);
    return 0;
}

static int free_tls(void **state)
{
    (void)state;
    sc_tls_release(link_tls);
    return 0;
}

static void any_pieces_are_the_same(void **state)
{
    (void)state;
    static const uint32_t mosts[] = {5, 100, 5000, 70000, 400000};
    uint32_t oks = 0, ends = 0;
    for (uint64_t seed = 0; seed < 600; seed++) {
        uint64_t random = seed;
        struct sc_link_writer w = {0};
        struct heard whole, other;
        make_stream(&w, &random);
        if (seed % 3 == 0)
            break_stream(&w.out, &random);
        uint32_t ends_at = seed % 5 == 0 ? 1 + below(&random, 8) : 0;
        uint32_t most = w.out.len > 400000 ? mosts[2 + below(&random, 3)] : mosts[below(&random, 5)];
        listen_to(&whole, ends_at);
        read_messages(&whole, w.out.data, w.out.len);
        sc_buf_append_u8(&whole.told, 0);
        listen_to(&other, ends_at);
        drain_pieces(&other, w.out.data, w.out.len, w.out.len, &random);
        assert_same(&other, &whole, seed, "a buffer");
        listen_to(&other, ends_at);
        drain_pieces(&other, w.out.data, w.out.len, most, &random);
        assert_same(&other, &whole, seed, "pieces");
        listen_to(&other, ends_at);
        read_socket(&other, w.out.data, w.out.len, most, &random);
        assert_same(&other, &whole, seed, "a socket");
        if (seed % 12 == 0) { /* it takes longer than the others together */
            listen_to(&other, ends_at);
            read_tls(&other, w.out.data, w.out.len, most < 5000 ? 5000 : most, &random);
            assert_same(&other, &whole, seed, "TLS");
        }
        oks += whole.status == SC_OK;
        ends += whole.status == SC_CANCELLED;
        stop_listening(&whole);
        sc_buf_free(&w.out);
    }
    assert_true(oks > 300 && ends > 50 && oks + ends < 590);
}

/* ---- by reference ---- */

static struct sc_shared *make_shared(size_t size)
{
    struct sc_buf buf = {0};
    struct sc_shared *shared = NULL;
    if (sc_buf_reserve(&buf, size) != NULL) {
        memset(buf.data, 0x5a, size);
        buf.len = size;
        shared = sc_shared_take(&buf);
    }
    assert_non_null(shared);
    return shared;
}

/* More than a socket takes at once: some of it waits. */
static struct bufferevent *send_three(struct ends *e, struct sc_link_writer *w, struct sc_shared *bytes)
{
    const struct sc_batch_head head = {.size = (uint32_t)bytes->size};
    struct bufferevent *io = sc_link_open(e->base, e->fds[0], NULL, NULL);
    assert_non_null(io);
    e->fds[0] = -1;
    sc_link_put_hello(w, &(struct sc_link_hello){.version = SC_LINK_VERSION, .name = "alpha"});
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(sc_link_send_batch(io, w, &head, bytes), SC_OK);
    assert_int_equal(w->out.len, 0);
    assert_true(atomic_load(&bytes->holders) >= 1 + 3 * (bytes->size / SC_LINK_PART));
    for (uint32_t i = 0; i < 5; i++)
        event_base_loop(e->base, EVLOOP_NONBLOCK);
    assert_true(atomic_load(&bytes->holders) > 1);
    return io;
}

static void held_until_written(void **state)
{
    (void)state;
    struct ends e;
    struct heard h;
    struct sc_link_writer w = {0};
    struct sc_shared *bytes = make_shared(1500000);
    open_ends(&e, NULL);
    listen_to(&h, 0);
    struct bufferevent *io = send_three(&e, &w, bytes);
    while (h.count < 4) { /* a greeting and three batches */
        event_base_loop(e.base, EVLOOP_NONBLOCK);
        read_input(&e, &h);
        assert_int_equal(h.status, SC_OK);
    }
    char text[100];
    int n = snprintf(text, sizeof(text), "hello alpha 0\nbatch 0 of 1500000: %016llx\n",
                     (unsigned long long)sc_link_hash(bytes->bytes, bytes->size));
    assert_memory_equal(h.told.data, text, n);
    assert_int_equal(atomic_load(&bytes->holders), 1);
    bufferevent_free(io);
    close_ends(&e);
    stop_listening(&h);
    sc_shared_release(bytes);
    sc_buf_free(&w.out);
}

/* The dispatch may have let go before: then the connection was the last. */
static void let_go_when_closed(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct ends e;
        struct sc_link_writer w = {0};
        struct sc_shared *bytes = make_shared(1500000);
        open_ends(&e, NULL);
        struct bufferevent *io = send_three(&e, &w, bytes);
        if (round == 1)
            sc_shared_release(bytes);
        bufferevent_free(io);
        event_base_loop(e.base, EVLOOP_NONBLOCK);
        if (round == 0) {
            assert_int_equal(atomic_load(&bytes->holders), 1);
            sc_shared_release(bytes);
        }
        close_ends(&e);
        sc_buf_free(&w.out);
    }
}

UNIT(test_link_pieces)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_pieces_are_the_same, make_tls, free_tls),
        cmocka_unit_test(held_until_written),
        cmocka_unit_test(let_go_when_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
