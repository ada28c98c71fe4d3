// SPDX-License-Identifier: BSD-3-Clause
#include "relay/holder.h"

#include "base/clock.h"
#include "net/lookup.h"
#include "net/socket.h"
#include "net/wake.h"
#include "relay/board.h"
#include "relay/gate.h"
#include "relay/link_stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define BEAT_MS      200
#define BEATS_A_FACT (SC_FACTS_EVERY_MS / BEAT_MS)
#define ANSWERS      256u
#define STATE_BYTES  ((size_t)256 << 10) /* of template states that wait for the socket */
#define MOST_UNACKED ((size_t)1 << 20)   /* bytes of answers and beats that a proxy does not read */
#define KEEP_BYTES   ((size_t)1 << 20)   /* of a buffer that a whole batch or state leaves behind */
#define LOOKUP_MS    60000u              /* host names may get other addresses */
#define UNKNOWN_MS   5000u /* the same while one has none: the name service may be starting, too */
#define ACCEPTS      64    /* in one turn: beats and those that are connected have theirs */

struct connection {
    struct connection *next, *previous;
    struct sc_holder *holder;
    struct sc_link_input input;
    struct bufferevent *io; /* writes; over TLS it reads, too */
    struct sc_link_reader reader;
    struct sc_link_writer writer;
    struct sc_board_sender sender;
    uint64_t number;
    struct sc_addr from;
    enum sc_refusal refusal;  /* why it is to be closed; SC_REFUSAL_NONE: it is not, or nobody's fault */
    size_t held;              /* bytes of what is unfinished */
    uint64_t came, came_then; /* bytes, now and when it was seen to go on: */
    uint32_t beats,
        still; /* beats since it was opened, and since then: time in which this node itself stood still is nobody's */
    bool is_in;       /* it has greeted, and others made room */
    bool asks, asked; /* it pulls; and waits for an answer */
    size_t owed;      /* bytes that it has not taken yet, and for how many beats none of them: */
    uint32_t untaken;
    char name[160];
    char proxy[SC_LINK_NAME_MAX]; /* empty: it has not greeted */
};

struct sc_holder {
    struct sc_holder_options options;
    struct sc_lane_store *store;
    struct sc_lender *lender;
    struct sc_healer *healer;
    struct sc_member self; /* as it was at the start */
    atomic_ullong cluster_version;
    atomic_uint format;
    struct sc_board *board; /* what the proxies know of templates */
    struct event_base *base;
    struct event *accept, *beat;
    struct sc_wake *wake;
    int listen_fd;
    struct connection *connections;
    uint64_t turn; /* the number of who was read first */
    uint32_t beats;
    uint64_t numbers;
    pthread_t thread;
    atomic_bool stopping;
    atomic_uint connection_count;
    atomic_size_t held; /* by all connections */
    struct sc_refusals refusals;
    struct sc_gate gate;
    struct sc_lookup *lookup; /* of the members' names; NULL: none is under way */
    uint64_t next_lookup_ms, next_telling_ms;
    struct sc_tls *tls; /* of connections that come from now on; NULL: plain */
    pthread_mutex_t mutex;
    struct sc_cluster fresh;  /* shared: members to be taken over; none: nothing to do */
    struct sc_tls *fresh_tls; /* likewise */
};

/* ---- connections ---- */

static void free_connection(struct connection *c)
{
    sc_link_input_close(&c->input);
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
    atomic_fetch_sub(&h->held, c->held);
    free_connection(c);
}

static void note(struct sc_holder *h, enum sc_refusal why, const char *peer)
{
    sc_refusals_note(&h->refusals, &h->options.store.log, why, peer, sc_clock_mono_ms());
}

static void turn_away(struct connection *c, enum sc_refusal why)
{
    note(c->holder, why, c->name);
    close_connection(c);
}

static bool same_peer(const struct connection *x, const struct connection *y)
{
    return x->proxy[0] == '\0' ? sc_addr_equal(&x->from, &y->from) : strcmp(x->proxy, y->proxy) == 0;
}

