// SPDX-License-Identifier: BSD-3-Clause
/* Files with export messages: recognised by content, framed, resynchronised after damage. */
#include "net/capture.h"

#include "base/buf.h"

#include "unit.h"

#include <pcap/pcap.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static int make_path(void **state)
{
    (void)state;
    strcpy(path, "/tmp/sc-capture-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static void be16(struct sc_buf *b, unsigned v)
{
    sc_buf_append_u8(b, (uint8_t)(v >> 8));
    sc_buf_append_u8(b, (uint8_t)v);
}

static void zeros(struct sc_buf *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sc_buf_append_u8(b, 0);
}

static void put_v5(struct sc_buf *b, unsigned records)
{
    be16(b, 5);
    be16(b, records);
    zeros(b, 20 + (size_t)48 * records);
}

/* One set of `set` bytes. */
static void put_ipfix(struct sc_buf *b, unsigned set)
{
    be16(b, 10);
    be16(b, 16 + set);
    zeros(b, 12);
    be16(b, 256);
    be16(b, set);
    zeros(b, set - 4);
}

static void put_v9(struct sc_buf *b, unsigned sets, unsigned set, unsigned filling)
{
    be16(b, 9);
    be16(b, sets);
    zeros(b, 16);
    for (unsigned i = 0; i < sets; i++) {
        be16(b, 256 + i);
        be16(b, set);
        zeros(b, set - 4);
    }
    zeros(b, filling);
}

static void write_file(const void *bytes, size_t length)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

/* Reads the whole file, which must give messages of these lengths. */
static void expect_messages(const size_t *lengths, size_t count, struct sc_capture_stats *stats)
{
    struct sc_capture *capture;
    struct sc_capture_message message;
    struct sc_error err;
    assert_int_equal(sc_capture_open(path, &capture, &err), SC_OK);
    assert_int_equal(sc_capture_kind_of(capture), SC_CAPTURE_STREAM);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sc_capture_next(capture, &message, &err), SC_OK);
        assert_int_equal(message.length, lengths[i]);
        assert_int_equal(message.time_ms, 0);
    }
    assert_int_equal(sc_capture_next(capture, &message, &err), SC_END);
    sc_capture_get_stats(capture, stats);
    assert_int_equal(stats->messages, count);
    assert_int_equal(stats->bytes_read, stats->file_bytes);
    sc_capture_close(capture);
}

static void a_payload_of_all_protocols_is_framed(void **state)
{
    (void)state;
    struct sc_buf b = {0};
    struct sc_capture_stats stats;
    put_v5(&b, 30);
    put_ipfix(&b, 100);
    put_v9(&b, 3, 40, 0);
    put_v9(&b, 1, 1000, 12); /* zero-filled behind the last set */
    put_v5(&b, 1);
    put_ipfix(&b, 65000);
    put_v9(&b, 2, 8, 0);
    write_file(b.data, b.len);
    const size_t lengths[] = {24 + 30 * 48, 116, 140, 1032, 72, 65016, 36};
    expect_messages(lengths, 7, &stats);
    assert_int_equal(stats.resyncs, 0);
    sc_buf_free(&b);
}

/* More than the reader's window holds at once. */
static void a_long_file_is_framed(void **state)
{
    (void)state;
    struct sc_buf b = {0};
    struct sc_capture_stats stats;
    size_t lengths[400];
    for (unsigned i = 0; i < 400; i++) {
        unsigned set = 8 + i * 41 % 5000 * 4;
        put_ipfix(&b, set);
        lengths[i] = 16 + set;
    }
    write_file(b.data, b.len);
    assert_true(b.len > (1 << 20));
    expect_messages(lengths, 400, &stats);
    sc_buf_free(&b);
}

static void a_damaged_stretch_is_passed_over(void **state)
{
    (void)state;
    struct sc_buf b = {0};
    struct sc_capture_stats stats;
    put_ipfix(&b, 100);
    for (int i = 0; i < 300000; i++)
        sc_buf_append_u8(&b, 0xee);
    put_ipfix(&b, 200);
    put_ipfix(&b, 60);
    b.len -= 10; /* the last one is cut off */
    write_file(b.data, b.len);
    const size_t lengths[] = {116, 216};
    expect_messages(lengths, 2, &stats);
    assert_int_equal(stats.resyncs, 2);
    assert_int_equal(stats.damaged_bytes, 300000 + 66);
    sc_buf_free(&b);
}

static void what_is_no_capture_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x", "hello, world\n", "\n\n\n",
                                        "PK\003\004 and so on and so on and on"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sc_capture *capture;
        struct sc_error err;
        write_file(texts[i], strlen(texts[i]));
        assert_int_equal(sc_capture_open(path, &capture, &err), SC_NOT_OURS);
        assert_non_null(strstr(err.message, "not a capture, export payload or IPFIX file"));
        assert_non_null(strstr(err.message, path));
    }
    struct sc_capture *capture;
    assert_int_equal(sc_capture_open("/no/such/file", &capture, NULL), SC_NOTFOUND);
    assert_int_equal(sc_capture_open("/tmp", &capture, NULL), SC_NOT_OURS);
}

