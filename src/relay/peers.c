// SPDX-License-Identifier: BSD-3-Clause
#include "relay/peers.h"

#include "base/clock.h"
#include "net/dial.h"
#include "net/wake.h"
#include "relay/fetcher.h"
#include "relay/link_stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS       50
#define SILENCE_MS    2000u
#define NEWS_MS       1000u
#define FAREWELL_MS   500u
#define CONNECT_MS    3000u
#define LOG_PAUSE_MS  5000u
#define FULL_PAUSE_MS 1000u             /* who was full takes batches again so long after it last was */
#define OUT_BYTES     ((size_t)2 << 20) /* that wait for the socket; more is not read from the outbox */

struct peer {
    struct sc_peers *peers;
    uint32_t member;
    struct sc_dial *dial;   /* NULL: not tried yet where it is now */
    struct bufferevent *io; /* NULL: not connected */
    struct sc_link_reader reader;
    struct sc_link_writer writer;
    struct sc_board_sender sender;
    uint64_t connection; /* its number */
    uint64_t heard_ms;   /* the last bytes */
    uint64_t renewed_at; /* bytes sent when the key was renewed */
    uint64_t full_ms;    /* until then it takes nothing, whatever it says */
    size_t asked_bytes;  /* that are being read from the outbox */
    bool secret;         /* over TLS */
    bool greeted;        /* it has said who it is */
    bool doubted;        /* it was silent at the last tick */
    bool ended;          /* to be closed when nobody is in its callbacks */
    bool slow;           /* as the log has it, since: */
    uint64_t slow_ms;
    struct sc_peer_view view;
};

struct sc_peers {
    struct sc_peers_options options;
    struct sc_cluster cluster;
    uint32_t self;
    struct event_base *base;
    struct event *tick;
    struct sc_wake *wake;
    struct peer **all; /* by member; where they lie does not change */
    struct sc_fetcher *fetcher;
    uint64_t connections; /* made so far */
    uint64_t tidied;      /* batches released when the fetcher was last told */
    pthread_t thread;
    atomic_bool stopping;
    atomic_bool ended; /* nothing more will be accepted */
    uint64_t next_news_ms;
    uint32_t turn; /* of facts */
    struct sc_refusals refusals;
    pthread_mutex_t mutex;     /* of the views, of `all` and `cluster` for others, and of what follows */
    struct sc_cluster pending; /* to be taken over; no members: none */
    uint32_t pending_self;
    struct sc_tls *tls; /* NULL: plain */
};

static const char *name_of(const struct peer *p)
{
    return p->peers->cluster.members[p->member].name;
}

static void refuse(struct peer *p, enum sc_refusal why)
{
    sc_refusals_note(&p->peers->refusals, &p->peers->options.log, why, name_of(p), sc_clock_mono_ms());
}

/* ---- usable or not ---- */

static void say_usable(const struct peer *p, bool usable)
{
    const struct sc_log *log = &p->peers->options.log;
    char name_and_why[SC_CLUSTER_NAME_MAX + sizeof(p->view.problem)];
    snprintf(name_and_why, sizeof(name_and_why), "%s %s", name_of(p), p->view.problem);
    if (usable)
        sc_log_complain(log, SC_LOG_INFO, name_of(p), "%s takes batches", name_of(p));
    else if (p->io != NULL)
        sc_log_complain(log, SC_LOG_WARNING, name_of(p), "%s %s: its batches go to others", name_of(p),
                        p->view.free_bytes < SC_LINK_LEAST_FREE ? "is full"
                                                                : "has a disk that refuses what it is given");
    else
        sc_log_complain(log, SC_LOG_WARNING, name_and_why,
                        "%s is not connected (%s): its batches go to others", name_of(p), p->view.problem);
}

/* At the start, and when the network was away: the others are about to come, too. */
static void settle_when_first(const struct sc_peers *peers)
{
    struct sc_dispatch_stats now;
    sc_dispatch_get_stats(peers->options.dispatch, &now);
    if (now.usable == 0)
        sc_dispatch_settle(peers->options.dispatch, sc_clock_mono_ms() + CONNECT_MS);
}

