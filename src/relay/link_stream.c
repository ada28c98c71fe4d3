// SPDX-License-Identifier: BSD-3-Clause
#include "relay/link_stream.h"

#include "net/framer.h"
#include "net/wake.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/uio.h>

#define PIECE_BYTES  ((size_t)256 << 10) /* that are written at once: a batch of a usual size */
#define SECRET_BYTES ((size_t)32 << 10)  /* deciphered in one go: OpenSSL gives a record, of 16 kB at most */
#define BEHIND_PART  ((size_t)2 << 10)   /* of what follows the bytes of a part */
#define ALONE        ((size_t)16 << 10)
#define TURN_BYTES   ((uint64_t)1 << 20) /* then it is the turn of others */

/* Bytes of a batch go to their place as they come. */
static enum sc_status take_part(struct evbuffer *in, struct sc_link_reader *reader, struct sc_error *err)
{
    size_t there = evbuffer_get_length(in);
    uint32_t n = there < reader->part ? (uint32_t)there : reader->part;
    uint8_t *to = sc_link_part_room(reader, n);
    if (to == NULL)
        return sc_fail_nomem(err, "a batch");
    evbuffer_remove(in, to, n);
    reader->part -= n;
    return sc_link_part_came(reader, n);
}

/* @return SC_OK; SC_AGAIN: it is not whole yet; as sc_link_read. */
static enum sc_status take_message(struct evbuffer *in, struct sc_link_reader *reader, const uint8_t *head,
                                   struct sc_error *err)
{
    size_t length;
    SC_TRY(sc_framer_length(head, evbuffer_get_length(in), &length, err));
    const uint8_t *message = evbuffer_pullup(in, (ev_ssize_t)length);
    if (message == NULL)
        return sc_fail_nomem(err, "a message");
    SC_TRY(sc_link_read(reader, message, length, err));
    evbuffer_drain(in, length);
    return SC_OK;
}

enum sc_status sc_link_drain(struct evbuffer *in, struct sc_link_reader *reader, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    while (status == SC_OK && evbuffer_get_length(in) != 0) {
        uint8_t head[SC_LINK_PART_HEAD] = {0};
        uint32_t part;
        if (reader->part != 0) {
            status = take_part(in, reader, err);
            continue;
        }
        bool enough = evbuffer_copyout(in, head, sizeof(head)) == (ev_ssize_t)sizeof(head);
        if (!enough || !sc_link_begins_part(reader, head, &part)) {
            status = take_message(in, reader, head, err);
            continue;
        }
        reader->part = part;
        evbuffer_drain(in, sizeof(head));
    }
    return status == SC_AGAIN ? SC_OK : status;
}

