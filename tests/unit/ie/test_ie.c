// SPDX-License-Identifier: BSD-3-Clause
/* The registry of information elements: order, names, reverse forms, and the elements that matter most. */

#include "ie/ie.h"

#include "unit.h"

#include <string.h>

static void elements_are_in_order_and_found(void **state)
{
    (void)state;
    const struct sc_ie *previous = NULL, *e;
    size_t n = 0;
    for (; (e = sc_ie_at(n)) != NULL; n++) {
        if (previous != NULL)
            assert_true(previous->pen < e->pen || (previous->pen == e->pen && previous->id < e->id));
        assert_ptr_equal(sc_ie_find(e->pen, e->id), e);
        assert_true(e->type < SC_TYPE_COUNT);
        previous = e;
    }
    assert_true(n > 1000);
    assert_null(sc_ie_find(0, 65535));
    assert_null(sc_ie_find(64999, 1));
}

static void names_are_unique_and_read_back(void **state)
{
    (void)state;
    const struct sc_ie *e;
    for (size_t i = 0; (e = sc_ie_at(i)) != NULL; i++) {
        char name[SC_IE_NAME_MAX];
        uint32_t pen;
        uint16_t id;
        size_t length = sc_ie_name(e->pen, e->id, name);
        assert_true(length < SC_IE_NAME_MAX);
        assert_string_equal(name, e->name);
        assert_ptr_equal(sc_ie_find_name(name, length), e); /* so no two have the same */
        assert_true(sc_ie_parse(name, length, &pen, &id));
        assert_int_equal(pen, e->pen);
        assert_int_equal(id, e->id);
    }
}

static void names_without_regard_to_case(void **state)
{
    (void)state;
    assert_int_equal(sc_ie_find_name("OCTETDELTACOUNT", 15)->id, 1);
    assert_int_equal(sc_ie_find_name("octetdeltacount and more", 15)->id, 1);
    assert_null(sc_ie_find_name("octetDeltaCoun", 14));
    assert_null(sc_ie_find_name("octetDeltaCountX", 16));
    assert_null(sc_ie_find_name("", 0));
}

static void unknown_elements_have_numbers_for_names(void **state)
{
    (void)state;
    static const struct {
        uint32_t pen;
        uint16_t id;
        const char *name;
    } cases[] = {{64999, 7, "64999:7"},
                 {0, 32767, "0:32767"},
                 {SC_PEN_V9, 65535, "v9:65535"},
                 {SC_PEN_V9_SCOPE, 99, "scope:99"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[SC_IE_NAME_MAX];
        uint32_t pen;
        uint16_t id;
        size_t length = sc_ie_name(cases[i].pen, cases[i].id, name);
        assert_string_equal(name, cases[i].name);
        assert_true(sc_ie_parse(name, length, &pen, &id));
        assert_int_equal(pen, cases[i].pen);
        assert_int_equal(id, cases[i].id);
    }
}

static void what_is_no_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      ":",   "1:",      ":1",       "1:65536", "4294967296:1",
                                        "1:2:3", "v9:", "scope:x", "nonsense", "1 :2",    "-1:2"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint32_t pen;
        uint16_t id;
        assert_false(sc_ie_parse(texts[i], strlen(texts[i]), &pen, &id));
    }
}

/* RFC 5103: enterprise 29305 mirrors IANA's elements, save those that section 6.1 leaves out. */
static void reverse_elements(void **state)
{
    (void)state;
    const struct sc_ie *e = sc_ie_find(SC_PEN_REVERSE, 1);
    assert_non_null(e);
    assert_string_equal(e->name, "reverseOctetDeltaCount");
    assert_int_equal(e->type, SC_TYPE_UNSIGNED64);
    assert_non_null(sc_ie_find(SC_PEN_REVERSE, 6));
    assert_null(sc_ie_find(SC_PEN_REVERSE, 130)); /* exporterIPv4Address */
    assert_null(sc_ie_find(SC_PEN_REVERSE, 148)); /* flowId */
    assert_null(sc_ie_find(SC_PEN_REVERSE, 210)); /* paddingOctets */
    assert_null(sc_ie_find(SC_PEN_REVERSE, 239)); /* biflowDirection */
}

