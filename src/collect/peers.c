// SPDX-License-Identifier: BSD-3-Clause
#include "collect/peers.h"

#include "base/clock.h"
#include "collect/link_stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS        50
#define SILENCE_MS     2000u
#define NEWS_MS        1000u
#define FAREWELL_MS    500u
#define CONNECT_MS     3000u
#define PAUSE_FIRST_MS 100u
#define PAUSE_MOST_MS  5000u
#define OUT_BYTES      ((size_t)2 << 20) /* that wait for the socket; more is not read from the outbox */

struct peer {
    struct sc_peers *peers;
    uint32_t member;
    struct bufferevent *io; /* NULL: not connected */
    struct sc_link_reader reader;
    struct sc_link_writer writer;
    struct sc_board_sender sender;
    uint64_t began_ms; /* of the connection */
    uint64_t heard_ms; /* the last beat */
    uint64_t retry_ms, pause_ms;
    bool up;    /* the connection stands */
    bool ended; /* to be closed when nobody is in its callbacks */
    struct sc_peer_view view;
};

struct sc_peers {
    struct sc_peers_options options;
    struct event_base *base;
    struct evdns_base *dns;
    struct event *tick, *wake;
    int wake_fd;
    struct peer *all;
    struct sc_buf bytes; /* of the batch being sent */
    pthread_t thread;
    atomic_bool stopping;
    atomic_bool ended; /* nothing more will be accepted */
    uint64_t next_news_ms;
    pthread_mutex_t mutex; /* of the views */
};

static const char *name_of(const struct peer *p)
{
    return p->peers->options.cluster->members[p->member].name;
}

/* ---- usable or not ---- */

static void set_usable(struct peer *p, bool usable)
{
    if (p->view.usable == usable)
        return;
    sc_log(&p->peers->options.log, usable ? SC_LOG_INFO : SC_LOG_WARNING, "%s %s", name_of(p),
           usable          ? "takes batches"
           : p->view.full  ? "is full: its batches go to others"
           : p->io == NULL ? "is not connected: its batches go to others"
                           : "is silent: its batches go to others");
    pthread_mutex_lock(&p->peers->mutex);
    p->view.usable = usable;
    p->view.deaths += !usable;
    pthread_mutex_unlock(&p->peers->mutex);
    sc_dispatch_set_usable(p->peers->options.dispatch, p->member, usable);
}

static void hang_up(struct peer *p, const char *why)
{
    uint64_t now = sc_clock_mono_ms();
    if (p->io != NULL)
        bufferevent_free(p->io);
    p->io = NULL;
    p->ended = false;
    sc_link_reader_free(&p->reader);
    sc_board_sender_reset(&p->sender);
    sc_buf_clear(&p->writer.out);
    pthread_mutex_lock(&p->peers->mutex);
    if (p->up || p->view.problem[0] == '\0')
        snprintf(p->view.problem, sizeof(p->view.problem), "%.127s", why);
    p->view.connected = false;
    pthread_mutex_unlock(&p->peers->mutex);
    p->up = false;
    set_usable(p, false);
    p->pause_ms = p->pause_ms * 2 < PAUSE_MOST_MS ? p->pause_ms * 2 : PAUSE_MOST_MS;
    p->retry_ms = now + p->pause_ms;
}

/* ---- sending ---- */

static void greet(struct peer *p)
{
    const struct sc_cluster *c = p->peers->options.cluster;
    const struct sc_member *self = &c->members[p->peers->options.self];
    struct sc_link_hello hello = {.version = SC_LINK_VERSION,
                                  .cluster_version = c->version,
                                  .lane = self->subcollector ? self->lane : 0};
    snprintf(hello.name, sizeof(hello.name), "%s", self->name);
    p->writer.sequence = 0;
    sc_link_put_hello(&p->writer, &hello);
    if (sc_link_send(p->io, &p->writer) != SC_OK)
        p->ended = true;
}

