// SPDX-License-Identifier: BSD-3-Clause
/* A subcollector's end of the link, over sockets: who connects without end keeps nobody's beats, and takes nobody's descriptors. */
#include "store_kit.h"

#include "relay/holder.h"
#include "relay/link_stream.h"

#include <event2/buffer.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* ---- a flood: there is always another connection ---- */

enum { PEERS = 64, DESCRIPTORS = 512, TURNS = 1 << 18 };

static atomic_bool flooding;
static atomic_uint flooded, failed;
static int peers[PEERS]; /* the other ends, of the holder's thread */

int __real_accept4(int fd, struct sockaddr *from, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *length, int flags);

/* In the C library's place (CMakeLists.txt). */
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *length, int flags)
{
    int ends[2];
    if (!atomic_load(&flooding))
        return __real_accept4(fd, from, length, flags);
    struct sockaddr_in member = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        atomic_fetch_add(&failed, 1);
        return -1;
    }
    int *peer = &peers[atomic_fetch_add(&flooded, 1) % PEERS];
    if (*peer > 0)
        close(*peer);
    *peer = ends[1];
    memcpy(from, &member, sizeof(member));
    *length = sizeof(member);
    return ends[0];
}

/* ---- a store whose disk stalls ---- */

static atomic_bool stalled;

bool __real_sc_lane_store_tight(struct sc_lane_store *store);
bool __wrap_sc_lane_store_tight(struct sc_lane_store *store);

/* A slow one: from each beat on, which asks for statistics first, the beat itself and one more caller find room. */
static atomic_bool slow;
static atomic_uint found;

void __real_sc_lane_store_get_stats(struct sc_lane_store *store, struct sc_lane_store_stats *out);
void __wrap_sc_lane_store_get_stats(struct sc_lane_store *store, struct sc_lane_store_stats *out);

void __wrap_sc_lane_store_get_stats(struct sc_lane_store *store, struct sc_lane_store_stats *out)
{
    atomic_store(&found, 0);
    __real_sc_lane_store_get_stats(store, out);
}

bool __wrap_sc_lane_store_tight(struct sc_lane_store *store)
{
    if (atomic_load(&slow))
        return atomic_fetch_add(&found, 1) >= 2;
    return atomic_load(&stalled) || __real_sc_lane_store_tight(store);
}

/* ---- a node, and a proxy that listens to it ---- */

struct proxy {
    int fd;
    uint32_t beats;
    struct sc_link_reader reader;
    struct evbuffer *in;
};

