// SPDX-License-Identifier: BSD-3-Clause
#include "collect/holder.h"

#include "base/clock.h"
#include "collect/board.h"
#include "collect/link_stream.h"
#include "net/socket.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define BEAT_MS      200
#define ANSWERS      256u
#define STATE_BYTES  ((size_t)256 << 10) /* of template states that wait for the socket */
#define MOST_UNACKED ((size_t)1 << 20)   /* bytes of answers that a proxy does not read */

struct connection {
    struct connection *next, *previous;
    struct sc_holder *holder;
    struct bufferevent *io;
    struct sc_link_reader reader;
    struct sc_link_writer writer;
    struct sc_board_sender sender;
    uint64_t number;
    char name[160];
    char proxy[SC_LINK_NAME_MAX];
};

struct sc_holder {
    struct sc_holder_options options;
    struct sc_lane_store *store;
    struct sc_member self; /* as it was at the start */
    atomic_ullong cluster_version;
    atomic_int level;       /* of the log, for the thread */
    struct sc_board *board; /* what the proxies know of templates */
    struct event_base *base;
    struct event *accept, *beat, *wake;
    int listen_fd, wake_fd;
    struct connection *connections;
    uint64_t numbers;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    atomic_uint connection_count;
    atomic_ullong malformed;
};

/* ---- connections ---- */

static void free_connection(struct connection *c)
{
    bufferevent_free(c->io);
    sc_link_reader_free(&c->reader);
    sc_board_sender_reset(&c->sender);
    sc_buf_free(&c->writer.out);
    free(c);
}

static void close_connection(struct connection *c)
{
    struct sc_holder *h = c->holder;
    *(c->previous == NULL ? &h->connections : &c->previous->next) = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    atomic_fetch_sub(&h->connection_count, 1);
    free_connection(c);
}

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct connection *c = arg;
    char address[sizeof(c->name)];
    memcpy(address, c->name, sizeof(address));
    memcpy(c->proxy, hello->name, sizeof(c->proxy));
    sc_board_sender_begin(&c->sender, c->holder->board);
    snprintf(c->name, sizeof(c->name), "%.63s (%.80s)", hello->name, address);
    sc_log(&c->holder->options.store.log, SC_LOG_INFO, "the proxy %s is connected", c->name);
    return SC_OK;
}

static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, const uint8_t *bytes)
{
    struct connection *c = arg;
    struct sc_lane_batch *batch = malloc(sizeof(*batch) + head->size);
    if (batch == NULL)
        return SC_NOMEM;
    batch->connection = c->number;
    batch->head = *head;
    memcpy(batch->bytes, bytes, head->size);
    sc_lane_store_push(c->holder->store, batch);
    return SC_OK;
}

static enum sc_status on_tally(void *arg, const struct sc_link_tally *tally)
{
    struct connection *c = arg;
    return sc_lane_store_tally(c->holder->store, c->proxy, tally);
}

static enum sc_status on_stream(void *arg, const struct sc_link_stream *stream)
{
    struct connection *c = arg;
    return sc_lane_store_stream(c->holder->store, c->proxy, stream);
}

/* A proxy speaks for itself. The others are told by on_wake: nobody is in their callbacks then. */
static enum sc_status on_state(void *arg, const struct sc_link_state *state, const uint8_t *bytes)
{
    struct connection *c = arg;
    if (strcmp(state->proxy, c->proxy) != 0)
        return SC_OK;
    SC_TRY(sc_board_put(c->holder->board, state, bytes));
    sc_link_wake_up(c->holder->wake_fd);
    return SC_OK;
}

/* What other proxies know of templates. */
static enum sc_status send_state(struct connection *c)
{
    if (c->proxy[0] == '\0')
        return SC_OK;
    return sc_board_send(c->holder->board, c->proxy, SC_BOARD_ALL_BUT, &c->sender, STATE_BYTES, c->io,
                         &c->writer);
}

static void send_states(struct sc_holder *h)
{
    for (struct connection *c = h->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (send_state(c) != SC_OK)
            close_connection(c);
    }
}

static void on_written(struct bufferevent *io, void *arg)
{
    struct connection *c = arg;
    (void)io;
    if (send_state(c) != SC_OK)
        close_connection(c);
}

