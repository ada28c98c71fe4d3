// SPDX-License-Identifier: BSD-3-Clause
#include "collect/receiver.h"

#include "base/array.h"
#include "base/clock.h"
#include "collect/receiver_internal.h"
#include "collect/templates.h"
#include "net/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CARE_IN_TICK   4096u /* exporters: a millisecond or two */
#define MESSAGE_MS     60000u
#define IDLE_MS        1800000u
#define MOST_CHANGES   ((size_t)4 << 20)   /* bytes that wait to be taken */
#define MERGE_BYTES    ((size_t)256 << 10) /* of other collectors' records in a tick; of one more, all */
#define DRAIN_MOST_MS  2000u               /* reading what waits in the sockets, at the end */
#define REMOVE_MOST_MS 100u /* the same of a listener that is removed: the others wait meanwhile */

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

bool sc_receiver_message(struct sc_receiver *receiver, const struct sc_message_source *source,
                         const uint8_t *bytes, size_t length)
{
    struct sc_error err;
    char address[SC_ADDR_TEXT_MAX], others[SC_COMPLAINT_MAX];
    enum sc_status status = sc_intake_message(receiver->intake, source, bytes, length, &err);
    if (status == SC_LIMIT) /* what there was no room for is told together: tell_overrun */
        return true;
    if (status != SC_OK && sc_complaint_due(receiver->complaints, SC_COMPLAINT_MESSAGE, others)) {
        sc_addr_format(&source->exporter, address);
        sc_log(&receiver->log, SC_LOG_WARNING, "message of %zu bytes from %s %u: %s%s", length, address,
               source->port, err.message, others);
    }
    return status != SC_MALFORMED;
}

/* ---- listeners ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct sc_listener *listener = arg;
    (void)fd;
    (void)what;
    if (listener->url.scheme == SC_URL_UDP)
        sc_receiver_read_udp(listener);
    else
        sc_receiver_accept(listener, SC_RECEIVER_ACCEPTS_IN_TURN);
}

static void free_listener(struct sc_listener *listener)
{
    if (listener->event != NULL)
        event_free(listener->event);
    if (listener->fd >= 0)
        close(listener->fd);
    free(listener);
}

/* Until when sockets are read before their end. */
struct drain {
    uint64_t streams_ms; /* their senders may go on for ever; but they learn what was not read */
    uint64_t all_ms;
};

/* Before the first turn. Of a UDP socket all has been read that waited when its buffer's size has been. */
static void begin_drain(struct sc_listener *listener)
{
    listener->drained_bytes = listener->view.bytes + listener->view.receive_buffer;
    if (listener->url.scheme == SC_URL_UDP)
        return;
    sc_receiver_accept(listener, SC_RECEIVER_ACCEPTS_WHEN_ENDING);
    sc_receiver_weigh_connections(listener);
}

/* True: there may be more. */
static bool drain_turn(struct sc_listener *listener, uint64_t streams_ms)
{
    if (listener->url.scheme == SC_URL_UDP)
        return sc_receiver_read_udp(listener) && listener->view.bytes < listener->drained_bytes;
    return sc_receiver_drain_connections(listener, streams_ms);
}

/* Takes what waits in the sockets of a list of listeners, turn by turn. */
static void drain(struct sc_listener *first, const struct drain *until)
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

static void take_listener(struct sc_receiver *receiver, struct sc_listener *listener)
{
    listener->event = event_new(receiver->base, listener->fd, EV_READ | EV_PERSIST, on_socket, listener);
    if (listener->event == NULL || event_add(listener->event, NULL) != 0) {
        sc_log(&receiver->log, SC_LOG_ERROR, "%s: out of memory, not listened to", listener->view.name);
        free_listener(listener);
        return;
    }
    listener->next = receiver->listeners;
    receiver->listeners = listener;
}

static bool same_url(const struct sc_url *a, const struct sc_url *b)
{
    return a->scheme == b->scheme && a->port == b->port && sc_addr_equal(&a->address, &b->address);
}

static void remove_listener(struct sc_receiver *receiver, const struct sc_url *url)
{
    uint64_t until_ms = sc_clock_mono_ms() + REMOVE_MOST_MS;
    for (struct sc_listener **at = &receiver->listeners; *at != NULL; at = &(*at)->next) {
        struct sc_listener *listener = *at;
        if (!same_url(&listener->url, url))
            continue;
        *at = listener->next;
        listener->next = NULL;
        drain(listener, &(struct drain){until_ms, until_ms});
        free_listener(listener);
        return;
    }
}

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
    for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next) {
        if (l->url.scheme == SC_URL_UDP)
            sc_receiver_refresh_drops(l);
        count++;
    }
    uint32_t before = receiver->listener_view_count;
    if (count > before && !sc_array_more(receiver->listener_views, before, count - before))
        return;
    receiver->listener_view_count = count;
    for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next)
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
    receiver->caring = !sc_decoder_care(sc_intake_decoder(receiver->intake), exporters, now_ms, &who);
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
    sc_decoder_take_overrun(sc_intake_decoder(receiver->intake), &o);
    if (!sc_complaints_overrun(receiver->complaints, &o, now))
        return;
    sc_addr_format(&o.exporter, address);
    if (o.left_out != 0)
        sc_log(&receiver->log, SC_LOG_WARNING,
               "no room for %llu sessions, domains, templates or names of exporters, the last of %s: %s",
               (unsigned long long)o.left_out, address,
               o.own_share ? "it holds its share (\"exporter-share\")"
                           : "the memory of all is used up (\"exporter-memory\")");
    if (o.pushed_out != 0)
        sc_log(&receiver->log, SC_LOG_WARNING,
               "%llu exporters or sessions that are new or idle were forgotten to make room for others",
               (unsigned long long)o.pushed_out);
}

