// SPDX-License-Identifier: BSD-3-Clause
#include "filter/time_range.h"

#include "base/clock.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Texts are short; what is longer cannot be a time. */
#define TIME_TEXT_MAX 64
/* 9999-12-31T23:59:59.999Z: later times have no text. */
#define TIME_MAX_MS UINT64_C(253402300799999)

static enum sc_status fail_time(const char *text, const char *why, struct sc_error *err)
{
    return sc_fail(
        err, SC_USAGE,
        "bad time \"%.60s\": %s; write \"2026-11-23 10:00[:SS[.mmm]]\" with an optional zone (Z, +02:00, "
        "utc, local), \"2026-11-23\", \"2026/11/23.10:00:00\", \"202611231000\", \"23.11.2026 10:00\", "
        "\"11/23/2026\", \"10:00\" (today), \"now\", \"-90s\", \"-15m\", \"-1h\", \"-2d\", \"-1w\" or "
        "unix seconds",
        text, why);
}

/* ---- spans ---- */

static const struct {
    const char *name;
    uint64_t ms;
} units[] = {
    {"ms", 1},          {"msec", 1},       {"s", 1000},         {"sec", 1000},        {"second", 1000},
    {"seconds", 1000},  {"m", 60000},      {"min", 60000},      {"minute", 60000},    {"minutes", 60000},
    {"h", 3600000},     {"hour", 3600000}, {"hours", 3600000},  {"d", 86400000},      {"day", 86400000},
    {"days", 86400000}, {"w", 604800000},  {"week", 604800000}, {"weeks", 604800000},
};

static uint64_t unit_ms(const char *word, size_t length)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strncasecmp(units[i].name, word, length) == 0 && units[i].name[length] == '\0')
            return units[i].ms;
    }
    return 0;
}

static unsigned number_of(const char *digits, size_t count)
{
    unsigned v = 0;
    for (size_t i = 0; i < count; i++)
        v = v * 10 + (unsigned)(digits[i] - '0');
    return v;
}

/* The thousandths that the digits behind a point make. */
static unsigned read_fraction(const char **p)
{
    unsigned v = 0, place = 100;
    for (; isdigit((unsigned char)**p); (*p)++, place /= 10)
        v += (unsigned)(**p - '0') * place;
    return v;
}

/* Digits with an optional fraction, in thousandths: 1.5 is 1500. */
static bool read_thousandths(const char **p, uint64_t *out)
{
    uint64_t v = 0;
    const char *start = *p;
    for (; isdigit((unsigned char)**p); (*p)++) {
        if (v > UINT64_C(1000000000000))
            return false;
        v = v * 10 + (uint64_t)(**p - '0');
    }
    if (*p == start)
        return false;
    v *= 1000;
    if (**p == '.') {
        (*p)++;
        v += read_fraction(p);
    }
    *out = v;
    return true;
}

/* One "1h" of a span. A number without a unit is seconds and must stand alone. */
static bool read_span_part(const char **p, bool alone, uint64_t *ms, bool *bare)
{
    uint64_t thousandths;
    if (!read_thousandths(p, &thousandths))
        return false;
    *p += strspn(*p, " ");
    const char *word = *p;
    while (isalpha((unsigned char)**p))
        (*p)++;
    *bare = *p == word;
    uint64_t unit = *bare ? 1000 : unit_ms(word, (size_t)(*p - word));
    if (unit == 0 || (*bare && !alone) || thousandths / 1000 > TIME_MAX_MS / unit)
        return false;
    *ms = thousandths / 1000 * unit + thousandths % 1000 * unit / 1000;
    return true;
}

static bool read_span(const char *p, uint64_t *out)
{
    uint64_t total = 0, part;
    bool alone = true, bare = false;
    p += strspn(p, " ");
    while (*p != '\0' && !bare) {
        if (!read_span_part(&p, alone, &part, &bare))
            return false;
        total += part;
        if (total > TIME_MAX_MS)
            return false;
        alone = false;
        p += strspn(p, " ");
    }
    *out = total;
    return !alone && *p == '\0';
}

enum sc_status sc_time_parse_span(const char *text, uint64_t *out_ms, struct sc_error *err)
{
    if (!read_span(text, out_ms))
        return sc_fail(
            err, SC_USAGE,
            "bad time span \"%.60s\": write seconds (300) or numbers with units, such as 250ms, 90s, 5m, "
            "1h30m, 2d, 1w",
            text);
    return SC_OK;
}

/* ---- points ---- */

struct point {
    const char *p;
    struct sc_civil civil;
    int64_t now_ms; /* in the zone of the text: shifted when it is local */
    bool have_date, have_time, have_zone;
    bool local;
    int offset_minutes; /* east of UTC */
    const char *why;
};

