// SPDX-License-Identifier: BSD-3-Clause
#include "relay/board.h"

#include "base/clock.h"
#include "collect/templates.h"

#include <event2/buffer.h>
#include <pthread.h>
#include <stdlib.h>

#define COMPLAINT_MS 60000u

_Static_assert(SC_RECORD_MAX + SC_TEMPLATES_STATE_BYTES + sizeof(uint32_t) < SC_LINK_MAX_STATE,
               "the link takes any record");

struct proxy {
    char name[SC_LINK_NAME_MAX];
    uint64_t clock_ms, age_ms; /* as its last state told, which */
    uint64_t came_ms;          /* came then, monotonic */
    struct sc_roll roll;
    struct sc_hearsay *whole; /* of a program before the records; NULL: none */
};

struct sc_board {
    pthread_mutex_t mutex;
    struct proxy *proxies[SC_BOARD_MOST];
    uint32_t count;
    uint64_t number; /* of the last record that came */
    uint64_t left_out;
    struct sc_addr left_out_of; /* the exporter of the last one */
    uint64_t complained_ms;
    bool complained;
};

struct sc_board *sc_board_create(void)
{
    struct sc_board *board = calloc(1, sizeof(*board));
    if (board != NULL)
        pthread_mutex_init(&board->mutex, NULL);
    return board;
}

static void free_proxy(struct proxy *proxy)
{
    sc_hearsay_release(proxy->whole);
    sc_roll_free(&proxy->roll);
    free(proxy);
}

void sc_board_free(struct sc_board *board)
{
    if (board == NULL)
        return;
    for (uint32_t i = 0; i < board->count; i++)
        free_proxy(board->proxies[i]);
    pthread_mutex_destroy(&board->mutex);
    free(board);
}

/* ---- places of proxies ---- */

static size_t bytes_of(const struct proxy *proxy)
{
    return proxy->roll.bytes + (proxy->whole == NULL ? 0 : sizeof(*proxy->whole) + proxy->whole->head.size);
}

static void count_left_out(struct sc_board *board, struct sc_roll *roll)
{
    board->left_out += roll->left_out;
    if (roll->left_out != 0)
        board->left_out_of = roll->left_out_of;
    roll->left_out = 0;
}

static void give_up(struct sc_board *board, uint32_t at)
{
    struct proxy *proxy = board->proxies[at];
    proxy->roll.left_out += proxy->roll.count;
    count_left_out(board, &proxy->roll);
    free_proxy(proxy);
    board->proxies[at] = board->proxies[--board->count];
}

/* The proxy that said nothing for the longest time. */
static uint32_t quietest(const struct sc_board *board)
{
    uint32_t found = 0;
    for (uint32_t i = 1; i < board->count; i++) {
        if (board->proxies[i]->came_ms < board->proxies[found]->came_ms)
            found = i;
    }
    return found;
}

static struct proxy *find(const struct sc_board *board, const char *name)
{
    for (uint32_t i = 0; i < board->count; i++) {
        if (strcmp(board->proxies[i]->name, name) == 0)
            return board->proxies[i];
    }
    return NULL;
}

static struct proxy *find_or_add(struct sc_board *board, const char *name)
{
    struct proxy *proxy = find(board, name);
    if (proxy != NULL)
        return proxy;
    proxy = calloc(1, sizeof(*proxy));
    if (proxy == NULL)
        return NULL;
    snprintf(proxy->name, sizeof(proxy->name), "%s", name);
    sc_roll_init(&proxy->roll, SC_BOARD_PROXY_BYTES);
    if (board->count == SC_BOARD_MOST)
        give_up(board, quietest(board));
    board->proxies[board->count++] = proxy;
    return proxy;
}

static void leave_out(struct sc_board *board, struct proxy *proxy)
{
    if (proxy->whole != NULL) {
        sc_hearsay_release(proxy->whole);
        proxy->whole = NULL;
        board->left_out++;
        return;
    }
    sc_roll_leave_out(&proxy->roll);
    count_left_out(board, &proxy->roll);
}

/* Down to the bound of all, at the cost of who has the most. */
static void make_room(struct sc_board *board)
{
    for (;;) {
        size_t sum = 0;
        struct proxy *most = NULL;
        for (uint32_t i = 0; i < board->count; i++) {
            struct proxy *proxy = board->proxies[i];
            sum += bytes_of(proxy);
            most = most == NULL || bytes_of(proxy) > bytes_of(most) ? proxy : most;
        }
        if (sum <= SC_BOARD_BYTES)
            return;
        leave_out(board, most);
    }
}

