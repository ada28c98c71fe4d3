// SPDX-License-Identifier: BSD-3-Clause
/*
 * Lines in the log about templates that data sets came without, so that somebody learns why an exporter has no flows:
 * one for each exporter and template, with the number of sets. At most SC_MISSING_LINES a minute; then one line says how
 * many are left, and those follow in later minutes. What is untold stays with the decoder: nothing is kept here.
 */
#ifndef SC_COLLECT_MISSING_H
#define SC_COLLECT_MISSING_H

#include "base/log.h"
#include "wire/decoder.h"

#define SC_MISSING_LINES    10u
#define SC_MISSING_AFTER_MS 60000u /* the first set has waited so long */

/* All zero at first. */
struct sc_missing_lines {
    uint64_t minute_end_ms; /* monotonic */
    uint32_t written;       /* in this minute */
    uint64_t left;
    const struct sc_log *log;
};

/* Call every few seconds; `mono_ms` is the time. Tells of templates that sets came without for the first time at or before
 * `before_ms` of the clock of the messages. */
void sc_missing_tell(struct sc_missing_lines *lines, const struct sc_log *log, struct sc_decoder *decoder,
                     uint64_t mono_ms, uint64_t before_ms);

#endif
