// SPDX-License-Identifier: BSD-3-Clause
/* Connecting without waiting: names that come late or never, addresses of which some do, pauses, and wake-ups of a loop. */
#include "net/dial.h"

#include "base/clock.h"
#include "net/client.h"
#include "net/lookup.h"
#include "net/socket.h"

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000u

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* ---- a name service ---- */

static atomic_int asked, returned;
static atomic_bool answers = true;

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);

/* In place of the C library's (CMakeLists.txt): "two" has the addresses 127.0.0.9 and 127.0.0.1, "nobody" has none. */
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    bool two = strcmp(host, "two") == 0;
    if (!two && strcmp(host, "nobody") != 0)
        return __real_getaddrinfo(host, service, hints, found);
    atomic_fetch_add(&asked, 1);
    while (!atomic_load(&answers))
        nap();
    int failed = two ? __real_getaddrinfo("127.0.0.9", service, hints, found) : EAI_NONAME;
    if (failed == 0)
        failed = __real_getaddrinfo("127.0.0.1", service, hints, &(*found)->ai_next);
    atomic_fetch_add(&returned, 1);
    return failed;
}

/* ---- a loop that dials ---- */

struct caller {
    struct event_base *base;
    struct sc_dial *dial;
    int fd; /* -1: not connected */
    uint32_t failures;
    struct sc_error last;
    uint64_t at_ms; /* the last outcome */
};

static void on_connected(void *arg, int fd)
{
    struct caller *c = arg;
    c->fd = fd;
    c->at_ms = sc_clock_mono_ms();
    event_base_loopbreak(c->base);
}

static void on_failed(void *arg, const struct sc_error *reason)
{
    struct caller *c = arg;
    c->failures++;
    c->last = *reason;
    c->at_ms = sc_clock_mono_ms();
    event_base_loopbreak(c->base);
}

static void caller_open(struct caller *c, const char *to, uint16_t port, uint32_t patience_ms)
{
    *c = (struct caller){.base = event_base_new(), .fd = -1};
    struct sc_dial_options options = {.base = c->base,
                                      .patience_ms = patience_ms,
                                      .connected = on_connected,
                                      .failed = on_failed,
                                      .arg = c};
    assert_int_equal(sc_url_parse(to, &options.to, NULL), SC_OK);
    options.to.port = port;
    c->dial = sc_dial_create(&options);
    assert_non_null(c->dial);
}

static void caller_close(struct caller *c)
{
    if (c->fd >= 0)
        close(c->fd);
    sc_dial_free(c->dial);
    event_base_free(c->base);
}

/* One try, to its outcome. @return whether it is connected. */
static bool dial(struct caller *c, const struct sc_addr *from)
{
    uint32_t before = c->failures;
    sc_dial_start(c->dial, from);
    assert_true(c->fd < 0 && c->failures == before); /* not from within */
    event_base_dispatch(c->base);
    assert_true((c->fd >= 0) != (c->failures == before + 1));
    return c->fd >= 0;
}

static int listen_at(const char *where, struct sc_url *url)
{
    const struct sc_socket_options plain = {0};
    int fd;
    assert_int_equal(sc_url_parse(where, url, NULL), SC_OK);
    assert_int_equal(sc_socket_listen(url, &plain, &fd, NULL), SC_OK);
    assert_int_equal(sc_socket_local(fd, url, NULL), SC_OK);
    return fd;
}

static uint16_t port_of_nobody(void)
{
    struct sc_url url;
    close(listen_at("tcp://127.0.0.1:0", &url));
    return url.port;
}

/* ---- addresses ---- */

static void all_addresses_of_a_name_are_tried(void **state)
{
    (void)state;
    struct sc_url url;
    struct caller c;
    struct sc_addr from;
    uint16_t port;
    int listening = listen_at("tcp://127.0.0.1:0", &url); /* nobody is at 127.0.0.9 */
    caller_open(&c, "tcp://two:1", url.port, PATIENCE_MS);
    assert_true(dial(&c, NULL));
    int taken = sc_socket_accept(listening, &from, &port);
    assert_true(taken >= 0);
    close(taken);
    close(listening);
    close(c.fd);
    c.fd = -1;
    assert_false(dial(&c, NULL));
    assert_string_equal(c.last.message, "cannot connect: Connection refused");
    caller_close(&c);
    caller_open(&c, "udp://nobody:1", 1, PATIENCE_MS);
    assert_false(dial(&c, NULL));
    assert_string_equal(c.last.message, "host nobody: Name or service not known");
    caller_close(&c);
}

