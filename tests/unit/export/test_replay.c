// SPDX-License-Identifier: BSD-3-Clause
/* Generated messages are a function of the options; replayed ones are the file's, and count the same flows.
 */
#include "export_kit.h"

#include "export/generate.h"
#include "export/replay.h"
#include "net/capture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { FLOWS = 5000 };

static char folder[] = "/tmp/sc-replay-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[8][64];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static struct sc_generate_options options_of(enum sc_export_protocol protocol, uint32_t exporters)
{
    struct sc_generate_options o = {
        .generator = sc_generator_default_options(), .encoder = sc_encoder_default_options(), .flows = FLOWS};
    o.generator.hosts = 2000;
    o.generator.start_ms = UINT64_C(1767225600000);
    o.generator.exporters = exporters;
    o.generator.ipv6_percent = protocol == SC_EXPORT_V5 ? 0 : 30;
    o.encoder.protocol = protocol;
    return o;
}

static json_t *generate(const char *path, const struct sc_generate_options *options)
{
    struct sc_export_totals totals;
    struct sc_export_run run = run_to_file(path, options->generator.exporters);
    assert_int_equal(sc_export_generate(&run, options, &totals, NULL), SC_OK);
    assert_int_equal(totals.flows, FLOWS);
    assert_int_equal(totals.skipped + totals.values_dropped, 0);
    json_t *truth = end_run(&run);
    assert_int_equal(truth_number(truth, "flows"), FLOWS);
    return truth;
}

static json_t *replay(const char *from, const char *to, struct sc_export_totals *totals)
{
    struct sc_replay_info info;
    assert_int_equal(sc_replay_scan(from, &info, NULL), SC_OK);
    struct sc_export_run run = run_to_file(to, info.exporters);
    assert_int_equal(sc_export_replay(&run, from, totals, NULL), SC_OK);
    assert_int_equal(totals->messages, info.messages);
    return end_run(&run);
}

static void test_same_options_same_messages(void **state)
{
    (void)state;
    struct sc_generate_options o = options_of(SC_EXPORT_V9, 3);
    json_t *a = generate(path_of("a.pcap"), &o), *b = generate(path_of("b.pcap"), &o);
    assert_same_files(path_of("a.pcap"), path_of("b.pcap"));
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
}

/* The truth of the generator (its records) and of the replay (decoded messages) are the same. */
static void test_replay_is_the_file(void **state)
{
    (void)state;
    static const enum sc_export_protocol protocols[] = {SC_EXPORT_V5, SC_EXPORT_V9, SC_EXPORT_IPFIX};
    for (unsigned i = 0; i < 3; i++) {
        struct sc_export_totals totals;
        struct sc_generate_options o = options_of(protocols[i], 4);
        json_t *made = generate(path_of("c.pcap"), &o);
        json_t *replayed = replay(path_of("c.pcap"), path_of("d.pcap"), &totals);
        assert_same_files(path_of("c.pcap"), path_of("d.pcap"));
        assert_int_equal(totals.flows, FLOWS);
        assert_int_equal(totals.not_export, 0);
        assert_true(json_equal(made, replayed));
        json_decref(made);
        json_decref(replayed);
    }
}

static void test_replay_of_an_ipfix_file(void **state)
{
    (void)state;
    struct sc_export_totals totals;
    struct sc_generate_options o = options_of(SC_EXPORT_IPFIX, 1);
    o.encoder.reliable = true;
    o.encoder.max_message = 65535;
    json_t *made = generate(path_of("e.ipfix"), &o);
    json_t *replayed = replay(path_of("e.ipfix"), path_of("f.ipfix"), &totals);
    assert_same_files(path_of("e.ipfix"), path_of("f.ipfix"));
    assert_true(json_equal(made, replayed));
    json_decref(made);
    json_decref(replayed);
}

/* All that can be read is sent; what cannot is told, and is no success. */
static void test_damage_is_told(void **state)
{
    (void)state;
    struct sc_export_totals totals;
    struct sc_error err = {0};
    struct sc_generate_options o = options_of(SC_EXPORT_IPFIX, 1);
    json_decref(generate(path_of("k.ipfix"), &o));
    struct bytes whole = read_file(path_of("k.ipfix"));
    size_t first = (size_t)(whole.data[2] << 8 | whole.data[3]);
    FILE *damaged = fopen(path_of("l.ipfix"), "wb");
    assert_non_null(damaged);
    fwrite(whole.data, 1, first, damaged);
    fwrite("noise", 1, 5, damaged);
    fwrite(whole.data + first, 1, whole.length - first, damaged);
    fclose(damaged);
    free(whole.data);
    struct sc_export_run run = run_to_file(path_of("j.ipfix"), 1);
    assert_int_equal(sc_export_replay(&run, path_of("l.ipfix"), &totals, &err), SC_DAMAGED);
    assert_non_null(strstr(err.message, "l.ipfix: 5 damaged bytes between the messages were not sent"));
    assert_int_equal(totals.flows, FLOWS);
    json_decref(end_run(&run));
    assert_same_files(path_of("k.ipfix"), path_of("j.ipfix"));
}

