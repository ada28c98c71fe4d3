// SPDX-License-Identifier: BSD-3-Clause
#include "collect/datagrams.h"

#include "base/clock.h"
#include "net/socket.h"

/* Calls of recvmmsg before other sockets and the clock get their turn. */
#define BULKS_IN_TURN 16

static void note_drops(struct sc_listener *listener, uint32_t drops)
{
    listener->view.kernel_drops += (uint32_t)(drops - listener->drops_seen);
    listener->drops_seen = drops;
}

void sc_datagrams_refresh_drops(struct sc_listener *listener)
{
    uint32_t drops;
    if (sc_socket_drops(listener->fd, &drops))
        note_drops(listener, drops);
}

static void take_bulk(struct sc_listener *listener, const struct sc_udp_bulk *bulk)
{
    struct sc_message_source source = {.transport = SC_TRANSPORT_UDP, .receive_ms = sc_clock_wall_ms()};
    for (uint32_t i = 0; i < bulk->count; i++) {
        const struct sc_datagram *d = &bulk->datagrams[i];
        source.exporter = d->from;
        source.port = d->port;
        listener->view.bytes += d->length;
        sc_sockets_message(listener->sockets, &source, d->bytes, d->length);
    }
    listener->view.datagrams += bulk->count;
    listener->view.messages += bulk->count;
    if (bulk->has_drops)
        note_drops(listener, bulk->drops);
}

bool sc_datagrams_read(struct sc_listener *listener)
{
    struct sc_sockets *sockets = listener->sockets;
    for (int i = 0; i < BULKS_IN_TURN; i++) {
        struct sc_udp_bulk bulk;
        struct sc_error err;
        enum sc_status status = sc_udp_receive(sockets->ring, listener->fd, &bulk, &err);
        if (status == SC_AGAIN)
            return false;
        if (status != SC_OK) {
            sc_log(&sockets->log, SC_LOG_ERROR, "%s: %s", listener->view.name, err.message);
            event_del(listener->event);
            return false;
        }
        take_bulk(listener, &bulk);
    }
    return true;
}
