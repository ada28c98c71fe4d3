// SPDX-License-Identifier: BSD-3-Clause
/* Times on the command line: fdistdump's formats, RFC 3339 with offset or Z, and relative ("-1h"). */
#ifndef SC_FILTER_TIME_RANGE_H
#define SC_FILTER_TIME_RANGE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Reads one time point. `now_ms` anchors relative forms; `local`: a text without a zone is in the zone of TZ,
 * else UTC. Formats: "YYYY-MM-DD[ T]HH:MM[:SS[.fff]][Z|+HH:MM]", "YYYY-MM-DD", "YYYY/MM/DD.HH:MM:SS"
 * (nfdump), "YYYYMMDD[hhmm[ss]]", "DD.MM.YYYY [HH:MM[:SS]]", "MM/DD/YYYY", "HH:MM[:SS]" (today), "today",
 * "yesterday", "now", "now-1h", "-90s|-15m|-1h|-2d|-1w", "@SECONDS" and plain unix seconds of 9 to 11 digits,
 * ms of 12 to 14 that are no date; words may be joined by a space ("2026-11-23 10:00 utc", "... local").
 * @return SC_OK or SC_USAGE with a message that lists the accepted forms.
 */
enum sc_status sc_time_parse(const char *text, uint64_t now_ms, bool local, uint64_t *out_ms,
                             struct sc_error *err);

/* "BEGIN[#END]" (END defaults to now; "+SPAN" is from BEGIN). SC_USAGE when END <= BEGIN. */
enum sc_status sc_time_parse_range(const char *text, uint64_t now_ms, bool local, uint64_t *begin_ms,
                                   uint64_t *end_ms, struct sc_error *err);

/* A span like "300", "5m", "1h30m", "250ms", "2d" in ms. Shared by `first/5m` buckets and --timeout. */
enum sc_status sc_time_parse_span(const char *text, uint64_t *out_ms, struct sc_error *err);

#endif