/* A batch that cannot be read stays in the outbox; the log says so. */
static void send_batches(struct peer *p)
{
    struct sc_peers *peers = p->peers;
    struct sc_batch_head head;
    struct sc_outbox_place place;
    while (p->up && p->view.usable && !p->ended &&
           evbuffer_get_length(bufferevent_get_output(p->io)) < OUT_BYTES &&
           sc_dispatch_next(peers->options.dispatch, p->member, &head, &place)) {
        struct sc_error err;
        if (sc_outbox_read(peers->options.outbox, &head, place, &peers->bytes, &err) != SC_OK) {
            sc_log(&peers->options.log, SC_LOG_ERROR, "%s", err.message);
            continue;
        }
        sc_link_put_batch(&p->writer, &head, peers->bytes.data);
        size_t length = p->writer.out.len;
        if (sc_link_send(p->io, &p->writer) != SC_OK)
            p->ended = true;
        pthread_mutex_lock(&peers->mutex);
        p->view.bytes_sent += length;
        pthread_mutex_unlock(&peers->mutex);
    }
}

static const char *own_name(const struct sc_peers *peers)
{
    return peers->options.cluster->members[peers->options.self].name;
}

/* What the decoders know of templates, for the other proxies. */
static void send_state(struct peer *p)
{
    struct sc_peers *peers = p->peers;
    if (p->up && !p->ended &&
        sc_board_send(peers->options.board, own_name(peers), SC_BOARD_OF, &p->sender, OUT_BYTES, p->io,
                      &p->writer) != SC_OK)
        p->ended = true;
}

/* Each second: what there ought to be. */
static void send_news(struct peer *p, uint64_t now_ms)
{
    struct sc_accounts *accounts = p->peers->options.accounts;
    bool ended = atomic_load(&p->peers->ended);
    struct sc_link_tally tally;
    const struct sc_link_stream stream = sc_accounts_stream(accounts, ended);
    for (uint32_t i = 0; sc_accounts_tally(accounts, i, now_ms, &tally); i++)
        sc_link_put_tally(&p->writer, &tally);
    sc_link_put_stream(&p->writer, &stream);
    if (sc_link_send(p->io, &p->writer) != SC_OK)
        p->ended = true;
}

static void send_all_news(struct sc_peers *peers)
{
    for (uint32_t i = 0; i < peers->options.cluster->count; i++) {
        struct peer *p = &peers->all[i];
        if (p->up && !p->ended && p->view.usable)
            send_news(p, sc_clock_wall_ms());
    }
}

/* ---- what comes back ---- */

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct peer *p = arg;
    const struct sc_cluster *c = p->peers->options.cluster;
    if (strcmp(hello->name, name_of(p)) != 0) {
        sc_log(&p->peers->options.log, SC_LOG_ERROR,
               "at the address of %s answers \"%s\": the membership files differ", name_of(p), hello->name);
        return SC_UNSUPPORTED;
    }
    if (hello->cluster_version != c->version)
        sc_log(&p->peers->options.log, SC_LOG_WARNING,
               "%s has version %llu of the membership file, this node %llu", name_of(p),
               (unsigned long long)hello->cluster_version, (unsigned long long)c->version);
    return SC_OK;
}

static enum sc_status on_ack(void *arg, const struct sc_link_ack *ack)
{
    struct peer *p = arg;
    sc_dispatch_ack(p->peers->options.dispatch, p->member, ack);
    return SC_OK;
}

static enum sc_status on_beat(void *arg, const struct sc_link_beat *beat)
{
    struct peer *p = arg;
    p->heard_ms = sc_clock_mono_ms();
    p->pause_ms = PAUSE_FIRST_MS / 2;
    pthread_mutex_lock(&p->peers->mutex);
    p->view.free_bytes = beat->free_bytes;
    p->view.full = beat->full;
    p->view.problem[0] = '\0';
    pthread_mutex_unlock(&p->peers->mutex);
    set_usable(p, !beat->full);
    return SC_OK;
}

