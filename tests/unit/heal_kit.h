// SPDX-License-Identifier: BSD-3-Clause
/*
 * For tests of healing: members with stores that hold known batches, peers that answer over sockets as a test likes, and a node that
 * heals from them. For one source file of a program.
 */
#ifndef SC_TEST_HEAL_KIT_H
#define SC_TEST_HEAL_KIT_H

#include "store_kit.h"

#include "base/clock.h"
#include "conf/cluster.h"
#include "relay/healer.h"
#include "relay/link_stream.h"
#include "relay/stock.h"

#include <event2/buffer.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

/* Batch i has the flows [i * ROWS, (i + 1) * ROWS), is of lane i % LANES, and of window i / (BATCHES / WINDOWS). */
enum { MEMBERS = 3, LANES = 2, WINDOWS = 4, BATCHES = 80, ROWS = 20, LIMIT = BATCHES * ROWS, STREAM = 77 };

#define WINDOW_MS UINT64_C(300000)
#define FIRST_MS  UINT64_C(1699999800000)

static const char *const names[MEMBERS] = {"alpha", "beta", "gamma"};

static KIT_UNUSED void nap(void)
{
    const struct timespec t = {.tv_nsec = 20000000};
    nanosleep(&t, NULL);
}

/* ---- members ---- */

static struct sc_member members[MEMBERS];

/* All hold all lanes. */
static struct sc_cluster cluster = {
    .version = 1, .format = 1, .replication = 3, .members = members, .count = MEMBERS};

static int listen_to_any(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

/* Its port is taken, or was just now. */
static void know_member(uint32_t i, uint16_t port)
{
    char text[64];
    members[i] = (struct sc_member){.weight = 1, .subcollector = true, .lane = sc_cluster_lane(names[i])};
    snprintf(members[i].name, sizeof(members[i].name), "%s", names[i]);
    snprintf(text, sizeof(text), "tcp://127.0.0.1:%u", port);
    assert_int_equal(sc_url_parse(text, &members[i].address, NULL), SC_OK);
}

/* ---- stores ---- */

static void append(struct sc_store_writer *w, uint32_t number, uint32_t lane, uint64_t window_ms)
{
    struct sc_batch *batch = kit_batch((uint64_t)number * ROWS, ROWS, window_ms);
    kit_span(batch, STREAM, number);
    batch->spans[0].lane = lane;
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    sc_batch_free(batch);
}

static void lane_path(const char *store, uint32_t lane, uint32_t self, char *out, size_t size)
{
    char replicas[512];
    snprintf(replicas, sizeof(replicas), "%s/" SC_REPLICA_FOLDER, store);
    (void)mkdir(replicas, 0755);
    if (lane == self)
        snprintf(out, size, "%s", store);
    else
        snprintf(out, size, "%s/%s", replicas, names[lane]);
}

/* The batches from `first` on as far as `end`, each `step`-th; windows are sealed, but for every other lane's. */
static KIT_UNUSED void fill(const char *store, uint32_t self, uint64_t first_ms, uint32_t first, uint32_t end,
                            uint32_t step)
{
    char path[600];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const struct sc_store_options options = {.lane = members[lane].lane, .window_s = 300};
        lane_path(store, lane, self, path, sizeof(path));
        struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
        assert_non_null(w);
        for (uint32_t i = first; i < end; i += step) {
            if (i % LANES == lane)
                append(w, i, members[lane].lane, first_ms + i / (BATCHES / WINDOWS) * WINDOW_MS);
        }
        if (lane == 0)
            assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
        assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    }
}

/* Exactly the batches from `first` on are here, each once. */
static KIT_UNUSED void check_store(const char *path, uint32_t first, uint32_t end)
{
    struct sc_catalogue c = {.replicas = true};
    struct kit_scan scan = {.limit = LIMIT, .seen = calloc(LIMIT + 1, sizeof(uint32_t))};
    assert_non_null(scan.seen);
    assert_int_equal(sc_catalogue_add(&c, path, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++)
        kit_scan_segment(&scan, c.files[i].path);
    assert_int_equal(scan.damaged, 0);
    for (uint32_t i = 0; i < LIMIT; i++)
        assert_int_equal(scan.seen[i], i / ROWS >= first && i / ROWS < end);
    kit_scan_free(&scan);
    sc_catalogue_free(&c);
}

/* The same batches of the same lanes and windows. */
static KIT_UNUSED void assert_same_holdings(const char *one, const char *other)
{
    struct sc_stock stocks[2] = {{.store = one}, {.store = other}};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(sc_stock_refresh(&stocks[i], NULL), SC_OK);
        assert_int_equal(stocks[i].unreadable, 0);
    }
    assert_int_equal(stocks[0].digest_count, stocks[1].digest_count);
    assert_true(sc_digests_hash(stocks[0].digests, stocks[0].digest_count) ==
                sc_digests_hash(stocks[1].digests, stocks[1].digest_count));
    for (uint32_t i = 0; i < 2; i++)
        sc_stock_free(&stocks[i]);
}

