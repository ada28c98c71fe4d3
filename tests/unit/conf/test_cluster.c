// SPDX-License-Identifier: BSD-3-Clause
/* The membership file: what is read, what is said about what cannot be, and who holds a batch. */

#include "conf/cluster.h"

#include "base/buf.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sc_status parse(const char *text, struct sc_cluster *out, struct sc_error *err)
{
    return sc_cluster_parse("m.yaml", (const uint8_t *)text, strlen(text), out, err);
}

static const char five[] =
    "version: 12\n"
    "replication: 3\n"
    "members:\n"
    "  - {name: alpha, address: '192.0.2.1:4741'}\n"
    "  - {name: beta, address: 'beta.example:4741', roles: [subcollector], weight: 3}\n"
    "  - {name: gamma, address: '[2001:db8::3]:4741', roles: [proxy]}\n"
    "  - {name: delta-4.x, address: '192.0.2.4:4741', roles: [proxy, subcollector], from: [192.0.2.44]}\n"
    "  - {name: e_5, address: '192.0.2.5:4741'}\n";

static void everything_is_read(void **state)
{
    (void)state;
    struct sc_cluster c;
    struct sc_error err;
    assert_int_equal(parse(five, &c, &err), SC_OK);
    assert_int_equal(c.version, 12);
    assert_int_equal(c.replication, 3);
    assert_int_equal(c.count, 5);
    assert_true(c.members[0].proxy && c.members[0].subcollector);
    assert_true(!c.members[1].proxy && c.members[1].subcollector);
    assert_true(c.members[2].proxy && !c.members[2].subcollector);
    assert_true(c.members[3].proxy && c.members[3].subcollector);
    assert_int_equal(c.members[0].weight, 1);
    assert_int_equal(c.members[1].weight, 3);
    assert_int_equal(c.members[0].from_count, 0);
    assert_int_equal(c.members[3].from_count, 1);
    assert_int_equal(sc_addr_get_v4(&c.members[3].from[0]), 0xc000022c);
    assert_string_equal(c.members[1].address.host, "beta.example");
    assert_false(c.members[1].address.numeric);
    assert_string_equal(c.members[2].address.host, "2001:db8::3");
    assert_int_equal(c.members[3].address.port, 4741);
    assert_int_equal(sc_cluster_find(&c, "delta-4.x"), 3);
    assert_int_equal(sc_cluster_find(&c, "delta"), SC_NO_MEMBER);
    for (uint32_t i = 0; i < c.count; i++)
        assert_int_equal(c.members[i].lane, sc_cluster_lane(c.members[i].name));
    sc_cluster_free(&c);
}

/* Lanes are on disks: the number of a name never changes. */
static void lanes_stay(void **state)
{
    (void)state;
    assert_int_equal(sc_cluster_lane("alpha"), 0x5d8b6dabu);
    assert_int_equal(sc_cluster_lane("beta"), 0xaf81e4c7u);
}

static void the_default_is_two_copies(void **state)
{
    (void)state;
    struct sc_cluster c;
    struct sc_error err;
    assert_int_equal(
        parse("version: 1\nmembers:\n- {name: a, address: 'a:1'}\n- {name: b, address: 'b:1'}\n", &c, &err),
        SC_OK);
    assert_int_equal(c.replication, 2);
    sc_cluster_free(&c);
    assert_int_equal(parse("version: 1\nmembers:\n- {name: a, address: 'a:1'}\n", &c, &err), SC_OK);
    assert_int_equal(c.replication, 1);
    assert_int_equal(c.format, 1);
    sc_cluster_free(&c);
    assert_int_equal(parse("version: 1\nformat: 1\nmembers:\n- {name: a, address: 'a:1'}\n", &c, &err),
                     SC_OK);
    assert_int_equal(c.format, 1);
    sc_cluster_free(&c);
}

