// SPDX-License-Identifier: BSD-3-Clause
#include "base/bytes.h"
#include "export/sender_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, CONNECT_MS = 10000, END_MS = 5000, BUFFER = 4 << 20 };

/* ---- opening ---- */

static bool is_loopback(const struct addrinfo *to)
{
    if (to->ai_family != AF_INET)
        return false;
    const struct sockaddr_in *sin = (const struct sockaddr_in *)(const void *)to->ai_addr;
    return ntohl(sin->sin_addr.s_addr) >> 24 == 127;
}

static int bind_source(int fd, uint32_t exporter)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + exporter)};
    return bind(fd, (const struct sockaddr *)&from, sizeof(from));
}

/* Connects within CONNECT_MS. Returns 0 or errno. */
static int connect_in_time(int fd, const struct addrinfo *to)
{
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int ready = poll(&p, 1, CONNECT_MS);
    if (ready <= 0)
        return ready == 0 ? ETIMEDOUT : errno;
    int result = 0;
    socklen_t size = sizeof(result);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size);
    return result;
}

/* A connected, blocking socket of one exporter, or -1 with errno. */
static int open_socket(const struct addrinfo *to, uint32_t exporter)
{
    int fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->ai_protocol);
    if (fd < 0)
        return -1;
    int size = BUFFER, one = 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* the system may grant less */
    if (to->ai_socktype == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    int failed = is_loopback(to) && bind_source(fd, exporter) != 0 ? errno : connect_in_time(fd, to);
    if (failed != 0) {
        close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}

static enum sc_status open_all(struct sender_target *t, const struct addrinfo *found, uint32_t exporters,
                               const struct sc_target *target, struct sc_error *err)
{
    int reason = 0;
    for (const struct addrinfo *to = found; to != NULL; to = to->ai_next) {
        uint32_t i = 0;
        while (i < exporters && (t->sockets[i] = open_socket(to, i)) >= 0)
            i++;
        if (i == exporters)
            return SC_OK;
        reason = errno;
        while (i > 0) {
            close(t->sockets[--i]);
            t->sockets[i] = -1;
        }
    }
    char text[SC_URL_TEXT_MAX];
    sc_url_format(&target->url, text);
    return sc_fail_errno(err, reason, "cannot reach %s", text);
}

enum sc_status sc_sender_sockets_open(struct sender_target *t, const struct sc_target *target,
                                      uint32_t exporters, struct sc_error *err)
{
    t->sockets = malloc(exporters * sizeof(*t->sockets));
    if (t->sockets == NULL)
        return sc_fail_nomem(err, "sockets");
    for (uint32_t i = 0; i < exporters; i++)
        t->sockets[i] = -1;
    struct addrinfo hints = {.ai_socktype = target->kind == SC_TARGET_UDP ? SOCK_DGRAM : SOCK_STREAM};
    struct addrinfo *found;
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)target->url.port);
    int failed = getaddrinfo(target->url.host, port, &hints, &found);
    if (failed != 0)
        return sc_fail(err, SC_IO, "host %s: %s", target->url.host, gai_strerror(failed));
    enum sc_status status = open_all(t, found, exporters, target, err);
    freeaddrinfo(found);
    return status;
}

/* ---- datagrams ---- */

static void wait_writable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    poll(&p, 1, ms);
}

/*
 * After an error of the first datagram of a call: whether to try it again. A refusal belongs to an earlier
 * datagram (it came back as ICMP), so that the one at hand is tried once more.
 */
static bool try_again(int fd, int error, unsigned *attempts, struct sc_sender_stats *stats)
{
    switch (error) {
    case EINTR:
        return true;
    case EAGAIN:
        wait_writable(fd, 100);
        return true;
    case ENOBUFS:
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        return ++*attempts < 1000;
    case ECONNREFUSED:
        stats->refused++;
        return ++*attempts < 3;
    default:
        return false;
    }
}

/*
 * A refusal in the middle of a call ends it early, and the kernel then keeps the reason to itself: it was one
 * when the next call succeeds at once.
 */
void sc_sender_send_datagrams(int fd, struct iovec *messages, uint32_t n, struct sc_sender_stats *stats)
{
    struct mmsghdr headers[BATCH];
    memset(headers, 0, n * sizeof(headers[0]));
    for (uint32_t i = 0; i < n; i++) {
        headers[i].msg_hdr.msg_iov = &messages[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    unsigned attempts = 0;
    bool cut = false;
    for (uint32_t at = 0; at < n;) {
        int sent = sendmmsg(fd, headers + at, n - at, 0);
        if (sent > 0) {
            stats->refused += cut;
            cut = (uint32_t)sent < n - at;
            stats->sent += (uint32_t)sent;
            at += (uint32_t)sent;
            attempts = 0;
            continue;
        }
        cut = false;
        if (!try_again(fd, errno, &attempts, stats)) {
            stats->failed += errno != ECONNREFUSED;
            at++;
            attempts = 0;
        }
    }
}

/* ---- streams ---- */

/* Steps over `bytes` that were written. Returns the first message that is not whole. */
static uint32_t advance(struct iovec *messages, uint32_t n, uint32_t at, size_t bytes)
{
    while (at < n && bytes >= messages[at].iov_len)
        bytes -= messages[at++].iov_len;
    if (at < n) {
        messages[at].iov_base = (uint8_t *)messages[at].iov_base + bytes;
        messages[at].iov_len -= bytes;
    }
    return at;
}

enum sc_status sc_sender_send_stream(int fd, struct iovec *messages, uint32_t n,
                                     struct sc_sender_stats *stats, struct sc_error *err)
{
    for (uint32_t at = 0; at < n;) {
        struct msghdr m = {.msg_iov = messages + at, .msg_iovlen = n - at};
        ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL);
        if (sent >= 0)
            at = advance(messages, n, at, (size_t)sent);
        else if (errno == EAGAIN)
            wait_writable(fd, 1000);
        else if (errno != EINTR)
            return sc_fail_errno(err, errno, "the connection to the collector broke");
    }
    stats->sent += n;
    return SC_OK;
}

void sc_sender_end_datagrams(int fd, struct sc_sender_stats *stats)
{
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    stats->refused += error == ECONNREFUSED;
}

void sc_sender_end_stream(int fd)
{
    char rest[4096];
    shutdown(fd, SHUT_WR);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, END_MS) > 0 && recv(fd, rest, sizeof(rest), 0) > 0)
        ;
}
