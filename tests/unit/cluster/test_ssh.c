// SPDX-License-Identifier: BSD-3-Clause
/* The words of ssh. */
#include "cluster/ssh.h"
#include "unit.h"

#include <string.h>

static void words_of_ssh(void **state)
{
    (void)state;
    static const char *const refused[] = {"",    "-oProxyCommand=x", "a b", "a;b", "a\nb", "$(a)",
                                          "a'b", "user@host",        "a/b"};
    static const char *const taken[] = {"alpha",       "alpha-2.example.org", "192.0.2.1",
                                        "2001:db8::1", "fe80::1%eth0",        "a_b"};
    struct sc_error err = {0};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct sc_ask ask = {0};
        char command[] = "ssh";
        assert_int_equal(sc_ssh_words(&ask, command, refused[i], &err), SC_USAGE);
    }
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        struct sc_ask ask = {0};
        char command[] = "  ssh -i  /etc/key ";
        assert_int_equal(sc_ssh_words(&ask, command, taken[i], &err), SC_OK);
        assert_string_equal(ask.words[0], "ssh");
        assert_string_equal(ask.words[1], "-i");
        assert_string_equal(ask.words[2], "/etc/key");
        assert_string_equal(ask.words[ask.word_count - 2], "--");
        assert_string_equal(ask.words[ask.word_count - 1], taken[i]);
    }
    struct sc_ask ask = {0};
    char empty[] = " ", many[400];
    assert_int_equal(sc_ssh_words(&ask, empty, "a", &err), SC_USAGE);
    for (size_t i = 0; i + 1 < sizeof(many); i++)
        many[i] = i % 2 == 0 ? 'a' : ' ';
    many[sizeof(many) - 1] = '\0';
    ask = (struct sc_ask){0};
    assert_int_equal(sc_ssh_words(&ask, many, "a", &err), SC_USAGE);
}

UNIT(test_ssh)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_ssh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
