// SPDX-License-Identifier: BSD-3-Clause
/* Reads capture files, export payloads and IPFIX files into a store, by the same way as received messages
 * take. */
#ifndef SC_COLLECT_IMPORT_H
#define SC_COLLECT_IMPORT_H

#include "base/log.h"
#include "collect/intake.h"
#include "conf/config.h"
#include "net/capture.h"

struct sc_import_summary {
    uint32_t files;                  /* read, at least in part */
    uint32_t bad_files;              /* not readable, or not to their end */
    uint64_t bytes_read;             /* of all files */
    uint64_t bytes;                  /* their size */
    struct sc_capture_stats capture; /* of all files together */
    struct sc_intake_stats intake;
};

struct sc_import_options {
    const struct sc_config *config;
    const struct sc_log *log; /* what is wrong with a file or with messages */
    /* Called now and then, may be NULL; false ends the reading with what was read so far. */
    bool (*progress)(void *arg, const struct sc_import_summary *so_far);
    void *arg;
};

/*
 * Stores all and seals. Files that cannot be read are logged, counted and passed over.
 * @return SC_OK, also when files or messages were bad: see the summary; SC_CANCELLED by `progress`; otherwise
 * the store's failure.
 */
enum sc_status sc_import(const struct sc_import_options *options, const char *const *paths, uint32_t count,
                         struct sc_import_summary *out, struct sc_error *err);

/* Data sets that nobody could decode for want of a template. */
uint64_t sc_import_undecodable(const struct sc_import_summary *summary);

#endif
