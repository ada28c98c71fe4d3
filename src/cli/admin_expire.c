// SPDX-License-Identifier: BSD-3-Clause
/* sc-admin expire: as retention does, and an archive command gets each window before it goes. */
#include "cli/admin.h"

#include "base/clock.h"
#include "base/text.h"
#include "collect/archive.h"
#include "conf/units.h"

#include <inttypes.h>
#include <stdlib.h>

static void add(struct sc_expiry *sum, const struct sc_expiry *one)
{
    sum->windows += one->windows;
    sum->files += one->files;
    sum->bytes += one->bytes;
    sum->horizon_ms = one->horizon_ms;
    sum->waiting_windows = one->waiting_windows;
}

/* One window after the other; none when it comes to one that is being written. */
static enum sc_status archive_and_expire(const struct sc_config *config, struct sc_retention retention,
                                         struct sc_expiry *sum, struct sc_error *err)
{
    const struct sc_archive_command command = {config->archive, config->archive_timeout_s};
    struct sc_archived archived = {0};
    enum sc_status status = SC_OK;
    bool more = true;
    retention.archived = &archived;
    while (status == SC_OK && more) {
        struct sc_expiry one;
        status = sc_store_expire(config->store, &retention, sc_clock_wall_ms(), false, NULL, &one, err);
        add(sum, &one);
        more = one.next.count != 0;
        if (status == SC_OK && more)
            status = sc_archive_run(&command, config->store, &one.next, NULL, err);
        archived = (struct sc_archived){.window_ms = one.next.window_ms, .mark = one.next.mark};
        sc_window_files_free(&one.next);
    }
    return status;
}

static void print(const struct sc_expiry *e, bool dry_run)
{
    char horizon[32];
    printf("%" PRIu64 " windows, %" PRIu64 " files, %s %s", e->windows, e->files,
           sc_units_shown(e->bytes).text, dry_run ? "would be deleted" : "deleted");
    if (e->windows != 0) {
        sc_time_format_utc(e->horizon_ms, horizon, sizeof(horizon));
        printf("; all before %s", horizon);
    }
    if (e->waiting_windows != 0)
        printf("; %" PRIu64 " are kept, as the archive does not have the first of them", e->waiting_windows);
    putchar('\n');
}

int sc_admin_expire(const struct sc_config *config, const struct sc_retention *retention, bool dry_run,
                    bool archive)
{
    struct sc_expiry expiry = {0};
    struct sc_error err = {0};
    enum sc_status status =
        archive && !dry_run && config->archive != NULL
            ? archive_and_expire(config, *retention, &expiry, &err)
            : sc_store_expire(config->store, retention, sc_clock_wall_ms(), dry_run, NULL, &expiry, &err);
    if (status == SC_OK || expiry.waiting_windows != 0)
        print(&expiry, dry_run);
    if (status != SC_OK)
        sc_say(stderr, "sc-admin:", err.message);
    return status == SC_OK && expiry.waiting_windows == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
