// SPDX-License-Identifier: BSD-3-Clause
/* Records as csv, json, ndjson and pretty text: each type, each conversion, quoting, nulls, alignment. */
#include "show/output.h"

#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 2026-11-23T10:11:12.345Z */
#define T0 UINT64_C(1795428672345)

static struct sc_field field_of(const char *name)
{
    struct sc_field field;
    struct sc_error err = {0};
    if (sc_field_find(NULL, name, strlen(name), &field, &err) != SC_OK)
        fail_msg("%s", err.message);
    return field;
}

static struct sc_value number(const char *name, uint64_t u)
{
    return (struct sc_value){.type = field_of(name).type, .u = u, .f = (double)u};
}

static struct sc_value real(double f)
{
    return (struct sc_value){.type = SC_VALUE_FLOAT, .f = f};
}

static struct sc_value address(const char *text)
{
    struct sc_value v = {.type = SC_VALUE_ADDRESS};
    assert_true(sc_addr_parse(text, strlen(text), &v.addr));
    return v;
}

static struct sc_value text_of(uint8_t type, const char *text, uint32_t length)
{
    return (struct sc_value){.type = type, .bytes = (const uint8_t *)text, .length = length};
}

/* The value of a field as one output shows it: a record of one column, without what stands around the value. */
static void check(struct sc_output_options options, const char *name, struct sc_value value,
                  const char *expected)
{
    const struct sc_output_column column = {.field = field_of(name), .label = name};
    struct sc_output *output = sc_output_create(&options, &column, 1);
    struct sc_buf out = {0};
    assert_non_null(output);
    sc_output_row(output, &value, &out);
    bool json = options.format == SC_OUTPUT_JSON;
    size_t before = json ? strlen("{\"\":") + strlen(name) : 0;
    assert_true(out.len > before);
    size_t length = out.len - before - 1; /* the brace, or the end of the line */
    const char *shown = (const char *)out.data + before;
    for (; options.format == SC_OUTPUT_PRETTY && length != 0 && *shown == ' '; shown++)
        length--;
    if (length != strlen(expected) || memcmp(shown, expected, length) != 0)
        fail_msg("%s is %.*s, want %s", name, (int)length, shown, expected);
    sc_buf_free(&out);
    sc_output_free(output);
}

static const struct sc_output_options csv = {.format = SC_OUTPUT_CSV};
static const struct sc_output_options json = {.format = SC_OUTPUT_JSON};
static const struct sc_output_options pretty = {.format = SC_OUTPUT_PRETTY};

