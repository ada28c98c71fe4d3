// SPDX-License-Identifier: BSD-3-Clause
/* The configuration: what is read, and what is said, with file and line, about what cannot be. */

#include "conf/config.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sc_status parse(const char *text, struct sc_config *config, struct sc_error *err)
{
    assert_int_equal(sc_config_init(config, err), SC_OK);
    return sc_config_parse("f.yaml", (const uint8_t *)text, strlen(text), config, err);
}

static void an_empty_document_gives_the_defaults(void **state)
{
    (void)state;
    static const char *const documents[] = {"", "# nothing\n", "---\n"};
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        struct sc_config c;
        struct sc_error err;
        assert_int_equal(parse(documents[i], &c, &err), SC_OK);
        assert_int_equal(c.listener_count, 2);
        assert_int_equal(c.listeners[0].port, 4739);
        assert_int_equal(c.listeners[1].port, 2055);
        assert_int_equal(c.listeners[0].scheme, SC_URL_UDP);
        assert_string_equal(c.store, "/var/lib/securitycloud");
        assert_int_equal(c.window_s, 300);
        assert_int_equal(c.receivers, 1);
        assert_int_equal(c.template_lifetime_s, 1800);
        assert_int_equal(c.log_level, SC_LOG_INFO);
        sc_config_free(&c);
    }
}

static void every_key_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "listeners:\n"
        "  - udp://127.0.0.1:2055\n"
        "  - tcp://[::1]:4739\n"
        "store: /tmp/s\n"
        "window: 5m\n"
        "retention: {age: 30d, bytes: 500G, archive: [cp, '-t', /a b], archive-timeout: 90s}\n"
        "receivers: 4\n"
        "template-scope: address\n"
        "template-lifetime: 1h\n"
        "verify-seals: full\n"
        "log-level: debug\n"
        "receive-buffer: 8MiB\n"
        "queue-memory: 1G\n"
        "exporter-memory: 4G\n"
        "exporter-share: 32M\n"
        "exporter-shares:\n"
        "  - {network: 192.0.2.77/24, bytes: 256M}\n"
        "  - {network: '2001:db8::/32', bytes: 1G}\n"
        "cluster: /etc/c.yaml\n"
        "node: alpha\n"
        "tls: /etc/securitycloud/tls\n"
        "link: plain\n"
        "outbox: {bytes: 2G, sync: yes}\n"
        "forward:\n"
        "  - to: tcp://collector.example:4739\n"
        "  - {to: 'udp://[2001:db8::9]:9995', protocol: v9, mode: round-robin}\n"
        "  - {to: 'udp://192.0.2.9:2055', protocol: v5, mode: all}\n"
        "forward-memory: 8M\n"
        "tcp: {connections: 2000, of-exporter: 70}\n";
    struct sc_config c;
    struct sc_error err;
    assert_int_equal(parse(text, &c, &err), SC_OK);
    assert_int_equal(c.listener_count, 2);
    assert_int_equal(c.listeners[1].scheme, SC_URL_TCP);
    assert_string_equal(c.listeners[1].host, "::1");
    assert_true(c.exporter_memory == UINT64_C(4) << 30 && c.exporter_share == 32 << 20);
    const struct sc_addr network = sc_addr_v4(0xc0000200);
    assert_int_equal(c.exporter_share_count, 2);
    assert_true(sc_addr_equal(&c.exporter_shares[0].network, &network));
    assert_int_equal(c.exporter_shares[0].bits, 96 + 24);
    assert_int_equal(c.exporter_shares[0].bytes, 256 << 20);
    assert_int_equal(c.exporter_shares[1].bits, 32);
    assert_string_equal(c.cluster, "/etc/c.yaml");
    assert_string_equal(c.node, "alpha");
    assert_string_equal(c.tls, "/etc/securitycloud/tls");
    assert_true(c.link_plain);
    assert_true(c.outbox_bytes == UINT64_C(2) << 30 && c.outbox_sync);
    assert_int_equal(c.forward_count, 3);
    assert_string_equal(c.forward[0].to.host, "collector.example");
    assert_true(c.forward[0].protocol == 10 && !c.forward[0].round_robin);
    assert_true(c.forward[1].protocol == 9 && c.forward[1].round_robin);
    assert_true(c.forward[2].protocol == 5 && !c.forward[2].round_robin);
    assert_int_equal(c.forward_memory, 8 << 20);
    assert_true(c.tcp_connections == 2000 && c.tcp_of_exporter == 70);
    assert_string_equal(c.store, "/tmp/s");
    assert_int_equal(c.window_s, 300);
    assert_int_equal(c.retention_age_s, 30 * 86400);
    assert_int_equal(c.retention_bytes, UINT64_C(500) << 30);
    assert_true(c.archive != NULL && c.archive_timeout_s == 90);
    assert_string_equal(c.archive[0], "cp");
    assert_string_equal(c.archive[2], "/a b");
    assert_null(c.archive[3]);
    assert_int_equal(c.receivers, 4);
    assert_true(c.template_scope_address);
    assert_int_equal(c.template_lifetime_s, 3600);
    assert_true(c.verify_full);
    assert_int_equal(c.log_level, SC_LOG_DEBUG);
    assert_int_equal(c.receive_buffer, 8 << 20);
    assert_int_equal(c.queue_memory, 1 << 30);
    sc_config_free(&c);
}

