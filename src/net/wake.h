// SPDX-License-Identifier: BSD-3-Clause
/* How other threads wake an event loop: wake-ups that come before the loop sees them are one. And the end of what a loop is made of. */
#ifndef SC_NET_WAKE_H
#define SC_NET_WAKE_H

struct event;
struct event_base;
struct sc_wake;

/* `woken` is called in the thread of the loop. @return NULL without memory or descriptors. */
struct sc_wake *sc_wake_create(struct event_base *base, void (*woken)(void *arg), void *arg);
/* Before its loop is. NULL is allowed. */
void sc_wake_free(struct sc_wake *wake);

/* Any thread; never waits. */
void sc_wake_up(const struct sc_wake *wake);

/* NULL is allowed. */
void sc_event_free(struct event *event);
void sc_loop_free(struct event_base *base);

#endif
