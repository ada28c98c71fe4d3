// SPDX-License-Identifier: BSD-3-Clause
#include "base/clock.h"

#include <stdio.h>

static uint64_t read_clock_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t sc_clock_wall_ms(void)
{
    return read_clock_ms(CLOCK_REALTIME);
}

uint64_t sc_clock_mono_ms(void)
{
    return read_clock_ms(CLOCK_MONOTONIC);
}

uint64_t sc_clock_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct timespec sc_clock_mono_in(uint64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000L;
    at.tv_sec += at.tv_nsec / 1000000000L;
    at.tv_nsec %= 1000000000L;
    return at;
}

/* Days from civil and back: 400-year eras that begin on 1 March, so that the leap day comes last. */
struct sc_civil sc_time_to_civil(int64_t ms)
{
    int64_t days = ms / 86400000;
    int64_t rest = ms % 86400000;
    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted_month = (5 * day_of_year + 2) / 153;
    struct sc_civil c;
    c.day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    c.month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    c.year = (int)(year_of_era + era * 400 + (c.month <= 2));
    c.hour = (unsigned)(rest / 3600000);
    c.minute = (unsigned)(rest / 60000 % 60);
    c.second = (unsigned)(rest / 1000 % 60);
    c.millisecond = (unsigned)(rest % 1000);
    return c;
}

int64_t sc_time_from_civil(const struct sc_civil *c)
{
    int64_t year = c->year - (c->month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned shifted_month = c->month > 2 ? c->month - 3 : c->month + 9;
    unsigned day_of_year = (153 * shifted_month + 2) / 5 + c->day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    int64_t days = era * 146097 + (int64_t)day_of_era - 719468;
    return days * 86400000 + (int64_t)c->hour * 3600000 + (int64_t)c->minute * 60000 +
           (int64_t)c->second * 1000 + c->millisecond;
}

size_t sc_time_format_utc(uint64_t ms, char *out, size_t size)
{
    int n;
    if (ms >= 253402300800000u) {
        n = snprintf(out, size, "%llu", (unsigned long long)ms);
    } else {
        struct sc_civil c = sc_time_to_civil((int64_t)ms);
        n = snprintf(out, size, "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", c.year, c.month, c.day, c.hour,
                     c.minute, c.second, c.millisecond);
    }
    return n < 0 ? 0 : (size_t)n;
}

/* Seconds from 1900-01-01 to 1970-01-01. */
#define NTP_UNIX_SECONDS UINT64_C(2208988800)

static uint64_t ntp_unix_seconds(uint64_t ntp)
{
    uint64_t seconds = ntp >> 32;
    if ((seconds & UINT64_C(0x80000000)) == 0)
        seconds += UINT64_C(1) << 32;
    return seconds - NTP_UNIX_SECONDS;
}

uint64_t sc_ntp_to_ns(uint64_t ntp)
{
    return ntp_unix_seconds(ntp) * 1000000000u + (((ntp & 0xffffffffu) * 1000000000u) >> 32);
}

uint64_t sc_ntp_to_ms(uint64_t ntp)
{
    return ntp_unix_seconds(ntp) * 1000 + (((ntp & 0xffffffffu) * 1000u) >> 32);
}
