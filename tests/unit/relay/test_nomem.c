// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a node holds, looked at without memory: the n-th allocation fails, for every n until the look succeeds. What was not read then is
 * read with the next look: a batch that is forgotten would be pulled again.
 */
#include "nomem_kit.h"
#include "store_kit.h"

#include "relay/stock.h"

enum { LANE = 0x1a, ROWS = 20, BATCHES = 12, STREAM = 5 };

/* Of four windows, each second one sealed. */
static void fill(const char *path)
{
    const struct sc_store_options options = {.lane = LANE, .window_s = 300};
    for (uint32_t i = 0; i < 4; i++) {
        struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
        assert_non_null(w);
        for (uint32_t k = 0; k < BATCHES / 4; k++) {
            uint32_t number = i * BATCHES / 4 + k;
            struct sc_batch *batch =
                kit_batch((uint64_t)number * ROWS, ROWS, KIT_WINDOW + i * UINT64_C(300000));
            kit_span(batch, STREAM, number);
            batch->spans[0].lane = LANE;
            assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
            sc_batch_free(batch);
        }
        if (i % 2 == 0)
            assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
        assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    }
}

static uint64_t batches_of(const struct sc_stock *stock)
{
    uint64_t batches = 0;
    for (uint32_t i = 0; i < stock->digest_count; i++)
        batches += stock->digests[i].batches;
    return batches;
}

/* The first look, and one at a store of which some is known. */
static void what_was_not_read_is_read_again(void **state)
{
    (void)state;
    char *path = kit_folder();
    fill(path);
    for (uint32_t known = 0; known < 2; known++) {
        bool hit = true;
        for (long n = 0; hit; n++) {
            struct sc_stock stock = {.store = path};
            if (known)
                assert_int_equal(sc_stock_refresh(&stock, NULL), SC_OK);
            nomem_arm(n, false);
            enum sc_status status = sc_stock_refresh(&stock, NULL);
            hit = nomem_disarm();
            assert_true(status == SC_OK || hit);
            if (status == SC_OK && stock.unreadable == 0)
                assert_int_equal(batches_of(&stock), BATCHES);
            assert_int_equal(sc_stock_refresh(&stock, NULL), SC_OK);
            assert_int_equal(batches_of(&stock), BATCHES);
            assert_int_equal(stock.unreadable, 0);
            sc_stock_free(&stock);
        }
    }
    kit_remove(path);
}

static void a_row_group_is_given_the_next_time(void **state)
{
    (void)state;
    char *path = kit_folder();
    const struct sc_window window = {KIT_WINDOW, 300};
    bool hit = true;
    fill(path);
    for (long n = 0; hit; n++) {
        struct sc_stock stock = {.store = path};
        struct sc_batch_head head;
        struct sc_buf bytes = {0};
        assert_int_equal(sc_stock_refresh(&stock, NULL), SC_OK);
        nomem_arm(n, false);
        enum sc_status status = sc_stock_group(&stock, LANE, &window, STREAM, 1, &head, &bytes, NULL);
        hit = nomem_disarm();
        assert_int_equal(status == SC_OK, !hit);
        sc_buf_free(&bytes);
        assert_int_equal(sc_stock_group(&stock, LANE, &window, STREAM, 1, &head, &bytes, NULL), SC_OK);
        sc_buf_free(&bytes);
        sc_stock_free(&stock);
    }
    kit_remove(path);
}

static void intervals_are_as_they_were(void **state)
{
    (void)state;
    bool hit = true;
    const struct sc_link_holds others[] = {{1, 2, 3, 4, 5, 5}, {1, 2, 3, 4, 8, 8}};
    for (long n = 0; hit; n++) {
        struct sc_link_holds *list = calloc(1, sizeof(*list));
        uint32_t count = 1;
        assert_non_null(list);
        list[0] = (struct sc_link_holds){1, 2, 3, 4, 0, 9};
        nomem_arm(n, false);
        enum sc_status status = sc_holds_without(&list, &count, others, 2);
        hit = nomem_disarm();
        assert_int_equal(status, hit ? SC_NOMEM : SC_OK);
        assert_int_equal(sc_holds_batches(list, count), hit ? 10 : 8);
        free(list);
    }
}

UNIT(test_nomem)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_read_is_read_again),
        cmocka_unit_test(a_row_group_is_given_the_next_time),
        cmocka_unit_test(intervals_are_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
