// SPDX-License-Identifier: BSD-3-Clause
/*
 * The sockets of a receiver: listeners, and the connections that they took. connections.c reads TCP, datagrams.c UDP; listeners.c
 * takes and ends either. All belong to the receiver's thread.
 */
#ifndef SC_COLLECT_SOCKETS_H
#define SC_COLLECT_SOCKETS_H

#include "base/url.h"
#include "collect/complaints.h"
#include "collect/intake.h"
#include "collect/places.h"
#include "net/framer.h"
#include "net/udp.h"

#include <event2/event.h>

struct sc_listener_view {
    char name[SC_URL_TEXT_MAX]; /* with the real port */
    enum sc_url_scheme scheme;
    uint64_t datagrams; /* UDP */
    uint64_t messages;
    uint64_t bytes;
    uint64_t kernel_drops;   /* UDP: datagrams that came when the socket's buffer was full */
    uint64_t receive_buffer; /* UDP: bytes the kernel gave */
    uint64_t connections;    /* TCP: open now */
    uint64_t accepted;       /* TCP: since the start */
    uint64_t refused;        /* TCP: no place was left, in all or of the exporter's share */
    uint64_t timed_out;      /* TCP: closed because no whole message came in a minute */
    uint64_t displaced;      /* TCP: closed for a newcomer, when no place was left */
    uint64_t framing_errors; /* TCP: connections closed because the stream made no sense, or ended within a
                                message */
};

struct sc_connection {
    struct sc_listener *listener;
    struct sc_connection *next, *previous;
    int fd;
    struct event *event;
    bool paused; /* the queue is tight: not read from */
    /* It has sent a whole message that was not malformed. Until then it is in the receiver's list of newcomers: */
    bool useful;
    struct sc_connection *older, *newer;
    uint64_t deadline_ms; /* for the message that it owes; 0: it owes none */
    uint64_t message_ms;  /* of the last whole one */
    uint64_t unread;      /* bytes that waited when the end began, and are not read yet */
    struct sc_message_source source;
    struct sc_framer framer;
    char peer[SC_ADDR_TEXT_MAX + 8];
};

struct sc_listener {
    struct sc_sockets *sockets;
    struct sc_listener *next;
    struct sc_url url; /* as configured: names the listener */
    int fd;
    struct event *event;
    bool paused;            /* TCP: no descriptors left, tried again at the next tick */
    uint32_t drops_seen;    /* the kernel's counter, modulo 2^32 */
    uint64_t drained_bytes; /* UDP, at its end: view.bytes when all has been read that waited */
    struct sc_listener_view view;
    struct sc_connection *connections;
};

/* All sockets of a receiver, and what they share. */
struct sc_sockets {
    struct sc_log log;
    struct sc_intake *intake;
    struct sc_udp_ring *ring;
    struct event_base *base;
    struct sc_listener *listeners;
    uint64_t connection_number; /* the next one */
    struct sc_places *places;
    struct sc_connection *oldest_newcomer, *newest_newcomer;
    uint64_t message_ms, idle_ms;
    uint64_t next_search_ms; /* for one that is idle: not before */
    struct sc_complaints *complaints;
};

/* Decodes a message and reports what is wrong with it. False: it is malformed. */
bool sc_sockets_message(struct sc_sockets *sockets, const struct sc_message_source *source,
                        const uint8_t *bytes, size_t length);

#endif
