// SPDX-License-Identifier: BSD-3-Clause
/* A membership file whose states a program changes: what is not changed stays as it was written, to the byte. */

#include "conf/cluster_edit.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static enum sc_status edit(const char *text, const char *member, enum sc_member_state state, char **out,
                           struct sc_error *err)
{
    struct sc_buf buf = {0};
    enum sc_status status =
        sc_cluster_set_state("m.yaml", (const uint8_t *)text, strlen(text), member, state, &buf, err);
    sc_buf_append_u8(&buf, 0);
    *out = status == SC_OK ? strdup((const char *)buf.data) : NULL;
    sc_buf_free(&buf);
    return status;
}

static void expect(const char *text, const char *member, enum sc_member_state state, const char *wanted)
{
    struct sc_error err = {0};
    char *got;
    if (edit(text, member, state, &got, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_string_equal(got, wanted);
    free(got);
}

static void refuse(const char *text, const char *member, enum sc_member_state state, enum sc_status wanted,
                   const char *word)
{
    struct sc_error err = {0};
    char *got;
    assert_int_equal(edit(text, member, state, &got, &err), wanted);
    if (strstr(err.message, word) == NULL)
        fail_msg("%s", err.message);
}

#define HEAD     "# ours \xc3\xa4\xe2\x82\xac\nversion: 9   # count it up\nreplication: 1\nmembers:\n"
#define HEAD_TOO "# ours \xc3\xa4\xe2\x82\xac\nversion: 10   # count it up\nreplication: 1\nmembers:\n"

static void a_state_gets_a_line_of_its_own(void **state)
{
    (void)state;
    expect(HEAD "  - name: alpha   # the first \xc3\xa9\n    address: 192.0.2.1:4741\n"
                "  - address: 192.0.2.2:4741\n    name: beta",
           "alpha", SC_MEMBER_DRAINING,
           HEAD_TOO
           "  - name: alpha   # the first \xc3\xa9\n    state: draining\n    address: 192.0.2.1:4741\n"
           "  - address: 192.0.2.2:4741\n    name: beta");
    expect(HEAD "  - name: alpha\n    address: 192.0.2.1:4741\n"
                "  - address: 192.0.2.2:4741\n    name: beta",
           "beta", SC_MEMBER_GONE,
           HEAD_TOO "  - name: alpha\n    address: 192.0.2.1:4741\n"
                    "  - address: 192.0.2.2:4741\n    name: beta\n    state: gone");
}

static void a_state_goes_into_the_braces(void **state)
{
    (void)state;
    expect("version: 1\nmembers:\n- {name: 'a', address: 'h:1'} # x\n- {name: b, address: "
           "'h:2'}\nreplication: 1\n",
           "a", SC_MEMBER_DRAINING,
           "version: 2\nmembers:\n- {name: 'a', state: draining, address: 'h:1'} # x\n"
           "- {name: b, address: 'h:2'}\nreplication: 1\n");
    expect(
        "members: [{name: a, address: 'h:1'}, {address: 'h:2', name: b}]\nreplication: 1\nversion: 99\n", "b",
        SC_MEMBER_DRAINING,
        "members: [{name: a, address: 'h:1'}, {address: 'h:2', name: b, state: draining}]\nreplication: 1\n"
        "version: 100\n");
}

static void a_state_is_exchanged(void **state)
{
    (void)state;
    expect(HEAD "  - name: a\n    address: h:1\n    state: \"draining\"   # since monday\n"
                "  - name: b\n    address: h:2\n",
           "a", SC_MEMBER_GONE,
           HEAD_TOO "  - name: a\n    address: h:1\n    state: gone   # since monday\n"
                    "  - name: b\n    address: h:2\n");
    expect(HEAD "  - name: a\n    address: h:1\n    roles: [subcollector]\n    state: gone\n"
                "  - name: b\n    address: h:2\n",
           "a", SC_MEMBER_ACTIVE,
           HEAD_TOO "  - name: a\n    address: h:1\n    roles: [subcollector]\n    state: active\n"
                    "  - name: b\n    address: h:2\n");
}

static void lines_may_end_otherwise(void **state)
{
    (void)state;
    expect(
        "\xef\xbb\xbfversion: 3\r\nreplication: 1\r\nmembers:\r\n- name: a\r\n  address: h:1\r\n- name: b\r\n"
        "  address: h:2\r\n",
        "b", SC_MEMBER_DRAINING,
        "\xef\xbb\xbfversion: 4\r\nreplication: 1\r\nmembers:\r\n- name: a\r\n  address: h:1\r\n- name: b\n"
        "  state: draining\r\n  address: h:2\r\n");
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const char two[] = "version: 1\nreplication: 2\nmembers:\n- {name: a, address: 'h:1'}\n"
                              "- {name: b, address: 'h:2'}\n- {name: c, address: 'h:3', state: draining}\n";
    refuse(two, "d", SC_MEMBER_DRAINING, SC_USAGE, "no member is called \"d\"");
    refuse(two, "c", SC_MEMBER_DRAINING, SC_USAGE, "c is draining already");
    refuse(two, "a", SC_MEMBER_DRAINING, SC_USAGE, "cannot hold 2 copies");
    refuse(two, "a", SC_MEMBER_ACTIVE, SC_USAGE, "a is active already");
    refuse("version: 1\n", "a", SC_MEMBER_GONE, SC_USAGE, "\"members\" is missing");
    refuse("no yaml: [", "a", SC_MEMBER_GONE, SC_USAGE, "m.yaml:");
    refuse("version: 18446744073709551615\nreplication: 1\nmembers: [{name: a, address: 'h:1'}, {name: b, "
           "address: "
           "'h:2'}]\n",
           "a", SC_MEMBER_DRAINING, SC_USAGE, "version");
}

UNIT(test_cluster_edit)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_gets_a_line_of_its_own), cmocka_unit_test(a_state_goes_into_the_braces),
        cmocka_unit_test(a_state_is_exchanged),           cmocka_unit_test(lines_may_end_otherwise),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