/* Its own comes back to a proxy that connects again: it may have lost its store. No name is empty, so that it hangs apart. */
static enum sc_status on_state(void *arg, const struct sc_link_state *state, const uint8_t *bytes)
{
    struct peer *p = arg;
    struct sc_link_state head = *state;
    if (strcmp(head.proxy, own_name(p->peers)) == 0)
        head.proxy[0] = '\0';
    return sc_board_put(p->peers->options.board, &head, bytes);
}

static void on_read(struct bufferevent *io, void *arg)
{
    struct peer *p = arg;
    struct sc_error err = {.message = "it is not the member that it should be"};
    if (sc_link_drain(bufferevent_get_input(io), &p->reader, &err) != SC_OK) {
        sc_log(&p->peers->options.log, SC_LOG_WARNING, "%s: %s", name_of(p), err.message);
        hang_up(p, err.message);
        return;
    }
    send_batches(p);
}

static void on_written(struct bufferevent *io, void *arg)
{
    (void)io;
    send_state(arg); /* first: a peer that is always busy would never get it */
    send_batches(arg);
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
    struct peer *p = arg;
    const int on = 1;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        setsockopt(bufferevent_getfd(io), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        p->up = true;
        p->heard_ms = sc_clock_mono_ms();
        pthread_mutex_lock(&p->peers->mutex);
        p->view.connected = true;
        p->view.connects++;
        pthread_mutex_unlock(&p->peers->mutex);
        greet(p);
    } else if ((what & BEV_EVENT_EOF) != 0) {
        hang_up(p, "it closed the connection");
    } else if ((what & BEV_EVENT_ERROR) != 0) {
        int failed = EVUTIL_SOCKET_ERROR();
        hang_up(p, failed != 0 ? strerror(failed) : "its name cannot be looked up");
    }
}

/* ---- connecting ---- */

static void connect_peer(struct peer *p)
{
    const struct sc_url *at = &p->peers->options.cluster->members[p->member].address;
    uint64_t now = sc_clock_mono_ms();
    p->io = bufferevent_socket_new(p->peers->base, -1, BEV_OPT_CLOSE_ON_FREE);
    p->retry_ms = now + p->pause_ms;
    if (p->io == NULL)
        return;
    p->began_ms = now;
    p->reader = (struct sc_link_reader){
        .hello = on_hello, .ack = on_ack, .beat = on_beat, .state = on_state, .arg = p};
    bufferevent_setcb(p->io, on_read, on_written, on_event, p);
    bufferevent_setwatermark(p->io, EV_WRITE, OUT_BYTES / 2, 0);
    bufferevent_enable(p->io, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect_hostname(p->io, p->peers->dns, AF_UNSPEC, at->host, at->port) != 0 &&
        p->io != NULL)
        p->ended = true;
}

