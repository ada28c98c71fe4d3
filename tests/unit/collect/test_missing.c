// SPDX-License-Identifier: BSD-3-Clause
/* Templates that data sets came without are told once each, a few a minute, and the others are not forgotten. */
#include "decoder_kit.h"

#include "collect/missing.h"

#include <stdio.h>

struct fixture {
    struct kit kit;
    struct sc_missing_minute minute;
    struct sc_missing_lines lines, others; /* of two receivers */
    struct sc_log log;
    char *text;
    size_t size;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    kit_open(&f->kit);
    f->log.stream = open_memstream(&f->text, &f->size);
    f->log.level = SC_LOG_WARNING;
    f->lines = f->others = (struct sc_missing_lines){.log = &f->log, .minute = &f->minute};
    assert_non_null(f->log.stream);
}

static void tear_down(struct fixture *f)
{
    assert_int_equal(fclose(f->log.stream), 0);
    free(f->text);
    kit_close(&f->kit);
}

static void send_data(struct fixture *f, uint16_t id)
{
    begin_ipfix(&f->kit, 0);
    begin_set(&f->kit, id);
    put32(&f->kit, 1);
    end_set(&f->kit);
    assert_int_equal(deliver(&f->kit), SC_OK);
}

static bool on_missing(void *arg, const struct sc_missing_template *missing)
{
    struct fixture *f = arg;
    return sc_missing_tell(&f->lines, missing);
}

/* Lines that this call wrote; the text is only theirs. */
static unsigned tell(struct fixture *f, uint64_t mono_ms, uint64_t before_ms)
{
    unsigned lines = 0;
    rewind(f->log.stream);
    const struct sc_care care = {.missing = on_missing, .missing_before_ms = before_ms, .arg = f};
    sc_missing_begin(&f->lines, mono_ms);
    assert_true(sc_decoder_care(f->kit.decoder, UINT32_MAX, 0, &care));
    sc_missing_end(&f->lines);
    assert_int_equal(fputc('\0', f->log.stream), 0);
    assert_int_equal(fflush(f->log.stream), 0);
    for (const char *p = f->text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    return lines;
}

static void once_with_the_number_of_sets(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    for (unsigned i = 0; i < 12; i++)
        send_data(&f, 300);
    assert_int_equal(tell(&f, 1000, KIT_RECEIVED - 1), 0); /* they have not waited for long */
    assert_int_equal(tell(&f, 6000, KIT_RECEIVED), 1);
    assert_non_null(
        strstr(f.text, "exporter 192.0.2.1 port 40000, version 10, domain 7: template 300 is missing"));
    assert_non_null(strstr(f.text, "so far: 12"));
    send_data(&f, 300);
    assert_int_equal(tell(&f, 11000, KIT_RECEIVED), 0);
    send_data(&f, 301);
    assert_int_equal(tell(&f, 16000, KIT_RECEIVED), 1);
    assert_non_null(strstr(f.text, "template 301"));
    tear_down(&f);
}

static void not_of_a_template_that_came(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    send_data(&f, 300);
    begin_ipfix(&f.kit, 1);
    put_template(&f.kit, 300, 1, 2, 4);
    assert_int_equal(deliver(&f.kit), SC_OK);
    assert_int_equal(tell(&f, 1000, KIT_RECEIVED), 0);
    tear_down(&f);
}

static void also_on_tcp_where_nothing_waits(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.kit.source.transport = SC_TRANSPORT_TCP;
    send_data(&f, 300);
    assert_int_equal(tell(&f, 1000, KIT_RECEIVED), 1);
    tear_down(&f);
}

static void few_lines_a_minute(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    for (uint16_t i = 0; i < 25; i++) {
        f.kit.source.port = (uint16_t)(2000 + i);
        send_data(&f, 300);
    }
    assert_int_equal(tell(&f, 1000, KIT_RECEIVED), SC_MISSING_LINES + 1);
    assert_non_null(strstr(f.text, "15 more templates are missing"));
    assert_int_equal(tell(&f, 6000, KIT_RECEIVED), 0);
    assert_int_equal(tell(&f, 61000, KIT_RECEIVED), SC_MISSING_LINES + 1);
    assert_non_null(strstr(f.text, "5 more"));
    assert_int_equal(tell(&f, 121000, KIT_RECEIVED), 5);
    assert_int_equal(tell(&f, 181000, KIT_RECEIVED), 0);
    tear_down(&f);
}

/* However many receivers there are. */
static void few_lines_a_minute_of_all_receivers(void **state)
{
    (void)state;
    struct fixture f;
    const struct sc_missing_template missing = {.id = 300};
    unsigned told = 0;
    set_up(&f);
    for (unsigned minute = 0; minute < 2; minute++) {
        sc_missing_begin(&f.lines, minute * 60000);
        sc_missing_begin(&f.others, minute * 60000 + 100);
        for (unsigned i = 0; i < 8; i++) {
            told += sc_missing_tell(&f.lines, &missing);
            told += sc_missing_tell(&f.others, &missing);
        }
        sc_missing_end(&f.lines);
        sc_missing_end(&f.others);
    }
    assert_int_equal(told, 2 * SC_MISSING_LINES);
    tear_down(&f);
}

/* What is known of one domain is bounded; the account counts all. */
static void many_templates_of_one_domain(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    for (uint16_t i = 0; i < 1000; i++)
        send_data(&f, 300 + i);
    unsigned lines = 0;
    for (uint64_t minute = 0; minute < 10; minute++)
        lines += tell(&f, minute * 60000, KIT_RECEIVED);
    assert_int_equal(lines, 32 + 3); /* three minutes have more left */
    assert_int_equal(stats_of(&f.kit, 10, 7).no_template_sets, 1000);
    tear_down(&f);
}

UNIT(test_missing)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_with_the_number_of_sets),        cmocka_unit_test(not_of_a_template_that_came),
        cmocka_unit_test(also_on_tcp_where_nothing_waits),     cmocka_unit_test(few_lines_a_minute),
        cmocka_unit_test(few_lines_a_minute_of_all_receivers), cmocka_unit_test(many_templates_of_one_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
