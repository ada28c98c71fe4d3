// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <string.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void sc_log(const struct sc_log *log, enum sc_log_level level, const char *format, ...)
{
    if (log == NULL || log->stream == NULL || level > log->level)
        return;
    char line[2048];
    size_t used = sc_time_format_utc(sc_clock_wall_ms(), line, sizeof(line));
    int n = snprintf(line + used, sizeof(line) - used, " %s ", level_names[level]);
    used += (size_t)n;
    va_list args;
    va_start(args, format);
    n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    if (n > 0)
        used += (size_t)n < sizeof(line) - used - 1 ? (size_t)n : sizeof(line) - used - 2;
    line[used++] = '\n';
    fwrite(line, 1, used, log->stream);
    fflush(log->stream);
}

bool sc_log_level_parse(const char *name, enum sc_log_level *out)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum sc_log_level)i;
            return true;
        }
    }
    return false;
}
