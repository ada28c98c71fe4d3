// SPDX-License-Identifier: BSD-3-Clause
/* The link between proxy and subcollector: what is written is read, what is no link is refused, and it all is IPFIX. */
#include "decoder_kit.h"
#include "link_kit.h"

#include "relay/link_stream.h"

#include <event2/buffer.h>
#include <stdio.h>

/* ---- what a reader was told ---- */

struct heard {
    struct sc_link_reader reader;
    struct sc_error err;
    uint32_t hellos, batches, acks, refusals, beats, tallies, streams, states;
    struct sc_link_hello hello;
    struct sc_batch_head head;
    struct sc_link_ack ack;
    struct sc_batch_id refused;
    struct sc_link_beat beat;
    struct sc_link_tally tally;
    struct sc_link_stream stream;
    struct sc_hearsay_head state;
    struct sc_buf bytes;   /* of the last batch */
    struct sc_buf told;    /* the last state */
    enum sc_status answer; /* of all callbacks */
};

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct heard *h = arg;
    h->hellos++;
    h->hello = *hello;
    assert_non_null(memchr(hello->name, '\0', sizeof(hello->name)));
    return h->answer;
}

/* Whatever came: what is handed on as a batch has the size that was promised. Taken out of the buffer, or left in it. */
static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes)
{
    struct heard *h = arg;
    h->batches++;
    h->head = *head;
    assert_int_equal(bytes->len, head->size);
    sc_buf_clear(&h->bytes);
    sc_buf_append(&h->bytes, bytes->data, head->size);
    assert_true(sc_buf_ok(&h->bytes));
    if (h->batches % 2 != 0)
        sc_buf_free(bytes);
    return h->answer;
}

static enum sc_status on_refused(void *arg, const struct sc_batch_id *id)
{
    struct heard *h = arg;
    h->refusals++;
    h->refused = *id;
    return h->answer;
}

static enum sc_status on_ack(void *arg, const struct sc_link_ack *ack)
{
    struct heard *h = arg;
    h->acks++;
    h->ack = *ack;
    assert_true(ack->first <= ack->last);
    return h->answer;
}

static enum sc_status on_beat(void *arg, const struct sc_link_beat *beat)
{
    struct heard *h = arg;
    h->beats++;
    h->beat = *beat;
    return h->answer;
}

static enum sc_status on_tally(void *arg, const struct sc_link_tally *tally)
{
    struct heard *h = arg;
    h->tallies++;
    h->tally = *tally;
    assert_true(tally->window_s != 0);
    return h->answer;
}

static enum sc_status on_stream(void *arg, const struct sc_link_stream *stream)
{
    struct heard *h = arg;
    h->streams++;
    h->stream = *stream;
    return h->answer;
}

static enum sc_status on_state(void *arg, const struct sc_hearsay_head *state, const uint8_t *bytes)
{
    struct heard *h = arg;
    h->states++;
    h->state = *state;
    sc_buf_clear(&h->told);
    sc_buf_append(&h->told, bytes, state->size);
    assert_true(sc_buf_ok(&h->told));
    assert_true(sc_link_hash(bytes, state->size) == state->hash);
    assert_non_null(memchr(state->proxy, '\0', sizeof(state->proxy)));
    return h->answer;
}

static uint32_t records_of(const struct heard *h)
{
    return h->hellos + h->batches + h->acks + h->refusals + h->beats + h->tallies + h->streams + h->states;
}

static void listen_to(struct heard *h)
{
    *h = (struct heard){0};
    h->reader = (struct sc_link_reader){.hello = on_hello,
                                        .batch = on_batch,
                                        .ack = on_ack,
                                        .refused = on_refused,
                                        .beat = on_beat,
                                        .tally = on_tally,
                                        .stream = on_stream,
                                        .state = on_state,
                                        .arg = h};
}

static void stop_listening(struct heard *h)
{
    sc_link_reader_free(&h->reader);
    sc_buf_free(&h->bytes);
    sc_buf_free(&h->told);
}

/* ---- feeding ---- */

/* In memory of its very size, so that a read behind the end is seen. */
static enum sc_status feed(struct heard *h, const uint8_t *message, size_t length)
{
    uint8_t *exact = malloc(length == 0 ? 1 : length);
    assert_non_null(exact);
    memcpy(exact, message, length);
    enum sc_status status = sc_link_read(&h->reader, exact + (length == 0), length, &h->err);
    free(exact);
    return status;
}

/* The messages of a stream, as their lengths say; ends with what ended it. */
static enum sc_status feed_stream(struct heard *h, const uint8_t *bytes, size_t length)
{
    while (length >= 4) {
        size_t message = sc_load_be16(bytes + 2);
        if (message < 16 || message > length)
            return feed(h, bytes, length < 16 ? length : 16);
        SC_TRY(feed(h, bytes, message));
        bytes += message;
        length -= message;
    }
    return length == 0 ? SC_OK : SC_MALFORMED;
}

/* ---- messages ---- */

