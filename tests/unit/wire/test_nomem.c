// SPDX-License-Identifier: BSD-3-Clause
/*
 * The Nth allocation fails, for every N until a run needs no more: no crash, no leak (under a sanitizer), a
 * message is appended whole or not at all, and the decoder goes on afterwards.
 */
#include "decoder_kit.h"
#include "nomem_kit.h"

/* As deliver() of the kit, but only the decoder's own allocations are counted. */
static enum sc_status deliver_failing(struct kit *k, long nth)
{
    uint32_t flows = k->sink.flows->rows, options = k->sink.options->rows;
    uint8_t *p = k->message.data;
    if (sc_load_be16(p) == 10)
        sc_store_be16(p + 2, (uint16_t)k->message.len);
    nomem_arm(nth - 1, false);
    enum sc_status status =
        sc_decoder_message(k->decoder, &k->source, p, k->message.len, &k->sink, &k->outcome, &k->err);
    nomem_disarm();
    assert_int_equal(k->sink.flows->rows, flows + k->outcome.flows);
    assert_int_equal(k->sink.options->rows, options + k->outcome.options);
    assert_true(status == SC_OK || status == SC_NOMEM || status == SC_LIMIT);
    if (status == SC_NOMEM)
        assert_int_equal(k->outcome.flows, 0);
    return status;
}

/* Enough of them that the table grows. */
static void put_names(struct kit *k, bool ipfix)
{
    put_options_template(k, 301, 1, 4, ipfix ? 143 : 1, 4, 10, 4, 82, 4, 130, 4);
    begin_set(k, 301);
    for (uint32_t i = 2; i < 16; i++) {
        put32(k, 1);
        put32(k, i);
        put_bytes(k, "eth0", 4);
        put32(k, 0xc6336401);
    }
    end_set(k);
}

static void put_everything(struct kit *k, bool ipfix, uint32_t sequence)
{
    if (ipfix)
        begin_ipfix(k, sequence);
    else
        begin_v9(k, sequence);
    begin_set(k, 270); /* waits: no such template */
    put_zeros(k, 8);
    end_set(k);
    put_options_template(k, 300, 1, 3, ipfix ? 143 : 1, 4, 48, 1, 50, 4);
    begin_set(k, 300);
    put32(k, 1);
    put8(k, (uint8_t)sequence);
    put32(k, 100);
    end_set(k);
    put_names(k, ipfix);
    put_template(k, 256, 10, 8, 4, 27, 16, 28, 16, 94, 65535, 1, 3, 22, 4, 21, 4, 48, 1, 1, 65535, 10, 4);
    begin_set(k, 256);
    for (uint32_t i = 0; i < 3; i++) {
        put32(k, 0x0a000001);
        put_v6(k, i);
        put_zeros(k, 10);
        put16(k, 0xffff);
        put32(k, 0x0a000001 + i); /* a mapped address */
        put_bytes(k, "\3abc", 4);
        put_zeros(k, 3);
        put32(k, 1000);
        put32(k, 2000 + i);
        put8(k, (uint8_t)i);
        put_bytes(k, "\2\1\1", 3);
        put32(k, i + 1); /* the first has no name */
    }
    end_set(k);
}

static void assert_lives(struct kit *k)
{
    begin_v5(k, 1, 1000, 0);
    put_zeros(k, 48);
    assert_int_equal(deliver(k), SC_OK);
    assert_int_equal(sc_batch_finish(k->sink.flows), SC_OK);
    put_everything(k, true, 50);
    assert_int_equal(deliver(k), SC_OK);
    assert_true(k->outcome.flows >= 3);
}

static void messages(void **state)
{
    (void)state;
    for (int ipfix = 0; ipfix < 2; ipfix++) {
        uint32_t failed = 0;
        for (long nth = 1; nth < 300; nth++) {
            struct kit k;
            kit_open(&k);
            put_everything(&k, ipfix, 1);
            failed += deliver_failing(&k, nth) == SC_NOMEM;
            assert_lives(&k);
            kit_close(&k);
        }
        assert_true(failed > 50 && failed < 250); /* beyond the last allocation nothing fails */
    }
}

