// SPDX-License-Identifier: BSD-3-Clause
/* Packets, message streams and TCP framing over arbitrary bytes. The first byte chooses the link type. */
#include "net/framer.h"
#include "net/packet.h"
#include "net/stream.h"

#include <pcap/pcap.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void read_packet(uint8_t chosen, const uint8_t *bytes, size_t length)
{
    static const int types[] = {DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL};
    struct sc_packet packet;
    if (sc_packet_read(types[chosen % 5], bytes, length, &packet) != SC_PACKET_UDP)
        return;
    if (packet.payload < bytes || packet.payload + packet.length > bytes + length)
        __builtin_trap();
}

static void read_stream(const uint8_t *bytes, size_t length)
{
    for (size_t at = 0, message; at < length; at += message) {
        if (sc_stream_frame(bytes + at, length - at, true, &message) != SC_FRAME_WHOLE)
            message = sc_stream_scan(bytes + at, length - at);
        if (message == 0 || message > length - at)
            __builtin_trap();
    }
}

static void read_framed(const uint8_t *bytes, size_t length)
{
    struct sc_framer framer = {0};
    enum sc_status status = SC_AGAIN;
    for (size_t at = 0; at < length && status == SC_AGAIN;) {
        const uint8_t *message;
        size_t room, size;
        uint8_t *to = sc_framer_room(&framer, &room);
        size_t piece = 1 + bytes[at] % 64;
        piece = piece < length - at ? piece : length - at;
        piece = piece < room ? piece : room;
        memcpy(to, bytes + at, piece);
        sc_framer_filled(&framer, piece);
        at += piece;
        while ((status = sc_framer_next(&framer, &message, &size, NULL)) == SC_OK) {
            if (size < 16)
                __builtin_trap();
        }
    }
    sc_framer_free(&framer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    read_packet(bytes[0], bytes + 1, length - 1);
    read_stream(bytes + 1, length - 1);
    read_framed(bytes + 1, length - 1);
    return 0;
}