/* While there are more than `most` like `c`, greeted or not as it is, the oldest goes. The newest stands first in the list. */
static void make_room(struct connection *c, uint32_t most, bool of_all, enum sc_refusal why)
{
    uint32_t n = 0;
    for (struct connection *other = c->holder->connections, *next; other != NULL; other = next) {
        next = other->next;
        bool alike = (other->proxy[0] == '\0') == (c->proxy[0] == '\0') && other->asks == c->asks &&
                     (of_all || same_peer(c, other));
        if (alike && other != c && ++n >= most)
            turn_away(other, why);
    }
}

/* ---- what comes ---- */

static void put_facts(struct connection *c, uint32_t turn)
{
    struct sc_link_facts facts[SC_FACTS_MOST];
    if (c->holder->options.facts == NULL)
        return;
    uint32_t n = sc_facts_to_send(c->holder->options.facts, turn, sc_facts_now(), facts);
    for (uint32_t i = 0; i < n; i++)
        sc_link_put_facts(&c->writer, &facts[i]);
}

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct connection *c = arg;
    char address[sizeof(c->name)];
    if (c->proxy[0] != '\0')
        return strcmp(c->proxy, hello->name) == 0 ? SC_OK : SC_MALFORMED;
    if (!sc_gate_admits(&c->holder->gate, hello->name, &c->from)) {
        c->refusal = SC_REFUSAL_NAME;
        snprintf(address, sizeof(address), "%s", c->name);
        snprintf(c->name, sizeof(c->name), "%.63s (%.80s)", hello->name, address);
        return SC_UNSUPPORTED;
    }
    if (c->input.secret && !sc_tls_is(c->io, hello->name)) {
        c->refusal = SC_REFUSAL_CERTIFICATE;
        return SC_UNSUPPORTED;
    }
    memcpy(address, c->name, sizeof(address));
    memcpy(c->proxy, hello->name, sizeof(c->proxy));
    sc_board_sender_begin(&c->sender, c->holder->board);
    snprintf(c->name, sizeof(c->name), "%.63s (%.80s)", hello->name, address);
    return SC_OK;
}

static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes)
{
    struct connection *c = arg;
    struct sc_lane_batch *batch = malloc(sizeof(*batch));
    if (batch == NULL)
        return SC_NOMEM;
    *batch = (struct sc_lane_batch){.connection = c->number, .head = *head, .bytes = sc_buf_take(bytes)};
    memcpy(batch->proxy, c->proxy, sizeof(batch->proxy));
    sc_lane_store_push(c->holder->store, batch);
    return SC_OK;
}

static enum sc_status on_tally(void *arg, const struct sc_link_tally *tally)
{
    struct connection *c = arg;
    enum sc_refusal why = sc_lane_store_tally(c->holder->store, c->proxy, tally);
    if (why != SC_REFUSAL_NONE)
        note(c->holder, why, c->name);
    return SC_OK;
}

/* Who has greeted is in. Who only pulls says so with its greeting; it comes and goes all the time, which the log is not told. */
static void let_in(struct connection *c)
{
    if (c->proxy[0] == '\0' || c->is_in)
        return;
    c->is_in = true;
    make_room(c, SC_HOLDER_EACH, false, SC_REFUSAL_DISPLACED);
    if (c->asks)
        return;
    put_facts(c, 0); /* they go with the next beat: it waits for them with its first flows */
    sc_log(&c->holder->options.store.log, SC_LOG_INFO, "the proxy %s is connected", c->name);
}

static enum sc_status on_stream(void *arg, const struct sc_link_stream *stream)
{
    struct connection *c = arg;
    enum sc_refusal why = sc_lane_store_stream(c->holder->store, c->proxy, stream);
    if (why != SC_REFUSAL_NONE)
        note(c->holder, why, c->name);
    return SC_OK;
}

static enum sc_status on_facts(void *arg, const struct sc_link_facts *facts)
{
    struct connection *c = arg;
    if (sc_cluster_find(&c->holder->gate.cluster, facts->name) != SC_NO_MEMBER)
        sc_facts_hear(c->holder->options.facts, facts, sc_facts_now());
    return SC_OK;
}

/* A proxy speaks for itself. The others are told by on_wake: nobody is in their callbacks then. */
static enum sc_status on_state(void *arg, const struct sc_hearsay_head *state, const uint8_t *bytes)
{
    struct connection *c = arg;
    if (strcmp(state->proxy, c->proxy) != 0)
        return SC_OK;
    SC_TRY(sc_board_put(c->holder->board, state, bytes));
    sc_wake_up(c->holder->wake);
    return SC_OK;
}

