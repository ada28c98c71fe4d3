// SPDX-License-Identifier: BSD-3-Clause
/* The control socket: one line in, one answer out; clients that misbehave do no harm. */
#include "daemon/control.h"

#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES 3000000u /* more than a socket takes at once */

static enum sc_status answer(void *arg, struct sc_control_status *out)
{
    (void)arg;
    sc_buf_append_str(&out->text, "{\"fill\":\"");
    uint8_t *room = sc_buf_reserve(&out->text, ANSWER_BYTES);
    memset(room, 'x', ANSWER_BYTES);
    out->text.len += ANSWER_BYTES;
    sc_buf_append_str(&out->text, "\"}");
    return SC_OK;
}

static enum sc_status accepts(void *arg, struct sc_control_status *out)
{
    (void)arg;
    sc_buf_append_str(&out->text, "{\"accepts\": true}");
    return SC_OK;
}

#define SLOW_MS 50u /* that a status takes at least */

static atomic_uint made; /* of the slow ones */

/* A number for each row. */
static enum sc_status answer_slowly(void *arg, struct sc_control_status *out)
{
    (void)arg;
    atomic_fetch_add(&made, 1);
    usleep(SLOW_MS * 1000);
    sc_buf_append_str(&out->text, "{[");
    out->cuts[0] = out->text.len;
    while (out->rows < SC_CONTROL_ROWS) {
        sc_buf_printf(&out->text, " %u", out->rows);
        out->cuts[++out->rows] = out->text.len;
    }
    sc_buf_append_str(&out->text, "]}");
    return SC_OK;
}

struct server {
    char store[200];
    struct event_base *base;
    struct sc_control *control;
    pthread_t thread;
    int stop[2];
    struct event *stop_event;
};

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    event_base_dispatch(s->base);
    return NULL;
}

