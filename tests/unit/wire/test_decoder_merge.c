// SPDX-License-Identifier: BSD-3-Clause
/* The template state of another collector: it fills gaps at once, and what an exporter says here itself stays. */
#include "decoder_kit.h"

#include <stdio.h>
#include <xxhash.h>

#define HOUR UINT64_C(3600000)

/* At `at` ms after KIT_RECEIVED: a template 256 of `fields` fields of 2 bytes, and a sampling rate when there is one. */
static void define(struct kit *k, uint16_t port, uint64_t at, unsigned fields, uint32_t rate)
{
    k->source.port = port;
    k->source.receive_ms = KIT_RECEIVED + at;
    begin_v9_at(k, 1000000, KIT_SECONDS, 10, 7);
    begin_set(k, 0);
    put16(k, 256);
    put16(k, (uint16_t)fields);
    for (unsigned i = 0; i < fields; i++) {
        put16(k, (uint16_t)(i == 0 ? 7 : 11)); /* ports */
        put16(k, 2);
    }
    end_set(k);
    if (rate != 0) {
        put_options_template(k, 300, 1, 2, 1, 4, 34, 4);
        begin_set(k, 300);
        put32(k, 0);
        put32(k, rate);
        end_set(k);
    }
    assert_int_equal(deliver(k), SC_OK);
}

/* Eight bytes of data, without a template; the flows that they give. */
static uint32_t data(struct kit *k, uint16_t port, uint64_t at, uint32_t sequence)
{
    k->source.port = port;
    k->source.receive_ms = KIT_RECEIVED + at;
    begin_v9_at(k, 1000000, KIT_SECONDS, sequence, 7);
    begin_set(k, 256);
    put64(k, 0x0050005100520053);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
    return k->outcome.flows;
}

/* What the decoder would tell others now: of all sessions, as if it had told nothing yet. */
static struct sc_buf own_of(struct kit *k)
{
    struct sc_buf all = {0}, out = {0};
    struct sc_record_head head;
    const uint8_t *record;
    uint32_t length;
    assert_int_equal(sc_decoder_save(k->decoder, &all, &k->err), SC_OK);
    struct sc_cursor in = {.data = all.data, .len = all.len};
    while (sc_record_next(&in, &record, &length)) {
        assert_int_equal(sc_record_head(record, length, &head), SC_OK);
        if (!head.hearsay)
            sc_record_append(&out, record, length);
    }
    sc_buf_free(&all);
    return out;
}

static enum sc_status merge(struct kit *k, const struct sc_buf *list, uint64_t clock_ms, uint64_t now_ms)
{
    return sc_decoder_merge_records(k->decoder, list->data, list->len, clock_ms, now_ms, &k->err);
}

/* What `from` knows, told to `to` when `at` ms have passed on both clocks; that of `from` is `ahead` ms ahead. */
static void tell_later(struct kit *from, struct kit *to, uint64_t at, uint64_t ahead)
{
    struct sc_buf state = own_of(from);
    assert_int_equal(merge(to, &state, KIT_RECEIVED + at + ahead, KIT_RECEIVED + at), SC_OK);
    sc_buf_free(&state);
}

/* What is news to others, as it goes over the link; the records in it. */
static uint32_t tell_news(struct kit *from, struct kit *to, uint64_t at)
{
    struct sc_buf list = {0}, own = {0};
    struct sc_record_head head;
    const uint8_t *record;
    uint32_t length, count = 0;
    sc_decoder_changes(from->decoder, SIZE_MAX, &list);
    struct sc_cursor in = {.data = list.data, .len = list.len};
    while (sc_record_next(&in, &record, &length)) {
        assert_int_equal(sc_record_head(record, length, &head), SC_OK);
        count += !head.hearsay;
        if (!head.hearsay)
            sc_record_append(&own, record, length);
    }
    assert_int_equal(merge(to, &own, KIT_RECEIVED + at, KIT_RECEIVED + at), SC_OK);
    sc_buf_free(&list);
    sc_buf_free(&own);
    return count;
}

