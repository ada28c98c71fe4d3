// SPDX-License-Identifier: BSD-3-Clause
#include "net/dial.h"

#include "base/clock.h"
#include "net/lookup.h"
#include "net/socket.h"
#include "net/wake.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#define PAUSE_FIRST_MS 100u
#define PAUSE_MOST_MS  5000u
#define SHARE_LEAST_MS 1500u /* of an address: a first segment that got lost is sent again after a second */

enum state { IDLE, PAUSING, ASKING, CONNECTING };

struct sc_dial {
    struct sc_dial_options options;
    enum state state;
    struct event *timer; /* the pause, or patience with the name service */
    uint32_t pause_ms;   /* the next one */
    bool bound;          /* to be, to: */
    struct sc_addr from;
    struct sc_wake *wake;             /* of the lookup */
    struct sc_lookup *lookup;         /* NULL: none is under way */
    struct sc_client_addresses found; /* and the next one to try: */
    uint32_t next;
    uint64_t until_ms; /* patience with them */
    int fd;            /* being connected; -1: none */
    struct event *writable;
};

/* ---- the outcome ---- */

static void fail(struct sc_dial *d, const struct sc_error *reason)
{
    d->state = IDLE;
    d->options.failed(d->options.arg, reason);
}

static void succeed(struct sc_dial *d)
{
    int fd = d->fd;
    d->fd = -1;
    d->state = IDLE;
    d->options.connected(d->options.arg, fd);
}

/* ---- connecting ---- */

static void close_socket(struct sc_dial *d)
{
    sc_event_free(d->writable);
    if (d->fd >= 0)
        close(d->fd);
    d->writable = NULL;
    d->fd = -1;
}

static void on_writable(evutil_socket_t fd, short what, void *arg);

static struct timeval in_ms(uint32_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

/* Without the own address where it cannot be had. @return the descriptor, or -errno. */
static int begin(const struct sc_dial *d, const struct sockaddr_storage *to)
{
    struct sc_client_way way = {.scheme = d->options.to.scheme};
    struct sc_addr address;
    uint16_t port;
    int fd = -1;
    if (d->bound && sc_socket_address(to, &address, &port) &&
        sc_addr_is_v4(&address) == sc_addr_is_v4(&d->from)) {
        way.from = &d->from;
        fd = sc_client_begin(&way, to);
        way.from = NULL;
    }
    return fd >= 0 ? fd : sc_client_begin(&way, to);
}

/* Of the patience that is left, so that addresses at which nobody answers do not add up; the last has all of it. */
static struct timeval share_of_address(const struct sc_dial *d)
{
    uint64_t now = sc_clock_mono_ms(), left = d->until_ms > now ? d->until_ms - now : 0;
    uint32_t ms = (uint32_t)left / (d->found.count - d->next + 1);
    uint32_t least = d->options.patience_ms < SHARE_LEAST_MS ? d->options.patience_ms : SHARE_LEAST_MS;
    return in_ms(ms < least ? least : ms);
}

/* @return 0: it is under way, or over; else errno. */
static int try_address(struct sc_dial *d, const struct sockaddr_storage *to)
{
    const struct timeval patience = share_of_address(d);
    int fd = begin(d, to);
    if (fd < 0)
        return -fd;
    d->fd = fd;
    d->writable = event_new(d->options.base, fd, EV_WRITE, on_writable, d);
    if (d->writable != NULL && event_add(d->writable, &patience) == 0)
        return 0;
    close_socket(d);
    return ENOMEM;
}

/* The next address; `reason`: why the one before would not do. */
static void try_next(struct sc_dial *d, int reason)
{
    struct sc_error err;
    d->state = CONNECTING;
    while (d->next < d->found.count) {
        reason = try_address(d, &d->found.all[d->next++]);
        if (reason == 0)
            return;
    }
    sc_fail_errno(&err, reason, "cannot connect");
    fail(d, &err);
}

static void try_all(struct sc_dial *d)
{
    d->next = 0;
    d->until_ms = sc_clock_mono_ms() + d->options.patience_ms;
    try_next(d, 0);
}

/* This thread may be the one that is late: the socket is asked, whatever the event says. */
static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct sc_dial *d = arg;
    (void)what;
    int reason = sc_client_end_connect((int)fd, 0);
    event_free(d->writable);
    d->writable = NULL;
    if (reason == 0) {
        succeed(d);
        return;
    }
    close_socket(d);
    try_next(d, reason);
}

