// SPDX-License-Identifier: BSD-3-Clause
/* Hosts and ssh's words on their way through mpiexec, which divides them at blanks and colons. */
#include "cluster/reach.h"

#include "cluster/launch.h"
#include "store_kit.h"

/* What mpiexec runs as its ssh for a rank, and what that becomes. The words lie in *text, which is the caller's to free. */
static bool on_the_way(const struct sc_launch_rank *ranks, uint32_t count, const char *ssh, uint32_t rank,
                       char **words, char **text)
{
    char *const query[] = {NULL};
    const struct sc_launch l = {.mpiexec = "mpiexec",
                                .guard = "/p/sc-query-guard",
                                .program = "/p/sc-query-rank",
                                .ssh = ssh,
                                .ranks = ranks,
                                .rank_count = count,
                                .query = query};
    static char number[SC_REACH_NUMBER_MAX], orted[] = "orted -mca a \"b:%3A\"";
    struct sc_words command = {0};
    struct sc_error err;
    size_t at = 0, n = 0;
    char *state = NULL;
    assert_int_equal(sc_launch_words(&l, &command, &err), SC_OK);
    while (strcmp(command.list[at], "plm_rsh_agent") != 0)
        at++;
    *text = strdup(command.list[at + 1]);
    sc_words_free(&command);
    assert_null(strchr(*text, ':'));
    for (char *word = strtok_r(*text, " ", &state); word != NULL; word = strtok_r(NULL, " ", &state))
        words[n++] = word;
    sc_reach_number(rank, number);
    words[n++] = number;
    words[n++] = orted;
    words[n] = NULL;
    assert_string_equal(words[1], "--reach");
    return sc_reach_resolve(words + 2);
}

static void check(const char *host, const char *ssh)
{
    const struct sc_launch_rank ranks[] = {
        {.node = ""}, {.node = "a", .host = "192.0.2.1"}, {.node = "b", .host = host}};
    char *words[32], *text;
    assert_true(on_the_way(ranks, 3, ssh, 2, words, &text));
    for (char **word = words + 3; *ssh != '\0'; word++) {
        size_t length = strcspn(ssh, " ");
        assert_int_equal(strlen(*word), length);
        assert_memory_equal(*word, ssh, length);
        ssh += length + (ssh[length] == ' ');
    }
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    assert_string_equal(words[count - 2], host);
    assert_string_equal(words[count - 1], "orted -mca a \"b:%3A\"");
    free(text);
}

static void hosts_and_words_arrive_as_they_are(void **state)
{
    static const char *const hosts[] = {"192.0.2.2",         "fd77::11", "fe80::1%eth0", "::ffff:192.0.2.2",
                                        "alpha.one.example", "a_b",      "a%3Ab",        "%25"};
    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        check(hosts[i], "ssh");
        check(hosts[i], "ssh -J user@[fd77::1]:2222 -o ControlPath=~/.ssh/%C -o X=%3A -b 10.0.0.1");
    }
}

static void every_node_has_a_number_of_its_own(void **state)
{
    enum { MANY = 600 };
    static struct sc_launch_rank ranks[MANY];
    static char hosts[MANY][32];
    (void)state;
    for (unsigned i = 1; i < MANY; i++) {
        snprintf(hosts[i], sizeof(hosts[i]), "fd77::%u", i);
        ranks[i] = (struct sc_launch_rank){.node = "n", .host = hosts[i]};
    }
    ranks[0].node = "";
    for (unsigned i = 1; i < MANY; i += i < 10 ? 1 : 49) {
        char *words[32], *text;
        assert_true(on_the_way(ranks, MANY, "ssh", i, words, &text));
        size_t count = 0;
        while (words[count] != NULL)
            count++;
        assert_string_equal(words[count - 2], hosts[i]);
        free(text);
    }
}

static void numbers_of_nobody_are_refused(void **state)
{
    const struct sc_launch_rank ranks[] = {{.node = ""}, {.node = "a", .host = "192.0.2.1"}};
    static const uint32_t nobody[] = {0, 2, 3, 65535, 1000000};
    (void)state;
    for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
        char *words[32], *text;
        assert_false(on_the_way(ranks, 2, "ssh", nobody[i], words, &text));
        free(text);
    }
    char list[] = "a,b", ssh[] = "ssh", host[] = "c", *none[] = {list, ssh, host, NULL},
         *bare[] = {list, NULL};
    assert_false(sc_reach_resolve(none));
    assert_false(sc_reach_resolve(bare));
}

UNIT(test_reach)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_words_arrive_as_they_are),
        cmocka_unit_test(every_node_has_a_number_of_its_own),
        cmocka_unit_test(numbers_of_nobody_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