static void tell(struct kit *from, struct kit *to, uint64_t at)
{
    tell_later(from, to, at, 0);
}

static void a_standby_decodes_at_once(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 50);
    tell(&a, &b, 100);
    assert_int_equal(data(&b, 1000, 200, 5000), 2);
    assert_int_equal(flow_own(&b, 0, SC_IE_SAMPLING_RATE), 50);
    assert_int_equal(stats_of(&b, 9, 7).lost, 0);
    assert_int_equal(data(&b, 1001, 200, 5000), 0); /* another exporter's are not its own */
    kit_close(&a);
    kit_close(&b);
}

/* The data came before the state: it waits, and is decoded with the next message. */
static void what_waited_is_recovered(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 0);
    assert_int_equal(data(&b, 1000, 50, 11), 0);
    assert_int_equal(b.outcome.no_template_sets, 1);
    tell(&a, &b, 100);
    assert_int_equal(data(&b, 1000, 200, 12), 4);
    assert_int_equal(b.outcome.recovered_sets, 1);
    assert_int_equal(data(&b, 1000, 300, 13), 2);
    assert_int_equal(stats_of(&b, 9, 7).lost, 0);
    kit_close(&a);
    kit_close(&b);
}

static void what_is_heard_here_stays(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 60000, 2, 50);
    define(&b, 1000, 0, 1, 70);
    data(&b, 1000, 59000, 11); /* not older than the other's by more than the way takes */
    tell(&a, &b, 60100);
    assert_int_equal(data(&b, 1000, 60200, 12), 4); /* of one field */
    assert_int_equal(flow_own(&b, b.sink.flows->rows - 1, SC_IE_SAMPLING_RATE), 70);
    define(&b, 1000, 60300, 4, 0);
    tell(&a, &b, 60400);
    assert_int_equal(data(&b, 1000, 60500, 14), 1);
    kit_close(&a);
    kit_close(&b);
}

/* There and back: the exporter has another template now, and what the other collector received is not lost. */
static void what_was_said_to_another_later_wins(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 50);
    data(&a, 1000, 1000, 11);
    tell(&a, &b, 1100);
    data(&b, 1000, 10000, 12);
    define(&b, 1000, 20000, 1, 60);
    tell(&b, &a, 20100);
    assert_int_equal(data(&a, 1000, 30000, 900), 4);
    assert_int_equal(flow_own(&a, a.sink.flows->rows - 1, SC_IE_SAMPLING_RATE), 60);
    assert_int_equal(stats_of(&a, 9, 7).lost, 0);
    assert_int_equal(data(&a, 1000, 30100, 902), 4); /* from here on it counts */
    assert_int_equal(stats_of(&a, 9, 7).lost, 1);
    kit_close(&a);
    kit_close(&b);
}

/* The other one needed no template anew: its word that it heard the exporter is enough. */
static void what_another_received_is_not_lost(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 0);
    data(&a, 1000, 1000, 11);
    tell(&a, &b, 1100);
    data(&b, 1000, 10000, 12);
    data(&b, 1000, 20000, 900);
    tell(&b, &a, 20100);
    data(&a, 1000, 30000, 901);
    assert_int_equal(stats_of(&a, 9, 7).lost, 0);
    tell(&b, &a, 30100); /* what b heard is older now */
    data(&a, 1000, 30200, 905);
    assert_int_equal(stats_of(&a, 9, 7).lost, 3);
    kit_close(&a);
    kit_close(&b);
}

static void templates_not_known_are_added(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 50);
    b.source.port = 1000;
    b.source.receive_ms = KIT_RECEIVED + 50000;
    begin_v9_at(&b, 1000000, KIT_SECONDS, 10, 7);
    put_template(&b, 257, 1, 7, 2);
    begin_set(&b, 257);
    put32(&b, 1);
    end_set(&b);
    assert_int_equal(deliver(&b), SC_OK);
    assert_int_equal(b.outcome.flows, 2);
    tell(&a, &b, 50100);
    assert_int_equal(data(&b, 1000, 50200, 11), 2);
    assert_int_equal(flow_own(&b, 2, SC_IE_SAMPLING_RATE), 50);
    assert_int_equal(stats_of(&b, 9, 7).templates, 3);
    kit_close(&a);
    kit_close(&b);
}

