// SPDX-License-Identifier: BSD-3-Clause
#include "collect/connections.h"

#include "base/clock.h"
#include "net/socket.h"
#include "net/wake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Reads of a connection before others get their turn. */
#define READS_IN_TURN 4

#define SEARCH_MS 1000u /* between two searches for such a one */
#define BUFFER_MS 1000u /* an empty buffer is kept */

/* ---- newcomers ---- */

static void put_newcomer(struct sc_sockets *sockets, struct sc_connection *c)
{
    c->older = sockets->newest_newcomer;
    *(c->older == NULL ? &sockets->oldest_newcomer : &c->older->newer) = c;
    sockets->newest_newcomer = c;
}

static void take_newcomer(struct sc_sockets *sockets, struct sc_connection *c)
{
    *(c->older == NULL ? &sockets->oldest_newcomer : &c->older->newer) = c->newer;
    *(c->newer == NULL ? &sockets->newest_newcomer : &c->newer->older) = c->older;
    c->older = c->newer = NULL;
}

static void become_useful(struct sc_connection *c)
{
    if (c->useful)
        return;
    take_newcomer(c->listener->sockets, c);
    c->useful = true;
    c->deadline_ms = 0;
}

/* ---- connections ---- */

static void close_connection(struct sc_connection *c)
{
    struct sc_listener *listener = c->listener;
    if (c->previous == NULL)
        listener->connections = c->next;
    else
        c->previous->next = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    listener->view.connections--;
    if (!c->useful)
        take_newcomer(listener->sockets, c);
    sc_places_give_back(listener->sockets->places, &c->source.exporter);
    sc_decoder_end_session(sc_intake_decoder(listener->sockets->intake), &c->source);
    sc_log(&listener->sockets->log, SC_LOG_DEBUG, "%s: %s disconnected", listener->view.name, c->peer);
    event_free(c->event);
    close(c->fd);
    sc_framer_free(&c->framer);
    free(c);
}

static void say(struct sc_connection *c, const char *what)
{
    struct sc_sockets *sockets = c->listener->sockets;
    char others[SC_COMPLAINT_MAX];
    if (sc_complaint_due(sockets->complaints, SC_COMPLAINT_STREAM, others))
        sc_log(&sockets->log, SC_LOG_WARNING, "%s: %s: %s; the connection is closed%s",
               c->listener->view.name, c->peer, what, others);
}

static void complain(struct sc_connection *c, const char *what)
{
    c->listener->view.framing_errors++;
    say(c, what);
}

/* Takes the whole messages of the buffer. False: the connection is of no use any more. */
static bool take_messages(struct sc_connection *c)
{
    const uint8_t *message;
    size_t length;
    struct sc_error err;
    enum sc_status status;
    while ((status = sc_framer_next(&c->framer, &message, &length, &err)) == SC_OK) {
        c->listener->view.messages++;
        c->message_ms = sc_clock_mono_ms();
        if (sc_sockets_message(c->listener->sockets, &c->source, message, length))
            become_useful(c);
        if (c->useful)
            c->deadline_ms = 0;
    }
    if (sc_framer_pending(&c->framer) != 0 && c->deadline_ms == 0)
        c->deadline_ms = sc_clock_mono_ms() + c->listener->sockets->message_ms;
    if (status == SC_MALFORMED)
        complain(c, err.message);
    return status == SC_AGAIN;
}

/* One read. @return SC_OK; SC_AGAIN: nothing is there; SC_END: close it. */
static enum sc_status read_some(struct sc_connection *c)
{
    size_t size;
    uint8_t *room = sc_framer_room(&c->framer, &size);
    if (room == NULL)
        return SC_END;
    ssize_t n = read(c->fd, room, size);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? SC_AGAIN : SC_END;
    if (n == 0) {
        if (sc_framer_pending(&c->framer) != 0)
            complain(c, "the stream ends in the middle of a message");
        return SC_END;
    }
    c->listener->view.bytes += (uint64_t)n;
    c->unread -= (uint64_t)n < c->unread ? (uint64_t)n : c->unread;
    c->source.receive_ms = sc_clock_wall_ms();
    sc_framer_filled(&c->framer, (size_t)n);
    return take_messages(c) ? SC_OK : SC_END;
}

