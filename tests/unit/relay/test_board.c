// SPDX-License-Identifier: BSD-3-Clause
/* The board of session records: the newest of each session once, within bounds, also while others put and read. */
#include "collect/templates.h"
#include "relay/board.h"
#include "unit.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_HEAD    44u /* bytes: wire/record.c */
#define RECORD_REMOVED 7u  /* flags */

/* The head of a record of 192.0.2.1, and a text behind it; the board looks no further. */
static uint8_t *make_record(uint16_t port, uint8_t flags, const char *text, size_t more)
{
    const struct sc_addr exporter = sc_addr_v4(0xc0000201);
    uint8_t *record = calloc(1, RECORD_HEAD + strlen(text) + more);
    assert_non_null(record);
    record[0] = 1;
    record[1] = flags;
    sc_store_le16(record + 4, port);
    memcpy(record + 8, exporter.b, sizeof(exporter.b));
    memcpy(record + RECORD_HEAD, text, strlen(text));
    return record;
}

/* Appends the texts of a state's records; their number. */
static uint32_t get_texts(const uint8_t *bytes, size_t size, struct sc_buf *out)
{
    struct sc_cursor list;
    const uint8_t *record;
    uint32_t length, count = 0;
    assert_true(sc_templates_list(bytes, size, &list));
    for (; sc_record_next(&list, &record, &length); count++)
        sc_buf_append(out, record + RECORD_HEAD,
                      strnlen((const char *)record + RECORD_HEAD, length - RECORD_HEAD));
    assert_false(list.failed);
    return count;
}

static struct sc_hearsay_head head_of(const char *proxy, const uint8_t *bytes, uint32_t size)
{
    struct sc_hearsay_head head = {
        .clock_ms = 1000, .age_ms = 500, .size = size, .hash = sc_link_hash(bytes, size)};
    snprintf(head.proxy, sizeof(head.proxy), "%s", proxy);
    return head;
}

/* A state of one record, of the session `port`; behind its head stands the text, and so many bytes more. */
static void put_record(struct sc_board *board, const char *proxy, uint16_t port, const char *text,
                       size_t more)
{
    struct sc_buf bytes = {0};
    uint8_t *record = make_record(port, 0, text, more);
    sc_templates_begin_state(&bytes);
    sc_record_append(&bytes, record, RECORD_HEAD + strlen(text) + more);
    const struct sc_hearsay_head head = head_of(proxy, bytes.data, (uint32_t)bytes.len);
    assert_int_equal(sc_board_put(board, &head, bytes.data), SC_OK);
    sc_buf_free(&bytes);
    free(record);
}

static void put(struct sc_board *board, const char *proxy, uint16_t port, const char *text)
{
    put_record(board, proxy, port, text, 0);
}

/* The texts of the records that come next, one behind the other, "" when nothing comes. */
static uint64_t expect(struct sc_board *board, uint64_t after, const char *proxy, enum sc_board_whose whose,
                       const char *texts)
{
    struct sc_hearsay *state = sc_board_next(board, after, proxy, whose);
    struct sc_buf got = {0};
    uint64_t number = state == NULL ? after : state->number;
    if (state != NULL)
        get_texts(state->bytes, state->head.size, &got);
    sc_buf_append_u8(&got, 0);
    assert_string_equal(got.data, texts);
    sc_buf_free(&got);
    sc_hearsay_release(state);
    return number;
}

static void the_newest_of_each_once(void **state)
{
    (void)state;
    struct sc_board *board = sc_board_create();
    expect(board, 0, "a", SC_BOARD_OF, "");
    put(board, "a", 1, "a1.");
    put(board, "b", 1, "b1.");
    put(board, "a", 1, "A1.");
    put(board, "a", 2, "a2.");
    uint64_t own = expect(board, 0, "a", SC_BOARD_OF, "A1.a2.");
    expect(board, own, "a", SC_BOARD_OF, "");
    uint64_t others = expect(board, 0, "a", SC_BOARD_ALL_BUT, "b1.");
    expect(board, others, "a", SC_BOARD_ALL_BUT, "");
    others = expect(board, 0, "c", SC_BOARD_ALL_BUT, "b1.");
    others = expect(board, others, "c", SC_BOARD_ALL_BUT, "A1.a2.");
    put(board, "b", 1, "b1."); /* no news */
    expect(board, others, "c", SC_BOARD_ALL_BUT, "");
    put(board, "b", 1, "B1.");
    put(board, "a", 2, "A2.");
    put(board, "b", 2, "b2.");
    others = expect(board, others, "c", SC_BOARD_ALL_BUT, "B1.");
    others = expect(board, others, "c", SC_BOARD_ALL_BUT, "A2.");
    others = expect(board, others, "c", SC_BOARD_ALL_BUT, "b2.");
    sc_board_free(board);
}

