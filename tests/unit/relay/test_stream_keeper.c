// SPDX-License-Identifier: BSD-3-Clause
/* The words on streams that a subcollector keeps: what is said often is written once, and who says much waits for himself. */
#include "store_kit.h"

#include "relay/stream_keeper.h"

#include <errno.h>

#define WINDOW UINT64_C(1699999800000)
#define NOW    UINT64_C(1000000) /* a monotonic clock */

/* ---- a disk that counts ---- */

static struct sc_io_ops counting;
static uint32_t syncs, writes;

static int count_sync(struct sc_io *io, int handle)
{
    (void)io;
    syncs++;
    return sc_io_system()->ops->datasync(sc_io_system(), handle);
}

static int count_write(struct sc_io *io, const char *from, const char *to)
{
    (void)io;
    writes++;
    return sc_io_system()->ops->rename(sc_io_system(), from, to);
}

/* ---- a node ---- */

struct node {
    char *store;
    struct sc_io io;
    struct sc_cluster cluster;
    struct sc_member members[4];
    struct sc_stream_owners owners;
    struct sc_tally_keeper tallies;
    struct sc_stream_keeper keeper;
};

static void open_node(struct node *n)
{
    static const char *const names[] = {"alpha", "beta", "gamma", "delta"};
    *n = (struct node){.store = kit_folder(), .io = {&counting}};
    counting = *sc_io_system()->ops;
    counting.datasync = count_sync;
    counting.rename = count_write;
    syncs = writes = 0;
    for (uint32_t i = 0; i < 4; i++)
        snprintf(n->members[i].name, sizeof(n->members[i].name), "%s", names[i]);
    n->cluster =
        (struct sc_cluster){.version = 1, .format = 1, .replication = 1, .members = n->members, .count = 4};
    n->owners.store = n->tallies.store = n->store;
    n->keeper = (struct sc_stream_keeper){.store = n->store,
                                          .io = &n->io,
                                          .cluster = &n->cluster,
                                          .owners = &n->owners,
                                          .tallies = &n->tallies};
}

static void close_node(struct node *n)
{
    sc_stream_keeper_free(&n->keeper);
    sc_tally_keeper_free(&n->tallies);
    sc_stream_owners_free(&n->owners);
    kit_remove(n->store);
}

static enum sc_refusal tell(struct node *n, const char *proxy, uint64_t stream, bool closed,
                            bool earlier_closed, uint64_t now_ms)
{
    const struct sc_link_stream word = {stream, closed, earlier_closed};
    return sc_stream_keeper_take(&n->keeper, proxy, &word, now_ms);
}

/* All steps there are. @return how many words were passed over. */
static uint32_t settle(struct node *n, uint64_t now_ms)
{
    struct sc_stream_step step;
    uint32_t refused = 0;
    while (sc_stream_keeper_step(&n->keeper, now_ms, &step))
        refused += step.why == SC_REFUSAL_STREAM;
    return refused;
}

enum state { ABSENT, OPEN, CLOSED };

static enum state on_disk(const struct node *n, uint64_t stream)
{
    struct sc_stream read;
    if (sc_stream_read(n->store, stream, &read) != SC_OK)
        return ABSENT;
    return read.closed ? CLOSED : OPEN;
}

/* Streams that an earlier process was told of. */
static void leave(struct node *n, const char *proxy, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct sc_stream stream = {.stream = first + i, .heard_ms = WINDOW};
        snprintf(stream.proxy, sizeof(stream.proxy), "%s", proxy);
        assert_int_equal(sc_stream_write(n->store, &stream, NULL, NULL), SC_OK);
    }
}

static uint64_t count_of(const struct node *n, uint64_t first, uint64_t count, enum state state)
{
    uint64_t found = 0;
    for (uint64_t i = 0; i < count; i++)
        found += on_disk(n, first + i) == state;
    return found;
}

/* ---- what is written ---- */

