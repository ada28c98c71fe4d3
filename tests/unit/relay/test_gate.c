// SPDX-License-Identifier: BSD-3-Clause
/* Who comes in at the link port, which lanes and streams are believed in, and how what is refused is told. */
#include "store_kit.h"

#include "relay/gate.h"
#include "relay/lane_names.h"
#include "relay/refusals.h"
#include "relay/stream_owners.h"

#include <sys/stat.h>
#include <time.h>

static struct sc_addr address(const char *text)
{
    struct sc_addr a;
    assert_true(sc_addr_parse(text, strlen(text), &a));
    return a;
}

static struct sc_cluster members(const char *text)
{
    struct sc_cluster c;
    struct sc_error err = {0};
    if (sc_cluster_parse("test", (const uint8_t *)text, strlen(text), &c, &err) != SC_OK)
        fail_msg("%s", err.message);
    return c;
}

#define THREE                                                                                                \
    "version: 1\nreplication: 1\nmembers:\n- {name: alpha, address: '192.0.2.1:4741'}\n"                     \
    "- {name: beta, address: '[2001:db8::2]:4741', from: [192.0.2.9, '2001:db8::9']}\n"                      \
    "- {name: gamma, address: 'host.example:4741', roles: [proxy]}\n"

/* ---- addresses and names ---- */

static bool admits(const struct sc_gate *gate, const char *name, const char *from)
{
    const struct sc_addr a = address(from);
    return sc_gate_admits(gate, name, &a);
}

static bool opens(const struct sc_gate *gate, const char *from)
{
    const struct sc_addr a = address(from);
    return sc_gate_opens(gate, &a);
}

static void a_member_comes_from_its_addresses(void **state)
{
    (void)state;
    struct sc_gate gate = {0};
    struct sc_cluster three = members(THREE);
    assert_int_equal(sc_gate_set_members(&gate, &three), SC_OK);
    assert_true(opens(&gate, "192.0.2.1") && opens(&gate, "2001:db8::2") && opens(&gate, "192.0.2.9"));
    assert_false(opens(&gate, "192.0.2.2") || opens(&gate, "127.0.0.1") || opens(&gate, "::1"));
    assert_true(admits(&gate, "alpha", "192.0.2.1"));
    assert_true(admits(&gate, "beta", "2001:db8::2") && admits(&gate, "beta", "192.0.2.9") &&
                admits(&gate, "beta", "2001:db8::9"));
    assert_false(admits(&gate, "alpha", "192.0.2.9") || admits(&gate, "beta", "192.0.2.1"));
    assert_false(admits(&gate, "mallory", "192.0.2.1") || admits(&gate, "", "192.0.2.1"));
    sc_gate_free(&gate);
}

/* A host name's addresses are what was found last; when nothing is, those from before hold. */
static void a_name_has_the_addresses_found(void **state)
{
    (void)state;
    struct sc_gate gate = {0};
    struct sc_cluster three = members(THREE);
    const struct sc_addr first[] = {address("198.51.100.1"), address("198.51.100.2")};
    const struct sc_addr second = address("198.51.100.3");
    assert_int_equal(sc_gate_set_members(&gate, &three), SC_OK);
    assert_false(opens(&gate, "198.51.100.1"));
    sc_gate_found(&gate, "gamma", first, 2);
    sc_gate_found(&gate, "nobody", &second, 1);
    assert_true(admits(&gate, "gamma", "198.51.100.1") && admits(&gate, "gamma", "198.51.100.2"));
    assert_false(admits(&gate, "beta", "198.51.100.1") || opens(&gate, "198.51.100.3"));
    sc_gate_found(&gate, "gamma", NULL, 0);
    assert_true(opens(&gate, "198.51.100.2"));
    for (int times = 0; times < 1000; times++)
        sc_gate_found(&gate, "gamma", &second, 1);
    assert_true(admits(&gate, "gamma", "198.51.100.3") && !opens(&gate, "198.51.100.2"));
    sc_gate_free(&gate);
}

static void take(struct sc_gate *gate, const char *list)
{
    char text[512];
    snprintf(text, sizeof(text), "version: 2\nreplication: 1\nmembers:\n%s", list);
    struct sc_cluster fresh = members(text);
    assert_int_equal(sc_gate_set_members(gate, &fresh), SC_OK);
}