static void what_is_gone_is_not_told(void **state)
{
    (void)state;
    struct sc_board *board = sc_board_create();
    put(board, "a", 1, "a1.");
    put(board, "a", 2, "a2.");
    struct sc_buf bytes = {0};
    uint8_t *record = make_record(1, RECORD_REMOVED, "", 0);
    sc_templates_begin_state(&bytes);
    sc_record_append(&bytes, record, RECORD_HEAD);
    const struct sc_hearsay_head head = head_of("a", bytes.data, (uint32_t)bytes.len);
    assert_int_equal(sc_board_put(board, &head, bytes.data), SC_OK);
    expect(board, 0, "a", SC_BOARD_OF, "a2.");
    free(record);
    sc_buf_free(&bytes);
    sc_board_free(board);
}

static void a_reader_keeps_what_was_replaced(void **state)
{
    (void)state;
    struct sc_board *board = sc_board_create();
    struct sc_buf got = {0};
    put(board, "a", 1, "first");
    struct sc_hearsay *kept = sc_board_next(board, 0, "a", SC_BOARD_OF);
    put(board, "a", 1, "second");
    sc_board_free(board);
    get_texts(kept->bytes, kept->head.size, &got);
    assert_memory_equal(got.data, "first", 5);
    assert_true(sc_hearsay_age(kept) >= 500);
    sc_hearsay_release(sc_hearsay_hold(kept));
    sc_hearsay_release(kept);
    sc_hearsay_release(NULL);
    sc_buf_free(&got);
}

/* The state of a program before the records is passed on as it is, until the proxy speaks in records. */
static void whole_states_are_passed_on(void **state)
{
    (void)state;
    static const uint8_t whole[] = "SCTSTATE\1\0\0\0\0\0\0";
    struct sc_board *board = sc_board_create();
    const struct sc_hearsay_head head = head_of("a", whole, sizeof(whole));
    put(board, "b", 1, "b1.");
    for (int i = 0; i < 2; i++)
        assert_int_equal(sc_board_put(board, &head, whole), SC_OK);
    uint64_t others = expect(board, 0, "c", SC_BOARD_ALL_BUT, "b1.");
    struct sc_hearsay *got = sc_board_next(board, others, "c", SC_BOARD_ALL_BUT);
    assert_int_equal(got->head.size, sizeof(whole));
    assert_memory_equal(got->bytes, whole, sizeof(whole));
    assert_true(got->head.hash == head.hash);
    others = expect(board, got->number, "c", SC_BOARD_ALL_BUT, "");
    sc_hearsay_release(got);
    put(board, "a", 1, "a1.");
    others = expect(board, others, "c", SC_BOARD_ALL_BUT, "a1.");
    expect(board, 0, "a", SC_BOARD_OF, "a1.");
    sc_board_free(board);
}

/* All that is there, by proxies other than "-". */
static size_t sum_up(struct sc_board *board, uint32_t *records, size_t *largest)
{
    size_t bytes = 0;
    struct sc_hearsay *s;
    *records = 0;
    *largest = 0;
    for (uint64_t after = 0; (s = sc_board_next(board, after, "-", SC_BOARD_ALL_BUT)) != NULL;) {
        struct sc_buf texts = {0};
        *records += get_texts(s->bytes, s->head.size, &texts);
        bytes += s->head.size;
        *largest = s->head.size > *largest ? s->head.size : *largest;
        after = s->number;
        sc_buf_free(&texts);
        sc_hearsay_release(s);
    }
    return bytes;
}