/* One question at a time. */
static enum sc_status on_ask(void *arg, const struct sc_link_ask *ask)
{
    struct connection *c = arg;
    c->asks = true;
    if (ask->what == SC_ASK_NOTHING) {
        sc_link_put_given(&c->writer, &(struct sc_link_given){SC_ASK_NOTHING, SC_GIVEN_ALL});
        return sc_link_send(c->io, &c->writer);
    }
    if (c->asked)
        return SC_MALFORMED;
    c->asked = true;
    return sc_lender_ask(c->holder->lender, c->number, ask) ? SC_OK : SC_NOMEM;
}

/* What other proxies know of templates. */
static enum sc_status send_state(struct connection *c)
{
    if (c->proxy[0] == '\0' || c->asks)
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

static void free_large(struct sc_buf *bytes, bool in_use)
{
    if (!in_use && bytes->cap > KEEP_BYTES)
        sc_buf_free(bytes);
}

/* What the connection holds now of what is not whole yet. */
static void weigh(struct connection *c)
{
    struct sc_link_reader *r = &c->reader;
    free_large(&r->bytes, r->announced);
    free_large(&r->state_bytes, r->state_announced);
    c->input.left = evbuffer_get_length(c->input.rest);
    size_t held = r->bytes.cap + r->state_bytes.cap + c->input.left;
    atomic_fetch_add(&c->holder->held, held - c->held); /* modulo 2^64 */
    c->held = held;
}

/* All hold too much: who holds most goes. */
static void relieve(struct sc_holder *h)
{
    struct connection *most = h->connections;
    if (most == NULL || atomic_load(&h->held) <= SC_HOLDER_UNFINISHED)
        return;
    for (struct connection *c = most; c != NULL; c = c->next)
        most = c->held > most->held ? c : most;
    turn_away(most, SC_REFUSAL_MEMORY);
}

static void not_understood(struct connection *c, const struct sc_error *err)
{
    char what[sizeof(c->name)];
    if (c->refusal != SC_REFUSAL_NONE) {
        turn_away(c, c->refusal);
        return;
    }
    snprintf(what, sizeof(what), "%.79s: %.78s", c->name, err->message);
    note(c->holder, SC_REFUSAL_MALFORMED, what);
    close_connection(c);
}

static void disconnected(struct connection *c)
{
    if (c->is_in && !c->asks)
        sc_log(&c->holder->options.store.log, SC_LOG_INFO, "%s is disconnected", c->name);
    close_connection(c);
}

static void on_readable(struct bufferevent *io, void *arg)
{
    struct connection *c = arg;
    struct sc_holder *h = c->holder;
    struct sc_error err = {.message = "it made no sense, or there was no memory"};
    uint64_t came;
    (void)io;
    /* The proxy waits, and on_beat looks again. Who has not greeted yet is heard, for that has a limit. */
    if (c->proxy[0] != '\0' && sc_lane_store_tight(h->store)) {
        sc_link_input_pause(&c->input);
        return;
    }
    enum sc_status status = sc_link_input_read(&c->input, &c->reader, &came, &err);
    c->came += came;
    if (status == SC_END || status == SC_IO) {
        disconnected(c);
        return;
    }
    if (status != SC_OK) {
        not_understood(c, &err);
        return;
    }
    let_in(c);
    weigh(c);
    relieve(h);
}

/* Of a stranger: what its TLS lacks. */
static void not_admitted(struct connection *c)
{
    char reason[96], what[sizeof(c->name)];
    sc_tls_reason(c->io, reason, sizeof(reason));
    snprintf(what, sizeof(what), "%.60s: %.90s", c->name, reason);
    note(c->holder, SC_REFUSAL_TLS, what);
    close_connection(c);
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
    struct connection *c = arg;
    (void)io;
    if ((what & BEV_EVENT_ERROR) != 0 && c->input.secret && c->proxy[0] == '\0')
        not_admitted(c);
    else if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        disconnected(c);
}

static void greet(struct connection *c)
{
    const struct sc_member *self = &c->holder->self;
    struct sc_link_hello hello = {.version = (uint16_t)atomic_load(&c->holder->format),
                                  .cluster_version = atomic_load(&c->holder->cluster_version),
                                  .lane = self->lane};
    snprintf(hello.name, sizeof(hello.name), "%s", self->name);
    sc_link_put_hello(&c->writer, &hello);
}

static void open_connection(struct sc_holder *h, int fd, const struct sc_addr *from, uint16_t port)
{
    char address[SC_ADDR_TEXT_MAX];
    sc_addr_format(from, address);
    if (!sc_gate_opens(&h->gate, from)) {
        note(h, SC_REFUSAL_ADDRESS, address);
        close(fd);
        return;
    }
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL || (c->io = sc_link_open(h->base, fd, h->tls, NULL)) == NULL) {
        free(c);
        close(fd);
        return;
    }
    snprintf(c->name, sizeof(c->name), "%s %u", address, port);
    c->holder = h;
    c->from = *from;
    c->number = ++h->numbers;
    c->reader = (struct sc_link_reader){.hello = on_hello,
                                        .batch = on_batch,
                                        .tally = on_tally,
                                        .stream = on_stream,
                                        .facts = h->options.facts == NULL ? NULL : on_facts,
                                        .state = on_state,
                                        .ask = on_ask,
                                        .arg = c};
    c->next = h->connections;
    if (c->next != NULL)
        c->next->previous = c;
    h->connections = c;
    atomic_fetch_add(&h->connection_count, 1);
    make_room(c, SC_HOLDER_UNGREETED_EACH, false, SC_REFUSAL_CROWD);
    make_room(c, SC_HOLDER_UNGREETED, true, SC_REFUSAL_CROWD);
    greet(c);
    const struct sc_link_callbacks callbacks = {on_readable, on_written, on_event, c};
    if (sc_link_input_open(&c->input, c->io, h->tls != NULL, &callbacks) != SC_OK ||
        sc_link_send(c->io, &c->writer) != SC_OK)
        close_connection(c);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct sc_holder *h = arg;
    struct sc_addr from;
    uint16_t port;
    int peer = 0;
    (void)what;
    for (int i = 0; i < ACCEPTS && (peer = sc_socket_accept((int)fd, &from, &port)) >= 0; i++)
        open_connection(h, peer, &from, port);
    if (peer == -EMFILE || peer == -ENFILE || peer == -ENOBUFS || peer == -ENOMEM)
        event_del(h->accept); /* until the next beat: who connects waits in the backlog */
}

