// SPDX-License-Identifier: BSD-3-Clause
/* The accounts of exporters: rates over ten seconds, and accounts that go. */
#include "collect/exporters.h"

#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct sc_exporter_stats account(uint32_t host, uint64_t flows)
{
    return (struct sc_exporter_stats){
        .exporter = sc_addr_v4(host), .port = 7, .version = 10, .messages = 1, .flows = flows};
}

static void sample(struct sc_exporters *e, uint64_t at_ms, uint64_t flows)
{
    const struct sc_exporter_stats stats = account(1, flows);
    sc_exporters_begin(e, at_ms);
    assert_true(sc_exporters_add(e, &stats));
    sc_exporters_end(e);
}

static void the_rate_is_that_of_the_last_ten_seconds(void **state)
{
    (void)state;
    struct sc_exporters e = {0};
    for (uint64_t second = 0; second <= 30; second++)
        sample(&e, 5000 + second * 1000, second <= 20 ? second * 1000 : 20000);
    assert_int_equal(e.count, 1);
    assert_true(fabs(e.entries[0].view.flows_per_s) < 0.001); /* silent for ten seconds */
    sample(&e, 36000, 25000);
    assert_true(fabs(e.entries[0].view.flows_per_s - 500) < 0.001);
    assert_int_equal(e.entries[0].view.stats.flows, 25000);
    sc_exporters_free(&e);
}

static void a_young_account_is_measured_over_its_life(void **state)
{
    (void)state;
    struct sc_exporters e = {0};
    for (uint64_t second = 0; second < 15; second++) {
        sc_exporters_begin(&e, second * 1000);
        sc_exporters_end(&e);
    }
    sample(&e, 15000, 100);
    assert_true(fabs(e.entries[0].view.flows_per_s - 100) < 0.001);
    sample(&e, 16000, 700);
    assert_true(fabs(e.entries[0].view.flows_per_s - 350) < 0.001);
    sc_exporters_free(&e);
}

static void a_thousand_accounts_keep_apart_and_those_that_are_gone_go(void **state)
{
    (void)state;
    struct sc_exporters e = {0};
    for (uint32_t round = 1; round <= 3; round++) {
        sc_exporters_begin(&e, round * 1000);
        for (uint32_t host = 0; host < 1000; host++) {
            const struct sc_exporter_stats stats = account(host, (uint64_t)host * round);
            if (round < 3 || host % 2 == 0)
                assert_true(sc_exporters_add(&e, &stats));
        }
        sc_exporters_end(&e);
        assert_int_equal(e.count, round < 3 ? 1000 : 500);
    }
    for (uint32_t i = 0; i < e.count; i++) {
        uint32_t host = sc_addr_get_v4(&e.entries[i].view.stats.exporter);
        assert_int_equal(host % 2, 0);
        assert_int_equal(e.entries[i].view.stats.flows, 3 * host);
        assert_true(fabs(e.entries[i].view.flows_per_s - host) < 0.001);
    }
    sc_exporters_free(&e);
}

static void an_account_without_messages_is_left_out(void **state)
{
    (void)state;
    struct sc_exporters e = {0};
    struct sc_exporter_stats stats = account(1, 0);
    stats.messages = 0;
    sc_exporters_begin(&e, 1000);
    assert_true(sc_exporters_add(&e, &stats));
    sc_exporters_end(&e);
    assert_int_equal(e.count, 0);
    sc_exporters_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_is_that_of_the_last_ten_seconds),
        cmocka_unit_test(a_young_account_is_measured_over_its_life),
        cmocka_unit_test(a_thousand_accounts_keep_apart_and_those_that_are_gone_go),
        cmocka_unit_test(an_account_without_messages_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
