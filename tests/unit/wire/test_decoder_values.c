// SPDX-License-Identifier: BSD-3-Clause
/* Values of each abstract type, of reduced and of wrong length; elements that come twice or are unknown. */
#include "decoder_kit.h"

/* One record of one element in an IPFIX message. */
static void decode_one(struct kit *k, uint16_t id, uint16_t length, const void *bytes)
{
    kit_open(k);
    begin_ipfix(k, 0);
    put_template(k, 256, 1, id, length);
    begin_set(k, 256);
    put_bytes(k, bytes, length);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
    assert_int_equal(k->outcome.flows, 1);
}

/* RFC 7011 section 6.2: integers of 1 to 8 bytes; real exporters send counters of 3 and 5. */
static void unsigned_of_any_length(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x81, 2, 3, 4, 5, 6, 7, 8};
    static const uint16_t elements[] = {1, 2, 7, 4, 10, 85}; /* 64, 64, 16, 8, 32, 64 bits */
    for (size_t e = 0; e < sizeof(elements) / sizeof(elements[0]); e++) {
        for (uint16_t length = 1; length <= 8; length++) {
            struct kit k;
            decode_one(&k, elements[e], length, bytes);
            assert_int_equal(flow_u(&k, 0, elements[e]), sc_load_be(bytes, length));
            unsigned width = column(k.sink.flows, 0, elements[e], 0, SC_COLUMN_UINT)->width;
            assert_int_equal(width, length <= 2 ? length : length <= 4 ? 4 : 8);
            kit_close(&k);
        }
    }
}

static void signed_of_reduced_length(void **state)
{
    (void)state;
    struct kit k;
    decode_one(&k, 434, 3, "\xff\xff\xfe"); /* mibObjectValueInteger, signed32 */
    const struct sc_column *c = column(k.sink.flows, 0, 434, 0, SC_COLUMN_INT);
    assert_int_equal((int64_t)sc_column_u64(c, 0), -2);
    kit_close(&k);
    decode_one(&k, 434, 1, "\x7f");
    c = column(k.sink.flows, 0, 434, 0, SC_COLUMN_INT);
    assert_int_equal((int64_t)sc_column_u64(c, 0), 127);
    kit_close(&k);
}

static double float_at(struct kit *k, uint16_t id)
{
    uint64_t bits = sc_column_u64(column(k->sink.flows, 0, id, 0, SC_COLUMN_FLOAT), 0);
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

static void floats(void **state)
{
    (void)state;
    struct kit k;
    decode_one(&k, 311, 8, "\x3f\xd0\0\0\0\0\0\0"); /* samplingProbability 0.25 */
    assert_true(float_at(&k, 311) == 0.25);
    kit_close(&k);
    decode_one(&k, 311, 4, "\x3e\x80\0\0"); /* as float32 */
    assert_true(float_at(&k, 311) == 0.25);
    kit_close(&k);
    decode_one(&k, 311, 3, "\1\2\3");
    assert_bytes(k.sink.flows, 0, 0, 311, 0, "\1\2\3", 3);
    kit_close(&k);
}

static void booleans_are_as_on_the_wire(void **state)
{
    (void)state;
    for (uint8_t v = 0; v < 4; v++) {
        struct kit k;
        decode_one(&k, 276, 1, &v); /* dataRecordsReliability */
        assert_int_equal(flow_u(&k, 0, 276), v);
        kit_close(&k);
    }
}

static void mac_is_an_integer_of_48_bits(void **state)
{
    (void)state;
    static const uint16_t elements[] = {56, 80, 57, 81};
    for (size_t i = 0; i < 4; i++) {
        struct kit k;
        decode_one(&k, elements[i], 6, "\x00\x1b\x2c\x3d\x4e\x5f");
        assert_int_equal(flow_u(&k, 0, elements[i]), UINT64_C(0x001b2c3d4e5f));
        kit_close(&k);
        decode_one(&k, elements[i], 5, "\1\2\3\4\5");
        assert_bytes(k.sink.flows, 0, 0, elements[i], 0, "\1\2\3\4\5", 5);
        kit_close(&k);
    }
}

/* RFC 7011 section 6.1: seconds 32 bits, milliseconds 64, micro- and nanoseconds NTP. */
static void times_are_kept_as_exported(void **state)
{
    (void)state;
    struct kit k;
    decode_one(&k, 150, 4, "\x65\x53\xf1\x00");
    assert_int_equal(flow_u(&k, 0, 150), 0x6553f100);
    kit_close(&k);
    decode_one(&k, 152, 8, "\0\0\x01\x8b\xcf\xe5\x68\x00");
    assert_int_equal(flow_u(&k, 0, 152), UINT64_C(0x18bcfe56800));
    kit_close(&k);
    for (uint16_t id = 154; id <= 157; id++) {
        decode_one(&k, id, 8, "\xe9\x01\x02\x03\x80\0\0\1");
        assert_int_equal(flow_u(&k, 0, id), UINT64_C(0xe901020380000001));
        kit_close(&k);
    }
}

static void values_of_wrong_length_are_bytes(void **state)
{
    (void)state;
    static const struct {
        uint16_t id, length;
    } cases[] = {{8, 3},   {8, 16},  {12, 5}, {27, 4}, {27, 15}, {43, 2}, {150, 8}, {152, 4},
                 {154, 4}, {156, 7}, {1, 9},  {7, 16}, {160, 6}, {22, 9}, {276, 9}};
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i + 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit k;
        decode_one(&k, cases[i].id, cases[i].length, bytes);
        assert_bytes(k.sink.flows, 0, 0, cases[i].id, 0, bytes, cases[i].length);
        assert_false(flow_has(&k, 0, cases[i].id));
        kit_close(&k);
    }
}