/* Those of nearly every exporter's templates. */
static void elements_that_matter_most(void **state)
{
    (void)state;
    static const struct {
        uint16_t first, last;
        uint8_t type;
    } ranges[] = {
        {8, 8, SC_TYPE_IPV4_ADDRESS},
        {12, 12, SC_TYPE_IPV4_ADDRESS},
        {27, 28, SC_TYPE_IPV6_ADDRESS},
        {7, 7, SC_TYPE_UNSIGNED16},
        {11, 11, SC_TYPE_UNSIGNED16},
        {4, 5, SC_TYPE_UNSIGNED8},
        {60, 61, SC_TYPE_UNSIGNED8},
        {10, 10, SC_TYPE_UNSIGNED32},
        {14, 14, SC_TYPE_UNSIGNED32},
        {252, 253, SC_TYPE_UNSIGNED32},
        {58, 59, SC_TYPE_UNSIGNED16},
        {243, 243, SC_TYPE_UNSIGNED16},
        {254, 254, SC_TYPE_UNSIGNED16},
        {56, 57, SC_TYPE_MAC_ADDRESS},
        {80, 81, SC_TYPE_MAC_ADDRESS},
        {1, 3, SC_TYPE_UNSIGNED64},
        {85, 86, SC_TYPE_UNSIGNED64},
        {23, 24, SC_TYPE_UNSIGNED64},
        {231, 232, SC_TYPE_UNSIGNED64},
        {298, 299, SC_TYPE_UNSIGNED64},
        {150, 151, SC_TYPE_DATE_TIME_SECONDS},
        {152, 153, SC_TYPE_DATE_TIME_MILLISECONDS},
        {154, 155, SC_TYPE_DATE_TIME_MICROSECONDS},
        {156, 157, SC_TYPE_DATE_TIME_NANOSECONDS},
        {158, 159, SC_TYPE_UNSIGNED32},
        {21, 22, SC_TYPE_UNSIGNED32},
        {160, 160, SC_TYPE_DATE_TIME_MILLISECONDS},
        {258, 258, SC_TYPE_DATE_TIME_MILLISECONDS},
        {322, 322, SC_TYPE_DATE_TIME_SECONDS},
        {323, 323, SC_TYPE_DATE_TIME_MILLISECONDS},
        {324, 324, SC_TYPE_DATE_TIME_MICROSECONDS},
        {325, 325, SC_TYPE_DATE_TIME_NANOSECONDS},
        {6, 6, SC_TYPE_UNSIGNED16},
        {32, 32, SC_TYPE_UNSIGNED16},
        {139, 139, SC_TYPE_UNSIGNED16},
        {176, 179, SC_TYPE_UNSIGNED8},
        {192, 192, SC_TYPE_UNSIGNED8},
        {136, 136, SC_TYPE_UNSIGNED8},
        {9, 9, SC_TYPE_UNSIGNED8},
        {13, 13, SC_TYPE_UNSIGNED8},
        {29, 30, SC_TYPE_UNSIGNED8},
        {15, 15, SC_TYPE_IPV4_ADDRESS},
        {62, 63, SC_TYPE_IPV6_ADDRESS},
        {18, 18, SC_TYPE_IPV4_ADDRESS},
        {16, 17, SC_TYPE_UNSIGNED32},
        {128, 129, SC_TYPE_UNSIGNED32},
        {70, 79, SC_TYPE_OCTET_ARRAY},
        {46, 46, SC_TYPE_UNSIGNED8},
        {47, 47, SC_TYPE_IPV4_ADDRESS},
        {90, 90, SC_TYPE_OCTET_ARRAY},
        {234, 235, SC_TYPE_UNSIGNED32},
        {236, 236, SC_TYPE_STRING},
        {225, 226, SC_TYPE_IPV4_ADDRESS},
        {227, 228, SC_TYPE_UNSIGNED16},
        {230, 230, SC_TYPE_UNSIGNED8},
        {233, 233, SC_TYPE_UNSIGNED8},
        {281, 282, SC_TYPE_IPV6_ADDRESS},
        {361, 364, SC_TYPE_UNSIGNED16},
        {94, 94, SC_TYPE_STRING},
        {95, 95, SC_TYPE_OCTET_ARRAY},
        {96, 96, SC_TYPE_STRING},
        {34, 34, SC_TYPE_UNSIGNED32},
        {35, 35, SC_TYPE_UNSIGNED8},
        {48, 49, SC_TYPE_UNSIGNED8},
        {50, 50, SC_TYPE_UNSIGNED32},
        {302, 302, SC_TYPE_UNSIGNED64},
        {304, 304, SC_TYPE_UNSIGNED16},
        {305, 310, SC_TYPE_UNSIGNED32},
        {311, 311, SC_TYPE_FLOAT64},
        {82, 83, SC_TYPE_STRING},
        {403, 403, SC_TYPE_IPV4_ADDRESS},
        {404, 404, SC_TYPE_IPV6_ADDRESS},
        {405, 405, SC_TYPE_UNSIGNED32},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        for (uint16_t id = ranges[i].first; id <= ranges[i].last; id++) {
            const struct sc_ie *e = sc_ie_find(0, id);
            assert_non_null(e);
            if (e->type != ranges[i].type)
                fail_msg("%s (%u) is %s", e->name, id, sc_ie_type_name((enum sc_ie_type)e->type));
        }
    }
}

static void enterprises(void **state)
{
    (void)state;
    static const uint32_t pens[] = {SC_PEN_CISCO, SC_PEN_CERT, 6876,      8057,           16982,
                                    35632,        39499,       SC_PEN_V9, SC_PEN_V9_SCOPE};
    for (size_t i = 0; i < sizeof(pens) / sizeof(pens[0]); i++) {
        const struct sc_ie *e;
        size_t count = 0;
        for (size_t j = 0; (e = sc_ie_at(j)) != NULL; j++)
            count += e->pen == pens[i];
        assert_true(count >= 5);
    }
    assert_string_equal(sc_ie_find(SC_PEN_CERT, 18)->name, "payload");
    assert_string_equal(sc_ie_find(SC_PEN_V9, 40000)->name, "asaUserName");
}

UNIT(test_ie)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_in_order_and_found),
        cmocka_unit_test(names_are_unique_and_read_back),
        cmocka_unit_test(names_without_regard_to_case),
        cmocka_unit_test(unknown_elements_have_numbers_for_names),
        cmocka_unit_test(what_is_no_name),
        cmocka_unit_test(reverse_elements),
        cmocka_unit_test(elements_that_matter_most),
        cmocka_unit_test(enterprises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
