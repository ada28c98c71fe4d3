// SPDX-License-Identifier: BSD-3-Clause
/* What members are told of each other: the newest counts whatever way it came, what is old counts nothing, a restart is no second node. */
#include "relay/facts.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN UINT64_C(1000000)
#define WALL  UINT64_C(1800000000000)

static struct sc_facts_time at(uint64_t ms)
{
    return (struct sc_facts_time){BEGIN + ms, WALL + ms};
}

static struct sc_link_facts facts_of(const char *name, uint64_t instance, uint64_t told_ms, uint64_t age_ms)
{
    struct sc_link_facts f = {.instance = instance,
                              .clock_ms = WALL + told_ms,
                              .age_ms = age_ms,
                              .cluster_version = 3,
                              .window_s = 300,
                              .copies = 2,
                              .link_version = SC_LINK_VERSION,
                              .program = "1"};
    snprintf(f.name, sizeof(f.name), "%s", name);
    return f;
}

/* Told at `told_ms`, by way of others until `now_ms`. */
static void hear(struct sc_facts *f, const char *name, uint64_t instance, uint64_t told_ms, uint64_t now_ms)
{
    const struct sc_link_facts heard = facts_of(name, instance, told_ms, now_ms - told_ms);
    sc_facts_hear(f, &heard, at(now_ms));
}

static struct sc_facts *create(void)
{
    struct sc_facts *f = sc_facts_create();
    const struct sc_link_facts own = facts_of("alpha", 1, 0, 0);
    assert_non_null(f);
    sc_facts_tell(f, &own, at(0));
    return f;
}

static struct sc_cluster members_of(uint32_t count)
{
    struct sc_cluster c = {.count = count, .members = calloc(count, sizeof(struct sc_member))};
    assert_non_null(c.members);
    for (uint32_t i = 0; i < count; i++)
        snprintf(c.members[i].name, sizeof(c.members[i].name), i == 0 ? "alpha" : i == 1 ? "beta" : "m%u", i);
    return c;
}

/* ---- what is said ---- */

static void join(void *arg, const char *sentence)
{
    char *all = arg;
    size_t used = strlen(all);
    snprintf(all + used, 4096 - used, "%s\n", sentence);
}

static void assert_said(struct sc_facts *f, uint64_t ms, const char *sentence)
{
    struct sc_cluster members = members_of(3);
    char all[4096] = "";
    sc_facts_compare(f, &members, at(ms), join, all);
    if (sentence == NULL ? all[0] != '\0' : strstr(all, sentence) == NULL)
        fail_msg("\"%s\" is not what was to be said: %s", all, sentence == NULL ? "nothing" : sentence);
    sc_cluster_free(&members);
}

/* ---- ways ---- */

static void the_newest_counts(void **state)
{
    (void)state;
    struct sc_facts *f = create();
    struct sc_link_facts got;
    int64_t ahead;
    assert_false(sc_facts_get(f, "beta", at(0), &got, &ahead));
    hear(f, "beta", 2, 1000, 1000);
    hear(f, "beta", 2, 3000, 3500); /* by one, quickly */
    hear(f, "beta", 2, 2000, 3600); /* by another, slowly */
    assert_true(sc_facts_get(f, "beta", at(4000), &got, &ahead));
    assert_int_equal(got.clock_ms, WALL + 3000);
    assert_int_equal(got.age_ms, 1000);
    assert_int_equal(ahead, 0);
    assert_true(sc_facts_get(f, "beta", at(3000 + SC_FACTS_FRESH_MS), &got, &ahead));
    assert_false(sc_facts_get(f, "beta", at(3001 + SC_FACTS_FRESH_MS), &got, &ahead));
    hear(f, "beta", 2, 3500, 3501 + SC_FACTS_FRESH_MS); /* too old when it came */
    assert_false(sc_facts_get(f, "beta", at(3501 + SC_FACTS_FRESH_MS), &got, &ahead));
    sc_facts_free(f);
    sc_facts_free(NULL);
}

