// SPDX-License-Identifier: BSD-3-Clause
/* What the status tells of exporters: the first by flows, and how many others there are. */
#include "collect/exporters.h"

#include "unit.h"

#include <stdlib.h>

static struct sc_exporter_stats account(uint32_t host, uint64_t flows)
{
    return (struct sc_exporter_stats){
        .exporter = sc_addr_v4(host), .port = 7, .version = 10, .messages = 1, .flows = flows};
}

static void give(struct sc_exporters *e, uint32_t host, uint64_t flows)
{
    const struct sc_exporter_stats stats = account(host, flows);
    sc_exporters_visit(e, &stats);
}

static void the_first_by_flows_are_kept_whatever_the_order(void **state)
{
    (void)state;
    const uint32_t many = 10 * SC_EXPORTERS_TOP;
    struct sc_exporters e = {0};
    for (int round = 0; round < 3; round++) {
        sc_exporters_visit(&e, NULL);
        for (uint32_t i = 0; i < many; i++)
            give(&e, i, 1 + (i * UINT64_C(7919) + (uint64_t)round) % many); /* each number of flows once */
        assert_int_equal(e.count, SC_EXPORTERS_TOP);
        assert_int_equal(e.sum.accounts, many);
        qsort(e.top, e.count, sizeof(*e.top), sc_exporters_compare);
        for (uint32_t i = 0; i < e.count; i++)
            assert_int_equal(e.top[i].flows, many - i);
    }
    sc_exporters_free(&e);
}

static void accounts_with_the_same_flows_keep_one_order(void **state)
{
    (void)state;
    struct sc_exporters e = {0};
    sc_exporters_visit(&e, NULL);
    for (uint32_t host = 2 * SC_EXPORTERS_TOP; host > 0; host--)
        give(&e, host, 5);
    qsort(e.top, e.count, sizeof(*e.top), sc_exporters_compare);
    for (uint32_t i = 0; i < e.count; i++)
        assert_int_equal(sc_addr_get_v4(&e.top[i].exporter), i + 1);
    sc_exporters_free(&e);
}

static void who_was_never_decoded_is_no_exporter(void **state)
{
    (void)state;
    struct sc_exporters e = {0};
    sc_exporters_visit(&e, NULL);
    struct sc_exporter_stats junk = account(1, 0);
    junk.messages = 40;
    junk.malformed = 30;
    junk.no_template_sets = 10;
    for (int i = 0; i < 3; i++)
        sc_exporters_visit(&e, &junk);
    struct sc_exporter_stats quiet = account(2, 0);
    quiet.templates = 1; /* its flows will come */
    sc_exporters_visit(&e, &quiet);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.sum.accounts, 1);
    assert_int_equal(e.sum.strangers, 3);
    assert_int_equal(e.sum.strangers_messages, 120);
    assert_int_equal(e.sum.strangers_malformed, 90);
    assert_int_equal(e.sum.strangers_no_template_sets, 30);
    sc_exporters_free(&e);
}

UNIT(test_exporters)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_by_flows_are_kept_whatever_the_order),
        cmocka_unit_test(accounts_with_the_same_flows_keep_one_order),
        cmocka_unit_test(who_was_never_decoded_is_no_exporter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
