// SPDX-License-Identifier: BSD-3-Clause
#include "forward/peer.h"

#include "base/clock.h"
#include "forward/encoder.h"
#include "net/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_ROWS     1024u
#define BURST          16u /* datagrams: some 37 KiB of a socket buffer, as the kernel counts */
#define TICK_MS        100
#define STALL_MS       1000u
#define CONNECT_MS     5000u
#define RETRY_FIRST_MS 100u
#define RETRY_MOST_MS  5000u
#define STABLE_MS      5000u /* a connection that lasted so long begins again with the shortest pause */
#define REMIND_MS      60000u
#define PATIENCE_S     60
#define END_MS         500
#define LATE_MS        1000u /* after the deadline, before a thread counts as held by the name service */

enum resolving { RESOLVING_NOT, RESOLVING, RESOLVING_ABANDONED };

struct sc_forward_peer {
    struct sc_forward_peer_options options;
    char name[SC_URL_TEXT_MAX];
    struct sc_forward_queue *queue;
    struct sc_forward_encoder *encoder;
    pthread_t thread;
    atomic_uint_least64_t deadline_ms; /* monotonic; 0: it is not to end */
    atomic_int resolving;
    atomic_bool done;

    /* of the thread alone */
    struct sc_forward_entry entry; /* being sent; parcel NULL: none */
    int fd;                        /* -1: not connected */
    uint64_t connected_ms, retry_at_ms, pause_ms;
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

static void note_error(struct sc_forward_peer *p, const char *message)
{
    pthread_mutex_lock(&p->mutex);
    snprintf(p->view.error, sizeof(p->view.error), "%.255s", message);
    p->view.error_ms = sc_clock_wall_ms();
    pthread_mutex_unlock(&p->mutex);
}

/* Once when it begins, then once a minute. */
static void complain(struct sc_forward_peer *p, const char *message)
{
    uint64_t now = sc_clock_mono_ms();
    note_error(p, message);
    if (p->complained && now < p->next_complaint_ms)
        return;
    p->complained = true;
    p->next_complaint_ms = now + REMIND_MS;
    sc_log(&p->options.log, SC_LOG_WARNING, "forward %s: %s; it is being tried again", p->name, message);
}

/* Duties that are due every TICK_MS, whatever the thread waits for. */
static void tick(struct sc_forward_peer *p)
{
    struct sc_forward_queue_stats stats;
    uint64_t now = sc_clock_mono_ms();
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

/* Ms that are left; a lot when it is not to end. */
static uint64_t time_left(struct sc_forward_peer *p)
{
    uint64_t deadline = atomic_load(&p->deadline_ms), now = sc_clock_mono_ms();
    if (deadline == 0)
        return UINT32_MAX;
    return deadline > now ? deadline - now : 0;
}

/* Nothing more will be sent: no time, or to end and nobody there. */
static bool is_hopeless(struct sc_forward_peer *p)
{
    return time_left(p) == 0 || (is_ending(p) && p->fd < 0 && p->last_try);
}

/* ---- connecting ---- */

static void disconnect(struct sc_forward_peer *p)
{
    uint64_t now = sc_clock_mono_ms();
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    if (p->connected_ms != 0 && now - p->connected_ms >= STABLE_MS)
        p->pause_ms = 0;
    p->pause_ms = p->pause_ms == 0                  ? RETRY_FIRST_MS
                  : p->pause_ms * 2 < RETRY_MOST_MS ? p->pause_ms * 2
                                                    : RETRY_MOST_MS;
    p->connected_ms = 0;
    p->retry_at_ms = now + p->pause_ms;
    set_state(p, SC_FORWARD_CONNECTING);
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

/* The name service cannot be interrupted: sc_forward_peer_free may meanwhile leave the thread behind. */
static enum sc_status resolve(struct sc_forward_peer *p, struct addrinfo **found, struct sc_error *err)
{
    int expected = RESOLVING;
    atomic_store(&p->resolving, RESOLVING);
    enum sc_status status = sc_client_resolve(&p->options.to, found, err);
    if (!atomic_compare_exchange_strong(&p->resolving, &expected, RESOLVING_NOT)) {
        if (status == SC_OK)
            freeaddrinfo(*found);
        pthread_exit(NULL);
    }
    return status;
}

static enum sc_status open_connection(struct sc_forward_peer *p, struct sc_error *err)
{
    struct addrinfo *found;
    int reason = ETIMEDOUT;
    SC_TRY(resolve(p, &found, err));
    for (const struct addrinfo *to = found; to != NULL && p->fd < 0 && time_left(p) != 0; to = to->ai_next) {
        uint64_t left = time_left(p);
        int fd = sc_client_connect(to, NULL, 0, (int)(left < CONNECT_MS ? left : CONNECT_MS));
        if (fd >= 0)
            p->fd = fd;
        else
            reason = -fd;
    }
    freeaddrinfo(found);
    return p->fd >= 0 ? SC_OK : sc_fail_errno(err, reason, "cannot connect");
}

static void try_to_connect(struct sc_forward_peer *p)
{
    struct sc_error err;
    p->last_try = is_ending(p);
    if (open_connection(p, &err) != SC_OK) {
        complain(p, err.message);
        disconnect(p);
        return;
    }
    bool tcp = p->options.to.scheme == SC_URL_TCP;
    if (tcp)
        sc_client_set_patience(p->fd, PATIENCE_S);
    p->connected_ms = sc_clock_mono_ms();
    sc_forward_encoder_restart(p->encoder);
    pthread_mutex_lock(&p->mutex);
    p->view.state = SC_FORWARD_UP;
    p->view.connects++;
    pthread_mutex_unlock(&p->mutex);
    sc_log(&p->options.log, p->complained ? SC_LOG_WARNING : SC_LOG_INFO, "forward %s: %s", p->name,
           tcp ? "connected" : "sending");
    p->complained = false;
}

/* Collectors say nothing, but they end: noticed here, before something is written that nobody will read. */
static void check_connection(struct sc_forward_peer *p)
{
    char byte[512];
    if (p->fd < 0 || p->options.to.scheme != SC_URL_TCP)
        return;
    ssize_t n = recv(p->fd, byte, sizeof(byte), MSG_DONTWAIT);
    if (n == 0)
        broke(p, 0);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        broke(p, errno);
}

/* Connected, or it will not be before the end: false. */
static bool be_connected(struct sc_forward_peer *p)
{
    check_connection(p);
    while (p->fd < 0 && !is_hopeless(p)) {
        uint64_t now = sc_clock_mono_ms();
        tick(p);
        if (now >= p->retry_at_ms || is_ending(p))
            try_to_connect(p);
        else
            sc_forward_queue_nap(p->queue, p->retry_at_ms - now < TICK_MS ? p->retry_at_ms - now : TICK_MS);
    }
    return p->fd >= 0 && time_left(p) != 0;
}

/* ---- a stream ---- */

/* What the system says of a connection that is over; 0: the other side ended it. */
static int socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

/* False: the connection is over, or the time. */
static bool wait_for_room(struct sc_forward_peer *p, uint64_t since_ms)
{
    struct pollfd s = {.fd = p->fd, .events = POLLOUT | POLLRDHUP};
    tick(p);
    int ready = poll(&s, 1, TICK_MS);
    if (ready > 0 && (s.revents & (POLLRDHUP | POLLERR)) != 0) {
        broke(p, socket_error(p->fd));
        return false;
    }
    if (ready == 0 && sc_clock_mono_ms() - since_ms >= STALL_MS)
        set_state(p, SC_FORWARD_STALLED);
    return time_left(p) != 0;
}

/* @return how many of the messages were taken whole. */
static uint32_t write_stream(struct sc_forward_peer *p, struct iovec *messages, uint32_t n)
{
    uint64_t since_ms = sc_clock_mono_ms();
    uint32_t at = 0;
    while (at < n) {
        struct msghdr m = {.msg_iov = messages + at, .msg_iovlen = n - at};
        ssize_t sent = sendmsg(p->fd, &m, MSG_NOSIGNAL);
        if (sent >= 0) {
            at = sc_client_advance(messages, n, at, (size_t)sent);
            since_ms = sc_clock_mono_ms();
            set_state(p, SC_FORWARD_UP);
        } else if (errno == EAGAIN) {
            if (!wait_for_room(p, since_ms))
                break;
        } else if (errno != EINTR) {
            broke(p, errno);
            break;
        }
    }
    return at;
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

/* Those that did not leave have no iov_base afterwards. */
static void send_burst(struct sc_forward_peer *p, struct iovec *messages, uint32_t n)
{
    struct sc_client_counters counters = {0};
    int failed = sc_client_send_datagrams(p->fd, messages, n, &counters);
    if (counters.refused != 0) {
        sc_forward_encoder_repeat_templates(p->encoder);
        pthread_mutex_lock(&p->mutex);
        p->view.refused += counters.refused;
        pthread_mutex_unlock(&p->mutex);
        complain(p, "nobody listens there: datagrams are refused");
    }
    if (failed != 0 && failed != ECONNREFUSED && counters.sent == 0)
        broke(p, failed);
    else
        pause_after_burst(p);
}

/* ---- batches ---- */

struct tally {
    uint64_t records, messages, bytes;
};

static void add(struct tally *sent, const struct sc_forward_message *m)
{
    sent->records += m->records;
    sent->messages++;
    sent->bytes += m->length;
}

static void send_messages(struct sc_forward_peer *p, const struct sc_forward_message *messages,
                          uint32_t count, struct tally *sent)
{
    struct iovec v[SC_CLIENT_BULK];
    bool udp = p->options.to.scheme == SC_URL_UDP;
    uint32_t most = udp ? BURST : SC_CLIENT_BULK;
    for (uint32_t at = 0; at < count && p->fd >= 0 && time_left(p) != 0; at += most) {
        uint32_t n = count - at < most ? count - at : most;
        for (uint32_t i = 0; i < n; i++)
            v[i] = (struct iovec){(void *)messages[at + i].bytes, messages[at + i].length};
        uint32_t whole = n;
        if (udp)
            send_burst(p, v, n);
        else
            whole = write_stream(p, v, n);
        for (uint32_t i = 0; i < whole; i++)
            if (v[i].iov_base != NULL)
                add(sent, &messages[at + i]);
        if (whole < n)
            break;
    }
}

static void count(struct sc_forward_peer *p, unsigned kind, const struct tally *sent, uint64_t skipped,
                  uint64_t dropped)
{
    pthread_mutex_lock(&p->mutex);
    p->counts[kind].sent += sent->records;
    p->counts[kind].skipped += skipped;
    p->counts[kind].dropped += dropped;
    p->said_kind = kind;
    p->said += sent->records + skipped + dropped;
    p->view.messages += sent->messages;
    p->view.bytes += sent->bytes;
    pthread_mutex_unlock(&p->mutex);
}

static void send_rows(struct sc_forward_peer *p, const struct sc_batch *batch, uint32_t first, uint32_t n)
{
    const struct sc_forward_message *messages;
    struct tally sent = {0};
    struct sc_error err;
    uint32_t message_count;
    uint64_t said = 0, skipped;
    enum sc_status status =
        sc_forward_encode(p->encoder, batch, first, n, sc_clock_wall_ms(), &messages, &message_count, &err);
    for (uint32_t i = 0; i < message_count; i++)
        said += messages[i].records;
    skipped = status == SC_OK ? n - said : 0;
    send_messages(p, messages, message_count, &sent);
    count(p, batch->record_kind, &sent, skipped, n - skipped - sent.records);
    if (status != SC_OK) {
        complain(p, err.message);
        disconnect(p);
    }
}

static void send_batch(struct sc_forward_peer *p, const struct sc_batch *batch)
{
    const struct tally none = {0};
    for (uint32_t first = 0; first < batch->rows; first += CHUNK_ROWS) {
        uint32_t left = batch->rows - first;
        if (!be_connected(p)) {
            count(p, batch->record_kind, &none, 0, left);
            return;
        }
        tick(p);
        send_rows(p, batch, first, left < CHUNK_ROWS ? left : CHUNK_ROWS);
    }
}

/* ---- the thread ---- */

/* In one step with the counts, so that a view has every record once. */
static void end_entry(struct sc_forward_peer *p)
{
    pthread_mutex_lock(&p->mutex);
    sc_forward_queue_done(p->queue, &p->entry);
    p->said = 0;
    pthread_mutex_unlock(&p->mutex);
    p->entry.parcel = NULL;
}

static void send_next(struct sc_forward_peer *p)
{
    if (!sc_forward_queue_pop(p->queue, TICK_MS, &p->entry))
        return;
    send_batch(p, p->entry.parcel->batch);
    end_entry(p);
}

static void drop_all(struct sc_forward_peer *p)
{
    const struct tally none = {0};
    while (sc_forward_queue_pop(p->queue, 0, &p->entry)) {
        count(p, p->entry.parcel->batch->record_kind, &none, 0, p->entry.parcel->batch->rows);
        end_entry(p);
    }
}

static void *run(void *arg)
{
    struct sc_forward_peer *p = arg;
    pthread_setname_np(pthread_self(), "sc-forward");
    for (;;) {
        tick(p);
        if (is_ending(p) && (sc_forward_queue_is_empty(p->queue) || is_hopeless(p)))
            break;
        if (be_connected(p))
            send_next(p);
    }
    drop_all(p);
    if (p->fd >= 0 && p->options.to.scheme == SC_URL_TCP && time_left(p) != 0)
        sc_client_end_stream(p->fd, END_MS);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    atomic_store(&p->done, true);
    return NULL;
}

/* ---- outside ---- */

static void free_peer(struct sc_forward_peer *p)
{
    sc_forward_queue_free(p->queue);
    sc_forward_encoder_free(p->encoder);
    pthread_mutex_destroy(&p->mutex);
    free(p);
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
    p->queue = sc_forward_queue_create(options->limit_bytes);
    p->encoder = sc_forward_encoder_create(options->protocol, options->to.scheme == SC_URL_TCP, err);
    enum sc_status status = p->encoder == NULL ? SC_NOMEM : SC_OK;
    if (p->queue == NULL)
        status = sc_fail_nomem(err, "a destination");
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
}

bool sc_forward_peer_is_done(struct sc_forward_peer *p)
{
    return atomic_load(&p->done);
}

/* Waits for the thread. False: the name service holds it, and it will touch only `resolving` when it is back.
 */
static bool join(struct sc_forward_peer *p)
{
    const struct timespec nap = {.tv_nsec = 5000000};
    uint64_t latest = atomic_load(&p->deadline_ms) + LATE_MS;
    int expected = RESOLVING;
    while (!atomic_load(&p->done) && sc_clock_mono_ms() < latest)
        nanosleep(&nap, NULL);
    if (!atomic_load(&p->done) &&
        atomic_compare_exchange_strong(&p->resolving, &expected, RESOLVING_ABANDONED)) {
        pthread_detach(p->thread);
        return false;
    }
    pthread_join(p->thread, NULL);
    return true;
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
    bool joined = join(p);
    say_what_was_not_sent(p);
    if (joined) {
        free_peer(p);
        return;
    }
    if (p->entry.parcel != NULL)
        sc_forward_queue_done(p->queue, &p->entry);
    sc_forward_queue_free(p->queue);
    sc_forward_encoder_free(p->encoder);
}
