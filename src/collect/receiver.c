// SPDX-License-Identifier: BSD-3-Clause
#include "collect/receiver.h"

#include "base/array.h"
#include "base/clock.h"
#include "collect/connections.h"
#include "collect/datagrams.h"
#include "collect/listeners.h"
#include "collect/templates.h"
#include "net/socket.h"
#include "net/wake.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CARE_IN_TICK  4096u /* exporters: a millisecond or two */
#define MESSAGE_MS    60000u
#define IDLE_MS       1800000u
#define MOST_CHANGES  ((size_t)4 << 20)   /* bytes that wait to be taken */
#define MERGE_BYTES   ((size_t)256 << 10) /* of other collectors' records in a tick; of one more, all */
#define DRAIN_MOST_MS 2000u               /* reading what waits in the sockets, at the end */

enum command_kind { COMMAND_ADD, COMMAND_REMOVE, COMMAND_MERGE, COMMAND_STOP };

struct sc_command {
    struct sc_command *next;
    enum command_kind kind;
    struct sc_url url;
    struct sc_listener *listener; /* ADD */
    struct sc_hearsay *state;     /* MERGE */
    uint64_t until_ms;            /* STOP */
};

/* What another collector knows, as far as it is merged. */
struct sc_merge {
    struct sc_merge *next;
    struct sc_hearsay *state;
    size_t at;
};

struct sc_receiver {
    struct sc_sockets sockets;
    struct event *tick;
    struct sc_wake *wake;
    struct sc_complaints own_complaints;
    uint64_t next_second_ms, next_care_ms;
    struct sc_exporters exporters; /* filled by the pass over all exporters that is under way */
    bool caring;                   /* one is */
    struct sc_missing_lines missing;
    struct sc_buf records;                /* written, and not yet in `changes` */
    struct sc_merge *merges, *last_merge; /* to be done */
    atomic_bool all_changed;              /* to be said to the decoder */
    atomic_size_t merging;                /* bytes of what is to be merged, commands included */
    bool started, ending;
    const struct sc_reference *reference;
    bool asks; /* it, at the start */
    pthread_t thread;

    pthread_mutex_t mutex; /* what follows is shared */
    struct sc_command *commands, *last_command;
    struct sc_listener_view *listener_views;
    uint32_t listener_view_count;
    struct sc_exporters shown; /* the last whole pass */
    struct sc_intake_stats intake_stats;
    struct sc_buf changes; /* records of sessions that changed, for whoever takes them */
};

/* ---- snapshots ---- */

static bool is_due(uint64_t *next_ms, uint64_t now_ms, uint64_t every_ms)
{
    if (now_ms < *next_ms)
        return false;
    *next_ms = now_ms + every_ms;
    return true;
}

static void publish_listeners(struct sc_receiver *receiver)
{
    uint32_t count = 0;
    for (struct sc_listener *l = receiver->sockets.listeners; l != NULL; l = l->next) {
        if (l->url.scheme == SC_URL_UDP)
            sc_datagrams_refresh_drops(l);
        count++;
    }
    uint32_t before = receiver->listener_view_count;
    if (count > before && !sc_array_more(receiver->listener_views, before, count - before))
        return;
    receiver->listener_view_count = count;
    for (struct sc_listener *l = receiver->sockets.listeners; l != NULL; l = l->next)
        receiver->listener_views[--count] = l->view;
}

/* What one pass found becomes what is shown, and the memory of the other serves the next. */
static void publish_exporters(struct sc_receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    struct sc_exporters old = receiver->shown;
    receiver->shown = receiver->exporters;
    pthread_mutex_unlock(&receiver->mutex);
    receiver->exporters = old;
}

static void on_account(void *arg, const struct sc_exporter_stats *stats)
{
    struct sc_receiver *receiver = arg;
    sc_exporters_visit(&receiver->exporters, stats);
}

static bool on_missing(void *arg, const struct sc_missing_template *missing)
{
    struct sc_receiver *receiver = arg;
    return sc_missing_tell(&receiver->missing, missing);
}

/* Looks after all exporters, a part in each tick, so that no number of them stops the reception. */
static void care(struct sc_receiver *receiver, uint32_t exporters)
{
    uint64_t now_ms = sc_clock_wall_ms();
    const struct sc_care who = {.account = on_account,
                                .missing = on_missing,
                                .missing_before_ms = now_ms - SC_MISSING_AFTER_MS,
                                .arg = receiver};
    if (!receiver->caring)
        sc_missing_begin(&receiver->missing, sc_clock_mono_ms());
    receiver->caring = !sc_decoder_care(sc_intake_decoder(receiver->sockets.intake), exporters, now_ms, &who);
    if (receiver->caring)
        return;
    sc_missing_end(&receiver->missing);
    publish_exporters(receiver);
}

