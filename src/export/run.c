// SPDX-License-Identifier: BSD-3-Clause
#include "export/run.h"

#include "base/clock.h"

void sc_export_report(struct sc_export_run *run, const struct sc_export_totals *totals)
{
    if (run->progress == NULL)
        return;
    uint64_t now = sc_clock_mono_ms();
    if (run->reported_ms != 0 && now < run->reported_ms + 500)
        return;
    if (run->reported_ms != 0)
        run->progress(run->arg, totals);
    run->reported_ms = now;
}