static void look_after(struct peer *p, uint64_t now)
{
    if (p->io == NULL) {
        if (now >= p->retry_ms)
            connect_peer(p);
        return;
    }
    if (p->ended)
        hang_up(p, "out of memory");
    else if (!p->up && now - p->began_ms > CONNECT_MS)
        hang_up(p, "it does not answer");
    else if (p->up && now - p->heard_ms > SILENCE_MS)
        hang_up(p, "it is silent");
    else {
        send_state(p);
        send_batches(p);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sc_peers *peers = arg;
    (void)fd;
    (void)what;
    for (uint32_t i = 0; i < peers->options.cluster->count; i++) {
        if (peers->options.cluster->members[i].subcollector)
            look_after(&peers->all[i], sc_clock_mono_ms());
    }
    if (sc_clock_mono_ms() >= peers->next_news_ms) {
        peers->next_news_ms = sc_clock_mono_ms() + NEWS_MS;
        send_all_news(peers);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct sc_peers *peers = arg;
    (void)what;
    sc_link_woken((int)fd);
    if (atomic_load(&peers->stopping)) {
        event_base_loopbreak(peers->base);
        return;
    }
    if (atomic_load(&peers->ended))
        send_all_news(peers);
    for (uint32_t i = 0; i < peers->options.cluster->count; i++) {
        if (peers->all[i].io != NULL)
            send_batches(&peers->all[i]);
    }
}

/* ---- outside ---- */

static void *run(void *arg)
{
    struct sc_peers *peers = arg;
    pthread_setname_np(pthread_self(), "sc-peers");
    event_base_dispatch(peers->base);
    return NULL;
}

static enum sc_status make(struct sc_peers *peers, struct sc_error *err)
{
    const struct timeval every = {.tv_usec = TICK_MS * 1000};
    uint32_t count = peers->options.cluster->count;
    peers->base = event_base_new();
    peers->all = calloc((size_t)count + 1, sizeof(*peers->all));
    if (peers->base == NULL || peers->all == NULL)
        return sc_fail_nomem(err, "the link");
    for (uint32_t i = 0; i < count; i++)
        peers->all[i] = (struct peer){.peers = peers, .member = i, .pause_ms = PAUSE_FIRST_MS / 2};
    peers->dns =
        evdns_base_new(peers->base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    peers->tick = event_new(peers->base, -1, EV_PERSIST, on_tick, peers);
    peers->wake = sc_link_wake_event(peers->base, on_wake, peers, &peers->wake_fd);
    if (peers->tick == NULL || peers->wake == NULL || event_add(peers->tick, &every) != 0)
        return sc_fail_nomem(err, "the link");
    return SC_OK;
}

static void free_peers(struct sc_peers *peers)
{
    for (uint32_t i = 0; peers->all != NULL && i < peers->options.cluster->count; i++) {
        struct peer *p = &peers->all[i];
        if (p->io != NULL)
            bufferevent_free(p->io);
        sc_link_reader_free(&p->reader);
        sc_board_sender_reset(&p->sender);
        sc_buf_free(&p->writer.out);
    }
    if (peers->tick != NULL)
        event_free(peers->tick);
    if (peers->wake != NULL)
        event_free(peers->wake);
    if (peers->dns != NULL)
        evdns_base_free(peers->dns, 0);
    if (peers->base != NULL)
        event_base_free(peers->base);
    if (peers->wake_fd >= 0)
        close(peers->wake_fd);
    pthread_mutex_destroy(&peers->mutex);
    sc_buf_free(&peers->bytes);
    free(peers->all);
    free(peers);
}

enum sc_status sc_peers_start(const struct sc_peers_options *options, struct sc_peers **out,
                              struct sc_error *err)
{
    struct sc_peers *peers = calloc(1, sizeof(*peers));
    if (peers == NULL)
        return sc_fail_nomem(err, "the link");
    peers->options = *options;
    peers->wake_fd = -1;
    pthread_mutex_init(&peers->mutex, NULL);
    enum sc_status status = make(peers, err);
    if (status == SC_OK) {
        int failed = pthread_create(&peers->thread, NULL, run, peers);
        if (failed != 0)
            status = sc_fail_errno(err, failed, "cannot start the link's thread");
    }
    if (status != SC_OK) {
        free_peers(peers);
        return status;
    }
    *out = peers;
    return SC_OK;
}

void sc_peers_wake(struct sc_peers *peers)
{
    sc_link_wake_up(peers->wake_fd);
}

void sc_peers_get(struct sc_peers *peers, uint32_t member, struct sc_peer_view *out)
{
    pthread_mutex_lock(&peers->mutex);
    *out = peers->all[member].view;
    pthread_mutex_unlock(&peers->mutex);
}

void sc_peers_end(struct sc_peers *peers)
{
    uint64_t until = sc_clock_mono_ms() + FAREWELL_MS;
    atomic_store(&peers->ended, true);
    sc_link_wake_up(peers->wake_fd);
    struct timespec nap = {.tv_nsec = 10 * 1000000L};
    while (sc_clock_mono_ms() < until) /* what was written to the sockets is on its way by then */
        nanosleep(&nap, NULL);
}

void sc_peers_stop(struct sc_peers *peers)
{
    if (peers == NULL)
        return;
    atomic_store(&peers->stopping, true);
    sc_link_wake_up(peers->wake_fd);
    pthread_join(peers->thread, NULL);
    free_peers(peers);
}
