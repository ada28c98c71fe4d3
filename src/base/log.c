// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX  2048u
#define MINUTE_MS 60000u
#define PLACES    256u

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* ---- lines ---- */

/* A line is one line, whatever is quoted in it. */
static void write_line(const struct sc_log *log, enum sc_log_level level, const char *text)
{
    char line[64 + 4 * TEXT_MAX];
    size_t used = sc_time_format_utc(sc_clock_wall_ms(), line, sizeof(line));
    used += (size_t)snprintf(line + used, sizeof(line) - used, " %s ", level_names[level]);
    char *end = sc_text_put_visible(line + used, (const uint8_t *)text, strlen(text));
    *end++ = '\n';
    fwrite(line, 1, (size_t)(end - line), log->stream);
    fflush(log->stream);
}

/* ---- limits ---- */

/* What lines have in common that are counted together. */
struct kind {
    const char *format; /* NULL: free */
    uint64_t name;      /* a hash; 0: none */
    uint32_t most;      /* lines in a minute */
};

struct place {
    struct kind kind;
    uint64_t minute_ms; /* when it began; monotonic */
    uint32_t lines;     /* since then */
    uint64_t left_out;
    enum sc_log_level level; /* of the last that was left out */
    char last[256];
};

#define NO_LEVEL (-1)

struct sc_log_limits {
    atomic_int level; /* of all who share this; NO_LEVEL: each has its own */
    pthread_mutex_t mutex;
    struct place places[PLACES];
};

struct sc_log_limits *sc_log_limits_create(void)
{
    struct sc_log_limits *limits = calloc(1, sizeof(*limits));
    if (limits == NULL)
        return NULL;
    atomic_init(&limits->level, NO_LEVEL);
    pthread_mutex_init(&limits->mutex, NULL);
    return limits;
}

void sc_log_limits_free(struct sc_log_limits *limits)
{
    if (limits == NULL)
        return;
    pthread_mutex_destroy(&limits->mutex);
    free(limits);
}

/* There are fewer kinds in the program than places here; were there more, the last would be shared. */
static struct place *place_of(struct sc_log_limits *limits, const struct kind *kind)
{
    struct place *p = limits->places;
    while (p->kind.format != NULL && (p->kind.format != kind->format || p->kind.name != kind->name) &&
           p < &limits->places[PLACES - 1])
        p++;
    p->kind = *kind;
    return p;
}

static bool is_over(const struct place *p, uint64_t mono_ms)
{
    return mono_ms >= p->minute_ms && mono_ms - p->minute_ms >= MINUTE_MS;
}

static void begin_minute(struct place *p, uint64_t mono_ms)
{
    p->minute_ms = mono_ms;
    p->lines = 0;
    p->left_out = 0;
}

/* False: the text is left out. A new minute begins when it is told what was left out of the last. */
static bool may_write(struct sc_log_limits *limits, const struct kind *kind, enum sc_log_level level,
                      const char *text)
{
    uint64_t now = sc_clock_mono_ms();
    pthread_mutex_lock(&limits->mutex);
    struct place *p = place_of(limits, kind);
    if (p->lines == 0 || (is_over(p, now) && p->left_out == 0))
        begin_minute(p, now);
    bool may = p->lines < kind->most;
    if (may) {
        p->lines++;
    } else {
        p->left_out++;
        p->level = level;
        snprintf(p->last, sizeof(p->last), "%s", text);
    }
    pthread_mutex_unlock(&limits->mutex);
    return may;
}

/* What is left out of a place whose minute is over. False: nothing is. */
static bool take_left_out(struct sc_log_limits *limits, uint64_t mono_ms, struct place *out)
{
    bool found = false;
    pthread_mutex_lock(&limits->mutex);
    for (struct place *p = limits->places; !found && p < &limits->places[PLACES] && p->kind.format != NULL;
         p++) {
        found = p->left_out != 0 && is_over(p, mono_ms);
        if (found) {
            *out = *p;
            begin_minute(p, mono_ms);
        }
    }
    pthread_mutex_unlock(&limits->mutex);
    return found;
}

void sc_log_tell_left_out(const struct sc_log *log, uint64_t mono_ms)
{
    struct place p;
    char text[TEXT_MAX];
    while (log->limits != NULL && take_left_out(log->limits, mono_ms, &p)) {
        snprintf(text, sizeof(text), "%s (the last of %llu like it that were left out)", p.last,
                 (unsigned long long)p.left_out);
        write_line(log, p.level, text);
    }
}

/* ---- the call ---- */

static enum sc_log_level level_of(const struct sc_log *log)
{
    int shared =
        log->limits == NULL ? NO_LEVEL : atomic_load_explicit(&log->limits->level, memory_order_relaxed);
    return shared == NO_LEVEL ? log->level : (enum sc_log_level)shared;
}

void sc_log_set_level(struct sc_log *log, enum sc_log_level level)
{
    log->level = level;
    if (log->limits != NULL)
        atomic_store(&log->limits->level, (int)level);
}

static void log_line(const struct sc_log *log, enum sc_log_level level, const struct kind *kind, va_list args)
{
    char text[TEXT_MAX];
    if (log == NULL || log->stream == NULL || level > level_of(log))
        return;
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the callers begin and end it */
    int n = vsnprintf(text, sizeof(text), kind->format, args);
    if (n < 0)
        text[0] = '\0';
    if (log->limits != NULL && level != SC_LOG_DEBUG && !may_write(log->limits, kind, level, text))
        return;
    write_line(log, level, text);
}

void sc_log(const struct sc_log *log, enum sc_log_level level, const char *format, ...)
{
    const struct kind kind = {.format = format, .most = SC_LOG_LINES};
    va_list args;
    va_start(args, format);
    log_line(log, level, &kind, args);
    va_end(args);
}

void sc_log_complain(const struct sc_log *log, enum sc_log_level level, const char *name, const char *format,
                     ...)
{
    const struct kind kind = {.format = format, .name = sc_hash_bytes(name, strlen(name), 0), .most = 1};
    va_list args;
    va_start(args, format);
    log_line(log, level, &kind, args);
    va_end(args);
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