/* Two thousand words that a stream is closed: one file, once durable; and the last word holds. */
static void what_is_said_again_is_not_written(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    for (uint64_t i = 0; i < 2000; i++)
        assert_int_equal(tell(&n, "beta", 5, i % 2 == 1, false, NOW + i), SC_REFUSAL_NONE);
    assert_int_equal(settle(&n, NOW + 2000), 0);
    assert_int_equal(writes, 1);
    assert_int_equal(on_disk(&n, 5), CLOSED);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(tell(&n, "beta", 5, true, false, NOW + 3000 + 1000 * i), SC_REFUSAL_NONE);
        assert_int_equal(settle(&n, NOW + 3000 + 1000 * i), 0);
    }
    assert_int_equal(writes, 1);
    assert_int_equal(syncs, 1);
    sc_stream_keeper_free(&n.keeper); /* nor by the next process: it looks at the file */
    assert_int_equal(tell(&n, "beta", 5, true, false, NOW), SC_REFUSAL_NONE);
    assert_int_equal(settle(&n, NOW), 0);
    assert_int_equal(writes, 1);
    close_node(&n);
}

/* That a stream is heard of is written twice a second at most, and without waiting for the disk. */
static void being_heard_of_is_cheap(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    for (uint64_t ms = 0; ms < 10000; ms += 10) {
        assert_int_equal(tell(&n, "beta", 5, false, false, NOW + ms), SC_REFUSAL_NONE);
        assert_int_equal(settle(&n, NOW + ms), 0);
    }
    assert_int_equal(writes, 10000 / SC_STREAM_EVERY);
    assert_int_equal(syncs, 1);
    assert_int_equal(on_disk(&n, 5), OPEN);
    close_node(&n);
}

/* Streams that came before are closed a file a step, and are looked for once, until there is another one. */
static void others_are_closed_once(void **state)
{
    (void)state;
    enum { MINE = 100, THEIRS = 20 };
    struct node n;
    struct sc_stream_step step;
    uint32_t before = 0;
    open_node(&n);
    leave(&n, "beta", 1000, MINE);
    leave(&n, "alpha", 2000, THEIRS);
    for (uint64_t second = 0; second < 50; second++) {
        assert_int_equal(tell(&n, "beta", 5, false, true, NOW + 1000 * second), SC_REFUSAL_NONE);
        for (; sc_stream_keeper_step(&n.keeper, NOW + 1000 * second, &step); before = writes)
            assert_true(writes <= before + 1);
    }
    assert_int_equal(n.keeper.walks, 1);
    assert_int_equal(writes, MINE + 50);
    assert_int_equal(count_of(&n, 1000, MINE, CLOSED), MINE);
    assert_int_equal(count_of(&n, 2000, THEIRS, OPEN), THEIRS);
    assert_int_equal(tell(&n, "beta", 1007, false, false, NOW + 60000), SC_REFUSAL_NONE); /* it was late */
    assert_int_equal(settle(&n, NOW + 60000), 0);
    assert_int_equal(on_disk(&n, 1007), OPEN);
    for (uint64_t second = 61; second < 70; second++) {
        assert_int_equal(tell(&n, "beta", 5, false, true, NOW + 1000 * second), SC_REFUSAL_NONE);
        assert_int_equal(settle(&n, NOW + 1000 * second), 0);
    }
    assert_int_equal(n.keeper.walks, 2);
    assert_int_equal(on_disk(&n, 1007), CLOSED);
    assert_int_equal(on_disk(&n, 5), OPEN);
    close_node(&n);
}

/* One that is opened while the others are being closed is closed in the end, wherever it lies in the folder. */
static void one_is_opened_meanwhile(void **state)
{
    (void)state;
    enum { MINE = 40 };
    struct sc_stream_step step;
    for (uint64_t late = 0; late < MINE; late++) {
        struct node n;
        open_node(&n);
        leave(&n, "beta", 1000, MINE);
        assert_int_equal(tell(&n, "beta", 5, false, true, NOW), SC_REFUSAL_NONE);
        for (uint32_t i = 0; i < MINE / 2; i++)
            assert_true(sc_stream_keeper_step(&n.keeper, NOW, &step));
        assert_int_equal(tell(&n, "beta", 1000 + late, false, false, NOW), SC_REFUSAL_NONE);
        assert_int_equal(settle(&n, NOW), 0);
        assert_int_equal(tell(&n, "beta", 5, false, true, NOW + 1000), SC_REFUSAL_NONE);
        assert_int_equal(settle(&n, NOW + 1000), 0);
        assert_int_equal(count_of(&n, 1000, MINE, CLOSED), MINE);
        close_node(&n);
    }
}

/* ---- whose turn it is ---- */