static void expect_refused(const char *text, const char *message)
{
    struct sc_config c;
    struct sc_error err = {0};
    if (parse(text, &c, &err) != SC_USAGE)
        fail_msg("accepted: %s", text);
    assert_string_equal(err.message, message);
    assert_string_equal(c.store, "/var/lib/securitycloud"); /* unchanged */
    sc_config_free(&c);
}

static void errors_name_the_line_and_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"store: /x\nlistners:\n  - udp://[::]:1\n",
         "f.yaml:2: unknown key \"listners\"; known are listeners, store, window, retention, receivers, "
         "template-scope, template-lifetime, verify-seals, log-level, receive-buffer, queue-memory, "
         "exporter-memory, exporter-share, exporter-shares, cluster, node, link, tls, outbox, tcp, forward, "
         "forward-memory"},
        {"retention:\n  age: 3d\n\n  size: 4G\n",
         "f.yaml:4: unknown key \"retention.size\"; known are age, bytes, archive, archive-timeout"},
        {"dtls: tcp://h:1\n",
         "f.yaml:1: unknown key \"dtls\"; known are listeners, store, window, retention, receivers, "
         "template-scope, template-lifetime, verify-seals, log-level, receive-buffer, queue-memory, "
         "exporter-memory, exporter-share, exporter-shares, cluster, node, link, tls, outbox, tcp, forward, "
         "forward-memory"},
        {"listeners:\n  - udp://127.0.0.1:1\n  - udp//x\n",
         "f.yaml:3: listeners[1]: \"udp//x\" is no URL such as udp://127.0.0.1:4739 or tcp://[::]:4739"},
        {"listeners:\n- tls://[::]:4740\n",
         "f.yaml:2: listeners[0]: \"tls://[::]:4740\": unknown scheme \"tls\"; udp and tcp are known"},
        {"listeners:\n- udp://localhost:1\n",
         "f.yaml:2: listeners[0]: \"udp://localhost:1\": an address is needed to "
         "listen at, not the name \"localhost\""},
        {"listeners: udp://[::]:1\n", "f.yaml:1: listeners: a list is needed (lines with \"- \")"},
        {"listeners: []\n", "f.yaml:1: listeners: at least one entry is needed"},
        {"listeners:\n  - a: 1\n", "f.yaml:2: listeners[0]: a single value is needed"},
        {"- 1\n", "f.yaml:1: keys with values are needed (key: value)"},
        {"retention: 3d\n", "f.yaml:1: retention: keys with values are needed (key: value)"},
        {"store: /x\n# more\nstore: /y\n", "f.yaml:3: \"store\" stands here a second time"},
        {"store: [/x]\n", "f.yaml:1: store: a single value is needed"},
        {"store:\n", "f.yaml:1: store: a folder is needed"},
        {"window: 7m\n",
         "f.yaml:1: window: a window of 7m does not divide a day; 60, 300, 900 or 3600 seconds do"},
        {"window: soon\n", "f.yaml:1: window: \"soon\" is no time such as 300 or 5m"},
        {"\nreceivers: 0\n", "f.yaml:2: receivers: \"0\" is no number from 1 to 64"},
        {"receivers: 2k\n", "f.yaml:1: receivers: \"2k\" is no number from 1 to 64"},
        {"retention:\n  bytes: 5X\n", "f.yaml:2: retention.bytes: \"5X\" is no size such as 64M or 500G"},
        {"retention:\n  age: 30\n", "f.yaml:2: retention.age: \"30\" has no unit; write 30d for days"},
        {"listeners:\n  - udp://[::1]:2055\n  - tcp://[::1]:2055\n  - udp://[0::1]:2055\n",
         "f.yaml:4: listeners[2]: \"udp://[0::1]:2055\" stands here a second time"},
        {"retention:\n  age: 1y\n", "f.yaml:2: retention.age: \"1y\" is no time such as 90s, 5m, 12h or 30d"},
        {"template-scope: port\n",
         "f.yaml:1: template-scope: \"port\" is neither \"session\" nor \"address\""},
        {"verify-seals: yes\n", "f.yaml:1: verify-seals: \"yes\" is neither \"hash\" nor \"full\""},
        {"template-lifetime: 0\n", "f.yaml:1: template-lifetime: \"0\" is out of range"},
        {"log-level: loud\n",
         "f.yaml:1: log-level: \"loud\" is no log level; error, warning, info and debug are"},
        {"cluster: /c.yaml\n", "f.yaml:1: cluster: \"node\" is needed too"},
        {"node: a\n", "f.yaml:1: node: \"cluster\" is needed too"},
        {"link: maybe\n", "f.yaml:1: link: \"maybe\" is neither \"tls\" nor \"plain\""},
        {"link: tls\n", "f.yaml:1: link: \"tls\" is needed too: the folder that sc-admin certs makes"},
        {"outbox: {bytes: 1M}\n", "f.yaml:1: outbox.bytes: \"1M\" is less than 64M"},
        {"outbox: {sync: maybe}\n", "f.yaml:1: outbox.sync: \"maybe\" is neither \"yes\" nor \"no\""},
        {"forward: tcp://h:1\n", "f.yaml:1: forward: a list is needed (lines with \"- \")"},
        {"forward:\n  - tcp://h:1\n", "f.yaml:2: forward[0]: keys with values are needed (key: value)"},
        {"forward:\n  - {mode: all}\n", "f.yaml:2: forward[0]: \"to\" is needed"},
        {"forward:\n  - {to: 'tls://h:1'}\n",
         "f.yaml:2: forward[0]: \"tls://h:1\": unknown scheme \"tls\"; udp and tcp are known"},
        {"forward:\n  - to: tcp://h:1\n    protocol: v9\n",
         "f.yaml:2: forward[0]: \"tcp://h:1\": NetFlow v9 goes over udp; tcp carries ipfix only"},
        {"forward:\n  - {to: 'udp://h:1', protocol: v7}\n",
         "f.yaml:2: forward[0]: \"v7\" is no protocol; ipfix, v9 and v5 are"},
        {"forward:\n  - {to: 'udp://h:1', mode: some}\n",
         "f.yaml:2: forward[0]: \"some\" is neither \"all\" nor \"round-robin\""},
        {"forward:\n  - to: udp://h:1\n  - to: tcp://h:1\n  - to: udp://H:1\n",
         "f.yaml:4: forward[2]: \"udp://H:1\" stands here a second time"},
        {"forward:\n  - to: udp://h:0\n", "f.yaml:2: forward[0]: \"udp://h:0\": port 0 is none to send to"},
        {"forward:\n  - to: udp://[::]:1\n",
         "f.yaml:2: forward[0]: \"udp://[::]:1\": :: is no address to send to"},
        {"tcp: {connections: 0}\n", "f.yaml:1: tcp.connections: \"0\" is no number from 1 to 1000000"},
        {"tcp:\n  of-exporter: 5x\n", "f.yaml:2: tcp.of-exporter: \"5x\" is no number from 1 to 1000000"},
        {"forward-memory: 1K\n", "f.yaml:1: forward-memory: \"1K\" is less than 1M"},
        {"exporter-memory: 1M\n", "f.yaml:1: exporter-memory: \"1M\" is less than 16M"},
        {"exporter-share: 1K\n", "f.yaml:1: exporter-share: \"1K\" is less than 1M"},
        {"exporter-shares:\n- {network: 192.0.2.0/33, bytes: 2M}\n",
         "f.yaml:2: exporter-shares[0]: \"192.0.2.0/33\" has no prefix length, as in 192.0.2.0/24"},
        {"exporter-shares:\n- {network: example.net/8, bytes: 2M}\n",
         "f.yaml:2: exporter-shares[0]: \"example.net/8\" is no network such as 192.0.2.0/24"},
        {"exporter-shares:\n- {network: 192.0.2.0/24, bytes: 2}\n",
         "f.yaml:2: exporter-shares[0]: \"2\" is no size of 1M or more"},
        {"exporter-shares:\n- {network: 192.0.2.0/24}\n",
         "f.yaml:2: exporter-shares[0]: \"network\" and \"bytes\" are needed"},
        {"queue-memory: 1M\n", "f.yaml:1: queue-memory: \"1M\" is less than 16M"},
        {"store: /x\nwindow: 'a\n", "f.yaml:3: no valid YAML: found unexpected end of stream"},
        {"store: /x\n\twindow: 1\n",
         "f.yaml:2: no valid YAML: found a tab character that violates indentation"},
        {"store: /x\n---\nstore: /y\n", "f.yaml:2: a second document begins here; one is read"},
        {"store: &a /x\nwindow: *a\n", "f.yaml:2: aliases (*a) are not read"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refused(cases[i].text, cases[i].message);
}