/* At once, then once a minute. */
static void tell_overrun(struct sc_receiver *receiver, uint64_t now)
{
    struct sc_overrun o;
    char address[SC_ADDR_TEXT_MAX];
    sc_decoder_take_overrun(sc_intake_decoder(receiver->sockets.intake), &o);
    if (!sc_complaints_overrun(receiver->sockets.complaints, &o, now))
        return;
    sc_addr_format(&o.exporter, address);
    if (o.left_out != 0)
        sc_log(&receiver->sockets.log, SC_LOG_WARNING,
               "no room for %llu sessions, domains, templates or names of exporters, the last of %s: %s",
               (unsigned long long)o.left_out, address,
               o.own_share ? "it holds its share (\"exporter-share\")"
                           : "the memory of all is used up (\"exporter-memory\")");
    if (o.pushed_out != 0)
        sc_log(&receiver->sockets.log, SC_LOG_WARNING,
               "%llu exporters or sessions that are new or idle were forgotten to make room for others",
               (unsigned long long)o.pushed_out);
}

static void publish(struct sc_receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    publish_listeners(receiver);
    receiver->intake_stats = *sc_intake_stats_of(receiver->sockets.intake);
    pthread_mutex_unlock(&receiver->mutex);
}

/* Hands over what was written. Without memory it waits for the next tick. */
static void publish_records(struct sc_receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    if (receiver->changes.len == 0) {
        struct sc_buf empty = receiver->changes;
        receiver->changes = receiver->records;
        receiver->records = empty;
    } else {
        sc_buf_append(&receiver->changes, receiver->records.data, receiver->records.len);
        if (sc_buf_ok(&receiver->changes))
            sc_buf_clear(&receiver->records);
        receiver->changes.failed = false;
    }
    pthread_mutex_unlock(&receiver->mutex);
}

static bool is_awaited(struct sc_receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    size_t waiting = receiver->changes.len;
    pthread_mutex_unlock(&receiver->mutex);
    return waiting + receiver->records.len < MOST_CHANGES;
}

static void publish_changes(struct sc_receiver *receiver, size_t most)
{
    if (atomic_exchange(&receiver->all_changed, false))
        sc_decoder_change_all(sc_intake_decoder(receiver->sockets.intake));
    sc_decoder_changes(sc_intake_decoder(receiver->sockets.intake), most, &receiver->records);
    receiver->records.failed = false; /* the rest stays with the decoder */
    if (receiver->records.len != 0)
        publish_records(receiver);
}

enum sc_status sc_receiver_get_listeners(struct sc_receiver *receiver, struct sc_listener_view **out,
                                         uint32_t *count)
{
    pthread_mutex_lock(&receiver->mutex);
    *count = receiver->listener_view_count;
    *out = *count == 0 ? NULL : malloc(*count * sizeof(**out));
    if (*out != NULL)
        memcpy(*out, receiver->listener_views, *count * sizeof(**out));
    pthread_mutex_unlock(&receiver->mutex);
    return *out == NULL && *count != 0 ? SC_NOMEM : SC_OK;
}

enum sc_status sc_receiver_get_exporters(struct sc_receiver *receiver, struct sc_exporter_stats **out,
                                         uint32_t *count, struct sc_exporters_sum *sum)
{
    pthread_mutex_lock(&receiver->mutex);
    *sum = receiver->shown.sum;
    *count = receiver->shown.count;
    *out = *count == 0 ? NULL : malloc(*count * sizeof(**out));
    if (*out != NULL)
        memcpy(*out, receiver->shown.top, *count * sizeof(**out));
    pthread_mutex_unlock(&receiver->mutex);
    return *out == NULL && *count != 0 ? SC_NOMEM : SC_OK;
}

void sc_receiver_get_intake(struct sc_receiver *receiver, struct sc_intake_stats *out)
{
    pthread_mutex_lock(&receiver->mutex);
    *out = receiver->intake_stats;
    pthread_mutex_unlock(&receiver->mutex);
}

void sc_receiver_take_changes(struct sc_receiver *receiver, struct sc_buf *out)
{
    pthread_mutex_lock(&receiver->mutex);
    struct sc_buf empty = *out;
    *out = receiver->changes;
    receiver->changes = empty;
    pthread_mutex_unlock(&receiver->mutex);
}