static enum sc_status read_turn(struct sc_connection *c)
{
    enum sc_status status = SC_OK;
    for (int i = 0; i < READS_IN_TURN && status == SC_OK; i++)
        status = read_some(c);
    return status;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct sc_connection *c = arg;
    (void)fd;
    (void)what;
    /* Bytes not read fill the socket, and the exporter waits: nothing is lost. */
    if (sc_intake_is_tight(c->listener->sockets->intake)) {
        c->paused = true;
        event_del(c->event);
        return;
    }
    if (read_turn(c) == SC_END)
        close_connection(c);
}

void sc_connections_resume(struct sc_listener *listener)
{
    if (listener->paused) {
        listener->paused = false;
        event_add(listener->event, NULL);
    }
    if (listener->connections == NULL || sc_intake_is_tight(listener->sockets->intake))
        return;
    for (struct sc_connection *c = listener->connections; c != NULL; c = c->next) {
        if (c->paused) {
            c->paused = false;
            if (c->deadline_ms != 0) /* it could not keep it */
                c->deadline_ms = sc_clock_mono_ms() + c->listener->sockets->message_ms;
            event_add(c->event, NULL);
        }
    }
}

/* What waits in its socket is read first: this thread may be the one that is late. */
static void judge(struct sc_connection *c, uint64_t now_ms)
{
    if (now_ms > c->message_ms + BUFFER_MS && sc_framer_pending(&c->framer) == 0)
        sc_framer_free(&c->framer);
    if (c->paused || c->deadline_ms == 0 || now_ms < c->deadline_ms)
        return;
    bool ended = read_turn(c) == SC_END;
    if (!ended && (c->deadline_ms == 0 || now_ms < c->deadline_ms))
        return;
    if (!ended) {
        c->listener->view.timed_out++;
        say(c, "no whole message that makes sense came in time");
    }
    close_connection(c);
}

void sc_connections_judge(struct sc_listener *listener, uint64_t now_ms)
{
    for (struct sc_connection *c = listener->connections, *next; c != NULL; c = next) {
        next = c->next;
        judge(c, now_ms);
    }
}

void sc_connections_weigh(struct sc_listener *listener)
{
    for (struct sc_connection *c = listener->connections; c != NULL; c = c->next) {
        int waiting = 0;
        c->unread = ioctl(c->fd, FIONREAD, &waiting) == 0 && waiting > 0 ? (uint64_t)waiting : 0;
    }
}

/* Whether there may be more to read of it. */
static bool drain_turn(struct sc_connection *c, uint64_t until_ms)
{
    if (sc_intake_is_tight(c->listener->sockets->intake))
        return sc_clock_mono_ms() < until_ms;
    return until_ms != 0 && read_turn(c) == SC_OK && (c->unread != 0 || sc_clock_mono_ms() < until_ms);
}

bool sc_connections_drain(struct sc_listener *listener, uint64_t until_ms)
{
    for (struct sc_connection *c = listener->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (!drain_turn(c, until_ms))
            close_connection(c);
    }
    return listener->connections != NULL;
}

/* ---- accepting ---- */

