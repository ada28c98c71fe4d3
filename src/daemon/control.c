// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/control.h"

#include "base/clock.h"
#include "store/io.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME     "control.sock"
#define MAX_REQUEST     128u
#define MAX_CLIENTS     32u
#define REQUEST_MS      10000u /* from the connection until the request is whole: clients may be starved, too */
#define ANSWER_MS       10000u /* from then until all of the answer is taken */
#define CLIENT_PATIENCE 10     /* seconds */
#define BACKLOG         128
#define ACCEPTS_IN_TURN 64
#define PAUSE_MS        100 /* after an accept that failed: descriptors or memory are short */
#define REUSED_FOR      9u  /* times as long as the status took to make */

/* Those who ask for the status at about the same time share one. */
struct answer {
    unsigned users;
    struct sc_control_status made;
};

/* What is left to be sent of an answer's text. */
struct part {
    size_t at, end;
};

struct client {
    struct client *next; /* the one who came before */
    struct sc_control *control;
    int fd;
    struct event ready;   /* to be read from until the request is whole, then to be written to */
    uint64_t deadline_ms; /* 0: it is over */
    char request[MAX_REQUEST];
    size_t length;
    struct answer *answer; /* NULL: the request is not whole */
    struct part parts[2];
};

/* A socket, and the folder in which it has its name. */
struct place {
    int fd, folder; /* -1: none */
};

#define NO_PLACE ((struct place){-1, -1})

struct sc_control {
    struct event_base *base;
    struct place at;
    char *store;
    struct event connected, pause;
    struct sc_control_answers answers;
    struct client *clients; /* the newest first */
    struct answer *status;  /* the last, as long as it may be used again */
    uint64_t status_until_ms;
    pthread_mutex_t mutex; /* of what follows; never held while the disk is touched */
    struct sc_file_id id;  /* of the socket that was made last */
    struct place fresh;    /* it, to be taken over */
};

/* The address through the folder's descriptor, so that a long path of the store does not matter. */
static void socket_address(int folder, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" SOCKET_NAME, folder);
}

