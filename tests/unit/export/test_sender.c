// SPDX-License-Identifier: BSD-3-Clause
/* Targets: what is put arrives, whole, in order and from the right source; what cannot be sent is told. */
// clang-format off
// clang-format on

#include "base/bytes.h"
#include "export/sender.h"
#include "net/capture.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket bound to a free port of 127.0.0.1, and a target that leads there. */
static int bound_socket(int type, struct sc_target *target)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), size = 1 << 20;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    socklen_t length = sizeof(at);
    char url[64];
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 8), 0);
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u", type == SOCK_STREAM ? "tcp" : "udp", ntohs(at.sin_port));
    assert_int_equal(sc_target_parse_url(url, target, NULL), SC_OK);
    return fd;
}

/* Message i: IPFIX with sequence number i and one set, whose bytes follow from i. */
static size_t make_message(uint32_t i, uint8_t *out)
{
    size_t length = 20 + i * 7 % 900;
    memset(out, (int)(i & 0xff), length);
    sc_store_be16(out, 10);
    sc_store_be16(out + 2, (uint16_t)length);
    sc_store_be32(out + 4, 1767225600);
    sc_store_be32(out + 8, i);
    sc_store_be32(out + 12, 1);
    sc_store_be16(out + 16, 300);
    sc_store_be16(out + 18, (uint16_t)(length - 16));
    return length;
}

static struct sc_sender *open_one(const struct sc_target *target, uint32_t exporters)
{
    struct sc_error err;
    struct sc_sender *s = sc_sender_open(target, 1, exporters, &err);
    assert_non_null(s);
    return s;
}

static void put_messages(struct sc_sender *s, uint32_t n, uint32_t exporters)
{
    uint8_t message[1024];
    for (uint32_t i = 0; i < n; i++) {
        size_t length = make_message(i, message);
        assert_int_equal(sc_sender_put(s, i % exporters, 1767225600000 + i, message, length, NULL), SC_OK);
    }
}

static void test_datagrams_of_several_exporters(void **state)
{
    (void)state;
    enum { N = 150, EXPORTERS = 3 };
    struct sc_target target;
    struct sc_sender_stats stats;
    uint8_t got[2048], want[1024];
    uint32_t next[EXPORTERS] = {0, 1, 2};
    int fd = bound_socket(SOCK_DGRAM, &target);
    struct sc_sender *s = open_one(&target, EXPORTERS);
    put_messages(s, N, EXPORTERS);
    assert_int_equal(sc_sender_close(s, &stats, NULL), SC_OK);
    assert_int_equal(stats.messages, N);
    assert_int_equal(stats.sent, N);
    assert_int_equal(stats.refused + stats.failed, 0);
    for (uint32_t i = 0; i < N; i++) {
        struct sockaddr_in from;
        socklen_t size = sizeof(from);
        ssize_t length = recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &size);
        uint32_t exporter = ntohl(from.sin_addr.s_addr) - INADDR_LOOPBACK; /* 127.0.0.(1 + exporter) */
        assert_true(exporter < EXPORTERS);
        assert_int_equal(length, make_message(next[exporter], want));
        assert_memory_equal(got, want, (size_t)length);
        next[exporter] += EXPORTERS; /* in order within an exporter */
    }
    close(fd);
}

static void test_stream(void **state)
{
    (void)state;
    enum { N = 200 };
    struct sc_target target;
    uint8_t *got = malloc(1 << 20), want[1024];
    size_t length = 0, at = 0;
    int fd = bound_socket(SOCK_STREAM, &target);
    struct sc_sender *s = open_one(&target, 1);
    int connection = accept(fd, NULL, NULL);
    assert_true(connection >= 0);
    put_messages(s, N, 1);
    assert_int_equal(sc_sender_flush(s, NULL), SC_OK);
    shutdown(connection, SHUT_WR); /* else the sender would wait for our end */
    assert_int_equal(sc_sender_close(s, NULL, NULL), SC_OK);
    for (ssize_t n; (n = recv(connection, got + length, (1 << 20) - length, 0)) > 0;)
        length += (size_t)n;
    for (uint32_t i = 0; i < N; i++) {
        size_t expected = make_message(i, want);
        assert_true(at + expected <= length);
        assert_memory_equal(got + at, want, expected);
        at += expected;
    }
    assert_int_equal(at, length);
    free(got);
    close(connection);
    close(fd);
}

static void test_refusals_are_counted_and_not_fatal(void **state)
{
    (void)state;
    struct sc_target target;
    struct sc_sender_stats stats;
    int fd = bound_socket(SOCK_DGRAM, &target);
    close(fd); /* the port is nobody's now */
    struct sc_sender *s = open_one(&target, 1);
    for (int i = 0; i < 5; i++) {
        put_messages(s, 10, 1);
        assert_int_equal(sc_sender_flush(s, NULL), SC_OK);
    }
    assert_int_equal(sc_sender_close(s, &stats, NULL), SC_OK);
    assert_int_equal(stats.messages, 50);
    assert_true(stats.refused > 0);
}