static void csv_values_are_raw(void **state)
{
    (void)state;
    check(csv, "first", number("first", T0), "1795428672345");
    check(csv, "flowStartMicroseconds", number("flowStartMicroseconds", T0 * 1000000 + 1),
          "1795428672345000001");
    check(csv, "duration", number("duration", 61001), "61001");
    check(csv, "bytes", number("bytes", UINT64_MAX), "18446744073709551615");
    check(csv, "bytes", number("bytes", 0), "0");
    check(csv, "flags", number("flags", 0x12), "18");
    check(csv, "proto", number("proto", 6), "6");
    check(csv, "srcip", address("10.1.2.3"), "10.1.2.3");
    check(csv, "srcip", address("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");
    check(csv, "insrcmac", number("insrcmac", UINT64_C(0x001b213c9df8)), "00:1b:21:3c:9d:f8");
    check(csv, "app", text_of(SC_VALUE_BYTES, "\x03\x00\x00\x0d", 4), "0x0300000d");
    check(csv, "mibObjectValueInteger", (struct sc_value){.type = SC_VALUE_INT, .u = (uint64_t)INT64_MIN},
          "-9223372036854775808");
}

static void json_values_are_typed(void **state)
{
    (void)state;
    check(json, "first", number("first", T0), "\"2026-11-23T10:11:12.345Z\"");
    check(json, "flowStartMicroseconds", number("flowStartMicroseconds", T0 * 1000000 + 1),
          "\"2026-11-23T10:11:12.345000001Z\"");
    check(json, "bytes", number("bytes", UINT64_MAX), "18446744073709551615");
    check(json, "flags", number("flags", 0x12), "18");
    check(json, "srcip", address("10.1.2.3"), "\"10.1.2.3\"");
    check(json, "insrcmac", number("insrcmac", 1), "\"00:00:00:00:00:01\"");
    check(json, "app", text_of(SC_VALUE_BYTES, "\x03", 1), "\"0x03\"");
    check(json, "bps", real(12.5), "12.5");
    check(json, "appname", text_of(SC_VALUE_STRING, "a\"b\\c\n\x01\xc5\xa1", 9),
          "\"a\\\"b\\\\c\\n\\u0001\xc5\xa1\"");
    /* what is no UTF-8 keeps its bytes */
    check(json, "appname", text_of(SC_VALUE_STRING, "a\xff", 2), "{\"hex\": \"61ff\"}");
    check(json, "appname", text_of(SC_VALUE_STRING, "a\xc5", 2), "{\"hex\": \"61c5\"}");
}

static void floats_have_up_to_three_decimals(void **state)
{
    (void)state;
    check(csv, "bps", real(0), "0");
    check(csv, "bps", real(1), "1");
    check(csv, "bps", real(12.5), "12.5");
    check(csv, "bps", real(1.0 / 3), "0.333");
    check(csv, "bps", real(0.0004), "0");
    check(csv, "bps", real(-0.0004), "0");
    check(csv, "bps", real(-1.25), "-1.25");
    check(csv, "bps", real(0.9996), "1");
    check(csv, "bps", real(123456789012345.0), "123456789012345");
    check(csv, "bps", real(1e16), "10000000000000000");
    check(csv, "bps", real(1e300), "1.0000000000000001e+300");
    check(csv, "bps", real(NAN), "");
    check(json, "bps", real(INFINITY), "null");
    /* an element's own keeps its digits */
    check(csv, "samplingProbability", real(0.000125), "0.000125");
    check(json, "samplingProbability", real(1234.56789), "1234.56789");
    check(json, "samplingProbability", real(0.1 + 0.2), "0.30000000000000004");
    check(pretty, "samplingProbability", real(1234.56789), "1234.568");
}

static void nulls(void **state)
{
    (void)state;
    struct sc_value null = {.null = true, .type = SC_VALUE_UINT};
    check(csv, "bytes", null, "");
    check(json, "bytes", null, "null");
    check(pretty, "bytes", null, "-");
}

/* A right-to-left override, a CSI as one character, a zero-width space, a line separator, a tag; and letters that stay. */
#define OBEYED "a\xe2\x80\xae\xc2\x9b\xe2\x80\x8b\xe2\x80\xa8\xf3\xa0\x81\x81\xc5\xa1"

static void nothing_is_obeyed_by_a_terminal(void **state)
{
    (void)state;
    check(pretty, "appname", text_of(SC_VALUE_STRING, OBEYED, sizeof(OBEYED) - 1),
          "a\\xe2\\x80\\xae\\xc2\\x9b\\xe2\\x80\\x8b\\xe2\\x80\\xa8\\xf3\\xa0\\x81\\x81\xc5\xa1");
    check(json, "appname", text_of(SC_VALUE_STRING, OBEYED, sizeof(OBEYED) - 1),
          "\"a\\u202e\\u009b\\u200b\\u2028\\udb40\\udc41\xc5\xa1\"");
    check(csv, "appname", text_of(SC_VALUE_STRING, "a\tb\x1b[1m", 7), "\"a\tb\x1b[1m\"");
    check(pretty, "appname", text_of(SC_VALUE_STRING, "a\tb\nc", 5), "a\\x09b\\x0ac");
}

/* 18.4 E+: or more. */
static void saturated_sums_are_marked(void **state)
{
    struct sc_value v = number("bytes", UINT64_MAX), rate = real(1e30);
    v.saturated = rate.saturated = true;
    (void)state;
    check(pretty, "bytes", v, "18.4 E+");
    check(pretty, "bps", rate, "1e+12 E+");
    check(json, "bytes", v, "18446744073709551615");
    check(csv, "bytes", v, "18446744073709551615");
}

static void csv_texts_are_quoted_where_needed(void **state)
{
    (void)state;
    check(csv, "appname", text_of(SC_VALUE_STRING, "dns", 3), "dns");
    check(csv, "appname", text_of(SC_VALUE_STRING, "a,b", 3), "\"a,b\"");
    check(csv, "appname", text_of(SC_VALUE_STRING, "a\"b", 3), "\"a\"\"b\"");
    check(csv, "appname", text_of(SC_VALUE_STRING, "a\nb", 3), "\"a\nb\"");
    check(csv, "appname", text_of(SC_VALUE_STRING, "", 0), "\"\"");
}

static void pretty_texts_hide_control_characters(void **state)
{
    (void)state;
    check(pretty, "appname", text_of(SC_VALUE_STRING, "a\x1b[1m\xc5\xa1\xff\x7f\xc2\x9b", 11),
          "a\\x1b[1m\xc5\xa1\\xff\\x7f\\xc2\\x9b");
}

static void pretty_values_convert(void **state)
{
    (void)state;
    check(pretty, "first", number("first", T0), "2026-11-23 10:11:12.345");
    check(pretty, "duration", number("duration", 3723004), "01:02:03.004");
    check(pretty, "duration", number("duration", 90000001), "25:00:00.001");
    check(pretty, "duration", number("duration", UINT64_C(4320000000)), "1200:00:00.000");
    check(pretty, "proto", number("proto", 6), "TCP");
    check(pretty, "proto", number("proto", 253), "253");
    check(pretty, "flags", number("flags", 0x1a), "...AP.S.");
    check(pretty, "flags", number("flags", 0xff), "CEUAPRSF");
    check(pretty, "flags", number("flags", 0x112), "0x0112");
}

static void volumes_have_one_decimal(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *decimal, *binary;
    } cases[] = {
        {0, "0", "0"},
        {999, "999", "999"},
        {1000, "1.0 k", "1000"},
        {1024, "1.0 k", "1.0 Ki"},
        {1234567, "1.2 M", "1.2 Mi"},
        {999949, "999.9 k", "976.5 Ki"},
        {999951, "1.0 M", "976.5 Ki"},
        {UINT64_MAX, "18.4 E", "16.0 Ei"},
    };
    struct sc_output_options binary = pretty;
    binary.volume = SC_CONVERT_BINARY;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(pretty, "bytes", number("bytes", cases[i].value), cases[i].decimal);
        check(binary, "bytes", number("bytes", cases[i].value), cases[i].binary);
    }
    check(pretty, "bps", real(12.34), "12.3");
    check(pretty, "bps", real(DBL_MAX), "1.8e+290 E");
    check(pretty, "srcport", number("srcport", 5000), "5000");
}