/* ---- members ---- */

static void take_members(struct sc_holder *h)
{
    pthread_mutex_lock(&h->mutex);
    struct sc_cluster fresh = h->fresh;
    struct sc_tls *tls = h->fresh_tls;
    h->fresh = (struct sc_cluster){0};
    h->fresh_tls = NULL;
    pthread_mutex_unlock(&h->mutex);
    if (tls != NULL) {
        sc_tls_release(h->tls);
        h->tls = tls;
    }
    if (fresh.count == 0)
        return;
    if (sc_gate_set_members(&h->gate, &fresh) != SC_OK)
        sc_log(&h->options.store.log, SC_LOG_ERROR, "out of memory: the link knows the members as before");
    sc_lookup_release(h->lookup);
    h->lookup = NULL;
    h->next_lookup_ms = 0;
}

static void tell_not_found(struct sc_holder *h, const char *host, bool known)
{
    sc_log(&h->options.store.log, SC_LOG_WARNING, "the address of %s is not found: %s %s", host, h->self.name,
           known ? "knows it by the one that it had before" : "takes nothing from it");
}

static void take_found(struct sc_holder *h, const struct sc_lookup_host *host, uint64_t now)
{
    const struct sc_cluster *members = &h->gate.cluster; /* as they were when they were asked for */
    bool tells = now >= h->next_telling_ms;
    struct sc_addr found[SC_CLIENT_ADDRESSES];
    for (uint32_t i = 0; i < members->count; i++) {
        const struct sc_member *m = &members->members[i];
        if (m->address.numeric)
            continue;
        sc_gate_found(&h->gate, m->name, found, sc_lookup_addresses(host, found));
        bool known = sc_gate_is_found(&h->gate, m->name);
        if (host->found.count == 0 && tells) {
            tell_not_found(h, host->at.host, known);
            h->next_telling_ms = now + LOOKUP_MS;
        }
        if (!known && h->next_lookup_ms > now + UNKNOWN_MS)
            h->next_lookup_ms = now + UNKNOWN_MS;
        host++;
    }
}

