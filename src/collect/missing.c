// SPDX-License-Identifier: BSD-3-Clause
#include "collect/missing.h"

#define MINUTE_MS 60000u

void sc_missing_begin(struct sc_missing_lines *lines, uint64_t mono_ms)
{
    lines->left = 0;
    if (mono_ms < lines->minute_end_ms)
        return;
    lines->minute_end_ms = mono_ms + MINUTE_MS;
    lines->written = 0;
}

bool sc_missing_tell(struct sc_missing_lines *lines, const struct sc_missing_template *missing)
{
    char address[SC_ADDR_TEXT_MAX];
    if (lines->written >= SC_MISSING_LINES) {
        lines->left++;
        return false;
    }
    lines->written++;
    sc_addr_format(&missing->exporter, address);
    sc_log(
        lines->log, SC_LOG_WARNING,
        "exporter %s port %u, version %u, domain %u: template %u is missing; data sets that came without it, "
        "so far: %llu",
        address, missing->port, missing->version, missing->domain, missing->id,
        (unsigned long long)missing->sets);
    return true;
}

void sc_missing_end(struct sc_missing_lines *lines)
{
    if (lines->left == 0 || lines->written > SC_MISSING_LINES)
        return;
    lines->written++; /* once a minute, too */
    sc_log(lines->log, SC_LOG_WARNING,
           "%llu more templates are missing; \"no_template_sets\" in the status counts by exporter",
           (unsigned long long)lines->left);
}
