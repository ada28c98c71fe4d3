// SPDX-License-Identifier: BSD-3-Clause
/* sc-admin compact: sealed windows in less room, one after the other. */
#include "cli/admin.h"

#include "base/clock.h"
#include "base/text.h"
#include "conf/cluster.h"
#include "conf/units.h"
#include "store/compact.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

static volatile int stopped;

static void stop(int signal)
{
    (void)signal;
    __atomic_store_n(&stopped, 1, __ATOMIC_RELAXED);
}

static void tell(void *arg, const struct sc_compacted *one)
{
    const bool *dry_run = arg;
    char window[32];
    sc_time_format_utc(one->window_ms, window, sizeof(window));
    printf("%s  %s, %" PRIu32 " file%s, %s", window, one->folder, one->files, one->files == 1 ? "" : "s",
           sc_units_shown(one->before).text);
    if (one->left != NULL)
        printf(": left as it is: %s\n", one->left);
    else if (*dry_run)
        puts("");
    else
        printf(" -> %s\n", sc_units_shown(one->after).text);
    fflush(stdout); /* it may take long */
}

/* Members write what the membership file says; a node without one the newest. */
static enum sc_status find_format(const struct sc_config *config, uint16_t *format, struct sc_error *err)
{
    struct sc_cluster cluster;
    *format = 0;
    if (config->cluster == NULL)
        return SC_OK;
    SC_TRY(sc_cluster_load(config->cluster, &cluster, err));
    *format = (uint16_t)cluster.format;
    sc_cluster_free(&cluster);
    return SC_OK;
}

static void print_sum(const struct sc_compaction *sum, bool dry_run)
{
    printf("%" PRIu64 " windows, %" PRIu64 " %s: %" PRIu64 " files, %s", sum->windows, sum->compacted,
           dry_run ? "would be compacted" : "compacted", sum->files_before,
           sc_units_shown(sum->bytes_before).text);
    if (!dry_run)
        printf(" -> %" PRIu64 " files, %s", sum->files_after, sc_units_shown(sum->bytes_after).text);
    if (sum->left != 0)
        printf("; %" PRIu64 " left as they are", sum->left);
    puts("");
}

int sc_admin_compact(const struct sc_config *config, const struct sc_admin_compact *what)
{
    bool dry_run = what->dry_run;
    struct sc_compaction sum = {0};
    struct sc_error err = {0};
    struct sc_compact_options options = {.quick = what->quick,
                                         .dry_run = dry_run,
                                         .bytes_per_s = what->bytes_per_s,
                                         .cancel = &stopped,
                                         .tell = tell,
                                         .arg = &dry_run};
    enum sc_status status = find_format(config, &options.format, &err);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    if (status == SC_OK)
        status = sc_store_compact(config->store, &options, &sum, &err);
    if (status == SC_OK || sum.compacted != 0)
        print_sum(&sum, dry_run);
    if (status != SC_OK)
        sc_say(stderr, "sc-admin:", err.message);
    return status != SC_OK ? EXIT_FAILURE : sum.left != 0 ? SC_ADMIN_EXIT_DAMAGED : EXIT_SUCCESS;
}
