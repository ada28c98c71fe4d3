// SPDX-License-Identifier: BSD-3-Clause
/* Texts of others for a person: what would move, hide or break the line is escaped, all else is as it was. */
#include "base/log.h"
#include "base/text.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void check(const char *text, const char *want)
{
    struct sc_buf out = {0};
    sc_buf_append_visible(&out, text, strlen(text));
    sc_buf_append_u8(&out, '\0');
    assert_true(sc_buf_ok(&out));
    assert_string_equal(out.data, want);
    sc_buf_free(&out);
}

static void letters_stay(void **state)
{
    (void)state;
    check("", "");
    check("Gi0/1 \\ \"x\" ~", "Gi0/1 \\ \"x\" ~");
    check("p\xc5\x99\xc3\xadpoj \xe2\x82\xac \xf0\x9f\x8c\x90",
          "p\xc5\x99\xc3\xadpoj \xe2\x82\xac \xf0\x9f\x8c\x90");
    check("\xc2\xa0\xc2\xa1\xe2\x80\x90\xe2\x81\x9f\xe2\x80\xaf",
          "\xc2\xa0\xc2\xa1\xe2\x80\x90\xe2\x81\x9f\xe2\x80\xaf");
}

static void what_is_obeyed_is_escaped(void **state)
{
    (void)state;
    check("\x1b[31m\r\n\t\x7f", "\\x1b[31m\\x0d\\x0a\\x09\\x7f");
    check("\xc2\x80\xc2\x9f", "\\xc2\\x80\\xc2\\x9f");
    check("\xe2\x80\x8e\xe2\x80\x8f", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f");
    check("\xe2\x80\xaa\xe2\x80\xae", "\\xe2\\x80\\xaa\\xe2\\x80\\xae");
    check("\xe2\x81\xa6\xe2\x81\xa9", "\\xe2\\x81\\xa6\\xe2\\x81\\xa9");
    check("\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9\\xef\\xbb\\xbf");
}

/* Cut, longer than needed, surrogates, beyond the last character. */
static void what_is_no_utf8_is_escaped(void **state)
{
    (void)state;
    check("a\xff\xe2\x80", "a\\xff\\xe2\\x80");
    check("\xc0\x9b\xe0\x82\x9b", "\\xc0\\x9b\\xe0\\x82\\x9b");
    check("\xed\xa0\x80\xf4\x90\x80\x80", "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80");
}

/* Nobody writes a line of his own into the log. */
static void a_log_line_is_one_line(void **state)
{
    char *text = NULL;
    size_t length;
    struct sc_log log = {.stream = open_memstream(&text, &length), .level = SC_LOG_INFO};
    (void)state;
    assert_non_null(log.stream);
    sc_log(&log, SC_LOG_WARNING, "interface %s", "x\n2026-01-01T00:00:00Z error forged\xe2\x80\xae");
    fclose(log.stream);
    assert_ptr_equal(strchr(text, '\n'), text + length - 1);
    assert_non_null(
        strstr(text, " warning interface x\\x0a2026-01-01T00:00:00Z error forged\\xe2\\x80\\xae\n"));
    free(text);
}

static void numbers_are_digits_with_a_unit_where_one_may_be(void **state)
{
    static const struct {
        const char *text;
        bool plain, with_units;
        uint64_t value;
    } cases[] = {
        {"0", true, true, 0},
        {"18446744073709551615", true, true, UINT64_MAX},
        {"18446744073709551616", false, false, 0},
        {"10k", false, true, 10000},
        {"2M", false, true, 2000000},
        {"18446744073709551k", false, true, UINT64_C(18446744073709551000)},
        {"18446744073709552K", false, false, 0},
        {"5kk", false, false, 0},
        {"", false, false, 0},
        {"-1", false, false, 0},
        {" 1", false, false, 0},
        {"1x", false, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 0;
        assert_int_equal(sc_text_number(cases[i].text, false, &value), cases[i].plain);
        assert_true(!cases[i].plain || value == cases[i].value);
        assert_int_equal(sc_text_number(cases[i].text, true, &value), cases[i].with_units);
        assert_true(!cases[i].with_units || value == cases[i].value);
    }
}

UNIT(test_text)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_stay),
        cmocka_unit_test(what_is_obeyed_is_escaped),
        cmocka_unit_test(what_is_no_utf8_is_escaped),
        cmocka_unit_test(a_log_line_is_one_line),
        cmocka_unit_test(numbers_are_digits_with_a_unit_where_one_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
