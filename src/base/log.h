// SPDX-License-Identifier: BSD-3-Clause
/* Log lines on a stream, one write per line, safe from any thread. The logger is passed, never global. */
#ifndef SC_BASE_LOG_H
#define SC_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum sc_log_level { SC_LOG_ERROR, SC_LOG_WARNING, SC_LOG_INFO, SC_LOG_DEBUG };

struct sc_log {
    FILE *stream; /* NULL: silent */
    enum sc_log_level level;
};

/* Writes "<UTC time> <level> <text>" when `level` is enabled. `log` may be NULL (silent). */
void sc_log(const struct sc_log *log, enum sc_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "error", "warning", "info" or "debug" to a level; false when it is none of them. */
bool sc_log_level_parse(const char *name, enum sc_log_level *out);

#endif
