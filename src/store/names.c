// SPDX-License-Identifier: BSD-3-Clause
#include "store/names.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

bool sc_window_name_parse(const char *name, uint64_t *window_ms)
{
    struct sc_civil c = {0};
    unsigned year;
    int used = 0;
    if (sscanf(name, "%4u%2u%2uT%2u%2u%2uZ-%n", &year, &c.month, &c.day, &c.hour, &c.minute, &c.second,
               &used) != 6 ||
        used != 17)
        return false;
    c.year = (int)year;
    *window_ms = (uint64_t)sc_time_from_civil(&c);
    return true;
}

bool sc_name_ends(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcmp(name + length - end, suffix) == 0;
}

bool sc_segment_name_parse(const char *name, uint64_t *window_ms, bool *sealed)
{
    *sealed = sc_name_ends(name, SC_SEGMENT_SUFFIX);
    return (*sealed || sc_name_ends(name, SC_LIVE_SUFFIX)) && sc_window_name_parse(name, window_ms);
}

void sc_segment_name_format(uint64_t window_ms, uint64_t stream, uint32_t number, char folder[11],
                            char name[64])
{
    struct sc_civil c = sc_time_to_civil((int64_t)window_ms);
    snprintf(folder, 11, "%04u/%02u/%02u", (unsigned)c.year % 10000, c.month % 100, c.day % 100);
    snprintf(name, 64, "%04u%02u%02uT%02u%02u%02uZ-%016llx-%08u", (unsigned)c.year % 10000, c.month % 100,
             c.day % 100, c.hour % 100, c.minute % 100, c.second % 100, (unsigned long long)stream, number);
}

size_t sc_name_digits(const char *name)
{
    size_t n = strspn(name, "0123456789");
    return name[n] == '\0' ? n : 0;
}