static void set_usable(struct peer *p, bool usable)
{
    if (p->view.usable == usable)
        return;
    say_usable(p, usable);
    pthread_mutex_lock(&p->peers->mutex);
    p->view.usable = usable;
    p->view.deaths += !usable;
    pthread_mutex_unlock(&p->peers->mutex);
    if (usable)
        settle_when_first(p->peers);
    sc_dispatch_set_usable(p->peers->options.dispatch, p->member, usable);
}

static void hang_up(struct peer *p, const char *why)
{
    bool was_up = p->io != NULL;
    if (was_up)
        bufferevent_free(p->io);
    p->io = NULL;
    p->ended = p->doubted = p->greeted = false;
    p->asked_bytes = 0;
    p->connection = 0;
    sc_link_reader_free(&p->reader);
    sc_board_sender_reset(&p->sender);
    sc_buf_clear(&p->writer.out);
    pthread_mutex_lock(&p->peers->mutex);
    if (was_up || p->view.problem[0] == '\0')
        snprintf(p->view.problem, sizeof(p->view.problem), "%.127s", why);
    p->view.connected = false;
    pthread_mutex_unlock(&p->peers->mutex);
    set_usable(p, false);
}

/* ---- sending ---- */

static void greet(struct peer *p)
{
    const struct sc_cluster *c = &p->peers->cluster;
    const struct sc_member *self = &c->members[p->peers->self];
    struct sc_link_hello hello = {.version = (uint16_t)c->format,
                                  .cluster_version = c->version,
                                  .lane = self->subcollector ? self->lane : 0};
    snprintf(hello.name, sizeof(hello.name), "%s", self->name);
    p->writer.sequence = 0;
    sc_link_put_hello(&p->writer, &hello);
    if (sc_link_send(p->io, &p->writer) != SC_OK)
        p->ended = true;
}

/* Also of a batch that was released meanwhile: nobody needs it. */
static void not_sent(struct peer *p, const struct sc_batch_head *head, const struct sc_error *err)
{
    const struct sc_peers_options *o = &p->peers->options;
    bool counts = err->status != SC_NOMEM;
    enum sc_status status = sc_dispatch_unread(o->dispatch, p->member, &head->id, sc_clock_mono_ms(), counts);
    if (status == SC_NOTFOUND)
        return;
    const char *then =
        status == SC_OK ? "are tried again in a second" : "are missing until a later start can read them";
    sc_log_complain(&o->log, SC_LOG_ERROR, then, "%s; its %u records %s", err->message, head->records, then);
}

static bool wants_batches(const struct peer *p)
{
    return p->io != NULL && p->view.usable && !p->ended &&
           evbuffer_get_length(bufferevent_get_output(p->io)) + p->asked_bytes < OUT_BYTES;
}

static void send_batch(struct peer *p, const struct sc_accepted *batch)
{
    if (sc_link_send_batch(p->io, &p->writer, &batch->head, batch->bytes) != SC_OK)
        p->ended = true;
    pthread_mutex_lock(&p->peers->mutex);
    p->view.bytes_sent += batch->bytes->size;
    pthread_mutex_unlock(&p->peers->mutex);
}

/* It comes back with deliver. */
static void fetch(struct peer *p, const struct sc_accepted *batch)
{
    struct sc_fetch *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        const struct sc_error err = {.status = SC_NOMEM, .message = "out of memory: a batch is not sent"};
        not_sent(p, &batch->head, &err);
        return;
    }
    f->batch = *batch;
    f->connection = p->connection;
    p->asked_bytes += batch->head.size;
    sc_fetcher_ask(p->peers->fetcher, f);
}

