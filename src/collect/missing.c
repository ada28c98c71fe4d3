// SPDX-License-Identifier: BSD-3-Clause
#include "collect/missing.h"

#define MINUTE_MS 60000u

static bool tell(void *arg, const struct sc_missing_template *m)
{
    struct sc_missing_lines *lines = arg;
    char address[SC_ADDR_TEXT_MAX];
    if (lines->written == SC_MISSING_LINES) {
        lines->left++;
        return false;
    }
    lines->written++;
    sc_addr_format(&m->exporter, address);
    sc_log(
        lines->log, SC_LOG_WARNING,
        "exporter %s port %u, version %u, domain %u: template %u is missing; data sets that came without it, "
        "so far: %llu",
        address, m->port, m->version, m->domain, m->id, (unsigned long long)m->sets);
    return true;
}

void sc_missing_tell(struct sc_missing_lines *lines, const struct sc_log *log, struct sc_decoder *decoder,
                     uint64_t mono_ms, uint64_t before_ms)
{
    if (mono_ms >= lines->minute_end_ms) {
        lines->minute_end_ms = mono_ms + MINUTE_MS;
        lines->written = 0;
    } else if (lines->written == SC_MISSING_LINES) {
        return;
    }
    lines->left = 0;
    lines->log = log;
    sc_decoder_tell_missing(decoder, before_ms, tell, lines);
    if (lines->left != 0)
        sc_log(log, SC_LOG_WARNING,
               "%llu more templates are missing; \"no_template_sets\" in the status counts by exporter",
               (unsigned long long)lines->left);
}
