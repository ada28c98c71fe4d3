// SPDX-License-Identifier: BSD-3-Clause
/*
 * Listening sockets. All are non-blocking and close-on-exec; the caller owns the descriptor and closes it.
 * "[::]" takes IPv4 too; its IPv4 peers are seen as ::ffff:a.b.c.d, which is struct sc_addr's own form.
 */
#ifndef SC_NET_SOCKET_H
#define SC_NET_SOCKET_H

#include "base/url.h"

#include <sys/socket.h>

struct sc_socket_options {
    uint64_t receive_buffer; /* UDP: bytes asked of the kernel; 0 = its default */
    bool share_port;         /* SO_REUSEPORT: several sockets of this process share the port */
    /* With share_port: datagrams are spread by the exporter's address alone, so that all ports of an exporter
     * reach the same socket; `sockets` is their number. 0: spread by address and port, the kernel's way. */
    uint32_t spread_by_address;
};

/*
 * Opens a socket that listens at the URL (a numeric host; port 0: any free one). *fd is the descriptor.
 * @return SC_OK; SC_USAGE (the host is a name); SC_IO with the URL and the reason, e.g. the port is in use.
 */
enum sc_status sc_socket_listen(const struct sc_url *url, const struct sc_socket_options *options, int *fd,
                                struct sc_error *err);

/* Address and port that a socket is bound to, put into *url. */
enum sc_status sc_socket_local(int fd, struct sc_url *url, struct sc_error *err);

/* Receive buffer that the kernel gave, in bytes as it counts them (twice what was asked). */
uint64_t sc_socket_receive_buffer(int fd);

/* Datagrams that the kernel dropped on this socket since it was made, modulo 2^32. False where it cannot
 * tell. */
bool sc_socket_drops(int fd, uint32_t *drops);

/* The way there. @return the length. */
socklen_t sc_socket_name(const struct sc_addr *addr, uint16_t port, struct sockaddr_storage *out);
/* Peer address of recvmmsg or accept in our form. Other families give false. */
bool sc_socket_address(const struct sockaddr_storage *from, struct sc_addr *addr, uint16_t *port);

/*
 * Takes one waiting connection: non-blocking, close-on-exec, with keep-alive probes. @return the descriptor,
 * or -errno (-EAGAIN: none waits).
 */
int sc_socket_accept(int fd, struct sc_addr *from, uint16_t *port);

#endif
