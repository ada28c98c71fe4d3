// SPDX-License-Identifier: BSD-3-Clause
/* Clocks and UTC text. All times are milliseconds since 1970-01-01T00:00:00Z unless a name says otherwise. */
#ifndef SC_BASE_CLOCK_H
#define SC_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Wall clock, ms UTC. */
uint64_t sc_clock_wall_ms(void);
/* Monotonic clock, ms; only differences mean anything. */
uint64_t sc_clock_mono_ms(void);
/* The same in ns. */
uint64_t sc_clock_mono_ns(void);
/* A time of the monotonic clock so many ms from now, to wait for. */
struct timespec sc_clock_mono_in(uint64_t ms);

/* "2026-11-23T10:11:12.345Z" (24 bytes and a terminator; `size` at least 25). Returns the length. Years above
 * 9999 are shown as their number of milliseconds. */
size_t sc_time_format_utc(uint64_t ms, char *out, size_t size);

struct sc_civil {
    int year;
    unsigned month, day, hour, minute, second, millisecond;
};

/* Proleptic Gregorian calendar in UTC, no leap seconds. */
struct sc_civil sc_time_to_civil(int64_t ms);
int64_t sc_time_from_civil(const struct sc_civil *civil);

/* Microseconds/nanoseconds as RFC 7011 section 6.1.9/10 carry them (NTP: 32 bit seconds since 1900, 32 bit
 * fraction) to ms and ns since 1970. Era 0 when the top bit is set, else era 1 (from 2036). */
uint64_t sc_ntp_to_ns(uint64_t ntp);
uint64_t sc_ntp_to_ms(uint64_t ntp);

#endif
