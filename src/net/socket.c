// SPDX-License-Identifier: BSD-3-Clause
#include "net/socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define LISTEN_BACKLOG       128
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 20
#define KEEPALIVE_PROBES     3

socklen_t sc_socket_name(const struct sc_addr *addr, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (sc_addr_is_v4(addr)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        v4->sin_addr.s_addr = htonl(sc_addr_get_v4(addr));
        return sizeof(*v4);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    memcpy(&v6->sin6_addr, addr->b, sizeof(addr->b));
    return sizeof(*v6);
}

bool sc_socket_address(const struct sockaddr_storage *from, struct sc_addr *addr, uint16_t *port)
{
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        memcpy(addr->b, &v6->sin6_addr, sizeof(addr->b));
        *port = ntohs(v6->sin6_port);
        return true;
    }
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        *addr = sc_addr_v4(ntohl(v4->sin_addr.s_addr));
        *port = ntohs(v4->sin_port);
        return true;
    }
    return false;
}

/* The privileged option ignores net.core.rmem_max; without the right to it the plain one gives what is
 * allowed. */
static void set_receive_buffer(int fd, uint64_t bytes)
{
    int size = bytes > INT32_MAX / 2 ? INT32_MAX / 2 : (int)bytes;
    if (size != 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

uint64_t sc_socket_receive_buffer(int fd)
{
    int size = 0;
    socklen_t length = sizeof(size);
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length) != 0 || size < 0)
        return 0;
    return (uint64_t)size;
}

bool sc_socket_drops(int fd, uint32_t *drops)
{
    uint32_t info[SK_MEMINFO_VARS];
    socklen_t length = sizeof(info);
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) != 0 || length < sizeof(info))
        return false;
    *drops = info[SK_MEMINFO_DROPS];
    return true;
}

/*
 * A classic BPF program on the group of sockets: the sum of the source address's words modulo the number of
 * sockets. Offsets from SKF_NET_OFF are those of the IP header.
 */
static int spread_by_address(int fd, uint32_t sockets)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12),
        BPF_JUMP(BPF_JMP | BPF_JA, 10, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 8),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 16),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 20),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, sockets),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

static int configure(int fd, const struct sc_url *url, int family, const struct sc_socket_options *options)
{
    const int on = 1, off = 0;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0)
        return -1;
    if (options->share_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        return -1;
    if (url->scheme == SC_URL_TCP)
        return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    set_receive_buffer(fd, options->receive_buffer);
    return setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
}

static int bind_and_listen(int fd, const struct sc_url *url, const struct sockaddr_storage *at,
                           socklen_t length, const struct sc_socket_options *options)
{
    if (bind(fd, (const struct sockaddr *)at, length) != 0)
        return -1;
    if (url->scheme == SC_URL_TCP)
        return listen(fd, LISTEN_BACKLOG);
    if (options->share_port && options->spread_by_address > 1)
        return spread_by_address(fd, options->spread_by_address);
    return 0;
}

static enum sc_status explain(int errnum, const struct sc_url *url, struct sc_error *err)
{
    char text[SC_URL_TEXT_MAX];
    sc_url_format(url, text);
    if (errnum == EADDRINUSE)
        return sc_fail_errno(err, errnum,
                             "cannot listen at %s (\"[::]\" takes IPv4 too; see ss -lnup, ss -lntp)", text);
    return sc_fail_errno(err, errnum, "cannot listen at %s", text);
}

static bool is_any_v6(const struct sc_addr *addr)
{
    return sc_load_le64(addr->b) == 0 && sc_load_le64(addr->b + 8) == 0;
}

enum sc_status sc_socket_listen(const struct sc_url *url, const struct sc_socket_options *options, int *fd,
                                struct sc_error *err)
{
    if (!url->numeric)
        return sc_fail(err, SC_USAGE, "cannot listen at \"%s\": an address is needed, not a name", url->host);
    struct sc_addr addr = url->address;
    int type = (url->scheme == SC_URL_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int made = socket(sc_addr_is_v4(&addr) ? AF_INET : AF_INET6, type, 0);
    if (made < 0 && errno == EAFNOSUPPORT && is_any_v6(&addr)) { /* a machine without IPv6 */
        addr = sc_addr_v4(INADDR_ANY);
        made = socket(AF_INET, type, 0);
    }
    if (made < 0)
        return explain(errno, url, err);
    struct sockaddr_storage at;
    socklen_t length = sc_socket_name(&addr, url->port, &at);
    if (configure(made, url, at.ss_family, options) != 0 ||
        bind_and_listen(made, url, &at, length, options) != 0) {
        int errnum = errno;
        close(made);
        return explain(errnum, url, err);
    }
    *fd = made;
    return SC_OK;
}

enum sc_status sc_socket_local(int fd, struct sc_url *url, struct sc_error *err)
{
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof(at);
    if (getsockname(fd, (struct sockaddr *)&at, &length) != 0)
        return sc_fail_errno(err, errno, "cannot read the address of a socket");
    url->numeric = sc_socket_address(&at, &url->address, &url->port);
    return SC_OK;
}

int sc_socket_accept(int fd, struct sc_addr *from, uint16_t *port)
{
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof(peer);
    int made = accept4(fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (made < 0)
        return -errno;
    if (!sc_socket_address(&peer, from, port)) {
        close(made);
        return -ECONNABORTED;
    }
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    setsockopt(made, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(made, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(made, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(made, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    return made;
}
