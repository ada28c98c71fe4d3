// SPDX-License-Identifier: BSD-3-Clause
/* TLS between members: what is refused when files are read, and when two ends meet; names are compared exactly. */
#include "tls_kit.h"

#include "net/wake.h"
#include "unit.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- two ends ---- */

struct end {
    struct bufferevent *io;
    bool connected, failed;
    char reason[128];
};

struct pair {
    struct event_base *base;
    struct end caller, called;
};

static void on_event(struct bufferevent *io, short what, void *arg)
{
    struct end *e = arg;
    e->connected = e->connected || (what & BEV_EVENT_CONNECTED) != 0;
    if ((what & (BEV_EVENT_ERROR | BEV_EVENT_EOF)) != 0 && !e->failed) {
        e->failed = true;
        sc_tls_reason(io, e->reason, sizeof(e->reason));
    }
}

static void open_pair(struct pair *p, struct sc_tls *caller, struct sc_tls *called, const char *wanted)
{
    int fds[2];
    *p = (struct pair){.base = event_base_new()};
    assert_non_null(p->base);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    p->caller.io = sc_tls_open(caller, p->base, fds[0], wanted);
    p->called.io = sc_tls_open(called, p->base, fds[1], NULL);
    assert_true(p->caller.io != NULL && p->called.io != NULL);
    bufferevent_setcb(p->caller.io, NULL, NULL, on_event, &p->caller);
    bufferevent_setcb(p->called.io, NULL, NULL, on_event, &p->called);
    bufferevent_enable(p->caller.io, EV_READ | EV_WRITE);
    bufferevent_enable(p->called.io, EV_READ | EV_WRITE);
    assert_int_equal(bufferevent_write(p->called.io, "called", 6), 0); /* before the handshake */
}

static void close_pair(struct pair *p)
{
    bufferevent_free(p->caller.io);
    bufferevent_free(p->called.io);
    sc_loop_free(p->base);
}

static size_t waiting(const struct end *e)
{
    return evbuffer_get_length(bufferevent_get_input(e->io));
}

/* Until either end has failed, or the caller has heard something. */
static void meet(struct pair *p)
{
    for (int i = 0; i < 1000 && !p->caller.failed && !p->called.failed && waiting(&p->caller) == 0; i++)
        event_base_loop(p->base, EVLOOP_ONCE);
}

/* ---- files ---- */

struct site {
    char folder[64];
    struct sc_authority *authority;
};

static int set_up(void **state)
{
    struct site *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->authority = tls_kit_authority(s->folder);
    tls_kit_issue(s->authority, s->folder, "alpha", "alpha", 10);
    tls_kit_issue(s->authority, s->folder, "beta", "beta", 10);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct site *s = *state;
    sc_authority_free(s->authority);
    tls_kit_remove(s->folder);
    free(s);
    return 0;
}

static void assert_refused(const struct site *s, const char *name, const char *sentence)
{
    struct sc_tls *tls;
    struct sc_error err;
    assert_int_not_equal(sc_tls_load(s->folder, name, &tls, &err), SC_OK);
    if (strstr(err.message, sentence) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", sentence, err.message);
}

static void change_mode(const struct site *s, const char *file, mode_t mode)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", s->folder, file);
    assert_int_equal(chmod(path, mode), 0);
}