/* ---- putting ---- */

static enum sc_status put_records(struct sc_board *board, struct proxy *proxy, struct sc_cursor *list)
{
    const uint8_t *record;
    uint32_t length;
    bool news;
    sc_hearsay_release(proxy->whole);
    proxy->whole = NULL;
    while (sc_record_next(list, &record, &length)) {
        if (sc_roll_put(&proxy->roll, record, length, board->number + 1, &news) == SC_NOMEM)
            return SC_NOMEM;
        board->number += news;
    }
    count_left_out(board, &proxy->roll);
    return SC_OK;
}

static struct sc_hearsay *make_state(const struct proxy *proxy, const uint8_t *bytes, size_t size,
                                     uint64_t number)
{
    struct sc_hearsay_head head = {.clock_ms = proxy->clock_ms,
                                   .age_ms = proxy->age_ms,
                                   .size = (uint32_t)size,
                                   .hash = sc_link_hash(bytes, size)};
    memcpy(head.proxy, proxy->name, sizeof(head.proxy));
    struct sc_hearsay *state = sc_hearsay_create(&head, bytes);
    if (state == NULL)
        return NULL;
    state->came_ms = proxy->came_ms;
    state->number = number;
    return state;
}

/* It takes the place of all that the proxy said before. */
static enum sc_status put_whole(struct sc_board *board, struct proxy *proxy,
                                const struct sc_hearsay_head *head, const uint8_t *bytes)
{
    const struct sc_hearsay *old = proxy->whole;
    if (old != NULL && old->head.hash == head->hash && old->head.size == head->size)
        return SC_OK;
    struct sc_hearsay *state = make_state(proxy, bytes, head->size, board->number + 1);
    if (state == NULL)
        return SC_NOMEM;
    sc_hearsay_release(proxy->whole);
    sc_roll_free(&proxy->roll);
    proxy->whole = state;
    board->number++;
    return SC_OK;
}

static enum sc_status put(struct sc_board *board, const struct sc_hearsay_head *head, const uint8_t *bytes)
{
    struct sc_cursor list;
    struct proxy *proxy = find_or_add(board, head->proxy);
    if (proxy == NULL)
        return SC_NOMEM;
    proxy->clock_ms = head->clock_ms;
    proxy->age_ms = head->age_ms;
    proxy->came_ms = sc_clock_mono_ms();
    enum sc_status status = sc_templates_list(bytes, head->size, &list)
                                ? put_records(board, proxy, &list)
                                : put_whole(board, proxy, head, bytes);
    make_room(board);
    return status;
}

enum sc_status sc_board_put(struct sc_board *board, const struct sc_hearsay_head *head, const uint8_t *bytes)
{
    pthread_mutex_lock(&board->mutex);
    enum sc_status status = put(board, head, bytes);
    pthread_mutex_unlock(&board->mutex);
    return status;
}

void sc_board_complain(struct sc_board *board, const struct sc_log *log)
{
    char exporter[SC_ADDR_TEXT_MAX];
    uint64_t now = sc_clock_mono_ms(), count = 0;
    pthread_mutex_lock(&board->mutex);
    if (board->left_out != 0 && (!board->complained || now - board->complained_ms >= COMPLAINT_MS)) {
        count = board->left_out;
        board->left_out = 0;
        board->complained = true;
        board->complained_ms = now;
        sc_addr_format(&board->left_out_of, exporter);
    }
    pthread_mutex_unlock(&board->mutex);
    if (count != 0)
        sc_log(log, SC_LOG_WARNING,
               "templates of %llu sessions, at last of exporter %s, find no room beside those of others: a "
               "proxy "
               "that takes over waits until they are repeated",
               (unsigned long long)count, exporter);
}

/* ---- reading ---- */

/* Whose records a reader wants. */
struct reader {
    const char *proxy;
    enum sc_board_whose whose;
    uint64_t after;
    uint64_t echo; /* the proxy's own too, up to this number */
};

