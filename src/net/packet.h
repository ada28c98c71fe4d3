// SPDX-License-Identifier: BSD-3-Clause
/*
 * One captured packet to its UDP payload: link layer, IPv4 or IPv6, UDP. Every length is checked; nothing is
 * allocated; the payload points into the packet.
 */
#ifndef SC_NET_PACKET_H
#define SC_NET_PACKET_H

#include "base/addr.h"

enum sc_packet_class {
    SC_PACKET_UDP,       /* the payload is whole */
    SC_PACKET_FRAGMENT,  /* part of a fragmented IP packet, the first one too */
    SC_PACKET_TRUNCATED, /* the capture holds less of the packet than its headers say */
    SC_PACKET_BROKEN,    /* headers that contradict themselves */
    SC_PACKET_OTHER      /* no UDP over IP */
};

struct sc_packet {
    struct sc_addr from;
    uint16_t port;
    const uint8_t *payload;
    size_t length;
};

/* Whether packets of a link type (DLT_...) can be read: Ethernet, Linux cooked (v1, v2), BSD null and loop,
 * raw IP. */
bool sc_packet_knows(int link_type);

/* `captured` bytes lie at `bytes`. *out is filled for SC_PACKET_UDP only. */
enum sc_packet_class sc_packet_read(int link_type, const uint8_t *bytes, size_t captured,
                                    struct sc_packet *out);

#endif