static void send_batches(struct peer *p)
{
    struct sc_accepted batch;
    while (wants_batches(p) &&
           sc_dispatch_next(p->peers->options.dispatch, p->member, sc_clock_mono_ms(), &batch)) {
        if (batch.bytes == NULL)
            fetch(p, &batch);
        else
            send_batch(p, &batch);
        sc_shared_release(batch.bytes);
    }
}

static void deliver(struct peer *p, const struct sc_fetch *f)
{
    p->asked_bytes -= f->batch.head.size;
    if (f->err.status == SC_OK)
        send_batch(p, &f->batch);
    else
        not_sent(p, &f->batch.head, &f->err);
}

/* What was asked for by a connection that has ended is given to others anyway. */
static void deliver_all(struct sc_peers *peers)
{
    struct sc_fetch *f;
    while ((f = sc_fetcher_take(peers->fetcher)) != NULL) {
        for (uint32_t i = 0; i < peers->cluster.count; i++) {
            if (peers->all[i]->connection == f->connection)
                deliver(peers->all[i], f);
        }
        sc_fetch_free(f);
    }
}

static const char *own_name(const struct sc_peers *peers)
{
    return peers->cluster.members[peers->self].name;
}

/* What the decoders know of templates, for the other proxies. */
static void send_state(struct peer *p)
{
    struct sc_peers *peers = p->peers;
    if (p->view.connected && !p->ended &&
        sc_board_send(peers->options.board, own_name(peers), SC_BOARD_OF, &p->sender, OUT_BYTES, p->io,
                      &p->writer) != SC_OK)
        p->ended = true;
}

/* Each second: what there ought to be. Who does not read what it is sent gets no more of it, but the last words. */
static void send_news(struct peer *p, uint64_t now_ms)
{
    struct sc_accounts *accounts = p->peers->options.accounts;
    bool ended = atomic_load(&p->peers->ended);
    if (!ended && evbuffer_get_length(bufferevent_get_output(p->io)) > 2 * OUT_BYTES)
        return;
    struct sc_link_tally tally;
    const struct sc_link_stream stream = sc_accounts_stream(accounts, ended);
    for (uint32_t at = 0; sc_accounts_tally(accounts, &at, now_ms, &tally);)
        sc_link_put_tally(&p->writer, &tally);
    sc_link_put_stream(&p->writer, &stream);
    if (sc_link_send(p->io, &p->writer) != SC_OK)
        p->ended = true;
}

static void send_all_news(struct sc_peers *peers)
{
    for (uint32_t i = 0; i < peers->cluster.count; i++) {
        struct peer *p = peers->all[i];
        if (p->io != NULL && !p->ended && p->view.usable)
            send_news(p, sc_reference_now(p->peers->options.reference));
    }
}

/* Also to one that takes no batches. */
static void send_facts(struct peer *p)
{
    struct sc_link_facts facts[SC_FACTS_MOST];
    if (evbuffer_get_length(bufferevent_get_output(p->io)) > 2 * OUT_BYTES)
        return;
    uint32_t n = sc_facts_to_send(p->peers->options.facts, p->peers->turn, sc_facts_now(), facts);
    for (uint32_t i = 0; i < n; i++)
        sc_link_put_facts(&p->writer, &facts[i]);
    if (sc_link_send(p->io, &p->writer) != SC_OK)
        p->ended = true;
}

static void send_all_facts(struct sc_peers *peers)
{
    peers->turn++;
    for (uint32_t i = 0; i < peers->cluster.count; i++) {
        struct peer *p = peers->all[i];
        if (p->io != NULL && p->greeted && !p->ended)
            send_facts(p);
    }
}

/* ---- what comes back ---- */

