// SPDX-License-Identifier: BSD-3-Clause
#include "forward/peer.h"

#include "base/clock.h"
#include "forward/encoder.h"
#include "net/client.h"
#include "net/dial.h"
#include "net/wake.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_ROWS 1024u
#define BURST      16u /* datagrams: some 37 KiB of a socket buffer, as the kernel counts */
#define TICK_MS    100
#define STALL_MS   1000u
#define CONNECT_MS 5000u
#define STABLE_MS  5000u /* a connection that lasted so long was a good one */
#define REMIND_MS  60000u
#define PATIENCE_S 60
#define END_MS     500

struct sc_forward_peer {
    struct sc_forward_peer_options options;
    char name[SC_URL_TEXT_MAX];
    struct sc_forward_queue *queue;
    struct sc_forward_encoder *encoder;
    struct event_base *base;
    struct sc_wake *wake; /* there is something to send, or it is to end */
    struct sc_dial *dial;
    struct event *tick;
    pthread_t thread;
    atomic_uint_least64_t deadline_ms; /* monotonic; 0: it is not to end */
    atomic_bool done;

    /* of the thread alone */
    struct sc_forward_entry entry;             /* being sent; parcel NULL: none */
    uint32_t row;                              /* of its batch, the next to be encoded */
    const struct sc_forward_message *messages; /* encoded, with what was sent of them: */
    uint32_t message_count, at;                /* so many are through */
    size_t taken;                              /* and so many bytes of the next one */
    int fd;                                    /* -1: not connected */
    struct event *readable,
        *writable; /* of the connection; `writable` is pending while there is something to send */
    uint64_t connected_ms;
    uint64_t room_ms; /* the connection had room */
    uint64_t next_complaint_ms, next_drop_ms, drops_said;
    bool complained;
    bool last_try; /* tried to connect since it is to end */

    pthread_mutex_t mutex; /* what follows is shared */
    struct sc_forward_view view;
    struct sc_forward_counts counts[2]; /* by record kind; what the queue does not count */
    unsigned said_kind;
    uint64_t said; /* records of the entry at hand that are in `counts` */
};

/* ---- words ---- */

static void set_state(struct sc_forward_peer *p, enum sc_forward_state state)
{
    pthread_mutex_lock(&p->mutex);
    p->view.state = state;
    pthread_mutex_unlock(&p->mutex);
}

/* Once when it begins, then once a minute. */
static void complain(struct sc_forward_peer *p, const char *message)
{
    uint64_t now = sc_clock_mono_ms();
    pthread_mutex_lock(&p->mutex);
    snprintf(p->view.error, sizeof(p->view.error), "%.255s", message);
    p->view.error_ms = sc_clock_wall_ms();
    pthread_mutex_unlock(&p->mutex);
    if (p->complained && now < p->next_complaint_ms)
        return;
    p->complained = true;
    p->next_complaint_ms = now + REMIND_MS;
    sc_log(&p->options.log, SC_LOG_WARNING, "forward %s: %s; it is being tried again", p->name, message);
}

static void note_drops(struct sc_forward_peer *p, uint64_t now)
{
    struct sc_forward_queue_stats stats;
    sc_forward_queue_get_stats(p->queue, &stats);
    uint64_t drops = stats.dropped[SC_RECORDS_FLOWS] + stats.dropped[SC_RECORDS_OPTIONS];
    if (drops == p->drops_said || now < p->next_drop_ms)
        return;
    p->drops_said = drops;
    p->next_drop_ms = now + REMIND_MS;
    sc_log(&p->options.log, SC_LOG_WARNING,
           "forward %s: it takes less than is received and its queue is full: %llu records dropped so far",
           p->name, (unsigned long long)drops);
}

/* ---- the end ---- */

static bool is_ending(struct sc_forward_peer *p)
{
    return atomic_load(&p->deadline_ms) != 0;
}

static bool is_in_time(struct sc_forward_peer *p)
{
    uint64_t deadline = atomic_load(&p->deadline_ms);
    return deadline == 0 || sc_clock_mono_ms() < deadline;
}

/* To end, and all is sent, or there is no time, or nobody there. */
static bool is_over(struct sc_forward_peer *p)
{
    if (!is_ending(p))
        return false;
    return !is_in_time(p) || (p->fd < 0 && p->last_try) ||
           (p->entry.parcel == NULL && sc_forward_queue_is_empty(p->queue));
}