static void what_is_too_much_is_left_out(void **state)
{
    (void)state;
    enum { LARGE = 4 << 20 };
    char name[16];
    uint32_t records;
    size_t largest;
    struct sc_board *board = sc_board_create();
    for (unsigned i = 0; i < SC_BOARD_MOST; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        put(board, name, 1, name);
    }
    for (uint16_t port = 1; port <= 40; port++) /* one proxy's own bound */
        put_record(board, "p1", port, "large", LARGE);
    expect(board, 0, "p2", SC_BOARD_OF, "p2");
    size_t bytes = sum_up(board, &records, &largest);
    assert_true(bytes <= SC_BOARD_PROXY_BYTES && bytes >= SC_BOARD_PROXY_BYTES - 2 * LARGE);
    for (unsigned i = 3; i < 8; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        for (uint16_t port = 100; port < 115; port++)
            put_record(board, name, port, "large", LARGE);
    }
    bytes = sum_up(board, &records, &largest);
    assert_true(bytes <= SC_BOARD_BYTES && bytes >= SC_BOARD_BYTES - 2 * LARGE);
    expect(board, 0, "p2", SC_BOARD_OF, "p2"); /* who has little keeps it */
    put(board, "new", 1, "one too many");
    expect(board, 0, "new", SC_BOARD_OF, "one too many");
    sum_up(board, &records, &largest);
    assert_true(largest <= LARGE + 200);
    sc_board_free(board);
}

/* Many sessions come in pieces, each once, in their order. */
static void many_come_in_pieces(void **state)
{
    (void)state;
    enum { SESSIONS = 20000 };
    uint32_t records;
    size_t largest;
    struct sc_board *board = sc_board_create();
    for (uint32_t i = 0; i < SESSIONS; i++)
        put_record(board, "a", (uint16_t)i, "some of the templates", 60);
    size_t bytes = sum_up(board, &records, &largest);
    assert_int_equal(records, SESSIONS);
    assert_true(largest <= SC_BOARD_STATE && bytes > 4 * SC_BOARD_STATE);
    sc_board_free(board);
}

/* ---- sending ---- */

struct far {
    struct sc_link_reader reader;
    struct sc_buf got;
    uint32_t states;
    char proxy[SC_LINK_NAME_MAX];
    struct sc_buf *texts; /* NULL: not wanted */
};

static enum sc_status on_state(void *arg, const struct sc_hearsay_head *state, const uint8_t *bytes)
{
    struct far *f = arg;
    f->states++;
    memcpy(f->proxy, state->proxy, sizeof(f->proxy));
    assert_true(state->age_ms >= 500 && state->clock_ms == 1000);
    sc_buf_clear(&f->got);
    sc_buf_append(&f->got, bytes, state->size);
    if (f->texts != NULL)
        get_texts(bytes, state->size, f->texts);
    return SC_OK;
}

/* A record of a megabyte through a connection that takes a little at a time; it is replaced half-way. */
static void a_large_state_goes_in_turns(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, MOST = 100000 };
    struct sc_board *board = sc_board_create();
    struct event_base *base = event_base_new();
    struct bufferevent *pair[2];
    struct sc_link_writer writer = {0};
    struct sc_board_sender sender = {0};
    struct far far = {.reader = {.state = on_state, .greeted = true}};
    struct sc_error err;
    struct sc_buf texts = {0};
    far.reader.arg = &far;
    assert_int_equal(bufferevent_pair_new(base, 0, pair), 0);
    put_record(board, "b", 1, "large", SIZE);
    bufferevent_enable(pair[1], EV_READ);
    for (int turn = 0; turn < 30 && far.states < 2; turn++) {
        assert_int_equal(sc_board_send(board, "a", SC_BOARD_ALL_BUT, &sender, MOST, pair[0], &writer), SC_OK);
        assert_true(evbuffer_get_length(bufferevent_get_output(pair[0])) < MOST + SC_LINK_PART + 200);
        event_base_loop(base, EVLOOP_NONBLOCK);
        assert_int_equal(sc_link_drain(bufferevent_get_input(pair[1]), &far.reader, &err), SC_OK);
        if (turn == 3)
            put(board, "b", 1, "newer");
        if (far.states == 1)
            assert_true(far.got.len > SIZE);
    }
    assert_int_equal(far.states, 2);
    assert_string_equal(far.proxy, "b");
    get_texts(far.got.data, far.got.len, &texts);
    assert_int_equal(texts.len, 5);
    assert_memory_equal(texts.data, "newer", 5);
    assert_null(sender.state);
    sc_buf_free(&texts);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    event_base_free(base);
    sc_link_reader_free(&far.reader);
    sc_buf_free(&far.got);
    sc_buf_free(&writer.out);
    sc_board_free(board);
}

