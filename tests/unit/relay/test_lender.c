// SPDX-License-Identifier: BSD-3-Clause
/* The thread that tells what a node holds, and gives row groups: to connections without their waiting, and to who waits here. */
#include "store_kit.h"

#include "relay/lender.h"

#include <stdatomic.h>
#include <time.h>

enum { LANE = 0x1a, ROWS = 20, STREAM = 5, CONNECTION = 77 };

static atomic_uint answers;

static void on_answered(void *arg)
{
    (void)arg;
    atomic_fetch_add(&answers, 1);
}

static struct sc_lender *start(const char *store)
{
    struct sc_error err = {0};
    struct sc_lender *l = sc_lender_start(store, on_answered, NULL, &err);
    if (l == NULL)
        fail_msg("%s", err.message);
    atomic_store(&answers, 0);
    return l;
}

static struct sc_store_writer *open_writer(const char *path)
{
    const struct sc_store_options options = {.lane = LANE, .window_s = 300};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
    assert_non_null(w);
    return w;
}

static void append(struct sc_store_writer *w, uint32_t number)
{
    struct sc_batch *batch = kit_batch((uint64_t)number * ROWS, ROWS, KIT_WINDOW);
    kit_span(batch, STREAM, number);
    batch->spans[0].lane = LANE;
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    sc_batch_free(batch);
}

static const struct sc_link_ask for_digests = {.what = SC_ASK_DIGESTS, .end_ms = UINT64_MAX};

static struct sc_link_ask about(uint8_t what, uint64_t sequence)
{
    return (struct sc_link_ask){.what = what,
                                .lane = LANE,
                                .window_ms = KIT_WINDOW,
                                .window_s = 300,
                                .stream = STREAM,
                                .sequence = sequence};
}

static struct sc_loan *ask_here(struct sc_lender *l, const struct sc_link_ask *ask,
                                enum sc_link_outcome outcome)
{
    struct sc_loan *loan = sc_lender_ask_here(l, ask, 0);
    assert_non_null(loan);
    assert_int_equal(loan->outcome, outcome);
    assert_int_equal(loan->ask.what, ask->what);
    assert_int_equal(atomic_load(&answers), 0); /* that is for connections */
    return loan;
}

/* How many batches there are in all windows. */
static uint64_t batches_here(struct sc_lender *l)
{
    struct sc_loan *loan = ask_here(l, &for_digests, SC_GIVEN_ALL);
    uint64_t batches = loan->count == 0 ? 0 : loan->digests[0].batches;
    assert_true(loan->count <= 1);
    sc_loan_free(loan);
    return batches;
}

static enum sc_link_outcome outcome_of(struct sc_lender *l, const struct sc_link_ask *ask)
{
    struct sc_loan *loan = sc_lender_ask_here(l, ask, 0);
    assert_non_null(loan);
    uint8_t outcome = loan->outcome;
    assert_int_equal(loan->bytes != NULL, outcome == SC_GIVEN_ALL && ask->what == SC_ASK_GROUP);
    sc_loan_free(loan);
    return (enum sc_link_outcome)outcome;
}

/* Who asks here for digests gets them as they are now. */
static void digests_here_are_of_now(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_lender *l = start(path);
    struct sc_store_writer *w = open_writer(path);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(batches_here(l), i);
        append(w, i);
    }
    sc_lender_stop(l);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    kit_remove(path);
}

static void what_has_not_changed_is_not_told_again(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_lender *l = start(path);
    struct sc_store_writer *w = open_writer(path);
    append(w, 1);
    struct sc_loan *loan = ask_here(l, &for_digests, SC_GIVEN_ALL);
    struct sc_link_ask again = for_digests;
    again.hash = loan->hash;
    assert_int_equal(loan->count, 1);
    sc_loan_free(loan);
    loan = ask_here(l, &again, SC_GIVEN_SAME);
    assert_int_equal(loan->count, 0);
    assert_true(loan->hash == again.hash);
    sc_loan_free(loan);
    append(w, 2);
    loan = ask_here(l, &again, SC_GIVEN_ALL);
    assert_int_equal(loan->count, 1);
    assert_true(loan->hash != again.hash);
    sc_loan_free(loan);
    sc_lender_stop(l);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    kit_remove(path);
}