static void files_are_judged_when_they_are_read(void **state)
{
    const struct site *s = *state;
    const struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};
    struct sc_certified none = {0};
    assert_refused(s, "gamma", "sc-admin certs");
    tls_kit_issue(s->authority, s->folder, "gamma", "beta", 10);
    assert_refused(s, "gamma", "no certificate of gamma");
    tls_kit_issue(s->authority, s->folder, "gamma", "GAMMA", 10);
    assert_refused(s, "gamma", "no certificate of gamma");
    tls_kit_issue(s->authority, s->folder, "gamma", "gamma", 0);
    nanosleep(&pause, NULL);
    assert_refused(s, "gamma", "expired");
    tls_kit_issue(s->authority, s->folder, "gamma", "gamma", 10);
    static const mode_t open_modes[] = {0601, 0602, 0604, 0644, 0666};
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        change_mode(s, "gamma.key", open_modes[i]);
        assert_refused(s, "gamma", "open to everybody");
    }
    change_mode(s, "gamma.key", 0640); /* the collector's group */
    sc_tls_release(tls_kit_load(s->folder, "gamma"));
    tls_kit_write(s->folder, "gamma", "key", &none.key);
    assert_refused(s, "gamma", "gamma.key");
}

static void the_end_is_that_of_the_first_to_end(void **state)
{
    const struct site *s = *state;
    int64_t now = time(NULL), in_five = now + 5 * 86400, in_ten = now + 10 * 86400;
    tls_kit_issue(s->authority, s->folder, "short", "short", 5);
    tls_kit_issue(s->authority, s->folder, "long", "long", 3000); /* longer than the authority */
    struct sc_tls *brief = tls_kit_load(s->folder, "short"), *lasting = tls_kit_load(s->folder, "long");
    assert_in_range(sc_tls_end_s(brief), in_five - 60, in_five + 60);
    assert_in_range(sc_tls_end_s(lasting), in_ten - 60, in_ten + 60);
    sc_tls_release(brief);
    sc_tls_release(sc_tls_hold(lasting));
    sc_tls_release(lasting);
    sc_tls_release(sc_tls_hold(NULL));
}

static void an_authority_knows_its_own(void **state)
{
    const struct site *s = *state;
    struct sc_certified made = {0}, other = {0}, authority = {0};
    struct sc_authority *second, *again;
    struct sc_error err;
    assert_int_equal(sc_authority_issue(s->authority, "alpha", 100, &made, &err), SC_OK);
    assert_true(sc_authority_knows(s->authority, &made, "alpha", 99));
    assert_false(sc_authority_knows(s->authority, &made, "alpha", 101));
    assert_false(sc_authority_knows(s->authority, &made, "beta", 1));
    assert_int_equal(sc_authority_create(10, &second, &err), SC_OK);
    assert_false(sc_authority_knows(second, &made, "alpha", 1));
    assert_int_equal(sc_authority_write(s->authority, &authority, &err), SC_OK);
    assert_int_equal(sc_authority_read(&authority, &again, &err), SC_OK);
    assert_int_equal(sc_authority_issue(again, "alpha", 100, &other, &err), SC_OK);
    assert_true(sc_authority_knows(s->authority, &other, "alpha", 1));
    const struct sc_certified mixed = {.certificate = made.certificate, .key = other.key};
    assert_false(sc_authority_knows(s->authority, &mixed, "alpha", 1));
    assert_int_equal(sc_authority_read(&mixed, &again, &err), SC_USAGE);
    static const char *const no_names[] = {
        "a,b", "a:b",  "a;b",
        "a=b", "a\nb", "a123456789012345678901234567890123456789012345678901234567890123456789"};
    for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++)
        assert_int_not_equal(sc_authority_issue(s->authority, no_names[i], 1, &other, &err), SC_OK);
    sc_authority_free(second);
    sc_authority_free(again);
    sc_certified_free(&made);
    sc_certified_free(&other);
    sc_certified_free(&authority);
}

/* ---- meeting ---- */

