// SPDX-License-Identifier: BSD-3-Clause
/* The end of a proxy whose outbox is full: what waits gets the time that its subcollector needs, goes past the outbox, or is given up and
 * told. */
#include "relay/proxy.h"

#include "base/clock.h"
#include "net/socket.h"
#include "relay/holder.h"
#include "store/reader.h"
#include "store_kit.h"

enum { PARCELS = 60, ROWS = 4000, WINDOW_S = 300 };

/* ---- what is stored ---- */

static uint64_t rows_stored;

static int count_file(const char *path, const struct stat *info, int type, struct FTW *where)
{
    struct sc_segment *segment;
    (void)info;
    (void)where;
    if (type != FTW_F || (strstr(path, SC_LIVE_SUFFIX) == NULL && strstr(path, SC_SEGMENT_SUFFIX) == NULL))
        return 0;
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    for (uint32_t i = 0; i < segment->group_count; i++)
        rows_stored += segment->groups[i].rows;
    sc_segment_close(segment);
    return 0;
}

static uint64_t count_rows(const char *store)
{
    rows_stored = 0;
    assert_int_equal(nftw(store, count_file, 16, FTW_PHYS), 0);
    return rows_stored;
}

/* ---- fixture: a node that is proxy and subcollector, the latter not there at first ---- */

struct fixture {
    char *store, outbox[96];
    struct sc_cluster cluster;
    struct sc_pool *pool;
    struct sc_queue *queue;
    struct sc_board *board;
    struct sc_proxy *proxy;
    struct sc_holder *holder;
    char *lines;
    size_t length;
    FILE *log;
};

static uint16_t free_port(void)
{
    struct sc_url url;
    struct sc_error err;
    int fd;
    const struct sc_socket_options options = {0};
    assert_int_equal(sc_url_parse("tcp://127.0.0.1:0", &url, &err), SC_OK);
    assert_int_equal(sc_socket_listen(&url, &options, &fd, &err), SC_OK);
    assert_int_equal(sc_socket_local(fd, &url, &err), SC_OK);
    close(fd);
    return url.port;
}

