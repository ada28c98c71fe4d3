// SPDX-License-Identifier: BSD-3-Clause
/* What a subcollector that lacks batches asks over the link, and is answered: sets 267 to 272. */
#include "decoder_kit.h"
#include "link_kit.h"

#include "relay/link_stream.h"

#include <event2/buffer.h>

enum { MANY = 2501, ASK = 267, SETS = 6, EACH = 1000 };

/* ---- what a reader was told ---- */

struct heard {
    struct sc_link_reader reader;
    struct sc_error err;
    struct sc_link_ask asks[4];
    struct sc_link_digest digests[MANY];
    struct sc_link_holds holds[MANY];
    struct sc_link_given given[4];
    struct sc_link_told told[4];
    uint32_t ask_count, digest_count, holds_count, given_count, told_count;
    enum sc_status answer; /* of all callbacks */
};

static enum sc_status on_ask(void *arg, const struct sc_link_ask *ask)
{
    struct heard *h = arg;
    assert_true(h->ask_count < 4);
    h->asks[h->ask_count++] = *ask;
    return h->answer;
}

static enum sc_status on_digest(void *arg, const struct sc_link_digest *digest)
{
    struct heard *h = arg;
    assert_true(h->digest_count < MANY);
    h->digests[h->digest_count++] = *digest;
    return h->answer;
}

static enum sc_status on_holds(void *arg, const struct sc_link_holds *holds)
{
    struct heard *h = arg;
    assert_true(h->holds_count < MANY);
    assert_true(holds->first <= holds->last);
    h->holds[h->holds_count++] = *holds;
    return h->answer;
}

static enum sc_status on_given(void *arg, const struct sc_link_given *given)
{
    struct heard *h = arg;
    assert_true(h->given_count < 4);
    h->given[h->given_count++] = *given;
    return h->answer;
}

static enum sc_status on_told(void *arg, const struct sc_link_told *told)
{
    struct heard *h = arg;
    assert_true(h->told_count < 4);
    assert_non_null(memchr(told->proxy, '\0', sizeof(told->proxy)));
    h->told[h->told_count++] = *told;
    return h->answer;
}

static struct heard *listen_to(void)
{
    struct heard *h = calloc(1, sizeof(*h));
    assert_non_null(h);
    h->reader = (struct sc_link_reader){.ask = on_ask,
                                        .digest = on_digest,
                                        .holds = on_holds,
                                        .given = on_given,
                                        .told = on_told,
                                        .arg = h,
                                        .greeted = true};
    return h;
}

static void stop_listening(struct heard *h)
{
    sc_link_reader_free(&h->reader);
    free(h);
}

static uint32_t records_of(const struct heard *h)
{
    return h->ask_count + h->digest_count + h->holds_count + h->given_count + h->told_count;
}

/* ---- one of each, every number at its own place ---- */

static const struct sc_link_hello greeting = {.version = SC_LINK_VERSION, .lane = 1, .name = "alpha"};

static const struct sc_link_ask an_ask = {.what = SC_ASK_GROUP,
                                          .lane = 0xf1f2f3f4u,
                                          .window_ms = UINT64_C(0x0102030405060708),
                                          .window_s = 0xe1e2e3e4u,
                                          .end_ms = UINT64_C(0x1112131415161718),
                                          .stream = UINT64_C(0x2122232425262728),
                                          .sequence = UINT64_C(0x3132333435363738),
                                          .hash = UINT64_C(0x4142434445464748)};

static struct sc_link_digest a_digest(uint32_t i)
{
    const uint64_t big = (uint64_t)i << 40;
    return (struct sc_link_digest){0x80000000u + i, big + 1, i + 2, big + 3, UINT64_MAX - i};
}

static struct sc_link_holds an_interval(uint32_t i)
{
    const uint64_t big = (uint64_t)i << 40;
    return (struct sc_link_holds){0x80000000u + i, big + 1, i + 2, UINT64_MAX - i, big + 3, UINT64_MAX - i};
}

static const struct sc_link_told told_tally = {
    .proxy = "a-proxy-with-a-name-of-sixty-three-characters-which-is-the-most",
    .tally = {.stream = UINT64_C(0x5152535455565758),
              .window_ms = UINT64_C(0x6162636465666768),
              .window_s = 0xd1d2d3d4u,
              .lane = {.lane = 0xc1c2c3c4u,
                       .accepted = {.batches = {UINT64_MAX, 2}, .records = {3, 4}},
                       .safe = {.batches = {5, 6}, .records = {7, UINT64_MAX - 1}}}}};

