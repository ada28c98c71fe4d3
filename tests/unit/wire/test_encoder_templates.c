// SPDX-License-Identifier: BSD-3-Clause
/* Templates: one per set of present elements, sent before their data, again over UDP, withdrawn over TCP,
 * bounded. */
#include "encoder_support.h"

struct seen {
    uint32_t templates; /* template records */
    uint32_t withdrawals;
    uint32_t data_sets;
    uint32_t messages_with_templates;
    uint16_t lowest_id, highest_id;
};

/* Walks the template records of one template set (no options, no enterprise elements). */
static void walk_templates(const uint8_t *p, const uint8_t *end, struct seen *seen)
{
    while (end - p >= 4) {
        uint16_t id = sc_load_be16(p), fields = sc_load_be16(p + 2);
        p += 4 + 4 * fields;
        assert_true(p <= end);
        if (fields == 0)
            seen->withdrawals++;
        else
            seen->templates++;
        if (seen->lowest_id == 0 || id < seen->lowest_id)
            seen->lowest_id = id;
        if (id > seen->highest_id)
            seen->highest_id = id;
    }
}

static struct seen walk(const struct messages *m)
{
    struct seen seen = {0};
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t length, before = seen.templates;
        const uint8_t *p = message_at(m, i, &length), *end = p + length;
        bool v9 = sc_load_be16(p) == 9;
        assert_true(length <= 1400);
        if (!v9)
            assert_int_equal(sc_load_be16(p + 2), length);
        for (p += v9 ? 20 : 16; p < end; p += sc_load_be16(p + 2)) {
            uint16_t size = sc_load_be16(p + 2);
            assert_true(size >= 4 && p + size <= end);
            if (v9)
                assert_int_equal(size % 4, 0);
            if (sc_load_be16(p) == (v9 ? 0 : 2))
                walk_templates(p + 4, p + size, &seen);
            else
                seen.data_sets += sc_load_be16(p) >= 256;
        }
        seen.messages_with_templates += seen.templates != before;
    }
    return seen;
}

static struct sc_encoder *encoder_with(struct sc_encoder_options *options, struct messages *m)
{
    struct sc_encoder *e = sc_encoder_create(options, take_message, m, NULL);
    assert_non_null(e);
    return e;
}