static void conversions_can_be_asked_for(void **state)
{
    (void)state;
    struct sc_output_options o = csv;
    o.timestamp = o.duration = o.volume = o.tcpflags = o.protocol = SC_CONVERT_STR;
    check(o, "first", number("first", T0), "2026-11-23T10:11:12.345Z");
    check(o, "duration", number("duration", 1), "00:00:00.001");
    check(o, "bytes", number("bytes", 1500), "1.5 k");
    check(o, "flags", number("flags", 2), "......S.");
    check(o, "proto", number("proto", 17), "UDP");
    o = json;
    o.timestamp = SC_CONVERT_NONE;
    o.tcpflags = o.protocol = SC_CONVERT_STR;
    check(o, "first", number("first", T0), "1795428672345");
    check(o, "flags", number("flags", 2), "\"......S.\"");
    check(o, "proto", number("proto", 17), "\"UDP\"");
    o = pretty;
    o.timestamp = o.duration = o.volume = o.tcpflags = o.protocol = SC_CONVERT_NONE;
    check(o, "first", number("first", T0), "1795428672345");
    check(o, "bytes", number("bytes", 1500), "1500");
    check(o, "flags", number("flags", 2), "2");
}

static void times_of_events_are_marked(void **state)
{
    struct sc_value event = number("first", T0);
    (void)state;
    event.event = true;
    check(pretty, "first", event, "2026-11-23 10:11:12.345*");
    check(json, "first", event, "\"2026-11-23T10:11:12.345Z\"");
    check(csv, "first", event, "1795428672345");
}

static void local_times_carry_their_offset(void **state)
{
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    struct sc_output_options o = json;
    o.local_time = true;
    check(o, "first", number("first", T0), "\"2026-11-23T11:11:12.345+01:00\"");
    check(o, "first", number("first", UINT64_C(1782892800000)), "\"2026-07-01T10:00:00.000+02:00\"");
    o.format = SC_OUTPUT_PRETTY;
    check(o, "first", number("first", T0), "2026-11-23 11:11:12.345");
    /* what comes twice says which it is */
    check(o, "first", number("first", UINT64_C(1792886340000)), "2026-10-25 01:59:00.000");
    check(o, "first", number("first", UINT64_C(1792886400000)), "2026-10-25 02:00:00.000+02:00");
    check(o, "first", number("first", UINT64_C(1792889940000)), "2026-10-25 02:59:00.000+02:00");
    check(o, "first", number("first", UINT64_C(1792890000000)), "2026-10-25 02:00:00.000+01:00");
    check(o, "first", number("first", UINT64_C(1792893540000)), "2026-10-25 02:59:00.000+01:00");
    check(o, "first", number("first", UINT64_C(1792893600000)), "2026-10-25 03:00:00.000");
    setenv("TZ", "XXX+3:30", 1);
    tzset();
    o.format = SC_OUTPUT_JSON;
    check(o, "first", number("first", 0), "\"1969-12-31T20:30:00.000-03:30\"");
    unsetenv("TZ");
    tzset();
}

