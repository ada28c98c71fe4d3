// SPDX-License-Identifier: BSD-3-Clause
/* The roll beside a plain list: the last record of each session, in order, within its bound. */
#include "collect/roll.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 44u /* wire/record.c */

enum { REMOVED = 7, HEARSAY = 8, ESTABLISHED = 16 };

struct record {
    uint8_t bytes[HEAD_BYTES + 200];
    size_t length;
};

static struct record make(uint32_t exporter, uint8_t flags, uint64_t seen_ms, size_t length)
{
    struct record r = {.length = HEAD_BYTES + length};
    const struct sc_addr address = sc_addr_v4(exporter);
    r.bytes[0] = 1;
    r.bytes[1] = flags;
    memcpy(r.bytes + 8, address.b, sizeof(address.b));
    sc_store_le64(r.bytes + 24, seen_ms);
    return r;
}

static bool put(struct sc_roll *roll, const struct record *r)
{
    bool news;
    assert_int_equal(sc_roll_put(roll, r->bytes, r->length, ++roll->number, &news), SC_OK);
    return news;
}

static const struct sc_roll_entry *find(const struct sc_roll *roll, uint32_t exporter)
{
    const struct sc_addr address = sc_addr_v4(exporter);
    const struct sc_roll_entry *e = sc_roll_after(roll, 0);
    while (e != NULL && !sc_addr_equal(&e->head.exporter, &address))
        e = sc_roll_after(roll, e->number);
    return e;
}

static void the_last_of_each_session_stays(void **state)
{
    (void)state;
    enum { EXPORTERS = 300, STEPS = 20000 };
    static struct record last[EXPORTERS];
    static uint64_t numbers[EXPORTERS];
    struct sc_roll roll;
    uint32_t seed = 1, count = 0;
    sc_roll_init(&roll, SIZE_MAX);
    for (uint32_t step = 0; step < STEPS; step++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t exporter = (seed >> 8) % EXPORTERS;
        bool removed = (seed >> 24) % 8 == 0;
        struct record r = make(exporter, removed ? REMOVED : 0, step, removed ? 0 : 1 + (seed >> 16) % 100);
        bool news = put(&roll, &r);
        assert_int_equal(news, !removed);
        count += (numbers[exporter] == 0) && !removed;
        count -= (numbers[exporter] != 0) && removed;
        last[exporter] = r;
        numbers[exporter] = removed ? 0 : roll.number;
        assert_int_equal(roll.count, count);
    }
    uint64_t before = 0;
    for (const struct sc_roll_entry *e = sc_roll_after(&roll, 0); e != NULL;
         e = sc_roll_after(&roll, e->number)) {
        uint32_t exporter = sc_load_be32(e->head.exporter.b + 12);
        assert_true(e->number > before && e->number == numbers[exporter]);
        assert_int_equal(e->length, last[exporter].length);
        assert_memory_equal(e->record, last[exporter].bytes, e->length);
        before = e->number;
        count--;
    }
    assert_int_equal(count, 0);
    sc_roll_free(&roll);
    assert_null(sc_roll_after(&roll, 0));
}

static void the_same_is_no_news(void **state)
{
    (void)state;
    struct sc_roll roll;
    struct record r = make(1, 0, 100, 10);
    sc_roll_init(&roll, SIZE_MAX);
    assert_true(put(&roll, &r));
    assert_false(put(&roll, &r));
    assert_int_equal(find(&roll, 1)->number, 1);
    r.bytes[HEAD_BYTES]++;
    assert_true(put(&roll, &r));
    sc_roll_free(&roll);
}

/* What goes is what was known then: not what another receiver wrote meanwhile. */
static void older_news_replace_nothing(void **state)
{
    (void)state;
    struct sc_roll roll;
    struct record own = make(1, 0, 100, 10), gone = make(1, REMOVED, 99, 0);
    struct record hearsay = make(1, HEARSAY, 100, 20), later = make(1, HEARSAY, 101, 20);
    sc_roll_init(&roll, SIZE_MAX);
    put(&roll, &own);
    put(&roll, &gone);
    assert_non_null(find(&roll, 1));
    assert_false(put(&roll, &hearsay));
    assert_true(put(&roll, &later));
    assert_true(find(&roll, 1)->head.hearsay);
    gone = make(1, REMOVED, 101, 0);
    put(&roll, &gone);
    assert_null(find(&roll, 1));
    sc_roll_free(&roll);
}

/* Over the bound: those that came first, but the established ones last. */
static void established_exporters_stay(void **state)
{
    (void)state;
    enum { ROOM = 100, ESTABLISHED_ONES = 20 };
    struct sc_roll roll;
    struct record r = make(0, 0, 0, 100);
    sc_roll_init(&roll, SIZE_MAX);
    put(&roll, &r);
    size_t most = roll.bytes * ROOM;
    sc_roll_free(&roll);
    sc_roll_init(&roll, most);
    for (uint32_t i = 0; i < ESTABLISHED_ONES; i++) {
        r = make(i, ESTABLISHED, 0, 100);
        put(&roll, &r);
    }
    for (uint32_t i = 1000; i < 6000; i++) {
        r = make(i, 0, 0, 100);
        put(&roll, &r);
        assert_true(roll.bytes <= most);
    }
    assert_int_equal(roll.count, ROOM);
    assert_int_equal(roll.left_out, 5000 + ESTABLISHED_ONES - ROOM);
    for (uint32_t i = 0; i < ESTABLISHED_ONES; i++)
        assert_non_null(find(&roll, i));
    assert_non_null(find(&roll, 5999));
    assert_null(find(&roll, 5999 - ROOM + ESTABLISHED_ONES));
    for (uint32_t i = 10000; i < 10000 + 2 * ROOM; i++) { /* among themselves the first go */
        r = make(i, ESTABLISHED, 0, 100);
        put(&roll, &r);
    }
    assert_int_equal(roll.count, ROOM);
    assert_null(find(&roll, 0));
    assert_non_null(find(&roll, 10000 + ROOM));
    sc_roll_free(&roll);
}

UNIT(test_roll)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_each_session_stays),
        cmocka_unit_test(the_same_is_no_news),
        cmocka_unit_test(older_news_replace_nothing),
        cmocka_unit_test(established_exporters_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