/* Each of many is passed on within as many goes as they need, the own ones with each; and they arrive no younger than they are. */
static void many_have_their_turns(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct sc_facts *f = create();
    struct sc_link_facts out[SC_FACTS_MOST];
    uint32_t seen[MANY] = {0}, own = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%u", i);
        hear(f, name, 100 + i, 500, 700);
    }
    const struct sc_link_facts self = facts_of("alpha", 1, 900, 0);
    sc_facts_tell(f, &self, at(900));
    for (uint32_t turn = 7; turn < 7 + MANY / SC_FACTS_AT_ONCE + 1; turn++) {
        uint32_t n = sc_facts_to_send(f, turn, at(1000), out);
        assert_true(n <= SC_FACTS_AT_ONCE + 2);
        for (uint32_t i = 0; i < n; i++) {
            bool mine = strcmp(out[i].name, "alpha") == 0;
            assert_int_equal(out[i].age_ms, mine ? 100 : 500);
            own += mine;
            if (!mine)
                seen[atoi(out[i].name + 1)]++;
        }
    }
    assert_int_equal(own, MANY / SC_FACTS_AT_ONCE + 1);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(seen[i], 1);
    uint64_t turns_ms = MANY / SC_FACTS_AT_ONCE * SC_FACTS_EVERY_MS;
    assert_true(sc_facts_to_send(f, 0, at(900 + SC_FACTS_FRESH_MS + turns_ms), out) != 0);
    assert_int_equal(sc_facts_to_send(f, 0, at(901 + SC_FACTS_FRESH_MS + turns_ms), out), 0);
    sc_facts_free(f);
}

/* A node hears of 1,000 others through one proxy, which hears them itself each second: none of them is ever unknown. */
static void a_thousand_are_known_at_any_time(void **state)
{
    (void)state;
    enum { MANY = 1000, SECONDS = 60 };
    struct sc_facts *proxy = create(), *node = create();
    struct sc_link_facts out[SC_FACTS_MOST], got;
    int64_t ahead;
    char name[16];
    for (uint32_t s = 0; s < SECONDS; s++) {
        uint64_t now = s * (uint64_t)SC_FACTS_EVERY_MS;
        for (uint32_t i = 0; i < MANY; i++) {
            snprintf(name, sizeof(name), "m%u", i);
            hear(proxy, name, 100 + i, now, now);
        }
        uint32_t n = sc_facts_to_send(proxy, s, at(now), out);
        assert_true(n <= SC_FACTS_MOST);
        for (uint32_t i = 0; i < n; i++)
            sc_facts_hear(node, &out[i], at(now));
        for (uint32_t i = 0; i < MANY && s > MANY / SC_FACTS_AT_ONCE; i++) {
            snprintf(name, sizeof(name), "m%u", i);
            assert_true(sc_facts_get(node, name, at(now), &got, &ahead));
        }
    }
    uint64_t later = (uint64_t)SECONDS * SC_FACTS_EVERY_MS + 3 * SC_FACTS_FRESH_MS;
    hear(node, "another", 1, later, later); /* what is old makes room */
    assert_false(sc_facts_get(node, "m7", at(later), &got, &ahead));
    assert_true(sc_facts_get(node, "another", at(later), &got, &ahead));
    hear(node, "m7", 107, later, later);
    assert_true(sc_facts_get(node, "m7", at(later), &got, &ahead));
    sc_facts_free(proxy);
    sc_facts_free(node);
}

/* ---- differences ---- */

