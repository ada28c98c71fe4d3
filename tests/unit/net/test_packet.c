// SPDX-License-Identifier: BSD-3-Clause
/* Captured packets to UDP payloads: link types, tags, extension headers, fragments; and no byte beyond the
 * capture. */
#include "net/packet.h"

#include "unit.h"

#include <pcap/pcap.h>
#include <stdlib.h>

static const char payload[] = "export message";
#define PAYLOAD (sizeof(payload) - 1)

struct bytes {
    uint8_t at[256];
    size_t length;
};

static void put(struct bytes *b, const void *bytes, size_t count)
{
    memcpy(b->at + b->length, bytes, count);
    b->length += count;
}

static void put16(struct bytes *b, unsigned v)
{
    const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    put(b, bytes, 2);
}

static void put_zeros(struct bytes *b, size_t count)
{
    memset(b->at + b->length, 0, count);
    b->length += count;
}

static void put_udp(struct bytes *b)
{
    put16(b, 50000);
    put16(b, 2055);
    put16(b, 8 + PAYLOAD);
    put16(b, 0);
    put(b, payload, PAYLOAD);
}

static void put_ipv4(struct bytes *b, unsigned fragment)
{
    static const uint8_t addresses[] = {192, 0, 2, 1, 192, 0, 2, 2};
    put16(b, 0x4500);
    put16(b, 20 + 8 + PAYLOAD);
    put16(b, 1);
    put16(b, fragment);
    put16(b, 64 << 8 | 17);
    put16(b, 0);
    put(b, addresses, 8);
    put_udp(b);
}

/* `extension`: bytes of extension headers before UDP, `first` the first one's number. */
static void put_ipv6(struct bytes *b, unsigned first, const struct bytes *extension)
{
    static const uint8_t source[16] = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
    put16(b, 0x6000);
    put16(b, 0);
    put16(b, (unsigned)extension->length + 8 + PAYLOAD);
    put16(b, first << 8 | 64);
    put(b, source, 16);
    put_zeros(b, 16);
    put(b, extension->at, extension->length);
    put_udp(b);
}

static void put_ethernet(struct bytes *b, const unsigned *tags, size_t tag_count, unsigned type)
{
    put_zeros(b, 12);
    for (size_t i = 0; i < tag_count; i++) {
        put16(b, tags[i]);
        put16(b, 100);
    }
    put16(b, type);
}

static void expect_payload(int link_type, const struct bytes *b, const char *from)
{
    struct sc_packet packet;
    char text[SC_ADDR_TEXT_MAX];
    assert_int_equal(sc_packet_read(link_type, b->at, b->length, &packet), SC_PACKET_UDP);
    assert_int_equal(packet.length, PAYLOAD);
    assert_memory_equal(packet.payload, payload, PAYLOAD);
    assert_int_equal(packet.port, 50000);
    sc_addr_format(&packet.from, text);
    assert_string_equal(text, from);
}

static void every_link_type_is_read(void **state)
{
    (void)state;
    static const unsigned tags[] = {0x88a8, 0x8100};
    struct bytes b = {.length = 0};
    put_ipv4(&b, 0x4000); /* don't fragment */
    expect_payload(DLT_RAW, &b, "192.0.2.1");
    expect_payload(DLT_IPV4, &b, "192.0.2.1");
    b.length = 0;
    put_ethernet(&b, tags, 0, 0x0800);
    put_ipv4(&b, 0);
    expect_payload(DLT_EN10MB, &b, "192.0.2.1");
    b.length = 0;
    put_ethernet(&b, tags, 2, 0x0800);
    put_ipv4(&b, 0);
    expect_payload(DLT_EN10MB, &b, "192.0.2.1");
    b.length = 0;
    put_zeros(&b, 14);
    put16(&b, 0x0800);
    put_ipv4(&b, 0);
    expect_payload(DLT_LINUX_SLL, &b, "192.0.2.1");
    b.length = 0;
    put16(&b, 0x0800);
    put_zeros(&b, 18);
    put_ipv4(&b, 0);
    expect_payload(DLT_LINUX_SLL2, &b, "192.0.2.1");
    b.length = 0;
    put_zeros(&b, 4);
    put_ipv4(&b, 0);
    expect_payload(DLT_NULL, &b, "192.0.2.1");
    expect_payload(DLT_LOOP, &b, "192.0.2.1");
    assert_false(sc_packet_knows(DLT_IEEE802_11_RADIO));
}