/* ---- the name ---- */

static void take_found(struct sc_dial *d, const struct sc_lookup_host *host)
{
    struct sc_error err = host->err;
    d->found = host->found;
    sc_lookup_release(d->lookup);
    d->lookup = NULL;
    if (d->found.count != 0)
        try_all(d);
    else
        fail(d, &err);
}

/* The name service may have answered already: to a question of an earlier try. */
static void on_answer(void *arg)
{
    struct sc_dial *d = arg;
    const struct sc_lookup_host *host = d->lookup == NULL ? NULL : sc_lookup_hosts(d->lookup);
    if (d->state != ASKING || host == NULL)
        return;
    event_del(d->timer);
    take_found(d, host);
}

static void ask(struct sc_dial *d)
{
    const struct timeval patience = in_ms(d->options.patience_ms);
    struct sc_error err;
    d->state = ASKING;
    if (d->lookup == NULL)
        d->lookup = sc_lookup_start(&d->options.to, 1, d->wake);
    if (d->lookup != NULL && event_add(d->timer, &patience) == 0) {
        on_answer(d);
        return;
    }
    sc_fail_nomem(&err, "a name");
    fail(d, &err);
}

/* ---- time ---- */

static void try_now(struct sc_dial *d)
{
    struct sc_error err;
    if (!d->options.to.numeric)
        ask(d);
    else if (sc_client_resolve(&d->options.to, &d->found, &err) != SC_OK)
        fail(d, &err);
    else
        try_all(d);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sc_dial *d = arg;
    struct sc_error err;
    (void)fd;
    (void)what;
    if (d->state == PAUSING) {
        try_now(d);
        return;
    }
    sc_fail(&err, SC_IO, "host %s: the name service does not answer", d->options.to.host);
    fail(d, &err);
}

void sc_dial_start(struct sc_dial *d, const struct sc_addr *from)
{
    const struct timeval pause = in_ms(d->pause_ms);
    if (d->state != IDLE)
        return;
    d->bound = from != NULL;
    if (from != NULL)
        d->from = *from;
    d->state = event_add(d->timer, &pause) == 0 ? PAUSING : IDLE;
    d->pause_ms = d->pause_ms == 0 ? PAUSE_FIRST_MS : d->pause_ms * 2;
    if (d->pause_ms > PAUSE_MOST_MS)
        d->pause_ms = PAUSE_MOST_MS;
}

void sc_dial_hurry(struct sc_dial *d)
{
    const struct timeval none = {0};
    if (d->state == PAUSING)
        event_add(d->timer, &none);
}

void sc_dial_praise(struct sc_dial *d)
{
    d->pause_ms = PAUSE_FIRST_MS;
}

/* ---- life ---- */

struct sc_dial *sc_dial_create(const struct sc_dial_options *options)
{
    struct sc_dial *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->options = *options;
    d->fd = -1;
    d->timer = event_new(options->base, -1, 0, on_timer, d);
    if (!options->to.numeric)
        d->wake = sc_wake_create(options->base, on_answer, d);
    if (d->timer != NULL && (options->to.numeric || d->wake != NULL))
        return d;
    sc_dial_free(d);
    return NULL;
}

void sc_dial_free(struct sc_dial *d)
{
    if (d == NULL)
        return;
    close_socket(d);
    sc_event_free(d->timer);
    sc_lookup_release(d->lookup);
    sc_wake_free(d->wake);
    free(d);
}
