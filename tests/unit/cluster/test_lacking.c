// SPDX-License-Identifier: BSD-3-Clause
/* Who lacks what: random copies, whole and damaged, of a ring with one that drains and one that says nothing, against counting one by
 * one. */
#include "cluster/lacking.h"
#include "query_kit.h"

#include <string.h>

#define NODES   5u
#define WINDOWS 2u
#define STREAMS 2u
#define NUMBERS 40u
#define DRAINS  3u

static struct sc_member members[NODES] = {
    {.name = "a", .lane = 11, .subcollector = true},
    {.name = "b", .lane = 12, .subcollector = true},
    {.name = "c", .lane = 13, .subcollector = true},
    {.name = "d", .lane = 14, .subcollector = true, .state = SC_MEMBER_DRAINING},
    {.name = "e", .lane = 15, .subcollector = true}};

enum copy { NONE, WHOLE, DAMAGED };

struct world {
    uint64_t random;
    struct sc_cluster cluster;
    struct sc_holdings whole[NODES], damaged[NODES];
    struct sc_lacking_member told[NODES];
    enum copy copies[NODES][WINDOWS][STREAMS][NODES][NUMBERS]; /* of lanes of members */
};

static uint64_t window_ms(unsigned w)
{
    return KIT_WINDOW + (uint64_t)w * 300000;
}

static void put(struct world *w, unsigned node, unsigned window, unsigned stream, unsigned lane,
                uint32_t number)
{
    const struct sc_holding one = {window_ms(window), stream + 1, number, number, members[lane].lane, 0, 0};
    enum copy copy = w->copies[node][window][stream][lane][number];
    if (copy != NONE)
        assert_int_equal(sc_holdings_add(copy == WHOLE ? &w->whole[node] : &w->damaged[node], &one), SC_OK);
}

static void place(struct world *w, unsigned node)
{
    uint64_t often = 1 + kit_random(&w->random) % 8;
    for (unsigned i = 0; i < WINDOWS * STREAMS * NODES * NUMBERS; i++) {
        unsigned window = i % WINDOWS, stream = i / WINDOWS % STREAMS, lane = i / WINDOWS / STREAMS % NODES;
        uint32_t number = i / WINDOWS / STREAMS / NODES;
        uint64_t drawn = kit_random(&w->random) % 10;
        w->copies[node][window][stream][lane][number] = drawn < often ? WHOLE : drawn == 9 ? DAMAGED : NONE;
        put(w, node, window, stream, lane, number);
    }
    sc_holdings_settle(&w->whole[node]);
    sc_holdings_settle(&w->damaged[node]);
    w->told[node] = (struct sc_lacking_member){&w->whole[node], &w->damaged[node],
                                               kit_random(&w->random) % 3 == 0 ? window_ms(1) : 0};
}

static struct world *make(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->random = seed;
    w->cluster = (struct sc_cluster){
        .members = members, .count = NODES, .replication = 1 + (uint32_t)(seed % SC_CLUSTER_MAX_COPIES)};
    for (unsigned n = 0; n < NODES; n++)
        place(w, n);
    unsigned silent = (unsigned)(kit_random(&w->random) % (2 * NODES));
    if (silent < NODES) {
        w->told[silent] = (struct sc_lacking_member){0};
        memset(w->copies[silent], 0, sizeof(w->copies[silent]));
    }
    return w;
}

static void free_world(struct world *w)
{
    for (unsigned n = 0; n < NODES; n++) {
        sc_holdings_free(&w->whole[n]);
        sc_holdings_free(&w->damaged[n]);
    }
    free(w);
}

/* The first that take batches, from the home on. */
static bool is_holder(const struct world *w, unsigned lane, unsigned node)
{
    uint32_t found = 0;
    for (unsigned step = 0; step < NODES && found < w->cluster.replication; step++) {
        unsigned at = (lane + step) % NODES;
        found += at != DRAINS;
        if (at == node)
            return at != DRAINS;
    }
    return false;
}