/* Among dates a bare number would be taken for one, by whoever sorts or cuts the column. */
static void times_without_a_date_are_marked(void **state)
{
    struct sc_output_options o = csv;
    uint64_t late = UINT64_C(1) << 63;
    (void)state;
    check(json, "first", number("first", UINT64_MAX), "\"out-of-range:18446744073709551615\"");
    check(pretty, "first", number("first", late), "out-of-range:9223372036854775808");
    o.timestamp = SC_CONVERT_STR;
    check(o, "first", number("first", late), "out-of-range:9223372036854775808");
    check(csv, "first", number("first", late), "9223372036854775808"); /* a column of numbers */
    check(json, "first", number("first", UINT64_C(253402214399999)), "\"9999-12-30T23:59:59.999Z\"");
    check(json, "first", number("first", 0), "\"1970-01-01T00:00:00.000Z\"");
}

/* An average of a counter, a count of distinct addresses. */
static void values_of_another_type_than_their_field(void **state)
{
    (void)state;
    check(csv, "bytes", real(1.5), "1.5");
    check(json, "srcip", number("bytes", 7), "7");
}

static struct sc_output *make(struct sc_output_options options, const char *const *names, uint32_t count)
{
    struct sc_output_column columns[12];
    for (uint32_t i = 0; i < count; i++)
        columns[i] = (struct sc_output_column){.field = field_of(names[i]), .label = names[i]};
    struct sc_output *output = sc_output_create(&options, columns, count);
    assert_non_null(output);
    return output;
}

static void check_buf(struct sc_buf *out, const char *expected)
{
    sc_buf_append_u8(out, '\0');
    assert_true(sc_buf_ok(out));
    assert_string_equal((const char *)out->data, expected);
    sc_buf_free(out);
}

static void rows(void **state)
{
    (void)state;
    static const char *const names[] = {"srcip", "Bytes", "app name"};
    struct sc_value values[] = {address("10.0.0.1"), number("bytes", 5), text_of(SC_VALUE_STRING, "x,y", 3)};
    struct sc_buf out = {0};
    struct sc_output_options o = csv;
    struct sc_output *output = make(o, names, 3);
    sc_output_header(output, &out);
    sc_output_row(output, values, &out);
    check_buf(&out, "srcip,Bytes,app name\n10.0.0.1,5,\"x,y\"\n");
    sc_output_free(output);
    o.format = SC_OUTPUT_NDJSON;
    output = make(o, names, 3);
    sc_output_header(output, &out);
    sc_output_row(output, values, &out);
    check_buf(&out, "{\"srcip\":\"10.0.0.1\",\"Bytes\":5,\"app name\":\"x,y\"}\n");
    sc_output_free(output);
    output = make(json, names, 3);
    sc_output_row(output, values, &out);
    check_buf(&out, "{\"srcip\":\"10.0.0.1\",\"Bytes\":5,\"app name\":\"x,y\"}");
    sc_output_free(output);
}

static void a_pretty_table_fits_120_columns(void **state)
{
    (void)state;
    static const char *const names[] = {"first", "duration", "proto", "srcip",   "srcport",
                                        "dstip", "dstport",  "flags", "packets", "bytes"};
    struct sc_value values[] = {
        number("first", T0),        number("duration", 1),    number("proto", 17),
        address("255.255.255.255"), number("srcport", 65535), address("10.0.0.1"),
        number("dstport", 53),      number("flags", 0),       number("packets", 999900),
        number("bytes", 999900000),
    };
    struct sc_output *output = make(pretty, names, 10);
    struct sc_buf out = {0};
    sc_output_header(output, &out);
    size_t header = out.len;
    sc_output_row(output, values, &out);
    assert_true(header <= 120);
    assert_int_equal(out.len, 2 * header); /* aligned */
    check_buf(&out, "            first [UTC]     duration  proto           srcip srcport           dstip "
                    "dstport    flags "
                    "packets   bytes\n"
                    "2026-11-23 10:11:12.345 00:00:00.001    UDP 255.255.255.255   65535        10.0.0.1     "
                    " 53 ........ "
                    "999.9 k 999.9 M\n");
    sc_output_free(output);
}