static const struct sc_link_told told_stream = {
    .is_stream = true,
    .proxy = "b",
    .stream = {
        .proxy = "b", .stream = UINT64_MAX - 5, .heard_ms = UINT64_C(0x7172737475767778), .closed = true}};

static void assert_told(const struct heard *h)
{
    const struct sc_tally_lane *x = &h->told[0].tally.lane, *y = &told_tally.tally.lane;
    assert_int_equal(h->told_count, 2);
    assert_false(h->told[0].is_stream);
    assert_string_equal(h->told[0].proxy, told_tally.proxy);
    assert_true(h->told[0].tally.stream == told_tally.tally.stream);
    assert_true(h->told[0].tally.window_ms == told_tally.tally.window_ms);
    assert_int_equal(h->told[0].tally.window_s, told_tally.tally.window_s);
    assert_true(sc_tally_lane_equal(x, y));
    assert_true(h->told[1].is_stream);
    assert_string_equal(h->told[1].proxy, "b");
    assert_string_equal(h->told[1].stream.proxy, "b");
    assert_true(h->told[1].stream.stream == told_stream.stream.stream);
    assert_true(h->told[1].stream.heard_ms == told_stream.stream.heard_ms && h->told[1].stream.closed);
}

static void assert_ask(const struct sc_link_ask *x, const struct sc_link_ask *y)
{
    assert_true(x->what == y->what && x->lane == y->lane && x->window_ms == y->window_ms);
    assert_true(x->window_s == y->window_s && x->end_ms == y->end_ms && x->stream == y->stream);
    assert_true(x->sequence == y->sequence && x->hash == y->hash);
}

static void assert_digest(const struct sc_link_digest *x, const struct sc_link_digest *y)
{
    assert_true(x->lane == y->lane && x->window_ms == y->window_ms && x->window_s == y->window_s);
    assert_true(x->batches == y->batches && x->hash == y->hash);
}

static void assert_holds(const struct sc_link_holds *x, const struct sc_link_holds *y)
{
    assert_true(x->lane == y->lane && x->window_ms == y->window_ms && x->window_s == y->window_s);
    assert_true(x->stream == y->stream && x->first == y->first && x->last == y->last);
}

/* Without a greeting. */
static void put_all(struct sc_link_writer *w, uint32_t count)
{
    struct sc_link_digest digests[MANY];
    struct sc_link_holds holds[MANY];
    assert_true(count <= MANY);
    for (uint32_t i = 0; i < count; i++) {
        digests[i] = a_digest(i);
        holds[i] = an_interval(i);
    }
    sc_link_put_ask(w, &an_ask);
    sc_link_put_digests(w, digests, count);
    sc_link_put_holds(w, holds, count);
    sc_link_put_told(w, &told_tally);
    sc_link_put_told(w, &told_stream);
    sc_link_put_given(w, &(struct sc_link_given){SC_ASK_HOLDS, SC_GIVEN_NONE});
    assert_true(sc_buf_ok(&w->out));
}

static void assert_all(const struct heard *h, uint32_t count)
{
    assert_int_equal(h->ask_count, 1);
    assert_ask(&h->asks[0], &an_ask);
    assert_int_equal(h->digest_count, count);
    assert_int_equal(h->holds_count, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_link_digest digest = a_digest(i);
        const struct sc_link_holds holds = an_interval(i);
        assert_digest(&h->digests[i], &digest);
        assert_holds(&h->holds[i], &holds);
    }
    assert_told(h);
    assert_int_equal(h->given_count, 1);
    assert_int_equal(h->given[0].what, SC_ASK_HOLDS);
    assert_int_equal(h->given[0].outcome, SC_GIVEN_NONE);
}

/* ---- feeding ---- */

/* In memory of its very size, so that a read behind the end is seen. */
static enum sc_status feed(struct heard *h, const uint8_t *message, size_t length)
{
    uint8_t *exact = malloc(length);
    assert_non_null(exact);
    memcpy(exact, message, length);
    enum sc_status status = sc_link_read(&h->reader, exact, length, &h->err);
    free(exact);
    return status;
}