static void start_holder(struct fixture *f)
{
    struct sc_error err;
    const struct sc_holder_options options = {
        .store = {.store = f->store, .cluster = &f->cluster, .window_s = WINDOW_S},
        .listen = f->cluster.members[0].address};
    if (sc_holder_start(&options, &f->holder, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static void set_up(struct fixture *f, uint64_t outbox_bytes)
{
    char text[256];
    struct sc_error err = {0};
    *f = (struct fixture){.store = kit_folder()};
    snprintf(f->outbox, sizeof(f->outbox), "%s/outbox", f->store);
    snprintf(text, sizeof(text),
             "version: 1\nreplication: 1\nmembers:\n- {name: alpha, address: '127.0.0.1:%u'}\n", free_port());
    if (sc_cluster_parse("test", (const uint8_t *)text, strlen(text), &f->cluster, &err) != SC_OK)
        fail_msg("%s", err.message);
    f->pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 20);
    f->queue = sc_queue_create(1 << 30);
    f->board = sc_board_create();
    f->log = open_memstream(&f->lines, &f->length);
    const struct sc_proxy_options options = {.outbox = f->outbox,
                                             .cluster = &f->cluster,
                                             .window_s = WINDOW_S,
                                             .queue = f->queue,
                                             .board = f->board,
                                             .how = {.limit_bytes = outbox_bytes},
                                             .log = {.stream = f->log, .level = SC_LOG_INFO}};
    if (sc_proxy_start(&options, &f->proxy, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static void tear_down(struct fixture *f)
{
    sc_queue_free(f->queue);
    sc_pool_free(f->pool);
    sc_board_free(f->board);
    sc_cluster_free(&f->cluster);
    fclose(f->log);
    free(f->lines);
    kit_remove(f->store);
}

/* Numbers that no encoding makes small: all parcels together are twice the bound of the outbox. */
static void push(struct fixture *f)
{
    static const struct sc_column_key bytes = {.id = 1, .kind = SC_COLUMN_UINT};
    static const struct sc_column_key received = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_RECEIVE_TIME, .kind = SC_COLUMN_UINT};
    static uint64_t random = 1;
    uint64_t now = sc_clock_wall_ms();
    struct sc_parcel *parcel = sc_pool_take(f->pool);
    struct sc_column *numbers = sc_batch_begin(parcel->batch, bytes, NULL, 8, ROWS);
    struct sc_column *times = sc_batch_begin(parcel->batch, received, NULL, 8, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        sc_column_put_u64(numbers, random ^ random >> 29);
        sc_column_put_u64(times, now);
    }
    sc_batch_commit(parcel->batch, ROWS);
    assert_int_equal(sc_batch_finish(parcel->batch), SC_OK);
    parcel->batch->window_ms = now - now % (1000 * WINDOW_S);
    assert_int_equal(sc_queue_push(f->queue, parcel, 0), SC_OK);
}

/* The outbox holds its bound, and most parcels wait before it. */
static void fill(struct fixture *f)
{
    struct sc_proxy_stats stats;
    uint64_t deadline = sc_clock_mono_ms() + 20000;
    for (int i = 0; i < PARCELS; i++)
        push(f);
    do {
        usleep(10000);
        sc_proxy_get_stats(f->proxy, &stats);
    } while (!stats.blocked && sc_clock_mono_ms() < deadline);
    assert_true(stats.blocked);
    assert_true(stats.records < PARCELS * ROWS);
    sc_queue_close(f->queue);
}

/* Records that lines of the log say were dropped, and how many lines. */
static uint64_t told(struct fixture *f, unsigned *lines)
{
    uint64_t sum = 0;
    *lines = 0;
    fflush(f->log);
    for (const char *at = f->lines; (at = strstr(at, " warning ")) != NULL; at++) {
        if (strstr(at, "records were dropped") == NULL)
            break;
        unsigned long long n;
        if (sscanf(at, " warning %llu records were dropped", &n) == 1) {
            sum += n;
            ++*lines;
        }
    }
    return sum;
}

/* Records of what was dropped, in the accounts that the next process tells. */
static uint64_t accounted(struct fixture *f)
{
    struct sc_accounts *accounts = sc_accounts_open(f->outbox, 1, sc_clock_mono_ms, NULL);
    struct sc_link_tally tally;
    uint64_t sum = 0;
    for (uint32_t at = 0; sc_accounts_tally(accounts, &at, sc_clock_wall_ms(), &tally);) {
        if (tally.lane.lane == SC_DROPPED_LANE)
            sum += tally.lane.accepted.records[SC_RECORDS_FLOWS];
    }
    sc_accounts_free(accounts);
    return sum;
}

/* ---- tests ---- */

/* The subcollector comes back as the process ends, and takes all of it, though that is more than the outbox holds. */
static void a_full_outbox_is_waited_for_at_the_end(void **state)
{
    (void)state;
    struct fixture f;
    unsigned lines;
    set_up(&f, 1 << 20);
    fill(&f);
    start_holder(&f);
    sc_proxy_finish(f.proxy, 60000, 60000, NULL);
    sc_holder_stop(f.holder, NULL);
    assert_int_equal(count_rows(f.store), PARCELS * ROWS);
    assert_int_equal(told(&f, &lines), 0);
    assert_int_equal(accounted(&f), 0);
    tear_down(&f);
}

static void wait_until_usable(struct fixture *f)
{
    struct sc_proxy_stats stats;
    uint64_t deadline = sc_clock_mono_ms() + 20000;
    do {
        usleep(10000);
        sc_proxy_get_stats(f->proxy, &stats);
    } while (stats.dispatch.usable == 0 && sc_clock_mono_ms() < deadline);
    assert_int_equal(stats.dispatch.usable, 1);
}

/* An outbox that takes nothing at all: while the proxy runs nothing is accepted, at its end the subcollector gets everything. */
static void what_the_outbox_refuses_at_the_end_goes_past_it(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_proxy_stats stats;
    unsigned lines;
    set_up(&f, 1);
    start_holder(&f);
    wait_until_usable(&f);
    fill(&f);
    sc_proxy_get_stats(f.proxy, &stats);
    assert_int_equal(stats.records, 0);
    assert_true(stats.blocked_ms != 0 && stats.blocked_ms <= sc_clock_mono_ms());
    sc_proxy_end(f.proxy);
    sc_proxy_finish(f.proxy, 60000, 60000, NULL);
    sc_holder_stop(f.holder, NULL);
    assert_int_equal(count_rows(f.store), PARCELS * ROWS);
    assert_int_equal(told(&f, &lines), 0);
    assert_int_equal(accounted(&f), 0);
    assert_null(strstr(f.lines, "not acknowledged"));
    tear_down(&f);
}

/* When nobody takes anything until the end, what has no room is told in two lines and accounted for; the rest is kept. */
static void what_has_no_room_at_the_end_is_told(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_proxy_stats stats;
    unsigned lines;
    set_up(&f, 1 << 20);
    fill(&f);
    sc_proxy_get_stats(f.proxy, &stats);
    sc_proxy_finish(f.proxy, 200, 200, NULL);
    assert_int_equal(told(&f, &lines), PARCELS * ROWS - stats.records);
    assert_true(lines <= 2);
    assert_int_equal(accounted(&f), PARCELS * ROWS - stats.records);
    assert_null(strstr(f.lines, "are lost"));
    tear_down(&f);
}

UNIT(test_proxy)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_outbox_is_waited_for_at_the_end),
        cmocka_unit_test(what_the_outbox_refuses_at_the_end_goes_past_it),
        cmocka_unit_test(what_has_no_room_at_the_end_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