/* Who closes, opens and closes all the time, with a folder full of streams, keeps another waiting for a step of each. */
static void tellers_take_turns(void **state)
{
    (void)state;
    static const char *const busy[] = {"beta", "gamma", "delta"};
    struct node n;
    struct sc_stream_step step;
    open_node(&n);
    for (uint64_t i = 0; i < 3; i++)
        leave(&n, busy[i], 1000 * (i + 1), 50);
    for (uint64_t round = 1; round < 30; round++) {
        uint64_t now = NOW + 1000 * round;
        for (uint64_t i = 0; i < 3 * SC_WORDS_EACH; i++)
            assert_int_equal(
                tell(&n, busy[i % 3], 1000 * (i % 3 + 1) + i / 3, (round + i) % 2 == 0, true, now),
                SC_REFUSAL_NONE);
        assert_int_equal(tell(&n, "alpha", round, false, false, now), SC_REFUSAL_NONE);
        for (uint32_t i = 0; i < 4; i++)
            assert_true(sc_stream_keeper_step(&n.keeper, now, &step));
        assert_int_equal(on_disk(&n, round), OPEN);
    }
    close_node(&n);
}

/* ---- shares ---- */

static void a_proxy_has_a_share(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(tell(&n, "beta", i, false, false, NOW),
                         i < SC_WORDS_EACH ? SC_REFUSAL_NONE : SC_REFUSAL_STREAM);
    assert_int_equal(tell(&n, "beta", 3, true, false, NOW), SC_REFUSAL_NONE); /* one that waits */
    assert_int_equal(tell(&n, "gamma", 7000, false, false, NOW), SC_REFUSAL_NONE);
    assert_int_equal(settle(&n, NOW), 0);
    assert_int_equal(on_disk(&n, 3), CLOSED);
    for (uint64_t i = 100; i < 200; i++) {
        assert_int_equal(tell(&n, "beta", i, false, false, NOW + i), SC_REFUSAL_NONE);
        assert_int_equal(settle(&n, NOW + i), i < 100 + SC_STREAMS_NEW - SC_WORDS_EACH ? 0 : 1);
    }
    assert_int_equal(count_of(&n, 0, 1000, ABSENT), 1000 - SC_STREAMS_NEW);
    assert_int_equal(tell(&n, "beta", 7000, true, false, NOW + 200), SC_REFUSAL_NONE); /* another's */
    assert_int_equal(settle(&n, NOW + 200), 1);
    assert_int_equal(on_disk(&n, 7000), OPEN);
    assert_int_equal(tell(&n, "beta", 300, false, false, NOW + 60001), SC_REFUSAL_NONE);
    assert_int_equal(settle(&n, NOW + 60001), 0);
    close_node(&n);
}

/* ---- before the first batch ---- */

static enum sc_status admit(struct node *n, const char *proxy, uint64_t stream, uint64_t now_ms)
{
    struct sc_error err;
    return sc_stream_keeper_admit(&n->keeper, proxy, stream, now_ms, &err);
}

/* Of a stream that nobody has told of yet; the disk is asked once, whatever the number of batches. */
static void a_stream_is_there_before_its_batches(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(admit(&n, "beta", 5, NOW + 60 * i), SC_OK);
    assert_int_equal(on_disk(&n, 5), OPEN);
    assert_int_equal(writes, 1);
    assert_int_equal(syncs, 1);
    assert_int_equal(admit(&n, "gamma", 5, NOW), SC_LIMIT); /* another's */
    assert_int_equal(tell(&n, "beta", 5, true, false, NOW), SC_REFUSAL_NONE);
    assert_int_equal(settle(&n, NOW), 0);
    assert_int_equal(admit(&n, "beta", 5, NOW), SC_OK); /* a late copy opens nothing */
    assert_int_equal(on_disk(&n, 5), CLOSED);
    sc_stream_keeper_free(&n.keeper);
    assert_int_equal(admit(&n, "beta", 5, NOW), SC_OK);
    assert_int_equal(on_disk(&n, 5), CLOSED);
    sc_stream_keeper_rewrite(&n.keeper); /* the store was deleted */
    kit_remove(n.store);
    n.store = kit_folder();
    n.owners.store = n.tallies.store = n.keeper.store = n.store;
    assert_int_equal(admit(&n, "beta", 5, NOW), SC_OK);
    assert_int_equal(on_disk(&n, 5), OPEN);
    close_node(&n);
}

static int refuse_write(struct sc_io *io, const char *from, const char *to)
{
    (void)io, (void)from, (void)to;
    return -ENOSPC;
}