/* ---- a member that answers as it likes ---- */

struct peer {
    uint32_t member;
    struct sc_stock stock;
    /* What it does with a question: puts its answer into `w`. False: it ends the connection. */
    bool (*answer)(struct peer *peer, const struct sc_link_ask *ask, struct sc_link_writer *w);
    atomic_uint asked[SC_ASK_TOLD + 1]; /* by what */
    int listen_fd, fd;
    struct sc_link_writer *writer;
    bool ends;
    atomic_bool stopping;
    pthread_t thread;
};

static void put_given(struct sc_link_writer *w, const struct sc_link_ask *ask, uint8_t outcome)
{
    sc_link_put_given(w, &(struct sc_link_given){ask->what, outcome});
}

static void put_group(struct sc_link_writer *w, const struct sc_batch_head *head, const struct sc_buf *bytes)
{
    sc_link_put_announcement(w, head);
    for (uint32_t done = 0, n; done < bytes->len; done += n) {
        n = bytes->len - done < SC_LINK_PART ? (uint32_t)bytes->len - done : SC_LINK_PART;
        sc_link_put_part_head(w, n);
        sc_buf_append(&w->out, bytes->data + done, n);
    }
}

static void put_digests(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_link_digest *list;
    uint32_t count;
    assert_int_equal(sc_stock_digests(&p->stock, ask->window_ms, ask->end_ms, &list, &count), SC_OK);
    sc_link_put_digests(w, list, count);
    free(list);
}

static KIT_UNUSED void put_holds(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    const struct sc_window window = {ask->window_ms, ask->window_s};
    struct sc_link_holds *list;
    uint32_t count;
    assert_int_equal(sc_stock_holds(&p->stock, ask->lane, &window, &list, &count), SC_OK);
    sc_link_put_holds(w, list, count);
    free(list);
}

static void put_told(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_link_told *list = NULL;
    uint32_t count = 0;
    assert_int_equal(sc_told_records(&p->stock.told, ask->window_ms, &list, &count), SC_OK);
    for (uint32_t i = 0; i < count; i++)
        sc_link_put_told(w, &list[i]);
    free(list);
}

static enum sc_status take_group(struct peer *p, const struct sc_link_ask *ask, struct sc_batch_head *head,
                                 struct sc_buf *bytes)
{
    const struct sc_window window = {ask->window_ms, ask->window_s};
    return sc_stock_group(&p->stock, ask->lane, &window, ask->stream, ask->sequence, head, bytes, NULL);
}

static KIT_UNUSED bool honest(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_batch_head head;
    struct sc_buf bytes = {0};
    uint8_t outcome = SC_GIVEN_ALL;
    if (ask->what == SC_ASK_DIGESTS)
        put_digests(p, ask, w);
    else if (ask->what == SC_ASK_HOLDS)
        put_holds(p, ask, w);
    else if (ask->what == SC_ASK_TOLD)
        put_told(p, ask, w);
    else if (take_group(p, ask, &head, &bytes) == SC_OK)
        put_group(w, &head, &bytes);
    else
        outcome = SC_GIVEN_NONE;
    sc_buf_free(&bytes);
    put_given(w, ask, outcome);
    return true;
}

static enum sc_status on_ask(void *arg, const struct sc_link_ask *ask)
{
    struct peer *p = arg;
    if (ask->what == SC_ASK_NOTHING) {
        if (p->answer != NULL) /* else it is of a version that knows no questions */
            put_given(p->writer, ask, SC_GIVEN_ALL);
        return SC_OK;
    }
    assert_true(ask->what <= SC_ASK_TOLD);
    atomic_fetch_add(&p->asked[ask->what], 1);
    p->ends = !p->answer(p, ask, p->writer);
    return p->ends ? SC_CANCELLED : SC_OK;
}