static void what_differs_is_said(void **state)
{
    (void)state;
    static const struct {
        uint32_t window_s, copies;
        uint64_t version, ring, file;
        int64_t ahead_ms;
        const char *sentence;
    } cases[] = {
        {300, 2, 3, 0, 0, 0, NULL},
        {300, 2, 3, 0, 0, 29000, NULL},
        {300, 2, 3, 0, 0, -30000, NULL},
        {300, 2, 3, 0, 0, 30001, "the clock of beta is 30.001 s ahead of"},
        {300, 2, 3, 0, 0, -172800000, "the clock of beta is 172800.000 s behind"},
        {20, 2, 3, 0, 0, 0, "beta has windows of 20 s, this node of 300 s"},
        {300, 2, 2, 1, 1, 0, "beta has version 2 of the membership file, this node 3"},
        {300, 1, 3, 0, 1, 0, "beta keeps 1 copies of a batch, this node 2"},
        {300, 2, 3, 1, 1, 0, "the ring of beta is another one"},
        {300, 2, 3, 0, 1, 0, "the membership file of beta has the same version and differs (addresses)"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_facts *f = create();
        struct sc_link_facts x = facts_of("beta", 2, 1000, 0);
        x.window_s = cases[i].window_s;
        x.copies = cases[i].copies;
        x.cluster_version = cases[i].version;
        x.ring_hash = cases[i].ring;
        x.file_hash = cases[i].file;
        x.clock_ms += (uint64_t)cases[i].ahead_ms;
        sc_facts_hear(f, &x, at(1000));
        assert_said(f, 1000, cases[i].sentence);
        assert_said(f, 1001 + SC_FACTS_FRESH_MS, NULL);
        snprintf(x.name, sizeof(x.name), "stranger"); /* that is no member */
        sc_facts_hear(f, &x, at(20000));
        assert_said(f, 20000, NULL);
        sc_facts_free(f);
    }
}

static void a_restart_is_no_second_node(void **state)
{
    (void)state;
    struct sc_facts *f = create();
    for (uint64_t ms = 0; ms <= 5000; ms += 1000)
        hear(f, "beta", 2, ms, ms);
    for (uint64_t ms = 6000; ms <= 9000; ms += 1000) {
        hear(f, "beta", 3, ms, ms);
        hear(f, "beta", 2, 5000, ms); /* still on its way, by way of others */
        assert_said(f, ms, NULL);
    }
    sc_facts_free(f);
}

static void two_nodes_are_seen_and_passed_on(void **state)
{
    (void)state;
    struct sc_facts *f = create();
    struct sc_link_facts out[SC_FACTS_MOST];
    bool passed[2] = {false, false};
    for (uint64_t ms = 0; ms <= 5000; ms += 1000) {
        hear(f, "beta", 2, ms, ms);
        hear(f, "beta", 3, ms + 400, ms + 400);
    }
    assert_said(f, 5400, "two nodes are called beta");
    for (uint32_t i = sc_facts_to_send(f, 0, at(5400), out); i-- > 0;) {
        if (strcmp(out[i].name, "beta") == 0)
            passed[out[i].instance - 2] = true;
    }
    assert_true(passed[0] && passed[1]);
    for (uint64_t ms = 6000; ms <= 16000; ms += 1000) /* one of them ends */
        hear(f, "beta", 3, ms, ms);
    assert_said(f, 16000, NULL);
    for (uint64_t ms = 17000; ms <= 21000; ms += 1000) { /* somebody is called as this node is */
        const struct sc_link_facts own = facts_of("alpha", 1, ms, 0);
        sc_facts_tell(f, &own, at(ms));
        hear(f, "alpha", 9, ms + 1, ms + 1);
    }
    assert_said(f, 21001, "two nodes are called alpha");
    sc_facts_free(f);
}

/* ---- the time by others ---- */

/* A member whose clock is so far ahead, heard of at `ms`. */
static void hear_clock(struct sc_facts *f, const char *name, int64_t ahead_ms, uint64_t ms)
{
    struct sc_link_facts x = facts_of(name, 7, ms, 0);
    x.clock_ms += (uint64_t)ahead_ms;
    sc_facts_hear(f, &x, at(ms));
}

#define DAYS(n) (INT64_C(86400000) * (n))

/* How far the time by others is ahead of the own clock, which is `own_ms` ahead of what it should be. */
static bool find(struct sc_facts *f, int64_t own_ms, uint64_t ms, int64_t *ahead_ms)
{
    struct sc_facts_time now = at(ms);
    uint64_t time_ms;
    now.wall_ms += (uint64_t)own_ms;
    sc_facts_follow(f, now);
    if (!sc_reference_time(sc_facts_reference(f), now.mono_ms, &time_ms))
        return false;
    *ahead_ms = (int64_t)(time_ms - now.wall_ms);
    return true;
}

static void the_time_is_the_median(void **state)
{
    (void)state;
    static const struct {
        uint32_t count; /* of others */
        int64_t clocks[4], own, found;
    } cases[] = {
        {2, {0, 0}, 0, 0},
        {2, {100, -100}, 50, 0},               /* between them: that is one of the medians */
        {2, {100, 200}, 0, 100},               /* the nearest to the own */
        {2, {-100, -200}, 0, -100},            /* likewise */
        {2, {0, DAYS(2)}, 0, 0},               /* one that is wrong moves nobody */
        {2, {-DAYS(2), 0}, 0, 0},              /* likewise */
        {2, {0, 20}, DAYS(2), 20 - DAYS(2)},   /* who is wrong is told */
        {2, {0, 20}, -DAYS(2), DAYS(2)},       /* likewise */
        {3, {0, 10, DAYS(9)}, 400, 10 - 400},  /* an odd number has one */
        {4, {-5, 5, DAYS(9), 9}, 400, 9 - 400} /* 5 to 9 */
    };
    static const char *const names[] = {"beta", "m2", "m3", "m4"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_facts *f = create();
        int64_t ahead = 0;
        for (uint32_t k = 0; k < cases[i].count; k++) {
            assert_int_equal(find(f, 0, 1000, &ahead), k >= 2); /* fewer say nothing */
            hear_clock(f, names[k], cases[i].clocks[k], 1000);
        }
        assert_true(find(f, cases[i].own, 1000, &ahead));
        assert_true(ahead == cases[i].found);
        assert_true(find(f, cases[i].own, 9000, &ahead)); /* clocks go on */
        assert_true(ahead == cases[i].found);
        assert_false(find(f, cases[i].own, 1001 + SC_FACTS_FRESH_MS, &ahead));
        sc_facts_free(f);
    }
}

/* Other threads have it with the second one who tells, without waiting for anybody; one who has the same time is enough to begin. */
static void it_is_known_at_once(void **state)
{
    (void)state;
    struct sc_facts *f = create();
    const struct sc_reference *reference = sc_facts_reference(f);
    uint64_t time_ms;
    hear_clock(f, "alpha", 0, 1000); /* it hears of itself */
    hear_clock(f, "beta", 300001, 1000);
    assert_false(sc_reference_is_compared(reference));
    hear_clock(f, "m2", 300001, 1000);
    assert_true(sc_reference_is_compared(reference));
    assert_true(sc_reference_time(reference, at(1500).mono_ms, &time_ms) && time_ms == WALL + 1500 + 300001);
    sc_facts_follow(f, at(1001 + SC_FACTS_FRESH_MS)); /* both end */
    assert_false(sc_reference_time(reference, at(20000).mono_ms, &time_ms));
    assert_false(sc_reference_is_compared(reference));
    hear_clock(f, "m2", -300000, 20000);
    assert_true(sc_reference_is_compared(reference));
    assert_false(sc_reference_time(reference, at(20000).mono_ms, &time_ms));
    hear_clock(f, "beta", -300000, 20000);
    sc_facts_follow(f, at(21000));
    assert_true(sc_reference_time(reference, at(21000).mono_ms, &time_ms) &&
                time_ms == WALL + 21000 - 300000);
    sc_facts_free(f);
}

/* What this node's own clock is does not count, whoever passes it on; nor do two with one name twice. */
static void only_others_count(void **state)
{
    (void)state;
    struct sc_facts *f = create();
    int64_t ahead;
    hear_clock(f, "alpha", DAYS(3), 1000);
    hear_clock(f, "beta", DAYS(3), 1000);
    hear(f, "beta", 9, 1000, 1000);
    assert_false(find(f, 0, 1000, &ahead));
    sc_facts_free(f);
}

/* A step of the own clock is seen at once, not when others have told again; and is said. */
static void a_step_is_seen_at_once(void **state)
{
    (void)state;
    struct sc_facts *f = create();
    struct sc_link_facts got;
    struct sc_facts_time now = at(1500);
    struct sc_cluster members = members_of(3);
    char all[4096] = "";
    int64_t ahead;
    hear_clock(f, "beta", 0, 1000);
    hear_clock(f, "m2", 0, 1000);
    assert_said(f, 1500, NULL);
    now.wall_ms += 3600000;
    assert_true(sc_facts_get(f, "beta", now, &got, &ahead));
    assert_true(ahead == -3600000);
    assert_true(find(f, 3600000, 1500, &ahead));
    assert_true(ahead == -3600000);
    sc_facts_compare(f, &members, now, join, all);
    assert_non_null(
        strstr(all, "this node's clock is 3600.000 s ahead of the median of the other members'\n"));
    members.members[0].proxy = true;
    sc_facts_compare(f, &members, now, join, all);
    assert_non_null(strstr(all, "are stamped by that"));
    sc_cluster_free(&members);
    sc_facts_free(f);
}

/* ---- over the link ---- */

static enum sc_status on_facts(void *arg, const struct sc_link_facts *facts)
{
    *(struct sc_link_facts *)arg = *facts;
    return SC_OK;
}

/* Message by message. @return what ended it. */
static enum sc_status feed(struct sc_link_reader *reader, const struct sc_buf *out)
{
    enum sc_status status = SC_OK;
    struct sc_error err;
    for (size_t at = 0; at < out->len && status == SC_OK; at += sc_load_be16(out->data + at + 2))
        status = sc_link_read(reader, out->data + at, sc_load_be16(out->data + at + 2), &err);
    return status;
}

static void facts_go_over_the_link(void **state)
{
    (void)state;
    const uint64_t big = UINT64_C(0xf0f1f2f3f4f5f600);
    struct sc_link_facts sent = {.name = "beta.example",
                                 .program = "0.1.0",
                                 .instance = big,
                                 .clock_ms = big + 1,
                                 .age_ms = big + 2,
                                 .horizon_ms = big + 3,
                                 .free_bytes = big + 4,
                                 .cluster_version = big + 5,
                                 .ring_hash = big + 6,
                                 .file_hash = big + 7,
                                 .window_s = 0xe1e2e3e4u,
                                 .copies = 0xd1d2d3d4u,
                                 .link_version = 0xc1c2u};
    struct sc_link_facts got = {0};
    struct sc_link_reader reader = {.facts = on_facts, .arg = &got};
    struct sc_link_writer w = {0};
    sc_link_put_hello(&w, &(struct sc_link_hello){.version = SC_LINK_VERSION, .name = "beta"});
    size_t facts_at = w.out.len;
    sc_link_put_facts(&w, &sent);
    assert_int_equal(feed(&reader, &w.out), SC_OK);
    assert_memory_equal(&got, &sent,
                        offsetof(struct sc_link_facts, link_version) + sizeof(sent.link_version));
    for (size_t i = w.out.len - 20; i < w.out.len; i++) { /* cut anywhere in the names */
        const struct sc_buf cut = {.data = w.out.data, .len = i};
        sc_store_be16(w.out.data + facts_at + 2, (uint16_t)(i - facts_at));
        sc_store_be16(w.out.data + facts_at + 18, (uint16_t)(i - facts_at - 16));
        assert_int_equal(feed(&reader, &cut), SC_MALFORMED);
    }
    sc_buf_clear(&w.out);
    snprintf(sent.name, sizeof(sent.name), "be ta"); /* no name */
    sc_link_put_facts(&w, &sent);
    assert_int_equal(feed(&reader, &w.out), SC_MALFORMED);
    sc_link_reader_free(&reader);
    sc_buf_free(&w.out);
}

UNIT(test_facts)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_counts),
        cmocka_unit_test(many_have_their_turns),
        cmocka_unit_test(a_thousand_are_known_at_any_time),
        cmocka_unit_test(what_differs_is_said),
        cmocka_unit_test(a_restart_is_no_second_node),
        cmocka_unit_test(two_nodes_are_seen_and_passed_on),
        cmocka_unit_test(the_time_is_the_median),
        cmocka_unit_test(it_is_known_at_once),
        cmocka_unit_test(only_others_count),
        cmocka_unit_test(a_step_is_seen_at_once),
        cmocka_unit_test(facts_go_over_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