static void publish(struct sc_receiver *receiver)
{
    pthread_mutex_lock(&receiver->mutex);
    publish_listeners(receiver);
    receiver->intake_stats = *sc_intake_stats_of(receiver->intake);
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
    sc_decoder_changes(sc_intake_decoder(receiver->intake), most, &receiver->records);
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
                           sc_intake_decoder(receiver->intake), clock_ms, sc_clock_wall_ms(), &err);
    if (status != SC_OK && status != SC_AGAIN &&
        sc_complaint_due(receiver->complaints, SC_COMPLAINT_STATE, others))
        sc_log(&receiver->log, SC_LOG_WARNING,
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
    sc_intake_tick(receiver->intake);
    for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next)
        sc_receiver_resume(l);
    if (receiver->caring || is_due(&receiver->next_care_ms, now, 1000))
        care(receiver, CARE_IN_TICK);
    tell_overrun(receiver, now);
    if (is_due(&receiver->next_second_ms, now, 1000)) {
        for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next)
            sc_receiver_judge_connections(l, now);
        publish(receiver);
    }
    merge_states(receiver);
    if (is_awaited(receiver))
        publish_changes(receiver, SC_RECEIVER_CHANGES);
}

static void stop_all(struct sc_receiver *receiver, uint64_t until_ms)
{
    const struct drain until = {sc_clock_mono_ms() + DRAIN_MOST_MS, until_ms + DRAIN_MOST_MS};
    sc_intake_end(receiver->intake, until_ms);
    drain(receiver->listeners, &until);
    sc_intake_flush(receiver->intake);
    do
        care(receiver, UINT32_MAX);
    while (receiver->caring);
    publish(receiver);
    sc_decoder_refresh(sc_intake_decoder(receiver->intake));
    publish_changes(receiver, SIZE_MAX);
    while (receiver->listeners != NULL) {
        struct sc_listener *next = receiver->listeners->next;
        free_listener(receiver->listeners);
        receiver->listeners = next;
    }
    event_base_loopbreak(receiver->base);
}

static void execute(struct sc_receiver *receiver, const struct sc_command *command)
{
    switch (command->kind) {
    case COMMAND_ADD:
        take_listener(receiver, command->listener);
        publish(receiver); /* who heard that it listens finds it in the status */
        break;
    case COMMAND_REMOVE:
        remove_listener(receiver, &command->url);
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

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct sc_receiver *receiver = arg;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        sc_log(&receiver->log, SC_LOG_ERROR, "receiver: cannot read its wake-up: %s", strerror(errno));
    struct sc_command *command = take_commands(receiver);
    while (command != NULL) {
        struct sc_command *next = command->next;
        execute(receiver, command);
        free(command);
        command = next;
    }
}

static void *run(void *arg)
{
    struct sc_receiver *receiver = arg;
    pthread_setname_np(pthread_self(), "sc-receive");
    event_base_dispatch(receiver->base);
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
    const uint64_t one = 1;
    if (write(receiver->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return sc_fail_errno(err, errno, "cannot wake a receiver");
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
    listener->receiver = receiver;
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
    receiver->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (receiver->wake_fd < 0)
        return sc_fail_errno(err, errno, "cannot create a receiver");
    receiver->base = event_base_new();
    if (receiver->base == NULL)
        return sc_fail(err, SC_IO, "cannot create an event loop");
    receiver->wake = event_new(receiver->base, receiver->wake_fd, EV_READ | EV_PERSIST, on_wake, receiver);
    receiver->tick = event_new(receiver->base, -1, EV_PERSIST, on_tick, receiver);
    if (receiver->wake == NULL || receiver->tick == NULL || event_add(receiver->wake, NULL) != 0 ||
        event_add(receiver->tick, &every) != 0)
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
    receiver->log = options->log;
    sc_complaints_init(&receiver->own_complaints);
    receiver->complaints = options->complaints != NULL ? options->complaints : &receiver->own_complaints;
    receiver->missing =
        (struct sc_missing_lines){.log = &receiver->log, .minute = &receiver->complaints->missing};
    receiver->places = options->places;
    receiver->message_ms = options->message_ms != 0 ? options->message_ms : MESSAGE_MS;
    receiver->idle_ms = options->idle_ms != 0 ? options->idle_ms : IDLE_MS;
    receiver->wake_fd = -1;
    receiver->ring = sc_udp_ring_create();
    receiver->intake = sc_intake_create(&options->intake, err);
    bool made = receiver->intake != NULL;
    if (made && receiver->ring == NULL) {
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
    return sc_intake_decoder(receiver->intake);
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
            free_listener(command->listener);
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
    if (receiver->wake != NULL)
        event_free(receiver->wake);
    if (receiver->tick != NULL)
        event_free(receiver->tick);
    if (receiver->base != NULL)
        event_base_free(receiver->base);
    if (receiver->wake_fd >= 0)
        close(receiver->wake_fd);
    sc_intake_free(receiver->intake);
    sc_udp_ring_free(receiver->ring);
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