static void sysuptime_of_more_than_32_bits_stays_raw(void **state)
{
    (void)state;
    struct kit k;
    decode_one(&k, 22, 8, "\0\0\0\1\0\0\0\2");
    assert_int_equal(flow_u(&k, 0, 22), UINT64_C(0x100000002));
    assert_false(flow_has_own(&k, 0, SC_IE_FLOW_START));
    kit_close(&k);
}

static void strings_keep_their_nuls(void **state)
{
    (void)state;
    struct kit k;
    decode_one(&k, 82, 8, "eth0\0\0\0\0");
    assert_bytes(k.sink.flows, 0, 0, 82, 0, "eth0\0\0\0\0", 8);
    kit_close(&k);
}

/* As in templates with MPLS labels: each is kept. */
static void elements_that_come_twice(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 5, 10, 2, 70, 3, 10, 4, 70, 3, 10, 2);
    begin_set(&k, 256);
    put16(&k, 1);
    put_bytes(&k, "\1\1\1", 3);
    put32(&k, 2);
    put_bytes(&k, "\2\2\2", 3);
    put16(&k, 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(sc_column_u64(column(k.sink.flows, 0, 10, i, SC_COLUMN_UINT), 0), i + 1);
    assert_bytes(k.sink.flows, 0, 0, 70, 0, "\1\1\1", 3);
    assert_bytes(k.sink.flows, 0, 0, 70, 1, "\2\2\2", 3);
    kit_close(&k);
}

/* Firewalls and NAT export records without octets: absent is null, not 0. */
static void absent_is_null(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 2, 4, 1, 1, 4);
    put_template(&k, 257, 2, 4, 1, 85, 8);
    put_template(&k, 258, 3, 4, 1, 231, 4, 232, 4);
    put_template(&k, 259, 2, 4, 1, 23, 4);
    for (uint16_t id = 256; id < 260; id++) {
        begin_set(&k, id);
        put8(&k, 6);
        put32(&k, 0);
        if (id == 257 || id == 258)
            put32(&k, 9);
        end_set(&k);
    }
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(sc_batch_finish(k.sink.flows), SC_OK);
    static const uint16_t counters[] = {1, 85, 231, 23};
    for (uint32_t row = 0; row < 4; row++) {
        for (uint32_t j = 0; j < 4; j++)
            assert_int_equal(flow_has(&k, row, counters[j]), row == j);
    }
    assert_int_equal(flow_u(&k, 0, 1), 0);
    kit_close(&k);
}