static void test_connection_refused_is_told_at_open(void **state)
{
    (void)state;
    struct sc_target target;
    struct sc_error err;
    int fd = bound_socket(SOCK_STREAM, &target);
    close(fd);
    assert_null(sc_sender_open(&target, 1, 2, &err));
    assert_int_equal(err.status, SC_IO);
    assert_non_null(strstr(err.message, "tcp://127.0.0.1:"));
}

static void test_broken_connection_is_final(void **state)
{
    (void)state;
    struct sc_target target;
    enum sc_status status = SC_OK;
    int fd = bound_socket(SOCK_STREAM, &target);
    struct sc_sender *s = open_one(&target, 1);
    int connection = accept(fd, NULL, NULL);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(connection);
    for (int i = 0; i < 100 && status == SC_OK; i++) {
        put_messages(s, 10, 1);
        status = sc_sender_flush(s, NULL);
    }
    assert_int_equal(status, SC_IO);
    sc_sender_close(s, NULL, NULL);
    close(fd);
}

/* Reads a file with the reader of captures and compares all messages. */
static void check_file(const char *path, uint32_t n, uint32_t exporters)
{
    struct sc_capture *capture;
    struct sc_capture_message m;
    uint8_t want[1024];
    uint32_t count = 0;
    assert_int_equal(sc_capture_open(path, &capture, NULL), SC_OK);
    bool packets = sc_capture_kind_of(capture) == SC_CAPTURE_PACKETS;
    while (sc_capture_next(capture, &m, NULL) == SC_OK) {
        assert_int_equal(m.length, make_message(count, want));
        assert_memory_equal(m.bytes, want, m.length);
        if (packets) {
            assert_int_equal(sc_addr_get_v4(&m.from), 0x7f000001 + count % exporters);
            assert_int_equal(m.time_ms, 1767225600000 + count);
        }
        count++;
    }
    assert_int_equal(count, n);
    sc_capture_close(capture);
}

static void test_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/sc-sender-XXXXXX", pcap[64], ipfix[64];
    struct sc_target targets[2];
    struct sc_sender_stats stats;
    assert_non_null(mkdtemp(folder));
    snprintf(pcap, sizeof(pcap), "%s/a.pcap", folder);
    snprintf(ipfix, sizeof(ipfix), "%s/a.ipfix", folder);
    assert_int_equal(sc_target_parse_file(pcap, &targets[0], NULL), SC_OK);
    assert_int_equal(sc_target_parse_file(ipfix, &targets[1], NULL), SC_OK);
    struct sc_sender *s = sc_sender_open(targets, 2, 5, NULL);
    assert_non_null(s);
    put_messages(s, 300, 5);
    assert_int_equal(sc_sender_close(s, &stats, NULL), SC_OK);
    assert_int_equal(stats.messages, 300);
    assert_int_equal(stats.sent, 600);
    check_file(pcap, 300, 5);
    check_file(ipfix, 300, 5);
    unlink(pcap);
    unlink(ipfix);
    rmdir(folder);
}

static void test_a_full_disk_is_told(void **state)
{
    (void)state;
    struct sc_target target = {.kind = SC_TARGET_IPFIX_FILE, .path = "/dev/full"};
    struct sc_error err = {0};
    struct sc_sender *s = open_one(&target, 1);
    put_messages(s, 20, 1);
    assert_int_equal(sc_sender_close(s, NULL, &err), SC_FULL);
    assert_non_null(strstr(err.message, "/dev/full"));
}

static void test_targets_as_written(void **state)
{
    (void)state;
    struct sc_target t;
    assert_int_equal(sc_target_parse_url("udp://[::1]:4739", &t, NULL), SC_OK);
    assert_int_equal(t.kind, SC_TARGET_UDP);
    assert_string_equal(t.url.host, "::1");
    assert_int_equal(t.url.port, 4739);
    assert_int_equal(sc_target_parse_url("tcp://collector.example.net:4739", &t, NULL), SC_OK);
    assert_int_equal(t.kind, SC_TARGET_TCP);
    static const char *const wrong[] = {"",          "udp://",         "udp://host",     "udp://host:",
                                        "udp://h:0", "udp://h:65536",  "udp://:4739",    "http://h:80",
                                        "host:4739", "udp://::1:4739", "tcp://[::1:4739"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(sc_target_parse_url(wrong[i], &t, NULL), SC_USAGE);
    assert_int_equal(sc_target_parse_file("x.pcapng", &t, NULL), SC_USAGE);
    assert_int_equal(sc_target_parse_file("pcap", &t, NULL), SC_USAGE);
}

UNIT(test_sender)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagrams_of_several_exporters),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_refusals_are_counted_and_not_fatal),
        cmocka_unit_test(test_connection_refused_is_told_at_open),
        cmocka_unit_test(test_broken_connection_is_final),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_a_full_disk_is_told),
        cmocka_unit_test(test_targets_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