/* At once to one that becomes usable: a proxy that dies within its first second is missed. */
static void welcome(struct peer *p)
{
    if (p->view.usable || p->ended)
        return;
    set_usable(p, true);
    send_news(p, sc_reference_now(p->peers->options.reference));
}

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct peer *p = arg;
    const struct sc_cluster *c = &p->peers->cluster;
    if (p->greeted)
        return SC_MALFORMED;
    p->greeted = true;
    if (p->secret && !sc_tls_is(p->io, name_of(p)))
        return SC_UNSUPPORTED;
    if (strcmp(hello->name, name_of(p)) != 0) {
        sc_log_complain(&p->peers->options.log, SC_LOG_ERROR, name_of(p),
                        "at the address of %s answers \"%s\": the membership files differ", name_of(p),
                        hello->name);
        return SC_UNSUPPORTED;
    }
    if (hello->cluster_version != c->version)
        sc_log_complain(&p->peers->options.log, SC_LOG_WARNING, name_of(p),
                        "%s has version %llu of the membership file, this node %llu", name_of(p),
                        (unsigned long long)hello->cluster_version, (unsigned long long)c->version);
    if (p->peers->options.facts != NULL)
        send_facts(p); /* at once: it judges windows by the time of others */
    return SC_OK;
}

static enum sc_status on_ack(void *arg, const struct sc_link_ack *ack)
{
    struct peer *p = arg;
    if (!sc_dispatch_ack(p->peers->options.dispatch, p->member, ack))
        refuse(p, SC_REFUSAL_ACK);
    return SC_OK;
}

static enum sc_status on_refused(void *arg, const struct sc_batch_id *id)
{
    struct peer *p = arg;
    if (!sc_dispatch_refused(p->peers->options.dispatch, p->member, id, sc_clock_mono_ms()))
        refuse(p, SC_REFUSAL_ACK);
    else
        sc_log_complain(
            &p->peers->options.log, SC_LOG_WARNING, name_of(p),
            "%s does not take a batch, its log says why: others get it, and it is offered again later",
            name_of(p));
    return SC_OK;
}

static enum sc_status on_beat(void *arg, const struct sc_link_beat *beat)
{
    struct peer *p = arg;
    sc_dial_praise(p->dial);
    pthread_mutex_lock(&p->peers->mutex);
    p->view.free_bytes = beat->free_bytes;
    p->view.full = beat->full;
    p->view.problem[0] = '\0';
    pthread_mutex_unlock(&p->peers->mutex);
    if (beat->full) {
        p->full_ms = sc_clock_mono_ms() + FULL_PAUSE_MS;
        set_usable(p, false);
    } else if (sc_clock_mono_ms() >= p->full_ms)
        welcome(p);
    return SC_OK;
}

/* Its own comes back to a proxy that connects again: it may have lost its store. No name is empty, so that it hangs apart. */
static enum sc_status on_state(void *arg, const struct sc_hearsay_head *state, const uint8_t *bytes)
{
    struct peer *p = arg;
    struct sc_hearsay_head head = *state;
    if (sc_cluster_find(&p->peers->cluster, head.proxy) == SC_NO_MEMBER) {
        refuse(p, SC_REFUSAL_STATE);
        return SC_OK;
    }
    if (strcmp(head.proxy, own_name(p->peers)) == 0)
        head.proxy[0] = '\0';
    return sc_board_put(p->peers->options.board, &head, bytes);
}

static enum sc_status on_facts(void *arg, const struct sc_link_facts *facts)
{
    struct peer *p = arg;
    if (sc_cluster_find(&p->peers->cluster, facts->name) != SC_NO_MEMBER)
        sc_facts_hear(p->peers->options.facts, facts, sc_facts_now());
    return SC_OK;
}

static void on_read(struct bufferevent *io, void *arg)
{
    struct peer *p = arg;
    struct sc_error err = {.message = "it is not the member that it should be"};
    p->heard_ms = sc_clock_mono_ms();
    enum sc_status status = sc_link_drain(bufferevent_get_input(io), &p->reader, &err);
    if (status != SC_OK) {
        sc_log_complain(&p->peers->options.log, SC_LOG_WARNING, name_of(p), "%s: %s", name_of(p),
                        err.message);
        if (status == SC_MALFORMED)
            refuse(p, SC_REFUSAL_MALFORMED);
        hang_up(p, err.message);
        return;
    }
    send_batches(p);
}