static bool wrong(struct point *t, const char *why)
{
    t->why = why;
    return false;
}

static size_t count_digits(const char *p)
{
    return strspn(p, "0123456789");
}

/* Reads exactly as many digits as there are, at most `max`. */
static bool read_number(struct point *t, size_t max, unsigned *out)
{
    size_t n = count_digits(t->p);
    if (n == 0 || n > max)
        return wrong(t, "a number is missing or too long");
    *out = number_of(t->p, n);
    t->p += n;
    return true;
}

/* The number behind a sign. */
static bool read_next(struct point *t, char sign, size_t max, unsigned *out)
{
    if (*t->p != sign)
        return wrong(t, "the date or time is not whole");
    t->p++;
    return read_number(t, max, out);
}

static bool set_date(struct point *t, unsigned year, unsigned month, unsigned day)
{
    if (t->have_date)
        return wrong(t, "there are two dates");
    if (year < 1970 || year > 9999)
        return wrong(t, "the year is not between 1970 and 9999");
    const struct sc_civil date = {.year = (int)year, .month = month, .day = day};
    if (month < 1 || month > 12 || sc_time_to_civil(sc_time_from_civil(&date)).day != day)
        return wrong(t, "there is no such day");
    t->civil.year = date.year;
    t->civil.month = month;
    t->civil.day = day;
    t->have_date = true;
    return true;
}

static bool set_clock(struct point *t, unsigned hour, unsigned minute, unsigned second)
{
    if (t->have_time)
        return wrong(t, "there are two times of day");
    bool midnight = hour == 24 && minute == 0 && second == 0;
    if ((hour > 23 && !midnight) || minute > 59 || second > 60)
        return wrong(t, "there is no such time of day");
    t->civil.hour = hour;
    t->civil.minute = minute;
    t->civil.second = second;
    t->have_time = true;
    return true;
}

/* YYYY-MM-DD, YYYY/MM/DD; a `T`, `t` or `.` may join the time of day. */
static bool read_year_first(struct point *t, char separator)
{
    unsigned year, month, day;
    if (!read_number(t, 4, &year) || !read_next(t, separator, 2, &month) ||
        !read_next(t, separator, 2, &day) || !set_date(t, year, month, day))
        return false;
    if ((*t->p == 't' || *t->p == '.') && isdigit((unsigned char)t->p[1]))
        t->p++;
    return true;
}

/* DD.MM.YYYY, and MM/DD/YYYY. */
static bool read_year_last(struct point *t, char separator)
{
    unsigned a, b, year;
    if (!read_number(t, 2, &a) || !read_next(t, separator, 2, &b) || !read_next(t, separator, 4, &year))
        return false;
    return separator == '.' ? set_date(t, year, b, a) : set_date(t, year, a, b);
}

/* +HH:MM, +HHMM, +HH right after the time of day. */
static bool read_offset(struct point *t)
{
    int sign = *t->p == '-' ? -1 : 1;
    unsigned hours, minutes = 0;
    t->p++;
    if (!read_number(t, 4, &hours))
        return false;
    if (*t->p == ':') {
        if (!read_next(t, ':', 2, &minutes))
            return false;
    } else if (hours > 99) {
        minutes = hours % 100;
        hours /= 100;
    }
    t->offset_minutes = sign * (int)(hours * 60 + minutes);
    if (minutes > 59 || t->offset_minutes < -12 * 60 || t->offset_minutes > 14 * 60)
        return wrong(t, "offsets from UTC are from -12:00 to +14:00 (a range of times is written BEGIN#END)");
    t->have_zone = true;
    t->local = false;
    return true;
}

static bool read_clock(struct point *t)
{
    unsigned hour, minute, second = 0;
    if (!read_number(t, 2, &hour) || !read_next(t, ':', 2, &minute))
        return false;
    bool seconds = *t->p == ':';
    if ((seconds && !read_next(t, ':', 2, &second)) || !set_clock(t, hour, minute, second))
        return false;
    if (seconds && (*t->p == '.' || *t->p == ',') && isdigit((unsigned char)t->p[1])) {
        t->p++;
        t->civil.millisecond = read_fraction(&t->p);
    }
    return (*t->p != '+' && *t->p != '-') || read_offset(t);
}

/* YYYYMMDD[hhmm[ss]]. */
static bool read_compact(struct point *t, size_t n)
{
    const char *p = t->p;
    t->p += n;
    if (!set_date(t, number_of(p, 4), number_of(p + 4, 2), number_of(p + 6, 2)))
        return false;
    return n == 8 ||
           set_clock(t, number_of(p + 8, 2), number_of(p + 10, 2), n == 14 ? number_of(p + 12, 2) : 0);
}

