// SPDX-License-Identifier: BSD-3-Clause
/* The segment files of a store: listed from its folders, ordered by window, without opening them. */
#ifndef SC_STORE_CATALOGUE_H
#define SC_STORE_CATALOGUE_H

#include "base/status.h"
#include "store/day.h"
#include "store/names.h"

#include <stdbool.h>
#include <stdint.h>

struct sc_catalogue_file {
    char *path;
    uint64_t window_ms; /* from the name */
    uint64_t bytes;
    bool sealed;
    bool damaged; /* what a repair or a seal kept; only when these were asked for */
    bool replica; /* held for another lane */
};

struct sc_catalogue {
    struct sc_catalogue_file *files; /* by window, then name */
    uint32_t count;
    struct sc_catalogue_file *tallies; /* see store/tally.h; in no order */
    uint32_t tally_count;
    uint32_t damaged_files; /* .damaged, with or without with_damaged */
    uint64_t damaged_bytes;
    uint32_t foreign;    /* what lies in year, month and day folders and is not ours */
    uint32_t unreadable; /* folders that could not be listed */
    char unreadable_path[256];
    uint32_t left_out; /* files, as `some` does not want them */
    /* Set before: of days of which it is known what they hold (store/day.h) only files that may have something of these times are listed. */
    const struct sc_day_bounds *some;
    bool replicas;     /* set before: also what a store holds for other lanes, under .replica/LANE */
    bool with_damaged; /* set before: .damaged files are listed too */
    /* When set: called with each temporary file of a seal. Only who holds the store's lock may remove them.
     */
    void (*temporary)(void *arg, const char *path);
    void *temporary_arg;
};

/*
 * Lists `path`: a store, a part of one (a year, month or day folder), or a single segment file. It is told by what lies in it, never by
 * its name or by those above it. Adds to *catalogue (zero-initialised before the first call).
 * @return SC_OK (an empty store too); SC_NOTFOUND, SC_IO (unreadable), SC_NOT_OURS (a file that is no
 * segment).
 */
enum sc_status sc_catalogue_add(struct sc_catalogue *catalogue, const char *path, struct sc_error *err);
void sc_catalogue_sort(struct sc_catalogue *catalogue);
/* The order of two files, as qsort asks for it. */
int sc_catalogue_compare(const void *x, const void *y);
void sc_catalogue_free(struct sc_catalogue *catalogue);

#endif