static const struct sc_link_hello greeting = {.version = SC_LINK_VERSION,
                                              .cluster_version = UINT64_C(0x0102030405060708),
                                              .lane = 0xa1b2c3d4u,
                                              .name = "alpha"};

static struct sc_batch_head head_of(const uint8_t *bytes, uint32_t size, uint64_t sequence)
{
    return (struct sc_batch_head){
        .id = {.stream = UINT64_C(0xfedcba9876543210), .sequence = sequence, .lane = 0x80000001u},
        .window_ms = UINT64_C(1800000000000),
        .window_s = 300,
        .records = 8192,
        .record_kind = 1,
        .size = size,
        .hash = sc_link_hash(bytes, size)};
}

static void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static void put_be(struct sc_buf *out, uint64_t v, unsigned bytes)
{
    while (bytes-- > 0)
        sc_buf_append_u8(out, (uint8_t)(v >> (8 * bytes)));
}

static void put_nulls(struct sc_buf *out, unsigned bytes)
{
    while (bytes-- > 0)
        sc_buf_append_u8(out, 0);
}

/* A message of one set with the given contents. */
static void put_set(struct sc_buf *out, uint16_t id, const void *contents, size_t length)
{
    put_be(out, 10, 2);
    put_be(out, 20 + length, 2);
    put_nulls(out, 12);
    put_be(out, id, 2);
    put_be(out, 4 + length, 2);
    sc_buf_append(out, contents, length);
}

static void put_part(struct sc_buf *out, const uint8_t *bytes, uint16_t length)
{
    struct sc_buf part = {0};
    if (length < 255) {
        put_be(&part, length, 1);
    } else {
        put_be(&part, 255, 1);
        put_be(&part, length, 2);
    }
    sc_buf_append(&part, bytes, length);
    put_set(out, 258, part.data, part.len);
    sc_buf_free(&part);
}

/* The message that begins at `at`, and where the next one does. */
static size_t next_message(const struct sc_buf *out, size_t at)
{
    assert_true(at + 16 <= out->len);
    return at + sc_load_be16(out->data + at + 2);
}

static void assert_head(const struct sc_batch_head *x, const struct sc_batch_head *y)
{
    assert_true(x->id.stream == y->id.stream && x->id.sequence == y->id.sequence && x->id.lane == y->id.lane);
    assert_true(x->window_ms == y->window_ms && x->window_s == y->window_s && x->records == y->records);
    assert_true(x->size == y->size && x->record_kind == y->record_kind && x->hash == y->hash);
}

static struct sc_hearsay_head state_of(const uint8_t *bytes, uint32_t size)
{
    return (struct sc_hearsay_head){.proxy = "beta",
                                    .clock_ms = UINT64_C(0xc1c2c3c4c5c6c7c8),
                                    .age_ms = UINT64_C(0xd1d2d3d4d5d6d7d8),
                                    .size = size,
                                    .hash = sc_link_hash(bytes, size)};
}

/* Greeted, so that what comes next may be anything. */
static void greet(struct heard *h)
{
    struct sc_link_writer w = {0};
    sc_link_put_hello(&w, &greeting);
    assert_int_equal(feed_stream(h, w.out.data, w.out.len), SC_OK);
    sc_buf_free(&w.out);
}

/* A greeting, then one of each, with a batch of `size` bytes. */
static void put_one_of_each(struct sc_link_writer *w, uint32_t size)
{
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    fill(bytes, size, size);
    const struct sc_batch_head head = head_of(bytes, size, 7);
    sc_link_put_hello(w, &greeting);
    put_batch(w, &head, bytes);
    sc_link_put_ack(w, &(struct sc_link_ack){.stream = 5, .lane = 6, .first = 7, .last = 9});
    sc_link_put_refused(w, &(struct sc_batch_id){.stream = 5, .lane = 6, .sequence = 8});
    sc_link_put_beat(w, &(struct sc_link_beat){.free_bytes = 1000, .full = true});
    sc_link_put_tally(
        w, &(struct sc_link_tally){.stream = 5, .window_ms = 1, .window_s = 300, .lane = {.lane = 6}});
    sc_link_put_stream(w, &(struct sc_link_stream){.stream = 5, .closed = true});
    const struct sc_hearsay_head state = state_of((const uint8_t *)"templates", 9);
    sc_link_put_state(w, &state);
    sc_link_put_state_part(w, (const uint8_t *)"templates", 9);
    assert_true(sc_buf_ok(&w->out));
    free(bytes);
}

/* ---- what is written is read ---- */