void sc_receiver_change_all(struct sc_receiver *receiver)
{
    atomic_store(&receiver->all_changed, true);
}

/* ---- what other collectors know ---- */

static void release_merge(struct sc_receiver *receiver, struct sc_hearsay *state)
{
    atomic_fetch_sub(&receiver->merging, state->head.size);
    sc_hearsay_release(state);
}

static void free_first_merge(struct sc_receiver *receiver)
{
    struct sc_merge *merge = receiver->merges;
    receiver->merges = merge->next;
    if (receiver->merges == NULL)
        receiver->last_merge = NULL;
    release_merge(receiver, merge->state);
    free(merge);
}

static void await_merge(struct sc_receiver *receiver, struct sc_hearsay *state)
{
    struct sc_merge *merge = calloc(1, sizeof(*merge));
    if (merge == NULL) {
        release_merge(receiver, state);
        return;
    }
    merge->state = state;
    *(receiver->last_merge == NULL ? &receiver->merges : &receiver->last_merge->next) = merge;
    receiver->last_merge = merge;
}

/* A share of the first state. True: it is done with. */
static bool merge_share(struct sc_receiver *receiver, struct sc_merge *merge, size_t most)
{
    struct sc_error err;
    char others[SC_COMPLAINT_MAX];
    const struct sc_hearsay *state = merge->state;
    uint64_t clock_ms = state->head.clock_ms + sc_hearsay_age(state);
    enum sc_status status =
        sc_templates_merge(state->bytes, state->head.size, &merge->at, most,
                           sc_intake_decoder(receiver->sockets.intake), clock_ms, sc_clock_wall_ms(), &err);
    if (status != SC_OK && status != SC_AGAIN &&
        sc_complaint_due(receiver->sockets.complaints, SC_COMPLAINT_STATE, others))
        sc_log(&receiver->sockets.log, SC_LOG_WARNING,
               "templates that the proxy %s knows are not used, or not all of them: %s%s", state->head.proxy,
               err.message, others);
    return status != SC_AGAIN;
}

static void merge_states(struct sc_receiver *receiver)
{
    size_t done = 0;
    while (receiver->merges != NULL && done < MERGE_BYTES) {
        struct sc_merge *merge = receiver->merges;
        size_t before = merge->at;
        bool ended = merge_share(receiver, merge, MERGE_BYTES - done);
        done += ended ? merge->state->head.size - before : merge->at - before;
        if (ended)
            free_first_merge(receiver);
    }
}

/* ---- the thread ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sc_receiver *receiver = arg;
    uint64_t now = sc_clock_mono_ms();
    (void)fd;
    (void)what;
    sc_intake_tick(receiver->sockets.intake);
    for (struct sc_listener *l = receiver->sockets.listeners; l != NULL; l = l->next)
        sc_connections_resume(l);
    if (receiver->caring || is_due(&receiver->next_care_ms, now, 1000))
        care(receiver, CARE_IN_TICK);
    tell_overrun(receiver, now);
    if (is_due(&receiver->next_second_ms, now, 1000)) {
        for (struct sc_listener *l = receiver->sockets.listeners; l != NULL; l = l->next)
            sc_connections_judge(l, now);
        publish(receiver);
    }
    merge_states(receiver);
    if (is_awaited(receiver))
        publish_changes(receiver, SC_RECEIVER_CHANGES);
}

static void stop_all(struct sc_receiver *receiver, uint64_t until_ms)
{
    const struct sc_drain until = {sc_clock_mono_ms() + DRAIN_MOST_MS, until_ms + DRAIN_MOST_MS};
    sc_intake_end(receiver->sockets.intake, until_ms);
    sc_listeners_drain(receiver->sockets.listeners, &until);
    sc_intake_flush(receiver->sockets.intake);
    do
        care(receiver, UINT32_MAX);
    while (receiver->caring);
    publish(receiver);
    sc_decoder_refresh(sc_intake_decoder(receiver->sockets.intake));
    publish_changes(receiver, SIZE_MAX);
    while (receiver->sockets.listeners != NULL) {
        struct sc_listener *next = receiver->sockets.listeners->next;
        sc_listener_free(receiver->sockets.listeners);
        receiver->sockets.listeners = next;
    }
    event_base_loopbreak(receiver->sockets.base);
}

static void execute(struct sc_receiver *receiver, const struct sc_command *command)
{
    switch (command->kind) {
    case COMMAND_ADD:
        sc_listeners_take(&receiver->sockets, command->listener);
        publish(receiver); /* who heard that it listens finds it in the status */
        break;
    case COMMAND_REMOVE:
        sc_listeners_remove(&receiver->sockets, &command->url);
        break;
    case COMMAND_MERGE:
        await_merge(receiver, command->state);
        break;
    case COMMAND_STOP:
        stop_all(receiver, command->until_ms);
        break;
    }
}

