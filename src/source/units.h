// SPDX-License-Identifier: BSD-3-Clause
/* From opened segments to units of work. Only the files of this room include it. */
#ifndef SC_SOURCE_UNITS_H
#define SC_SOURCE_UNITS_H

#include "source/expect.h"
#include "source/source.h"

/* Sorts the segments, plans which of their row groups are read, and tells `expected` what was found. @return SC_OK or SC_NOMEM. */
enum sc_status sc_source_plan_units(struct sc_source *source, const struct sc_source_bounds *bounds,
                                    struct sc_expected *expected);

/* The first half of that: all copies in source->plan. */
enum sc_status sc_source_list_copies(struct sc_source *source, const struct sc_source_bounds *bounds,
                                     const struct sc_expected *expected);

/* Whether a row group of the segment may have part in the answer. */
bool sc_source_asks_for(const struct sc_source_bounds *bounds, const struct sc_segment *segment);

/* Notes a sentence on what cannot be opened: as damage where the tallies tell whether anything is missing, else as missing. */
enum sc_status sc_source_note_unreadable(struct sc_source *source, const struct sc_expected *expected,
                                         uint64_t window_ms, uint32_t lane, const char *sentence);

#endif