static void greetings_acks_and_beats_come_back(void **state)
{
    (void)state;
    struct heard h;
    struct sc_link_writer w = {0};
    static const struct sc_link_ack acks[] = {
        {0, 0, 0, 0}, {1, 2, 3, 4}, {UINT64_MAX, UINT32_MAX, 0, UINT64_MAX}, {9, 8, UINT64_MAX, UINT64_MAX}};
    static const struct sc_batch_id refused[] = {
        {0, 0, 0}, {1, 2, 3}, {UINT64_MAX, 0, UINT32_MAX}, {9, UINT64_MAX, 8}};
    static const struct sc_link_beat beats[] = {
        {0, false}, {1, true}, {UINT64_MAX, false}, {UINT64_MAX, true}};
    listen_to(&h);
    greet(&h);
    assert_int_equal(h.hellos, 1);
    assert_int_equal(h.hello.version, SC_LINK_VERSION);
    assert_true(h.hello.cluster_version == greeting.cluster_version);
    assert_int_equal(h.hello.lane, greeting.lane);
    assert_string_equal(h.hello.name, "alpha");
    for (uint32_t i = 0; i < 4; i++) {
        sc_buf_clear(&w.out);
        sc_link_put_ack(&w, &acks[i]);
        sc_link_put_refused(&w, &refused[i]);
        sc_link_put_beat(&w, &beats[i]);
        assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_OK);
        assert_int_equal(h.acks, i + 1);
        assert_int_equal(h.beats, i + 1);
        assert_int_equal(h.refusals, i + 1);
        assert_true(h.refused.stream == refused[i].stream && h.refused.sequence == refused[i].sequence &&
                    h.refused.lane == refused[i].lane);
        assert_true(h.ack.stream == acks[i].stream && h.ack.lane == acks[i].lane);
        assert_true(h.ack.first == acks[i].first && h.ack.last == acks[i].last);
        assert_true(h.beat.free_bytes == beats[i].free_bytes && h.beat.full == beats[i].full);
    }
    assert_int_equal(h.batches, 0);
    sc_buf_free(&w.out);
    stop_listening(&h);
}

/* Every number at its own place: none of them is like another. */
static void tallies_and_streams_come_back(void **state)
{
    (void)state;
    struct heard h;
    struct sc_link_writer w = {0};
    const uint64_t big = UINT64_C(0xf1f2f3f4f5f6f700);
    const struct sc_link_tally tally = {
        .stream = big + 1,
        .window_ms = big + 2,
        .window_s = UINT32_MAX,
        .lane = {.lane = 0xe1e2e3e4u,
                 .accepted = {.batches = {big + 3, big + 4}, .records = {big + 5, big + 6}},
                 .safe = {.batches = {big + 7, big + 8}, .records = {big + 9, big + 10}}}};
    listen_to(&h);
    greet(&h);
    sc_link_put_tally(&w, &tally);
    for (uint32_t i = 0; i < 4; i++) {
        const struct sc_link_stream stream = {big + i, (i & 1) != 0, (i & 2) != 0};
        sc_link_put_stream(&w, &stream);
        assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_OK);
        assert_true(h.stream.stream == stream.stream && h.stream.closed == stream.closed);
        assert_true(h.stream.earlier_closed == stream.earlier_closed);
        sc_buf_clear(&w.out);
    }
    assert_true(h.tally.stream == tally.stream && h.tally.window_ms == tally.window_ms);
    assert_true(h.tally.window_s == tally.window_s && h.tally.lane.lane == tally.lane.lane);
    assert_memory_equal(&h.tally.lane.accepted, &tally.lane.accepted, sizeof(tally.lane.accepted));
    assert_memory_equal(&h.tally.lane.safe, &tally.lane.safe, sizeof(tally.lane.safe));
    assert_int_equal(h.tallies, 1);
    assert_int_equal(h.streams, 4);
    sc_link_put_tally(&w, &(struct sc_link_tally){.window_s = 0}); /* no window is empty */
    assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_MALFORMED);
    assert_int_equal(h.tallies, 1);
    sc_buf_free(&w.out);
    stop_listening(&h);
}

/* In parts of any size, a batch among them: each reaches whom it is for. */
static void states_come_back(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 255, 64999, 65000, 65001, 200000, SC_LINK_MAX_STATE};
    uint8_t batch[100];
    fill(batch, sizeof(batch), 5);
    const struct sc_batch_head head = head_of(batch, sizeof(batch), 3);
    struct heard h;
    listen_to(&h);
    greet(&h);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct sc_link_writer w = {0};
        uint8_t *bytes = malloc(sizes[i]);
        assert_non_null(bytes);
        fill(bytes, sizes[i], i);
        const struct sc_hearsay_head sent = state_of(bytes, sizes[i]);
        sc_link_put_state(&w, &sent);
        for (uint32_t done = 0; done < sizes[i];) {
            uint32_t n = sizes[i] - done < SC_LINK_PART ? sizes[i] - done : SC_LINK_PART;
            put_batch(&w, &head, batch);
            sc_link_put_state_part(&w, bytes + done, n);
            done += n;
        }
        assert_true(sc_buf_ok(&w.out));
        assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_OK);
        assert_int_equal(h.states, i + 1);
        assert_string_equal(h.state.proxy, "beta");
        assert_true(h.state.clock_ms == sent.clock_ms && h.state.age_ms == sent.age_ms);
        assert_int_equal(h.told.len, sizes[i]);
        assert_memory_equal(h.told.data, bytes, sizes[i]);
        free(bytes);
        sc_buf_free(&w.out);
    }
    assert_true(h.batches > 6);
    stop_listening(&h);
}