/* All that a sender sends over one connection, as texts. */
static void send_all(struct sc_board *board, struct sc_board_sender *sender, struct sc_buf *texts)
{
    struct event_base *base = event_base_new();
    struct bufferevent *pair[2];
    struct sc_link_writer writer = {0};
    struct far far = {.reader = {.state = on_state, .greeted = true}, .texts = texts};
    struct sc_error err;
    far.reader.arg = &far;
    sc_buf_clear(texts);
    assert_int_equal(bufferevent_pair_new(base, 0, pair), 0);
    bufferevent_enable(pair[1], EV_READ);
    assert_int_equal(sc_board_send(board, "a", SC_BOARD_ALL_BUT, sender, SIZE_MAX, pair[0], &writer), SC_OK);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(sc_link_drain(bufferevent_get_input(pair[1]), &far.reader, &err), SC_OK);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    event_base_free(base);
    sc_link_reader_free(&far.reader);
    sc_buf_free(&far.got);
    sc_buf_free(&writer.out);
    sc_buf_append_u8(texts, 0);
}

/* To a proxy that connects its own comes back, as it is then; what it says later does not. */
static void a_proxy_gets_back_its_own_once(void **state)
{
    (void)state;
    struct sc_board *board = sc_board_create();
    struct sc_board_sender sender = {0};
    struct sc_buf texts = {0};
    put(board, "a", 1, "a1.");
    put(board, "b", 1, "b1.");
    put(board, "a", 2, "a2.");
    sc_board_sender_begin(&sender, board);
    put(board, "a", 3, "a3.");
    put(board, "b", 2, "b2.");
    send_all(board, &sender, &texts);
    assert_string_equal(texts.data, "a1.b1.a2.b2.");
    put(board, "a", 4, "a4.");
    put(board, "b", 3, "b3.");
    send_all(board, &sender, &texts);
    assert_string_equal(texts.data, "b3.");
    sc_board_sender_reset(&sender);
    assert_int_equal(sender.number, 0);
    sc_buf_free(&texts);
    sc_board_free(board);
}

/* ---- threads ---- */

enum { ROUNDS = 2000 };

static void *put_many(void *arg)
{
    char text[32];
    for (int i = 1; i <= ROUNDS; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put(arg, "a", (uint16_t)(i % 3), text);
    }
    return NULL;
}

static void readers_see_the_last(void **state)
{
    (void)state;
    struct sc_board *board = sc_board_create();
    pthread_t thread;
    uint64_t after = 0;
    int seen = 0;
    assert_int_equal(pthread_create(&thread, NULL, put_many, board), 0);
    while (seen < ROUNDS) {
        struct sc_hearsay *s = sc_board_next(board, after, "b", SC_BOARD_ALL_BUT);
        if (s == NULL)
            continue;
        struct sc_cursor list;
        const uint8_t *record;
        uint32_t length;
        assert_true(sc_templates_list(s->bytes, s->head.size, &list));
        while (sc_record_next(&list, &record, &length)) {
            char text[32] = "";
            memcpy(text, record + RECORD_HEAD, length - RECORD_HEAD);
            assert_true(atoi(text) > seen);
            seen = atoi(text);
        }
        after = s->number;
        sc_hearsay_release(s);
    }
    pthread_join(thread, NULL);
    sc_board_free(board);
}

UNIT(test_board)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_of_each_once),      cmocka_unit_test(a_reader_keeps_what_was_replaced),
        cmocka_unit_test(what_is_gone_is_not_told),     cmocka_unit_test(whole_states_are_passed_on),
        cmocka_unit_test(what_is_too_much_is_left_out), cmocka_unit_test(many_come_in_pieces),
        cmocka_unit_test(a_large_state_goes_in_turns),  cmocka_unit_test(a_proxy_gets_back_its_own_once),
        cmocka_unit_test(readers_see_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
