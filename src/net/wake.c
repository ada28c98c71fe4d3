// SPDX-License-Identifier: BSD-3-Clause
#include "net/wake.h"

#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct sc_wake {
    int fd;
    struct event *event;
    void (*woken)(void *arg);
    void *arg;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    const struct sc_wake *wake = arg;
    uint64_t count;
    (void)what;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n; /* it cannot be worse than awake */
    wake->woken(wake->arg);
}

struct sc_wake *sc_wake_create(struct event_base *base, void (*woken)(void *arg), void *arg)
{
    struct sc_wake *wake = calloc(1, sizeof(*wake));
    if (wake == NULL)
        return NULL;
    *wake = (struct sc_wake){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .woken = woken, .arg = arg};
    if (wake->fd >= 0)
        wake->event = event_new(base, wake->fd, EV_READ | EV_PERSIST, on_readable, wake);
    if (wake->event != NULL && event_add(wake->event, NULL) == 0)
        return wake;
    sc_wake_free(wake);
    return NULL;
}

void sc_wake_free(struct sc_wake *wake)
{
    if (wake == NULL)
        return;
    sc_event_free(wake->event);
    if (wake->fd >= 0)
        close(wake->fd);
    free(wake);
}

void sc_wake_up(const struct sc_wake *wake)
{
    const uint64_t one = 1;
    ssize_t n = write(wake->fd, &one, sizeof(one));
    (void)n; /* full: it is awake */
}

void sc_event_free(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void sc_loop_free(struct event_base *base)
{
    if (base != NULL)
        event_base_free(base);
}