/* Random bytes behind a good header: it ends, and gives no message outside the file. */
static void random_bytes_end(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 30; round++) {
        struct sc_buf b = {0};
        put_v9(&b, 1, 8, 0);
        for (int i = 0; i < 5000; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            uint8_t byte = (uint8_t)(seed >> 40);
            sc_buf_append_u8(&b, (seed >> 50) % 3 != 0 ? byte % 11 : byte);
        }
        write_file(b.data, b.len);
        struct sc_capture *capture;
        struct sc_capture_message message;
        size_t total = 0;
        assert_int_equal(sc_capture_open(path, &capture, NULL), SC_OK);
        while (sc_capture_next(capture, &message, NULL) == SC_OK) {
            uint8_t *copy = malloc(message.length);
            memcpy(copy, message.bytes, message.length); /* all of it is there */
            free(copy);
            total += message.length;
        }
        struct sc_capture_stats stats;
        sc_capture_get_stats(capture, &stats);
        assert_int_equal(total + stats.damaged_bytes, b.len);
        sc_capture_close(capture);
        sc_buf_free(&b);
    }
}

/* ---- captures ---- */

static void put_packet(struct sc_buf *b, unsigned protocol, unsigned fragment)
{
    static const uint8_t addresses[] = {192, 0, 2, 1, 192, 0, 2, 2};
    be16(b, 0x4500);
    be16(b, 20 + 8 + 4);
    be16(b, 1);
    be16(b, fragment);
    be16(b, 64 << 8 | protocol);
    be16(b, 0);
    sc_buf_append(b, addresses, 8);
    be16(b, 50000);
    be16(b, 2055);
    be16(b, 8 + 4);
    be16(b, 0);
    sc_buf_append(b, "mess", 4);
}

static void dump(pcap_dumper_t *dumper, const struct sc_buf *b, uint32_t captured, long seconds)
{
    const struct pcap_pkthdr header = {
        .ts = {seconds, 250000}, .caplen = captured, .len = (bpf_u_int32)b->len};
    pcap_dump((u_char *)dumper, &header, b->data);
}

static void write_pcap(int link_type)
{
    pcap_t *pcap = pcap_open_dead(link_type, 65535);
    pcap_dumper_t *dumper = pcap_dump_open(pcap, path);
    assert_non_null(dumper);
    struct sc_buf udp = {0}, tcp = {0}, fragment = {0};
    put_packet(&udp, 17, 0);
    put_packet(&tcp, 6, 0);
    put_packet(&fragment, 17, 0x2000);
    dump(dumper, &udp, (uint32_t)udp.len, 1000);
    dump(dumper, &tcp, (uint32_t)tcp.len, 1001);
    dump(dumper, &fragment, (uint32_t)fragment.len, 1002);
    dump(dumper, &udp, 30, 1003);
    dump(dumper, &udp, (uint32_t)udp.len, 1004);
    pcap_dump_close(dumper);
    pcap_close(pcap);
    sc_buf_free(&udp);
    sc_buf_free(&tcp);
    sc_buf_free(&fragment);
}

static void a_pcap_gives_its_datagrams(void **state)
{
    (void)state;
    struct sc_capture *capture;
    struct sc_capture_message message;
    struct sc_capture_stats stats;
    struct sc_error err;
    write_pcap(DLT_RAW);
    assert_int_equal(sc_capture_open(path, &capture, &err), SC_OK);
    assert_int_equal(sc_capture_kind_of(capture), SC_CAPTURE_PACKETS);
    assert_int_equal(sc_capture_next(capture, &message, &err), SC_OK);
    assert_int_equal(message.length, 4);
    assert_memory_equal(message.bytes, "mess", 4);
    assert_int_equal(message.time_ms, 1000250);
    assert_int_equal(message.port, 50000);
    assert_int_equal(sc_addr_get_v4(&message.from), 0xc0000201);
    assert_int_equal(sc_capture_next(capture, &message, &err), SC_OK);
    assert_int_equal(message.time_ms, 1004250);
    assert_int_equal(sc_capture_next(capture, &message, &err), SC_END);
    sc_capture_get_stats(capture, &stats);
    assert_int_equal(stats.packets, 5);
    assert_int_equal(stats.messages, 2);
    assert_int_equal(stats.other, 1);
    assert_int_equal(stats.fragments, 1);
    assert_int_equal(stats.truncated, 1);
    sc_capture_close(capture);
}

static void a_pcap_that_breaks_off_gives_what_is_whole(void **state)
{
    (void)state;
    struct sc_capture *capture;
    struct sc_capture_message message;
    struct sc_error err;
    write_pcap(DLT_RAW);
    assert_int_equal(truncate(path, 24 + 16 + 32 + 20), 0);
    assert_int_equal(sc_capture_open(path, &capture, &err), SC_OK);
    assert_int_equal(sc_capture_next(capture, &message, &err), SC_OK);
    assert_int_equal(sc_capture_next(capture, &message, &err), SC_DAMAGED);
    assert_non_null(strstr(err.message, path));
    sc_capture_close(capture);
}

static void a_link_type_that_is_not_read_is_named(void **state)
{
    (void)state;
    struct sc_capture *capture;
    struct sc_error err;
    write_pcap(DLT_IEEE802_11_RADIO);
    assert_int_equal(sc_capture_open(path, &capture, &err), SC_UNSUPPORTED);
    assert_non_null(strstr(err.message, "IEEE802_11_RADIO"));
}

#define IN_FILE(test) cmocka_unit_test_setup_teardown(test, make_path, remove_path)

UNIT(test_capture)
{
    const struct CMUnitTest tests[] = {
        IN_FILE(a_payload_of_all_protocols_is_framed),
        IN_FILE(a_long_file_is_framed),
        IN_FILE(a_damaged_stretch_is_passed_over),
        IN_FILE(what_is_no_capture_is_refused),
        IN_FILE(random_bytes_end),
        IN_FILE(a_pcap_gives_its_datagrams),
        IN_FILE(a_pcap_that_breaks_off_gives_what_is_whole),
        IN_FILE(a_link_type_that_is_not_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