/* In a folder whose path is too long for the address of a UNIX socket. */
static void prepare(struct server *s, sc_control_answer_fn *fn)
{
    struct sc_error err;
    char parent[64] = "/tmp/sc-control-XXXXXX";
    assert_non_null(mkdtemp(parent));
    snprintf(s->store, sizeof(s->store), "%s/%0120d", parent, 0);
    char command[300];
    snprintf(command, sizeof(command), "mkdir %s", s->store);
    assert_int_equal(system(command), 0);
    s->base = event_base_new();
    s->control = sc_control_open(s->base, s->store,
                                 &(struct sc_control_answers){.status = fn, .accepts = accepts}, &err);
    if (s->control == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(pipe(s->stop), 0);
    s->stop_event = event_new(s->base, s->stop[0], EV_READ, on_stop, s->base);
    event_add(s->stop_event, NULL);
}

/* From here on the loop is the thread's. */
static void run_server(struct server *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void start_with(struct server *s, sc_control_answer_fn *fn)
{
    prepare(s, fn);
    run_server(s);
}

static void start(struct server *s)
{
    start_with(s, answer);
}

static void end_server(struct server *s)
{
    assert_int_equal(write(s->stop[1], "x", 1), 1);
    pthread_join(s->thread, NULL);
}

static void clean_up(struct server *s)
{
    sc_control_close(s->control);
    event_free(s->stop_event);
    event_base_free(s->base);
    close(s->stop[0]);
    close(s->stop[1]);
    assert_int_equal(rmdir(s->store), 0); /* the socket is gone */
    *strrchr(s->store, '/') = '\0';
    rmdir(s->store);
}

static void stop(struct server *s)
{
    end_server(s);
    clean_up(s);
}

static void status_is_answered_whole(void **state)
{
    (void)state;
    struct server s;
    start(&s);
    for (int i = 0; i < 3; i++) {
        struct sc_buf out = {0};
        assert_int_equal(sc_control_ask(s.store, "status", &out, NULL), SC_OK);
        assert_int_equal(out.len, ANSWER_BYTES + 12);
        assert_memory_equal(out.data, "{\"fill\":\"xxx", 12);
        assert_memory_equal(out.data + out.len - 4, "x\"}\n", 4);
        sc_buf_free(&out);
    }
    stop(&s);
}

static void an_unknown_request_is_told_so(void **state)
{
    (void)state;
    struct server s;
    struct sc_buf out = {0};
    start(&s);
    assert_int_equal(sc_control_ask(s.store, "dance", &out, NULL), SC_OK);
    sc_buf_append_u8(&out, 0);
    assert_string_equal(
        (char *)out.data,
        "{\"error\": \"unknown request; status, ping, accepts, healing and heal are known\"}\n");
    sc_buf_free(&out);
    stop(&s);
}

static void assert_rows(const struct server *s, const char *request, unsigned rows)
{
    struct sc_buf out = {0}, wanted = {0};
    struct sc_error err = {0};
    if (sc_control_ask(s->store, request, &out, &err) != SC_OK)
        fail_msg("%s", err.message);
    sc_buf_append_str(&wanted, "{[");
    for (unsigned i = 0; i < rows; i++)
        sc_buf_printf(&wanted, " %u", i);
    sc_buf_append_str(&wanted, "]}\n");
    assert_int_equal(out.len, wanted.len);
    assert_memory_equal(out.data, wanted.data, wanted.len);
    sc_buf_free(&out);
    sc_buf_free(&wanted);
}

/* Each gets as many rows as he asks for, of one status, which takes a tenth of the time whoever asks for what. */
static void however_they_ask_the_status_is_made_seldom(void **state)
{
    (void)state;
    struct server s;
    struct timespec begin, end;
    char request[32];
    start_with(&s, answer_slowly);
    atomic_store(&made, 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(request, sizeof(request), "status %u", i * 37);
        assert_rows(&s, request, i * 37 < SC_CONTROL_ROWS ? i * 37 : SC_CONTROL_ROWS);
    }
    assert_rows(&s, "status", SC_CONTROL_TOP);
    assert_rows(&s, "status 1024", 1024);
    assert_rows(&s, "status 4294967297", SC_CONTROL_ROWS);
    clock_gettime(CLOCK_MONOTONIC, &end);
    uint64_t ms = (uint64_t)((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
    assert_true(atomic_load(&made) <= 1 + ms / (10 * (SLOW_MS - 1)));
    stop(&s);
}

static void a_ping_is_answered(void **state)
{
    (void)state;
    struct server s;
    struct sc_buf out = {0};
    start(&s);
    for (int i = 0; i < 100; i++) {
        sc_buf_clear(&out);
        assert_int_equal(sc_control_ask_within(s.store, "ping", 5000, &out, NULL), SC_OK);
        sc_buf_append_u8(&out, 0);
        assert_string_equal((char *)out.data, "{\"alive\": true}\n");
    }
    sc_buf_free(&out);
    stop(&s);
}

static void whether_flows_are_taken_is_asked_each_time(void **state)
{
    (void)state;
    struct server s;
    struct sc_buf out = {0};
    start(&s);
    for (int i = 0; i < 3; i++) {
        sc_buf_clear(&out);
        assert_int_equal(sc_control_ask_within(s.store, "accepts", 5000, &out, NULL), SC_OK);
        sc_buf_append_u8(&out, 0);
        assert_string_equal((char *)out.data, "{\"accepts\": true}\n");
    }
    sc_buf_free(&out);
    stop(&s);
}

/* Also when so many have asked that nobody more can connect. */
static void a_collector_that_stands_still_is_noticed(void **state)
{
    (void)state;
    char store[] = "/tmp/sc-control-XXXXXX";
    struct event_base *base = event_base_new();
    assert_non_null(mkdtemp(store));
    struct sc_control *control = sc_control_open(
        base, store, &(struct sc_control_answers){.status = answer, .accepts = accepts}, NULL);
    assert_non_null(control);
    for (int i = 0; i < 200; i++) {
        struct sc_buf out = {0};
        struct sc_error err;
        assert_int_not_equal(sc_control_ask_within(store, "ping", 10, &out, &err), SC_OK);
        sc_buf_free(&out);
    }
    sc_control_close(control);
    event_base_free(base);
    assert_int_equal(rmdir(store), 0);
}

static int connect_to(const struct server *s)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char before[4096];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(s->store), 0);
    strcpy(at.sun_path, "control.sock");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(chdir(before), 0);
    return fd;
}

static void clients_that_misbehave_do_no_harm(void **state)
{
    (void)state;
    struct server s;
    struct sc_buf out = {0};
    static char much[100000];
    start(&s);
    memset(much, 'a', sizeof(much));
    int silent = connect_to(&s), talker = connect_to(&s), gone = connect_to(&s);
    send(talker, much, sizeof(much), MSG_NOSIGNAL); /* no end of line: it is cut off */
    assert_int_equal(send(gone, "status\n", 7, MSG_NOSIGNAL), 7);
    close(gone); /* before the answer is read */
    ssize_t n = recv(talker, much, sizeof(much), 0);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    assert_int_equal(sc_control_ask(s.store, "status", &out, NULL), SC_OK);
    assert_int_equal(out.len, ANSWER_BYTES + 12);
    sc_buf_free(&out);
    close(talker);
    stop(&s); /* with a client that never said a word */
    close(silent);
}

static void assert_ping(const struct server *s)
{
    struct sc_buf out = {0};
    struct sc_error err = {0};
    if (sc_control_ask(s->store, "ping", &out, &err) != SC_OK)
        fail_msg("%s", err.message);
    sc_buf_append_u8(&out, 0);
    assert_string_equal((char *)out.data, "{\"alive\": true}\n");
    sc_buf_free(&out);
}

/* Until `bytes` have come, or the end. */
static size_t read_some(int fd, size_t bytes)
{
    static char room[65536];
    size_t got = 0;
    ssize_t n = 1;
    while (got < bytes && n > 0) {
        n = recv(fd, room, sizeof(room), 0);
        got += n > 0 ? (size_t)n : 0;
    }
    return got;
}

/*
 * Many more clients than there are places, of every kind that says or takes nothing more: each ping among them is answered, the
 * first in time go, and the last ones are still heard.
 */
static void a_ping_is_answered_whoever_else_is_there(void **state)
{
    (void)state;
    enum { MANY = 300, LAST = 8 };
    static const char *const words[] = {"", "sta", "status\n"};
    for (unsigned kind = 0; kind < 3; kind++) {
        struct server s;
        int fds[MANY];
        start(&s);
        for (unsigned i = 0; i < MANY; i++) {
            fds[i] = connect_to(&s);
            assert_int_equal(send(fds[i], words[kind], strlen(words[kind]), MSG_NOSIGNAL),
                             strlen(words[kind]));
            if (i % 25 == 0)
                assert_ping(&s);
        }
        assert_ping(&s);
        assert_true(read_some(fds[0], ANSWER_BYTES) < ANSWER_BYTES); /* it was dropped */
        for (unsigned i = MANY - LAST; i < MANY; i++) {
            send(fds[i], &"status\n"[strlen(words[kind])], 7 - strlen(words[kind]), MSG_NOSIGNAL);
            assert_int_equal(read_some(fds[i], ANSWER_BYTES + 12), ANSWER_BYTES + 12);
        }
        for (unsigned i = 0; i < MANY; i++)
            close(fds[i]);
        stop(&s);
    }
}

/* No byte puts off the end of one who never says what he wants. */
static void a_request_is_whole_in_time(void **state)
{
    (void)state;
    struct server s;
    start(&s);
    int fd = connect_to(&s);
    while (send(fd, "a", 1, MSG_NOSIGNAL) == 1) /* fails when it is closed; there is room for 100 */
        usleep(100000);
    close(fd);
    stop(&s);
}

/* Without descriptors nobody can be accepted: the loop rests meanwhile, and goes on by itself. */
static void without_descriptors_the_loop_rests(void **state)
{
    (void)state;
    struct server s;
    struct rlimit before, tight;
    struct timespec cpu;
    clockid_t clock;
    start(&s);
    int first = connect_to(&s), fd = connect_to(&s);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = (struct rlimit){(rlim_t)fd + 1, before.rlim_max};
    int held[64], count = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    while (count < 64 && (held[count] = dup(0)) >= 0)
        count++;
    assert_int_equal(errno, EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    int waits = connect_to(&s); /* its own descriptor is beyond */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(pthread_getcpuclockid(s.thread, &clock), 0);
    usleep(1000000);
    assert_int_equal(clock_gettime(clock, &cpu), 0);
    assert_true(cpu.tv_sec == 0 && cpu.tv_nsec < 500000000);
    assert_int_equal(send(waits, "ping\n", 5, MSG_NOSIGNAL), 5);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(read_some(waits, 16), 16);
    while (count > 0)
        close(held[--count]);
    close(first);
    close(fd);
    close(waits);
    stop(&s);
}

static void on_take_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sc_control_take_over(((struct server *)arg)->control);
}

static void remove_socket(const struct server *s)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/control.sock", s->store);
    assert_int_equal(unlink(path), 0);
}

/* Deleted under the process, folder and all: another is made, and clients come to that. */
static void a_deleted_socket_is_made_anew(void **state)
{
    (void)state;
    struct server s;
    struct sc_error err;
    struct sc_buf out = {0};
    prepare(&s, answer);
    const struct timeval often = {.tv_usec = 10000};
    struct event *tick = event_new(s.base, -1, EV_PERSIST, on_take_over, &s);
    event_add(tick, &often);
    run_server(&s);
    assert_true(sc_control_is_there(s.control));
    for (int turn = 0; turn < 3; turn++) {
        remove_socket(&s);
        assert_int_equal(rmdir(s.store), 0);
        assert_false(sc_control_is_there(s.control));
        assert_int_equal(sc_control_renew(s.control, &err), SC_NOTFOUND);
        assert_int_equal(mkdir(s.store, 0700), 0);
        assert_int_equal(sc_control_renew(s.control, &err), SC_OK);
        assert_true(sc_control_is_there(s.control));
        sc_buf_clear(&out);
        assert_int_equal(sc_control_ask(s.store, "ping", &out, &err), SC_OK);
    }
    sc_buf_free(&out);
    end_server(&s);
    event_free(tick);
    clean_up(&s);
}

/* Another's, in our place, is not removed at the end. */
static void the_socket_of_another_stays(void **state)
{
    (void)state;
    struct server s;
    struct sc_error err;
    start(&s);
    remove_socket(&s);
    struct event_base *base = event_base_new();
    struct sc_control *other = sc_control_open(
        base, s.store, &(struct sc_control_answers){.status = answer, .accepts = accepts}, &err);
    assert_non_null(other);
    assert_false(sc_control_is_there(s.control));
    assert_int_equal(write(s.stop[1], "x", 1), 1);
    pthread_join(s.thread, NULL);
    sc_control_close(s.control);
    assert_true(sc_control_is_there(other));
    sc_control_close(other);
    event_base_free(base);
    event_free(s.stop_event);
    event_base_free(s.base);
    close(s.stop[0]);
    close(s.stop[1]);
    assert_int_equal(rmdir(s.store), 0);
}

static void without_a_collector_the_error_says_so(void **state)
{
    (void)state;
    struct sc_buf out = {0};
    struct sc_error err;
    assert_int_equal(sc_control_ask("/no/such/store", "status", &out, &err), SC_NOTFOUND);
    assert_string_equal(err.message, "no collector is running with this store: /no/such/store/control.sock: "
                                     "No such file or directory");
    sc_buf_free(&out);
}

UNIT(test_control)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_is_answered_whole),
        cmocka_unit_test(an_unknown_request_is_told_so),
        cmocka_unit_test(however_they_ask_the_status_is_made_seldom),
        cmocka_unit_test(a_ping_is_answered),
        cmocka_unit_test(whether_flows_are_taken_is_asked_each_time),
        cmocka_unit_test(a_collector_that_stands_still_is_noticed),
        cmocka_unit_test(clients_that_misbehave_do_no_harm),
        cmocka_unit_test(a_ping_is_answered_whoever_else_is_there),
        cmocka_unit_test(a_request_is_whole_in_time),
        cmocka_unit_test(without_descriptors_the_loop_rests),
        cmocka_unit_test(a_deleted_socket_is_made_anew),
        cmocka_unit_test(the_socket_of_another_stays),
        cmocka_unit_test(without_a_collector_the_error_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