static size_t message_at(const struct sc_buf *out, size_t at)
{
    assert_true(at + 16 <= out->len);
    return sc_load_be16(out->data + at + 2);
}

/* ---- what is written is read ---- */

/* More records than go into one message, and none at all. */
static void any_number_comes_back(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, EACH - 1, EACH, EACH + 1, MANY};
    for (uint32_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct sc_link_writer w = {0};
        struct heard *h = listen_to();
        uint32_t messages = 0;
        put_all(&w, counts[c]);
        for (size_t at = 0; at < w.out.len; at += message_at(&w.out, at), messages++)
            assert_int_equal(feed(h, w.out.data + at, message_at(&w.out, at)), SC_OK);
        assert_all(h, counts[c]);
        assert_int_equal(messages, 4 + 2 * ((counts[c] + EACH - 1) / EACH));
        sc_buf_free(&w.out);
        stop_listening(h);
    }
}

static void in_pieces_of_any_size_it_is_the_same(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 3, 16, 37, 1000, 65535, 1 << 20};
    struct sc_link_writer w = {0};
    put_all(&w, MANY);
    for (uint32_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
        struct evbuffer *in = evbuffer_new();
        struct heard *h = listen_to();
        assert_non_null(in);
        for (size_t at = 0; at < w.out.len; at += pieces[p]) {
            size_t n = w.out.len - at < pieces[p] ? w.out.len - at : pieces[p];
            assert_int_equal(evbuffer_add(in, w.out.data + at, n), 0);
            assert_int_equal(sc_link_drain(in, &h->reader, &h->err), SC_OK);
        }
        assert_int_equal(evbuffer_get_length(in), 0);
        assert_all(h, MANY);
        stop_listening(h);
        evbuffer_free(in);
    }
    sc_buf_free(&w.out);
}

/* Between the parts of a row group they may come, too, and the row group is whole. */
static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes)
{
    uint32_t *batches = arg;
    assert_true(sc_link_hash(bytes->data, bytes->len) == head->hash);
    ++*batches;
    return SC_OK;
}

static void a_row_group_goes_on_behind_them(void **state)
{
    (void)state;
    uint8_t bytes[200];
    uint32_t batches = 0;
    struct sc_link_writer w = {0};
    struct sc_link_reader reader = {.batch = on_batch, .arg = &batches, .greeted = true};
    struct sc_error err;
    memset(bytes, 0x5a, sizeof(bytes));
    const struct sc_batch_head head = {
        .window_s = 300, .records = 1, .size = sizeof(bytes), .hash = sc_link_hash(bytes, sizeof(bytes))};
    sc_link_put_announcement(&w, &head);
    for (uint32_t i = 0; i < 2; i++) {
        put_all(&w, 3); /* nobody wants them here */
        sc_link_put_part_head(&w, sizeof(bytes) / 2);
        sc_buf_append(&w.out, bytes, sizeof(bytes) / 2);
    }
    for (size_t at = 0; at < w.out.len; at += message_at(&w.out, at))
        assert_int_equal(sc_link_read(&reader, w.out.data + at, message_at(&w.out, at), &err), SC_OK);
    assert_int_equal(batches, 1);
    sc_buf_free(&w.out);
    sc_link_reader_free(&reader);
}

static void a_callback_ends_the_message(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    put_all(&w, 5);
    for (size_t at = 0; at < w.out.len; at += message_at(&w.out, at)) {
        struct heard *h = listen_to();
        h->answer = SC_CANCELLED;
        assert_int_equal(feed(h, w.out.data + at, message_at(&w.out, at)), SC_CANCELLED);
        assert_int_equal(records_of(h), 1);
        stop_listening(h);
    }
    sc_buf_free(&w.out);
}

/* ---- what is none is refused ---- */

static void put_set(struct sc_buf *out, uint16_t id, const uint8_t *contents, size_t length)
{
    uint8_t head[20] = {0};
    sc_store_be16(head, 10);
    sc_store_be16(head + 2, (uint16_t)(sizeof(head) + length));
    sc_store_be16(head + 16, id);
    sc_store_be16(head + 18, (uint16_t)(4 + length));
    sc_buf_append(out, head, sizeof(head));
    sc_buf_append(out, contents, length);
}