/* Around the size of a part, and the largest that there may be. */
static void batches_of_every_size_come_back(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1,      2,      254,    255,    256,
                                     300,    64999,  65000,  65001,  129999,
                                     130000, 130001, 195000, 300000, SC_LINK_MAX_BATCH};
    struct heard h;
    listen_to(&h);
    greet(&h);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct sc_link_writer w = {0};
        uint8_t *bytes = malloc(sizes[i]);
        assert_non_null(bytes);
        fill(bytes, sizes[i], i);
        const struct sc_batch_head head = head_of(bytes, sizes[i], UINT64_MAX - i);
        put_batch(&w, &head, bytes);
        assert_true(sc_buf_ok(&w.out));
        assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_OK);
        assert_int_equal(h.batches, i + 1);
        assert_head(&h.head, &head);
        assert_int_equal(h.bytes.len, sizes[i]);
        assert_true(memcmp(h.bytes.data, bytes, sizes[i]) == 0);
        free(bytes);
        sc_buf_free(&w.out);
    }
    stop_listening(&h);
}

/* The writer cuts at 65,000; a reader takes parts of any size, in either form of their length, also empty ones. */
static void parts_may_be_cut_anywhere(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    struct heard h;
    fill(bytes, sizeof(bytes), 4);
    const struct sc_batch_head head = head_of(bytes, sizeof(bytes), 1);
    listen_to(&h);
    greet(&h);
    for (uint16_t step = 1; step <= sizeof(bytes); step += step < 260 ? 1 : 37) {
        struct sc_link_writer w = {0};
        put_batch(&w, &head, bytes);
        w.out.len = next_message(&w.out, 0); /* the head alone */
        put_part(&w.out, bytes, 0);
        for (uint16_t done = 0; done < sizeof(bytes);) {
            uint16_t n = (uint16_t)(sizeof(bytes) - done < step ? sizeof(bytes) - done : step);
            put_part(&w.out, bytes + done, n);
            done = (uint16_t)(done + n);
        }
        uint32_t before = h.batches;
        assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_OK);
        assert_int_equal(h.batches, before + 1);
        assert_memory_equal(h.bytes.data, bytes, sizeof(bytes));
        sc_buf_free(&w.out);
    }
    stop_listening(&h);
}

/* Our writer makes a message of each record; others need not. */
static void several_records_and_sets_in_a_message(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    struct sc_buf one = {0};
    struct heard h;
    put_one_of_each(&w, 500);
    put_be(&one, 10, 2);
    put_nulls(&one, 14);
    for (size_t at = 0; at < w.out.len; at = next_message(&w.out, at))
        sc_buf_append(&one, w.out.data + at + 16, next_message(&w.out, at) - at - 16);
    put_be(&one, 259, 2); /* three acknowledgements in one set */
    put_be(&one, 4 + 3 * 28, 2);
    for (uint64_t i = 0; i < 3; i++) {
        put_be(&one, 11, 8);
        put_be(&one, 12, 4);
        put_be(&one, 20 + i, 8);
        put_be(&one, 30 + i, 8);
    }
    sc_store_be16(one.data + 2, (uint16_t)one.len);
    listen_to(&h);
    assert_int_equal(feed(&h, one.data, one.len), SC_OK);
    assert_int_equal(h.hellos, 1);
    assert_int_equal(h.batches, 1);
    assert_int_equal(h.bytes.len, 500);
    assert_int_equal(h.acks, 4);
    assert_true(h.ack.stream == 11 && h.ack.lane == 12 && h.ack.first == 22 && h.ack.last == 32);
    assert_int_equal(h.beats, 1);
    assert_int_equal(h.tallies, 1);
    assert_int_equal(h.streams, 1);
    stop_listening(&h);
    sc_buf_free(&one);
    sc_buf_free(&w.out);
}

/* Newer peers may send more than is known here: templates, options templates, data of other ids, empty messages. */
static void what_is_not_known_is_skipped(void **state)
{
    (void)state;
    static const uint8_t any[37] = {1, 44, 0, 1, 0, 8, 0, 4};
    static const uint16_t ids[] = {0, 2, 3, 4, 255, 300, 40000, 65535};
    struct sc_buf out = {0};
    struct heard h;
    uint8_t bytes[100];
    struct sc_link_writer w = {0};
    fill(bytes, sizeof(bytes), 1);
    const struct sc_batch_head head = head_of(bytes, sizeof(bytes), 1);
    listen_to(&h);
    greet(&h);
    put_batch(&w, &head, bytes);
    size_t part = next_message(&w.out, 0);
    assert_int_equal(feed(&h, w.out.data, part), SC_OK);
    for (uint32_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        put_set(&out, ids[i], any, sizeof(any)); /* between a head and its bytes, too */
        put_set(&out, ids[i], NULL, 0);
    }
    put_be(&out, 10, 2);
    put_be(&out, 16, 2);
    put_nulls(&out, 12);
    assert_int_equal(feed_stream(&h, out.data, out.len), SC_OK);
    assert_int_equal(feed_stream(&h, w.out.data + part, w.out.len - part), SC_OK);
    assert_int_equal(records_of(&h), 2);
    stop_listening(&h);
    sc_buf_free(&w.out);
    sc_buf_free(&out);
}

