// SPDX-License-Identifier: BSD-3-Clause
#include "collect/receiver.h"

#include "base/clock.h"
#include "collect/receiver_internal.h"
#include "collect/templates.h"
#include "net/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define COMPLAINT_MS     10000u
#define EXPIRE_EVERY_MS  5000u
#define SAVE_EVERY_MS    60000u
#define NEWS_EVERY_MS    1000u
#define TELL_EVERY_MS    10000u
#define LAST_PATIENCE_MS 10000u /* for room in the queue, when the process ends */

enum command_kind { COMMAND_ADD, COMMAND_REMOVE, COMMAND_LEVEL, COMMAND_MERGE, COMMAND_STOP };

struct sc_command {
    struct sc_command *next;
    enum command_kind kind;
    struct sc_url url;
    struct sc_listener *listener; /* ADD */
    enum sc_log_level level;
    struct sc_board_state *state; /* MERGE */
};

bool sc_complaint_due(struct sc_complaint *complaint, char out[static SC_COMPLAINT_MAX])
{
    uint64_t now = sc_clock_mono_ms();
    if (complaint->any && now - complaint->last_ms < COMPLAINT_MS) {
        complaint->left_out++;
        return false;
    }
    out[0] = '\0';
    if (complaint->left_out != 0)
        snprintf(out, SC_COMPLAINT_MAX, " (%llu like it before)", (unsigned long long)complaint->left_out);
    complaint->left_out = 0;
    complaint->last_ms = now;
    complaint->any = true;
    return true;
}

void sc_receiver_message(struct sc_receiver *receiver, const struct sc_message_source *source,
                         const uint8_t *bytes, size_t length)
{
    struct sc_error err;
    char others[SC_COMPLAINT_MAX];
    enum sc_status status = sc_intake_message(receiver->intake, source, bytes, length, &err);
    if (status == SC_OK || !sc_complaint_due(&receiver->bad_messages, others))
        return;
    char address[SC_ADDR_TEXT_MAX];
    sc_addr_format(&source->exporter, address);
    sc_log(&receiver->log, SC_LOG_WARNING, "message of %zu bytes from %s %u: %s%s", length, address,
           source->port, err.message, others);
}

/* ---- listeners ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct sc_listener *listener = arg;
    (void)fd;
    (void)what;
    if (listener->url.scheme == SC_URL_UDP)
        sc_receiver_read_udp(listener, false);
    else
        sc_receiver_accept(listener);
}

static void free_listener(struct sc_listener *listener)
{
    if (listener->event != NULL)
        event_free(listener->event);
    if (listener->fd >= 0)
        close(listener->fd);
    free(listener);
}

static void drain_listener(struct sc_listener *listener)
{
    if (listener->url.scheme == SC_URL_UDP) {
        sc_receiver_read_udp(listener, true);
        sc_receiver_refresh_drops(listener);
    } else {
        sc_receiver_accept(listener);
        sc_receiver_drain_connections(listener);
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
    for (struct sc_listener **at = &receiver->listeners; *at != NULL; at = &(*at)->next) {
        struct sc_listener *listener = *at;
        if (!same_url(&listener->url, url))
            continue;
        drain_listener(listener);
        *at = listener->next;
        free_listener(listener);
        return;
    }
}

/* ---- snapshots ---- */

static void publish_listeners(struct sc_receiver *receiver)
{
    uint32_t count = 0;
    for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next) {
        if (l->url.scheme == SC_URL_UDP)
            sc_receiver_refresh_drops(l);
        count++;
    }
    if (count > receiver->listener_view_count) {
        struct sc_listener_view *views = realloc(receiver->listener_views, count * sizeof(*views));
        if (views == NULL)
            return;
        receiver->listener_views = views;
    }
    receiver->listener_view_count = count;
    for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next)
        receiver->listener_views[--count] = l->view;
}

