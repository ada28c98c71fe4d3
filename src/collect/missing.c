// SPDX-License-Identifier: BSD-3-Clause
#include "collect/missing.h"

#define MINUTE_MS 60000u

void sc_missing_begin(struct sc_missing_lines *lines, uint64_t mono_ms)
{
    struct sc_missing_minute *minute = lines->minute;
    unsigned long long end = atomic_load(&minute->end_ms);
    lines->left = 0;
    if (mono_ms < end || !atomic_compare_exchange_strong(&minute->end_ms, &end, mono_ms + MINUTE_MS))
        return;
    atomic_store(&minute->written, 0);
    atomic_store(&minute->told_left, false);
}

static bool may_write(struct sc_missing_minute *minute)
{
    return atomic_load(&minute->written) < SC_MISSING_LINES &&
           atomic_fetch_add(&minute->written, 1) < SC_MISSING_LINES;
}

bool sc_missing_tell(struct sc_missing_lines *lines, const struct sc_missing_template *missing)
{
    char address[SC_ADDR_TEXT_MAX];
    if (!may_write(lines->minute)) {
        lines->left++;
        return false;
    }
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
    if (lines->left == 0 || atomic_exchange(&lines->minute->told_left, true))
        return;
    sc_log(lines->log, SC_LOG_WARNING,
           "at least %llu more templates are missing; \"no_template_sets\" in the status counts by exporter",
           (unsigned long long)lines->left);
}
