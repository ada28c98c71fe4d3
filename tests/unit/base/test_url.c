// SPDX-License-Identifier: BSD-3-Clause
/* udp:// and tcp:// URLs: what is read, what is refused with which words. */
#include "base/url.h"

#include "unit.h"

static void urls_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *written;
        enum sc_url_scheme scheme;
        uint16_t port;
        bool numeric;
    } cases[] = {
        {"udp://127.0.0.1:4739", "127.0.0.1", "udp://127.0.0.1:4739", SC_URL_UDP, 4739, true},
        {"tcp://[::]:0", "::", "tcp://[::]:0", SC_URL_TCP, 0, true},
        {"udp://[2001:DB8:0::1]:65535", "2001:DB8:0::1", "udp://[2001:db8::1]:65535", SC_URL_UDP, 65535,
         true},
        {"tcp://collector.example:1", "collector.example", "tcp://collector.example:1", SC_URL_TCP, 1, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_url url;
        struct sc_error err;
        char text[SC_URL_TEXT_MAX];
        assert_int_equal(sc_url_parse(cases[i].text, &url, &err), SC_OK);
        assert_int_equal(url.scheme, cases[i].scheme);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.numeric, cases[i].numeric);
        assert_int_equal(sc_url_format(&url, text), strlen(cases[i].written));
        assert_string_equal(text, cases[i].written);
    }
}

static void what_is_no_url_is_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "\"\" is no URL such as udp://127.0.0.1:4739 or tcp://[::]:4739"},
        {"127.0.0.1:4739", "\"127.0.0.1:4739\" is no URL such as udp://127.0.0.1:4739 or tcp://[::]:4739"},
        {"sctp://h:1", "\"sctp://h:1\": unknown scheme \"sctp\"; udp and tcp are known"},
        {"udp://127.0.0.1", "\"udp://127.0.0.1\": the port is missing, as in udp://127.0.0.1:4739"},
        {"udp://", "\"udp://\": the port is missing, as in udp://127.0.0.1:4739"},
        {"udp://:1", "\"udp://:1\": the host is missing"},
        {"udp://h:", "\"udp://h:\": \"\" is no port from 0 to 65535"},
        {"udp://h:65536", "\"udp://h:65536\": \"65536\" is no port from 0 to 65535"},
        {"udp://h:-1", "\"udp://h:-1\": \"-1\" is no port from 0 to 65535"},
        {"udp://h:1/x", "\"udp://h:1/x\": \"1/x\" is no port from 0 to 65535"},
        {"udp://::1:4739", "\"udp://::1:4739\": an IPv6 address stands in brackets, as in udp://[::1]:4739"},
        {"udp://[::1]", "\"udp://[::1]\": the port is missing, as in udp://[::1]:4739"},
        {"udp://[h]:1", "\"udp://[h]:1\": \"h\" is no IPv6 address"},
        {"udp://a b:1", "\"udp://a b:1\": \"a b\" is no host"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_url url;
        struct sc_error err;
        assert_int_equal(sc_url_parse(cases[i].text, &url, &err), SC_USAGE);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void a_host_of_any_length_is_refused_or_fits(void **state)
{
    (void)state;
    char text[600];
    for (size_t length = 200; length < 500; length++) {
        struct sc_url url;
        memcpy(text, "udp://", 6);
        memset(text + 6, 'a', length);
        memcpy(text + 6 + length, ":1", 3);
        enum sc_status expected = length < SC_URL_HOST_MAX ? SC_OK : SC_USAGE;
        assert_int_equal(sc_url_parse(text, &url, NULL), expected);
    }
}

UNIT(test_url)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read_and_written),
        cmocka_unit_test(what_is_no_url_is_explained),
        cmocka_unit_test(a_host_of_any_length_is_refused_or_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
