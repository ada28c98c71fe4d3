// SPDX-License-Identifier: BSD-3-Clause
#include "collect/receiver_internal.h"

#include "base/clock.h"
#include "net/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Reads of a connection before others get their turn. */
#define READS_IN_TURN     4
#define READS_WHEN_ENDING 1024

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
    listener->receiver->connection_count--;
    sc_decoder_end_session(sc_intake_decoder(listener->receiver->intake), &c->source);
    sc_log(&listener->receiver->log, SC_LOG_DEBUG, "%s: %s disconnected", listener->view.name, c->peer);
    event_free(c->event);
    close(c->fd);
    sc_framer_free(&c->framer);
    free(c);
}

static void complain(struct sc_connection *c, const char *what)
{
    struct sc_receiver *receiver = c->listener->receiver;
    char others[SC_COMPLAINT_MAX];
    c->listener->view.framing_errors++;
    if (sc_complaint_due(&receiver->bad_streams, others))
        sc_log(&receiver->log, SC_LOG_WARNING, "%s: %s: %s; the connection is closed%s",
               c->listener->view.name, c->peer, what, others);
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
        sc_receiver_message(c->listener->receiver, &c->source, message, length);
    }
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
    c->source.receive_ms = sc_clock_wall_ms();
    sc_framer_filled(&c->framer, (size_t)n);
    return take_messages(c) ? SC_OK : SC_END;
}

static enum sc_status read_turn(struct sc_connection *c, int reads)
{
    enum sc_status status = SC_OK;
    for (int i = 0; i < reads && status == SC_OK; i++)
        status = read_some(c);
    return status;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct sc_connection *c = arg;
    (void)fd;
    (void)what;
    /* Bytes not read fill the socket, and the exporter waits: nothing is lost. */
    if (sc_intake_is_tight(c->listener->receiver->intake)) {
        c->paused = true;
        event_del(c->event);
        return;
    }
    if (read_turn(c, READS_IN_TURN) == SC_END)
        close_connection(c);
}

void sc_receiver_resume(struct sc_listener *listener)
{
    if (listener->paused) {
        listener->paused = false;
        event_add(listener->event, NULL);
    }
    if (listener->connections == NULL || sc_intake_is_tight(listener->receiver->intake))
        return;
    for (struct sc_connection *c = listener->connections; c != NULL; c = c->next) {
        if (c->paused) {
            c->paused = false;
            event_add(c->event, NULL);
        }
    }
}

void sc_receiver_drain_connections(struct sc_listener *listener)
{
    for (struct sc_connection *c = listener->connections; c != NULL;) {
        struct sc_connection *next = c->next;
        if (!sc_intake_is_tight(listener->receiver->intake))
            read_turn(c, READS_WHEN_ENDING);
        close_connection(c);
        c = next;
    }
}

/* ---- accepting ---- */

static bool open_connection(struct sc_listener *listener, int fd, const struct sc_addr *from, uint16_t port)
{
    struct sc_receiver *receiver = listener->receiver;
    struct sc_connection *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return false;
    c->event = event_new(receiver->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    if (c->event == NULL || event_add(c->event, NULL) != 0) {
        if (c->event != NULL)
            event_free(c->event);
        free(c);
        return false;
    }
    char address[SC_ADDR_TEXT_MAX];
    sc_addr_format(from, address);
    snprintf(c->peer, sizeof(c->peer), "%s %u", address, port);
    c->listener = listener;
    c->fd = fd;
    c->source = (struct sc_message_source){*from, port, SC_TRANSPORT_TCP, ++receiver->connection_number, 0};
    c->next = listener->connections;
    if (c->next != NULL)
        c->next->previous = c;
    listener->connections = c;
    listener->view.connections++;
    listener->view.accepted++;
    receiver->connection_count++;
    sc_log(&receiver->log, SC_LOG_DEBUG, "%s: %s connected", listener->view.name, c->peer);
    return true;
}

static void refuse(struct sc_listener *listener, const char *why)
{
    char others[SC_COMPLAINT_MAX];
    listener->view.refused++;
    if (sc_complaint_due(&listener->receiver->bad_streams, others))
        sc_log(&listener->receiver->log, SC_LOG_WARNING, "%s: a connection is refused: %s%s",
               listener->view.name, why, others);
}

void sc_receiver_accept(struct sc_listener *listener)
{
    for (;;) {
        struct sc_addr from;
        uint16_t port;
        int fd = sc_socket_accept(listener->fd, &from, &port);
        if (fd == -EAGAIN)
            return;
        if (fd == -EINTR || fd == -ECONNABORTED || fd == -EPROTO)
            continue;
        if (fd < 0) { /* no descriptors or memory: the peer waits in the backlog */
            refuse(listener, strerror(-fd));
            listener->paused = true;
            event_del(listener->event);
            return;
        }
        bool room = listener->receiver->connection_count < SC_RECEIVER_MAX_CONNECTIONS;
        if (room && open_connection(listener, fd, &from, port))
            continue;
        refuse(listener, room ? "no memory" : "too many are open");
        close(fd);
    }
}