/* No write is under way here. */
static void renew_key(struct peer *p)
{
    if (p->secret && p->view.bytes_sent - p->renewed_at >= SC_TLS_KEY_BYTES && sc_tls_renew(p->io))
        p->renewed_at = p->view.bytes_sent;
}

static void on_written(struct bufferevent *io, void *arg)
{
    (void)io;
    renew_key(arg);
    send_state(arg); /* first: a peer that is always busy would never get it */
    send_batches(arg);
}

/* ---- connecting ---- */

/* Now it may be spoken to: what is written during a handshake would come before the greeting. */
static void came_up(struct peer *p)
{
    p->heard_ms = sc_clock_mono_ms();
    pthread_mutex_lock(&p->peers->mutex);
    p->view.connected = true;
    p->view.connects++;
    pthread_mutex_unlock(&p->peers->mutex);
    greet(p);
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
    struct peer *p = arg;
    char reason[128];
    if ((what & BEV_EVENT_CONNECTED) != 0)
        came_up(p);
    else if ((what & BEV_EVENT_EOF) != 0)
        hang_up(p, "it closed the connection");
    else if ((what & BEV_EVENT_ERROR) != 0 && p->secret) {
        sc_tls_reason(io, reason, sizeof(reason));
        hang_up(p, reason);
    } else if ((what & BEV_EVENT_ERROR) != 0)
        hang_up(p, strerror(EVUTIL_SOCKET_ERROR()));
}

static struct sc_tls *hold_tls(struct sc_peers *peers)
{
    pthread_mutex_lock(&peers->mutex);
    struct sc_tls *tls = sc_tls_hold(peers->tls);
    pthread_mutex_unlock(&peers->mutex);
    return tls;
}

static void on_connected(void *arg, int fd)
{
    struct peer *p = arg;
    struct sc_tls *tls = hold_tls(p->peers);
    p->io = sc_link_open(p->peers->base, fd, tls, name_of(p));
    p->secret = tls != NULL;
    sc_tls_release(tls);
    if (p->io == NULL) {
        close(fd);
        hang_up(p, "out of memory");
        return;
    }
    p->connection = ++p->peers->connections;
    p->renewed_at = p->view.bytes_sent;
    p->reader = (struct sc_link_reader){.hello = on_hello,
                                        .ack = on_ack,
                                        .refused = on_refused,
                                        .beat = on_beat,
                                        .facts = p->peers->options.facts == NULL ? NULL : on_facts,
                                        .state = on_state,
                                        .arg = p};
    bufferevent_setcb(p->io, on_read, on_written, on_event, p);
    bufferevent_setwatermark(p->io, EV_WRITE, OUT_BYTES / 2, 0);
    bufferevent_enable(p->io, EV_READ | EV_WRITE);
    p->heard_ms = sc_clock_mono_ms();
    if (!p->secret) /* else after the handshake */
        came_up(p);
}

static void on_failed(void *arg, const struct sc_error *reason)
{
    hang_up(arg, reason->errnum == ETIMEDOUT ? "it does not answer" : reason->message);
}

/* From the own address in the membership file, by which the other knows this node (relay/gate.h), where it can be had. */
static void connect_peer(struct peer *p)
{
    const struct sc_cluster *c = &p->peers->cluster;
    const struct sc_url *own = &c->members[p->peers->self].address;
    const struct sc_dial_options how = {.base = p->peers->base,
                                        .to = c->members[p->member].address,
                                        .patience_ms = CONNECT_MS,
                                        .connected = on_connected,
                                        .failed = on_failed,
                                        .arg = p};
    if (p->dial == NULL)
        p->dial = sc_dial_create(&how);
    if (p->dial != NULL)
        sc_dial_start(p->dial, own->numeric ? &own->address : NULL);
}

