// SPDX-License-Identifier: BSD-3-Clause
/*
 * Messages in files. A pcap is little-endian, microseconds, link type RAW (101): each message is an IPv4
 * packet with a UDP header, from 127.0.0.(1 + exporter) port 49152 + exporter to 127.0.0.1 port 2055; the UDP
 * checksum is 0 = none.
 */
#include "base/bytes.h"
#include "export/target.h"

#include <errno.h>
#include <string.h>

enum { IP_HEADER = 20, UDP_HEADER = 8, PCAP_RECORD = 16, PACKET_MAX = 65535, FILE_BUFFER = 1 << 18 };

enum sc_status sc_sender_file_open(struct sender_target *t, const struct sc_target *target,
                                   struct sc_error *err)
{
    t->path = target->path;
    t->file = fopen(target->path, "wbe");
    if (t->file == NULL)
        return sc_fail_errno(err, errno, "cannot create %s", target->path);
    setvbuf(t->file, NULL, _IOFBF, FILE_BUFFER);
    if (target->kind != SC_TARGET_PCAP)
        return SC_OK;
    uint8_t head[24] = {0};
    sc_store_le32(head, 0xa1b2c3d4);
    sc_store_le16(head + 4, 2);
    sc_store_le16(head + 6, 4);
    sc_store_le32(head + 16, PACKET_MAX);
    sc_store_le32(head + 20, 101);
    if (fwrite(head, sizeof(head), 1, t->file) != 1)
        return sc_fail_errno(err, errno, "cannot write %s", target->path);
    return SC_OK;
}

static uint16_t ip_checksum(const uint8_t *header)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < IP_HEADER; i += 2)
        sum += sc_load_be16(header + i);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_packet_headers(struct sender_target *t, uint32_t exporter, uint32_t length, uint8_t *out)
{
    memset(out, 0, IP_HEADER + UDP_HEADER);
    out[0] = 0x45;
    sc_store_be16(out + 2, (uint16_t)(IP_HEADER + UDP_HEADER + length));
    sc_store_be16(out + 4, t->packet_id++);
    out[8] = 64;
    out[9] = 17;
    sc_store_be32(out + 12, 0x7f000001 + exporter);
    sc_store_be32(out + 16, 0x7f000001);
    sc_store_be16(out + 10, ip_checksum(out));
    uint8_t *udp = out + IP_HEADER;
    sc_store_be16(udp, (uint16_t)(49152 + exporter));
    sc_store_be16(udp + 2, 2055);
    sc_store_be16(udp + 4, (uint16_t)(UDP_HEADER + length));
}

enum sc_status sc_sender_write_file(struct sender_target *t, uint32_t exporter, uint64_t time_ms,
                                    const uint8_t *message, uint32_t length, struct sc_error *err)
{
    if (t->kind == SC_TARGET_PCAP) {
        uint8_t head[PCAP_RECORD + IP_HEADER + UDP_HEADER];
        uint32_t packet = IP_HEADER + UDP_HEADER + length;
        if (packet > PACKET_MAX)
            return sc_fail(err, SC_LIMIT, "%s: a message of %u bytes fits no UDP packet", t->path, length);
        sc_store_le32(head, (uint32_t)(time_ms / 1000));
        sc_store_le32(head + 4, (uint32_t)(time_ms % 1000 * 1000));
        sc_store_le32(head + 8, packet);
        sc_store_le32(head + 12, packet);
        put_packet_headers(t, exporter, length, head + PCAP_RECORD);
        if (fwrite(head, sizeof(head), 1, t->file) != 1)
            return sc_fail_errno(err, errno, "cannot write %s", t->path);
    }
    if (fwrite(message, length, 1, t->file) != 1)
        return sc_fail_errno(err, errno, "cannot write %s", t->path);
    return SC_OK;
}

/* ---- what the user writes ---- */

enum sc_status sc_target_parse_file(const char *path, struct sc_target *out, struct sc_error *err)
{
    const char *dot = strrchr(path, '.');
    *out = (struct sc_target){.path = path};
    if (dot != NULL && strcmp(dot, ".pcap") == 0)
        out->kind = SC_TARGET_PCAP;
    else if (dot != NULL && strcmp(dot, ".ipfix") == 0)
        out->kind = SC_TARGET_IPFIX_FILE;
    else
        return sc_fail(err, SC_USAGE, "%s: the file's name ends neither in .pcap nor in .ipfix", path);
    return SC_OK;
}

enum sc_status sc_target_parse_url(const char *text, struct sc_target *out, struct sc_error *err)
{
    *out = (struct sc_target){0};
    SC_TRY(sc_url_parse(text, &out->url, err));
    out->kind = out->url.scheme == SC_URL_UDP ? SC_TARGET_UDP : SC_TARGET_TCP;
    return out->url.port != 0 ? SC_OK : sc_fail(err, SC_USAGE, "\"%s\": port 0 is nobody's", text);
}