/* Clocks an hour apart, either way: neither outlived nor for ever young. */
static void clocks_need_not_agree(void **state)
{
    (void)state;
    static const uint64_t ahead[] = {HOUR, 0 - HOUR};
    for (int i = 0; i < 2; i++) {
        struct kit a, b;
        kit_open(&a);
        kit_open(&b);
        define(&a, 1000, ahead[i], 2, 0); /* by a's clock */
        tell_later(&a, &b, 100, ahead[i]);
        assert_int_equal(data(&b, 1000, 200, 11), 2);
        define(&b, 1000, 5000, 1, 0);
        tell_later(&a, &b, 5100, ahead[i]);
        assert_int_equal(data(&b, 1000, 5200, 12), 4);
        sc_decoder_expire(b.decoder, KIT_RECEIVED + 5000 + 1800001);
        assert_int_equal(data(&b, 1000, 5000 + 1800002, 13), 0);
        kit_close(&a);
        kit_close(&b);
    }
}

static void what_was_outlived_is_not_taken(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 0);
    tell(&a, &b, 1800001);
    assert_int_equal(data(&b, 1000, 1800002, 11), 0);
    kit_close(&a);
    kit_close(&b);
}

/* Else two standbys would tell each other for ever. */
static void hearsay_is_not_passed_on(void **state)
{
    (void)state;
    struct kit a, b, empty;
    kit_open(&a);
    kit_open(&b);
    kit_open(&empty);
    define(&a, 1000, 0, 2, 0);
    tell(&a, &b, 100);
    struct sc_buf nothing = own_of(&empty), told = own_of(&b), all = {0};
    assert_int_equal(told.len, nothing.len);
    assert_int_equal(tell_news(&b, &empty, 100), 0);
    assert_int_equal(sc_decoder_save(b.decoder, &all, &b.err), SC_OK);
    assert_true(all.len > told.len); /* but kept over a restart */
    data(&b, 1000, 200, 11);
    sc_buf_free(&told);
    told = own_of(&b);
    assert_true(told.len > nothing.len);
    sc_buf_free(&nothing);
    sc_buf_free(&told);
    sc_buf_free(&all);
    kit_close(&a);
    kit_close(&b);
    kit_close(&empty);
}

static void telling_twice_changes_nothing(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 50);
    define(&a, 1001, 0, 3, 0);
    struct sc_buf first = {0}, second = {0};
    tell(&a, &b, 100);
    assert_int_equal(sc_decoder_save(b.decoder, &first, &b.err), SC_OK);
    tell(&a, &b, 100);
    assert_int_equal(sc_decoder_save(b.decoder, &second, &b.err), SC_OK);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    sc_buf_free(&first);
    sc_buf_free(&second);
    kit_close(&a);
    kit_close(&b);
}

/* What another collector tells of many never pushes out who sends flows here. */
static void sessions_heard_here_keep_their_places(void **state)
{
    (void)state;
    struct kit a, b;
    struct sc_budget budget = {.limit = 4 * 12000};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.budget = &budget;
    kit_open(&a);
    kit_open_with(&b, &limits);
    b.source.exporter = sc_addr_v4(0xc0000299);
    define(&b, 1, 0, 2, 0);
    assert_int_equal(data(&b, 1, 100, 11), 2);
    for (uint32_t host = 0; host < 100; host++) {
        a.source.exporter = sc_addr_v4(0xc0000300 + host);
        define(&a, 1000, 0, 2, 0);
    }
    for (int i = 0; i < 2; i++)
        tell(&a, &b, 100);
    assert_true(sc_budget_used(&budget, true) <= 12000);
    assert_int_equal(data(&b, 1, 200, 11), 2);
    b.source.exporter = sc_addr_v4(0xc0000300 + 99);
    assert_int_equal(data(&b, 1000, 200, 11), 2); /* the newest of the others */
    kit_close(&a);
    kit_close(&b);
    assert_int_equal(sc_budget_used(&budget, false), 0);
}