/* A new membership file while the name service is away: who has the host name that he had is known by what was found for it. */
static void a_new_file_forgets_no_address_that_was_found(void **state)
{
    (void)state;
    struct sc_gate gate = {0};
    struct sc_addr found[SC_GATE_FOUND_MOST];
    for (unsigned i = 0; i < SC_GATE_FOUND_MOST; i++) {
        char text[32];
        snprintf(text, sizeof(text), "198.51.100.%u", i + 1);
        found[i] = address(text);
    }
    take(&gate, "- {name: alpha, address: '192.0.2.1:1'}\n"
                "- {name: gamma, address: 'host.example:4741', from: [198.51.100.1], roles: [proxy]}\n"
                "- {name: delta, address: 'other.example:4741', roles: [proxy]}\n");
    assert_false(sc_gate_is_found(&gate, "gamma")); /* what `from` says is not its name's */
    sc_gate_found(&gate, "gamma", found, SC_GATE_FOUND_MOST);
    sc_gate_found(&gate, "delta", &found[2], 1);
    assert_true(sc_gate_is_found(&gate, "gamma") && sc_gate_is_found(&gate, "delta"));
    assert_false(sc_gate_is_found(&gate, "alpha") || sc_gate_is_found(&gate, "nobody"));
    for (int times = 0; times < 100;
         times++) { /* the members in other places, without `from`, with another port */
        take(&gate, "- {name: epsilon, address: '192.0.2.5:1'}\n"
                    "- {name: gamma, address: 'host.example:4742', roles: [proxy]}\n"
                    "- {name: delta, address: 'third.example:4741', roles: [proxy]}\n");
        assert_true(admits(&gate, "gamma", "198.51.100.1") && admits(&gate, "gamma", "198.51.100.8"));
        assert_false(admits(&gate, "delta", "198.51.100.3")); /* it has another host */
        assert_true(sc_gate_is_found(&gate, "gamma") && !sc_gate_is_found(&gate, "delta"));
        assert_false(opens(&gate, "192.0.2.1"));
    }
    sc_gate_found(&gate, "gamma", NULL, 0);
    assert_true(admits(&gate, "gamma", "198.51.100.8"));
    sc_gate_found(&gate, "gamma", found, 1);
    assert_true(opens(&gate, "198.51.100.1") && !opens(&gate, "198.51.100.2"));
    take(&gate, "- {name: gamma, address: '192.0.2.7:1'}\n");
    assert_true(opens(&gate, "192.0.2.7") && !opens(&gate, "198.51.100.1")); /* it is a number now */
    sc_gate_free(&gate);
}

/* ---- lanes ---- */

static void make_folder(const char *store, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/.replica", store);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/.replica/%s", store, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void assert_folder(const struct sc_lane_names *names, const struct sc_cluster *c, uint32_t lane,
                          const char *wanted)
{
    char folder[SC_LANE_FOLDER_MAX];
    sc_lane_names_folder(names, c, lane, folder);
    assert_string_equal(folder, wanted);
}

/* However many an earlier version has stored, they are all read and go on; of new ones there are few. */
static void lanes_of_nobody_are_few(void **state)
{
    (void)state;
    char *store = kit_folder(), name[32];
    struct sc_lane_names names = {0};
    struct sc_cluster three = members(THREE);
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "lane-%08x", 0x1000 + i);
        make_folder(store, name);
    }
    make_folder(store, "delta");
    sc_lane_names_load(&names, store);
    for (uint32_t i = 0; i < 100; i++)
        assert_true(sc_lane_names_admit(&names, &three, 0x1000 + i));
    assert_true(sc_lane_names_admit(&names, &three, sc_cluster_lane("delta")));
    assert_folder(&names, &three, sc_cluster_lane("delta"), "delta");
    uint32_t taken = 0;
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 1000; i++)
            taken += sc_lane_names_admit(&names, &three, 0x5000 + i);
        assert_int_equal(taken, SC_LANES_OTHER * (uint32_t)(round + 1));
    }
    assert_folder(&names, &three, 0x5001, "lane-00005001");
    for (uint32_t i = 0; i < three.count; i++)
        assert_true(sc_lane_names_admit(&names, &three, three.members[i].lane));
    sc_lane_names_free(&names);
    sc_cluster_free(&three);
    kit_remove(store);
}

