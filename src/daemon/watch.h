// SPDX-License-Identifier: BSD-3-Clause
/*
 * Looks four times a second whether the control socket is still the one that clients come to: who deletes a store under a running
 * collector takes the socket along. It is made anew as soon as this process holds the store again, never before: until then another's
 * may lie there. On a node that writes no segments the lock is looked after here too; else whoever writes them does that.
 *
 * It also gives memory that was freed back to the system, each ten seconds. A thread of its own, as all of it may wait for the disk.
 */
#ifndef SC_DAEMON_WATCH_H
#define SC_DAEMON_WATCH_H

#include "base/log.h"
#include "daemon/control.h"
#include "store/hold.h"

struct sc_watch;

struct sc_watch_options {
    const char *store; /* borrowed, as is all else here */
    struct sc_control *control;
    struct sc_hold *hold; /* to be looked after; NULL: another thread's */
    /* Which lock file this process holds; from the watch's thread. */
    void (*lock_id)(void *arg, struct sc_file_id *out);
    void *arg;
    struct sc_log log;
};

/* Of the hold that is looked after. */
struct sc_watch_view {
    uint64_t wiped, wiped_ms; /* how often the store was deleted, and when last, wall clock */
    bool taken;               /* another process has it */
};

enum sc_status sc_watch_start(const struct sc_watch_options *options, struct sc_watch **out,
                              struct sc_error *err);
/* Any thread. `watch` may be NULL. */
void sc_watch_look(struct sc_watch *watch, struct sc_watch_view *out);
/* NULL is allowed. */
void sc_watch_stop(struct sc_watch *watch);

#endif