/* ---- the account ---- */

struct tally {
    uint64_t sent, skipped, dropped; /* records */
    uint64_t messages, bytes;        /* sent */
};

static void add(struct tally *t, const struct sc_forward_message *m)
{
    t->sent += m->records;
    t->messages++;
    t->bytes += m->length;
}

/* Of the entry at hand. */
static void count(struct sc_forward_peer *p, const struct tally *t)
{
    unsigned kind = p->entry.parcel->batch->record_kind;
    pthread_mutex_lock(&p->mutex);
    p->counts[kind].sent += t->sent;
    p->counts[kind].skipped += t->skipped;
    p->counts[kind].dropped += t->dropped;
    p->said_kind = kind;
    p->said += t->sent + t->skipped + t->dropped;
    p->view.messages += t->messages;
    p->view.bytes += t->bytes;
    pthread_mutex_unlock(&p->mutex);
}

/* What is encoded and not through is lost. */
static void drop_messages(struct sc_forward_peer *p)
{
    struct tally lost = {0};
    p->taken = 0;
    if (p->at == p->message_count)
        return;
    while (p->at < p->message_count)
        lost.dropped += p->messages[p->at++].records;
    count(p, &lost);
}

/* In one step with the counts, so that a view has every record once. */
static void end_entry(struct sc_forward_peer *p)
{
    pthread_mutex_lock(&p->mutex);
    sc_forward_queue_done(p->queue, &p->entry);
    p->said = 0;
    pthread_mutex_unlock(&p->mutex);
    p->entry.parcel = NULL;
}

/* There is an entry with rows that are not encoded; false: there is no more at present. */
static bool have_rows(struct sc_forward_peer *p)
{
    while (p->entry.parcel == NULL || p->row == p->entry.parcel->batch->rows) {
        if (p->entry.parcel != NULL)
            end_entry(p);
        if (!sc_forward_queue_pop(p->queue, &p->entry))
            return false;
        p->row = 0;
    }
    return true;
}

static void drop_all(struct sc_forward_peer *p)
{
    drop_messages(p);
    while (have_rows(p)) {
        const struct tally rest = {.dropped = p->entry.parcel->batch->rows - p->row};
        count(p, &rest);
        p->row = p->entry.parcel->batch->rows;
    }
}

/* ---- the connection ---- */

static void dial(struct sc_forward_peer *p)
{
    sc_dial_start(p->dial, NULL);
    if (is_ending(p))
        sc_dial_hurry(p->dial);
}

