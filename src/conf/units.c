// SPDX-License-Identifier: BSD-3-Clause
#include "conf/units.h"

#include <stdio.h>
#include <string.h>

/* The leading digits; NULL when there are none or too many. */
static const char *read_number(const char *text, uint64_t *value)
{
    const char *p = text;
    *value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
            return NULL;
    }
    return p == text ? NULL : p;
}

bool sc_units_seconds(const char *text, uint64_t *seconds)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400}};
    const char *unit = read_number(text, seconds);
    for (size_t i = 0; unit != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].unit) == 0)
            return !__builtin_mul_overflow(*seconds, units[i].seconds, seconds);
    }
    return false;
}

bool sc_units_age(const char *text, uint64_t *seconds)
{
    size_t length = strlen(text);
    bool bare = length != 0 && text[length - 1] >= '0' && text[length - 1] <= '9';
    return sc_units_seconds(text, seconds) && (!bare || *seconds == 0);
}

bool sc_units_bytes(const char *text, uint64_t *bytes)
{
    static const char letters[] = "KMGTP";
    const char *unit = read_number(text, bytes);
    if (unit == NULL)
        return false;
    if (*unit != '\0') {
        const char *letter = strchr(letters, *unit == 'k' ? 'K' : *unit);
        unsigned shift = letter == NULL ? 0 : 10u * (unsigned)(letter - letters + 1);
        if (letter != NULL)
            unit++;
        if (strcmp(unit, "") != 0 && strcmp(unit, "B") != 0 && (strcmp(unit, "iB") != 0 || letter == NULL))
            return false;
        return !__builtin_mul_overflow(*bytes, UINT64_C(1) << shift, bytes);
    }
    return true;
}

struct sc_units_text sc_units_shown(uint64_t bytes)
{
    static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct sc_units_text out;
    double value = (double)bytes / 1024;
    size_t i = 0;
    while (value >= 1024 && i + 1 < sizeof(names) / sizeof(names[0])) {
        value /= 1024;
        i++;
    }
    if (bytes < 1024)
        snprintf(out.text, sizeof(out.text), "%u B", (unsigned)bytes);
    else
        snprintf(out.text, sizeof(out.text), "%.1f %s", value, names[i]);
    return out;
}
