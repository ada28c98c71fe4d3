// SPDX-License-Identifier: BSD-3-Clause
#include "relay/asker.h"

#include "base/array.h"
#include "base/clock.h"
#include "net/dial.h"
#include "net/wake.h"
#include "relay/link_stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS      100u
#define MOST_RECORDS (4u << 20) /* of an answer; a node that tells more is not to be believed */

struct sc_asker {
    const atomic_bool *stopping;
    struct event_base *base;
    struct event *tick;
    struct sc_dial *dial;
    struct bufferevent *io; /* NULL: not connected */
    struct sc_link_input input;
    struct sc_link_reader reader;
    struct sc_link_writer writer;
    const char *member;
    struct sc_tls *tls;
    bool gives; /* it knows what is asked */
    bool greeted, over;
    uint64_t heard_ms, moved_ms; /* anything; something of the answer */
    struct sc_loan *loan;        /* the answer that is coming */
    bool given;
    struct sc_error why; /* it is over */
};

/* ---- what comes ---- */

static enum sc_status end(struct sc_asker *a, enum sc_status status, const char *why)
{
    if (!a->over)
        sc_fail(&a->why, status, "%s: %s", a->member, why);
    a->over = true;
    return status;
}

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct sc_asker *a = arg;
    if (a->greeted)
        return SC_MALFORMED;
    if (strcmp(hello->name, a->member) != 0)
        return end(a, SC_UNSUPPORTED, "another member answers at its address");
    if (a->tls != NULL && !sc_tls_is(a->io, a->member))
        return end(a, SC_UNSUPPORTED, "its certificate has another name");
    a->greeted = true;
    return SC_OK;
}

/* Whether this may be a part of the answer that is coming. */
static bool is_awaited(struct sc_asker *a, enum sc_link_what what)
{
    a->moved_ms = sc_clock_mono_ms();
    return a->loan != NULL && !a->given && a->loan->ask.what == what && a->loan->count < MOST_RECORDS;
}

static enum sc_status on_digest(void *arg, const struct sc_link_digest *digest)
{
    struct sc_asker *a = arg;
    if (!is_awaited(a, SC_ASK_DIGESTS))
        return SC_MALFORMED;
    if (!sc_array_more(a->loan->digests, a->loan->count, 1))
        return SC_NOMEM;
    a->loan->digests[a->loan->count++] = *digest;
    return SC_OK;
}

static enum sc_status on_holds(void *arg, const struct sc_link_holds *holds)
{
    struct sc_asker *a = arg;
    if (!is_awaited(a, SC_ASK_HOLDS))
        return SC_MALFORMED;
    if (!sc_array_more(a->loan->holds, a->loan->count, 1))
        return SC_NOMEM;
    a->loan->holds[a->loan->count++] = *holds;
    return SC_OK;
}

static enum sc_status on_told(void *arg, const struct sc_link_told *told)
{
    struct sc_asker *a = arg;
    if (!is_awaited(a, SC_ASK_TOLD))
        return SC_MALFORMED;
    if (!sc_array_more(a->loan->told, a->loan->count, 1))
        return SC_NOMEM;
    a->loan->told[a->loan->count++] = *told;
    return SC_OK;
}

static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes)
{
    struct sc_asker *a = arg;
    if (!is_awaited(a, SC_ASK_GROUP) || a->loan->bytes != NULL)
        return SC_MALFORMED;
    a->loan->head = *head;
    a->loan->bytes = sc_shared_take(bytes);
    return a->loan->bytes == NULL ? SC_NOMEM : SC_OK;
}

static enum sc_status on_given(void *arg, const struct sc_link_given *given)
{
    struct sc_asker *a = arg;
    if (given->what == SC_ASK_NOTHING && !a->gives) {
        a->gives = true;
        return SC_OK;
    }
    if (a->loan == NULL || a->given || given->what != a->loan->ask.what)
        return SC_MALFORMED;
    a->loan->outcome = given->outcome;
    a->given = true;
    return SC_OK;
}

static void on_readable(struct bufferevent *io, void *arg)
{
    struct sc_asker *a = arg;
    struct sc_error err = {.message = "it closed the connection"};
    uint64_t came;
    uint32_t got = a->reader.got;
    (void)io;
    enum sc_status status = sc_link_input_read(&a->input, &a->reader, &came, &err);
    a->heard_ms = sc_clock_mono_ms();
    if (a->reader.got != got)
        a->moved_ms = a->heard_ms;
    if (status != SC_OK)
        end(a, status == SC_END ? SC_IO : status, err.message);
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
    struct sc_asker *a = arg;
    char reason[128] = "it closed the connection";
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
        return;
    if ((what & BEV_EVENT_ERROR) != 0 && a->tls != NULL)
        sc_tls_reason(io, reason, sizeof(reason));
    end(a, SC_IO, reason);
}

/* ---- the connection ---- */