static bool read_digits(struct point *t)
{
    size_t n = count_digits(t->p);
    char next = t->p[n];
    if (n == 4 && (next == '-' || next == '/'))
        return read_year_first(t, next);
    if (n <= 2 && (next == '.' || next == '/'))
        return read_year_last(t, next);
    if (n <= 2 && next == ':')
        return read_clock(t);
    if ((n == 8 || n == 12 || n == 14) && !isalpha((unsigned char)next))
        return read_compact(t, n);
    return wrong(t, "the form is unknown");
}

static bool set_day_of(struct point *t, int64_t ms)
{
    struct sc_civil c = sc_time_to_civil(ms);
    return set_date(t, (unsigned)c.year, c.month, c.day);
}

static bool set_zone(struct point *t, bool local)
{
    if (t->have_zone)
        return wrong(t, "there are two zones");
    t->have_zone = true;
    t->local = local;
    return true;
}

static bool read_word(struct point *t)
{
    const char *word = t->p;
    while (isalpha((unsigned char)*t->p))
        t->p++;
    size_t n = (size_t)(t->p - word);
    if ((n == 1 && (*word == 'z' || *word == 'u')) ||
        (n == 3 && (memcmp(word, "utc", 3) == 0 || memcmp(word, "gmt", 3) == 0)))
        return set_zone(t, false);
    if ((n == 5 && memcmp(word, "local", 5) == 0) || (n == 1 && *word == 'l'))
        return set_zone(t, true);
    if (n == 5 && memcmp(word, "today", 5) == 0)
        return set_day_of(t, t->now_ms);
    if (n == 9 && memcmp(word, "yesterday", 9) == 0)
        return set_day_of(t, t->now_ms - 86400000);
    return wrong(t, "a word is unknown");
}

/* Local wall time read as if it were UTC. */
static int64_t shift_to_local(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm tm;
    if (localtime_r(&seconds, &tm) == NULL)
        return ms;
    return ms + tm.tm_gmtoff * INT64_C(1000);
}

#define DAY_MS INT64_C(86400000)

static bool shows(int64_t ms, int64_t wall_ms)
{
    return shift_to_local(ms) == wall_ms;
}

/* The first moment from `low` on whose wall time is not before; it is not at `low`, and is at `high`. */
static int64_t first_not_before(int64_t wall_ms, int64_t low, int64_t high)
{
    while (high - low > 1) {
        int64_t mid = low + (high - low) / 2;
        if (shift_to_local(mid) < wall_ms)
            low = mid;
        else
            high = mid;
    }
    return high;
}

/*
 * One rule, so that ranges that adjoin leave nothing out: where clocks go back the earlier of both moments is meant; what a jump leaves
 * out is the moment of the jump. (mktime answers by what it was asked before.)
 */
static int64_t local_to_ms(int64_t wall_ms)
{
    int64_t before = wall_ms - (shift_to_local(wall_ms - DAY_MS) - (wall_ms - DAY_MS));
    int64_t after = wall_ms - (shift_to_local(wall_ms + DAY_MS) - (wall_ms + DAY_MS));
    int64_t low = before < after ? before : after, high = before < after ? after : before;
    if (shows(low, wall_ms))
        return low;
    if (shows(high, wall_ms) || shift_to_local(low) >= wall_ms || shift_to_local(high) < wall_ms)
        return high;
    return first_not_before(wall_ms, low, high);
}

/* A trailing zone word decides what "today" means, so it is looked for first. */
static void find_zone_word(struct point *t)
{
    const char *last = strrchr(t->p, ' ');
    if (last == NULL)
        return;
    if (strcmp(last + 1, "local") == 0 || strcmp(last + 1, "l") == 0)
        t->local = true;
    else if (strcmp(last + 1, "utc") == 0 || strcmp(last + 1, "z") == 0 || strcmp(last + 1, "u") == 0)
        t->local = false;
}

static bool read_calendar(struct point *t, uint64_t now_ms, uint64_t *out)
{
    find_zone_word(t);
    t->now_ms = t->local ? shift_to_local((int64_t)now_ms) : (int64_t)now_ms;
    while (*t->p != '\0') {
        bool ok = *t->p == ' ' || (isdigit((unsigned char)*t->p) ? read_digits(t) : read_word(t));
        if (!ok)
            return false;
        if (*t->p == ' ')
            t->p++;
    }
    if (!t->have_date && (!t->have_time || !set_day_of(t, t->now_ms)))
        return t->why != NULL ? false : wrong(t, "there is neither a date nor a time of day");
    int64_t wall = sc_time_from_civil(&t->civil);
    int64_t ms = t->local ? local_to_ms(wall) : wall - (int64_t)t->offset_minutes * 60000;
    if (ms < 0)
        return wrong(t, "it is before 1970");
    *out = (uint64_t)ms;
    return true;
}