static void on_read(struct bufferevent *io, void *arg)
{
    struct connection *c = arg;
    struct sc_error err = {.message = "out of memory"};
    enum sc_status status = sc_link_drain(bufferevent_get_input(io), &c->reader, &err);
    if (status != SC_OK) {
        atomic_fetch_add(&c->holder->malformed, 1);
        sc_log(&c->holder->options.store.log, SC_LOG_WARNING, "%s: %s; the connection is closed", c->name,
               err.message);
        close_connection(c);
        return;
    }
    if (sc_lane_store_tight(c->holder->store))
        bufferevent_disable(io, EV_READ); /* the proxy waits; on_beat looks again */
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
    struct connection *c = arg;
    (void)io;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
        return;
    sc_log(&c->holder->options.store.log, SC_LOG_INFO, "%s is disconnected", c->name);
    close_connection(c);
}

static void greet(struct connection *c)
{
    const struct sc_member *self = &c->holder->self;
    struct sc_link_hello hello = {.version = SC_LINK_VERSION,
                                  .cluster_version = atomic_load(&c->holder->cluster_version),
                                  .lane = self->lane};
    snprintf(hello.name, sizeof(hello.name), "%s", self->name);
    sc_link_put_hello(&c->writer, &hello);
}

static void open_connection(struct sc_holder *h, int fd, const struct sc_addr *from, uint16_t port)
{
    struct connection *c = calloc(1, sizeof(*c));
    char address[SC_ADDR_TEXT_MAX];
    if (c == NULL || (c->io = bufferevent_socket_new(h->base, fd, BEV_OPT_CLOSE_ON_FREE)) == NULL) {
        free(c);
        close(fd);
        return;
    }
    sc_addr_format(from, address);
    snprintf(c->name, sizeof(c->name), "%s %u", address, port);
    c->holder = h;
    c->number = ++h->numbers;
    c->reader = (struct sc_link_reader){.hello = on_hello,
                                        .batch = on_batch,
                                        .tally = on_tally,
                                        .stream = on_stream,
                                        .state = on_state,
                                        .arg = c};
    c->next = h->connections;
    if (c->next != NULL)
        c->next->previous = c;
    h->connections = c;
    atomic_fetch_add(&h->connection_count, 1);
    bufferevent_setcb(c->io, on_read, on_written, on_event, c);
    bufferevent_enable(c->io, EV_READ | EV_WRITE);
    greet(c);
    if (sc_link_send(c->io, &c->writer) != SC_OK)
        close_connection(c);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct sc_holder *h = arg;
    struct sc_addr from;
    uint16_t port;
    int peer;
    (void)what;
    while ((peer = sc_socket_accept((int)fd, &from, &port)) >= 0)
        open_connection(h, peer, &from, port);
}

/* ---- answers and beats ---- */

static struct connection *find_connection(struct sc_holder *h, uint64_t number)
{
    struct connection *c = h->connections;
    while (c != NULL && c->number != number)
        c = c->next;
    return c;
}

static void send_answer(struct sc_holder *h, const struct sc_lane_answer *a)
{
    struct connection *c = find_connection(h, a->connection);
    if (c == NULL)
        return;
    if (!a->durable) {
        close_connection(c);
        return;
    }
    const struct sc_link_ack ack = {a->id.stream, a->id.lane, a->id.sequence, a->id.sequence};
    sc_link_put_ack(&c->writer, &ack);
    if (sc_link_send(c->io, &c->writer) != SC_OK ||
        evbuffer_get_length(bufferevent_get_output(c->io)) > MOST_UNACKED)
        close_connection(c);
}