/* NULL: there are no names, or no memory or thread. */
static struct sc_lookup *ask_for_names(const struct sc_cluster *members)
{
    struct sc_url *names = calloc((size_t)members->count + 1, sizeof(*names));
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->count && names != NULL; i++) {
        if (!members->members[i].address.numeric)
            names[count++] = members->members[i].address;
    }
    struct sc_lookup *lookup = count == 0 ? NULL : sc_lookup_start(names, count, NULL);
    free(names);
    return lookup;
}

static void look_names_up(struct sc_holder *h, uint64_t now)
{
    const struct sc_lookup_host *hosts = h->lookup == NULL ? NULL : sc_lookup_hosts(h->lookup);
    if (hosts != NULL) {
        take_found(h, hosts, now);
        sc_lookup_release(h->lookup);
        h->lookup = NULL;
    }
    if (h->lookup != NULL || now < h->next_lookup_ms)
        return;
    h->lookup = ask_for_names(&h->gate.cluster);
    h->next_lookup_ms = now + LOOKUP_MS;
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
    if (a->outcome == SC_LANE_LOST) {
        close_connection(c);
        return;
    }
    const struct sc_link_ack ack = {a->id.stream, a->id.lane, a->id.sequence, a->last};
    if (a->outcome == SC_LANE_DURABLE)
        sc_link_put_ack(&c->writer, &ack);
    else
        sc_link_put_refused(&c->writer, &a->id);
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

static enum sc_status send_loan(struct connection *c, const struct sc_loan *loan)
{
    const struct sc_link_given given = {loan->ask.what, loan->outcome};
    c->asked = false;
    if (loan->digests != NULL)
        sc_link_put_digests(&c->writer, loan->digests, loan->count);
    if (loan->holds != NULL)
        sc_link_put_holds(&c->writer, loan->holds, loan->count);
    for (uint32_t i = 0; loan->told != NULL && i < loan->count; i++)
        sc_link_put_told(&c->writer, &loan->told[i]);
    if (loan->bytes != NULL)
        SC_TRY(sc_link_send_batch(c->io, &c->writer, &loan->head, loan->bytes));
    sc_link_put_given(&c->writer, &given);
    return sc_link_send(c->io, &c->writer);
}

static void send_loans(struct sc_holder *h)
{
    struct sc_loan *loan;
    while ((loan = sc_lender_take(h->lender)) != NULL) {
        struct connection *c = find_connection(h, loan->connection);
        if (c != NULL && send_loan(c, loan) != SC_OK)
            close_connection(c);
        sc_loan_free(loan);
    }
}

static void on_wake(void *arg)
{
    struct sc_holder *h = arg;
    if (atomic_load(&h->stopping)) {
        event_base_loopbreak(h->base);
        return;
    }
    send_answers(h);
    send_loans(h);
    send_states(h);
}

static void answered(void *arg)
{
    struct sc_holder *h = arg;
    sc_wake_up(h->wake);
}

/* ---- time ---- */

static bool is_unfinished(const struct connection *c)
{
    return c->reader.announced || c->reader.state_announced || c->input.left != 0;
}

/* A row group is more than acknowledgements ever are: who pulls has time, as long as some of it goes. */
static bool listens(struct connection *c)
{
    size_t owed = evbuffer_get_length(bufferevent_get_output(c->io));
    c->untaken = owed <= MOST_UNACKED || owed < c->owed ? 0 : c->untaken + 1;
    c->owed = owed;
    return c->asks ? c->untaken <= SC_HOLDER_TAKING_MS / BEAT_MS : owed <= MOST_UNACKED;
}

/* @return why it has to go, for it keeps this node waiting. */
static enum sc_refusal judge_pace(struct connection *c)
{
    bool goes_on = c->input.paused || !is_unfinished(c) || c->came - c->came_then >= SC_HOLDER_STEP;
    c->still = goes_on ? 0 : c->still + 1;
    c->came_then = goes_on ? c->came : c->came_then;
    if (c->proxy[0] == '\0' && ++c->beats > SC_HOLDER_GREETING_MS / BEAT_MS)
        return SC_REFUSAL_SILENT;
    return listens(c) && c->still <= SC_HOLDER_STEP_MS / BEAT_MS ? SC_REFUSAL_NONE : SC_REFUSAL_SLOW;
}

static void beat(struct connection *c, const struct sc_link_beat *beat, bool tight)
{
    enum sc_refusal why = judge_pace(c);
    if (why != SC_REFUSAL_NONE) {
        turn_away(c, why);
        return;
    }
    if (!tight)
        sc_link_input_go_on(&c->input);
    sc_link_put_beat(&c->writer, beat);
    if (sc_link_send(c->io, &c->writer) != SC_OK)
        close_connection(c);
}

/* Who is read first: the one that came before the last one who was. */
static uint64_t next_turn(struct sc_holder *h)
{
    const struct connection *c = h->connections;
    while (c != NULL && c->number >= h->turn)
        c = c->next;
    c = c == NULL ? h->connections : c;
    h->turn = c == NULL ? 0 : c->number;
    return h->turn;
}

/* The loop hears of those that have something to say in the order in which they are told to go on. A disk may have made room for one
 * of them only. */
static void beat_all(struct sc_holder *h, const struct sc_link_beat *now)
{
    bool tight = sc_lane_store_tight(h->store);
    uint64_t first = next_turn(h);
    for (int round = 0; round < 2; round++) {
        for (struct connection *c = h->connections, *next; c != NULL; c = next) {
            next = c->next; /* NOLINT(clang-analyzer-unix.Malloc): who went is in no list */
            if ((c->number > first) == (round == 1))
                beat(c, now, tight);
        }
    }
}

static void send_facts(struct connection *c, uint32_t turn)
{
    put_facts(c, turn);
    if (sc_link_send(c->io, &c->writer) != SC_OK)
        close_connection(c);
}

static void send_all_facts(struct sc_holder *h)
{
    for (struct connection *c = h->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (c->proxy[0] != '\0' && !c->asks)
            send_facts(c, h->beats / BEATS_A_FACT);
    }
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct sc_holder *h = arg;
    struct sc_lane_store_stats stats;
    (void)fd;
    (void)what;
    send_answers(h);
    event_add(h->accept, NULL);
    sc_lane_store_get_stats(h->store, &stats);
    const struct sc_link_beat now = {.free_bytes = stats.stores.disk.free_bytes, .full = stats.full};
    beat_all(h, &now);
    if (h->options.facts != NULL && h->beats++ % BEATS_A_FACT == 0)
        send_all_facts(h);
    sc_refusals_tell(&h->refusals, &h->options.store.log, sc_clock_mono_ms());
    take_members(h);
    look_names_up(h, sc_clock_mono_ms());
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
    h->wake = sc_wake_create(h->base, on_wake, h);
    h->accept = event_new(h->base, h->listen_fd, EV_READ | EV_PERSIST, on_accept, h);
    h->beat = event_new(h->base, -1, EV_PERSIST, on_beat, h);
    if (h->wake == NULL || h->accept == NULL || h->beat == NULL || event_add(h->accept, NULL) != 0 ||
        event_add(h->beat, &every) != 0)
        return sc_fail_nomem(err, "the link");
    return SC_OK;
}

static void free_holder(struct sc_holder *h)
{
    for (struct connection *c = h->connections, *next; c != NULL; c = next) {
        next = c->next;
        free_connection(c);
    }
    sc_event_free(h->accept);
    sc_event_free(h->beat);
    sc_wake_free(h->wake);
    sc_loop_free(h->base);
    sc_board_free(h->board);
    sc_gate_free(&h->gate);
    sc_lookup_release(h->lookup);
    sc_refusals_free(&h->refusals);
    sc_cluster_free(&h->fresh);
    sc_tls_release(h->tls);
    sc_tls_release(h->fresh_tls);
    pthread_mutex_destroy(&h->mutex);
    if (h->listen_fd >= 0)
        close(h->listen_fd);
    free(h);
}

static bool know_members(struct sc_holder *h, const struct sc_cluster *cluster)
{
    struct sc_cluster copy;
    return sc_cluster_copy(cluster, &copy) == SC_OK && sc_gate_set_members(&h->gate, &copy) == SC_OK;
}

static enum sc_status start_healer(struct sc_holder *h, struct sc_error *err)
{
    const struct sc_lane_store_options *o = &h->options.store;
    const struct sc_healer_options how = {.cluster = o->cluster,
                                          .self = o->self,
                                          .tls = h->tls,
                                          .reference = o->reference,
                                          .retention = o->retention,
                                          .store = h->store,
                                          .lender = h->lender,
                                          .log = o->log};
    h->healer = sc_healer_start(&how, err);
    return h->healer == NULL ? SC_NOMEM : SC_OK;
}

static enum sc_status start_parts(struct sc_holder *h, struct sc_error *err)
{
    const struct sc_socket_options plain = {0};
    if (h->board == NULL || !know_members(h, h->options.store.cluster))
        return sc_fail_nomem(err, "the link");
    SC_TRY(sc_socket_listen(&h->options.listen, &plain, &h->listen_fd, err));
    SC_TRY(make_events(h, err));
    SC_TRY(sc_lane_store_start(&h->options.store, &h->store, err));
    h->lender = sc_lender_start(h->options.store.store, answered, h, err);
    if (h->lender == NULL)
        return SC_NOMEM;
    SC_TRY(start_healer(h, err));
    int failed = pthread_create(&h->thread, NULL, run, h);
    return failed == 0 ? SC_OK : sc_fail_errno(err, failed, "cannot start the link's thread");
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
    atomic_store(&h->format, options->store.cluster->format);
    h->listen_fd = -1;
    h->tls = sc_tls_hold(options->tls);
    h->board = sc_board_create();
    sc_refusals_init(&h->refusals);
    pthread_mutex_init(&h->mutex, NULL);
    h->options.store.refusals = &h->refusals;
    h->options.store.facts = options->facts;
    h->options.store.answered = answered;
    h->options.store.arg = h;
    enum sc_status status = start_parts(h, err);
    if (status != SC_OK) {
        sc_healer_stop(h->healer);
        sc_lender_stop(h->lender);
        sc_lane_store_stop(h->store, NULL);
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
    out->unfinished_bytes = atomic_load(&h->held);
    sc_refusals_get(&h->refusals, out->refused);
}

enum sc_status sc_holder_set_cluster(struct sc_holder *h, const struct sc_cluster *cluster)
{
    struct sc_cluster fresh;
    SC_TRY(sc_lane_store_set_cluster(h->store, cluster));
    SC_TRY(sc_healer_set_cluster(h->healer, cluster, sc_cluster_find(cluster, h->self.name)));
    SC_TRY(sc_cluster_copy(cluster, &fresh));
    pthread_mutex_lock(&h->mutex);
    sc_cluster_free(&h->fresh);
    h->fresh = fresh;
    pthread_mutex_unlock(&h->mutex);
    atomic_store(&h->cluster_version, cluster->version);
    atomic_store(&h->format, cluster->format);
    return SC_OK;
}

void sc_holder_set_tls(struct sc_holder *h, struct sc_tls *tls)
{
    sc_healer_set_tls(h->healer, tls);
    pthread_mutex_lock(&h->mutex);
    sc_tls_release(h->fresh_tls);
    h->fresh_tls = sc_tls_hold(tls);
    pthread_mutex_unlock(&h->mutex);
}

enum sc_status sc_holder_set_archive(struct sc_holder *h, const struct sc_archive_command *command)
{
    return sc_lane_store_set_archive(h->store, command);
}

void sc_holder_set_retention(struct sc_holder *h, const struct sc_retention *retention)
{
    sc_lane_store_set_retention(h->store, retention);
    sc_healer_set_retention(h->healer, retention);
}

struct sc_healer *sc_holder_healer(struct sc_holder *h)
{
    return h->healer;
}

void sc_holder_stop(struct sc_holder *h, struct sc_lane_store_stats *last)
{
    if (h == NULL)
        return;
    sc_healer_stop(h->healer);
    atomic_store(&h->stopping, true);
    sc_wake_up(h->wake);
    pthread_join(h->thread, NULL);
    sc_lender_stop(h->lender);
    sc_lane_store_stop(h->store, last);
    free_holder(h);
}
