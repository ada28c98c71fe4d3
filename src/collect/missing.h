// SPDX-License-Identifier: BSD-3-Clause
/*
 * Lines in the log about templates that data sets came without, so that somebody learns why an exporter has no flows:
 * one for each exporter and template, with the number of sets. At most SC_MISSING_LINES a minute, of all who share a minute; then
 * one line says that more are left, and those follow in later minutes. What is untold stays with the decoder: nothing is kept here.
 */
#ifndef SC_COLLECT_MISSING_H
#define SC_COLLECT_MISSING_H

#include "base/log.h"
#include "wire/decoder.h"

#include <stdatomic.h>

#define SC_MISSING_LINES    10u
#define SC_MISSING_AFTER_MS 60000u /* the first set has waited so long */

/* Zero-initialise. Any thread. */
struct sc_missing_minute {
    atomic_ullong end_ms; /* monotonic */
    atomic_uint written;  /* in this minute, or asked for */
    atomic_bool told_left;
};

/* Zero-initialise; `log` and `minute` are the caller's. One thread. */
struct sc_missing_lines {
    const struct sc_log *log;
    struct sc_missing_minute *minute;
    uint64_t left; /* that this pass had no line for */
};

/* A pass over all templates that are missing begins at that time; each is told (for sc_care.missing: false when there is no line
 * for it); the pass ends. */
void sc_missing_begin(struct sc_missing_lines *lines, uint64_t mono_ms);
bool sc_missing_tell(struct sc_missing_lines *lines, const struct sc_missing_template *missing);
void sc_missing_end(struct sc_missing_lines *lines);

#endif
