// SPDX-License-Identifier: BSD-3-Clause
/*
 * A collector in one page: receives NetFlow v5, v9 and IPFIX over UDP and prints a line for each flow record.
 *
 *     cc -o decode_datagram decode_datagram.c $(pkg-config --cflags --libs libsc)
 *     ./decode_datagram 4739 1000       # port (0: any), records after which it ends (0: never)
 *
 * It also ends, with status 1, when nothing came for ten seconds.
 */
#include <securitycloud/libsc.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A socket of both families, on which the kernel writes IPv4 senders as ::ffff:a.b.c.d: the library's way. */
static int open_socket(uint16_t port)
{
    struct sockaddr_in6 address;
    struct timeval patience = {10, 0};
    socklen_t length = sizeof(address);
    int off = 0, bytes = 4 << 20, fd = socket(AF_INET6, SOCK_DGRAM, 0);
    memset(&address, 0, sizeof(address));
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        perror("decode_datagram");
        exit(1);
    }
    fprintf(stderr, "listening on UDP port %u\n", ntohs(address.sin6_port));
    return fd;
}

static const char *address_text(const struct libsc_value *v, char text[INET6_ADDRSTRLEN])
{
    if (v->null)
        return "-";
    return v->is_v4 ? inet_ntop(AF_INET, v->as.address + 12, text, INET6_ADDRSTRLEN)
                    : inet_ntop(AF_INET6, v->as.address, text, INET6_ADDRSTRLEN);
}

static void print_flow(const struct libsc_value *row)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    printf("%s %s %" PRIu64 " %" PRIu64 "\n", address_text(&row[0], from), address_text(&row[1], to),
           row[2].as.u64, row[3].as.u64);
}

/* Receives and decodes one message. @return the number of its flow records, -1 when nothing came. */
static long receive(int fd, struct libsc_decoder *decoder)
{
    static uint8_t bytes[65536];
    struct sockaddr_in6 address;
    socklen_t address_length = sizeof(address);
    struct libsc_source source;
    struct libsc_error err;
    const struct libsc_value *row;
    long records = 0;

    ssize_t length = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&address, &address_length);
    if (length < 0)
        return -1;
    memset(&source, 0, sizeof(source));
    memcpy(source.address, &address.sin6_addr, sizeof(source.address));
    source.port = ntohs(address.sin6_port);
    source.transport = LIBSC_UDP;
    source.receive_ms = now_ms();
    if (libsc_decoder_message(decoder, &source, bytes, (size_t)length, NULL, &err) != LIBSC_OK)
        fprintf(stderr, "decode_datagram: %s\n", err.message); /* what was whole may still be there */
    while (libsc_decoder_next(decoder, &row) == LIBSC_OK) {
        print_flow(row);
        records++;
    }
    return records;
}

static int print_exporter(void *arg, const struct libsc_exporter *e)
{
    char text[INET6_ADDRSTRLEN];
    (void)arg;
    inet_ntop(AF_INET6, e->address, text, sizeof(text));
    fprintf(stderr, "%s domain %u: %" PRIu64 " messages, %" PRIu64 " flows, %" PRIu64 " lost\n", text,
            e->domain, e->messages, e->flows, e->lost);
    return 1;
}

int main(int argc, char **argv)
{
    struct libsc_decoder *decoder;
    struct libsc_error err;
    long wanted = argc > 2 ? atol(argv[2]) : 0, seen = 0, records = 0;

    int fd = open_socket(argc > 1 ? (uint16_t)atoi(argv[1]) : 4739);
    if (libsc_decoder_create("srcip,dstip,packets,bytes", NULL, &decoder, &err) != LIBSC_OK) {
        fprintf(stderr, "decode_datagram: %s\n", err.message);
        return 1;
    }
    while ((wanted == 0 || seen < wanted) && (records = receive(fd, decoder)) >= 0) {
        seen += records;
        libsc_decoder_expire(decoder, now_ms());
    }
    libsc_decoder_exporters(decoder, print_exporter, NULL);
    libsc_decoder_free(decoder);
    close(fd);
    return records < 0 ? 1 : 0;
}