static void records_that_nobody_wants_are_skipped(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    struct heard h;
    put_one_of_each(&w, 66000);
    listen_to(&h);
    h.reader = (struct sc_link_reader){0};
    assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_OK);
    assert_true(h.reader.greeted);
    assert_false(h.reader.announced);
    stop_listening(&h);
    sc_buf_free(&w.out);
}

/* What a callback says goes to the caller, and nothing is read behind it. */
static void a_callback_ends_the_message(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    struct heard h;
    put_one_of_each(&w, 100);
    for (uint32_t kind = 0; kind < 7; kind++) {
        size_t at = 0;
        listen_to(&h);
        for (uint32_t message = 0; message < 9; message++) { /* templates, hello, batch, part, and so on */
            static const uint32_t ending[] = {1, 3, 4, 5, 6, 7, 8};
            size_t next = next_message(&w.out, at);
            h.answer = message == ending[kind] ? SC_CANCELLED : SC_OK;
            assert_int_equal(feed(&h, w.out.data + at, next - at), h.answer);
            at = next;
        }
        assert_int_equal(records_of(&h), 7);
        stop_listening(&h);
    }
    struct sc_buf acks = {0}, two = {0};
    put_nulls(&acks, 2 * 28);
    put_set(&two, 259, acks.data, acks.len);
    listen_to(&h);
    greet(&h);
    h.answer = SC_NOMEM;
    assert_int_equal(feed(&h, two.data, two.len), SC_NOMEM);
    assert_int_equal(h.acks, 1);
    stop_listening(&h);
    sc_buf_free(&acks);
    sc_buf_free(&two);
    sc_buf_free(&w.out);
}

/* The stream as sockets give it: in pieces that know nothing of messages. */
static void a_stream_is_cut_into_messages(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 3, 15, 16, 17, 1000, 65535, 1000000};
    struct sc_link_writer w = {0};
    for (uint32_t i = 0; i < 3; i++)
        put_one_of_each(&w, i == 1 ? 140000 : 50 + i);
    for (uint32_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
        struct evbuffer *in = evbuffer_new();
        struct heard h;
        assert_non_null(in);
        listen_to(&h);
        for (size_t at = 0; at < w.out.len; at += pieces[p]) {
            size_t n = w.out.len - at < pieces[p] ? w.out.len - at : pieces[p];
            assert_int_equal(evbuffer_add(in, w.out.data + at, n), 0);
            assert_int_equal(sc_link_drain(in, &h.reader, &h.err), SC_OK);
        }
        assert_int_equal(evbuffer_get_length(in), 0);
        assert_int_equal(h.hellos, 3);
        assert_int_equal(h.batches, 3);
        assert_int_equal(h.acks, 3);
        assert_int_equal(h.beats, 3);
        assert_int_equal(h.tallies, 3);
        assert_int_equal(h.streams, 3);
        evbuffer_free(in);
        stop_listening(&h);
    }
    sc_buf_free(&w.out);
}

/* Of these bytes no further ones make a message. */
static void a_stream_of_other_bytes_ends(void **state)
{
    (void)state;
    static const uint8_t http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    static const uint8_t v9[20] = {0, 9, 0, 20}, tiny[16] = {0, 10, 0, 15};
    static const struct {
        const uint8_t *bytes;
        size_t length;
    } streams[] = {{http, sizeof(http)}, {v9, sizeof(v9)}, {tiny, sizeof(tiny)}};
    for (uint32_t i = 0; i < 3; i++) {
        struct evbuffer *in = evbuffer_new();
        struct heard h;
        assert_non_null(in);
        listen_to(&h);
        assert_int_equal(evbuffer_add(in, streams[i].bytes, streams[i].length), 0);
        assert_int_equal(sc_link_drain(in, &h.reader, &h.err), SC_MALFORMED);
        evbuffer_free(in);
        stop_listening(&h);
    }
}

/* ---- what is no link is refused ---- */

static void nothing_comes_before_the_greeting(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    put_one_of_each(&w, 100);
    for (size_t at = 0, message = 0; at < w.out.len; at = next_message(&w.out, at), message++) {
        struct heard h;
        listen_to(&h);
        enum sc_status status = feed(&h, w.out.data + at, next_message(&w.out, at) - at);
        assert_int_equal(status, message < 2 ? SC_OK : SC_UNSUPPORTED); /* templates and HELLO */
        assert_int_equal(records_of(&h), message == 1);
        stop_listening(&h);
    }
    sc_buf_free(&w.out);
}