/* "@SECONDS[.fff]", unix seconds of 9 to 11 digits, ms of 12 to 14 that are no calendar date. */
static bool read_unix(const char *text, uint64_t *out)
{
    bool marked = *text == '@';
    const char *p = text + marked;
    size_t n = count_digits(p);
    if (n == 0 || n > 14 || (!marked && n < 9))
        return false;
    bool ms = !marked && n >= 12;
    if (p[n] != '\0' && (p[n] != '.' || ms))
        return false;
    struct point as_date = {.p = p};
    if (ms && (n == 12 || n == 14) && read_compact(&as_date, n))
        return false;
    const char *q = p;
    if (!read_thousandths(&q, out) || *q != '\0')
        return false;
    if (ms)
        *out /= 1000;
    return true;
}

/* "now", "now-1h", "-1h". */
static bool read_relative(const char *text, uint64_t now_ms, uint64_t *out)
{
    const char *p = text;
    uint64_t span = 0;
    if (strncmp(p, "now", 3) == 0) {
        p += 3;
        p += strspn(p, " ");
        *out = now_ms;
        if (*p == '\0')
            return true;
    }
    bool back = *p == '-';
    if ((!back && (*p != '+' || p == text)) || !read_span(p + 1, &span))
        return false;
    *out = back ? (span > now_ms ? 0 : now_ms - span) : now_ms + span;
    return true;
}

/* Lower case, trimmed, runs of blanks made one. */
static bool fold_text(const char *text, size_t length, char out[TIME_TEXT_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        bool blank = isspace((unsigned char)text[i]);
        if (blank && (n == 0 || out[n - 1] == ' '))
            continue;
        if (n + 1 >= TIME_TEXT_MAX)
            return false;
        out[n++] = blank ? ' ' : (char)tolower((unsigned char)text[i]);
    }
    if (n != 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
    return n != 0;
}

static enum sc_status parse_point(const char *text, size_t length, uint64_t now_ms, bool local,
                                  uint64_t *out_ms, struct sc_error *err)
{
    char folded[TIME_TEXT_MAX] = {0};
    if (!fold_text(text, length, folded))
        return fail_time(text, length == 0 ? "it is empty" : "it is blank or too long", err);
    if (read_relative(folded, now_ms, out_ms) || read_unix(folded, out_ms))
        return SC_OK;
    struct point t = {.p = folded, .local = local};
    if (!read_calendar(&t, now_ms, out_ms))
        return fail_time(folded, t.why, err);
    return SC_OK;
}

enum sc_status sc_time_parse(const char *text, uint64_t now_ms, bool local, uint64_t *out_ms,
                             struct sc_error *err)
{
    return parse_point(text, strlen(text), now_ms, local, out_ms, err);
}

static enum sc_status parse_end(const char *text, uint64_t begin_ms, uint64_t now_ms, bool local,
                                uint64_t *end_ms, struct sc_error *err)
{
    uint64_t span;
    text += strspn(text, " ");
    if (*text != '+')
        return parse_point(text, strlen(text), now_ms, local, end_ms, err);
    SC_TRY(sc_time_parse_span(text + 1, &span, err));
    *end_ms = begin_ms + span;
    return SC_OK;
}

enum sc_status sc_time_parse_range(const char *text, uint64_t now_ms, bool local, uint64_t *begin_ms,
                                   uint64_t *end_ms, struct sc_error *err)
{
    const char *mark = strchr(text, '#');
    size_t length = mark == NULL ? strlen(text) : (size_t)(mark - text);
    SC_TRY(parse_point(text, length, now_ms, local, begin_ms, err));
    *end_ms = now_ms;
    if (mark != NULL)
        SC_TRY(parse_end(mark + 1, *begin_ms, now_ms, local, end_ms, err));
    if (*end_ms <= *begin_ms) {
        char begin[32], end[32];
        sc_time_format_utc(*begin_ms, begin, sizeof(begin));
        sc_time_format_utc(*end_ms, end, sizeof(end));
        return sc_fail(err, SC_USAGE, "the time range \"%.60s\" is empty: it begins at %s and ends at %s%s",
                       text, begin, end, mark == NULL ? " (now)" : "");
    }
    return SC_OK;
}
