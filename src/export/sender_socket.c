// SPDX-License-Identifier: BSD-3-Clause
#include "export/target.h"

#include "net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 10000, BUFFER = 4 << 20 };

/* ---- opening ---- */

static bool is_loopback(const struct sockaddr_storage *to)
{
    struct sc_addr address;
    uint16_t port;
    return sc_socket_address(to, &address, &port) && sc_addr_is_v4(&address) &&
           sc_addr_get_v4(&address) >> 24 == 127;
}

/* A connected socket of one exporter, or -errno. */
static int open_socket(enum sc_url_scheme scheme, const struct sockaddr_storage *to, uint32_t exporter)
{
    const struct sc_addr from = sc_addr_v4(INADDR_LOOPBACK + exporter);
    const struct sc_client_way way = {scheme, is_loopback(to) ? &from : NULL, BUFFER};
    int fd = sc_client_begin(&way, to);
    int failed = fd < 0 ? -fd : sc_client_end_connect(fd, CONNECT_MS);
    if (failed != 0 && fd >= 0)
        close(fd);
    return failed == 0 ? fd : -failed;
}

static enum sc_status open_all(struct sender_target *t, const struct sc_client_addresses *found,
                               uint32_t exporters, const struct sc_target *target, struct sc_error *err)
{
    int reason = 0;
    for (uint32_t k = 0; k < found->count; k++) {
        uint32_t i = 0;
        while (i < exporters && (t->sockets[i] = open_socket(target->url.scheme, &found->all[k], i)) >= 0)
            i++;
        if (i == exporters)
            return SC_OK;
        reason = -t->sockets[i];
        t->sockets[i] = -1;
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
    struct sc_client_addresses found;
    SC_TRY(sc_client_resolve(&target->url, &found, err));
    return open_all(t, &found, exporters, target, err);
}

/* ---- sending ---- */

enum sc_status sc_sender_send_stream(int fd, struct iovec *messages, uint32_t n,
                                     struct sc_sender_stats *stats, struct sc_error *err)
{
    for (uint32_t at = 0; at < n;) {
        struct msghdr m = {.msg_iov = messages + at, .msg_iovlen = n - at};
        ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL);
        if (sent >= 0)
            at = sc_client_advance(messages, n, at, (size_t)sent);
        else if (errno == EAGAIN)
            sc_client_wait_writable(fd, 1000);
        else if (errno != EINTR)
            return sc_fail_errno(err, errno, "the connection to the collector broke");
    }
    stats->sent += n;
    return SC_OK;
}

void sc_sender_send_datagrams(int fd, struct iovec *messages, uint32_t n, struct sc_sender_stats *stats)
{
    struct sc_client_counters counters = {0};
    sc_client_send_datagrams(fd, messages, n, &counters);
    stats->sent += counters.sent;
    stats->refused += counters.refused;
    stats->failed += counters.failed;
}

void sc_sender_end_datagrams(int fd, struct sc_sender_stats *stats)
{
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    stats->refused += error == ECONNREFUSED;
}
