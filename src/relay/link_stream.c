// SPDX-License-Identifier: BSD-3-Clause
#include "relay/link_stream.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

struct event *sc_link_wake_event(struct event_base *base, event_callback_fn callback, void *arg, int *fd)
{
    *fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct event *event = *fd < 0 ? NULL : event_new(base, *fd, EV_READ | EV_PERSIST, callback, arg);
    if (event != NULL && event_add(event, NULL) == 0)
        return event;
    if (event != NULL)
        event_free(event);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return NULL;
}

void sc_link_wake_up(int fd)
{
    const uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n; /* full: it is awake */
}

void sc_link_woken(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
}
