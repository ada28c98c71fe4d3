// SPDX-License-Identifier: BSD-3-Clause
/* Log lines on a stream, one write per line, safe from any thread. The logger is passed, never global. */
#ifndef SC_BASE_LOG_H
#define SC_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum sc_log_level { SC_LOG_ERROR, SC_LOG_WARNING, SC_LOG_INFO, SC_LOG_DEBUG };

#define SC_LOG_LINES 20u /* of one format, in a minute */

/* So that no party fills a disk with lines: of each format SC_LOG_LINES are written in a minute, debug lines apart, and of a complaint
 * one. When it is over, the last of those that were left out follows, with their number. They also carry the level that was set last. */
struct sc_log_limits;

struct sc_log {
    FILE *stream;                 /* NULL: silent */
    enum sc_log_level level;      /* until sc_log_set_level */
    struct sc_log_limits *limits; /* borrowed, shared by copies; NULL: none */
};

/* Writes "<UTC time> <level> <text>" when `level` is enabled. `log` may be NULL (silent). */
void sc_log(const struct sc_log *log, enum sc_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As above, for what may be said again and again of the same thing for as long as it lasts: one line of this format in a minute about
 * each `name`, of which there are few (members, or "" where there is but one). */
void sc_log_complain(const struct sc_log *log, enum sc_log_level level, const char *name, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

/* Also of all copies with the same limits, in whatever thread they are used. */
void sc_log_set_level(struct sc_log *log, enum sc_log_level level);

/* @return NULL: out of memory; then there are no limits. */
struct sc_log_limits *sc_log_limits_create(void);
void sc_log_limits_free(struct sc_log_limits *limits); /* NULL is allowed */
/* Tells what was left out, where the minute is over at `mono_ms` (UINT64_MAX: everywhere), and begins another. Call it each second or
 * so, while there are limits. */
void sc_log_tell_left_out(const struct sc_log *log, uint64_t mono_ms);

/* "error", "warning", "info" or "debug" to a level; false when it is none of them. */
bool sc_log_level_parse(const char *name, enum sc_log_level *out);

#endif