static struct sc_member member = {.name = "alpha", .weight = 1, .subcollector = true};

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static struct sc_holder *start(const char *store, uint16_t port)
{
    char text[64];
    struct sc_error err = {0};
    struct sc_holder *h = NULL;
    const struct sc_cluster one = {
        .version = 1, .format = 1, .replication = 1, .members = &member, .count = 1};
    struct sc_holder_options options = {.store = {.store = store, .cluster = &one, .window_s = 300}};
    snprintf(text, sizeof(text), "tcp://127.0.0.1:%u", port);
    assert_int_equal(sc_url_parse(text, &options.listen, &err), SC_OK);
    member.address = options.listen;
    member.lane = sc_cluster_lane(member.name);
    if (sc_holder_start(&options, &h, &err) != SC_OK)
        fail_msg("%s", err.message);
    return h;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static enum sc_status on_beat(void *arg, const struct sc_link_beat *beat)
{
    struct proxy *p = arg;
    (void)beat;
    p->beats++;
    return SC_OK;
}

static void open_proxy(struct proxy *p, uint16_t port)
{
    struct sc_link_writer w = {0};
    struct sc_link_hello hello = {.version = SC_LINK_VERSION};
    *p = (struct proxy){.fd = connect_to(port), .in = evbuffer_new()};
    p->reader = (struct sc_link_reader){.beat = on_beat, .arg = p};
    snprintf(hello.name, sizeof(hello.name), "%s", member.name);
    sc_link_put_hello(&w, &hello);
    assert_int_equal(send(p->fd, w.out.data, w.out.len, 0), w.out.len);
    sc_buf_free(&w.out);
}

/* @return whether so many more come. */
static bool hears_beats(struct proxy *p, uint32_t count)
{
    struct sc_error err;
    struct pollfd readable = {.fd = p->fd, .events = POLLIN};
    for (count += p->beats; p->beats < count;) {
        if (poll(&readable, 1, 10000) != 1 || evbuffer_read(p->in, p->fd, -1) <= 0 ||
            sc_link_drain(p->in, &p->reader, &err) != SC_OK)
            return false;
    }
    return true;
}

static void close_proxy(struct proxy *p)
{
    close(p->fd);
    evbuffer_free(p->in);
    sc_link_reader_free(&p->reader);
}

/* What is closed gives its descriptor back at the end of the turn: a turn without end takes all there are. */
static void connects_without_end_keep_no_beats(void **state)
{
    (void)state;
    struct proxy p;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = DESCRIPTORS;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    char *store = kit_folder();
    uint16_t port = free_port();
    struct sc_holder *h = start(store, port);
    open_proxy(&p, port);
    assert_true(hears_beats(&p, 3)); /* so it has greeted, and is not among those that crowd */
    atomic_store(&flooding, true);
    int last = connect_to(port);
    bool heard = hears_beats(&p, 3);
    atomic_store(&flooding, false);
    assert_true(heard);
    assert_true(atomic_load(&flooded) > DESCRIPTORS);
    assert_int_equal(atomic_load(&failed), 0);
    sc_holder_stop(h, NULL);
    close(last);
    close_proxy(&p);
    for (unsigned i = 0; i < PEERS; i++) {
        if (peers[i] > 0)
            close(peers[i]);
    }
    kit_remove(store);
}

/* A proxy that connects meanwhile is not read, but for its greeting: who does not greet in time is turned away. */
static void who_comes_while_the_disk_stalls_stays(void **state)
{
    (void)state;
    struct proxy p;
    char *store = kit_folder();
    uint16_t port = free_port();
    struct sc_holder *h = start(store, port);
    atomic_store(&stalled, true);
    open_proxy(&p, port);
    bool heard = hears_beats(&p, SC_HOLDER_GREETING_MS / 200 + 5);
    atomic_store(&stalled, false);
    assert_true(heard);
    sc_holder_stop(h, NULL);
    close_proxy(&p);
    kit_remove(store);
}

/* As much as the socket takes of words without end. */
static size_t talk(const struct proxy *p, const struct sc_buf *words, size_t said)
{
    ssize_t n = 1;
    while (n > 0) {
        size_t at = said % words->len;
        n = send(p->fd, words->data + at, words->len - at, MSG_DONTWAIT);
        said += n > 0 ? (size_t)n : 0;
    }
    return said;
}

/* Two proxies have more to say than there is room for: each has its turn, the one that came first, too. */
static void each_has_its_turn_at_a_slow_disk(void **state)
{
    (void)state;
    struct proxy proxies[2];
    struct sc_link_writer w = {0};
    const struct sc_link_tally tally = {.stream = 1, .window_ms = 300000, .window_s = 300};
    size_t said[2] = {0}, first[2];
    char *store = kit_folder();
    uint16_t port = free_port();
    struct sc_holder *h = start(store, port);
    for (int i = 0; i < 1000; i++)
        sc_link_put_tally(&w, &tally);
    for (int i = 0; i < 2; i++) {
        open_proxy(&proxies[i], port);
        assert_true(hears_beats(&proxies[i], 2));
    }
    atomic_store(&slow, true);
    for (int beats = 0;
         beats < 100 && (beats < 10 || said[0] - first[0] < TURNS || said[1] - first[1] < TURNS); beats++) {
        for (int i = 0; i < 2; i++) {
            assert_true(hears_beats(&proxies[i], 1));
            said[i] = talk(&proxies[i], &w.out, said[i]);
            if (beats < 9) /* the sockets fill up */
                first[i] = said[i];
        }
    }
    atomic_store(&slow, false);
    assert_true(said[0] - first[0] >= TURNS);
    assert_true(said[1] - first[1] >= TURNS);
    for (int i = 0; i < 2; i++)
        close_proxy(&proxies[i]);
    sc_holder_stop(h, NULL);
    sc_buf_free(&w.out);
    kit_remove(store);
}

UNIT(test_holder)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_while_the_disk_stalls_stays),
        cmocka_unit_test(each_has_its_turn_at_a_slow_disk),
        cmocka_unit_test(connects_without_end_keep_no_beats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
