// SPDX-License-Identifier: BSD-3-Clause
/* The targets of a sender: sockets in sender_socket.c, files in sender_file.c. */
#ifndef SC_EXPORT_TARGET_H
#define SC_EXPORT_TARGET_H

#include "base/url.h"
#include "net/client.h"

#include <stdio.h>

enum sc_target_kind { SC_TARGET_UDP, SC_TARGET_TCP, SC_TARGET_PCAP, SC_TARGET_IPFIX_FILE };

struct sc_target {
    enum sc_target_kind kind;
    struct sc_url url; /* UDP, TCP */
    const char *path;  /* files; borrowed */
};

/* Reads "udp://HOST:PORT" or "tcp://HOST:PORT". SC_USAGE. */
enum sc_status sc_target_parse_url(const char *text, struct sc_target *out, struct sc_error *err);

/* A file by its suffix, .pcap or .ipfix. SC_USAGE. */
enum sc_status sc_target_parse_file(const char *path, struct sc_target *out, struct sc_error *err);

struct sc_sender_stats {
    uint64_t messages; /* taken from the caller; each target gets all of them */
    uint64_t bytes;
    uint64_t sent;    /* datagrams and messages that the operating system took, all targets */
    uint64_t refused; /* ECONNREFUSED: nobody listens there */
    uint64_t failed;  /* other errors of datagrams */
};

struct sender_target {
    enum sc_target_kind kind;
    int *sockets; /* one per exporter; NULL for files */
    FILE *file;
    const char *path;
    uint16_t packet_id;
};

/* sender_socket.c. `messages` is at most 64. */
enum sc_status sc_sender_sockets_open(struct sender_target *t, const struct sc_target *target,
                                      uint32_t exporters, struct sc_error *err);
void sc_sender_send_datagrams(int fd, struct iovec *messages, uint32_t n, struct sc_sender_stats *stats);
enum sc_status sc_sender_send_stream(int fd, struct iovec *messages, uint32_t n,
                                     struct sc_sender_stats *stats, struct sc_error *err);
/* Counts a refusal that nobody was told of yet. */
void sc_sender_end_datagrams(int fd, struct sc_sender_stats *stats);

/* sender_file.c */
enum sc_status sc_sender_file_open(struct sender_target *t, const struct sc_target *target,
                                   struct sc_error *err);
enum sc_status sc_sender_write_file(struct sender_target *t, uint32_t exporter, uint64_t time_ms,
                                    const uint8_t *message, uint32_t length, struct sc_error *err);

#endif
