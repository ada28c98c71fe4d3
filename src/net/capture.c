// SPDX-License-Identifier: BSD-3-Clause
#include "net/capture.h"

#include "base/array.h"
#include "net/packet.h"
#include "net/stream.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/stat.h>

#define WINDOW_START (256u * 1024)
/* A message is looked for only in a window that holds the longest IPFIX message, so that a length read from
 * damaged bytes is judged with what follows. */
#define WINDOW_LOW 65536u

struct sc_capture {
    enum sc_capture_kind kind;
    char *path;
    FILE *file;
    pcap_t *pcap; /* owns the file once it is open */
    int link_type;
    struct sc_capture_stats stats;
    /* of a stream: */
    uint8_t *window;
    size_t start, end;
    uint32_t cap;
    bool at_end;
    bool lost; /* in a damaged stretch */
};

enum sc_capture_kind sc_capture_kind_of(const struct sc_capture *capture)
{
    return capture->kind;
}

void sc_capture_get_stats(const struct sc_capture *capture, struct sc_capture_stats *out)
{
    *out = capture->stats;
    if (capture->pcap != NULL && capture->stats.file_bytes != 0) {
        long at = ftell(capture->file);
        out->bytes_read = at < 0 ? 0 : (uint64_t)at;
    }
}

void sc_capture_close(struct sc_capture *capture)
{
    if (capture == NULL)
        return;
    if (capture->pcap != NULL)
        pcap_close(capture->pcap);
    else if (capture->file != NULL)
        fclose(capture->file);
    free(capture->window);
    free(capture->path);
    free(capture);
}

/* ---- streams ---- */