static void on_connected(void *arg, int fd)
{
    struct sc_asker *a = arg;
    const struct sc_link_callbacks callbacks = {.readable = on_readable, .event = on_event, .arg = a};
    a->io = sc_link_open(a->base, fd, a->tls, a->member);
    a->reader = (struct sc_link_reader){.hello = on_hello,
                                        .digest = on_digest,
                                        .holds = on_holds,
                                        .told = on_told,
                                        .batch = on_batch,
                                        .given = on_given,
                                        .arg = a};
    if (a->io == NULL)
        close(fd);
    if (a->io == NULL || sc_link_input_open(&a->input, a->io, a->tls != NULL, &callbacks) != SC_OK ||
        sc_link_send(a->io, &a->writer) != SC_OK)
        end(a, SC_NOMEM, "out of memory");
}

static void on_failed(void *arg, const struct sc_error *reason)
{
    end(arg, SC_IO, reason->message);
}

/* For the loop to come back to who waits. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void greet(struct sc_asker *a, const struct sc_cluster *cluster, uint32_t self)
{
    struct sc_link_hello hello = {.version = (uint16_t)cluster->format,
                                  .cluster_version = cluster->version,
                                  .lane = cluster->members[self].lane};
    snprintf(hello.name, sizeof(hello.name), "%s", cluster->members[self].name);
    sc_link_put_hello(&a->writer, &hello);
    sc_link_put_ask(&a->writer, &(struct sc_link_ask){.what = SC_ASK_NOTHING});
}

/* Turns the loop until *done. */
static enum sc_status wait(struct sc_asker *a, const bool *done, uint32_t still_ms, struct sc_error *err)
{
    a->heard_ms = a->moved_ms = sc_clock_mono_ms();
    while (!*done && !a->over) {
        if (atomic_load(a->stopping))
            return sc_fail(err, SC_CANCELLED, "stopping");
        event_base_loop(a->base, EVLOOP_ONCE);
        uint64_t now = sc_clock_mono_ms();
        if (!*done && (now > a->heard_ms + SC_ASKER_SILENT_MS || now > a->moved_ms + still_ms))
            end(a, SC_IO, "it does not answer");
    }
    if (*done)
        return SC_OK;
    if (err != NULL)
        *err = a->why;
    return a->why.status;
}

enum sc_status sc_asker_open(struct sc_asker *a, const struct sc_cluster *cluster, uint32_t self,
                             uint32_t member, struct sc_tls *tls, struct sc_error *err)
{
    const struct sc_url *own = &cluster->members[self].address;
    const struct sc_dial_options how = {.base = a->base,
                                        .to = cluster->members[member].address,
                                        .patience_ms = SC_ASKER_CONNECT_MS,
                                        .connected = on_connected,
                                        .failed = on_failed,
                                        .arg = a};
    sc_asker_close(a);
    a->member = cluster->members[member].name;
    a->tls = tls;
    a->dial = sc_dial_create(&how);
    if (a->dial == NULL)
        return sc_fail_nomem(err, "a connection");
    greet(a, cluster, self);
    sc_dial_start(a->dial, own->numeric ? &own->address : NULL);
    enum sc_status status = wait(a, &a->greeted, 2 * SC_ASKER_CONNECT_MS, err);
    if (status == SC_OK && wait(a, &a->gives, SC_ASKER_GIVES_MS, err) != SC_OK)
        status = a->why.status == SC_IO
                     ? sc_fail(err, SC_UNSUPPORTED, "it gives nothing, as programs of earlier versions")
                     : err->status;
    if (status != SC_OK)
        sc_asker_close(a);
    return status;
}

void sc_asker_close(struct sc_asker *a)
{
    sc_dial_free(a->dial);
    sc_link_input_close(&a->input);
    if (a->io != NULL)
        bufferevent_free(a->io);
    sc_link_reader_free(&a->reader);
    sc_buf_free(&a->writer.out);
    sc_loan_free(a->loan);
    *a = (struct sc_asker){.stopping = a->stopping, .base = a->base, .tick = a->tick};
}

enum sc_status sc_asker_ask(struct sc_asker *a, const struct sc_link_ask *ask, struct sc_loan **out,
                            struct sc_error *err)
{
    a->given = false;
    a->loan = calloc(1, sizeof(*a->loan));
    if (a->loan == NULL)
        return sc_fail_nomem(err, "a question");
    a->loan->ask = *ask;
    sc_link_put_ask(&a->writer, ask);
    enum sc_status status = sc_link_send(a->io, &a->writer);
    if (status == SC_OK)
        status = wait(a, &a->given, SC_ASKER_STILL_MS, err);
    if (status == SC_OK) {
        *out = a->loan;
        a->loan = NULL;
        return SC_OK;
    }
    sc_asker_close(a);
    return status;
}

/* ---- outside ---- */

struct sc_asker *sc_asker_create(const atomic_bool *stopping)
{
    const struct timeval every = {.tv_usec = TICK_MS * 1000};
    struct sc_asker *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->stopping = stopping;
    a->base = event_base_new();
    a->tick = a->base == NULL ? NULL : event_new(a->base, -1, EV_PERSIST, on_tick, NULL);
    if (a->tick != NULL && event_add(a->tick, &every) == 0)
        return a;
    sc_asker_free(a);
    return NULL;
}

void sc_asker_free(struct sc_asker *a)
{
    if (a == NULL)
        return;
    sc_asker_close(a);
    sc_event_free(a->tick);
    sc_loop_free(a->base);
    free(a);
}