static void a_member_that_leaves_keeps_its_name(void **state)
{
    (void)state;
    struct sc_lane_names names = {0};
    struct sc_cluster three = members(THREE), one = members("version: 2\nreplication: 1\nmembers:\n"
                                                            "- {name: alpha, address: '192.0.2.1:4741'}\n");
    const uint32_t beta = sc_cluster_lane("beta");
    sc_lane_names_keep(&names, &three, &one);
    for (uint32_t i = 0; i < 1000; i++)
        (void)sc_lane_names_admit(&names, &one, 0x5000 + i);
    assert_true(sc_lane_names_admit(&names, &one, beta));
    assert_folder(&names, &one, beta, "beta");
    sc_lane_names_free(&names);
    sc_cluster_free(&three);
    sc_cluster_free(&one);
}

/* ---- streams ---- */

static void a_stream_is_whose_it_was_first(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_cluster three = members(THREE);
    struct sc_stream_owners owners = {.store = store};
    const struct sc_stream kept = {.proxy = "beta", .stream = 7, .heard_ms = 1},
                           left = {.proxy = "mallory", .stream = 8, .heard_ms = 1};
    assert_int_equal(sc_stream_write(store, &kept, NULL, NULL), SC_OK);
    assert_int_equal(sc_stream_write(store, &left, NULL, NULL), SC_OK);
    assert_true(sc_stream_owners_claim(&owners, &three, 1, "alpha"));
    assert_false(sc_stream_owners_claim(&owners, &three, 1, "beta"));
    assert_true(sc_stream_owners_claim(&owners, &three, 1, "alpha"));
    assert_false(sc_stream_owners_claim(&owners, &three, 7, "alpha")); /* by the file */
    assert_true(sc_stream_owners_claim(&owners, &three, 7, "beta"));
    assert_true(sc_stream_owners_claim(&owners, &three, 8, "alpha")); /* of one that is no member */
    assert_false(sc_stream_owners_claim(&owners, &three, 8, "beta"));
    for (uint64_t stream = 100; stream < 100 + 3 * (uint64_t)SC_STREAMS_KNOWN; stream++)
        assert_true(sc_stream_owners_claim(&owners, &three, stream * 77, "gamma"));
    assert_true(owners.count <= SC_STREAMS_KNOWN);
    assert_false(sc_stream_owners_claim(&owners, &three, 7, "gamma"));
    sc_stream_owners_free(&owners);
    sc_cluster_free(&three);
    kit_remove(store);
}

/* ---- what is told ---- */

static uint32_t lines(FILE *log, const char *last)
{
    char line[512];
    uint32_t n = 0;
    rewind(log);
    while (fgets(line, sizeof(line), log) != NULL)
        n++;
    if (n != 0)
        assert_non_null(strstr(line, last));
    return n;
}

static void refusals_are_told_once_a_minute(void **state)
{
    (void)state;
    FILE *stream = tmpfile();
    const struct sc_log log = {.stream = stream, .level = SC_LOG_INFO};
    uint64_t counts[SC_REFUSAL_COUNT];
    struct sc_refusals refusals;
    assert_non_null(stream);
    sc_refusals_init(&refusals);
    for (uint64_t i = 0; i < 1000; i++)
        sc_refusals_note(&refusals, &log, SC_REFUSAL_NAME, "mallory (192.0.2.66 5)", 1000 + i);
    sc_refusals_tell(&refusals, &log, 60000);
    assert_int_equal(lines(stream, ": 1, the last of mallory (192.0.2.66 5)"), 1);
    sc_refusals_tell(&refusals, &log, 61001);
    assert_int_equal(lines(stream, ": 999, the last of mallory"), 2);
    sc_refusals_tell(&refusals, &log, 200000);
    sc_refusals_note(&refusals, &log, SC_REFUSAL_LANE, "beta", 200000);
    assert_int_equal(lines(stream, ": 1, the last of beta"), 3); /* reasons apart */
    sc_refusals_get(&refusals, counts);
    assert_int_equal(counts[SC_REFUSAL_NAME], 1000);
    assert_int_equal(counts[SC_REFUSAL_LANE], 1);
    sc_refusals_note(NULL, &log, SC_REFUSAL_LANE, "beta", 0);
    sc_refusals_free(&refusals);
    fclose(stream);
}

UNIT(test_gate)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_comes_from_its_addresses),
        cmocka_unit_test(a_name_has_the_addresses_found),
        cmocka_unit_test(a_new_file_forgets_no_address_that_was_found),
        cmocka_unit_test(lanes_of_nobody_are_few),
        cmocka_unit_test(a_member_that_leaves_keeps_its_name),
        cmocka_unit_test(a_stream_is_whose_it_was_first),
        cmocka_unit_test(refusals_are_told_once_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