static void publish_exporters(struct sc_receiver *receiver)
{
    uint32_t count = receiver->exporters.count;
    if (count > receiver->exporter_view_capacity) {
        struct sc_exporter_view *views =
            realloc(receiver->exporter_views, receiver->exporters.capacity * sizeof(*views));
        if (views == NULL)
            return;
        receiver->exporter_views = views;
        receiver->exporter_view_capacity = receiver->exporters.capacity;
    }
    for (uint32_t i = 0; i < count; i++)
        receiver->exporter_views[i] = receiver->exporters.entries[i].view;
    receiver->exporter_view_count = count;
}

static void publish(struct sc_receiver *receiver)
{
    sc_exporters_sample(&receiver->exporters, sc_intake_decoder(receiver->intake), sc_clock_mono_ms());
    pthread_mutex_lock(&receiver->mutex);
    publish_listeners(receiver);
    publish_exporters(receiver);
    receiver->intake_stats = *sc_intake_stats_of(receiver->intake);
    pthread_mutex_unlock(&receiver->mutex);
}

/* What was saved becomes the snapshot, unless it is as before. */
static void publish_state(struct sc_receiver *receiver, struct sc_buf state, struct sc_buf *snapshot,
                          uint64_t *generation)
{
    pthread_mutex_lock(&receiver->mutex);
    struct sc_buf old = *snapshot;
    bool same = old.data != NULL && old.len == state.len && memcmp(old.data, state.data, state.len) == 0;
    if (!same) {
        *snapshot = state;
        ++*generation;
    }
    pthread_mutex_unlock(&receiver->mutex);
    sc_buf_free(same ? &state : &old);
}

static bool save_state(struct sc_receiver *receiver, bool own, struct sc_buf *out)
{
    struct sc_decoder *decoder = sc_intake_decoder(receiver->intake);
    struct sc_error err;
    if ((own ? sc_decoder_save_own : sc_decoder_save)(decoder, out, &err) == SC_OK)
        return true;
    sc_log(&receiver->log, SC_LOG_WARNING, "template state: %s", err.message);
    sc_buf_free(out);
    return false;
}

static void publish_templates(struct sc_receiver *receiver)
{
    struct sc_buf state = {0};
    if (save_state(receiver, false, &state))
        publish_state(receiver, state, &receiver->saved_templates, &receiver->templates_generation);
}

