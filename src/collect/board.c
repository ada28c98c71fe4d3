// SPDX-License-Identifier: BSD-3-Clause
#include "collect/board.h"

#include "base/clock.h"

#include <event2/buffer.h>
#include <pthread.h>
#include <stdlib.h>

struct sc_board {
    pthread_mutex_t mutex;
    struct sc_board_state *states[SC_BOARD_MOST]; /* by ascending number */
    uint32_t count;
    size_t bytes;
    uint64_t number; /* of the last one that came */
};

struct sc_board *sc_board_create(void)
{
    struct sc_board *board = calloc(1, sizeof(*board));
    if (board != NULL)
        pthread_mutex_init(&board->mutex, NULL);
    return board;
}

struct sc_board_state *sc_board_keep(struct sc_board_state *state)
{
    atomic_fetch_add(&state->readers, 1);
    return state;
}

void sc_board_release(struct sc_board_state *state)
{
    if (state != NULL && atomic_fetch_sub(&state->readers, 1) == 1)
        free(state);
}

void sc_board_free(struct sc_board *board)
{
    if (board == NULL)
        return;
    for (uint32_t i = 0; i < board->count; i++)
        sc_board_release(board->states[i]);
    pthread_mutex_destroy(&board->mutex);
    free(board);
}

/* ---- putting ---- */

static void take_down(struct sc_board *board, uint32_t at)
{
    struct sc_board_state *state = board->states[at];
    board->bytes -= state->head.size;
    board->count--;
    memmove(&board->states[at], &board->states[at + 1],
            (board->count - at) * sizeof(struct sc_board_state *));
    sc_board_release(state);
}

/* The place of the proxy's state; `count` when it has none. */
static uint32_t find(const struct sc_board *board, const char *proxy)
{
    uint32_t at = 0;
    while (at < board->count && strcmp(board->states[at]->head.proxy, proxy) != 0)
        at++;
    return at;
}

static void hang_up(struct sc_board *board, struct sc_board_state *state)
{
    uint32_t old = find(board, state->head.proxy);
    if (old < board->count)
        take_down(board, old);
    while (board->count == SC_BOARD_MOST ||
           (board->count != 0 && board->bytes + state->head.size > SC_BOARD_BYTES))
        take_down(board, 0);
    state->number = ++board->number;
    board->bytes += state->head.size;
    board->states[board->count++] = state;
}

enum sc_status sc_board_put(struct sc_board *board, const struct sc_link_state *head, const uint8_t *bytes)
{
    struct sc_board_state *state = malloc(sizeof(*state) + head->size);
    if (state == NULL)
        return SC_NOMEM;
    state->head = *head;
    state->came_ms = sc_clock_mono_ms();
    atomic_init(&state->readers, 1);
    memcpy(state->bytes, bytes, head->size);
    pthread_mutex_lock(&board->mutex);
    uint32_t at = find(board, head->proxy);
    bool known = at < board->count && board->states[at]->head.hash == head->hash &&
                 board->states[at]->head.size == head->size;
    if (!known)
        hang_up(board, state);
    pthread_mutex_unlock(&board->mutex);
    if (known)
        sc_board_release(state);
    return SC_OK;
}

/* ---- reading ---- */

struct sc_board_state *sc_board_next(struct sc_board *board, uint64_t after, const char *proxy,
                                     enum sc_board_whose whose)
{
    struct sc_board_state *next = NULL;
    pthread_mutex_lock(&board->mutex);
    for (uint32_t i = 0; i < board->count && next == NULL; i++) {
        struct sc_board_state *state = board->states[i];
        bool is_its = strcmp(state->head.proxy, proxy) == 0;
        if (state->number > after && is_its == (whose == SC_BOARD_OF))
            next = state;
    }
    if (next != NULL)
        atomic_fetch_add(&next->readers, 1);
    pthread_mutex_unlock(&board->mutex);
    return next;
}

uint64_t sc_board_age(const struct sc_board_state *state)
{
    return state->head.age_ms + (sc_clock_mono_ms() - state->came_ms);
}

/* ---- sending ---- */

void sc_board_sender_reset(struct sc_board_sender *sender)
{
    sc_board_release(sender->state);
    *sender = (struct sc_board_sender){0};
}

static void put_part(struct sc_board_sender *s, struct sc_link_writer *writer)
{
    uint32_t left = s->state->head.size - s->sent, n = left < SC_LINK_PART ? left : SC_LINK_PART;
    if (s->sent == 0) {
        struct sc_link_state head = s->state->head;
        head.age_ms = sc_board_age(s->state);
        sc_link_put_state(writer, &head);
    }
    sc_link_put_state_part(writer, s->state->bytes + s->sent, n);
    s->sent += n;
    if (s->sent < s->state->head.size)
        return;
    sc_board_release(s->state);
    s->state = NULL;
    s->sent = 0;
}

enum sc_status sc_board_send(struct sc_board *board, const char *proxy, enum sc_board_whose whose,
                             struct sc_board_sender *s, size_t most, struct bufferevent *to,
                             struct sc_link_writer *writer)
{
    while (evbuffer_get_length(bufferevent_get_output(to)) < most) {
        if (s->state == NULL) {
            s->state = sc_board_next(board, s->number, proxy, whose);
            if (s->state == NULL)
                return SC_OK;
            s->number = s->state->number;
        }
        put_part(s, writer);
        SC_TRY(sc_link_send(to, writer));
    }
    return SC_OK;
}