/* False: nobody reads it any more. */
static bool send_all(const struct peer *p, struct sc_buf *out)
{
    for (size_t done = 0; done < out->len;) {
        ssize_t n = send(p->fd, out->data + done, out->len - done, MSG_NOSIGNAL);
        if (n <= 0 || atomic_load(&p->stopping))
            return false;
        done += (size_t)n;
    }
    sc_buf_clear(out);
    return true;
}

static void greet(const struct peer *p, struct sc_link_writer *w)
{
    struct sc_link_hello hello = {.version = SC_LINK_VERSION, .lane = members[p->member].lane};
    snprintf(hello.name, sizeof(hello.name), "%s", names[p->member]);
    sc_link_put_hello(w, &hello);
}

static void talk(struct peer *p)
{
    struct sc_link_writer writer = {0};
    struct sc_link_reader reader = {.ask = on_ask, .arg = p};
    struct evbuffer *in = evbuffer_new();
    struct pollfd readable = {.fd = p->fd, .events = POLLIN};
    assert_non_null(in);
    p->writer = &writer;
    greet(p, &writer);
    while (send_all(p, &writer.out) && !atomic_load(&p->stopping)) {
        if (poll(&readable, 1, 20) == 0)
            continue;
        if (evbuffer_read(in, p->fd, -1) <= 0 || sc_link_drain(in, &reader, NULL) != SC_OK)
            break;
    }
    evbuffer_free(in);
    sc_link_reader_free(&reader);
    sc_buf_free(&writer.out);
}

static void *run_peer(void *arg)
{
    struct peer *p = arg;
    struct pollfd readable = {.fd = p->listen_fd, .events = POLLIN};
    while (!atomic_load(&p->stopping)) {
        if (poll(&readable, 1, 20) <= 0)
            continue;
        p->fd = accept(p->listen_fd, NULL, NULL);
        talk(p);
        close(p->fd);
    }
    return NULL;
}

static void open_peer(struct peer *p, uint32_t member, const char *store,
                      bool (*answer)(struct peer *, const struct sc_link_ask *, struct sc_link_writer *))
{
    uint16_t port;
    *p = (struct peer){.member = member, .stock.store = store, .answer = answer};
    p->listen_fd = listen_to_any(&port);
    know_member(member, port);
}

static void start_peer(struct peer *p)
{
    assert_int_equal(sc_stock_refresh(&p->stock, NULL), SC_OK);
    assert_int_equal(pthread_create(&p->thread, NULL, run_peer, p), 0);
}

static void stop_peer(struct peer *p)
{
    atomic_store(&p->stopping, true);
    assert_int_equal(pthread_join(p->thread, NULL), 0);
    close(p->listen_fd);
    sc_stock_free(&p->stock);
}

/* ---- a node that heals ---- */

/* Its time stands in the middle of a window: nothing depends on when a test runs. */
static struct sc_reference now;

static KIT_UNUSED void set_time(uint64_t ms)
{
    sc_reference_set(&now, (int64_t)(ms - sc_clock_mono_ms()));
}

/* `self` and `facts` may be set before. */
struct node {
    char *path;
    uint32_t self; /* in `cluster` */
    struct sc_facts *facts;
    struct sc_lane_store *store;
    struct sc_lender *lender;
    struct sc_healer *healer;
};

static void nobody_asked(void *arg)
{
    (void)arg;
}

static void start_healer(struct node *n, const struct sc_retention *retention)
{
    struct sc_error err = {0};
    const struct sc_healer_options how = {.cluster = &cluster,
                                          .self = n->self,
                                          .reference = &now,
                                          .retention = *retention,
                                          .store = n->store,
                                          .lender = n->lender};
    n->healer = sc_healer_start(&how, &err);
    assert_non_null(n->healer);
}

static void open_node(struct node *n, const struct sc_retention *retention)
{
    struct sc_error err = {0};
    const struct sc_lane_store_options store = {.store = n->path,
                                                .cluster = &cluster,
                                                .self = n->self,
                                                .window_s = 300,
                                                .facts = n->facts,
                                                .answered = nobody_asked};
    if (sc_lane_store_start(&store, &n->store, &err) != SC_OK)
        fail_msg("%s", err.message);
    n->lender = sc_lender_start(n->path, nobody_asked, NULL, &err);
    assert_non_null(n->lender);
    start_healer(n, retention);
}

static void stop_node(struct node *n)
{
    sc_healer_stop(n->healer);
    sc_lender_stop(n->lender);
    sc_lane_store_stop(n->store, NULL);
}

#endif