/* That exporters repeat their templates, and who was heard, is worth little to others; new templates are wanted at once. */
static void publish_own_templates(struct sc_receiver *receiver, uint64_t now_ms)
{
    const struct sc_intake_stats *stats = sc_intake_stats_of(receiver->intake);
    uint64_t revision = sc_decoder_revision(sc_intake_decoder(receiver->intake));
    uint64_t messages = stats->messages;
    bool is_news = revision != receiver->told_revision && now_ms >= receiver->next_news_ms;
    bool is_more = messages != receiver->told_messages && now_ms >= receiver->next_told_ms;
    struct sc_buf state = {0};
    if (!receiver->tells || !(is_news || is_more) || !save_state(receiver, true, &state))
        return;
    receiver->told_revision = revision;
    receiver->told_messages = messages;
    receiver->next_news_ms = now_ms + NEWS_EVERY_MS;
    receiver->next_told_ms = now_ms + TELL_EVERY_MS;
    publish_state(receiver, state, &receiver->own_templates, &receiver->own_generation);
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

enum sc_status sc_receiver_get_exporters(struct sc_receiver *receiver, struct sc_exporter_view **out,
                                         uint32_t *count)
{
    pthread_mutex_lock(&receiver->mutex);
    *count = receiver->exporter_view_count;
    *out = *count == 0 ? NULL : malloc(*count * sizeof(**out));
    if (*out != NULL)
        memcpy(*out, receiver->exporter_views, *count * sizeof(**out));
    pthread_mutex_unlock(&receiver->mutex);
    return *out == NULL && *count != 0 ? SC_NOMEM : SC_OK;
}

void sc_receiver_get_intake(struct sc_receiver *receiver, struct sc_intake_stats *out)
{
    pthread_mutex_lock(&receiver->mutex);
    *out = receiver->intake_stats;
    pthread_mutex_unlock(&receiver->mutex);
}

enum sc_status sc_receiver_get_templates(struct sc_receiver *receiver, struct sc_buf *out,
                                         uint64_t *generation)
{
    pthread_mutex_lock(&receiver->mutex);
    *generation = receiver->templates_generation;
    sc_buf_append(out, receiver->saved_templates.data, receiver->saved_templates.len);
    pthread_mutex_unlock(&receiver->mutex);
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

enum sc_status sc_receiver_get_own_templates(struct sc_receiver *receiver, struct sc_buf *out,
                                             uint64_t *generation)
{
    pthread_mutex_lock(&receiver->mutex);
    *generation = receiver->own_generation;
    if (out != NULL)
        sc_buf_append(out, receiver->own_templates.data, receiver->own_templates.len);
    pthread_mutex_unlock(&receiver->mutex);
    return out == NULL || sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

/* ---- the thread ---- */

static bool is_due(uint64_t *next_ms, uint64_t now_ms, uint64_t every_ms)
{
    if (now_ms < *next_ms)
        return false;
    *next_ms = now_ms + every_ms;
    return true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sc_receiver *receiver = arg;
    uint64_t now = sc_clock_mono_ms();
    (void)fd;
    (void)what;
    sc_intake_tick(receiver->intake);
    for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next)
        sc_receiver_resume(l);
    if (is_due(&receiver->next_expire_ms, now, EXPIRE_EVERY_MS))
        sc_decoder_expire(sc_intake_decoder(receiver->intake), sc_clock_wall_ms());
    if (is_due(&receiver->next_second_ms, now, 1000))
        publish(receiver);
    if (is_due(&receiver->next_save_ms, now, SAVE_EVERY_MS))
        publish_templates(receiver);
    publish_own_templates(receiver, now);
}

static void merge_state(struct sc_receiver *receiver, struct sc_board_state *state)
{
    struct sc_error err;
    char others[SC_COMPLAINT_MAX];
    uint64_t clock_ms = state->head.clock_ms + sc_board_age(state);
    if (sc_templates_merge(state->bytes, state->head.size, sc_intake_decoder(receiver->intake), clock_ms,
                           sc_clock_wall_ms(), &err) != SC_OK &&
        sc_complaint_due(&receiver->bad_states, others))
        sc_log(&receiver->log, SC_LOG_WARNING, "the templates that the proxy %s knows are not used: %s%s",
               state->head.proxy, err.message, others);
    sc_board_release(state);
}

static void stop_all(struct sc_receiver *receiver)
{
    sc_intake_set_patience(receiver->intake, LAST_PATIENCE_MS);
    for (struct sc_listener *l = receiver->listeners; l != NULL; l = l->next)
        drain_listener(l);
    sc_intake_flush(receiver->intake);
    publish(receiver);
    publish_templates(receiver);
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
    case COMMAND_LEVEL:
        receiver->log.level = command->level;
        break;
    case COMMAND_MERGE:
        merge_state(receiver, command->state);
        break;
    case COMMAND_STOP:
        stop_all(receiver);
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

void sc_receiver_set_log_level(struct sc_receiver *receiver, enum sc_log_level level)
{
    const struct sc_command command = {.kind = COMMAND_LEVEL, .level = level};
    send_command(receiver, &command, NULL);
}

void sc_receiver_merge(struct sc_receiver *receiver, struct sc_board_state *state)
{
    const struct sc_command command = {.kind = COMMAND_MERGE, .state = sc_board_keep(state)};
    if (send_command(receiver, &command, NULL) == SC_NOMEM)
        sc_board_release(state);
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
    receiver->tells = options->tells;
    receiver->wake_fd = -1;
    receiver->next_save_ms = sc_clock_mono_ms() + SAVE_EVERY_MS;
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

void sc_receiver_stop(struct sc_receiver *receiver)
{
    const struct sc_command command = {.kind = COMMAND_STOP};
    while (receiver->started && send_command(receiver, &command, NULL) == SC_NOMEM)
        usleep(1000);
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
            sc_board_release(command->state);
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
    sc_buf_free(&receiver->saved_templates);
    sc_buf_free(&receiver->own_templates);
    free(receiver->listener_views);
    free(receiver->exporter_views);
    pthread_mutex_destroy(&receiver->mutex);
    free(receiver);
}