static void columns_widen(void **state)
{
    (void)state;
    static const uint16_t lengths[] = {1, 4, 2, 8, 3, 1};
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    for (uint16_t i = 0; i < 6; i++)
        put_template(&k, 256 + i, 1, 1, lengths[i]);
    for (uint16_t i = 0; i < 6; i++) {
        begin_set(&k, 256 + i);
        for (uint16_t j = 0; j < lengths[i]; j++)
            put8(&k, 0xf0 + i);
        end_set(&k);
    }
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t i = 0; i < 6; i++) {
        uint64_t expected = 0;
        for (uint16_t j = 0; j < lengths[i]; j++)
            expected = expected << 8 | (0xf0 + i);
        assert_int_equal(flow_u(&k, i, 1), expected);
    }
    kit_close(&k);
}

/* An integer of variable length: each value its own; none of it is lost. */
static void numbers_of_variable_length(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 2, 1, 65535, 4, 1);
    begin_set(&k, 256);
    put_bytes(&k, "\x01\x07\x06", 3);
    put_bytes(&k, "\x03\x01\x00\x00\x06", 5);
    put_bytes(&k, "\x00\x06", 2);
    put_bytes(&k, "\x09\1\2\3\4\5\6\7\x08\x09\x06", 11);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 4);
    assert_int_equal(flow_u(&k, 0, 1), 7);
    assert_int_equal(flow_u(&k, 1, 1), 65536);
    assert_false(flow_has(&k, 2, 1));
    assert_false(flow_has(&k, 3, 1));
    assert_bytes(k.sink.flows, 3, 0, 1, 0, "\1\2\3\4\5\6\7\x08\x09", 9);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(flow_u(&k, i, 4), 6);
    kit_close(&k);
}

static void unknown_elements_are_kept_and_bounded(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_unknown_columns = 10;
    struct kit k;
    kit_open_with(&k, &limits);
    begin_ipfix(&k, 0);
    begin_set(&k, 2);
    put16(&k, 256);
    put16(&k, 31);
    for (uint16_t i = 0; i < 30; i++) {
        put16(&k, 0x8000 | (1000 + i));
        put16(&k, 1);
        put32(&k, 64999);
    }
    put16(&k, 2);
    put16(&k, 4);
    end_set(&k);
    begin_set(&k, 256);
    for (uint8_t i = 0; i < 30; i++)
        put8(&k, i);
    put32(&k, 5);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint8_t i = 0; i < 10; i++)
        assert_bytes(k.sink.flows, 0, 64999, 1000 + i, 0, &i, 1);
    for (uint8_t i = 10; i < 30; i++)
        assert_null(column(k.sink.flows, 64999, 1000 + i, 0, SC_COLUMN_BYTES));
    assert_int_equal(flow_u(&k, 0, 2), 5);
    kit_close(&k);
}

/* A template that repeats one element cannot fill a batch with columns. */
static void repeated_elements_are_bounded(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    begin_set(&k, 2);
    put16(&k, 256);
    put16(&k, 1000);
    for (int i = 0; i < 1000; i++)
        put32(&k, 0x00040001);
    end_set(&k);
    begin_set(&k, 256);
    put_zeros(&k, 2000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 2);
    assert_true(k.sink.flows->used < 300);
    kit_close(&k);
}

/* ---- batches that are cut ---- */

struct cutter {
    struct sc_batch *flows[8];
    uint32_t count;
};

static bool no_grant(struct sc_decode_sink *sink, enum sc_record_kind kind, size_t bytes)
{
    (void)sink, (void)kind, (void)bytes;
    return false;
}

static enum sc_status cut(struct sc_decode_sink *sink, enum sc_record_kind kind)
{
    struct cutter *c = sink->arg;
    struct sc_batch *empty = sc_batch_create(kind);
    assert_int_equal(kind, SC_RECORDS_FLOWS);
    assert_true(c->count < 8);
    c->flows[c->count++] = sink->flows;
    sink->flows = empty;
    return SC_OK;
}