/* The number of the proxy's first record that the reader wants. UINT64_MAX: there is none. */
static uint64_t first_number(const struct proxy *proxy, const struct reader *reader)
{
    bool is_its = strcmp(proxy->name, reader->proxy) == 0;
    const struct sc_roll_entry *entry = sc_roll_after(&proxy->roll, reader->after);
    uint64_t number = entry == NULL ? UINT64_MAX : entry->number;
    if (proxy->whole != NULL && proxy->whole->number > reader->after)
        number = proxy->whole->number;
    bool wanted = is_its == (reader->whose == SC_BOARD_OF) || (is_its && number <= reader->echo);
    return wanted ? number : UINT64_MAX;
}

/* The records of one proxy up to the first of another. */
static struct sc_hearsay *gather(const struct proxy *proxy, uint64_t after, uint64_t until)
{
    struct sc_buf bytes = {0};
    uint64_t number = after;
    sc_templates_begin_state(&bytes);
    for (const struct sc_roll_entry *e = sc_roll_after(&proxy->roll, after); e != NULL && e->number < until;
         e = sc_roll_after(&proxy->roll, e->number)) {
        if (number != after && bytes.len + e->length > SC_BOARD_STATE)
            break;
        sc_record_append(&bytes, e->record, e->length);
        number = e->number;
    }
    struct sc_hearsay *state = sc_buf_ok(&bytes) ? make_state(proxy, bytes.data, bytes.len, number) : NULL;
    sc_buf_free(&bytes);
    return state;
}

static struct sc_hearsay *next(const struct sc_board *board, const struct reader *reader)
{
    const struct proxy *first = NULL;
    uint64_t number = UINT64_MAX, until = UINT64_MAX;
    for (uint32_t i = 0; i < board->count; i++) {
        uint64_t its = first_number(board->proxies[i], reader);
        if (its < number) {
            until = number;
            number = its;
            first = board->proxies[i];
        } else if (its < until) {
            until = its;
        }
    }
    if (first == NULL)
        return NULL;
    if (first->whole != NULL)
        return sc_hearsay_hold(first->whole);
    if (strcmp(first->name, reader->proxy) == 0 && reader->whose == SC_BOARD_ALL_BUT && reader->echo < until)
        until = reader->echo + 1;
    return gather(first, reader->after, until);
}

static struct sc_hearsay *next_of(struct sc_board *board, const struct reader *reader)
{
    pthread_mutex_lock(&board->mutex);
    struct sc_hearsay *state = next(board, reader);
    pthread_mutex_unlock(&board->mutex);
    return state;
}

struct sc_hearsay *sc_board_next(struct sc_board *board, uint64_t after, const char *proxy,
                                 enum sc_board_whose whose)
{
    const struct reader reader = {.proxy = proxy, .whose = whose, .after = after};
    return next_of(board, &reader);
}

/* ---- sending ---- */

void sc_board_sender_reset(struct sc_board_sender *sender)
{
    sc_hearsay_release(sender->state);
    *sender = (struct sc_board_sender){0};
}

void sc_board_sender_begin(struct sc_board_sender *sender, struct sc_board *board)
{
    sc_board_sender_reset(sender);
    pthread_mutex_lock(&board->mutex);
    sender->echo = board->number;
    pthread_mutex_unlock(&board->mutex);
}

static void put_part(struct sc_board_sender *s, struct sc_link_writer *writer)
{
    uint32_t left = s->state->head.size - s->sent, n = left < SC_LINK_PART ? left : SC_LINK_PART;
    if (s->sent == 0) {
        struct sc_hearsay_head head = s->state->head;
        head.age_ms = sc_hearsay_age(s->state);
        sc_link_put_state(writer, &head);
    }
    sc_link_put_state_part(writer, s->state->bytes + s->sent, n);
    s->sent += n;
    if (s->sent < s->state->head.size)
        return;
    sc_hearsay_release(s->state);
    s->state = NULL;
    s->sent = 0;
}

enum sc_status sc_board_send(struct sc_board *board, const char *proxy, enum sc_board_whose whose,
                             struct sc_board_sender *s, size_t most, struct bufferevent *to,
                             struct sc_link_writer *writer)
{
    while (evbuffer_get_length(bufferevent_get_output(to)) < most) {
        if (s->state == NULL) {
            const struct reader reader = {
                .proxy = proxy, .whose = whose, .after = s->number, .echo = s->echo};
            s->state = next_of(board, &reader);
            if (s->state == NULL)
                return SC_OK;
            s->number = s->state->number;
        }
        put_part(s, writer);
        SC_TRY(sc_link_send(to, writer));
    }
    return SC_OK;
}