static void close_connection(struct sc_forward_peer *p)
{
    sc_event_free(p->readable);
    sc_event_free(p->writable);
    p->readable = p->writable = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static void disconnect(struct sc_forward_peer *p)
{
    close_connection(p);
    drop_messages(p);
    if (sc_clock_mono_ms() - p->connected_ms >= STABLE_MS)
        sc_dial_praise(p->dial);
    set_state(p, SC_FORWARD_CONNECTING);
    dial(p);
}

static void broke(struct sc_forward_peer *p, int errnum)
{
    struct sc_error err;
    if (errnum == 0)
        sc_fail(&err, SC_IO, "the connection was closed by the other side");
    else
        sc_fail_errno(&err, errnum, "sending failed");
    complain(p, err.message);
    disconnect(p);
}

/* Collectors say nothing, but they end: noticed here, before something is written that nobody will read. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    char bytes[512];
    (void)what;
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0)
        broke(arg, 0);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        broke(arg, errno);
}

static void on_writable(evutil_socket_t fd, short what, void *arg);

/* The next step when the connection has room. Datagrams do not wait for it: a socket that is watched costs each of them. */
static bool go_on(struct sc_forward_peer *p)
{
    const struct timeval now = {0};
    return event_add(p->writable, p->readable == NULL ? &now : NULL) == 0;
}

static bool is_sending(const struct sc_forward_peer *p)
{
    return event_pending(p->writable, EV_WRITE | EV_TIMEOUT, NULL) != 0;
}

static bool make_events(struct sc_forward_peer *p, bool tcp)
{
    if (!tcp) {
        p->writable = event_new(p->base, -1, 0, on_writable, p);
        return p->writable != NULL && go_on(p);
    }
    p->writable = event_new(p->base, p->fd, EV_WRITE | EV_PERSIST, on_writable, p);
    p->readable = event_new(p->base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
    return p->writable != NULL && p->readable != NULL && event_add(p->readable, NULL) == 0 && go_on(p);
}

static void on_connected(void *arg, int fd)
{
    struct sc_forward_peer *p = arg;
    bool tcp = p->options.to.scheme == SC_URL_TCP;
    p->fd = fd;
    p->last_try = is_ending(p);
    p->connected_ms = p->room_ms = sc_clock_mono_ms();
    if (tcp)
        sc_client_set_patience(fd, PATIENCE_S);
    if (!make_events(p, tcp)) {
        complain(p, "out of memory");
        disconnect(p);
        return;
    }
    sc_forward_encoder_restart(p->encoder);
    pthread_mutex_lock(&p->mutex);
    p->view.state = SC_FORWARD_UP;
    p->view.connects++;
    pthread_mutex_unlock(&p->mutex);
    sc_log(&p->options.log, p->complained ? SC_LOG_WARNING : SC_LOG_INFO, "forward %s: %s", p->name,
           tcp ? "connected" : "sending");
    p->complained = false;
}

static void on_failed(void *arg, const struct sc_error *reason)
{
    struct sc_forward_peer *p = arg;
    p->last_try = is_ending(p);
    complain(p, reason->message);
    dial(p);
}

/* ---- a stream ---- */

/* What the system took; a message counts when it took it whole. */
static void take(struct sc_forward_peer *p, size_t bytes)
{
    struct tally whole = {0};
    p->taken += bytes;
    while (p->at < p->message_count && p->taken >= p->messages[p->at].length) {
        p->taken -= p->messages[p->at].length;
        add(&whole, &p->messages[p->at++]);
    }
    count(p, &whole);
    set_state(p, SC_FORWARD_UP);
}

static void write_stream(struct sc_forward_peer *p, struct iovec *messages, uint32_t n)
{
    const struct msghdr m = {.msg_iov = messages, .msg_iovlen = n};
    ssize_t sent = sendmsg(p->fd, &m, MSG_NOSIGNAL);
    if (sent >= 0)
        take(p, (size_t)sent);
    else if (errno != EAGAIN && errno != EINTR)
        broke(p, errno);
}

/* ---- datagrams ---- */

/* The emptier the queue, the gentler. */
static void pause_after_burst(struct sc_forward_peer *p)
{
    struct sc_forward_queue_stats stats;
    sc_forward_queue_get_stats(p->queue, &stats);
    uint64_t quarter = stats.limit_bytes / 4 + 1;
    long us = stats.bytes < quarter ? 500 : stats.bytes < 2 * quarter ? 100 : 0;
    if (us != 0)
        nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void note_refused(struct sc_forward_peer *p, uint64_t refused)
{
    sc_forward_encoder_repeat_templates(p->encoder);
    pthread_mutex_lock(&p->mutex);
    p->view.refused += refused;
    pthread_mutex_unlock(&p->mutex);
    complain(p, "nobody listens there: datagrams are refused");
}

static void send_burst(struct sc_forward_peer *p, struct iovec *messages, uint32_t n)
{
    struct sc_client_counters counters = {0};
    struct tally t = {0};
    int failed = sc_client_send_datagrams(p->fd, messages, n, &counters);
    for (uint32_t i = 0; i < n; i++, p->at++) {
        if (messages[i].iov_base != NULL)
            add(&t, &p->messages[p->at]);
        else
            t.dropped += p->messages[p->at].records;
    }
    count(p, &t);
    if (counters.refused != 0)
        note_refused(p, counters.refused);
    if (failed != 0 && failed != ECONNREFUSED && counters.sent == 0)
        broke(p, failed);
    else
        pause_after_burst(p);
}

/* ---- batches ---- */

static void send_some(struct sc_forward_peer *p)
{
    struct iovec v[SC_CLIENT_BULK];
    bool udp = p->options.to.scheme == SC_URL_UDP;
    uint32_t most = udp ? BURST : SC_CLIENT_BULK, left = p->message_count - p->at;
    uint32_t n = left < most ? left : most;
    for (uint32_t i = 0; i < n; i++) {
        const struct sc_forward_message *m = &p->messages[p->at + i];
        size_t taken = i == 0 ? p->taken : 0;
        v[i] = (struct iovec){(uint8_t *)m->bytes + taken, m->length - taken};
    }
    if (udp)
        send_burst(p, v, n);
    else
        write_stream(p, v, n);
}

static void encode_rows(struct sc_forward_peer *p)
{
    const struct sc_batch *batch = p->entry.parcel->batch;
    struct sc_error err;
    uint32_t left = batch->rows - p->row, first = p->row, n = left < CHUNK_ROWS ? left : CHUNK_ROWS;
    struct tally t = {.skipped = n};
    enum sc_status status = sc_forward_encode(p->encoder, batch, first, n, sc_clock_wall_ms(), &p->messages,
                                              &p->message_count, &err);
    p->row += n;
    p->at = 0;
    for (uint32_t i = 0; i < p->message_count; i++)
        t.skipped -= p->messages[i].records;
    if (status != SC_OK) {
        t = (struct tally){.dropped = t.skipped};
        complain(p, err.message);
        disconnect(p);
    }
    count(p, &t);
}

/* One step, so that others of the loop have their turn. */
static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct sc_forward_peer *p = arg;
    (void)fd;
    (void)what;
    p->room_ms = sc_clock_mono_ms();
    if (p->at == p->message_count && !have_rows(p)) {
        event_del(p->writable);
        return;
    }
    if (p->at == p->message_count)
        encode_rows(p);
    if (p->at < p->message_count)
        send_some(p);
    if (p->entry.parcel != NULL && p->at == p->message_count && p->row == p->entry.parcel->batch->rows)
        end_entry(p); /* at the end nobody waits until there is room for more */
    if (p->fd >= 0)
        (void)go_on(p);
}

/* ---- the thread ---- */

static void on_wake(void *arg)
{
    struct sc_forward_peer *p = arg;
    if (p->fd >= 0 && !is_sending(p)) {
        p->room_ms = sc_clock_mono_ms();
        (void)go_on(p);
    }
    if (is_ending(p))
        sc_dial_hurry(p->dial);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sc_forward_peer *p = arg;
    uint64_t now = sc_clock_mono_ms();
    (void)fd;
    (void)what;
    note_drops(p, now);
    if (p->fd < 0)
        dial(p); /* as a rule that is under way */
    if (p->fd >= 0 && is_sending(p) && now - p->room_ms >= STALL_MS)
        set_state(p, SC_FORWARD_STALLED);
}

static void *run(void *arg)
{
    struct sc_forward_peer *p = arg;
    pthread_setname_np(pthread_self(), "sc-forward");
    dial(p);
    while (!is_over(p))
        event_base_loop(p->base, EVLOOP_ONCE);
    drop_all(p);
    if (p->fd >= 0 && p->options.to.scheme == SC_URL_TCP && is_in_time(p))
        sc_client_end_stream(p->fd, END_MS);
    close_connection(p);
    atomic_store(&p->done, true);
    return NULL;
}

/* ---- outside ---- */

static void free_peer(struct sc_forward_peer *p)
{
    sc_dial_free(p->dial);
    sc_wake_free(p->wake);
    sc_event_free(p->tick);
    sc_loop_free(p->base);
    sc_forward_queue_free(p->queue);
    sc_forward_encoder_free(p->encoder);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

static enum sc_status make(struct sc_forward_peer *p, struct sc_error *err)
{
    const struct timeval every = {.tv_usec = TICK_MS * 1000};
    const struct sc_url *to = &p->options.to;
    p->encoder = sc_forward_encoder_create(p->options.protocol, to->scheme == SC_URL_TCP, err);
    if (p->encoder == NULL)
        return SC_NOMEM;
    p->queue = sc_forward_queue_create(p->options.limit_bytes);
    p->base = event_base_new();
    if (p->queue == NULL || p->base == NULL)
        return sc_fail_nomem(err, "a destination");
    const struct sc_dial_options how = {.base = p->base,
                                        .to = *to,
                                        .patience_ms = CONNECT_MS,
                                        .connected = on_connected,
                                        .failed = on_failed,
                                        .arg = p};
    p->dial = sc_dial_create(&how);
    p->wake = sc_wake_create(p->base, on_wake, p);
    p->tick = event_new(p->base, -1, EV_PERSIST, on_tick, p);
    if (p->dial == NULL || p->wake == NULL || p->tick == NULL || event_add(p->tick, &every) != 0)
        return sc_fail_nomem(err, "a destination");
    return SC_OK;
}

enum sc_status sc_forward_peer_start(const struct sc_forward_peer_options *options,
                                     struct sc_forward_peer **out, struct sc_error *err)
{
    struct sc_forward_peer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return sc_fail_nomem(err, "a destination");
    pthread_mutex_init(&p->mutex, NULL);
    p->options = *options;
    p->fd = -1;
    sc_url_format(&options->to, p->name);
    enum sc_status status = make(p, err);
    int failed = status == SC_OK ? pthread_create(&p->thread, NULL, run, p) : 0;
    if (failed != 0)
        status = sc_fail_errno(err, failed, "cannot start a thread that forwards");
    if (status != SC_OK) {
        free_peer(p);
        return status;
    }
    *out = p;
    return SC_OK;
}

void sc_forward_peer_offer(struct sc_forward_peer *p, struct sc_parcel *parcel, size_t memory)
{
    sc_forward_queue_push(p->queue, parcel, memory);
    sc_wake_up(p->wake);
}

bool sc_forward_peer_has_room(struct sc_forward_peer *p, size_t memory)
{
    return sc_forward_queue_has_room(p->queue, memory);
}

bool sc_forward_peer_is_up(struct sc_forward_peer *p)
{
    pthread_mutex_lock(&p->mutex);
    bool up = p->view.state == SC_FORWARD_UP;
    pthread_mutex_unlock(&p->mutex);
    return up;
}

void sc_forward_peer_set_limit(struct sc_forward_peer *p, uint64_t limit_bytes)
{
    sc_forward_queue_set_limit(p->queue, limit_bytes);
}

static struct sc_forward_counts sum(const struct sc_forward_counts *own,
                                    const struct sc_forward_queue_stats *queue, unsigned kind)
{
    struct sc_forward_counts c = *own;
    c.offered = queue->offered[kind];
    c.dropped += queue->dropped[kind];
    c.waiting = queue->waiting[kind];
    return c;
}

void sc_forward_peer_get(struct sc_forward_peer *p, struct sc_forward_view *out)
{
    struct sc_forward_queue_stats queue;
    pthread_mutex_lock(&p->mutex);
    sc_forward_queue_get_stats(p->queue, &queue);
    *out = p->view;
    out->flows = sum(&p->counts[SC_RECORDS_FLOWS], &queue, SC_RECORDS_FLOWS);
    out->options = sum(&p->counts[SC_RECORDS_OPTIONS], &queue, SC_RECORDS_OPTIONS);
    if (p->said != 0)
        *(p->said_kind == SC_RECORDS_FLOWS ? &out->flows.waiting : &out->options.waiting) -= p->said;
    pthread_mutex_unlock(&p->mutex);
    memcpy(out->name, p->name, sizeof(out->name));
    out->protocol = p->options.protocol;
    out->queue_bytes = queue.bytes;
    out->queue_peak_bytes = queue.peak_bytes;
    out->queue_limit_bytes = queue.limit_bytes;
}

void sc_forward_peer_close(struct sc_forward_peer *p, uint64_t drain_ms)
{
    uint64_t deadline = sc_clock_mono_ms() + drain_ms, before = atomic_load(&p->deadline_ms);
    if (before == 0 || deadline < before)
        atomic_store(&p->deadline_ms, deadline);
    sc_forward_queue_close(p->queue);
    sc_wake_up(p->wake);
}

bool sc_forward_peer_is_done(struct sc_forward_peer *p)
{
    return atomic_load(&p->done);
}

static void say_what_was_not_sent(struct sc_forward_peer *p)
{
    struct sc_forward_view view;
    sc_forward_peer_get(p, &view);
    uint64_t flows = view.flows.dropped + view.flows.waiting;
    uint64_t options = view.options.dropped + view.options.waiting;
    if (flows + options != 0)
        sc_log(&p->options.log, SC_LOG_WARNING,
               "forward %s: %llu flows and %llu options records were not sent, of %llu and %llu", p->name,
               (unsigned long long)flows, (unsigned long long)options, (unsigned long long)view.flows.offered,
               (unsigned long long)view.options.offered);
}

void sc_forward_peer_free(struct sc_forward_peer *p)
{
    pthread_join(p->thread, NULL);
    say_what_was_not_sent(p);
    free_peer(p);
}