static bool open_connection(struct sc_listener *listener, int fd, const struct sc_addr *from, uint16_t port)
{
    struct sc_sockets *sockets = listener->sockets;
    struct sc_connection *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return false;
    c->event = event_new(sockets->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    if (c->event == NULL || event_add(c->event, NULL) != 0) {
        sc_event_free(c->event);
        free(c);
        return false;
    }
    char address[SC_ADDR_TEXT_MAX];
    sc_addr_format(from, address);
    snprintf(c->peer, sizeof(c->peer), "%s %u", address, port);
    c->listener = listener;
    c->fd = fd;
    c->source = (struct sc_message_source){*from, port, SC_TRANSPORT_TCP, ++sockets->connection_number, 0};
    c->next = listener->connections;
    if (c->next != NULL)
        c->next->previous = c;
    listener->connections = c;
    listener->view.connections++;
    listener->view.accepted++;
    c->deadline_ms = sc_clock_mono_ms() + c->listener->sockets->message_ms;
    put_newcomer(sockets, c);
    sc_log(&sockets->log, SC_LOG_DEBUG, "%s: %s connected", listener->view.name, c->peer);
    return true;
}

static void refuse(struct sc_listener *listener, const char *who, const char *why)
{
    char others[SC_COMPLAINT_MAX];
    listener->view.refused++;
    if (sc_complaint_due(listener->sockets->complaints, SC_COMPLAINT_REFUSAL, others))
        sc_log(&listener->sockets->log, SC_LOG_WARNING, "%s: a connection%s is refused: %s%s",
               listener->view.name, who, why, others);
}

/* The one that has sent nothing for longest, of those that were useful once. NULL: none for long enough. */
static struct sc_connection *find_idle(struct sc_sockets *sockets, uint64_t now_ms)
{
    struct sc_connection *found = NULL;
    if (now_ms < sockets->next_search_ms)
        return NULL;
    for (struct sc_listener *l = sockets->listeners; l != NULL; l = l->next) {
        for (struct sc_connection *c = l->connections; c != NULL; c = c->next) {
            bool idle = !c->paused && now_ms > c->message_ms + sockets->idle_ms;
            if (idle && (found == NULL || c->message_ms < found->message_ms))
                found = c;
        }
    }
    if (found == NULL)
        sockets->next_search_ms = now_ms + SEARCH_MS;
    return found;
}

/* Closes the oldest connection that never was of use, else one that is idle for long. False: there is none. */
static bool make_room(struct sc_sockets *sockets)
{
    struct sc_connection *c = sockets->oldest_newcomer;
    if (c == NULL)
        c = find_idle(sockets, sc_clock_mono_ms());
    if (c == NULL)
        return false;
    c->listener->view.displaced++; /* NOLINT(clang-analyzer-unix.Malloc): who went is in no list */
    close_connection(c);
    return true;
}

static enum sc_place take_place(struct sc_sockets *sockets, const struct sc_addr *from)
{
    enum sc_place place = sc_places_take(sockets->places, from);
    if (place == SC_PLACE_NONE_LEFT && make_room(sockets))
        place = sc_places_take(sockets->places, from);
    return place;
}

static void take_connection(struct sc_listener *listener, int fd, const struct sc_addr *from, uint16_t port)
{
    static const char *const reasons[] = {
        [SC_PLACE_TAKEN] = "no memory",
        [SC_PLACE_NO_MEMORY] = "no memory",
        [SC_PLACE_NONE_LEFT] = "too many are open",
        [SC_PLACE_OVER_SHARE] = "too many of this exporter are open",
    };
    struct sc_sockets *sockets = listener->sockets;
    enum sc_place place = take_place(sockets, from);
    if (place == SC_PLACE_TAKEN && open_connection(listener, fd, from, port))
        return;
    if (place == SC_PLACE_TAKEN)
        sc_places_give_back(sockets->places, from);
    char who[SC_ADDR_TEXT_MAX + 16] = " of ";
    sc_addr_format(from, who + strlen(who));
    refuse(listener, who, reasons[place]);
    close(fd);
}

void sc_connections_accept(struct sc_listener *listener, int most)
{
    while (most-- > 0) {
        struct sc_addr from;
        uint16_t port;
        int fd = sc_socket_accept(listener->fd, &from, &port);
        if (fd == -EAGAIN)
            return;
        if (fd == -EINTR || fd == -ECONNABORTED || fd == -EPROTO)
            continue;
        if (fd < 0) { /* no descriptors or memory: the peer waits in the backlog, until the next tick */
            refuse(listener, "", strerror(-fd));
            listener->paused = true;
            event_del(listener->event);
            return;
        }
        take_connection(listener, fd, &from, port);
    }
}
