// SPDX-License-Identifier: BSD-3-Clause
#include "net/client.h"

#include "net/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DISCARD_PORT 9 /* any would do */

/* ---- opening ---- */

/* IPv4 in IPv6's form becomes IPv4: a socket of the other kind could not be bound to an address of our own form. */
static void take(const struct addrinfo *found, struct sockaddr_storage *out)
{
    struct sc_addr address;
    uint16_t port;
    *out = (struct sockaddr_storage){0};
    memcpy(out, found->ai_addr, found->ai_addrlen);
    if (sc_socket_address(out, &address, &port) && sc_addr_is_v4(&address))
        sc_socket_name(&address, port, out);
}

enum sc_status sc_client_resolve(const struct sc_url *url, struct sc_client_addresses *out,
                                 struct sc_error *err)
{
    const struct addrinfo hints = {.ai_socktype = url->scheme == SC_URL_UDP ? SOCK_DGRAM : SOCK_STREAM};
    struct addrinfo *found;
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)url->port);
    out->count = 0;
    int failed = getaddrinfo(url->host, port, &hints, &found);
    if (failed != 0)
        return sc_fail(err, SC_IO, "host %s: %s", url->host, gai_strerror(failed));
    for (const struct addrinfo *a = found; a != NULL && out->count < SC_CLIENT_ADDRESSES; a = a->ai_next)
        take(a, &out->all[out->count++]);
    freeaddrinfo(found);
    return SC_OK;
}

static int bind_to(int fd, const struct sc_addr *from)
{
    const int late = 1; /* the port is chosen at the connect, so that many may share one */
    struct sockaddr_storage at;
    socklen_t length = sc_socket_name(from, 0, &at);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof(late));
    return bind(fd, (const struct sockaddr *)&at, length);
}

/* @return 0, also while it is under way, or errno. */
static int prepare(int fd, const struct sc_client_way *way, const struct sockaddr_storage *to)
{
    const int one = 1;
    if (way->send_buffer != 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &way->send_buffer, sizeof(way->send_buffer));
    if (way->scheme == SC_URL_TCP)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (way->from != NULL && bind_to(fd, way->from) != 0)
        return errno;
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 || errno == EINPROGRESS)
        return 0;
    return errno;
}

int sc_client_begin(const struct sc_client_way *way, const struct sockaddr_storage *to)
{
    int type = (way->scheme == SC_URL_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(to->ss_family, type, 0);
    if (fd < 0)
        return -errno;
    int failed = prepare(fd, way, to);
    if (failed == 0)
        return fd;
    close(fd);
    return -failed;
}

int sc_client_end_connect(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int ready = poll(&p, 1, timeout_ms);
    if (ready <= 0)
        return ready == 0 ? ETIMEDOUT : errno;
    int result = 0;
    socklen_t size = sizeof(result);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size);
    return result;
}

void sc_client_set_patience(int fd, int seconds)
{
    const int on = 1, idle = seconds / 2, interval = seconds / 6, probes = 3;
    const unsigned user_ms = (unsigned)seconds * 1000;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof(user_ms));
}

bool sc_client_wait_writable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, ms) > 0;
}

static bool is_loopback(const struct sc_addr *a)
{
    static const struct sc_addr v6 = {.b[15] = 1};
    return sc_addr_equal(a, &v6) || (sc_addr_is_v4(a) && sc_addr_get_v4(a) >> 24 == 127);
}

/* What is sent to an address of this machine is sent from it, or from loopback's. That an address can be bound means less: the system
 * may allow that for any (net.ipv4.ip_nonlocal_bind), as it does for some who move addresses. */
static bool is_own_end(int fd)
{
    struct sockaddr_storage name = {0}, peer = {0};
    socklen_t name_length = sizeof(name), peer_length = sizeof(peer);
    struct sc_addr from, to;
    uint16_t port;
    return getsockname(fd, (struct sockaddr *)&name, &name_length) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 &&
           sc_socket_address(&name, &from, &port) && sc_socket_address(&peer, &to, &port) &&
           (is_loopback(&from) || sc_addr_equal(&from, &to));
}

bool sc_client_leads_here(const struct sockaddr_storage *to)
{
    const struct sc_client_way way = {.scheme = SC_URL_UDP}; /* nothing is sent */
    int fd = sc_client_begin(&way, to);
    if (fd < 0)
        return false;
    bool here = is_own_end(fd);
    close(fd);
    return here;
}

bool sc_client_is_local(const struct sc_addr *address)
{
    struct sockaddr_storage to;
    sc_socket_name(address, DISCARD_PORT, &to);
    return sc_client_leads_here(&to);
}

/* ---- datagrams ---- */

/*
 * After an error of the first datagram of a call: whether to try it again. A refusal belongs to an earlier
 * datagram (it came back as ICMP), so that the one at hand is tried once more.
 */
static bool try_again(int fd, int error, unsigned *attempts, struct sc_client_counters *counters)
{
    switch (error) {
    case EINTR:
        return true;
    case EAGAIN:
        sc_client_wait_writable(fd, 100);
        return true;
    case ENOBUFS:
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        return ++*attempts < 1000;
    case ECONNREFUSED:
        counters->refused++;
        return ++*attempts < 3;
    default:
        return false;
    }
}

/*
 * A refusal in the middle of a call ends it early, and the kernel then keeps the reason to itself: it was one
 * when the next call succeeds at once.
 */
int sc_client_send_datagrams(int fd, struct iovec *messages, uint32_t n, struct sc_client_counters *counters)
{
    struct mmsghdr headers[SC_CLIENT_BULK];
    memset(headers, 0, n * sizeof(headers[0]));
    for (uint32_t i = 0; i < n; i++) {
        headers[i].msg_hdr.msg_iov = &messages[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    unsigned attempts = 0;
    int reason = 0;
    bool cut = false;
    for (uint32_t at = 0; at < n;) {
        int sent = sendmmsg(fd, headers + at, n - at, 0);
        if (sent > 0) {
            counters->refused += cut;
            cut = (uint32_t)sent < n - at;
            counters->sent += (uint32_t)sent;
            at += (uint32_t)sent;
            attempts = 0;
            continue;
        }
        cut = false;
        int error = errno;
        if (!try_again(fd, error, &attempts, counters)) {
            counters->failed += error != ECONNREFUSED;
            reason = error;
            messages[at++].iov_base = NULL;
            attempts = 0;
        }
    }
    return reason;
}

/* ---- streams ---- */

uint32_t sc_client_advance(struct iovec *messages, uint32_t n, uint32_t at, size_t bytes)
{
    while (at < n && bytes >= messages[at].iov_len)
        bytes -= messages[at++].iov_len;
    if (at < n) {
        messages[at].iov_base = (uint8_t *)messages[at].iov_base + bytes;
        messages[at].iov_len -= bytes;
    }
    return at;
}

void sc_client_end_stream(int fd, int ms)
{
    char rest[4096];
    shutdown(fd, SHUT_WR);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, ms) > 0 && recv(fd, rest, sizeof(rest), 0) > 0)
        ;
}
