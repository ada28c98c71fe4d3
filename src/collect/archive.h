// SPDX-License-Identifier: BSD-3-Clause
/*
 * A command of the operator that gets each window before it is deleted, and so can keep it elsewhere. It is run without a shell, in the
 * folder of the store, one window at a time, the oldest first, and reads on stdin the paths of the window's files below the store, one a
 * line: segments of all lanes, what repairs kept, tallies. Nobody writes to them any more. Its environment has SC_WINDOW, the begin of
 * the window (2027-01-15T08:00:00.000Z), and SC_STORE, the folder. When it ends with 0 it has the window. It may get one again: when it
 * was not heard to the end, or a file has come since.
 */
#ifndef SC_COLLECT_ARCHIVE_H
#define SC_COLLECT_ARCHIVE_H

#include "base/log.h"
#include "store/store.h"

#include <stdatomic.h>

#define SC_ARCHIVE_TIMEOUT_S 600u

struct sc_archive_command {
    char *const *words; /* NULL behind the last; NULL: there is no command */
    uint32_t timeout_s; /* it is killed then, with all that it has started */
};

/* Runs it, and waits. Once *stop is set (NULL: never) it has no more time. @return SC_OK: it has the window; SC_IO: why not. */
enum sc_status sc_archive_run(const struct sc_archive_command *command, const char *store,
                              const struct sc_window_files *files, const atomic_bool *stop,
                              struct sc_error *err);

/*
 * The same beside a thread that has no time to wait: it offers a window, and takes the answer when there is one. After a failure the
 * pauses grow, from ten seconds to an hour. Malloc; of one thread, but for sc_archiver_set and sc_archiver_free.
 */
struct sc_archiver;

struct sc_archiver_stats {
    bool on, running;
    uint64_t windows, failures; /* that it has taken; how often it did not */
    uint64_t window_ms;         /* that it is running for, or failed for last */
    char problem[256];          /* why; empty: it did not */
};

/* `store` and `log` are borrowed. NULL without memory. */
struct sc_archiver *sc_archiver_create(const char *store, const struct sc_log *log);
/* Kills what is running. NULL is allowed. */
void sc_archiver_free(struct sc_archiver *archiver);
/* Another command (copied), or none; any thread. What is running goes on. @return SC_OK or SC_NOMEM. */
enum sc_status sc_archiver_set(struct sc_archiver *archiver, const struct sc_archive_command *command);
bool sc_archiver_is_on(struct sc_archiver *archiver);

/* Whether retention has something to do: an answer can be taken, what failed be tried again, or another command be tried (true once). */
bool sc_archiver_is_due(struct sc_archiver *archiver, uint64_t now_ms);
/* The window that the command has got since the last call, to *out; else it is left as it is. */
void sc_archiver_take(struct sc_archiver *archiver, struct sc_archived *out);
/* Takes the files over when it is time for them. */
void sc_archiver_offer(struct sc_archiver *archiver, struct sc_window_files *files, uint64_t now_ms);
void sc_archiver_get_stats(struct sc_archiver *archiver, struct sc_archiver_stats *out);

#endif