/* Between two ticks every socket is read: only who is silent at both is silent, however late this thread itself comes. */
static void look_after(struct peer *p, uint64_t now)
{
    if (p->io == NULL) {
        connect_peer(p);
        return;
    }
    bool silent = now - p->heard_ms > SILENCE_MS;
    if (p->ended)
        hang_up(p, "out of memory");
    else if (silent && p->doubted)
        hang_up(p, "it is silent");
    else {
        p->doubted = silent;
        send_state(p);
        send_batches(p);
    }
}

/* ---- other members ---- */

static struct peer *new_peer(struct sc_peers *peers)
{
    struct peer *p = calloc(1, sizeof(*p));
    if (p != NULL)
        p->peers = peers;
    return p;
}

static void free_peer(struct peer *p)
{
    if (p == NULL)
        return;
    sc_dial_free(p->dial);
    if (p->io != NULL)
        bufferevent_free(p->io);
    sc_link_reader_free(&p->reader);
    sc_board_sender_reset(&p->sender);
    sc_buf_free(&p->writer.out);
    free(p);
}

static bool same_address(const struct sc_url *x, const struct sc_url *y)
{
    return x->port == y->port && strcmp(x->host, y->host) == 0;
}

/* The connection to a member that stays where it is stays; others end. */
static bool keeps_connection(const struct sc_member *before, const struct sc_member *now)
{
    return now->subcollector && same_address(&before->address, &now->address);
}

/* By the new numbers: the peers of members that stay, new ones for the others. NULL without memory. */
static struct peer **arrange(struct sc_peers *peers, const struct sc_cluster *fresh)
{
    struct peer **all = calloc((size_t)fresh->count + 1, sizeof(struct peer *));
    bool good = all != NULL;
    for (uint32_t i = 0; i < fresh->count && good; i++) {
        uint32_t before = sc_cluster_find(&peers->cluster, fresh->members[i].name);
        all[i] = before == SC_NO_MEMBER ? new_peer(peers) : peers->all[before];
        good = all[i] != NULL;
    }
    for (uint32_t i = 0; i < fresh->count && !good && all != NULL; i++) {
        if (sc_cluster_find(&peers->cluster, fresh->members[i].name) == SC_NO_MEMBER)
            free_peer(all[i]);
    }
    if (good)
        return all;
    free(all);
    return NULL;
}

static void end_connections(struct sc_peers *peers, const struct sc_cluster *fresh)
{
    for (uint32_t i = 0; i < peers->cluster.count; i++) {
        uint32_t now = sc_cluster_find(fresh, peers->cluster.members[i].name);
        struct peer *p = peers->all[i];
        bool keeps =
            now != SC_NO_MEMBER && keeps_connection(&peers->cluster.members[i], &fresh->members[now]);
        if (keeps || !peers->cluster.members[i].subcollector)
            continue;
        hang_up(p, "the membership file has changed");
        sc_dial_free(p->dial);
        p->dial = NULL;
    }
}

/* In the thread of the peers, between their callbacks: dispatch and peers number the members alike at any time. */
static enum sc_status take_over(struct sc_peers *peers, struct sc_cluster *fresh, uint32_t self)
{
    struct peer **all = arrange(peers, fresh), **before = peers->all;
    struct sc_cluster old = peers->cluster;
    if (all == NULL)
        return SC_NOMEM;
    end_connections(peers, fresh);
    pthread_mutex_lock(&peers->mutex);
    enum sc_status status = sc_dispatch_set_cluster(peers->options.dispatch, fresh);
    if (status == SC_OK) {
        peers->all = all;
        peers->cluster = *fresh;
        peers->self = self;
        for (uint32_t i = 0; i < fresh->count; i++)
            all[i]->member = i;
    }
    pthread_mutex_unlock(&peers->mutex);
    const struct sc_cluster *gone = status == SC_OK ? &old : fresh, *stays = status == SC_OK ? fresh : &old;
    for (uint32_t i = 0; i < gone->count; i++) {
        if (sc_cluster_find(stays, gone->members[i].name) == SC_NO_MEMBER)
            free_peer(status == SC_OK ? before[i] : all[i]);
    }
    free(status == SC_OK ? before : all);
    if (status == SC_OK)
        sc_cluster_free(&old);
    return status;
}