static struct sc_command *take_commands(struct sc_receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    struct sc_command *commands = receiver->commands;
    receiver->commands = NULL;
    receiver->last_command = NULL;
    pthread_mutex_unlock(&receiver->mutex);
    return commands;
}

static void on_wake(void *arg)
{
    struct sc_receiver *receiver = arg;
    struct sc_command *command = take_commands(receiver);
    while (command != NULL) {
        struct sc_command *next = command->next;
        execute(receiver, command);
        free(command);
        command = next;
    }
}

static bool is_to_stop(struct sc_receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    const struct sc_command *last = receiver->last_command;
    bool stop = last != NULL && last->kind == COMMAND_STOP;
    pthread_mutex_unlock(&receiver->mutex);
    return stop;
}

/* So that no flow gets a window by a clock that nobody has compared; meanwhile what comes waits in the sockets. */
static void await_time(struct sc_receiver *receiver)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    uint64_t until_ms = sc_clock_mono_ms() + SC_RECEIVER_ASK_MS;
    while (!sc_reference_is_compared(receiver->reference) && !is_to_stop(receiver) &&
           sc_clock_mono_ms() < until_ms)
        nanosleep(&nap, NULL);
    if (!sc_reference_is_compared(receiver->reference) && !is_to_stop(receiver))
        sc_log(&receiver->sockets.log, SC_LOG_INFO,
               "no other member told the time within %u ms: flows are stamped by the clock of this node "
               "until one does",
               SC_RECEIVER_ASK_MS);
}

static void *run(void *arg)
{
    struct sc_receiver *receiver = arg;
    pthread_setname_np(pthread_self(), "sc-receive");
    if (receiver->asks)
        await_time(receiver);
    event_base_dispatch(receiver->sockets.base);
    return NULL;
}

/* ---- outside the thread ---- */

static enum sc_status send_command(struct sc_receiver *receiver, const struct sc_command *what,
                                   struct sc_error *err)
{
    struct sc_command *command = malloc(sizeof(*command));
    if (command == NULL)
        return sc_fail_nomem(err, "a command to a receiver");
    *command = *what;
    command->next = NULL;
    pthread_mutex_lock(&receiver->mutex);
    if (receiver->last_command == NULL)
        receiver->commands = command;
    else
        receiver->last_command->next = command;
    receiver->last_command = command;
    pthread_mutex_unlock(&receiver->mutex);
    sc_wake_up(receiver->wake);
    return SC_OK;
}

enum sc_status sc_receiver_add(struct sc_receiver *receiver, const struct sc_url *url, int fd,
                               struct sc_error *err)
{
    struct sc_url local = *url;
    SC_TRY(sc_socket_local(fd, &local, err));
    struct sc_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return sc_fail_nomem(err, "a listener");
    listener->sockets = &receiver->sockets;
    listener->url = *url;
    listener->fd = fd;
    listener->view.scheme = url->scheme;
    if (url->scheme == SC_URL_UDP)
        listener->view.receive_buffer = sc_socket_receive_buffer(fd);
    sc_url_format(&local, listener->view.name);
    const struct sc_command command = {.kind = COMMAND_ADD, .listener = listener};
    enum sc_status status = send_command(receiver, &command, err);
    if (status == SC_NOMEM)
        free(listener);
    return status;
}

enum sc_status sc_receiver_remove(struct sc_receiver *receiver, const struct sc_url *url,
                                  struct sc_error *err)
{
    const struct sc_command command = {.kind = COMMAND_REMOVE, .url = *url};
    return send_command(receiver, &command, err);
}

void sc_receiver_merge(struct sc_receiver *receiver, struct sc_hearsay *state)
{
    const struct sc_command command = {.kind = COMMAND_MERGE, .state = sc_hearsay_hold(state)};
    atomic_fetch_add(&receiver->merging, state->head.size);
    if (send_command(receiver, &command, NULL) == SC_NOMEM)
        release_merge(receiver, state);
}

size_t sc_receiver_merging(const struct sc_receiver *receiver)
{
    return atomic_load(&receiver->merging);
}

