// SPDX-License-Identifier: BSD-3-Clause
#include "net/packet.h"

#include <pcap/pcap.h>

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_IPV6 0x86ddu
#define MAX_VLAN_TAGS  4
#define MAX_EXTENSIONS 16

enum {
    PROTO_HOP_BY_HOP = 0,
    PROTO_UDP = 17,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_AH = 51,
    PROTO_OPTIONS = 60
};

/* What is left of the packet. */
struct rest {
    const uint8_t *at;
    size_t left;
};

static bool skip(struct rest *r, size_t count)
{
    if (r->left < count)
        return false;
    r->at += count;
    r->left -= count;
    return true;
}

/* The link layer header's length without tags, and where in it the ethertype stands. */
static bool ether_layout(int link_type, size_t *header, size_t *type_at)
{
    switch (link_type) {
    case DLT_EN10MB:
        *header = 14;
        *type_at = 12;
        return true;
    case DLT_LINUX_SLL:
        *header = 16;
        *type_at = 14;
        return true;
    case DLT_LINUX_SLL2:
        *header = 20;
        *type_at = 0;
        return true;
    default:
        return false;
    }
}

static bool is_raw(int link_type)
{
    return link_type == DLT_RAW || link_type == DLT_IPV4 || link_type == DLT_IPV6;
}

bool sc_packet_knows(int link_type)
{
    size_t header, type_at;
    return ether_layout(link_type, &header, &type_at) || is_raw(link_type) || link_type == DLT_NULL ||
           link_type == DLT_LOOP;
}

static bool is_vlan(uint16_t ethertype)
{
    return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

/* Moves behind the link layer. SC_PACKET_UDP: an IP header follows. */
static enum sc_packet_class skip_link(int link_type, struct rest *r)
{
    size_t header, type_at;
    if (is_raw(link_type))
        return SC_PACKET_UDP;
    if (!ether_layout(link_type, &header, &type_at)) /* null, loop: four bytes of address family */
        return skip(r, 4) ? SC_PACKET_UDP : SC_PACKET_TRUNCATED;
    if (r->left < header)
        return SC_PACKET_TRUNCATED;
    uint16_t ethertype = sc_load_be16(r->at + type_at);
    skip(r, header);
    for (int tags = 0; is_vlan(ethertype); tags++) {
        if (tags == MAX_VLAN_TAGS)
            return SC_PACKET_OTHER;
        if (r->left < 4)
            return SC_PACKET_TRUNCATED;
        ethertype = sc_load_be16(r->at + 2);
        skip(r, 4);
    }
    return ethertype == ETHERTYPE_IPV4 || ethertype == ETHERTYPE_IPV6 ? SC_PACKET_UDP : SC_PACKET_OTHER;
}

/* `length` = bytes of the UDP datagram by the IP header. */
static enum sc_packet_class read_udp(struct rest *r, size_t length, struct sc_packet *out)
{
    if (length < 8)
        return SC_PACKET_BROKEN;
    if (r->left < 8)
        return SC_PACKET_TRUNCATED;
    size_t udp_length = sc_load_be16(r->at + 4);
    if (udp_length < 8 || udp_length > length)
        return SC_PACKET_BROKEN;
    if (r->left < udp_length)
        return SC_PACKET_TRUNCATED;
    out->port = sc_load_be16(r->at);
    out->payload = r->at + 8;
    out->length = udp_length - 8;
    return SC_PACKET_UDP;
}

static enum sc_packet_class read_ipv4(struct rest *r, struct sc_packet *out)
{
    if (r->left < 20)
        return SC_PACKET_TRUNCATED;
    size_t header = (size_t)(r->at[0] & 15) * 4, total = sc_load_be16(r->at + 2);
    if (header < 20 || total < header)
        return SC_PACKET_BROKEN;
    if (r->at[9] != PROTO_UDP)
        return SC_PACKET_OTHER;
    if ((sc_load_be16(r->at + 6) & 0x3fff) != 0)
        return SC_PACKET_FRAGMENT;
    out->from = sc_addr_v4(sc_load_be32(r->at + 12));
    if (!skip(r, header))
        return SC_PACKET_TRUNCATED;
    return read_udp(r, total - header, out);
}

/* Moves behind the extension headers. `left` = bytes of the packet by its header that are not passed yet. */
static enum sc_packet_class skip_extensions(struct rest *r, unsigned next, size_t *left)
{
    for (int i = 0; i < MAX_EXTENSIONS && next != PROTO_UDP; i++) {
        if (next != PROTO_HOP_BY_HOP && next != PROTO_ROUTING && next != PROTO_OPTIONS &&
            next != PROTO_FRAGMENT && next != PROTO_AH)
            return SC_PACKET_OTHER;
        if (r->left < 8)
            return SC_PACKET_TRUNCATED;
        if (next == PROTO_FRAGMENT && (sc_load_be16(r->at + 2) & 0xfff9) != 0)
            return SC_PACKET_FRAGMENT;
        size_t size = next == PROTO_FRAGMENT ? 8
                      : next == PROTO_AH     ? (r->at[1] + 2u) * 4u
                                             : (r->at[1] + 1u) * 8u;
        if (size > *left)
            return SC_PACKET_BROKEN;
        next = r->at[0];
        *left -= size;
        if (!skip(r, size))
            return SC_PACKET_TRUNCATED;
    }
    return next == PROTO_UDP ? SC_PACKET_UDP : SC_PACKET_OTHER;
}

static enum sc_packet_class read_ipv6(struct rest *r, struct sc_packet *out)
{
    if (r->left < 40)
        return SC_PACKET_TRUNCATED;
    size_t left = sc_load_be16(r->at + 4);
    unsigned next = r->at[6];
    memcpy(out->from.b, r->at + 8, sizeof(out->from.b));
    skip(r, 40);
    enum sc_packet_class class = skip_extensions(r, next, &left);
    return class == SC_PACKET_UDP ? read_udp(r, left, out) : class;
}

enum sc_packet_class sc_packet_read(int link_type, const uint8_t *bytes, size_t captured,
                                    struct sc_packet *out)
{
    struct rest r = {bytes, captured};
    enum sc_packet_class class = skip_link(link_type, &r);
    if (class != SC_PACKET_UDP)
        return class;
    if (r.left == 0)
        return SC_PACKET_TRUNCATED;
    switch (r.at[0] >> 4) {
    case 4:
        return read_ipv4(&r, out);
    case 6:
        return read_ipv6(&r, out);
    default:
        return SC_PACKET_OTHER;
    }
}
