// SPDX-License-Identifier: BSD-3-Clause
/* The hand-over of template state to receivers: what they have not merged yet stays on the board, which has a bound. */
#include "relay/handover.h"

#include "base/clock.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROXIES = 20, STATE = 600000 };

/* A state of each of some proxies, which makes no sense to a receiver: then it is done with. */
static void put_states(struct sc_board *board)
{
    uint8_t *bytes = calloc(1, STATE);
    for (uint32_t i = 0; i < PROXIES; i++) {
        struct sc_hearsay_head head = {.clock_ms = sc_clock_wall_ms(), .size = STATE};
        snprintf(head.proxy, sizeof(head.proxy), "proxy%u", i);
        assert_int_equal(sc_board_put(board, &head, bytes), SC_OK);
    }
    free(bytes);
}

static void what_is_not_merged_stays_on_the_board(void **state)
{
    (void)state;
    struct sc_error err;
    struct sc_queue *queue = sc_queue_create(1 << 20);
    const struct sc_receiver_options options = {
        .intake = {.limits = sc_decoder_default_limits(), .window_s = 300, .queue = queue}};
    struct sc_receiver *receiver = sc_receiver_create(&options, &err);
    struct sc_handover h = {.board = sc_board_create(), .proxy = "self"};
    put_states(h.board);
    for (int i = 0; i < 5; i++)
        sc_handover_take(&h, &receiver, 1);
    assert_true(sc_receiver_merging(receiver) >= SC_HANDOVER_MERGING);
    assert_true(sc_receiver_merging(receiver) < SC_HANDOVER_MERGING + STATE);
    assert_true(h.taken < PROXIES);
    assert_int_equal(sc_receiver_start(receiver, &err), SC_OK);
    uint64_t deadline = sc_clock_mono_ms() + 10000;
    while ((h.taken < PROXIES || sc_receiver_merging(receiver) != 0) && sc_clock_mono_ms() < deadline) {
        sc_handover_take(&h, &receiver, 1);
        usleep(10000);
    }
    assert_int_equal(h.taken, PROXIES);
    assert_int_equal(sc_receiver_merging(receiver), 0);
    sc_receiver_stop(receiver);
    sc_receiver_free(receiver);
    sc_board_free(h.board);
    sc_queue_free(queue);
}

UNIT(test_handover)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_merged_stays_on_the_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
