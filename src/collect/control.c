// SPDX-License-Identifier: BSD-3-Clause
#include "collect/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME     "control.sock"
#define MAX_REQUEST     128u
#define CLIENT_PATIENCE 10 /* seconds */
#define MAX_CLIENTS     32u

struct client {
    struct client *next;
    struct sc_control *control;
    struct bufferevent *stream;
    bool answered;
};

struct sc_control {
    struct event_base *base;
    struct evconnlistener *listener;
    sc_control_answer_fn *answer;
    void *arg;
    struct client *clients;
    unsigned client_count;
    int folder; /* the store */
};

/* The address through the folder's descriptor, so that a long path of the store does not matter. */
static void socket_address(int folder, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" SOCKET_NAME, folder);
}

static void free_client(struct client *client)
{
    client->control->client_count--;
    bufferevent_free(client->stream);
    free(client);
}

static void close_client(struct client *client)
{
    struct sc_control *control = client->control;
    for (struct client **at = &control->clients; *at != NULL; at = &(*at)->next) {
        if (*at != client)
            continue;
        *at = client->next;
        break;
    }
    free_client(client);
}

/* "status", or "status N". */
static bool is_status(const char *request, uint32_t *top)
{
    char *end = NULL;
    *top = SC_CONTROL_TOP;
    if (strcmp(request, "status") == 0)
        return true;
    if (strncmp(request, "status ", 7) != 0 || request[7] < '0' || request[7] > '9')
        return false;
    *top = (uint32_t)strtoul(request + 7, &end, 10);
    return *end == '\0';
}

static void answer_client(struct client *client, const char *request)
{
    struct sc_buf out = {0};
    uint32_t top;
    client->answered = true;
    enum sc_status status = SC_OK;
    if (is_status(request, &top))
        status = client->control->answer(client->control->arg, top, &out);
    else if (strcmp(request, "ping") == 0)
        sc_buf_append_str(&out, "{\"alive\": true}");
    else
        sc_buf_append_str(&out, "{\"error\": \"unknown request; status and ping are known\"}");
    sc_buf_append_u8(&out, '\n');
    if (status != SC_OK || !sc_buf_ok(&out)) {
        sc_buf_clear(&out);
        sc_buf_append_str(&out, "{\"error\": \"out of memory\"}\n");
    }
    bufferevent_disable(client->stream, EV_READ);
    bufferevent_write(client->stream, out.data, out.len);
    sc_buf_free(&out);
}

static void on_request(struct bufferevent *stream, void *arg)
{
    struct client *client = arg;
    struct evbuffer *input = bufferevent_get_input(stream);
    size_t length;
    char *line = evbuffer_readln(input, &length, EVBUFFER_EOL_CRLF);
    if (line == NULL) {
        if (evbuffer_get_length(input) > MAX_REQUEST)
            close_client(client);
        return;
    }
    answer_client(client, line);
    free(line);
}

/* All of the answer is written. */
static void on_written(struct bufferevent *stream, void *arg)
{
    struct client *client = arg;
    (void)stream;
    if (client->answered)
        close_client(client);
}

static void on_end(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    (void)what;
    close_client(arg);
}

static void on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length,
                      void *arg)
{
    struct sc_control *control = arg;
    const struct timeval patience = {.tv_sec = CLIENT_PATIENCE};
    (void)listener;
    (void)from;
    (void)length;
    struct client *client = control->client_count < MAX_CLIENTS ? calloc(1, sizeof(*client)) : NULL;
    struct bufferevent *stream =
        client == NULL ? NULL : bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (stream == NULL) {
        free(client);
        close(fd);
        return;
    }
    client->control = control;
    client->stream = stream;
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
    bufferevent_setcb(stream, on_request, on_written, on_end, client);
    bufferevent_set_timeouts(stream, &patience, &patience);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
}