static enum sc_status feed_hello(struct heard *h, uint16_t version, const char *name, size_t length)
{
    struct sc_buf record = {0}, out = {0};
    put_be(&record, version, 2);
    put_be(&record, 1, 8);
    put_be(&record, 1, 4);
    put_be(&record, length, 1);
    sc_buf_append(&record, name, length);
    put_set(&out, 256, record.data, record.len);
    listen_to(h);
    enum sc_status status = feed(h, out.data, out.len);
    sc_buf_free(&record);
    sc_buf_free(&out);
    return status;
}

/* The user is to read that versions differ, whatever a newer greeting looks like behind its version. */
static void greetings_of_other_versions(void **state)
{
    (void)state;
    static const uint16_t versions[] = {0, SC_LINK_VERSION + 1, 65535};
    char name[254];
    struct heard h;
    memset(name, 'n', sizeof(name));
    for (uint32_t i = 0; i < 3; i++) {
        for (size_t length = 0; length <= sizeof(name); length += length < 70 ? 1 : 23) {
            assert_int_equal(feed_hello(&h, versions[i], name, length), SC_UNSUPPORTED);
            assert_int_equal(h.hellos, 0);
            assert_false(h.reader.greeted);
            stop_listening(&h);
        }
    }
}

static void names_fit_or_are_refused(void **state)
{
    (void)state;
    char name[254];
    struct heard h;
    memset(name, 'n', sizeof(name));
    for (size_t length = 0; length <= sizeof(name); length++) {
        bool fits = length > 0 && length < SC_LINK_NAME_MAX;
        assert_int_equal(feed_hello(&h, SC_LINK_VERSION, name, length), fits ? SC_OK : SC_MALFORMED);
        assert_int_equal(h.hellos, fits);
        assert_int_equal(strlen(h.hello.name), fits ? length : 0);
        stop_listening(&h);
    }
    static const char *const bad[] = {"a b", "a\nheard 1", "-a", "a/b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(feed_hello(&h, SC_LINK_VERSION, bad[i], strlen(bad[i])), SC_MALFORMED);
        assert_int_equal(h.hellos, 0);
        stop_listening(&h);
    }
    struct sc_link_writer w = {0};
    struct sc_link_hello hello = greeting;
    memset(hello.name, 'm', sizeof(hello.name)); /* without an end: what fits is sent */
    sc_link_put_hello(&w, &hello);
    listen_to(&h);
    assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_OK);
    assert_int_equal(strlen(h.hello.name), SC_LINK_NAME_MAX - 1);
    stop_listening(&h);
    sc_buf_free(&w.out);
}

/* A head with one value changed, and the bytes behind it. */
static enum sc_status feed_batch(const struct sc_batch_head *head, const uint8_t *bytes, size_t length)
{
    struct sc_link_writer w = {0};
    struct heard h;
    struct sc_batch_head empty = *head;
    empty.size = 0;
    put_batch(&w, &empty, NULL);
    sc_store_be32(w.out.data + w.out.len - 12, head->size);
    for (size_t at = 0; at < length; at += 65000)
        put_part(&w.out, bytes + at, (uint16_t)(length - at < 65000 ? length - at : 65000));
    listen_to(&h);
    greet(&h);
    enum sc_status status = feed_stream(&h, w.out.data, w.out.len);
    assert_int_equal(h.batches, status == SC_OK && length >= head->size && length != 0);
    stop_listening(&h);
    sc_buf_free(&w.out);
    return status;
}

static void batches_that_are_none(void **state)
{
    (void)state;
    uint8_t bytes[3000];
    fill(bytes, sizeof(bytes), 9);
    const struct sc_batch_head whole = head_of(bytes, sizeof(bytes), 1);
    struct sc_batch_head head = whole;
    assert_int_equal(feed_batch(&head, bytes, sizeof(bytes)), SC_OK);
    assert_int_equal(feed_batch(&head, bytes, sizeof(bytes) - 1), SC_OK); /* it waits for the last byte */
    head.size = 0;
    assert_int_equal(feed_batch(&head, bytes, 0), SC_MALFORMED);
    head.size = SC_LINK_MAX_BATCH + 1;
    assert_int_equal(feed_batch(&head, bytes, 0), SC_MALFORMED);
    head.size = UINT32_MAX;
    assert_int_equal(feed_batch(&head, bytes, 0), SC_MALFORMED);
    head.size = SC_LINK_MAX_BATCH;
    assert_int_equal(feed_batch(&head, bytes, 0), SC_OK);
    for (uint32_t less = 1; less < sizeof(bytes);
         less += 499) { /* the last part is longer than what is missing */
        head.size = whole.size - less;
        assert_int_equal(feed_batch(&head, bytes, sizeof(bytes)), SC_MALFORMED);
    }
    head = whole;
    head.hash ^= 1;
    assert_int_equal(feed_batch(&head, bytes, sizeof(bytes)), SC_OK); /* who stores it judges its bytes */
}