static void bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "m.yaml: empty"},
        {"version: 1\n", "m.yaml:1: \"members\" is missing"},
        {"version: 0\nmembers:\n- {name: a, address: 'a:1'}\n",
         "m.yaml:1: version: \"0\" is no number from 1"},
        {"version: 1\nreplication: 4\nmembers:\n- {name: a, address: 'a:1'}\n",
         "m.yaml:2: replication: \"4\" is no number from 1 to 3"},
        {"version: 1\nreplication: 2\nmembers:\n- {name: a, address: 'a:1'}\n",
         "m.yaml:3: members: 1 subcollectors cannot hold 2 copies"},
        {"version: 1\nformat: 0\nmembers:\n- {name: a, address: 'a:1'}\n",
         "m.yaml:2: format: \"0\" is no number from 1"},
        {"version: 1\nformat: 3\nmembers:\n- {name: a, address: 'a:1'}\n",
         "m.yaml:2: format: this program writes formats up to 2: update it on all members"},
        {"version: 1\nmembers:\n- name: a b\n  address: a:1\n",
         "m.yaml:3: members[0].name: \"a b\" is no name"},
        {"version: 1\nmembers:\n- name: -a\n  address: a:1\n",
         "m.yaml:3: members[0].name: \"-a\" is no name"},
        {"version: 1\nmembers:\n- name: a\n  address: a:1\n- name: a\n  address: b:1\n",
         "m.yaml:5: members[1].name: \"a\" is there already"},
        {"version: 1\nmembers:\n- name: a\n", "m.yaml:3: members[0]: \"address\" is missing"},
        {"version: 1\nmembers:\n- name: a\n  address: a\n", "m.yaml:4: members[0].address: "},
        {"version: 1\nmembers:\n- name: a\n  address: udp://a:1\n",
         "m.yaml:4: members[0].address: \"udp://a:1\" is no HOST"},
        {"version: 1\nmembers:\n- name: a\n  address: a:1\n  roles: [proxy, boss]\n",
         "m.yaml:5: members[0].roles: \"boss\" is no role; proxy and subcollector are"},
        {"version: 1\nmembers:\n- name: a\n  address: a:1\n  weight: 0\n",
         "m.yaml:5: members[0].weight: \"0\" is no number"},
        {"version: 1\nmembers:\n- name: a\n  address: a:1\n  state: away\n",
         "m.yaml:5: members[0].state: \"away\" is no state; active, draining and gone are"},
        {"version: 1\nreplication: 1\nmembers:\n- {name: a, address: 'a:1', state: draining}\n",
         "m.yaml:3: members: 0 subcollectors cannot hold 1 copies"},
        {"version: 1\nmembers:\n- name: a\n  address: a:1\n  colour: red\n",
         "m.yaml:5: unknown key \"members[0].colour\"; known are name, address, roles, weight, state, from"},
        {"version: 1\nmembers:\n- name: a\n  address: a:1\n  from: [192.0.2.1, a.example]\n",
         "m.yaml:5: members[0].from: \"a.example\" is no IP address"},
        {"version: 1\nmembers:\n- name: a\n  address: a:1\n  from: "
         "['1::','2::','3::','4::','5::','6::','7::','8::','9::']\n",
         "m.yaml:5: members[0].from: more than 8 addresses"},
        {"version: 1\nmembers: []\n", "m.yaml:1: \"members\" is missing"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_cluster c;
        struct sc_error err = {.message = ""};
        assert_int_equal(parse(cases[i].text, &c, &err), SC_USAGE);
        if (strncmp(err.message, cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("\"%s\", want \"%s\"", err.message, cases[i].says);
        assert_int_equal(parse(cases[i].text, &c, NULL), SC_USAGE);
    }
}

static void targets_follow_the_ring(void **state)
{
    (void)state;
    struct sc_cluster c;
    struct sc_error err;
    uint32_t out[SC_CLUSTER_MAX_COPIES];
    bool usable[5] = {true, true, true, true, true};
    assert_int_equal(parse(five, &c, &err), SC_OK);
    assert_int_equal(sc_cluster_targets(&c, 1, usable, out), 3); /* gamma is no subcollector */
    assert_true(out[0] == 1 && out[1] == 3 && out[2] == 4);
    assert_int_equal(sc_cluster_targets(&c, 4, usable, out), 3);
    assert_true(out[0] == 4 && out[1] == 0 && out[2] == 1);
    usable[4] = usable[0] = false;
    assert_int_equal(sc_cluster_targets(&c, 4, usable, out), 2);
    assert_true(out[0] == 1 && out[1] == 3);
    usable[1] = usable[3] = false;
    assert_int_equal(sc_cluster_targets(&c, 4, usable, out), 0);
    sc_cluster_free(&c);
}

static void who_leaves_keeps_its_place(void **state)
{
    (void)state;
    static const char four[] =
        "version: 1\nmembers:\n- {name: a, address: 'a:1'}\n- {name: b, address: 'b:1', state: gone}\n"
        "- {name: c, address: 'c:1', state: draining}\n- {name: d, address: 'd:1', state: active}\n";
    struct sc_cluster c;
    struct sc_error err;
    uint32_t out[SC_CLUSTER_MAX_COPIES];
    assert_int_equal(parse(four, &c, &err), SC_OK);
    assert_true(!c.members[1].subcollector && !c.members[1].proxy && c.members[2].subcollector);
    assert_false(sc_member_takes(&c.members[1]) || sc_member_takes(&c.members[2]));
    for (uint32_t i = 1; i < 4; i++) {
        assert_int_equal(sc_cluster_holders(&c, sc_cluster_lane(c.members[i].name), out), 2);
        assert_true(out[0] == 3 && out[1] == 0);
    }
    assert_int_equal(sc_cluster_holders(&c, 5, out), 2); /* nobody's, so the second one's */
    assert_true(out[0] == 3 && out[1] == 0);
    uint64_t hash = sc_cluster_ring_hash(&c);
    c.members[2].state = SC_MEMBER_ACTIVE;
    assert_true(hash != sc_cluster_ring_hash(&c));
    sc_cluster_free(&c);
}

static void copies_are_equal_until_they_are_changed(void **state)
{
    (void)state;
    struct sc_cluster c, copy;
    struct sc_error err;
    assert_int_equal(parse(five, &c, &err), SC_OK);
    assert_int_equal(sc_cluster_copy(&c, &copy), SC_OK);
    assert_true(sc_cluster_equal(&c, &copy));
    copy.members[3].from[0].b[15]++;
    assert_false(sc_cluster_equal(&c, &copy));
    copy.members[3].from[0].b[15]--;
    copy.members[1].weight++;
    assert_false(sc_cluster_equal(&c, &copy));
    copy.members[1] = c.members[1];
    copy.members[4].address.port++;
    assert_false(sc_cluster_equal(&c, &copy));
    copy.members[4] = c.members[4];
    copy.members[0].proxy = !copy.members[0].proxy;
    assert_false(sc_cluster_equal(&c, &copy));
    copy.members[0] = c.members[0];
    copy.count--;
    assert_false(sc_cluster_equal(&c, &copy));
    copy.count++;
    copy.replication--;
    assert_false(sc_cluster_equal(&c, &copy));
    copy.replication++;
    copy.format++;
    assert_false(sc_cluster_equal(&c, &copy));
    sc_cluster_free(&copy);
    sc_cluster_free(&c);
}

/* ---- many members ---- */

static char *write_many(uint32_t count)
{
    struct sc_buf text = {0};
    sc_buf_append_str(&text, "version: 1\nmembers:\n");
    for (uint32_t i = 0; i < count; i++)
        sc_buf_printf(&text, "  - {name: node-%u, address: 'node-%u.flows.example.org:4741'}\n", i, i);
    sc_buf_append_u8(&text, 0);
    assert_true(sc_buf_ok(&text));
    return (char *)text.data;
}

static void check_found(const struct sc_cluster *c)
{
    char name[SC_CLUSTER_NAME_MAX];
    for (uint32_t i = 0; i < c->count; i++) {
        snprintf(name, sizeof(name), "node-%u", i);
        assert_int_equal(sc_cluster_find(c, name), i);
        assert_int_equal(sc_cluster_find_lane(c, sc_cluster_lane(name)), i);
        assert_int_equal(sc_cluster_home(c, c->members[i].lane), i);
    }
    snprintf(name, sizeof(name), "node-%u", c->count);
    assert_int_equal(sc_cluster_find(c, name), SC_NO_MEMBER);
    assert_int_equal(sc_cluster_find(c, ""), SC_NO_MEMBER);
    assert_int_equal(sc_cluster_find_lane(c, 0), SC_NO_MEMBER);
    assert_int_equal(sc_cluster_find_lane(c, UINT32_MAX), SC_NO_MEMBER);
}

/* Each is found by its lane, in a copy too, and where nothing was prepared for that. */
static void a_thousand_members_are_read_and_found(void **state)
{
    struct sc_cluster c, copy, by_hand;
    struct sc_error err = {0};
    char *text = write_many(SC_CLUSTER_MAX_MEMBERS);
    (void)state;
    assert_int_equal(parse(text, &c, &err), SC_OK);
    assert_int_equal(c.count, SC_CLUSTER_MAX_MEMBERS);
    assert_true(c.count >= 1000);
    check_found(&c);
    assert_int_equal(sc_cluster_copy(&c, &copy), SC_OK);
    assert_true(copy.by_lane != c.by_lane && sc_cluster_equal(&c, &copy));
    by_hand = c;
    by_hand.by_lane = NULL;
    check_found(&by_hand);
    sc_cluster_free(&c);
    check_found(&copy);
    sc_cluster_free(&copy);
    free(text);
    text = write_many(SC_CLUSTER_MAX_MEMBERS + 1);
    assert_int_equal(parse(text, &c, &err), SC_USAGE);
    assert_non_null(strstr(err.message, "more than 1024"));
    free(text);
}

UNIT(test_cluster)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(lanes_stay),
        cmocka_unit_test(the_default_is_two_copies),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(targets_follow_the_ring),
        cmocka_unit_test(who_leaves_keeps_its_place),
        cmocka_unit_test(copies_are_equal_until_they_are_changed),
        cmocka_unit_test(a_thousand_members_are_read_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