static int bind_socket(int folder)
{
    struct sockaddr_un at;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    socket_address(folder, &at);
    unlinkat(folder, SOCKET_NAME, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || fchmodat(folder, SOCKET_NAME, 0660, 0) != 0) {
        int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

static enum sc_status open_parts(struct sc_control *control, const char *store, struct sc_error *err)
{
    control->folder = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = control->folder < 0 ? -1 : bind_socket(control->folder);
    if (fd < 0)
        return sc_fail_errno(err, errno, "cannot open the control socket %s/" SOCKET_NAME, store);
    control->listener = evconnlistener_new(control->base, on_client, control,
                                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16, fd);
    if (control->listener == NULL) {
        close(fd);
        return sc_fail_nomem(err, "the control socket");
    }
    return SC_OK;
}

struct sc_control *sc_control_open(struct event_base *base, const char *store, sc_control_answer_fn *answer,
                                   void *arg, struct sc_error *err)
{
    struct sc_control *control = calloc(1, sizeof(*control));
    if (control == NULL) {
        sc_fail_nomem(err, "the control socket");
        return NULL;
    }
    *control = (struct sc_control){.base = base, .answer = answer, .arg = arg, .folder = -1};
    if (open_parts(control, store, err) != SC_OK) {
        sc_control_close(control);
        return NULL;
    }
    return control;
}

void sc_control_close(struct sc_control *control)
{
    if (control == NULL)
        return;
    for (struct client *client = control->clients; client != NULL;) {
        struct client *next = client->next;
        free_client(client);
        client = next;
    }
    if (control->listener != NULL) {
        evconnlistener_free(control->listener);
        unlinkat(control->folder, SOCKET_NAME, 0);
    }
    if (control->folder >= 0)
        close(control->folder);
    free(control);
}

/* ---- the client's side ---- */

/* The time-outs hold for the connecting too: a process that is stopped has a full backlog some day. */
static int connect_socket(const char *store, uint32_t patience_ms)
{
    struct sockaddr_un at;
    const struct timeval patience = {.tv_sec = patience_ms / 1000,
                                     .tv_usec = (suseconds_t)(patience_ms % 1000) * 1000};
    int folder = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socket_address(folder, &at);
    int result = -1;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        result = connect(fd, (struct sockaddr *)&at, sizeof(at));
    }
    int errnum = errno;
    close(folder);
    if (result != 0) {
        if (fd >= 0)
            close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

static enum sc_status exchange(int fd, const char *request, struct sc_buf *out, struct sc_error *err)
{
    char line[MAX_REQUEST];
    int length = snprintf(line, sizeof(line), "%s\n", request);
    if (length < 0 || (size_t)length >= sizeof(line))
        return sc_fail(err, SC_USAGE, "\"%s\" is too long", request);
    if (send(fd, line, (size_t)length, MSG_NOSIGNAL) != length)
        return sc_fail_errno(err, errno, "the collector does not take the request");
    for (;;) {
        uint8_t *room = sc_buf_reserve(out, 65536);
        if (room == NULL)
            return sc_fail_nomem(err, "the answer");
        ssize_t n = recv(fd, room, 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return sc_fail(err, SC_AGAIN, "the collector does not answer in time");
        if (n < 0)
            return sc_fail_errno(err, errno, "the collector does not answer");
        if (n == 0)
            return SC_OK;
        out->len += (size_t)n;
    }
}

enum sc_status sc_control_ask(const char *store, const char *request, struct sc_buf *out,
                              struct sc_error *err)
{
    return sc_control_ask_within(store, request, CLIENT_PATIENCE * 1000, out, err);
}

enum sc_status sc_control_ask_within(const char *store, const char *request, uint32_t patience_ms,
                                     struct sc_buf *out, struct sc_error *err)
{
    int fd = connect_socket(store, patience_ms);
    if (fd < 0) {
        bool absent = errno == ENOENT || errno == ECONNREFUSED;
        enum sc_status status = sc_fail_errno(
            err, errno, "%s %s/" SOCKET_NAME,
            absent ? "no collector is running with this store:" : "cannot ask the collector at", store);
        return absent ? SC_NOTFOUND : status;
    }
    enum sc_status status = exchange(fd, request, out, err);
    close(fd);
    return status;
}
