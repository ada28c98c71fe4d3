// SPDX-License-Identifier: BSD-3-Clause
/* Times and sizes as people write them. */
#ifndef SC_CONF_UNITS_H
#define SC_CONF_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* "90", "90s", "5m", "2h", "30d", "4w": whole seconds. False when it is none of these or too large. */
bool sc_units_seconds(const char *text, uint64_t *seconds);

/* The same with its unit, for what deletes: "30" could be meant as days. "0" needs none. */
bool sc_units_age(const char *text, uint64_t *seconds);

/* "1000", "64K", "500G", "2T", also with "B" or "iB" behind: bytes, in powers of 1024. False likewise. */
bool sc_units_bytes(const char *text, uint64_t *bytes);

struct sc_units_text {
    char text[16];
};

/* "12.3 GiB" for people. */
struct sc_units_text sc_units_shown(uint64_t bytes);

#endif