static void errors_of_an_archive(void **state)
{
    (void)state;
    expect_refused("retention: {age: 3d, archive: ['', a]}\n",
                   "f.yaml:1: retention.archive: a program and its arguments, 48 words at most");
    expect_refused(
        "retention: {archive: [cp]}\n",
        "f.yaml:1: retention.archive: nothing is deleted, so nothing is archived: give age or bytes");
    expect_refused("retention: {age: 3d, archive: [cp], archive-timeout: 2d}\n",
                   "f.yaml:1: retention.archive-timeout: \"2d\" is not between 1s and 24h");
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct sc_config c;
    struct sc_error err;
    assert_int_equal(sc_config_init(&c, &err), SC_OK);
    assert_int_equal(sc_config_load("/no/such/file.yaml", &c, &err), SC_NOTFOUND);
    assert_string_equal(err.message,
                        "cannot open the configuration /no/such/file.yaml: No such file or directory");
    sc_config_free(&c);
}

/* It would be waited for by the main loop, and read as empty the second time. */
static void a_pipe_is_refused_at_once(void **state)
{
    (void)state;
    char folder[] = "/tmp/sc-conf-XXXXXX", path[64], message[200];
    struct sc_config c;
    struct sc_error err;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sc_config_init(&c, &err), SC_OK);
    alarm(20); /* who waits for it ends here */
    assert_int_equal(sc_config_load(path, &c, &err), SC_USAGE);
    alarm(0);
    snprintf(message, sizeof(message),
             "the configuration %s is a pipe: a file is needed, which can be read again", path);
    assert_string_equal(err.message, message);
    assert_int_equal(sc_config_load("/dev/null", &c, NULL), SC_OK);
    assert_int_equal(sc_config_load("/no/such/file.yaml", &c, NULL), SC_NOTFOUND);
    sc_config_free(&c);
    unlink(path);
    rmdir(folder);
}

/* Truncating or overwriting bytes of a good document never does more than fail. */
static void damaged_documents_fail_cleanly(void **state)
{
    (void)state;
    static const char text[] = "listeners:\n  - udp://127.0.0.1:2055\nretention: {age: 30d}\nwindow: 5m\n";
    static const char bytes[] = "\0\t\n:[]{}-&*!\"'\xff";
    char copy[sizeof(text)];
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (size_t b = 0; b < sizeof(bytes); b++) {
            struct sc_config c;
            struct sc_error err;
            memcpy(copy, text, sizeof(text));
            copy[at] = bytes[b];
            assert_int_equal(sc_config_init(&c, &err), SC_OK);
            enum sc_status status =
                sc_config_parse("f.yaml", (const uint8_t *)copy, b == 0 ? at : sizeof(text) - 1, &c, &err);
            assert_true(status == SC_OK || status == SC_USAGE);
            sc_config_free(&c);
        }
    }
}

UNIT(test_config)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_document_gives_the_defaults),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(errors_name_the_line_and_what_is_allowed),
        cmocka_unit_test(errors_of_an_archive),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(a_pipe_is_refused_at_once),
        cmocka_unit_test(damaged_documents_fail_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