static void recovered_sets(void **state)
{
    (void)state;
    for (long nth = 1; nth < 150; nth++) {
        struct kit k;
        kit_open(&k);
        put_everything(&k, true, 1);
        assert_int_equal(deliver(&k), SC_OK);
        begin_ipfix(&k, 5);
        put_template(&k, 270, 2, 22, 4, 2, 4);
        deliver_failing(&k, nth);
        assert_lives(&k);
        kit_close(&k);
    }
}

static void creation(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_decoder *decoder = NULL;
    long nth = 1;
    for (; nth < 50 && decoder == NULL; nth++) {
        struct sc_error err;
        nomem_arm(nth - 1, false);
        decoder = sc_decoder_create(&limits, &err);
        nomem_disarm();
        assert_true(decoder != NULL || err.status == SC_NOMEM);
    }
    assert_true(nth > 3);
    sc_decoder_free(decoder);
}

static enum sc_status load_all(struct kit *k, const struct sc_buf *saved)
{
    struct sc_cursor in = {.data = saved->data, .len = saved->len};
    const uint8_t *record;
    uint32_t length;
    enum sc_status status = SC_OK;
    while (status == SC_OK && sc_record_next(&in, &record, &length))
        status = sc_decoder_load_record(k->decoder, record, length, KIT_RECEIVED, &k->err);
    return status;
}

static void save_and_load(void **state)
{
    (void)state;
    struct kit k;
    struct sc_buf saved = {0};
    kit_open(&k);
    put_everything(&k, true, 1);
    assert_int_equal(deliver(&k), SC_OK);
    put_everything(&k, false, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(sc_decoder_save(k.decoder, &saved, &k.err), SC_OK);
    for (long nth = 1; nth < 60; nth++) {
        struct sc_buf out = {0};
        nomem_arm(nth - 1, false);
        enum sc_status status = sc_decoder_save(k.decoder, &out, &k.err);
        nomem_disarm();
        assert_true(status == SC_OK || (status == SC_NOMEM && out.len == 0));
        sc_buf_free(&out);
        struct kit again;
        kit_open(&again);
        nomem_arm(nth - 1, false);
        status = load_all(&again, &saved);
        nomem_disarm();
        assert_true(status == SC_OK || status == SC_NOMEM);
        assert_lives(&again);
        kit_close(&again);
    }
    sc_buf_free(&saved);
    kit_close(&k);
}

/* A change that there was no memory to record is recorded another time. */
static void changes_are_not_lost(void **state)
{
    (void)state;
    long failures = 0;
    for (long nth = 1; nth < 12; nth++) {
        struct kit k;
        struct sc_buf saved = {0}, out = {0}, rest = {0};
        kit_open(&k);
        put_everything(&k, true, 1);
        assert_int_equal(deliver(&k), SC_OK);
        put_everything(&k, false, 1);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(sc_decoder_save(k.decoder, &saved, &k.err), SC_OK);
        nomem_arm(nth - 1, false);
        sc_decoder_changes(k.decoder, SIZE_MAX, &out);
        nomem_disarm();
        failures += !sc_buf_ok(&out);
        sc_decoder_changes(k.decoder, SIZE_MAX, &rest);
        assert_true(sc_buf_ok(&rest));
        assert_int_equal(out.len + rest.len, saved.len);
        sc_buf_free(&saved);
        sc_buf_free(&out);
        sc_buf_free(&rest);
        kit_close(&k);
    }
    assert_true(failures > 1);
}

UNIT(test_nomem)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),      cmocka_unit_test(recovered_sets),       cmocka_unit_test(creation),
        cmocka_unit_test(save_and_load), cmocka_unit_test(changes_are_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
