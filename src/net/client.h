// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sockets towards a peer that takes messages: what sc-exporter and the forwarding of sc-collector share. They
 * are connected, non-blocking and close-on-exec; the caller owns the descriptor and closes it.
 */
#ifndef SC_NET_CLIENT_H
#define SC_NET_CLIENT_H

#include "base/url.h"

#include <sys/socket.h>
#include <sys/uio.h>

#define SC_CLIENT_BULK 64u /* messages of one call */

#define SC_CLIENT_ADDRESSES 8u /* of a host that are looked at */

struct sc_client_addresses {
    uint32_t count;
    struct sockaddr_storage all[SC_CLIENT_ADDRESSES]; /* in the order in which to try them, with the port */
};

/* Looks the host up; asks the name service where it is a name, which may take long (net/lookup.h, net/dial.h).
 * @return SC_OK with one address at least; SC_IO with the host and the reason. */
enum sc_status sc_client_resolve(const struct sc_url *url, struct sc_client_addresses *out,
                                 struct sc_error *err);

struct sc_client_way {
    enum sc_url_scheme scheme;
    const struct sc_addr *from; /* the own address; NULL: the system chooses */
    int send_buffer;            /* bytes asked of the kernel, which may grant less; 0: its default */
};

/* Begins to connect. @return the descriptor, which is writable when that is over, or -errno. */
int sc_client_begin(const struct sc_client_way *way, const struct sockaddr_storage *to);
/* Waits for timeout_ms at most until it is over. @return 0: it is connected; errno. */
int sc_client_end_connect(int fd, int timeout_ms);

/* TCP: a peer that answers nothing for so long is given up, also while nothing is sent. */
void sc_client_set_patience(int fd, int seconds);

/* Waits until the socket takes bytes again. False: not within `ms`. */
bool sc_client_wait_writable(int fd, int ms);

struct sc_client_counters {
    uint64_t sent;    /* datagrams that the operating system took */
    uint64_t refused; /* ECONNREFUSED: nobody listens there. It comes back later than the datagram left. */
    uint64_t failed;  /* datagrams that other errors kept from leaving */
};

/*
 * Sends up to SC_CLIENT_BULK datagrams; errors are counted, not fatal. iov_base is NULL afterwards where a
 * datagram did not leave. @return 0, or the errno of the last one that did not.
 */
int sc_client_send_datagrams(int fd, struct iovec *messages, uint32_t n, struct sc_client_counters *counters);

/* Steps over `bytes` of a stream that were written, from messages[at] on. @return the first message that is
 * not whole; what is left of it is in its iovec. */
uint32_t sc_client_advance(struct iovec *messages, uint32_t n, uint32_t at, size_t bytes);

/* Ends a TCP connection so that all that was written arrives: no RST on unread data of the peer. Waits up to
 * `ms` for the peer's end. Does not close the descriptor. */
void sc_client_end_stream(int fd, int ms);

/* Whether the address is one of this machine, or the one that stands for all of them. */
bool sc_client_is_local(const struct sc_addr *address);
bool sc_client_leads_here(const struct sockaddr_storage *to);

#endif
