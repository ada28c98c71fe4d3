// SPDX-License-Identifier: BSD-3-Clause
/*
 * Bulk reception of datagrams: one recvmmsg into memory that is allocated once. A ring belongs to one thread
 * and may serve all its sockets.
 */
#ifndef SC_NET_UDP_H
#define SC_NET_UDP_H

#include "base/addr.h"
#include "base/status.h"

#define SC_UDP_BULK 64u /* datagrams that one call may bring */

struct sc_udp_ring;

struct sc_datagram {
    struct sc_addr from;
    uint16_t port;
    const uint8_t *bytes; /* until the ring's next call */
    size_t length;
};

struct sc_udp_bulk {
    const struct sc_datagram *datagrams;
    uint32_t count;
    bool has_drops; /* a datagram carried the kernel's drop counter (SO_RXQ_OVFL): */
    uint32_t drops; /* since the socket was made, modulo 2^32 */
};

/* @return NULL without memory (about 4 MiB of address space; only what datagrams fill is used). */
struct sc_udp_ring *sc_udp_ring_create(void);
void sc_udp_ring_free(struct sc_udp_ring *ring);

/*
 * Takes the datagrams that wait, SC_UDP_BULK at most.
 * @return SC_OK with count > 0 or, after an error of a single datagram, count == 0: call again; SC_AGAIN:
 * none waits; SC_IO: the socket is of no use any more.
 */
enum sc_status sc_udp_receive(struct sc_udp_ring *ring, int fd, struct sc_udp_bulk *out,
                              struct sc_error *err);

#endif