static struct timeval in_ms(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

/* ---- answers ---- */

static void drop_answer(struct answer *answer)
{
    if (answer == NULL || --answer->users != 0)
        return;
    sc_buf_free(&answer->made.text);
    free(answer);
}

/* NULL without memory. */
static struct answer *make_answer(const char *text)
{
    struct answer *answer = calloc(1, sizeof(*answer));
    if (answer == NULL)
        return NULL;
    answer->users = 1;
    sc_buf_append_str(&answer->made.text, text);
    if (sc_buf_ok(&answer->made.text))
        return answer;
    drop_answer(answer);
    return NULL;
}

static struct answer *make_by(const struct sc_control *control, sc_control_answer_fn *make)
{
    struct answer *answer = make_answer("");
    enum sc_status status = answer == NULL ? SC_NOMEM : make(control->answers.arg, &answer->made);
    if (answer != NULL)
        sc_buf_append_u8(&answer->made.text, '\n');
    if (status == SC_OK && sc_buf_ok(&answer->made.text))
        return answer;
    drop_answer(answer);
    return make_answer("{\"error\": \"out of memory\"}\n");
}

/* However many ask for whatever, the loop spends a tenth of its time on it at most, and a ping waits for one at most. */
static struct answer *share_status(struct sc_control *control)
{
    uint64_t begin = sc_clock_mono_ms();
    if (control->status == NULL || begin >= control->status_until_ms) {
        drop_answer(control->status);
        control->status = make_by(control, control->answers.status);
        uint64_t end = sc_clock_mono_ms();
        control->status_until_ms = end + REUSED_FOR * (end - begin);
    }
    if (control->status != NULL)
        control->status->users++;
    return control->status;
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
    unsigned long number = strtoul(request + 7, &end, 10);
    *top = number < SC_CONTROL_ROWS ? (uint32_t)number : SC_CONTROL_ROWS;
    return *end == '\0';
}

/* *top: of the rows, if it has any. */
static struct answer *answer_to(struct sc_control *control, const char *request, uint32_t *top)
{
    if (is_status(request, top))
        return share_status(control);
    if (strcmp(request, "ping") == 0)
        return make_answer("{\"alive\": true}\n");
    if (strcmp(request, "accepts") == 0)
        return make_by(control, control->answers.accepts);
    if (strcmp(request, "healing") == 0)
        return make_by(control, control->answers.healing);
    if (strcmp(request, "heal") == 0)
        return make_by(control, control->answers.heal);
    return make_answer(
        "{\"error\": \"unknown request; status, ping, accepts, healing and heal are known\"}\n");
}

/* ---- clients ---- */

static void free_client(struct client *client)
{
    event_del(&client->ready);
    close(client->fd);
    drop_answer(client->answer);
    free(client);
}

static void close_client(struct client *client)
{
    struct client **at = &client->control->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    free_client(client);
}

static void on_ready(evutil_socket_t fd, short what, void *arg);

/* Until the deadline, which no byte puts off. */
static void wait_until_ready(struct client *client, short what)
{
    uint64_t now = sc_clock_mono_ms();
    const struct timeval left = in_ms(client->deadline_ms > now ? client->deadline_ms - now : 0);
    event_del(&client->ready);
    if (event_assign(&client->ready, client->control->base, client->fd, what, on_ready, client) != 0 ||
        event_add(&client->ready, &left) != 0)
        close_client(client);
}

/* NULL: all is sent. */
static struct part *part_left(struct client *client)
{
    struct part *first = &client->parts[0], *last = &client->parts[1];
    if (first->at < first->end)
        return first;
    return last->at < last->end ? last : NULL;
}

/* Closed when all of it is written, and when the client is gone. */
static void write_answer(struct client *client)
{
    const uint8_t *text = client->answer->made.text.data;
    struct part *part;
    while ((part = part_left(client)) != NULL) {
        ssize_t n = send(client->fd, text + part->at, part->end - part->at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            wait_until_ready(client, EV_WRITE);
            return;
        }
        if (n <= 0)
            break;
        part->at += (size_t)n;
    }
    close_client(client);
}

static void answer_client(struct client *client, const char *request)
{
    uint32_t top = 0;
    client->answer = answer_to(client->control, request, &top);
    client->deadline_ms = sc_clock_mono_ms() + ANSWER_MS;
    if (client->answer == NULL) {
        close_client(client);
        return;
    }
    const struct sc_control_status *made = &client->answer->made;
    client->parts[0].end = made->cuts[top < made->rows ? top : made->rows];
    client->parts[1] = (struct part){made->cuts[made->rows], made->text.len};
    write_answer(client);
}

/* Takes what is there of the request. False: it is not whole yet; else the client is answered or closed. */
static bool read_request(struct client *client)
{
    ssize_t n =
        recv(client->fd, client->request + client->length, MAX_REQUEST - client->length, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    client->length += n < 0 ? 0 : (size_t)n;
    char *end = memchr(client->request, '\n', client->length);
    if (end != NULL) {
        *end = '\0';
        if (end != client->request && end[-1] == '\r')
            end[-1] = '\0';
        answer_client(client, client->request);
        return true;
    }
    if (n > 0 && client->length < MAX_REQUEST)
        return false;
    close_client(client);
    return true;
}

/* What has come is read before the time is judged: the loop may be the one that is late. */
static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct client *client = arg;
    bool late = (what & EV_TIMEOUT) != 0;
    (void)fd;
    if (client->answer == NULL && read_request(client))
        return;
    if (late)
        close_client(client);
    else if (client->answer == NULL)
        wait_until_ready(client, EV_READ);
    else
        write_answer(client);
}

/* For the oldest the time is over: it is heard once more, and goes. */
static void make_room(struct sc_control *control)
{
    struct client *oldest = NULL;
    unsigned staying = 0;
    for (struct client *c = control->clients; c != NULL; c = c->next) {
        staying += c->deadline_ms != 0;
        oldest = c->deadline_ms != 0 ? c : oldest;
    }
    if (staying <= MAX_CLIENTS || oldest == NULL)
        return;
    oldest->deadline_ms = 0;
    event_active(&oldest->ready, EV_TIMEOUT, 0);
}

/* Mostly the request is there already: then it is answered at once, whoever else is here. */
static void open_client(struct sc_control *control, int fd)
{
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        close(fd);
        return;
    }
    client->control = control;
    client->fd = fd;
    client->deadline_ms = sc_clock_mono_ms() + REQUEST_MS;
    client->next = control->clients;
    control->clients = client;
    event_assign(&client->ready, control->base, fd, EV_READ, on_ready, client);
    if (!read_request(client))
        wait_until_ready(client, EV_READ);
    make_room(control);
}

/* ---- the socket ---- */

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
    struct sc_control *control = arg;
    (void)fd;
    (void)what;
    event_add(&control->connected, NULL);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
    struct sc_control *control = arg;
    const struct timeval pause = in_ms(PAUSE_MS);
    (void)what;
    for (int i = 0; i < ACCEPTS_IN_TURN; i++) {
        int made = accept4((int)fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (made >= 0) {
            open_client(control, made);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            event_del(&control->connected);
            event_add(&control->pause, &pause);
            return;
        }
    }
}

