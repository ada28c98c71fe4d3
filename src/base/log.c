// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <string.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* A line is one line, whatever is quoted in it. */
void sc_log(const struct sc_log *log, enum sc_log_level level, const char *format, ...)
{
    if (log == NULL || log->stream == NULL || level > log->level)
        return;
    char text[2048], line[64 + 4 * sizeof(text)];
    size_t used = sc_time_format_utc(sc_clock_wall_ms(), line, sizeof(line));
    used += (size_t)snprintf(line + used, sizeof(line) - used, " %s ", level_names[level]);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    char *end = sc_text_put_visible(line + used, (const uint8_t *)text, length);
    *end++ = '\n';
    fwrite(line, 1, (size_t)(end - line), log->stream);
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