static void extension_headers_are_passed(void **state)
{
    (void)state;
    struct bytes b = {.length = 0}, none = {.length = 0}, extension = {.length = 0};
    put_ipv6(&b, 17, &none);
    expect_payload(DLT_IPV6, &b, "2001:db8::9");
    put16(&extension,
          60 << 8); /* hop by hop, then destination options of 16 bytes, then an atomic fragment */
    put_zeros(&extension, 6);
    put16(&extension, 44 << 8 | 1);
    put_zeros(&extension, 14);
    put16(&extension, 17 << 8);
    put_zeros(&extension, 6);
    b.length = 0;
    put_ipv6(&b, 0, &extension);
    expect_payload(DLT_RAW, &b, "2001:db8::9");
}

static enum sc_packet_class class_of(int link_type, const struct bytes *b)
{
    struct sc_packet packet;
    return sc_packet_read(link_type, b->at, b->length, &packet);
}

static void fragments_and_other_packets_are_told_apart(void **state)
{
    (void)state;
    struct bytes b = {.length = 0}, fragment = {.length = 0};
    put_ipv4(&b, 0x2000); /* the first of several */
    assert_int_equal(class_of(DLT_RAW, &b), SC_PACKET_FRAGMENT);
    b.length = 0;
    put_ipv4(&b, 185);
    assert_int_equal(class_of(DLT_RAW, &b), SC_PACKET_FRAGMENT);
    put16(&fragment, 17 << 8);
    put16(&fragment, 1);
    put_zeros(&fragment, 4);
    b.length = 0;
    put_ipv6(&b, 44, &fragment);
    assert_int_equal(class_of(DLT_RAW, &b), SC_PACKET_FRAGMENT);
    b.length = 0;
    put_ipv4(&b, 0);
    b.at[9] = 6;
    assert_int_equal(class_of(DLT_RAW, &b), SC_PACKET_OTHER);
    b.length = 0;
    put_ethernet(&b, NULL, 0, 0x0806);
    put_zeros(&b, 28);
    assert_int_equal(class_of(DLT_EN10MB, &b), SC_PACKET_OTHER);
    b.length = 0;
    put_ipv4(&b, 0);
    b.at[25] = 200; /* the UDP length is beyond the packet */
    assert_int_equal(class_of(DLT_RAW, &b), SC_PACKET_BROKEN);
    b.at[25] = 7;
    assert_int_equal(class_of(DLT_RAW, &b), SC_PACKET_BROKEN);
}

/* In a block of exactly the captured size, so that the sanitizer sees a read beyond it. */
static void no_truncation_reads_beyond_the_capture(void **state)
{
    (void)state;
    static const unsigned tags[] = {0x8100, 0x8100};
    struct bytes b = {.length = 0}, extension = {.length = 0};
    put16(&extension, 17 << 8);
    put_zeros(&extension, 6);
    put_ethernet(&b, tags, 2, 0x86dd);
    put_ipv6(&b, 0, &extension);
    for (size_t captured = 0; captured < b.length; captured++) {
        uint8_t *copy = malloc(captured == 0 ? 1 : captured);
        struct sc_packet packet;
        memcpy(copy, b.at, captured);
        assert_int_equal(sc_packet_read(DLT_EN10MB, copy, captured, &packet), SC_PACKET_TRUNCATED);
        free(copy);
    }
}

UNIT(test_packet)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_link_type_is_read),
        cmocka_unit_test(extension_headers_are_passed),
        cmocka_unit_test(fragments_and_other_packets_are_told_apart),
        cmocka_unit_test(no_truncation_reads_beyond_the_capture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