static void take_pending(struct sc_peers *peers)
{
    pthread_mutex_lock(&peers->mutex);
    struct sc_cluster fresh = peers->pending;
    uint32_t self = peers->pending_self;
    peers->pending = (struct sc_cluster){0};
    pthread_mutex_unlock(&peers->mutex);
    if (fresh.count == 0)
        return;
    if (take_over(peers, &fresh, self) == SC_OK)
        return;
    sc_log(&peers->options.log, SC_LOG_ERROR, "out of memory: the members are as before");
    sc_cluster_free(&fresh);
}

/* ---- time ---- */

/* A member at the bound changes often: the log follows it slowly. */
static void note_slow(struct peer *p, uint64_t now_ms)
{
    struct sc_dispatch_member now;
    sc_dispatch_get_member(p->peers->options.dispatch, p->member, &now);
    if (now.slow == p->slow || now_ms < p->slow_ms + LOG_PAUSE_MS)
        return;
    p->slow = now.slow;
    p->slow_ms = now_ms;
    if (p->view.usable)
        sc_log(&p->peers->options.log, now.slow ? SC_LOG_WARNING : SC_LOG_INFO, "%s acknowledges %s",
               name_of(p), now.slow ? "late: new batches go to others" : "in time again");
}

static void pass_time(struct sc_peers *peers)
{
    struct sc_outbox_stats outbox;
    uint64_t now_ms = sc_clock_mono_ms();
    sc_outbox_get_stats(peers->options.outbox, &outbox);
    sc_dispatch_tick(peers->options.dispatch, now_ms, outbox.bytes > outbox.limit_bytes / 2);
    if (outbox.released != peers->tidied)
        sc_fetcher_tidy(peers->fetcher);
    peers->tidied = outbox.released;
    for (uint32_t i = 0; i < peers->cluster.count; i++)
        note_slow(peers->all[i], now_ms);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sc_peers *peers = arg;
    (void)fd;
    (void)what;
    take_pending(peers);
    pass_time(peers);
    for (uint32_t i = 0; i < peers->cluster.count; i++) {
        if (peers->cluster.members[i].subcollector)
            look_after(peers->all[i], sc_clock_mono_ms());
    }
    if (sc_clock_mono_ms() >= peers->next_news_ms) {
        peers->next_news_ms = sc_clock_mono_ms() + NEWS_MS;
        sc_refusals_tell(&peers->refusals, &peers->options.log, sc_clock_mono_ms());
        send_all_news(peers);
        if (peers->options.facts != NULL)
            send_all_facts(peers);
    }
}

static void on_wake(void *arg)
{
    struct sc_peers *peers = arg;
    if (atomic_load(&peers->stopping)) {
        event_base_loopbreak(peers->base);
        return;
    }
    take_pending(peers);
    deliver_all(peers);
    if (atomic_load(&peers->ended))
        send_all_news(peers);
    for (uint32_t i = 0; i < peers->cluster.count; i++) {
        if (peers->all[i]->io != NULL)
            send_batches(peers->all[i]);
    }
}

/* ---- outside ---- */

static void fetched(void *arg)
{
    struct sc_peers *peers = arg;
    sc_wake_up(peers->wake);
}

static void *run(void *arg)
{
    struct sc_peers *peers = arg;
    pthread_setname_np(pthread_self(), "sc-peers");
    event_base_dispatch(peers->base);
    return NULL;
}