static void news_alone_are_told(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    assert_int_equal(tell_news(&a, &b, 0), 0);
    define(&a, 1000, 0, 2, 0);
    assert_int_equal(tell_news(&a, &b, 100), 1);
    define(&a, 1000, 1000, 2, 0); /* as before */
    data(&a, 1000, 2000, 12);
    assert_int_equal(tell_news(&a, &b, 2000), 0);
    define(&a, 1000, 3000, 3, 0);
    assert_int_equal(tell_news(&a, &b, 3000), 1);
    assert_int_equal(tell_news(&b, &a, 3000), 0);
    data(&b, 1000, 3100, 13);
    assert_int_equal(tell_news(&b, &a, 3200), 1); /* it is heard here now */
    data(&b, 1000, 3300, 14);
    assert_int_equal(tell_news(&b, &a, 3400), 0);
    kit_close(&a);
    kit_close(&b);
}

/* There and back many times, with nothing but changes on the way: no gap of sequence numbers is taken for a loss. */
static void each_move_is_told(void **state)
{
    (void)state;
    struct kit a, b;
    uint32_t sequence = 11;
    kit_open(&a);
    kit_open(&b);
    define(&a, 1000, 0, 2, 0);
    for (uint64_t move = 0; move < 6; move++) {
        struct kit *here = move % 2 == 0 ? &a : &b, *there = move % 2 == 0 ? &b : &a;
        uint64_t at = 10000 * move;
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(data(here, 1000, at + 3000 + 1000 * i, sequence++), 2);
        tell_news(here, there, at + 8000);
        assert_int_equal(stats_of(here, 9, 7).lost, 0);
    }
    assert_int_equal(stats_of(&b, 9, 7).lost, 0);
    kit_close(&a);
    kit_close(&b);
}

static void flow_v5(struct kit *k, uint64_t at, uint32_t sequence)
{
    k->source.receive_ms = KIT_RECEIVED + at;
    begin_v5(k, 1, 100000, sequence);
    put_zeros(k, 48);
    assert_int_equal(deliver(k), SC_OK);
    assert_int_equal(k->outcome.flows, 1);
}

/* NetFlow v5 has no templates, but sequence numbers. */
static void without_templates_too(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    begin_v5(&a, 0, 100000, 0);
    assert_int_equal(deliver(&a), SC_OK);
    assert_int_equal(tell_news(&a, &b, 0), 0); /* without flows it is nobody */
    flow_v5(&a, 0, 0);
    assert_int_equal(tell_news(&a, &b, 100), 1);
    flow_v5(&b, 10000, 1);
    flow_v5(&b, 10001, 2);
    assert_int_equal(tell_news(&b, &a, 10100), 1);
    flow_v5(&a, 20000, 3);
    flow_v5(&a, 20001, 5);
    assert_int_equal(stats_of(&a, 5, 0x102).lost, 1); /* the one that came to neither */
    kit_close(&a);
    kit_close(&b);
}

/* Templates belong to the address, accounts to the port. */
static void exporters_known_by_their_address(void **state)
{
    (void)state;
    struct kit a, b;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.template_scope = SC_TEMPLATE_SCOPE_ADDRESS;
    kit_open_with(&a, &limits);
    kit_open_with(&b, &limits);
    define(&a, 1000, 0, 2, 50);
    tell(&a, &b, 100);
    assert_int_equal(data(&b, 2000, 200, 77), 2);
    assert_int_equal(flow_own(&b, 0, SC_IE_SAMPLING_RATE), 50);
    define(&b, 3000, 5000, 1, 0);
    tell(&a, &b, 5100);
    assert_int_equal(data(&b, 2000, 5200, 78), 4);
    kit_close(&a);
    kit_close(&b);
}