static void test_again_every_so_many_messages(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    struct sc_encoder_options options = sc_encoder_default_options();
    options.refresh_messages = 10;
    options.refresh_seconds = 0;
    table_open(&t);
    put_flows(&t, 2500);
    struct sc_encoder *e = encoder_with(&options, &m);
    encode_all(e, &t, EXPORT_MS);
    assert_true(m.count > 50);
    assert_int_equal(walk(&m).messages_with_templates, (m.count + 9) / 10);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

static void test_again_every_so_many_seconds(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    struct sc_encoder_options options = sc_encoder_default_options();
    options.refresh_messages = 0;
    options.refresh_seconds = 30;
    table_open(&t);
    put_flows(&t, 3);
    struct sc_encoder *e = encoder_with(&options, &m);
    for (unsigned second = 0; second < 100; second += 5)
        encode_all(e, &t, EXPORT_MS + second * 1000);
    assert_int_equal(walk(&m).messages_with_templates, 4); /* at 0, 30, 60, 90 */
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

static void test_reliable_sends_once_and_restart_anew(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    struct sc_encoder_options options = sc_encoder_default_options();
    options.reliable = true;
    options.refresh_messages = 1;
    options.refresh_seconds = 1;
    table_open(&t);
    put_flows(&t, 500);
    struct sc_encoder *e = encoder_with(&options, &m);
    encode_all(e, &t, EXPORT_MS);
    encode_all(e, &t, EXPORT_MS + 90000);
    assert_int_equal(walk(&m).templates, 1);
    sc_encoder_restart(e);
    uint32_t before = m.count;
    encode_all(e, &t, EXPORT_MS + 90000);
    assert_int_equal(walk(&m).templates, 2);
    uint32_t length;
    assert_int_equal(sc_load_be32(message_at(&m, before, &length) + 8), 0); /* the sequence begins again */
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

/* Row i has the element of each bit of i. */
static void put_patterns(struct table *t, uint32_t rows)
{
    static const uint16_t ids[] = {5, 10, 14, 16, 17, 61, 136, 89, 192, 194};
    for (uint32_t i = 0; i < rows; i++) {
        put_flow(t, i);
        for (unsigned k = 0; k < 10; k++)
            if (i >> k & 1)
                put_uint(t, SC_PEN_IANA, ids[k], 1, k);
        table_commit(t);
    }
    assert_int_equal(sc_batch_finish(t->batch), SC_OK);
}

static void test_one_per_pattern_of_nulls(void **state)
{
    (void)state;
    for (int protocol = SC_EXPORT_V9; protocol <= SC_EXPORT_IPFIX; protocol++) {
        struct messages m = {0};
        struct table t, back;
        table_open(&t);
        table_open(&back);
        put_patterns(&t, 600);
        struct sc_encoder_options options = sc_encoder_default_options();
        options.protocol = (enum sc_export_protocol)protocol;
        options.refresh_messages = 0;
        struct sc_encoder *e = encoder_with(&options, &m);
        encode_all(e, &t, EXPORT_MS);
        struct seen seen = walk(&m);
        assert_int_equal(seen.templates, 600);
        assert_int_equal(seen.lowest_id, 256);
        assert_int_equal(seen.highest_id, 256 + 599);
        decode_all(&m, &back, NULL);
        assert_same_table(&t, &back);
        sc_encoder_free(e);
        sc_buf_free(&m.bytes);
        table_close(&t);
        table_close(&back);
    }
}

static void test_bound_and_withdrawal(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t, back;
    struct sc_encoder_options options = sc_encoder_default_options();
    options.max_templates = 16;
    options.reliable = true;
    table_open(&t);
    table_open(&back);
    put_patterns(&t, 300);
    struct sc_encoder *e = encoder_with(&options, &m);
    encode_all(e, &t, EXPORT_MS);
    struct seen seen = walk(&m);
    assert_int_equal(seen.templates, 300);
    assert_int_equal(seen.withdrawals, 300 - 16);
    decode_all(&m, &back, NULL);
    assert_same_table(&t, &back);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
    table_close(&back);
}

static void test_known_template_is_found_again(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table plain, more;
    table_open(&plain);
    table_open(&more);
    put_flows(&plain, 5);
    put_patterns(&more, 2);
    struct sc_encoder *e = encoder_of(SC_EXPORT_V9, &m);
    for (int i = 0; i < 20; i++) { /* the columns change with each call */
        encode_all(e, &plain, EXPORT_MS);
        encode_all(e, &more, EXPORT_MS);
    }
    assert_int_equal(walk(&m).templates, 2);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&plain);
    table_close(&more);
}

/* A refresh with each message must still make progress where template and record do not fit together. */
static void test_template_and_record_larger_than_a_message(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t, back;
    struct sc_encoder_options options = sc_encoder_default_options();
    options.max_message = 512;
    options.refresh_messages = 1;
    uint8_t octets[300];
    memset(octets, 7, sizeof(octets));
    table_open(&t);
    table_open(&back);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint16_t id = 0; id < 60; id++)
            put_uint(&t, SC_PEN_CISCO, (uint16_t)(20000 + id), 1, id);
        put_bytes(&t, SC_PEN_IANA, 313, octets, sizeof(octets));
        table_commit(&t);
    }
    struct sc_encoder *e = encoder_with(&options, &m);
    struct sc_error err;
    assert_int_equal(sc_encoder_flows(e, table_columns(&t), t.batch->slots, 0, 3, EXPORT_MS, &err), SC_OK);
    struct sc_encoder_stats stats;
    sc_encoder_get_stats(e, &stats);
    assert_int_equal(stats.flows + stats.skipped + (sc_encoder_pending(e) != 0), 3);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
    table_close(&back);
}

UNIT(test_encoder_templates)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again_every_so_many_messages),
        cmocka_unit_test(test_again_every_so_many_seconds),
        cmocka_unit_test(test_reliable_sends_once_and_restart_anew),
        cmocka_unit_test(test_one_per_pattern_of_nulls),
        cmocka_unit_test(test_bound_and_withdrawal),
        cmocka_unit_test(test_known_template_is_found_again),
        cmocka_unit_test(test_template_and_record_larger_than_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