static void test_scan(void **state)
{
    (void)state;
    struct sc_replay_info info;
    struct sc_error err;
    struct sc_generate_options o = options_of(SC_EXPORT_V5, 7);
    json_decref(generate(path_of("g.pcap"), &o));
    assert_int_equal(sc_replay_scan(path_of("g.pcap"), &info, NULL), SC_OK);
    assert_int_equal(info.exporters, 7);
    assert_int_equal(info.not_ipfix, info.messages);
    assert_in_range(info.messages, FLOWS / 30, FLOWS / 30 + 60); /* some are sent after a second, not full */
    assert_int_equal(sc_replay_scan("/nonexistent/x.pcap", &info, &err), SC_NOTFOUND);
    FILE *text = fopen(path_of("h.pcap"), "w");
    assert_non_null(text);
    fputs("this is no capture\n", text);
    fclose(text);
    assert_int_equal(sc_replay_scan(path_of("h.pcap"), &info, &err), SC_NOT_OURS);
}

/* At 100 flows a second a message is sent after a second, long before it has its 30 records. */
static void test_messages_do_not_wait_long(void **state)
{
    (void)state;
    struct sc_replay_info info;
    struct sc_generate_options o = options_of(SC_EXPORT_V5, 20);
    o.generator.rate = o.rate = 100;
    json_decref(generate(path_of("i.pcap"), &o));
    assert_int_equal(sc_replay_scan(path_of("i.pcap"), &info, NULL), SC_OK);
    assert_true(info.messages > 500); /* 50 s, 20 exporters; 187 when all are full */
}

/* Receives what a run sends over UDP and compares it with the messages of a file. */
static void check_datagrams(int fd, const char *path)
{
    struct sc_capture *capture;
    struct sc_capture_message m;
    uint8_t got[2048];
    assert_int_equal(sc_capture_open(path, &capture, NULL), SC_OK);
    while (sc_capture_next(capture, &m, NULL) == SC_OK) {
        assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), m.length);
        assert_memory_equal(got, m.bytes, m.length);
    }
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), -1);
    sc_capture_close(capture);
}

static void test_the_same_over_udp_and_in_a_file(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 4 << 20;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    struct sc_generate_options o = options_of(SC_EXPORT_IPFIX, 1);
    struct sc_target target = {.kind = SC_TARGET_UDP,
                               .url = {.host = "127.0.0.1", .port = ntohs(at.sin_port)}};
    struct sc_export_totals totals;
    o.flows = 1000;
    o.rate = o.generator.rate = 10000;
    struct sc_export_run file = run_to_file(path_of("k.pcap"), 1);
    assert_int_equal(sc_export_generate(&file, &o, &totals, NULL), SC_OK);
    json_decref(end_run(&file));
    struct sc_export_run udp = run_to_file(path_of("l.pcap"), 1); /* for its truth and stop */
    assert_int_equal(sc_sender_close(udp.sender, NULL, NULL), SC_OK);
    udp.sender = sc_sender_open(&target, 1, 1, NULL);
    udp.rate = o.rate;
    assert_int_equal(sc_export_generate(&udp, &o, &totals, NULL), SC_OK);
    json_decref(end_run(&udp));
    check_datagrams(fd, path_of("k.pcap"));
    close(fd);
}

static void test_stop(void **state)
{
    (void)state;
    static const volatile sig_atomic_t stopped = 15;
    struct sc_export_totals totals;
    struct sc_generate_options o = options_of(SC_EXPORT_V5, 1);
    struct sc_export_run run = run_to_file(path_of("j.pcap"), 1);
    run.stop = &stopped;
    assert_int_equal(sc_export_generate(&run, &o, &totals, NULL), SC_CANCELLED);
    assert_int_equal(totals.flows, 0);
    json_decref(end_run(&run));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    for (char name = 'a'; name <= 'l'; name++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%c.pcap", folder, name);
        unlink(path);
        snprintf(path, sizeof(path), "%s/%c.ipfix", folder, name);
        unlink(path);
    }
    return rmdir(folder);
}

UNIT(test_replay)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_options_same_messages),      cmocka_unit_test(test_replay_is_the_file),
        cmocka_unit_test(test_replay_of_an_ipfix_file),         cmocka_unit_test(test_scan),
        cmocka_unit_test(test_messages_do_not_wait_long),       cmocka_unit_test(test_stop),
        cmocka_unit_test(test_the_same_over_udp_and_in_a_file), cmocka_unit_test(test_damage_is_told),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