static void members_know_each_other(void **state)
{
    const struct site *s = *state;
    struct sc_tls *alpha = tls_kit_load(s->folder, "alpha"), *beta = tls_kit_load(s->folder, "beta");
    struct pair p;
    open_pair(&p, alpha, beta, "beta");
    sc_tls_release(alpha); /* connections keep what they began with */
    sc_tls_release(beta);
    meet(&p);
    assert_true(p.caller.connected && p.called.connected && !p.caller.failed && !p.called.failed);
    assert_int_equal(waiting(&p.caller), 6);
    assert_true(sc_tls_is(p.caller.io, "beta") && sc_tls_is(p.called.io, "alpha"));
    for (size_t i = 1; i <= 3; i++) { /* a key for each word */
        assert_true(sc_tls_renew(p.caller.io));
        bufferevent_write(p.caller.io, "caller", 6);
        for (int k = 0; k < 100 && waiting(&p.called) < 6 * i; k++)
            event_base_loop(p.base, EVLOOP_ONCE);
        assert_int_equal(waiting(&p.called), 6 * i);
    }
    static const char *const others[] = {"alph", "alphaa", "Alpha", "ALPHA", ".alpha", "*", "", "beta"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(sc_tls_is(p.called.io, others[i]));
    close_pair(&p);
}

static void assert_apart(struct sc_tls *caller, struct sc_tls *called, const char *wanted,
                         const char *sentence)
{
    struct pair p;
    open_pair(&p, caller, called, wanted);
    meet(&p);
    assert_int_equal(waiting(&p.caller), 0);
    assert_true(p.caller.failed || p.called.failed);
    if (strstr(p.caller.reason, sentence) == NULL && strstr(p.called.reason, sentence) == NULL)
        fail_msg("\"%s\" is neither in \"%s\" nor in \"%s\"", sentence, p.caller.reason, p.called.reason);
    close_pair(&p);
}

static void strangers_stay_apart(void **state)
{
    const struct site *s = *state;
    char elsewhere[64];
    struct sc_authority *other = tls_kit_authority(elsewhere);
    tls_kit_issue(other, elsewhere, "beta", "beta", 10);
    struct sc_tls *alpha = tls_kit_load(s->folder, "alpha"), *beta = tls_kit_load(s->folder, "beta");
    struct sc_tls *forged = tls_kit_load(elsewhere, "beta");
    assert_apart(alpha, beta, "gamma", "mismatch");
    assert_apart(alpha, beta, "BETA1", "mismatch");
    assert_apart(alpha, beta, ".beta", "mismatch");
    assert_apart(alpha, forged, "beta", "certificate");
    assert_apart(forged, beta, "beta", "certificate");
    sc_tls_release(alpha);
    sc_tls_release(beta);
    sc_tls_release(forged);
    sc_authority_free(other);
    tls_kit_remove(elsewhere);
}

/* What a plain member says, and what else comes at a port. */
static void no_tls_is_refused(void **state)
{
    const struct site *s = *state;
    static const char words[][32] = {"\x00\x0a\x00\x30 plain IPFIX", "GET / HTTP/1.1\r\n\r\n",
                                     "\x16\x03\x01\xff\xff junk"};
    struct sc_tls *alpha = tls_kit_load(s->folder, "alpha");
    for (size_t i = 0; i < 2 * sizeof(words) / sizeof(words[0]); i++) {
        struct event_base *base = event_base_new();
        struct end e = {0};
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        e.io = sc_tls_open(alpha, base, fds[0], i % 2 == 0 ? NULL : "beta");
        assert_non_null(e.io);
        bufferevent_setcb(e.io, NULL, NULL, on_event, &e);
        bufferevent_enable(e.io, EV_READ | EV_WRITE);
        assert_int_equal(write(fds[1], words[i / 2], 24), 24);
        for (int k = 0; k < 100 && !e.failed; k++)
            event_base_loop(base, EVLOOP_ONCE);
        assert_true(e.failed && !e.connected);
        assert_true(strncmp(e.reason, "TLS: ", 5) == 0);
        bufferevent_free(e.io);
        sc_loop_free(base);
        close(fds[1]);
    }
    sc_tls_release(alpha);
}

UNIT(test_tls)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_judged_when_they_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_is_that_of_the_first_to_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_authority_knows_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_know_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strangers_stay_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_tls_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