static void longer_pretty_values_are_not_cut(void **state)
{
    (void)state;
    static const char *const names[] = {"srcip", "appname"};
    struct sc_value values[] = {address("2001:db8:1111:2222:3333:4444:5555:6666"),
                                text_of(SC_VALUE_STRING, "\xc5\xa1\xc5\xa1", 4)};
    struct sc_output *output = make(pretty, names, 2);
    struct sc_buf out = {0};
    sc_output_row(output, values, &out);
    check_buf(&out, "2001:db8:1111:2222:3333:4444:5555:6666               \xc5\xa1\xc5\xa1\n");
    sc_output_free(output);
}

static void columns_fit_the_values_shown_to_them(void **state)
{
    (void)state;
    static const char *const names[] = {"srcip", "bytes", "appname"};
    static const char text[] = "a text that is longer than any column is made";
    struct sc_value six[] = {address("2001:db8:1111:2222:3333:4444:5555:6666"), number("bytes", 5),
                             text_of(SC_VALUE_STRING, text, sizeof(text) - 1)};
    struct sc_value four[] = {address("10.0.0.1"), number("bytes", 999900), six[2]};
    struct sc_output *output = make(pretty, names, 2);
    struct sc_buf out = {0};
    sc_output_fit(output, six);
    sc_output_fit(output, four);
    sc_output_header(output, &out);
    sc_output_row(output, six, &out);
    sc_output_row(output, four, &out);
    check_buf(&out, "                                 srcip   bytes\n"
                    "2001:db8:1111:2222:3333:4444:5555:6666       5\n"
                    "                              10.0.0.1 999.9 k\n");
    sc_output_free(output);
    output = make(pretty, names + 2, 1);
    sc_output_fit(output, &six[2]);
    sc_output_header(output, &out);
    check_buf(&out, "         appname\n");
    sc_output_free(output);
    output = make(csv, names, 1);
    sc_output_fit(output, six);
    sc_output_header(output, &out);
    check_buf(&out, "srcip\n");
    sc_output_free(output);
}

static void labels_are_escaped(void **state)
{
    (void)state;
    struct sc_output_column column = {.field = field_of("bytes"), .label = "a\"b,c"};
    struct sc_value value = number("bytes", 1);
    struct sc_buf out = {0};
    struct sc_output *output = sc_output_create(&csv, &column, 1);
    sc_output_header(output, &out);
    check_buf(&out, "\"a\"\"b,c\"\n");
    sc_output_free(output);
    output = sc_output_create(&json, &column, 1);
    sc_output_row(output, &value, &out);
    check_buf(&out, "{\"a\\\"b,c\":1}");
    sc_output_free(output);
}

static void json_strings(void **state)
{
    (void)state;
    struct sc_buf out = {0};
    sc_output_json_string(&out, "\xed\xa0\x80|\xe2\x82\xac|\xc0\xaf|\xf4\x90\x80\x80|\t\x1f", 18);
    check_buf(&out, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xe2\x82\xac|\xef\xbf\xbd\xef\xbf\xbd|"
                    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\\t\\u001f\"");
}

UNIT(test_output)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_values_are_raw),
        cmocka_unit_test(json_values_are_typed),
        cmocka_unit_test(floats_have_up_to_three_decimals),
        cmocka_unit_test(nulls),
        cmocka_unit_test(csv_texts_are_quoted_where_needed),
        cmocka_unit_test(pretty_texts_hide_control_characters),
        cmocka_unit_test(pretty_values_convert),
        cmocka_unit_test(volumes_have_one_decimal),
        cmocka_unit_test(conversions_can_be_asked_for),
        cmocka_unit_test(nothing_is_obeyed_by_a_terminal),
        cmocka_unit_test(saturated_sums_are_marked),
        cmocka_unit_test(times_of_events_are_marked),
        cmocka_unit_test(local_times_carry_their_offset),
        cmocka_unit_test(times_without_a_date_are_marked),
        cmocka_unit_test(values_of_another_type_than_their_field),
        cmocka_unit_test(rows),
        cmocka_unit_test(a_pretty_table_fits_120_columns),
        cmocka_unit_test(longer_pretty_values_are_not_cut),
        cmocka_unit_test(columns_fit_the_values_shown_to_them),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(json_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
