// SPDX-License-Identifier: BSD-3-Clause
#include "collect/listeners.h"

#include "base/clock.h"
#include "collect/connections.h"
#include "collect/datagrams.h"
#include "net/wake.h"

#include <stdlib.h>
#include <unistd.h>

#define REMOVE_MOST_MS 100u /* reading what waits in a listener that is removed: the others wait meanwhile */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct sc_listener *listener = arg;
    (void)fd;
    (void)what;
    if (listener->url.scheme == SC_URL_UDP)
        sc_datagrams_read(listener);
    else
        sc_connections_accept(listener, SC_CONNECTIONS_IN_TURN);
}

void sc_listener_free(struct sc_listener *listener)
{
    sc_event_free(listener->event);
    if (listener->fd >= 0)
        close(listener->fd);
    free(listener);
}

/* Before the first turn. Of a UDP socket all has been read that waited when its buffer's size has been. */
static void begin_drain(struct sc_listener *listener)
{
    listener->drained_bytes = listener->view.bytes + listener->view.receive_buffer;
    if (listener->url.scheme == SC_URL_UDP)
        return;
    sc_connections_accept(listener, SC_CONNECTIONS_WHEN_ENDING);
    sc_connections_weigh(listener);
}

/* True: there may be more. */
static bool drain_turn(struct sc_listener *listener, uint64_t streams_ms)
{
    if (listener->url.scheme == SC_URL_UDP)
        return sc_datagrams_read(listener) && listener->view.bytes < listener->drained_bytes;
    return sc_connections_drain(listener, streams_ms);
}

void sc_listeners_drain(struct sc_listener *first, const struct sc_drain *until)
{
    bool more = true;
    for (struct sc_listener *l = first; l != NULL; l = l->next)
        begin_drain(l);
    while (more) {
        bool ended = sc_clock_mono_ms() >= until->all_ms;
        more = false;
        for (struct sc_listener *l = first; l != NULL; l = l->next)
            more = (drain_turn(l, ended ? 0 : until->streams_ms) && !ended) || more;
    }
}

void sc_listeners_take(struct sc_sockets *sockets, struct sc_listener *listener)
{
    listener->event = event_new(sockets->base, listener->fd, EV_READ | EV_PERSIST, on_socket, listener);
    if (listener->event == NULL || event_add(listener->event, NULL) != 0) {
        sc_log(&sockets->log, SC_LOG_ERROR, "%s: out of memory, not listened to", listener->view.name);
        sc_listener_free(listener);
        return;
    }
    listener->next = sockets->listeners;
    sockets->listeners = listener;
}

static bool same_url(const struct sc_url *a, const struct sc_url *b)
{
    return a->scheme == b->scheme && a->port == b->port && sc_addr_equal(&a->address, &b->address);
}

void sc_listeners_remove(struct sc_sockets *sockets, const struct sc_url *url)
{
    uint64_t until_ms = sc_clock_mono_ms() + REMOVE_MOST_MS;
    for (struct sc_listener **at = &sockets->listeners; *at != NULL; at = &(*at)->next) {
        struct sc_listener *listener = *at;
        if (!same_url(&listener->url, url))
            continue;
        *at = listener->next;
        listener->next = NULL;
        sc_listeners_drain(listener, &(struct sc_drain){until_ms, until_ms});
        sc_listener_free(listener);
        return;
    }
}
