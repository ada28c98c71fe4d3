// SPDX-License-Identifier: BSD-3-Clause
/* The board of template states: the newest of each proxy once, within bounds, also while others put and read. */
#include "collect/board.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct sc_link_state head_of(const char *proxy, const uint8_t *bytes, uint32_t size)
{
    struct sc_link_state head = {
        .clock_ms = 1000, .age_ms = 500, .size = size, .hash = sc_link_hash(bytes, size)};
    snprintf(head.proxy, sizeof(head.proxy), "%s", proxy);
    return head;
}

static void put(struct sc_board *board, const char *proxy, const char *text)
{
    const struct sc_link_state head = head_of(proxy, (const uint8_t *)text, (uint32_t)strlen(text));
    assert_int_equal(sc_board_put(board, &head, (const uint8_t *)text), SC_OK);
}

/* What comes next, "" when nothing does. */
static uint64_t expect(struct sc_board *board, uint64_t after, const char *proxy, enum sc_board_whose whose,
                       const char *text)
{
    struct sc_board_state *state = sc_board_next(board, after, proxy, whose);
    uint64_t number = state == NULL ? after : state->number;
    assert_int_equal(state == NULL ? 0 : state->head.size, strlen(text));
    if (state != NULL)
        assert_memory_equal(state->bytes, text, strlen(text));
    sc_board_release(state);
    return number;
}

static void the_newest_of_each_once(void **state)
{
    (void)state;
    struct sc_board *board = sc_board_create();
    expect(board, 0, "a", SC_BOARD_OF, "");
    put(board, "a", "a1");
    put(board, "b", "b1");
    put(board, "a", "a2");
    uint64_t own = expect(board, 0, "a", SC_BOARD_OF, "a2");
    expect(board, own, "a", SC_BOARD_OF, "");
    uint64_t others = expect(board, 0, "a", SC_BOARD_ALL_BUT, "b1");
    expect(board, others, "a", SC_BOARD_ALL_BUT, "");
    others = expect(board, 0, "c", SC_BOARD_ALL_BUT, "b1");
    others = expect(board, others, "c", SC_BOARD_ALL_BUT, "a2");
    put(board, "b", "b1"); /* no news */
    expect(board, others, "c", SC_BOARD_ALL_BUT, "");
    put(board, "b", "b2");
    expect(board, others, "c", SC_BOARD_ALL_BUT, "b2");
    sc_board_free(board);
}

static void a_reader_keeps_what_was_replaced(void **state)
{
    (void)state;
    struct sc_board *board = sc_board_create();
    put(board, "a", "first");
    struct sc_board_state *kept = sc_board_next(board, 0, "a", SC_BOARD_OF);
    put(board, "a", "second");
    sc_board_free(board);
    assert_memory_equal(kept->bytes, "first", 5);
    assert_true(sc_board_age(kept) >= 500);
    sc_board_release(sc_board_keep(kept));
    sc_board_release(kept);
    sc_board_release(NULL);
}

static void what_is_too_much_pushes_out_the_oldest(void **state)
{
    (void)state;
    char name[16];
    struct sc_board *board = sc_board_create();
    for (unsigned i = 0; i <= SC_BOARD_MOST; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        put(board, name, name);
    }
    expect(board, 0, "p0", SC_BOARD_OF, "");
    expect(board, 0, "p1", SC_BOARD_OF, "p1");
    uint8_t *large = calloc(1, SC_LINK_MAX_STATE);
    assert_non_null(large);
    const struct sc_link_state head = head_of("p1", large, SC_LINK_MAX_STATE);
    for (unsigned i = 0; i < 6; i++) { /* each is of another proxy */
        struct sc_link_state h = head;
        snprintf(h.proxy, sizeof(h.proxy), "large%u", i);
        assert_int_equal(sc_board_put(board, &h, large), SC_OK);
    }
    size_t bytes = 0;
    struct sc_board_state *s;
    for (uint64_t after = 0; (s = sc_board_next(board, after, "-", SC_BOARD_ALL_BUT)) != NULL;) {
        bytes += s->head.size;
        after = s->number;
        sc_board_release(s);
    }
    assert_true(bytes <= SC_BOARD_BYTES && bytes >= 3 * (size_t)SC_LINK_MAX_STATE);
    free(large);
    sc_board_free(board);
}

/* ---- sending ---- */

struct far {
    struct sc_link_reader reader;
    struct sc_buf got;
    uint32_t states;
    char proxy[SC_LINK_NAME_MAX];
};

static enum sc_status on_state(void *arg, const struct sc_link_state *state, const uint8_t *bytes)
{
    struct far *f = arg;
    f->states++;
    memcpy(f->proxy, state->proxy, sizeof(f->proxy));
    assert_true(state->age_ms >= 500 && state->clock_ms == 1000);
    sc_buf_clear(&f->got);
    sc_buf_append(&f->got, bytes, state->size);
    return SC_OK;
}

/* A state of a megabyte through a connection that takes a little at a time; it is replaced half-way. */
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
    far.reader.arg = &far;
    assert_int_equal(bufferevent_pair_new(base, 0, pair), 0);
    uint8_t *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    const struct sc_link_state head = head_of("b", bytes, SIZE);
    assert_int_equal(sc_board_put(board, &head, bytes), SC_OK);
    bufferevent_enable(pair[1], EV_READ);
    for (int turn = 0; turn < 30 && far.states < 2; turn++) {
        assert_int_equal(sc_board_send(board, "a", SC_BOARD_ALL_BUT, &sender, MOST, pair[0], &writer), SC_OK);
        assert_true(evbuffer_get_length(bufferevent_get_output(pair[0])) < MOST + SC_LINK_PART + 200);
        event_base_loop(base, EVLOOP_NONBLOCK);
        assert_int_equal(sc_link_drain(bufferevent_get_input(pair[1]), &far.reader, &err), SC_OK);
        if (turn == 3)
            put(board, "b", "newer");
        if (far.states == 1 && far.got.len == SIZE)
            assert_memory_equal(far.got.data, bytes, SIZE);
    }
    assert_int_equal(far.states, 2);
    assert_string_equal(far.proxy, "b");
    assert_int_equal(far.got.len, 5);
    assert_null(sender.state);
    put(board, "b", "last");
    sender.state = sc_board_next(board, 0, "b", SC_BOARD_OF);
    sc_board_sender_reset(&sender);
    assert_int_equal(sender.number, 0);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    event_base_free(base);
    sc_link_reader_free(&far.reader);
    sc_buf_free(&far.got);
    sc_buf_free(&writer.out);
    free(bytes);
    sc_board_free(board);
}

/* ---- threads ---- */

enum { ROUNDS = 2000 };

static void *put_many(void *arg)
{
    char text[32];
    for (int i = 1; i <= ROUNDS; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put(arg, "a", text);
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
        struct sc_board_state *s = sc_board_next(board, after, "b", SC_BOARD_ALL_BUT);
        if (s == NULL)
            continue;
        char text[32] = "";
        memcpy(text, s->bytes, s->head.size);
        assert_true(atoi(text) > seen);
        seen = atoi(text);
        after = s->number;
        sc_board_release(s);
    }
    pthread_join(thread, NULL);
    sc_board_free(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_of_each_once),
        cmocka_unit_test(a_reader_keeps_what_was_replaced),
        cmocka_unit_test(what_is_too_much_pushes_out_the_oldest),
        cmocka_unit_test(a_large_state_goes_in_turns),
        cmocka_unit_test(readers_see_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