static enum sc_status make(struct sc_peers *peers, const struct sc_cluster *members, struct sc_error *err)
{
    const struct timeval every = {.tv_usec = TICK_MS * 1000};
    struct sc_cluster first;
    peers->base = event_base_new();
    if (peers->base == NULL || sc_cluster_copy(members, &first) != SC_OK)
        return sc_fail_nomem(err, "the link");
    peers->all = arrange(peers, &first);
    if (peers->all == NULL) {
        sc_cluster_free(&first);
        return sc_fail_nomem(err, "the link");
    }
    peers->cluster = first;
    for (uint32_t i = 0; i < first.count; i++)
        peers->all[i]->member = i;
    peers->tick = event_new(peers->base, -1, EV_PERSIST, on_tick, peers);
    peers->wake = sc_wake_create(peers->base, on_wake, peers);
    if (peers->tick == NULL || peers->wake == NULL || event_add(peers->tick, &every) != 0)
        return sc_fail_nomem(err, "the link");
    peers->fetcher = sc_fetcher_start(peers->options.outbox, fetched, peers, err);
    return peers->fetcher == NULL ? SC_IO : SC_OK;
}

static void free_peers(struct sc_peers *peers)
{
    sc_fetcher_stop(peers->fetcher);
    for (uint32_t i = 0; i < peers->cluster.count; i++)
        free_peer(peers->all[i]);
    sc_event_free(peers->tick);
    sc_wake_free(peers->wake);
    sc_loop_free(peers->base);
    sc_refusals_free(&peers->refusals);
    sc_tls_release(peers->tls);
    pthread_mutex_destroy(&peers->mutex);
    sc_cluster_free(&peers->cluster);
    sc_cluster_free(&peers->pending);
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
    peers->options.cluster = NULL; /* what it points to changes */
    peers->self = options->self;
    peers->tls = sc_tls_hold(options->tls);
    pthread_mutex_init(&peers->mutex, NULL);
    sc_refusals_init(&peers->refusals);
    enum sc_status status = make(peers, options->cluster, err);
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
    sc_wake_up(peers->wake);
}

void sc_peers_get_refused(struct sc_peers *peers, uint64_t counts[SC_REFUSAL_COUNT])
{
    sc_refusals_get(&peers->refusals, counts);
}

enum sc_status sc_peers_set_cluster(struct sc_peers *peers, const struct sc_cluster *cluster, uint32_t self)
{
    struct sc_cluster fresh;
    SC_TRY(sc_cluster_copy(cluster, &fresh));
    pthread_mutex_lock(&peers->mutex);
    sc_cluster_free(&peers->pending);
    peers->pending = fresh;
    peers->pending_self = self;
    pthread_mutex_unlock(&peers->mutex);
    sc_wake_up(peers->wake);
    return SC_OK;
}

void sc_peers_set_tls(struct sc_peers *peers, struct sc_tls *tls)
{
    pthread_mutex_lock(&peers->mutex);
    sc_tls_release(peers->tls);
    peers->tls = sc_tls_hold(tls);
    pthread_mutex_unlock(&peers->mutex);
}

bool sc_peers_get(struct sc_peers *peers, uint32_t lane, struct sc_peer_view *view,
                  struct sc_dispatch_member *queue)
{
    pthread_mutex_lock(&peers->mutex);
    uint32_t i = sc_cluster_find_lane(&peers->cluster, lane);
    bool found = i != SC_NO_MEMBER;
    if (found) {
        *view = peers->all[i]->view;
        sc_dispatch_get_member(peers->options.dispatch, i, queue);
    }
    pthread_mutex_unlock(&peers->mutex);
    return found;
}

void sc_peers_end(struct sc_peers *peers)
{
    uint64_t until = sc_clock_mono_ms() + FAREWELL_MS;
    atomic_store(&peers->ended, true);
    sc_wake_up(peers->wake);
    struct timespec nap = {.tv_nsec = 10 * 1000000L};
    while (sc_clock_mono_ms() < until) /* what was written to the sockets is on its way by then */
        nanosleep(&nap, NULL);
}

void sc_peers_stop(struct sc_peers *peers)
{
    if (peers == NULL)
        return;
    atomic_store(&peers->stopping, true);
    sc_wake_up(peers->wake);
    pthread_join(peers->thread, NULL);
    free_peers(peers);
}