/* What cannot be written down is not admitted, and costs no share: it is when it can. */
static void no_word_no_batch(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    counting.rename = refuse_write;
    for (uint64_t i = 0; i < 2; i++)
        assert_int_equal(admit(&n, "beta", 5, NOW), SC_FULL);
    assert_int_equal(on_disk(&n, 5), ABSENT);
    counting.rename = count_write;
    assert_int_equal(admit(&n, "beta", 5, NOW), SC_OK);
    assert_int_equal(on_disk(&n, 5), OPEN);
    close_node(&n);
}

/* At its limit a proxy's new streams wait for the next minute; those that are known do not, and those whose words wait do not keep
 * others out. */
static void new_streams_have_a_limit(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    for (uint64_t i = 0; i < SC_STREAMS_NEW + 20; i++)
        assert_int_equal(admit(&n, "beta", 100 + i, NOW + i), i < SC_STREAMS_NEW ? SC_OK : SC_LIMIT);
    assert_int_equal(count_of(&n, 100, 200, OPEN), SC_STREAMS_NEW);
    assert_int_equal(admit(&n, "beta", 100, NOW + 200), SC_OK);
    assert_int_equal(admit(&n, "alpha", 7, NOW + 200), SC_OK);
    for (uint64_t i = 0; i < SC_WORDS_EACH; i++)
        assert_int_equal(tell(&n, "beta", 100 + i, false, false, NOW + 200), SC_REFUSAL_NONE);
    assert_int_equal(admit(&n, "beta", 120, NOW + 200), SC_OK);
    assert_int_equal(admit(&n, "beta", 100 + SC_STREAMS_NEW, NOW + 60001), SC_OK);
    assert_int_equal(on_disk(&n, 100 + SC_STREAMS_NEW), OPEN);
    close_node(&n);
}

/* ---- tallies come first ---- */

static void tell_tally(struct node *n, const char *proxy, uint64_t stream, uint64_t batches)
{
    const struct sc_link_tally tally = {.stream = stream,
                                        .window_ms = WINDOW,
                                        .window_s = 60,
                                        .lane = {.lane = 7, .accepted = {.batches = {batches}}}};
    assert_int_equal(sc_tally_keeper_take(&n->tallies, proxy, &tally, NOW), SC_REFUSAL_NONE);
}

/* A stream is closed, and others are, when the tallies of its proxy are on the disk: it need not say so again. Another's do not
 * matter. */
static void nothing_is_closed_before_its_tallies(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    leave(&n, "beta", 1000, 3);
    tell_tally(&n, "beta", 5, 9);
    assert_int_equal(tell(&n, "beta", 5, true, true, NOW), SC_REFUSAL_NONE);
    assert_int_equal(tell(&n, "gamma", 6, true, false, NOW), SC_REFUSAL_NONE);
    assert_int_equal(settle(&n, NOW), 0);
    assert_int_equal(on_disk(&n, 5), OPEN);
    assert_int_equal(on_disk(&n, 6), CLOSED);
    assert_int_equal(settle(&n, NOW + 1000), 0); /* heard of once more */
    assert_int_equal(count_of(&n, 1000, 3, OPEN), 3);
    assert_true(sc_tally_keeper_write(&n.tallies, NOW + 1000, 0));
    tell_tally(&n, "gamma", 6, 9);
    assert_int_equal(settle(&n, NOW + 1001), 0);
    assert_int_equal(on_disk(&n, 5), CLOSED);
    assert_int_equal(count_of(&n, 1000, 3, CLOSED), 3);
    tell_tally(&n, "beta", 5, 10);
    assert_int_equal(tell(&n, "beta", 5, true, true, NOW + 2000), SC_REFUSAL_NONE);
    assert_int_equal(settle(&n, NOW + 2000), 0);
    assert_int_equal(on_disk(&n, 5), CLOSED); /* it stays so */
    close_node(&n);
}

UNIT(test_stream_keeper)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_again_is_not_written),
        cmocka_unit_test(being_heard_of_is_cheap),
        cmocka_unit_test(others_are_closed_once),
        cmocka_unit_test(one_is_opened_meanwhile),
        cmocka_unit_test(tellers_take_turns),
        cmocka_unit_test(a_proxy_has_a_share),
        cmocka_unit_test(a_stream_is_there_before_its_batches),
        cmocka_unit_test(no_word_no_batch),
        cmocka_unit_test(new_streams_have_a_limit),
        cmocka_unit_test(nothing_is_closed_before_its_tallies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
