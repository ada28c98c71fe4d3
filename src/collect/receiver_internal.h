// SPDX-License-Identifier: BSD-3-Clause
/* Shared by the files of the receiver: collect/receiver.c (thread, commands, snapshots), _udp.c, _tcp.c. */
#ifndef SC_COLLECT_RECEIVER_INTERNAL_H
#define SC_COLLECT_RECEIVER_INTERNAL_H

#include "collect/receiver.h"
#include "net/framer.h"
#include "net/udp.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

struct sc_listener;

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
    struct sc_receiver *receiver;
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

struct sc_command;
struct sc_merge;

struct sc_receiver {
    struct sc_log log;
    struct sc_intake *intake;
    struct sc_udp_ring *ring;
    struct event_base *base;
    struct event *tick;
    struct sc_wake *wake;
    struct sc_listener *listeners;
    uint64_t connection_number; /* the next one */
    struct sc_places *places;
    struct sc_connection *oldest_newcomer, *newest_newcomer;
    uint64_t message_ms, idle_ms;
    uint64_t next_search_ms; /* for one that is idle: not before */
    struct sc_complaints *complaints, own_complaints;
    uint64_t next_second_ms, next_care_ms;
    struct sc_exporters exporters; /* filled by the pass over all exporters that is under way */
    bool caring;                   /* one is */
    struct sc_missing_lines missing;
    struct sc_buf records;                /* written, and not yet in `changes` */
    struct sc_merge *merges, *last_merge; /* to be done */
    atomic_size_t merging;                /* bytes of what is to be merged, commands included */
    bool started, ending;
    pthread_t thread;

    pthread_mutex_t mutex; /* what follows is shared */
    struct sc_command *commands, *last_command;
    struct sc_listener_view *listener_views;
    uint32_t listener_view_count;
    struct sc_exporters shown; /* the last whole pass */
    struct sc_intake_stats intake_stats;
    struct sc_buf changes; /* records of sessions that changed, for whoever takes them */
};

/* Decodes a message and reports what is wrong with it. False: it is malformed. */
bool sc_receiver_message(struct sc_receiver *receiver, const struct sc_message_source *source,
                         const uint8_t *bytes, size_t length);

/* Takes a bounded share of what waits in a UDP socket. True: there may be more. */
bool sc_receiver_read_udp(struct sc_listener *listener);
void sc_receiver_refresh_drops(struct sc_listener *listener);

/* Takes connections that wait, `most` of them. */
void sc_receiver_accept(struct sc_listener *listener, int most);
#define SC_RECEIVER_ACCEPTS_IN_TURN     64
#define SC_RECEIVER_ACCEPTS_WHEN_ENDING 1024
/* Once a tick: reads from paused connections again when there is room. */
void sc_receiver_resume(struct sc_listener *listener);
/* Once a second: closes connections that owe a message for too long. */
void sc_receiver_judge_connections(struct sc_listener *listener, uint64_t now_ms);
/* Their end begins: notes what waits in each connection. */
void sc_receiver_weigh_connections(struct sc_listener *listener);
/* Reads a share from each connection, and closes those that have no more, or from `until_ms` on no more of what waited. 0: closes all.
 * True: some are left. */
bool sc_receiver_drain_connections(struct sc_listener *listener, uint64_t until_ms);

#endif