static void parts_and_heads_take_turns(void **state)
{
    (void)state;
    uint8_t bytes[600];
    struct sc_link_writer w = {0};
    struct heard h;
    fill(bytes, sizeof(bytes), 2);
    const struct sc_batch_head head = head_of(bytes, sizeof(bytes), 1);
    put_batch(&w, &head, bytes);
    size_t part = next_message(&w.out, 0), all = w.out.len;
    listen_to(&h);
    greet(&h);
    assert_int_equal(feed(&h, w.out.data + part, all - part), SC_MALFORMED); /* bytes without a head */
    stop_listening(&h);
    listen_to(&h);
    greet(&h);
    assert_int_equal(feed_stream(&h, w.out.data, all), SC_OK);
    assert_int_equal(feed(&h, w.out.data + part, all - part), SC_MALFORMED); /* the batch is whole already */
    stop_listening(&h);
    listen_to(&h);
    greet(&h);
    assert_int_equal(feed(&h, w.out.data, part), SC_OK);
    assert_int_equal(feed(&h, w.out.data, part), SC_MALFORMED); /* a batch within a batch */
    assert_int_equal(h.batches, 0);
    stop_listening(&h);
    sc_buf_free(&w.out);
}

static enum sc_status feed_state(const struct sc_hearsay_head *state, const uint8_t *bytes, uint32_t length)
{
    struct heard h;
    struct sc_link_writer w = {0};
    sc_link_put_state(&w, state);
    sc_link_put_state_part(&w, bytes, length);
    listen_to(&h);
    greet(&h);
    enum sc_status status = feed_stream(&h, w.out.data, w.out.len);
    assert_int_equal(h.states, status == SC_OK && length == state->size);
    stop_listening(&h);
    sc_buf_free(&w.out);
    return status;
}

static void states_that_are_none(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    fill(bytes, sizeof(bytes), 4);
    const struct sc_hearsay_head whole = state_of(bytes, sizeof(bytes));
    struct sc_hearsay_head head = whole;
    assert_int_equal(feed_state(&head, bytes, sizeof(bytes)), SC_OK);
    assert_int_equal(feed_state(&head, bytes, sizeof(bytes) - 1), SC_OK); /* it waits for the last byte */
    assert_int_equal(feed_state(&head, bytes, 0), SC_OK);
    head.size = 999;
    assert_int_equal(feed_state(&head, bytes, sizeof(bytes)), SC_MALFORMED);
    head.size = 0;
    assert_int_equal(feed_state(&head, bytes, 0), SC_MALFORMED);
    head.size = SC_LINK_MAX_STATE + 1;
    assert_int_equal(feed_state(&head, bytes, 0), SC_MALFORMED);
    head = whole;
    head.hash ^= 1;
    assert_int_equal(feed_state(&head, bytes, sizeof(bytes)), SC_MALFORMED);
    head = whole;
    head.proxy[0] = '/';
    assert_int_equal(feed_state(&head, bytes, sizeof(bytes)), SC_MALFORMED);
    struct sc_link_writer w = {0};
    struct heard h;
    sc_link_put_state(&w, &whole);
    sc_link_put_state(&w, &whole);
    listen_to(&h);
    greet(&h);
    assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_MALFORMED); /* one within another */
    stop_listening(&h);
    sc_buf_clear(&w.out);
    sc_link_put_state_part(&w, bytes, 10);
    listen_to(&h);
    greet(&h);
    assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_MALFORMED); /* bytes without a head */
    stop_listening(&h);
    sc_buf_free(&w.out);
}

static void acks_of_nothing(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    struct heard h;
    sc_link_put_ack(&w, &(struct sc_link_ack){.first = 8, .last = 7});
    listen_to(&h);
    greet(&h);
    assert_int_equal(feed_stream(&h, w.out.data, w.out.len), SC_MALFORMED);
    assert_int_equal(h.acks, 0);
    stop_listening(&h);
    sc_buf_free(&w.out);
}

/* ---- cut and changed ---- */

enum cut { PLAIN, HEADER_SAYS_SO, SET_SAYS_SO, CUTS };

/* What a message of one set is worth when only `length` bytes of it are there. */
static enum sc_status expected(enum cut cut, size_t length, bool templates)
{
    if (length < 16 || cut == PLAIN)
        return SC_MALFORMED;
    if (length == 16 || (cut == SET_SAYS_SO && (templates || length == 20)))
        return SC_OK;
    return SC_MALFORMED;
}

static void check_cut(const uint8_t *message, size_t length, bool announced, bool templates, enum cut cut)
{
    uint8_t copy[1200];
    struct heard h;
    assert_true(length <= sizeof(copy));
    memcpy(copy, message, length);
    if (cut != PLAIN)
        sc_store_be16(copy + 2, (uint16_t)length);
    if (cut == SET_SAYS_SO)
        sc_store_be16(copy + 18, (uint16_t)(length - 16));
    listen_to(&h);
    greet(&h);
    if (announced) {
        uint8_t bytes[500];
        struct sc_link_writer w = {0};
        fill(bytes, sizeof(bytes), sizeof(bytes));
        const struct sc_batch_head head = head_of(bytes, sizeof(bytes), 7);
        put_batch(&w, &head, bytes);
        assert_int_equal(feed(&h, w.out.data, next_message(&w.out, 0)), SC_OK);
        sc_buf_free(&w.out);
    }
    assert_int_equal(feed(&h, copy, length), expected(cut, length, templates));
    assert_int_equal(records_of(&h), 1);
    stop_listening(&h);
}