/* It was listed just now, under another name. */
static void a_file_that_was_sealed_meanwhile_is_found(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_lender *l = start(path);
    struct sc_store_writer *w = open_writer(path);
    const struct sc_link_ask group = about(SC_ASK_GROUP, 3), missing = about(SC_ASK_GROUP, 9);
    for (uint32_t i = 0; i < 6; i++)
        append(w, i);
    assert_int_equal(batches_here(l), 6);
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    struct sc_loan *loan = ask_here(l, &group, SC_GIVEN_ALL);
    assert_int_equal(loan->head.records, 6 * ROWS); /* the sealed one */
    assert_int_equal(loan->bytes->size, loan->head.size);
    sc_loan_free(loan);
    assert_int_equal(outcome_of(l, &missing), SC_GIVEN_NONE);
    append(w, 9);
    assert_int_equal(outcome_of(l, &missing), SC_GIVEN_ALL);
    sc_lender_stop(l);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    kit_remove(path);
}

/* A store that is not there, a window that is not, a question of a newer version. */
static void what_cannot_be_told(void **state)
{
    (void)state;
    char *path = kit_folder(), store[512];
    snprintf(store, sizeof(store), "%s/store", path);
    struct sc_lender *l = start(store);
    const struct sc_link_ask holds = about(SC_ASK_HOLDS, 0), group = about(SC_ASK_GROUP, 0),
                             newer = about(99, 0);
    assert_int_equal(outcome_of(l, &for_digests), SC_GIVEN_FAILED);
    assert_int_equal(outcome_of(l, &holds), SC_GIVEN_FAILED);
    assert_int_equal(outcome_of(l, &group), SC_GIVEN_FAILED);
    struct sc_store_writer *w = open_writer(store);
    struct sc_loan *loan = ask_here(l, &holds, SC_GIVEN_ALL);
    assert_int_equal(loan->count, 0);
    sc_loan_free(loan);
    assert_int_equal(outcome_of(l, &group), SC_GIVEN_NONE);
    assert_int_equal(outcome_of(l, &newer), SC_GIVEN_NONE);
    sc_lender_stop(l);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    kit_remove(path);
}

/* In the order in which they asked, each with its number; who asks here meanwhile gets its own. */
static void connections_get_their_answers_in_turn(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    char *path = kit_folder();
    struct sc_lender *l = start(path);
    struct sc_store_writer *w = open_writer(path);
    const struct sc_link_ask holds = about(SC_ASK_HOLDS, 0);
    append(w, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(sc_lender_ask(l, CONNECTION + i, &holds));
    struct sc_loan *here = sc_lender_ask_here(l, &holds, 0);
    assert_non_null(here);
    assert_int_equal(here->connection, SC_LENDER_HERE);
    sc_loan_free(here);
    for (uint32_t i = 0; i < COUNT; i++) { /* all were answered before */
        struct sc_loan *loan = sc_lender_take(l);
        assert_non_null(loan);
        assert_int_equal(loan->connection, CONNECTION + i);
        assert_int_equal(loan->outcome, SC_GIVEN_ALL);
        assert_int_equal(loan->count, 1);
        sc_loan_free(loan);
    }
    assert_null(sc_lender_take(l));
    assert_int_equal(atomic_load(&answers), COUNT);
    sc_lender_stop(l);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    kit_remove(path);
}

/* With questions that wait, and answers that nobody took. */
static void it_ends_whatever_waits(void **state)
{
    (void)state;
    char *path = kit_folder();
    const struct sc_link_ask holds = about(SC_ASK_HOLDS, 0);
    for (uint32_t count = 0; count < 200; count += 20) {
        struct sc_lender *l = start(path);
        for (uint32_t i = 0; i < count; i++)
            assert_true(sc_lender_ask(l, CONNECTION, &holds));
        sc_lender_stop(l);
    }
    kit_remove(path);
}

UNIT(test_lender)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_here_are_of_now),
        cmocka_unit_test(what_has_not_changed_is_not_told_again),
        cmocka_unit_test(a_file_that_was_sealed_meanwhile_is_found),
        cmocka_unit_test(what_cannot_be_told),
        cmocka_unit_test(connections_get_their_answers_in_turn),
        cmocka_unit_test(it_ends_whatever_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