/* A record behind a whole one, cut everywhere. The last two end with a name of one letter. */
static void records_cut_anywhere(void **state)
{
    (void)state;
    static const size_t lengths[SETS] = {49, 32, 40, 2, 90, 19};
    uint8_t ones[2 * 90];
    memset(ones, 1, sizeof(ones));
    for (uint32_t s = 0; s < SETS; s++) {
        ones[lengths[s] - 1] = ones[2 * lengths[s] - 1] = s < 4 ? 1 : 'a';
        for (size_t length = 1; length <= 2 * lengths[s]; length++) {
            struct sc_buf out = {0};
            struct heard *h = listen_to();
            put_set(&out, (uint16_t)(ASK + s), ones, length);
            assert_int_equal(feed(h, out.data, out.len), length % lengths[s] == 0 ? SC_OK : SC_MALFORMED);
            assert_int_equal(records_of(h), length / lengths[s]);
            sc_buf_free(&out);
            stop_listening(h);
        }
    }
}

static void an_interval_that_ends_before_it_begins(void **state)
{
    (void)state;
    static const struct sc_link_holds list[] = {{1, 2, 3, 4, 0, 0},
                                                {1, 2, 3, 4, UINT64_MAX, UINT64_MAX},
                                                {1, 2, 3, 4, 6, 5},
                                                {1, 2, 3, 4, UINT64_MAX, 0}};
    for (uint32_t i = 0; i < 4; i++) {
        struct sc_link_writer w = {0};
        struct heard *h = listen_to();
        sc_link_put_holds(&w, &list[i], 1);
        assert_int_equal(feed(h, w.out.data, w.out.len), i < 2 ? SC_OK : SC_MALFORMED);
        assert_int_equal(h->holds_count, i < 2);
        sc_buf_free(&w.out);
        stop_listening(h);
    }
}

static void a_tally_of_no_window(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    struct heard *h = listen_to();
    struct sc_link_told told = told_tally;
    told.tally.window_s = 0;
    sc_link_put_told(&w, &told);
    assert_int_equal(feed(h, w.out.data, w.out.len), SC_MALFORMED);
    assert_int_equal(h->told_count, 0);
    sc_buf_free(&w.out);
    stop_listening(h);
}

static void none_comes_before_the_greeting(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    put_all(&w, 1);
    for (size_t at = 0; at < w.out.len; at += message_at(&w.out, at)) {
        struct heard *h = listen_to();
        h->reader.greeted = false;
        assert_int_equal(feed(h, w.out.data + at, message_at(&w.out, at)), SC_UNSUPPORTED);
        assert_int_equal(records_of(h), 0);
        stop_listening(h);
    }
    sc_buf_free(&w.out);
}

/* ---- it is IPFIX ---- */

/* A collector that knows nothing of the link takes it for flows: no set without a template, no gap, nothing malformed. */
static void any_ipfix_collector_can_read_it(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    struct kit k;
    uint32_t flows = 0;
    sc_link_put_hello(&w, &greeting);
    put_all(&w, MANY);
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    k.source.connection = 1;
    for (size_t at = 0; at < w.out.len; at += message_at(&w.out, at)) {
        assert_int_equal(sc_decoder_message(k.decoder, &k.source, w.out.data + at, message_at(&w.out, at),
                                            &k.sink, &k.outcome, &k.err),
                         SC_OK);
        assert_int_equal(k.outcome.malformed, 0);
        assert_int_equal(k.outcome.no_template_sets, 0);
        assert_int_equal(k.outcome.lost, 0);
        assert_int_equal(k.outcome.options, 0);
        flows += k.outcome.flows;
    }
    assert_int_equal(flows, 1 + 1 + MANY + MANY + 2 + 1); /* a greeting, a question, the answers, the end */
    assert_int_equal(sc_batch_finish(k.sink.flows), SC_OK);
    kit_close(&k);
    sc_buf_free(&w.out);
}

UNIT(test_link_heal)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_comes_back),
        cmocka_unit_test(in_pieces_of_any_size_it_is_the_same),
        cmocka_unit_test(a_row_group_goes_on_behind_them),
        cmocka_unit_test(a_callback_ends_the_message),
        cmocka_unit_test(records_cut_anywhere),
        cmocka_unit_test(an_interval_that_ends_before_it_begins),
        cmocka_unit_test(a_tally_of_no_window),
        cmocka_unit_test(none_comes_before_the_greeting),
        cmocka_unit_test(any_ipfix_collector_can_read_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
