// SPDX-License-Identifier: BSD-3-Clause
/* Shared by the files of the receiver: collect/receiver.c (thread, commands, snapshots), _udp.c, _tcp.c. */
#ifndef SC_COLLECT_RECEIVER_INTERNAL_H
#define SC_COLLECT_RECEIVER_INTERNAL_H

#include "collect/receiver.h"
#include "net/framer.h"
#include "net/udp.h"

#include <event2/event.h>
#include <pthread.h>

#define SC_RECEIVER_TICK_MS         100
#define SC_RECEIVER_MAX_CONNECTIONS 1024u

struct sc_listener;

struct sc_connection {
    struct sc_listener *listener;
    struct sc_connection *next, *previous;
    int fd;
    struct event *event;
    bool paused; /* the queue is tight: not read from */
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
    bool paused;         /* TCP: no descriptors left, tried again at the next tick */
    uint32_t drops_seen; /* the kernel's counter, modulo 2^32 */
    struct sc_listener_view view;
    struct sc_connection *connections;
};

/* At most one line in ten seconds about each sort of trouble, with the number of those that were left out. */
struct sc_complaint {
    uint64_t last_ms;
    uint64_t left_out;
    bool any;
};

struct sc_command;

struct sc_receiver {
    struct sc_log log;
    struct sc_intake *intake;
    struct sc_udp_ring *ring;
    struct event_base *base;
    struct event *tick, *wake;
    struct sc_listener *listeners;
    uint64_t connection_number; /* the next one */
    uint32_t connection_count;
    struct sc_exporters exporters;
    struct sc_complaint bad_messages, bad_streams, bad_states;
    uint64_t next_second_ms, next_expire_ms, next_save_ms;
    bool tells;
    uint64_t told_revision, told_messages; /* the decoder's, and messages until then */
    uint64_t next_news_ms, next_told_ms;   /* not before: for new templates, for anything */
    bool started;
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t mutex; /* what follows is shared */
    struct sc_command *commands, *last_command;
    struct sc_listener_view *listener_views;
    uint32_t listener_view_count;
    struct sc_exporter_view *exporter_views;
    uint32_t exporter_view_count, exporter_view_capacity;
    struct sc_intake_stats intake_stats;
    struct sc_buf saved_templates;
    uint64_t templates_generation;
    struct sc_buf own_templates; /* for other collectors */
    uint64_t own_generation;
};

/* True when a line may be written now; out is then what to put at its end about those that were not, often empty. */
#define SC_COMPLAINT_MAX 48
bool sc_complaint_due(struct sc_complaint *complaint, char out[static SC_COMPLAINT_MAX]);

/* Decodes a message and reports what is wrong with it. */
void sc_receiver_message(struct sc_receiver *receiver, const struct sc_message_source *source,
                         const uint8_t *bytes, size_t length);

/* Takes what waits in a UDP socket. `until_empty`: all of it, two seconds at most; else a bounded share. */
void sc_receiver_read_udp(struct sc_listener *listener, bool until_empty);
void sc_receiver_refresh_drops(struct sc_listener *listener);

void sc_receiver_accept(struct sc_listener *listener);
/* Once a tick: reads from paused connections again when there is room. */
void sc_receiver_resume(struct sc_listener *listener);
/* Reads what is there from each connection, then closes them all. */
void sc_receiver_drain_connections(struct sc_listener *listener);

#endif