static void send_answers(struct sc_holder *h)
{
    struct sc_lane_answer answers[ANSWERS];
    uint32_t n;
    while ((n = sc_lane_store_answers(h->store, answers, ANSWERS)) != 0) {
        for (uint32_t i = 0; i < n; i++)
            send_answer(h, &answers[i]);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct sc_holder *h = arg;
    (void)what;
    sc_link_woken((int)fd);
    if (atomic_load(&h->stopping)) {
        event_base_loopbreak(h->base);
        return;
    }
    send_answers(h);
    send_states(h);
}

static void answered(void *arg)
{
    struct sc_holder *h = arg;
    sc_link_wake_up(h->wake_fd);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct sc_holder *h = arg;
    struct sc_lane_store_stats stats;
    (void)fd;
    (void)what;
    h->options.store.log.level = (enum sc_log_level)atomic_load(&h->level);
    sc_lane_store_get_stats(h->store, &stats);
    const struct sc_link_beat beat = {.free_bytes = stats.free_bytes, .full = stats.full};
    bool tight = sc_lane_store_tight(h->store);
    for (struct connection *c = h->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (!tight && (bufferevent_get_enabled(c->io) & EV_READ) == 0) {
            bufferevent_enable(c->io, EV_READ);
            bufferevent_trigger(c->io, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
        }
        sc_link_put_beat(&c->writer, &beat);
        if (sc_link_send(c->io, &c->writer) != SC_OK)
            close_connection(c);
    }
    send_answers(h);
    sc_board_complain(h->board, &h->options.store.log);
}

/* ---- outside ---- */

static void *run(void *arg)
{
    struct sc_holder *h = arg;
    pthread_setname_np(pthread_self(), "sc-holder");
    event_base_dispatch(h->base);
    return NULL;
}

static enum sc_status make_events(struct sc_holder *h, struct sc_error *err)
{
    const struct timeval every = {.tv_usec = BEAT_MS * 1000};
    h->base = event_base_new();
    if (h->base == NULL)
        return sc_fail(err, SC_IO, "cannot create an event loop");
    h->wake = sc_link_wake_event(h->base, on_wake, h, &h->wake_fd);
    h->accept = event_new(h->base, h->listen_fd, EV_READ | EV_PERSIST, on_accept, h);
    h->beat = event_new(h->base, -1, EV_PERSIST, on_beat, h);
    if (h->wake == NULL || h->accept == NULL || h->beat == NULL || event_add(h->accept, NULL) != 0 ||
        event_add(h->beat, &every) != 0)
        return sc_fail_nomem(err, "the link");
    return SC_OK;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

static void free_holder(struct sc_holder *h)
{
    for (struct connection *c = h->connections, *next; c != NULL; c = next) {
        next = c->next;
        free_connection(c);
    }
    free_event(h->accept);
    free_event(h->beat);
    free_event(h->wake);
    if (h->base != NULL)
        event_base_free(h->base);
    sc_board_free(h->board);
    if (h->listen_fd >= 0)
        close(h->listen_fd);
    if (h->wake_fd >= 0)
        close(h->wake_fd);
    free(h);
}

enum sc_status sc_holder_start(const struct sc_holder_options *options, struct sc_holder **out,
                               struct sc_error *err)
{
    struct sc_holder *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return sc_fail_nomem(err, "the link");
    h->options = *options;
    h->self = options->store.cluster->members[options->store.self];
    atomic_store(&h->cluster_version, options->store.cluster->version);
    atomic_init(&h->level, (int)options->store.log.level);
    h->listen_fd = h->wake_fd = -1;
    h->board = sc_board_create();
    h->options.store.answered = answered;
    h->options.store.arg = h;
    const struct sc_socket_options plain = {0};
    enum sc_status status = h->board == NULL ? sc_fail_nomem(err, "the link")
                                             : sc_socket_listen(&options->listen, &plain, &h->listen_fd, err);
    if (status == SC_OK)
        status = make_events(h, err);
    if (status == SC_OK)
        status = sc_lane_store_start(&h->options.store, &h->store, err);
    if (status == SC_OK) {
        int failed = pthread_create(&h->thread, NULL, run, h);
        h->running = failed == 0;
        if (failed != 0)
            status = sc_fail_errno(err, failed, "cannot start the link's thread");
    }
    if (status != SC_OK) {
        sc_lane_store_stop(h->store);
        free_holder(h);
        return status;
    }
    *out = h;
    return SC_OK;
}

void sc_holder_get_stats(struct sc_holder *h, struct sc_holder_stats *out)
{
    sc_lane_store_get_stats(h->store, &out->store);
    out->connections = atomic_load(&h->connection_count);
    out->malformed = atomic_load(&h->malformed);
}

enum sc_status sc_holder_set_cluster(struct sc_holder *h, const struct sc_cluster *cluster)
{
    SC_TRY(sc_lane_store_set_cluster(h->store, cluster));
    atomic_store(&h->cluster_version, cluster->version);
    return SC_OK;
}

void sc_holder_set_log_level(struct sc_holder *h, enum sc_log_level level)
{
    atomic_store(&h->level, (int)level);
    sc_lane_store_set_log_level(h->store, level);
}

void sc_holder_set_retention(struct sc_holder *h, const struct sc_retention *retention)
{
    sc_lane_store_set_retention(h->store, retention);
}

void sc_holder_stop(struct sc_holder *h)
{
    if (h == NULL)
        return;
    atomic_store(&h->stopping, true);
    sc_link_wake_up(h->wake_fd);
    pthread_join(h->thread, NULL);
    sc_lane_store_stop(h->store);
    free_holder(h);
}