static int bind_socket(int folder)
{
    struct sockaddr_un at;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    socket_address(folder, &at);
    unlinkat(folder, SOCKET_NAME, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || fchmodat(folder, SOCKET_NAME, 0660, 0) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

static void close_place(const struct place *place)
{
    if (place->fd >= 0)
        close(place->fd);
    if (place->folder >= 0)
        close(place->folder);
}

static bool identify(int folder, struct sc_file_id *out)
{
    struct stat st;
    if (fstatat(folder, SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    *out = (struct sc_file_id){st.st_dev, st.st_ino};
    return true;
}

static enum sc_status make_place(const char *store, struct place *out, struct sc_file_id *id,
                                 struct sc_error *err)
{
    struct place made = NO_PLACE;
    made.folder = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    made.fd = made.folder < 0 ? -1 : bind_socket(made.folder);
    if (made.fd >= 0 && identify(made.folder, id)) {
        *out = made;
        return SC_OK;
    }
    enum sc_status status =
        sc_fail_errno(err, errno, "cannot open the control socket %s/" SOCKET_NAME, store);
    close_place(&made);
    return status;
}

static enum sc_status listen_at(struct sc_control *control, struct place place)
{
    control->at = place;
    event_assign(&control->connected, control->base, place.fd, EV_READ | EV_PERSIST, on_connected, control);
    evtimer_assign(&control->pause, control->base, on_pause, control);
    return event_add(&control->connected, NULL) == 0 ? SC_OK : SC_NOMEM;
}

static void stop_listening(struct sc_control *control)
{
    if (control->at.fd >= 0) {
        event_del(&control->connected);
        event_del(&control->pause);
    }
}

static enum sc_status open_parts(struct sc_control *control, struct sc_error *err)
{
    struct place made;
    SC_TRY(make_place(control->store, &made, &control->id, err));
    return listen_at(control, made) == SC_OK ? SC_OK : sc_fail_nomem(err, "the control socket");
}

struct sc_control *sc_control_open(struct event_base *base, const char *store,
                                   const struct sc_control_answers *answers, struct sc_error *err)
{
    struct sc_control *control = calloc(1, sizeof(*control));
    if (control == NULL) {
        sc_fail_nomem(err, "the control socket");
        return NULL;
    }
    *control = (struct sc_control){
        .base = base, .answers = *answers, .at = NO_PLACE, .fresh = NO_PLACE, .store = strdup(store)};
    pthread_mutex_init(&control->mutex, NULL);
    if ((control->store == NULL ? sc_fail_nomem(err, "the control socket") : open_parts(control, err)) !=
        SC_OK) {
        sc_control_close(control);
        return NULL;
    }
    return control;
}

void sc_control_close(struct sc_control *control)
{
    if (control == NULL)
        return;
    for (struct client *client = control->clients, *next; client != NULL; client = next) {
        next = client->next;
        free_client(client);
    }
    sc_control_take_over(control);
    stop_listening(control);
    struct sc_file_id now;
    if (control->at.folder >= 0 && identify(control->at.folder, &now) && sc_file_same(&now, &control->id))
        unlinkat(control->at.folder, SOCKET_NAME, 0);
    close_place(&control->at);
    drop_answer(control->status);
    pthread_mutex_destroy(&control->mutex);
    free(control->store);
    free(control);
}

/* ---- a socket that was deleted ---- */

bool sc_control_is_there(struct sc_control *control)
{
    struct sc_file_id now;
    pthread_mutex_lock(&control->mutex);
    const struct sc_file_id own = control->id;
    pthread_mutex_unlock(&control->mutex);
    int folder = open(control->store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool found = folder >= 0 && identify(folder, &now);
    bool unknown = !found && errno != ENOENT && errno != ENOTDIR;
    if (folder >= 0)
        close(folder);
    return found ? sc_file_same(&now, &own) : unknown;
}

enum sc_status sc_control_renew(struct sc_control *control, struct sc_error *err)
{
    struct place made;
    struct sc_file_id id;
    SC_TRY(make_place(control->store, &made, &id, err));
    pthread_mutex_lock(&control->mutex);
    struct place before = control->fresh;
    control->fresh = made;
    control->id = id;
    pthread_mutex_unlock(&control->mutex);
    close_place(&before);
    return SC_OK;
}

/* Clients that are being answered stay. */
void sc_control_take_over(struct sc_control *control)
{
    pthread_mutex_lock(&control->mutex);
    struct place fresh = control->fresh;
    control->fresh = NO_PLACE;
    pthread_mutex_unlock(&control->mutex);
    if (fresh.fd < 0)
        return;
    stop_listening(control);
    close_place(&control->at);
    (void)listen_at(control, fresh);
}

/* ---- the client's side ---- */

/* The time-outs hold for the connecting too: a process that is stopped has a full backlog some day. */
static int connect_socket(const char *store, uint32_t patience_ms)
{
    struct sockaddr_un at;
    const struct timeval patience = in_ms(patience_ms);
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