/* Three sets of more columns together than a batch may have: all records come, in their order, none twice. */
static void batches_are_cut_by_columns(void **state)
{
    (void)state;
    enum { FIELDS = 900 };
    struct kit k;
    struct cutter c = {0};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_unknown_columns = 4096;
    kit_open_with(&k, &limits);
    k.sink.grant = no_grant;
    k.sink.cut = cut;
    k.sink.arg = &c;
    k.sink.most_bytes[SC_RECORDS_FLOWS] = SIZE_MAX;
    for (uint16_t t = 0; t < 3; t++) {
        begin_ipfix(&k, 0);
        begin_set(&k, 2);
        put16(&k, 256 + t);
        put16(&k, FIELDS);
        for (uint16_t i = 0; i < FIELDS; i++) {
            put16(&k, 0x8001 + i);
            put16(&k, 1);
            put32(&k, 90000 + t);
        }
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
    }
    begin_ipfix(&k, 0);
    for (uint16_t t = 0; t < 3; t++) {
        begin_set(&k, 256 + t);
        put_zeros(&k, 2 * FIELDS);
        end_set(&k);
    }
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 6);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.flows[0]->rows, 4);
    assert_int_equal(k.sink.flows->rows, 2);
    assert_true(c.flows[0]->used <= SC_BOUND_COLUMNS);
    assert_null(sc_batch_find(c.flows[0], (struct sc_column_key){90002, 1, 0, SC_COLUMN_BYTES}));
    assert_non_null(sc_batch_find(k.sink.flows, (struct sc_column_key){90002, 1, 0, SC_COLUMN_BYTES}));
    sc_batch_free(c.flows[0]);
    kit_close(&k);
}

/* What a batch is said to weigh before it is finished is what it weighs then; one record more than fits begins the next. */
static void batches_are_cut_by_weight(void **state)
{
    (void)state;
    enum { BYTES = 100000, RECORDS = 8000 };
    struct kit k;
    struct cutter c = {0};
    kit_open(&k);
    k.sink.grant = no_grant;
    k.sink.cut = cut;
    k.sink.arg = &c;
    k.sink.most_bytes[SC_RECORDS_FLOWS] = BYTES;
    begin_ipfix(&k, 0);
    put_template(&k, 256, 1, 4, 1);
    assert_int_equal(deliver(&k), SC_OK);
    uint64_t rows = 0;
    for (int i = 0; i < 4; i++) {
        begin_ipfix(&k, 0);
        begin_set(&k, 256);
        put_zeros(&k, RECORDS / 16);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
    }
    for (uint32_t i = 0; i < c.count; i++) {
        size_t before = sc_batch_finished_bytes(c.flows[i]);
        assert_int_equal(sc_batch_finish(c.flows[i]), SC_OK);
        assert_int_equal(sc_batch_finished_bytes(c.flows[i]), before);
        assert_true(before <= BYTES);
        rows += c.flows[i]->rows;
        sc_batch_free(c.flows[i]);
    }
    assert_true(c.count != 0);
    assert_int_equal(rows + k.sink.flows->rows, 4 * RECORDS / 16);
    kit_close(&k);
}

UNIT(test_decoder_values)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_of_any_length),
        cmocka_unit_test(signed_of_reduced_length),
        cmocka_unit_test(floats),
        cmocka_unit_test(booleans_are_as_on_the_wire),
        cmocka_unit_test(mac_is_an_integer_of_48_bits),
        cmocka_unit_test(times_are_kept_as_exported),
        cmocka_unit_test(values_of_wrong_length_are_bytes),
        cmocka_unit_test(sysuptime_of_more_than_32_bits_stays_raw),
        cmocka_unit_test(strings_keep_their_nuls),
        cmocka_unit_test(elements_that_come_twice),
        cmocka_unit_test(absent_is_null),
        cmocka_unit_test(columns_widen),
        cmocka_unit_test(numbers_of_variable_length),
        cmocka_unit_test(unknown_elements_are_kept_and_bounded),
        cmocka_unit_test(repeated_elements_are_bounded),
        cmocka_unit_test(batches_are_cut_by_columns),
        cmocka_unit_test(batches_are_cut_by_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