static void messages_cut_at_every_length(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    put_one_of_each(&w, 500);
    for (size_t at = 0, message = 0; at < w.out.len; at = next_message(&w.out, at), message++) {
        size_t whole = next_message(&w.out, at) - at;
        for (size_t length = 0; length < whole; length++) {
            for (enum cut cut = PLAIN; cut < CUTS; cut++) {
                if (length >= 20 || cut == PLAIN || (length >= 16 && cut == HEADER_SAYS_SO))
                    check_cut(w.out.data + at, length, message == 3, message == 0, cut);
            }
        }
    }
    sc_buf_free(&w.out);
}

/* Whatever one byte becomes: refused, or read as something that is well-formed; where the bytes of a batch are others, the hash in
 * its head tells. */
static void every_byte_changed(void **state)
{
    (void)state;
    static const uint8_t changes[] = {0x01, 0x02, 0x10, 0x40, 0x80, 0xff};
    struct sc_link_writer w = {0};
    uint8_t bytes[300];
    uint32_t refused = 0, others = 0;
    put_one_of_each(&w, sizeof(bytes));
    fill(bytes, sizeof(bytes), sizeof(bytes));
    for (size_t i = 0; i < w.out.len; i++) {
        for (uint32_t c = 0; c < sizeof(changes); c++) {
            struct heard h;
            listen_to(&h);
            w.out.data[i] ^= changes[c];
            enum sc_status status = feed_stream(&h, w.out.data, w.out.len);
            w.out.data[i] ^= changes[c];
            assert_true(status == SC_OK || status == SC_MALFORMED || status == SC_UNSUPPORTED);
            bool same = h.bytes.len == sizeof(bytes) && memcmp(h.bytes.data, bytes, sizeof(bytes)) == 0;
            assert_true(h.batches == 0 || same || sc_link_hash(h.bytes.data, h.bytes.len) != h.head.hash);
            others += h.batches != 0 && !same;
            refused += status != SC_OK;
            stop_listening(&h);
        }
    }
    assert_true(others >= sizeof(bytes) * sizeof(changes));
    assert_true(refused > 100 * sizeof(changes));
    sc_buf_free(&w.out);
}

/* ---- it is IPFIX ---- */

/* A collector that knows nothing of the link takes it for flows: no set without a template, no gap, nothing malformed. */
static void any_ipfix_collector_can_read_it(void **state)
{
    (void)state;
    struct sc_link_writer w = {0};
    struct kit k;
    uint32_t flows = 0, messages = 0, templates = 0;
    for (uint32_t i = 0; i < 3; i++)
        put_one_of_each(&w, i == 1 ? 300000 : 1 + i);
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    k.source.connection = 1;
    for (size_t at = 0; at < w.out.len; at = next_message(&w.out, at), messages++) {
        size_t length = next_message(&w.out, at) - at;
        assert_int_equal(
            sc_decoder_message(k.decoder, &k.source, w.out.data + at, length, &k.sink, &k.outcome, &k.err),
            SC_OK);
        assert_int_equal(k.outcome.malformed, 0);
        assert_int_equal(k.outcome.no_template_sets, 0);
        assert_int_equal(k.outcome.lost, 0);
        assert_int_equal(k.outcome.options, 0);
        flows += k.outcome.flows;
        templates += k.outcome.templates;
    }
    assert_int_equal(templates, 3 * 17);
    assert_int_equal(flows, messages - 3);
    assert_int_equal(flows, 3 * 9 + 1 + 5 + 1); /* one of each, three times, and the parts */
    assert_int_equal(sc_batch_finish(k.sink.flows), SC_OK);
    kit_close(&k);
    sc_buf_free(&w.out);
}

UNIT(test_link)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greetings_acks_and_beats_come_back),
        cmocka_unit_test(tallies_and_streams_come_back),
        cmocka_unit_test(states_come_back),
        cmocka_unit_test(batches_of_every_size_come_back),
        cmocka_unit_test(parts_may_be_cut_anywhere),
        cmocka_unit_test(several_records_and_sets_in_a_message),
        cmocka_unit_test(what_is_not_known_is_skipped),
        cmocka_unit_test(records_that_nobody_wants_are_skipped),
        cmocka_unit_test(a_callback_ends_the_message),
        cmocka_unit_test(a_stream_is_cut_into_messages),
        cmocka_unit_test(a_stream_of_other_bytes_ends),
        cmocka_unit_test(nothing_comes_before_the_greeting),
        cmocka_unit_test(greetings_of_other_versions),
        cmocka_unit_test(names_fit_or_are_refused),
        cmocka_unit_test(batches_that_are_none),
        cmocka_unit_test(parts_and_heads_take_turns),
        cmocka_unit_test(states_that_are_none),
        cmocka_unit_test(acks_of_nothing),
        cmocka_unit_test(messages_cut_at_every_length),
        cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(any_ipfix_collector_can_read_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