static enum sc_status create_events(struct sc_receiver *receiver, struct sc_error *err)
{
    const struct timeval every = {.tv_usec = SC_RECEIVER_TICK_MS * 1000};
    receiver->sockets.base = event_base_new();
    if (receiver->sockets.base == NULL)
        return sc_fail(err, SC_IO, "cannot create an event loop");
    receiver->wake = sc_wake_create(receiver->sockets.base, on_wake, receiver);
    if (receiver->wake == NULL)
        return sc_fail_errno(err, errno, "cannot create a receiver's wake-up");
    receiver->tick = event_new(receiver->sockets.base, -1, EV_PERSIST, on_tick, receiver);
    if (receiver->tick == NULL || event_add(receiver->tick, &every) != 0)
        return sc_fail_nomem(err, "a receiver");
    return SC_OK;
}

struct sc_receiver *sc_receiver_create(const struct sc_receiver_options *options, struct sc_error *err)
{
    struct sc_receiver *receiver = calloc(1, sizeof(*receiver));
    if (receiver == NULL) {
        sc_fail_nomem(err, "a receiver");
        return NULL;
    }
    pthread_mutex_init(&receiver->mutex, NULL);
    receiver->sockets.log = options->log;
    sc_complaints_init(&receiver->own_complaints);
    receiver->sockets.complaints =
        options->complaints != NULL ? options->complaints : &receiver->own_complaints;
    receiver->missing = (struct sc_missing_lines){.log = &receiver->sockets.log,
                                                  .minute = &receiver->sockets.complaints->missing};
    receiver->sockets.places = options->places;
    receiver->reference = options->intake.reference;
    receiver->asks = options->asks;
    receiver->sockets.message_ms = options->message_ms != 0 ? options->message_ms : MESSAGE_MS;
    receiver->sockets.idle_ms = options->idle_ms != 0 ? options->idle_ms : IDLE_MS;
    receiver->sockets.ring = sc_udp_ring_create();
    receiver->sockets.intake = sc_intake_create(&options->intake, err);
    bool made = receiver->sockets.intake != NULL;
    if (made && receiver->sockets.ring == NULL) {
        sc_fail_nomem(err, "a receiver");
        made = false;
    }
    if (!made || create_events(receiver, err) != SC_OK) {
        sc_receiver_free(receiver);
        return NULL;
    }
    return receiver;
}

struct sc_decoder *sc_receiver_decoder(struct sc_receiver *receiver)
{
    return sc_intake_decoder(receiver->sockets.intake);
}

enum sc_status sc_receiver_start(struct sc_receiver *receiver, struct sc_error *err)
{
    int failed = pthread_create(&receiver->thread, NULL, run, receiver);
    if (failed != 0)
        return sc_fail_errno(err, failed, "cannot start a receiver");
    receiver->started = true;
    return SC_OK;
}

void sc_receiver_end(struct sc_receiver *receiver, uint64_t until_ms)
{
    const struct sc_command command = {.kind = COMMAND_STOP, .until_ms = until_ms};
    while (receiver->started && !receiver->ending && send_command(receiver, &command, NULL) == SC_NOMEM)
        usleep(1000);
    receiver->ending = true;
}

void sc_receiver_stop(struct sc_receiver *receiver)
{
    sc_receiver_end(receiver, sc_clock_mono_ms() + SC_RECEIVER_LAST_MS);
    if (receiver->started)
        pthread_join(receiver->thread, NULL);
    receiver->started = false;
}

static void free_commands(struct sc_receiver *receiver)
{
    struct sc_command *command = take_commands(receiver);
    while (command != NULL) {
        struct sc_command *next = command->next;
        if (command->kind == COMMAND_ADD)
            sc_listener_free(command->listener);
        if (command->kind == COMMAND_MERGE)
            release_merge(receiver, command->state);
        free(command);
        command = next;
    }
}

void sc_receiver_free(struct sc_receiver *receiver)
{
    if (receiver == NULL)
        return;
    sc_receiver_stop(receiver);
    free_commands(receiver);
    sc_wake_free(receiver->wake);
    sc_event_free(receiver->tick);
    sc_loop_free(receiver->sockets.base);
    sc_intake_free(receiver->sockets.intake);
    sc_udp_ring_free(receiver->sockets.ring);
    sc_exporters_free(&receiver->exporters);
    while (receiver->merges != NULL)
        free_first_merge(receiver);
    sc_buf_free(&receiver->records);
    sc_buf_free(&receiver->changes);
    free(receiver->listener_views);
    sc_exporters_free(&receiver->shown);
    pthread_mutex_destroy(&receiver->mutex);
    free(receiver);
}
