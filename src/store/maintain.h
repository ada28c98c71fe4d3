// SPDX-License-Identifier: BSD-3-Clause
/* Looking after a store: verify, repair. Neither needs a running collector, nor minds one. */
#ifndef SC_STORE_MAINTAIN_H
#define SC_STORE_MAINTAIN_H

#include "base/status.h"
#include "store/io.h"

#include <stdint.h>

struct sc_verify_report {
    uint64_t segments;
    uint64_t row_groups;
    uint64_t rows;
    uint64_t damaged_segments;
    uint64_t damaged_row_groups; /* also stretches of a file in which none can be found */
    uint64_t damaged_chunks;
    uint64_t unfinished_tails; /* of live files: no damage */
    uint64_t foreign_files;
    uint64_t repaired_segments; /* sc_store_repair */
    uint64_t kept_files;        /* .damaged: what repairs kept; they expire with their windows */
    uint64_t kept_bytes;
};

/* Called with a file and a sentence about it; also with finding == NULL when a file is begun (progress). */
typedef void sc_finding_fn(void *arg, const char *path, const char *finding);

struct sc_row_group;

/* Who follows a verification. */
struct sc_verify_watch {
    /* Whether the files of a window are read at all; of a lane, when one is open (else NULL). */
    bool (*wants)(void *arg, uint64_t window_ms, const uint32_t *lane);
    /* A row group whose head can be read, and whether all its rows can (sc_row_group_has_rows). It is gone behind the call. */
    void (*group)(void *arg, const struct sc_row_group *group, bool has_rows);
    void (*progress)(void *arg, uint64_t bytes,
                     uint64_t of_bytes); /* of the files that were listed; with each file */
    void *arg;
};

/*
 * Reads every byte of every segment of `path` (a store, a part of one, or a segment) and checks all hashes
 * and that all decodes. What a collector seals meanwhile is listed again, and read. `watch`: may be NULL.
 * @return SC_OK: whole. SC_DAMAGED: see the report. SC_NOTFOUND, SC_IO, SC_NOT_OURS, SC_UNSUPPORTED,
 * SC_NOMEM: some of it could not be examined (the rest was).
 */
enum sc_status sc_store_verify(const char *path, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err);
enum sc_status sc_store_verify_watched(const char *path, const struct sc_verify_watch *watch,
                                       sc_finding_fn *finding, void *arg, struct sc_verify_report *out,
                                       struct sc_error *err);

/*
 * Rewrites the whole row groups of each damaged segment to a new sealed segment and keeps the old file as
 * NAME.damaged. Live files that a collector may be writing are left alone (a running collector seals them
 * itself). `io` NULL = the system's files. @return SC_OK: nothing is damaged any more (see
 * repaired_segments); else as verify.
 */
enum sc_status sc_store_repair(const char *path, struct sc_io *io, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err);

#endif
