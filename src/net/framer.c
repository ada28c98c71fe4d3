// SPDX-License-Identifier: BSD-3-Clause
#include "net/framer.h"

#include "base/bytes.h"

#include <stdlib.h>

#define BUFFER_BYTES  (2u * 65536u) /* room for the longest message behind most of another */
#define HEADER_BYTES  16u
#define VERSION_IPFIX 10u

void sc_framer_free(struct sc_framer *framer)
{
    free(framer->buffer);
    *framer = (struct sc_framer){0};
}

size_t sc_framer_pending(const struct sc_framer *framer)
{
    return framer->end - framer->start;
}

uint8_t *sc_framer_room(struct sc_framer *framer, size_t *size)
{
    if (framer->buffer == NULL) {
        framer->buffer = malloc(BUFFER_BYTES);
        if (framer->buffer == NULL)
            return NULL;
    }
    if (framer->start != 0) {
        memmove(framer->buffer, framer->buffer + framer->start, framer->end - framer->start);
        framer->end -= framer->start;
        framer->start = 0;
    }
    *size = BUFFER_BYTES - framer->end;
    return framer->buffer + framer->end;
}

void sc_framer_filled(struct sc_framer *framer, size_t count)
{
    framer->end += count;
}

static enum sc_status refuse_version(unsigned version, struct sc_error *err)
{
    if (version == 5 || version == 9)
        return sc_fail(err, SC_MALFORMED,
                       "NetFlow v%u over TCP: its messages carry no length; send it over UDP, or IPFIX here",
                       version);
    return sc_fail(err, SC_MALFORMED, "no IPFIX: a message begins with version %u instead of 10", version);
}

enum sc_status sc_framer_length(const uint8_t *bytes, size_t have, size_t *length, struct sc_error *err)
{
    *length = SC_FRAMER_LOOK;
    if (have < 2)
        return SC_AGAIN;
    if (sc_load_be16(bytes) != VERSION_IPFIX)
        return refuse_version(sc_load_be16(bytes), err);
    if (have < SC_FRAMER_LOOK)
        return SC_AGAIN;
    *length = sc_load_be16(bytes + 2);
    if (*length < HEADER_BYTES)
        return sc_fail(err, SC_MALFORMED, "an IPFIX message of %zu bytes is shorter than its header",
                       *length);
    return have < *length ? SC_AGAIN : SC_OK;
}

enum sc_status sc_framer_next(struct sc_framer *framer, const uint8_t **message, size_t *length,
                              struct sc_error *err)
{
    size_t need;
    if (framer->buffer == NULL)
        return SC_AGAIN;
    SC_TRY(sc_framer_length(framer->buffer + framer->start, sc_framer_pending(framer), &need, err));
    *message = framer->buffer + framer->start;
    *length = need;
    framer->start += need;
    return SC_OK;
}