/* Makes `need` bytes available, or all that is left of the file. */
static enum sc_status fill(struct sc_capture *c, size_t need, struct sc_error *err)
{
    if (c->end - c->start >= need || c->at_end)
        return SC_OK;
    if (c->start != 0) {
        memmove(c->window, c->window + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (!sc_array_reserve(c->window, c->cap, need < WINDOW_START ? WINDOW_START : need))
        return sc_fail_nomem(err, c->path);
    size_t n = fread(c->window + c->end, 1, c->cap - c->end, c->file);
    c->end += n;
    c->stats.bytes_read += n;
    if (c->end == c->cap)
        return SC_OK;
    if (ferror(c->file))
        return sc_fail_errno(err, errno == 0 ? EIO : errno, "cannot read %s", c->path);
    c->at_end = true;
    return SC_OK;
}

static void pass_over(struct sc_capture *c, size_t count)
{
    if (!c->lost)
        c->stats.resyncs++;
    c->lost = true;
    c->stats.damaged_bytes += count;
    c->start += count;
}

static enum sc_status next_of_stream(struct sc_capture *c, struct sc_capture_message *out,
                                     struct sc_error *err)
{
    size_t need = WINDOW_LOW + SC_STREAM_HEADER, length;
    for (;;) {
        SC_TRY(fill(c, need, err));
        size_t have = c->end - c->start;
        if (have == 0)
            return SC_END;
        enum sc_frame frame = sc_stream_frame(c->window + c->start, have, c->at_end, &length);
        if (frame == SC_FRAME_MORE) {
            need = have * 2;
            continue;
        }
        if (frame == SC_FRAME_WHOLE)
            break;
        size_t next = sc_stream_scan(c->window + c->start, have);
        /* A header may begin in the last bytes of the window. */
        if (next == have && !c->at_end)
            next = have - SC_STREAM_HEADER + 1;
        pass_over(c, next);
        need = WINDOW_LOW + SC_STREAM_HEADER;
    }
    c->lost = false;
    *out =
        (struct sc_capture_message){.bytes = c->window + c->start, .length = length, .from = sc_addr_v4(0)};
    c->start += length;
    c->stats.messages++;
    return SC_OK;
}

/* ---- packets ---- */

static void count_skipped(struct sc_capture_stats *stats, enum sc_packet_class class)
{
    stats->fragments += class == SC_PACKET_FRAGMENT;
    stats->truncated += class == SC_PACKET_TRUNCATED;
    stats->broken += class == SC_PACKET_BROKEN;
    stats->other += class == SC_PACKET_OTHER;
}

static uint64_t packet_time(const struct pcap_pkthdr *header)
{
    int64_t ms = (int64_t)header->ts.tv_sec * 1000 + header->ts.tv_usec / 1000;
    return ms < 0 ? 0 : (uint64_t)ms;
}

static enum sc_status next_of_packets(struct sc_capture *c, struct sc_capture_message *out,
                                      struct sc_error *err)
{
    struct pcap_pkthdr *header;
    const u_char *bytes;
    for (;;) {
        int got = pcap_next_ex(c->pcap, &header, &bytes);
        if (got == PCAP_ERROR_BREAK)
            return SC_END;
        if (got != 1)
            return sc_fail(err, SC_DAMAGED, "%s: after %llu packets: %s", c->path,
                           (unsigned long long)c->stats.packets, pcap_geterr(c->pcap));
        c->stats.packets++;
        struct sc_packet packet;
        enum sc_packet_class class = sc_packet_read(c->link_type, bytes, header->caplen, &packet);
        if (class != SC_PACKET_UDP) {
            count_skipped(&c->stats, class);
            continue;
        }
        c->stats.messages++;
        *out = (struct sc_capture_message){packet.payload, packet.length, packet.from, packet.port,
                                           packet_time(header)};
        return SC_OK;
    }
}

enum sc_status sc_capture_next(struct sc_capture *capture, struct sc_capture_message *out,
                               struct sc_error *err)
{
    if (capture->kind == SC_CAPTURE_PACKETS)
        return next_of_packets(capture, out, err);
    return next_of_stream(capture, out, err);
}

/* ---- opening ---- */

static bool is_pcap(const uint8_t *bytes, size_t length)
{
    static const uint32_t magics[] = {0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1,
                                      0xa1b2cd34, 0x34cdb2a1, 0x0a0d0d0a};
    if (length < 4)
        return false;
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        if (sc_load_be32(bytes) == magics[i])
            return true;
    }
    return false;
}

static enum sc_status open_pcap(struct sc_capture *c, struct sc_error *err)
{
    char reason[PCAP_ERRBUF_SIZE];
    rewind(c->file);
    c->kind = SC_CAPTURE_PACKETS;
    c->pcap = pcap_fopen_offline(c->file, reason);
    if (c->pcap == NULL)
        return sc_fail(err, SC_DAMAGED, "%s: %s", c->path, reason);
    c->link_type = pcap_datalink(c->pcap);
    if (!sc_packet_knows(c->link_type)) {
        const char *name = pcap_datalink_val_to_name(c->link_type);
        return sc_fail(err, SC_UNSUPPORTED,
                       "%s: link type %s is not read; Ethernet, Linux cooked, BSD loopback and raw IP are",
                       c->path, name == NULL ? "unknown" : name);
    }
    return SC_OK;
}

static enum sc_status recognise(struct sc_capture *c, struct sc_error *err)
{
    SC_TRY(fill(c, WINDOW_LOW, err));
    if (is_pcap(c->window, c->end))
        return open_pcap(c, err);
    c->kind = SC_CAPTURE_STREAM;
    if (!sc_stream_plausible(c->window, c->end))
        return sc_fail(err, SC_NOT_OURS, "%s: not a capture, export payload or IPFIX file", c->path);
    return SC_OK;
}

static enum sc_status open_file(struct sc_capture *c, struct sc_error *err)
{
    struct stat info;
    c->file = fopen(c->path, "rbe");
    if (c->file == NULL)
        return sc_fail_errno(err, errno, "cannot open %s", c->path);
    if (fstat(fileno(c->file), &info) != 0)
        return sc_fail_errno(err, errno, "cannot read %s", c->path);
    if (!S_ISREG(info.st_mode))
        return sc_fail(err, SC_NOT_OURS, "%s: not a regular file", c->path);
    c->stats.file_bytes = (uint64_t)info.st_size;
    return recognise(c, err);
}

enum sc_status sc_capture_open(const char *path, struct sc_capture **out, struct sc_error *err)
{
    struct sc_capture *c = calloc(1, sizeof(*c));
    if (c == NULL || (c->path = strdup(path)) == NULL) {
        free(c);
        return sc_fail_nomem(err, path);
    }
    enum sc_status status = open_file(c, err);
    if (status != SC_OK) {
        sc_capture_close(c);
        return status;
    }
    *out = c;
    return SC_OK;
}
