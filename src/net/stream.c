// SPDX-License-Identifier: BSD-3-Clause
#include "net/stream.h"

#include "base/bytes.h"
#include "net/framer.h"

enum { V5 = 5, V9 = 9, IPFIX = 10 };

#define V5_HEADER    24u
#define V5_RECORD    48u
#define V5_MAX_COUNT 30u
#define V9_HEADER    20u
#define IPFIX_HEADER 16u
#define SET_HEADER   4u

/* The first set's id and length fit the version and the room. */
static bool plausible_set(const uint8_t *set, unsigned version, size_t room)
{
    unsigned id = sc_load_be16(set), length = sc_load_be16(set + 2);
    bool known = id >= 256 || (version == V9 ? id <= 1 : id == 2 || id == 3);
    return known && length >= SET_HEADER && length <= room;
}

static bool plausible_ipfix(const uint8_t *bytes, size_t length)
{
    size_t message;
    if (sc_framer_length(bytes, length, &message, NULL) == SC_MALFORMED ||
        (message > IPFIX_HEADER && message < IPFIX_HEADER + SET_HEADER))
        return false;
    return message == IPFIX_HEADER || length < IPFIX_HEADER + SET_HEADER ||
           plausible_set(bytes + IPFIX_HEADER, IPFIX, message - IPFIX_HEADER);
}

bool sc_stream_plausible(const uint8_t *bytes, size_t length)
{
    if (length < IPFIX_HEADER)
        return false;
    switch (sc_load_be16(bytes)) {
    case V5: {
        unsigned count = sc_load_be16(bytes + 2);
        return length >= V5_HEADER && count >= 1 && count <= V5_MAX_COUNT;
    }
    case V9:
        return length >= V9_HEADER + SET_HEADER && plausible_set(bytes + V9_HEADER, V9, SIZE_MAX);
    case IPFIX:
        return plausible_ipfix(bytes, length);
    default:
        return false;
    }
}

static enum sc_frame frame_of(size_t need, size_t length, bool at_end, size_t *message)
{
    *message = need;
    if (need <= length)
        return SC_FRAME_WHOLE;
    return at_end ? SC_FRAME_BAD : SC_FRAME_MORE;
}

/* Zero bytes after the last set belong to the message (Palo Alto, ACI), so does a last set that is cut off.
 */
static enum sc_frame frame_v9(const uint8_t *bytes, size_t length, bool at_end, size_t *message)
{
    size_t at = V9_HEADER;
    while (length - at >= SET_HEADER) {
        unsigned id = sc_load_be16(bytes + at), size = sc_load_be16(bytes + at + 2);
        bool other = id == V5 || id == V9 || id == IPFIX;
        if (other && length - at < SC_STREAM_HEADER && !at_end)
            break;
        if (other && sc_stream_plausible(bytes + at, length - at))
            return frame_of(at, length, at_end, message);
        if (size < SET_HEADER)
            size = SET_HEADER; /* filling, or damage that the decoder will report */
        if (size > length - at)
            break;
        at += size;
        if (at > SC_STREAM_LIMIT)
            return frame_of(at, length, at_end, message);
    }
    if (!at_end && length < SC_STREAM_LIMIT)
        return SC_FRAME_MORE;
    return frame_of(length, length, at_end, message);
}

enum sc_frame sc_stream_frame(const uint8_t *bytes, size_t length, bool at_end, size_t *message)
{
    if (length < SC_STREAM_HEADER && !at_end)
        return SC_FRAME_MORE;
    if (!sc_stream_plausible(bytes, length))
        return SC_FRAME_BAD;
    switch (sc_load_be16(bytes)) {
    case V5:
        return frame_of(V5_HEADER + (size_t)V5_RECORD * sc_load_be16(bytes + 2), length, at_end, message);
    case V9:
        return frame_v9(bytes, length, at_end, message);
    default:
        return frame_of(sc_load_be16(bytes + 2), length, at_end, message);
    }
}

size_t sc_stream_scan(const uint8_t *bytes, size_t length)
{
    for (size_t at = 1; at < length; at++) {
        if (bytes[at] == 0 && sc_stream_plausible(bytes + at, length - at))
            return at;
    }
    return length;
}