/* Somebody who listens and answers no more. */
struct deaf {
    int fd, crowd[8], count;
    uint16_t port;
};

static void deaf_open(struct deaf *d, const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct sockaddr_storage to = {0};
    socklen_t size = sizeof(at);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    *d = (struct deaf){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(d->fd, (const struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(d->fd, 0), 0);
    assert_int_equal(getsockname(d->fd, (struct sockaddr *)&at, &size), 0);
    memcpy(&to, &at, sizeof(at));
    d->port = ntohs(at.sin_port);
    const struct sc_client_way way = {.scheme = SC_URL_TCP};
    do { /* until no more fit in the backlog */
        assert_true(d->count < 8);
        d->crowd[d->count] = sc_client_begin(&way, &to);
        assert_true(d->crowd[d->count] >= 0);
    } while (sc_client_end_connect(d->crowd[d->count++], 200) == 0);
}

static void deaf_close(struct deaf *d)
{
    while (d->count > 0)
        close(d->crowd[--d->count]);
    close(d->fd);
}

static void who_does_not_answer_is_given_up(void **state)
{
    (void)state;
    struct caller c;
    struct deaf deaf;
    deaf_open(&deaf, "127.0.0.1");
    caller_open(&c, "tcp://127.0.0.1:1", deaf.port, 50);
    assert_false(dial(&c, NULL));
    assert_int_equal(c.last.errnum, ETIMEDOUT);
    caller_close(&c);
    deaf_close(&deaf);
}

/* Each address has its part of the patience: the last of several that do not answer is tried before it is over. */
static void deaf_addresses_do_not_add_up(void **state)
{
    (void)state;
    struct caller c;
    struct deaf first;
    struct sc_url url;
    char second[32];
    deaf_open(&first, "127.0.0.9");
    caller_open(&c, "tcp://two:1", first.port, 4000);
    assert_false(dial(&c, NULL)); /* nobody is at the second */
    assert_int_equal(c.last.errnum, ECONNREFUSED);
    snprintf(second, sizeof(second), "tcp://127.0.0.1:%u", first.port);
    int listening = listen_at(second, &url);
    assert_true(dial(&c, NULL));
    caller_close(&c);
    close(listening);
    deaf_close(&first);
}

static void an_own_address_is_taken_where_it_can_be_had(void **state)
{
    (void)state;
    static const struct {
        uint32_t own, seen;
    } cases[] = {{0x7f00004d, 0x7f00004d}, {0xc0000201, 0x7f000001}};
    struct sc_url url;
    int listening = listen_at("tcp://127.0.0.1:0", &url);
    for (size_t i = 0; i < 2; i++) {
        const struct sc_addr own = sc_addr_v4(cases[i].own);
        struct sc_addr from;
        struct caller c;
        uint16_t port;
        caller_open(&c, "tcp://127.0.0.1:1", url.port, PATIENCE_MS);
        assert_true(dial(&c, &own));
        int taken = sc_socket_accept(listening, &from, &port);
        assert_true(taken >= 0);
        assert_int_equal(sc_addr_get_v4(&from), cases[i].seen);
        close(taken);
        caller_close(&c);
    }
    close(listening);
}

/* ---- time ---- */

/* What it takes at least. */
static void check_pause(struct caller *c, uint64_t pause_ms)
{
    uint64_t began = c->at_ms;
    assert_false(dial(c, NULL));
    assert_true(c->at_ms - began >= pause_ms - 1); /* the clocks of loop and test are rounded apart */
}

static void pauses_grow_until_a_connection_is_a_good_one(void **state)
{
    (void)state;
    struct caller c;
    caller_open(&c, "tcp://127.0.0.1:1", port_of_nobody(), PATIENCE_MS);
    assert_false(dial(&c, NULL));
    check_pause(&c, 100);
    check_pause(&c, 200);
    check_pause(&c, 400);
    sc_dial_praise(c.dial);
    check_pause(&c, 100);
    caller_close(&c);
}

static void a_pause_can_be_cut_short(void **state)
{
    (void)state;
    struct caller c;
    caller_open(&c, "tcp://127.0.0.1:1", port_of_nobody(), PATIENCE_MS);
    for (uint64_t i = 1; i <= 15; i++) { /* the last ten would take 5 s each */
        sc_dial_start(c.dial, NULL);
        sc_dial_start(c.dial, NULL); /* it is trying */
        sc_dial_hurry(c.dial);
        event_base_dispatch(c.base);
        assert_int_equal(c.failures, i);
    }
    caller_close(&c);
}

/* ---- names that take long ---- */

static void a_late_answer_serves_the_next_try(void **state)
{
    (void)state;
    struct sc_url url;
    struct caller c;
    int listening = listen_at("tcp://127.0.0.1:0", &url);
    int before = atomic_load(&asked);
    atomic_store(&answers, false);
    caller_open(&c, "tcp://two:1", url.port, 20);
    for (int i = 0; i < 3; i++) {
        assert_false(dial(&c, NULL));
        assert_string_equal(c.last.message, "host two: the name service does not answer");
    }
    atomic_store(&answers, true);
    while (!dial(&c, NULL))
        ;
    assert_int_equal(atomic_load(&asked), before + 1);
    caller_close(&c);
    close(listening);
}

static void a_name_service_that_hangs_holds_up_no_end(void **state)
{
    (void)state;
    struct caller c;
    int before = atomic_load(&returned);
    atomic_store(&answers, false);
    caller_open(&c, "tcp://two:1", 1, 20);
    assert_false(dial(&c, NULL));
    caller_close(&c);
    assert_int_equal(atomic_load(&returned), before);
    atomic_store(&answers, true);
    for (uint64_t end = sc_clock_mono_ms() + PATIENCE_MS; atomic_load(&returned) == before; nap())
        assert_true(sc_clock_mono_ms() < end);
    for (int i = 0; i < 25; i++) /* the thread ends, and the sanitizer looks at what it touches */
        nap();
}

static void several_names_are_looked_up_at_once(void **state)
{
    (void)state;
    struct sc_url hosts[2];
    struct sc_addr found[SC_CLIENT_ADDRESSES];
    const struct sc_lookup_host *answer;
    assert_int_equal(sc_url_parse("tcp://nobody:1", &hosts[0], NULL), SC_OK);
    assert_int_equal(sc_url_parse("tcp://two:1", &hosts[1], NULL), SC_OK);
    struct sc_lookup *lookup = sc_lookup_start(hosts, 2, NULL);
    assert_non_null(lookup);
    for (uint64_t end = sc_clock_mono_ms() + PATIENCE_MS; (answer = sc_lookup_hosts(lookup)) == NULL; nap())
        assert_true(sc_clock_mono_ms() < end);
    assert_int_equal(sc_lookup_addresses(&answer[0], found), 0);
    assert_non_null(strstr(answer[0].err.message, "host nobody"));
    assert_int_equal(sc_lookup_addresses(&answer[1], found), 2);
    assert_int_equal(sc_addr_get_v4(&found[0]), 0x7f000009);
    assert_int_equal(sc_addr_get_v4(&found[1]), 0x7f000001);
    sc_lookup_release(lookup);
    sc_lookup_release(NULL);
}

/* ---- wake-ups ---- */

struct sleeper {
    struct event_base *base;
    struct sc_wake *wake;
    int woken;
};

static void on_woken(void *arg)
{
    struct sleeper *s = arg;
    s->woken++;
    event_base_loopbreak(s->base);
}

static void *wake_thrice(void *arg)
{
    for (int i = 0; i < 3; i++)
        sc_wake_up(arg);
    return NULL;
}

static void a_loop_is_woken_by_other_threads(void **state)
{
    (void)state;
    struct sleeper s = {.base = event_base_new()};
    pthread_t thread;
    s.wake = sc_wake_create(s.base, on_woken, &s);
    assert_non_null(s.wake);
    assert_int_equal(pthread_create(&thread, NULL, wake_thrice, s.wake), 0);
    pthread_join(thread, NULL);
    event_base_dispatch(s.base);
    assert_int_equal(event_base_loop(s.base, EVLOOP_NONBLOCK), 0);
    assert_int_equal(s.woken, 1); /* they were one */
    sc_wake_up(s.wake);
    event_base_dispatch(s.base);
    assert_int_equal(s.woken, 2);
    sc_wake_free(s.wake);
    sc_wake_free(NULL);
    event_base_free(s.base);
}

UNIT(test_dial)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_addresses_of_a_name_are_tried),
        cmocka_unit_test(who_does_not_answer_is_given_up),
        cmocka_unit_test(deaf_addresses_do_not_add_up),
        cmocka_unit_test(an_own_address_is_taken_where_it_can_be_had),
        cmocka_unit_test(pauses_grow_until_a_connection_is_a_good_one),
        cmocka_unit_test(a_pause_can_be_cut_short),
        cmocka_unit_test(a_late_answer_serves_the_next_try),
        cmocka_unit_test(a_name_service_that_hangs_holds_up_no_end),
        cmocka_unit_test(several_names_are_looked_up_at_once),
        cmocka_unit_test(a_loop_is_woken_by_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
