// SPDX-License-Identifier: BSD-3-Clause
/*
 * Who writes a store: its lock file, STORE/collector.lock, which one process at a time has. The lock is of the file, not of the name: when
 * the store is deleted under the one who has it, the name is free, and another may make the file anew and lock that. So who holds a
 * store looks now and then whether the file with the name is still the one that it locked. No malloc; one thread.
 */
#ifndef SC_STORE_HOLD_H
#define SC_STORE_HOLD_H

#include "store/io.h"

struct sc_hold {
    struct sc_io *io;
    int handle; /* -1: nothing is held */
    struct sc_file_id id;
};

#define SC_NO_HOLD ((struct sc_hold){.handle = -1})

/* Creates the store, too, when it is missing. `io` NULL: the system's. @return SC_OK; SC_TAKEN: another has it; SC_IO, SC_FULL. */
enum sc_status sc_hold_take(struct sc_hold *hold, const char *store, struct sc_io *io, struct sc_error *err);
/* False: the lock file is gone, or is another one. */
bool sc_hold_is_there(const struct sc_hold *hold, const char *store);
/* After that: takes the store anew. When it fails the hold is as it was, and it may be tried again. @return as sc_hold_take. */
enum sc_status sc_hold_renew(struct sc_hold *hold, const char *store, struct sc_error *err);
void sc_hold_release(struct sc_hold *hold);

/* Whether the lock file of the store is this one. Any thread that may wait for the disk. */
bool sc_hold_is_at(const char *store, const struct sc_file_id *id);

#endif