/* ---- reading batches into their place ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct sc_link_input *input = arg;
    (void)fd;
    (void)what;
    input->readable(input->io, input->arg);
}

static enum sc_status open_secret(struct sc_link_input *input)
{
    input->rest = bufferevent_get_input(input->io);
    bufferevent_set_max_single_read(input->io, SECRET_BYTES);
    return bufferevent_enable(input->io, EV_READ) == 0 ? SC_OK : SC_NOMEM;
}

static enum sc_status open_plain(struct sc_link_input *input)
{
    struct event_base *base = bufferevent_get_base(input->io);
    input->rest = evbuffer_new();
    input->event = event_new(base, bufferevent_getfd(input->io), EV_READ | EV_PERSIST, on_readable, input);
    bool open = input->rest != NULL && input->event != NULL && event_add(input->event, NULL) == 0;
    return open && bufferevent_disable(input->io, EV_READ) == 0 ? SC_OK : SC_NOMEM;
}

enum sc_status sc_link_input_open(struct sc_link_input *input, struct bufferevent *io, bool secret,
                                  const struct sc_link_callbacks *callbacks)
{
    *input = (struct sc_link_input){
        .io = io, .secret = secret, .readable = callbacks->readable, .arg = callbacks->arg};
    bufferevent_setcb(io, callbacks->readable, callbacks->written, callbacks->event, callbacks->arg);
    return secret ? open_secret(input) : open_plain(input);
}

void sc_link_input_close(struct sc_link_input *input)
{
    sc_event_free(input->event);
    if (input->rest != NULL && !input->secret)
        evbuffer_free(input->rest);
    *input = (struct sc_link_input){0};
}

void sc_link_input_pause(struct sc_link_input *input)
{
    input->paused = true;
    if (input->secret)
        bufferevent_disable(input->io, EV_READ);
    else
        event_del(input->event);
}

/* What was deciphered before the pause sets nothing off. */
void sc_link_input_go_on(struct sc_link_input *input)
{
    if (!input->secret)
        event_add(input->event, NULL);
    else if (input->paused) {
        bufferevent_enable(input->io, EV_READ);
        bufferevent_trigger(input->io, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
    }
    input->paused = false;
}

/* What is missing of a part, and the begin of what comes behind it. @return how many; negative: no memory. */
static int places(struct sc_link_input *input, struct sc_link_reader *reader, struct iovec to[2])
{
    struct evbuffer_iovec rest;
    size_t most = reader->part != 0 ? BEHIND_PART : ALONE;
    int n = 0;
    if (reader->part != 0) {
        to[n] = (struct iovec){sc_link_part_room(reader, reader->part), reader->part};
        if (to[n++].iov_base == NULL)
            return -1;
    }
    if (evbuffer_reserve_space(input->rest, (ev_ssize_t)most, &rest, 1) != 1)
        return -1;
    to[n++] = (struct iovec){rest.iov_base, most};
    return n;
}

static enum sc_status take_read(struct sc_link_input *input, struct sc_link_reader *reader,
                                const struct iovec *last, size_t n, struct sc_error *err)
{
    uint32_t part = n < reader->part ? (uint32_t)n : reader->part;
    struct evbuffer_iovec rest = {.iov_base = last->iov_base, .iov_len = n - part};
    evbuffer_commit_space(input->rest, &rest, 1);
    reader->part -= part;
    if (part != 0)
        SC_TRY(sc_link_part_came(reader, part));
    return sc_link_drain(input->rest, reader, err);
}

static enum sc_status read_secret(struct sc_link_input *input, struct sc_link_reader *reader, uint64_t *came,
                                  struct sc_error *err)
{
    *came = evbuffer_get_length(input->rest) - input->left;
    enum sc_status status = sc_link_drain(input->rest, reader, err);
    input->left = evbuffer_get_length(input->rest);
    return status;
}

static enum sc_status read_plain(struct sc_link_input *input, struct sc_link_reader *reader, uint64_t *came,
                                 struct sc_error *err)
{
    int fd = event_get_fd(input->event);
    for (*came = 0; *came < TURN_BYTES;) {
        struct iovec to[2];
        int count = places(input, reader, to);
        if (count < 0)
            return sc_fail_nomem(err, "what a peer sends");
        ssize_t n = readv(fd, to, count);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return SC_OK;
        if (n <= 0)
            return n == 0 ? SC_END : SC_IO;
        *came += (uint64_t)n;
        bool all = (size_t)n < to[0].iov_len + (count > 1 ? to[1].iov_len : 0);
        SC_TRY(take_read(input, reader, &to[count - 1], (size_t)n, err));
        if (all)
            return SC_OK;
    }
    return SC_OK;
}

enum sc_status sc_link_input_read(struct sc_link_input *input, struct sc_link_reader *reader, uint64_t *came,
                                  struct sc_error *err)
{
    return input->secret ? read_secret(input, reader, came, err) : read_plain(input, reader, came, err);
}

/* ---- sending ---- */

enum sc_status sc_link_send(struct bufferevent *to, struct sc_link_writer *writer)
{
    enum sc_status status = sc_buf_ok(&writer->out) ? SC_OK : SC_NOMEM;
    if (status == SC_OK && writer->out.len != 0 &&
        bufferevent_write(to, writer->out.data, writer->out.len) != 0)
        status = SC_NOMEM;
    sc_buf_clear(&writer->out);
    return status;
}

static void let_go(const void *bytes, size_t length, void *shared)
{
    (void)bytes;
    (void)length;
    sc_shared_release(shared);
}

/* The connection holds the bytes until they are written. */
static enum sc_status send_part(struct bufferevent *to, struct sc_link_writer *writer,
                                struct sc_shared *bytes, size_t from, uint32_t length)
{
    sc_link_put_part_head(writer, length);
    SC_TRY(sc_link_send(to, writer));
    if (evbuffer_add_reference(bufferevent_get_output(to), bytes->bytes + from, length, let_go,
                               sc_shared_hold(bytes)) == 0)
        return SC_OK;
    sc_shared_release(bytes);
    return SC_NOMEM;
}

enum sc_status sc_link_send_batch(struct bufferevent *to, struct sc_link_writer *writer,
                                  const struct sc_batch_head *head, struct sc_shared *bytes)
{
    enum sc_status status = SC_OK;
    sc_link_put_announcement(writer, head);
    for (size_t done = 0; done < bytes->size && status == SC_OK; done += SC_LINK_PART) {
        size_t left = bytes->size - done;
        status = send_part(to, writer, bytes, done, left < SC_LINK_PART ? (uint32_t)left : SC_LINK_PART);
    }
    return status;
}

struct bufferevent *sc_link_open(struct event_base *base, int fd, struct sc_tls *tls, const char *member)
{
    struct bufferevent *io = tls == NULL ? bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE)
                                         : sc_tls_open(tls, base, fd, member);
    if (io == NULL)
        return NULL;
    bufferevent_set_max_single_write(io, PIECE_BYTES);
    return io;
}