/* A record that cannot be read is left out, the others are taken. */
static void damage_costs_one_session(void **state)
{
    (void)state;
    struct kit a, b;
    kit_open(&a);
    kit_open(&b);
    define(&a, 999, 0, 2, 0);
    define(&a, 1000, 0, 2, 50);
    struct sc_buf told = own_of(&a);
    told.data[4] = 99; /* a later version */
    assert_int_equal(merge(&b, &told, KIT_RECEIVED, KIT_RECEIVED), SC_UNSUPPORTED);
    assert_int_equal(data(&b, 999, 200, 11), 0);
    assert_int_equal(data(&b, 1000, 200, 11), 2);
    for (size_t i = 0; i < told.len; i++) {
        const struct sc_buf cut = {.data = told.data, .len = i};
        enum sc_status status = merge(&b, &cut, KIT_RECEIVED, KIT_RECEIVED);
        assert_true(status == SC_DAMAGED || i == 0 || i == 4 + sc_load_le32(told.data));
    }
    sc_buf_free(&told);
    kit_close(&a);
    kit_close(&b);
}

/* What a collector of the format before the records told: one that saved tests/data/v2.templates. */
static void a_whole_state_is_understood(void **state)
{
    (void)state;
    static uint8_t whole[4096];
    struct kit b;
    struct sc_buf told = {0};
    kit_open(&b);
    FILE *file = fopen(SC_SOURCE_DIR "/tests/data/v2.templates", "rb");
    assert_non_null(file);
    uint32_t size = (uint32_t)fread(whole, 1, sizeof(whole), file);
    fclose(file);
    sc_buf_append(&told, "SCTO\1\0\0\0", 8);
    sc_buf_append_le32(&told, size);
    sc_buf_append(&told, whole, size);
    sc_buf_append_le32(&told, 0); /* accounts */
    sc_buf_append_le64(&told, XXH3_64bits(told.data, told.len));
    for (size_t i = 0; i < told.len; i += 1 + i / 50) {
        told.data[i] ^= 0x10;
        enum sc_status status =
            sc_decoder_merge(b.decoder, told.data, told.len, KIT_RECEIVED, KIT_RECEIVED, &b.err);
        assert_true(status == SC_DAMAGED || status == SC_UNSUPPORTED);
        told.data[i] ^= 0x10;
        assert_int_equal(sc_decoder_merge(b.decoder, told.data, i, KIT_RECEIVED, KIT_RECEIVED, &b.err),
                         SC_DAMAGED);
    }
    assert_int_equal(sc_decoder_merge(b.decoder, told.data, told.len, KIT_RECEIVED, KIT_RECEIVED, &b.err),
                     SC_OK);
    b.source.port = 1001;
    begin_ipfix(&b, 0);
    begin_set(&b, 256);
    put64(&b, 7);
    put64(&b, 0);
    end_set(&b);
    assert_int_equal(deliver(&b), SC_OK);
    assert_int_equal(b.outcome.flows, 1);
    sc_buf_free(&told);
    kit_close(&b);
}

UNIT(test_decoder_merge)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_standby_decodes_at_once),
        cmocka_unit_test(what_waited_is_recovered),
        cmocka_unit_test(what_is_heard_here_stays),
        cmocka_unit_test(what_was_said_to_another_later_wins),
        cmocka_unit_test(what_another_received_is_not_lost),
        cmocka_unit_test(templates_not_known_are_added),
        cmocka_unit_test(clocks_need_not_agree),
        cmocka_unit_test(what_was_outlived_is_not_taken),
        cmocka_unit_test(hearsay_is_not_passed_on),
        cmocka_unit_test(telling_twice_changes_nothing),
        cmocka_unit_test(sessions_heard_here_keep_their_places),
        cmocka_unit_test(news_alone_are_told),
        cmocka_unit_test(each_move_is_told),
        cmocka_unit_test(without_templates_too),
        cmocka_unit_test(exporters_known_by_their_address),
        cmocka_unit_test(damage_costs_one_session),
        cmocka_unit_test(a_whole_state_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
