// SPDX-License-Identifier: BSD-3-Clause
#include "net/udp.h"

#include "net/socket.h"

#include <errno.h>
#include <stdlib.h>

/* The largest payload is 65,507 bytes (65,527 over IPv6). The extra 192 bytes keep the starts of the buffers
 * from falling into the same cache set. */
#define BUFFER_BYTES  65536u
#define BUFFER_STRIDE (BUFFER_BYTES + 192u)
#define CONTROL_BYTES CMSG_SPACE(sizeof(uint32_t))

struct sc_udp_ring {
    struct mmsghdr headers[SC_UDP_BULK];
    struct iovec vectors[SC_UDP_BULK];
    struct sockaddr_storage peers[SC_UDP_BULK];
    struct sc_datagram datagrams[SC_UDP_BULK];
    _Alignas(struct cmsghdr) uint8_t control[SC_UDP_BULK][CONTROL_BYTES];
    uint8_t *buffers;
};

struct sc_udp_ring *sc_udp_ring_create(void)
{
    struct sc_udp_ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return NULL;
    ring->buffers = malloc((size_t)SC_UDP_BULK * BUFFER_STRIDE);
    if (ring->buffers == NULL) {
        free(ring);
        return NULL;
    }
    for (uint32_t i = 0; i < SC_UDP_BULK; i++) {
        struct msghdr *header = &ring->headers[i].msg_hdr;
        ring->vectors[i].iov_base = ring->buffers + (size_t)i * BUFFER_STRIDE;
        ring->vectors[i].iov_len = BUFFER_BYTES;
        header->msg_iov = &ring->vectors[i];
        header->msg_iovlen = 1;
        header->msg_name = &ring->peers[i];
        header->msg_control = ring->control[i];
    }
    return ring;
}

void sc_udp_ring_free(struct sc_udp_ring *ring)
{
    if (ring == NULL)
        return;
    free(ring->buffers);
    free(ring);
}

static void read_drops(struct msghdr *header, struct sc_udp_bulk *out)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL ||
            c->cmsg_len < CMSG_LEN(sizeof(uint32_t)))
            continue;
        memcpy(&out->drops, CMSG_DATA(c), sizeof(out->drops));
        out->has_drops = true;
    }
}

/* The kernel overwrites these lengths at each call. */
static void prepare(struct sc_udp_ring *ring)
{
    for (uint32_t i = 0; i < SC_UDP_BULK; i++) {
        ring->headers[i].msg_hdr.msg_namelen = sizeof(ring->peers[i]);
        ring->headers[i].msg_hdr.msg_controllen = CONTROL_BYTES;
    }
}

enum sc_status sc_udp_receive(struct sc_udp_ring *ring, int fd, struct sc_udp_bulk *out, struct sc_error *err)
{
    *out = (struct sc_udp_bulk){.datagrams = ring->datagrams};
    prepare(ring);
    int n = recvmmsg(fd, ring->headers, SC_UDP_BULK, MSG_DONTWAIT, NULL);
    if (n < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return SC_AGAIN;
        if (errno == EBADF || errno == ENOTSOCK || errno == EFAULT || errno == EINVAL)
            return sc_fail_errno(err, errno, "cannot receive datagrams");
        return SC_OK; /* EINTR, ENOMEM, or a queued ICMP error of an earlier datagram */
    }
    for (int i = 0; i < n; i++) {
        struct sc_datagram *d = &ring->datagrams[out->count];
        if (!sc_socket_address(&ring->peers[i], &d->from, &d->port))
            continue;
        d->bytes = ring->vectors[i].iov_base;
        d->length = ring->headers[i].msg_len;
        out->count++;
        read_drops(&ring->headers[i].msg_hdr, out);
    }
    return SC_OK;
}