static void count_one(const struct world *w, struct sc_lack *lack, unsigned window, unsigned stream,
                      unsigned lane, uint32_t number)
{
    uint32_t whole = 0, any = 0;
    enum copy own = w->copies[lack->member][window][stream][lane][number];
    for (unsigned n = 0; n < NODES; n++) {
        whole += w->copies[n][window][stream][lane][number] == WHOLE;
        any += w->copies[n][window][stream][lane][number] != NONE;
    }
    bool expired = own == NONE && window_ms(window) < w->told[lack->member].kept_from_ms;
    if (any == 0 || own == WHOLE || expired)
        return;
    lack->left = lack->absent + lack->damaged == 0 || whole < lack->left ? whole : lack->left;
    lack->absent += own == NONE;
    lack->damaged += own == DAMAGED;
}

static struct sc_lack count_all(const struct world *w, unsigned window, unsigned lane, unsigned node,
                                unsigned from_stream, unsigned to_stream)
{
    struct sc_lack lack = {.window_ms = window_ms(window), .lane = members[lane].lane, .member = node};
    for (unsigned s = from_stream; s < to_stream && is_holder(w, lane, node) && w->told[node].whole != NULL;
         s++) {
        for (uint32_t i = 0; i < NUMBERS; i++)
            count_one(w, &lack, window, s, lane, i);
    }
    return lack;
}

static bool same(const struct sc_lack *x, const struct sc_lack *y)
{
    return x->window_ms == y->window_ms && x->stream == y->stream && x->lane == y->lane &&
           x->member == y->member && x->absent == y->absent && x->damaged == y->damaged && x->left == y->left;
}

static uint32_t find(const struct sc_lack *list, uint32_t count, const struct sc_lack *want)
{
    for (uint32_t i = 0; i < count; i++) {
        if (same(&list[i], want))
            return i;
    }
    return UINT32_MAX;
}

/* Each that there is to be, once, and no other. */
static void compare(const struct world *w, const struct sc_lack *list, uint32_t count, bool summed)
{
    uint32_t wanted = 0;
    for (unsigned i = 0; i < WINDOWS * NODES * NODES; i++) {
        unsigned window = i % WINDOWS, lane = i / WINDOWS % NODES, node = i / WINDOWS / NODES;
        for (unsigned s = 0; s < (summed ? 1 : STREAMS); s++) {
            struct sc_lack want = count_all(w, window, lane, node, summed ? 0 : s, summed ? STREAMS : s + 1);
            want.stream = summed ? 0 : s + 1;
            if (want.absent + want.damaged == 0)
                continue;
            wanted++;
            assert_int_not_equal(find(list, count, &want), UINT32_MAX);
        }
    }
    assert_int_equal(count, wanted);
}

static void as_counted_one_by_one(void **state)
{
    (void)state;
    uint32_t all = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct world *w = make(seed);
        struct sc_lack *list;
        uint32_t count;
        assert_int_equal(sc_lacking_find(&w->cluster, w->told, &list, &count), SC_OK);
        compare(w, list, count, false);
        count = sc_lacking_sum(list, count);
        compare(w, list, count, true);
        for (uint32_t i = 1; i < count; i++)
            assert_true(list[i - 1].window_ms <= list[i].window_ms);
        all += count;
        free(list);
        free_world(w);
    }
    assert_true(all > 100);
}

static void nobody_told(void **state)
{
    (void)state;
    const struct sc_cluster cluster = {.members = members, .count = NODES, .replication = 2};
    const struct sc_lacking_member told[NODES] = {{0}};
    struct sc_lack *list;
    uint32_t count;
    assert_int_equal(sc_lacking_find(&cluster, told, &list, &count), SC_OK);
    assert_int_equal(count, 0);
    assert_int_equal(sc_lacking_sum(list, count), 0);
    free(list);
}

UNIT(test_lacking)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_counted_one_by_one),
                                       cmocka_unit_test(nobody_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
