// SPDX-License-Identifier: BSD-3-Clause
#include "relay/link_stream.h"

#include <event2/buffer.h>

#define HEADER_BYTES 16u

enum sc_status sc_link_drain(struct evbuffer *in, struct sc_link_reader *reader, struct sc_error *err)
{
    uint8_t head[4];
    while (evbuffer_get_length(in) >= HEADER_BYTES) {
        evbuffer_copyout(in, head, sizeof(head));
        size_t length = sc_load_be16(head + 2);
        if (sc_load_be16(head) != 10 || length < HEADER_BYTES)
            return sc_fail(err, SC_MALFORMED, "no IPFIX message");
        if (evbuffer_get_length(in) < length)
            return SC_OK;
        const uint8_t *message = evbuffer_pullup(in, (ev_ssize_t)length);
        if (message == NULL)
            return sc_fail_nomem(err, "a message");
        SC_TRY(sc_link_read(reader, message, length, err));
        evbuffer_drain(in, length);
    }
    return SC_OK;
}

enum sc_status sc_link_send(struct bufferevent *to, struct sc_link_writer *writer)
{
    enum sc_status status = sc_buf_ok(&writer->out) ? SC_OK : SC_NOMEM;
    if (status == SC_OK && writer->out.len != 0 &&
        bufferevent_write(to, writer->out.data, writer->out.len) != 0)
        status = SC_NOMEM;
    sc_buf_clear(&writer->out);
    return status;
}
