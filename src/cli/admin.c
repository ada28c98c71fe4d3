// SPDX-License-Identifier: BSD-3-Clause
/* sc-admin: the status of a collector or a cluster, and whether one answers; verifies, repairs and expires a store. */
#include "cli/admin.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/options.h"
#include "cluster/holdings.h"
#include "collect/exporters.h"
#include "conf/units.h"
#include "daemon/control.h"
#include "daemon/door.h"
#include "filter/time_range.h"
#include "relay/link.h"
#include "store/catalogue.h"
#include "store/maintain.h"
#include "store/store.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#define PING_MS         1000u
#define STATUS_MS       10000u
#define LOSS_MS         300000u    /* all windows of a store are looked at */
#define MOST_TIMEOUT_MS 604800000u /* a week: verify reads all that there is */

enum { EXIT_DAMAGED = SC_ADMIN_EXIT_DAMAGED, EXIT_UNREADABLE = SC_ADMIN_EXIT_UNREADABLE };

/* A line of the text is a line here. */
/* clang-format off */
static const char usage[] =
    "Usage: sc-admin status [--top N] [--json [--windows N]] [STORE]\n"
    "       sc-admin status --cluster[=FILE] [--json] [--windows N] [--ssh COMMAND] [--timeout TIME]\n"
    "       sc-admin ping [--accepts] [--timeout TIME] [STORE]\n"
    "       sc-admin verify STORE\n"
    "       sc-admin verify --cluster[=FILE] [--json] [--ssh COMMAND] [--timeout TIME]\n"
    "       sc-admin verify --member [-c FILE]\n"
    "       sc-admin repair [--cluster] STORE\n"
    "       sc-admin heal [--dry-run] [STORE]\n"
    "       sc-admin expire [--dry-run] [--age TIME] [--bytes SIZE] [--no-archive] [-c FILE] [STORE]\n"
    "       sc-admin compact [--dry-run] [--quick] [--rate SIZE] [-c FILE] [STORE]\n"
    "       sc-admin accept-loss [--undo] [--dry-run] [--force] --all|--stream HEX STORE...\n"
    "       sc-admin accept-loss [--undo] [--dry-run] [--force] --all|--stream HEX --cluster[=FILE] [--ssh COMMAND]\n"
    "                            [--timeout TIME]\n"
    "       sc-admin accept-loss --member [-c FILE]\n"
    "       sc-admin certs [--cluster=FILE] [--renew] [-c FILE] FOLDER\n"
    "       sc-admin drain [--gone|--undo] [--force] [--cluster=FILE] [--ssh COMMAND] [--timeout TIME] [-c FILE] MEMBER\n"
    "\n"
    "  status   what the running collector receives, from whom, what was lost\n"
    "  ping     nothing, and exit 0, when the running collector answers; else exit 1\n"
    "  verify   read all of a store or of one segment; exit 0 whole, 3 damaged, 1 unreadable; with --cluster, whether\n"
    "           every batch that ought to be in the stores of a cluster is whole there, with all its copies; exit 3 not\n"
    "  repair   write the whole row groups of damaged segments anew; the old file is kept as .damaged\n"
    "  heal     what this node ought to hold and other members do is pulled at once, not only when it is quiet, and\n"
    "           waited for; exit 3 when something lacks still\n"
    "  expire   delete the oldest windows that retention does not keep, each after the archive command has it, if\n"
    "           one is configured\n"
    "  compact  sealed windows in less room: one file each, of the newest format, packed as small as it goes, which\n"
    "           costs queries of them; beside a running collector. exit 3 when windows with damage were left alone\n"
    "  accept-loss  what the stores lack by the tallies of the proxies, and will not get any more, is recorded\n"
    "           in each of them as lost: answers are complete without it, and say how much it is. The stores of all\n"
    "           nodes are named, or asked by ssh (--cluster)\n"
    "  certs    make the certificates by which the members of a cluster know each other, with an authority of\n"
    "           their own: those that are missing, or over within 90 days\n"
    "  drain    a member is to leave: sets its state in the membership file, which is then to be copied to all\n"
    "\n"
    "      --json         status: as the collector gives it; verify --cluster: what was found\n"
    "      --accepts      ping: and takes flows of exporters; else exit 1, and why it does not\n"
    "      --top N        status: how many exporters to show, those with the most flows (default 100, at most 1024)\n"
    "      --renew        certs: make those of all members anew, under the same authority\n"
    "      --gone         drain: the second step, when all members say that nothing needs it any more; else exit 3\n"
    "      --cluster[=FILE]  status: of all members of the membership file, asked by ssh, and how many copies there\n"
    "                     are of what recent windows hold; accept-loss: what all subcollectors lack together, recorded\n"
    "                     in each; verify: all of these read their stores; certs: for these members; drain: the file\n"
    "                     to change. The default is the file of the configuration. repair\n"
    "                     takes none: the running collector pulls what went from other members, and that is waited for\n"
    "      --windows N    status: how many windows to look at (default 12); without --cluster, adds to the JSON\n"
    "                     which batches the store holds of them\n"
    "      --ssh COMMAND  status, verify, accept-loss, drain: the program that reaches a node, with options of its own\n"
    "                     (default: SC_SSH of the environment, else ssh)\n"
    "      --timeout TIME  status, drain, accept-loss, verify: how long to wait for the members (default 10s, 10s, 5m, 7d);\n"
    "                     ping: for the answer (1s)\n"
    "      --dry-run      expire, compact, accept-loss, heal: only say what would be done\n"
    "      --quick        compact: as queries read it soonest, not as small as it goes\n"
    "      --rate SIZE    compact: read at most so much a second (20M)\n"
    "      --all          accept-loss: of all streams\n"
    "      --stream HEX   accept-loss: of this one; see --dry-run --all\n"
    "      --undo         accept-loss: takes back what was accepted; drain: the member stays\n"
    "      --force        accept-loss: also with fewer stores than the cluster has, those that are missing being gone for good;\n"
    "                     drain: gone, whatever it holds; or back, though it is gone\n"
    "      --member       accept-loss, verify: what a member runs for --cluster; the request comes on stdin\n"
    "      --age TIME     expire: keep windows younger than this (90s, 12h, 30d); instead of the configuration\n"
    "      --bytes SIZE   expire: keep at most so much (500G); instead of the configuration\n"
    "      --no-archive   expire: without the archive command of the configuration\n"
    "  -c, --config FILE  where store and retention are configured (default " SC_CONFIG_DEFAULT_FILE
    ", if present)\n"
    "      --help         show this text\n"
    "      --version      show the version\n"
    "\n"
    "STORE is that of the configuration when it is not given, else " SC_CONFIG_DEFAULT_STORE ".\n"
    "Exit: 0 done; 1 could not be done; 2 usage or configuration; 3 damage; of a cluster: 3 when a member does\n"
    "not answer or something is missing, 1 when no member answers.\n";
/* clang-format on */

struct arguments {
    const char *store; /* as given, or NULL */
    const char *config;
    bool json, dry_run, accepts, no_archive;
    uint32_t top; /* 0: not given */
    bool all, member;
    struct sc_admin_loss loss;
    const char *retention_given; /* NULL: that of the configuration counts */
    struct sc_retention retention;
    bool renew, gone, quick;
    uint64_t rate; /* 0: not given */
    bool of_cluster;
    struct sc_admin_cluster cluster; /* windows 0, timeout_ms 0: not given */
};

static int fail(int code, const char *message)
{
    sc_say(stderr, "sc-admin:", message);
    return code;
}

static enum sc_status load_config(const char *file, const char *store, struct sc_config *config,
                                  struct sc_error *err)
{
    SC_TRY(sc_config_init(config, err));
    enum sc_status status = SC_OK;
    if (file != NULL)
        status = sc_config_load(file, config, err);
    else if (access(SC_CONFIG_DEFAULT_FILE, F_OK) == 0)
        status = sc_config_load(SC_CONFIG_DEFAULT_FILE, config, err);
    if (status == SC_OK && store != NULL)
        status = sc_config_set_store(config, store, err);
    if (status != SC_OK)
        sc_config_free(config);
    return status;
}

/* ---- status ---- */

static uint64_t integer(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "-" : value;
}

static void print_listeners(const json_t *listeners)
{
    size_t i;
    const json_t *l;
    printf("\n%-32s %12s %12s %10s %12s %14s\n", "listener", "messages", "bytes", "dropped", "connections",
           "framing errors");
    json_array_foreach(listeners, i, l)
    {
        printf("%-32s %12" PRIu64 " %12s ", text(l, "listener"), integer(l, "messages"),
               sc_units_shown(integer(l, "bytes")).text);
        if (json_object_get(l, "kernel_drops") != NULL)
            printf("%10" PRIu64 " %12s %14s\n", integer(l, "kernel_drops"), "-", "-");
        else
            printf("%10s %12" PRIu64 " %14" PRIu64 "\n", "-", integer(l, "connections"),
                   integer(l, "framing_errors"));
    }
}

/* Who is not in the table, so that nobody takes it for all. */
static void print_other_exporters(const json_t *root, size_t shown)
{
    const json_t *strangers = json_object_get(root, "strangers");
    uint64_t total = integer(root, "exporters_total");
    if (total > shown)
        printf("... and %" PRIu64 " exporters with fewer flows; --top N shows more\n", total - shown);
    if (integer(strangers, "messages") != 0)
        printf("%" PRIu64 " other senders: nothing of their %" PRIu64 " messages could be decoded (%" PRIu64
               " sets without a template, %" PRIu64 " malformed)\n",
               integer(strangers, "accounts"), integer(strangers, "messages"),
               integer(strangers, "no_template_sets"), integer(strangers, "malformed"));
}

static void print_exporters(const json_t *exporters)
{
    size_t i;
    const json_t *e;
    if (json_array_size(exporters) == 0) {
        puts("\nno exporter has sent anything yet");
        return;
    }
    printf("\n%-28s %6s %-10s %10s %12s %9s %8s %8s %9s %6s %s\n", "exporter", "port", "protocol", "domain",
           "flows", "flows/s", "lost", "no tmpl", "malformed", "sample", "last seen");
    json_array_foreach(exporters, i, e)
    {
        uint64_t missing = integer(e, "no_template_sets"), recovered = integer(e, "recovered_sets");
        printf("%-28s %6" PRIu64 " %-10s %10" PRIu64 " %12" PRIu64 " %9.1f %8" PRIu64 " %8" PRIu64
               " %9" PRIu64 " %6" PRIu64 " %s\n",
               text(e, "exporter"), integer(e, "port"), text(e, "protocol"), integer(e, "domain"),
               integer(e, "flows"), json_real_value(json_object_get(e, "flows_per_s")), integer(e, "lost"),
               missing > recovered ? missing - recovered : 0, integer(e, "malformed"),
               integer(e, "sampling_rate"), text(e, "last_seen"));
    }
}

static void print_if(const json_t *object, const char *key, const char *before, const char *after)
{
    if (integer(object, key) != 0)
        printf("%s%" PRIu64 "%s\n", before, integer(object, key), after);
}

/* Every loss on a line of its own, so that none is overlooked. */
static void print_losses(const json_t *root)
{
    const json_t *received = json_object_get(root, "received"), *store = json_object_get(root, "store");
    const json_t *problem = json_object_get(store, "problem"),
                 *clock = json_object_get(store, "clock_problem");
    print_if(received, "dropped_full", "LOST      ",
             " records: the queue was full while the disk did not take them");
    print_if(received, "dropped_aside", "LOST      ",
             " records with many columns of their own, while the queue was tight");
    print_if(store, "lost_records", "LOST      ", " records: the store refused them");
    print_if(
        received, "over_budget", "LEFT OUT  ",
        " sessions, domains, templates or names of exporters: no room (exporter-memory, exporter-share)");
    print_if(received, "refused", "LOST      ", " messages: a bound of the decoder, or memory");
    if (json_is_string(problem))
        printf("PROBLEM   %s\n", json_string_value(problem));
    if (json_is_string(clock) && json_object_get(root, "cluster") == NULL) /* else it is among the members' */
        printf("PROBLEM   %s\n", json_string_value(clock));
    if (integer(store, "wiped") != 0)
        printf(
            "PROBLEM   the store was deleted under this process at %s; it was made anew, and what it held is "
            "lost here\n",
            text(store, "wiped_at"));
    if (integer(store, "sync_failures") + integer(store, "write_failures") != 0)
        printf("PROBLEM   %" PRIu64 " writes and %" PRIu64 " syncs failed since the start\n",
               integer(store, "write_failures"), integer(store, "sync_failures"));
}

static void print_archive(const json_t *archive)
{
    const json_t *problem = json_object_get(archive, "problem");
    print_if(archive, "unarchived_windows", "LOST      ",
             " windows were deleted that the archive does not have: the disk was nearly full");
    if (json_is_string(problem))
        printf("PROBLEM   %" PRIu64 " windows wait to be deleted: %s\n", integer(archive, "waiting_windows"),
               json_string_value(problem));
}

static void print_forward(const json_t *destinations)
{
    size_t i;
    const json_t *d;
    if (json_array_size(destinations) == 0)
        return;
    printf("\n%-32s %-10s %-11s %-10s %14s %12s %10s %10s %s\n", "forward to", "protocol", "mode", "state",
           "flows sent", "dropped", "skipped", "queue", "last error");
    json_array_foreach(destinations, i, d)
    {
        const json_t *flows = json_object_get(d, "flows");
        printf("%-32s %-10s %-11s %-10s %14" PRIu64 " %12" PRIu64 " %10" PRIu64 " %10s %s\n", text(d, "to"),
               text(d, "protocol"), text(d, "mode"), text(d, "state"), integer(flows, "sent"),
               integer(flows, "dropped"), integer(flows, "skipped"),
               sc_units_shown(integer(d, "queue_bytes")).text, text(d, "last_error"));
    }
}

/* What a member is for this proxy. */
static const char *state_of(const json_t *member)
{
    if (json_object_get(member, "usable") == NULL)
        return strcmp(text(member, "state"), "gone") == 0 ? "gone" : "-";
    if (json_is_true(json_object_get(member, "usable")) && strcmp(text(member, "state"), "draining") == 0)
        return "drains";
    if (json_is_true(json_object_get(member, "usable")))
        return json_is_true(json_object_get(member, "slow")) ? "slow" : "takes";
    if (!json_is_true(json_object_get(member, "full")))
        return "DEAD";
    return integer(member, "free_bytes") < SC_LINK_LEAST_FREE ? "full" : "ill";
}

static void print_members(const json_t *members)
{
    size_t i;
    const json_t *m;
    printf("\n%-20s %-24s %-18s %-6s %10s %10s %12s %10s %s\n", "member", "address", "roles", "state",
           "waiting", "in flight", "acknowledged", "free", "problem");
    json_array_foreach(members, i, m)
    {
        bool proxy = json_is_true(json_object_get(m, "proxy"));
        bool subcollector = json_is_true(json_object_get(m, "subcollector"));
        printf("%-20s %-24s %-18s %-6s ", text(m, "name"), text(m, "address"),
               proxy && subcollector ? "proxy+subcollector"
               : proxy               ? "proxy"
                                     : "subcollector",
               state_of(m));
        if (json_object_get(m, "usable") == NULL) {
            printf("%10s %10s %12s %10s\n", "-", "-", "-", "-");
            continue;
        }
        printf("%10" PRIu64 " %10" PRIu64 " %12" PRIu64 " %10s %s\n", integer(m, "waiting"),
               integer(m, "in_flight"), integer(m, "acknowledged"),
               sc_units_shown(integer(m, "free_bytes")).text, text(m, "problem"));
    }
}

static void print_refused(const json_t *members)
{
    size_t i;
    const json_t *m;
    json_array_foreach(members, i, m)
    {
        if (integer(m, "refused") != 0)
            printf("PROBLEM   %s does not take %" PRIu64 " batches of this node: its log says why\n",
                   text(m, "name"), integer(m, "refused"));
    }
}

static void print_certificate(const json_t *days)
{
    json_int_t left = json_integer_value(days);
    if (days != NULL && left < 0)
        puts("PROBLEM   the link's certificate is over: sc-admin certs makes another");
    else if (days != NULL && left < SC_DOOR_WARN_DAYS)
        printf("PROBLEM   the link's certificate is valid for %" PRId64
               " days: sc-admin certs makes another\n",
               (int64_t)left);
}

/* What differs between the members. */
static void print_differences(const json_t *problems)
{
    size_t i;
    const json_t *p;
    json_array_foreach(problems, i, p) printf("PROBLEM   %s\n", json_string_value(p));
}

static void print_cluster(const json_t *cluster)
{
    const json_t *proxy = json_object_get(cluster, "proxy"), *own = json_object_get(cluster, "subcollector");
    if (cluster == NULL)
        return;
    printf("cluster   node %s, membership version %" PRIu64 ", %" PRIu64 " copies\n", text(cluster, "node"),
           integer(cluster, "version"), integer(cluster, "replication"));
    print_certificate(json_object_get(cluster, "certificate_days"));
    print_differences(json_object_get(cluster, "problems"));
    if (proxy != NULL) {
        printf("proxy     %" PRIu64 " records accepted; outbox %s, %" PRIu64 " batches (%" PRIu64
               " records) not yet safe\n",
               integer(proxy, "records"), sc_units_shown(integer(proxy, "outbox_bytes")).text,
               integer(proxy, "waiting_batches"), integer(proxy, "waiting_records"));
        print_if(proxy, "released_short", "PROBLEM   ",
                 " batches have fewer copies than asked for: too few nodes were there");
        if (integer(proxy, "unreadable_batches") != 0)
            printf("PROBLEM   %" PRIu64 " batches (%" PRIu64 " records) in the outbox cannot be read\n",
                   integer(proxy, "unreadable_batches"), integer(proxy, "unreadable_records"));
        if (integer(proxy, "outbox_damaged") != 0)
            printf("PROBLEM   the outbox was damaged in %" PRIu64 " places at the start; %" PRIu64
                   " bytes were skipped\n",
                   integer(proxy, "outbox_damaged"), integer(proxy, "outbox_skipped_bytes"));
        if (integer(proxy, "outbox_deleted_files") != 0)
            printf("PROBLEM   %" PRIu64 " files of the outbox were deleted under this process, with %" PRIu64
                   " batches that were not safe then\n",
                   integer(proxy, "outbox_deleted_files"), integer(proxy, "outbox_deleted_batches"));
        if (json_is_string(json_object_get(proxy, "problem")))
            printf("PROBLEM   %s\n", text(proxy, "problem"));
        print_refused(json_object_get(cluster, "members"));
    }
    if (own != NULL) {
        printf("holds     %" PRIu64 " records of %" PRIu64 " batches since the start, %" PRIu64
               " came twice; %" PRIu64 " proxies connected\n",
               integer(own, "records"), integer(own, "batches"), integer(own, "duplicates"),
               integer(own, "connections"));
        if (integer(own, "refused") + integer(own, "damaged") + integer(own, "malformed") != 0)
            printf("PROBLEM   %" PRIu64 " batches refused by the disk, %" PRIu64 " damaged, %" PRIu64
                   " connections closed as malformed\n",
                   integer(own, "refused"), integer(own, "damaged"), integer(own, "malformed"));
        print_if(json_object_get(own, "link_refused"), "window", "PROBLEM   ",
                 " batches and tallies are of windows that cannot be, or more than a day ahead: are the "
                 "clocks right?");
    }
    print_members(json_object_get(cluster, "members"));
}

static void print_exporter_memory(const json_t *root)
{
    const json_t *memory = json_object_get(root, "exporter_memory");
    printf("exporters %" PRIu64 ", their templates, names and accounts take %s of %s\n",
           integer(root, "exporters_total"), sc_units_shown(integer(memory, "bytes")).text,
           sc_units_shown(integer(memory, "limit_bytes")).text);
}

/* What repairs and seals kept takes room until its windows expire. */
static void print_kept(const char *store)
{
    struct sc_catalogue catalogue = {.replicas = true};
    if (sc_catalogue_add(&catalogue, store, NULL) == SC_OK && catalogue.damaged_files != 0) {
        printf("kept      %" PRIu32 " .damaged files with %s; they expire with their windows\n",
               catalogue.damaged_files, sc_units_shown(catalogue.damaged_bytes).text);
    }
    sc_catalogue_free(&catalogue);
}

static void print_status(const json_t *root)
{
    const json_t *queue = json_object_get(root, "queue"), *store = json_object_get(root, "store");
    const json_t *received = json_object_get(root, "received");
    printf("collector %s, process %" PRIu64 ", up %" PRIu64 " s, since %s\n", text(root, "version"),
           integer(root, "pid"), integer(root, "uptime_s"), text(root, "started"));
    printf("store     %s, %s of %s free, window %" PRIu64 " s, last sync %s\n", text(store, "path"),
           sc_units_shown(integer(store, "free_bytes")).text,
           sc_units_shown(integer(store, "size_bytes")).text, integer(store, "window_s"),
           text(store, "last_sync"));
    printf("stored    %" PRIu64 " flows, %" PRIu64 " options records, %s written, %" PRIu64
           " segments sealed\n",
           integer(store, "flows"), integer(store, "options"),
           sc_units_shown(integer(store, "bytes_written")).text, integer(store, "segments_sealed"));
    print_kept(text(store, "path"));
    printf("received  %" PRIu64 " messages, %" PRIu64 " flows; %" PRIu64
           " lost on the way (by sequence), %" PRIu64 " malformed\n",
           integer(received, "messages"), integer(received, "flows"), integer(received, "lost"),
           integer(received, "malformed"));
    printf("queue     %s of %s, %" PRIu64 " batches not yet durable\n",
           sc_units_shown(integer(queue, "bytes")).text, sc_units_shown(integer(queue, "limit_bytes")).text,
           integer(queue, "batches_held"));
    print_exporter_memory(root);
    print_losses(root);
    print_archive(json_object_get(store, "archive"));
    print_cluster(json_object_get(root, "cluster"));
    print_forward(json_object_get(root, "forward"));
    print_listeners(json_object_get(root, "listeners"));
    print_exporters(json_object_get(root, "exporters"));
    print_other_exporters(root, json_array_size(json_object_get(root, "exporters")));
}

/* The names and sentences of a status come from exporters and peers, and are printed. */
static void make_visible(json_t *value)
{
    const char *key;
    json_t *part;
    size_t i;
    struct sc_buf text = {0};
    if (json_is_string(value)) {
        sc_buf_append_visible(&text, json_string_value(value), json_string_length(value));
        sc_buf_append_u8(&text, '\0');
        json_string_set(value, sc_buf_ok(&text) ? (const char *)text.data : "?");
        sc_buf_free(&text);
    }
    json_object_foreach(value, key, part) make_visible(part);
    json_array_foreach(value, i, part) make_visible(part);
}

static int show(const struct arguments *args, const struct sc_buf *answer)
{
    json_error_t problem;
    if (args->json) {
        fwrite(answer->data, 1, answer->len, stdout);
        return EXIT_SUCCESS;
    }
    json_t *root = json_loadb((const char *)answer->data, answer->len, JSON_DISABLE_EOF_CHECK, &problem);
    if (root == NULL || json_object_get(root, "store") == NULL) {
        json_decref(root);
        return fail(EXIT_UNREADABLE, "the collector's answer makes no sense; is it of another version?");
    }
    make_visible(root);
    print_status(root);
    json_decref(root);
    return EXIT_SUCCESS;
}

static int run_status(const struct arguments *args, const struct sc_config *config)
{
    if (args->of_cluster) {
        struct sc_admin_cluster request = args->cluster;
        request.config_file = args->config;
        request.store = args->store;
        request.json = args->json;
        request.windows = request.windows == 0 ? 12 : request.windows;
        request.timeout_ms = request.timeout_ms == 0 ? STATUS_MS : request.timeout_ms;
        return sc_admin_cluster_status(&request, config);
    }
    if (args->cluster.windows != 0)
        return sc_admin_node_status(config, args->cluster.windows);
    struct sc_buf answer = {0};
    struct sc_error err;
    char request[32];
    int code = EXIT_UNREADABLE;
    snprintf(request, sizeof(request), args->top == 0 ? "status" : "status %u", args->top);
    if (sc_control_ask(config->store, request, &answer, &err) == SC_OK)
        code = show(args, &answer);
    else
        fail(code, err.message);
    sc_buf_free(&answer);
    return code;
}

/* ---- ping ---- */

static int judge_accepts(const struct sc_buf *answer)
{
    int code = EXIT_SUCCESS;
    json_t *root = json_loadb((const char *)answer->data, answer->len, 0, NULL);
    const char *why = json_string_value(json_object_get(root, "why"));
    if (!json_is_true(json_object_get(root, "accepts")))
        code =
            fail(EXIT_UNREADABLE, why != NULL ? why : "the collector does not say whether it accepts flows");
    json_decref(root);
    return code;
}

static int run_ping(const struct arguments *args, const struct sc_config *config)
{
    struct sc_buf answer = {0};
    struct sc_error err;
    int code = EXIT_SUCCESS;
    uint32_t patience_ms = args->cluster.timeout_ms != 0 ? (uint32_t)args->cluster.timeout_ms : PING_MS;
    const char *request = args->accepts ? "accepts" : "ping";
    if (sc_control_ask_within(config->store, request, patience_ms, &answer, &err) != SC_OK)
        code = fail(EXIT_UNREADABLE, err.message);
    else if (args->accepts)
        code = judge_accepts(&answer);
    sc_buf_free(&answer);
    return code;
}

/* ---- verify, repair ---- */

static void print_finding(void *arg, const char *path, const char *finding)
{
    size_t length = strlen(path);
    (void)arg;
    if (finding == NULL)
        return;
    if (strncmp(finding, path, length) != 0) /* some findings begin with the path themselves */
        printf("%s: ", path);
    puts(finding);
}

static void print_report(const struct sc_verify_report *r)
{
    printf("%" PRIu64 " segments, %" PRIu64 " row groups, %" PRIu64 " records", r->segments, r->row_groups,
           r->rows);
    if (r->damaged_segments + r->damaged_row_groups + r->damaged_chunks != 0)
        printf("; damaged: %" PRIu64 " segments, %" PRIu64 " row groups, %" PRIu64 " chunks",
               r->damaged_segments, r->damaged_row_groups, r->damaged_chunks);
    if (r->unfinished_tails != 0)
        printf("; %" PRIu64 " unfinished tails (no damage)", r->unfinished_tails);
    if (r->foreign_files != 0)
        printf("; %" PRIu64 " foreign files", r->foreign_files);
    if (r->kept_files != 0) {
        printf("; %" PRIu64 " .damaged files with %s are kept until their windows expire", r->kept_files,
               sc_units_shown(r->kept_bytes).text);
    }
    if (r->repaired_segments != 0)
        printf("; %" PRIu64 " segments repaired", r->repaired_segments);
    putchar('\n');
}

/* A store of a cluster: what was in the row groups that went has a copy less now. */
static int follow_repair(const struct sc_config *config, bool heal)
{
    char streams[4096 + 16];
    if (heal)
        return sc_admin_heal(config, false);
    snprintf(streams, sizeof(streams), "%s/.streams", config->store);
    if (access(streams, F_OK) != 0)
        return EXIT_SUCCESS;
    puts("what was damaged has a copy less now: the collector of this store pulls it from other members "
         "while it runs;\n"
         "repair --cluster waits for that, status --cluster says what has one copy");
    return EXIT_DAMAGED;
}

static int run_check(const struct sc_config *config, bool repair, bool heal)
{
    struct sc_verify_report report = {0};
    struct sc_error err;
    enum sc_status status = repair ? sc_store_repair(config->store, NULL, print_finding, NULL, &report, &err)
                                   : sc_store_verify(config->store, print_finding, NULL, &report, &err);
    if (status != SC_OK && status != SC_DAMAGED)
        return fail(EXIT_UNREADABLE, err.message);
    print_report(&report);
    if (status == SC_OK && (report.repaired_segments != 0 || heal))
        return follow_repair(config, heal);
    return status == SC_OK ? EXIT_SUCCESS : EXIT_DAMAGED;
}

static int run_verify(const struct arguments *args, const struct sc_config *config)
{
    struct sc_admin_cluster request = args->cluster;
    request.config_file = args->config;
    request.json = args->json;
    request.timeout_ms = request.timeout_ms == 0 ? MOST_TIMEOUT_MS : request.timeout_ms;
    if (args->member)
        return sc_admin_verify_member(config);
    return args->of_cluster ? sc_admin_verify_cluster(&request, config) : run_check(config, false, false);
}

/* ---- expire ---- */

static int run_expire(const struct arguments *args, const struct sc_config *config)
{
    struct sc_retention retention = args->retention;
    retention.by_window = true; /* who names an age here means that of windows */
    if (args->retention_given == NULL)
        retention = (struct sc_retention){.age_s = config->retention_age_s, .bytes = config->retention_bytes};
    if (retention.age_s == 0 && retention.bytes == 0)
        return fail(SC_EXIT_USAGE, "no retention is configured; give --age or --bytes");
    return sc_admin_expire(config, &retention, args->dry_run, !args->no_archive);
}

/* ---- accept-loss ---- */

static int run_accept_loss(const struct arguments *args, const struct sc_config *config)
{
    struct sc_admin_cluster request = args->cluster;
    request.config_file = args->config;
    request.timeout_ms = request.timeout_ms == 0 ? LOSS_MS : request.timeout_ms;
    if (args->member)
        return sc_admin_accept_loss_member(config);
    return args->of_cluster ? sc_admin_accept_loss_cluster(&args->loss, &request, config)
                            : sc_admin_accept_loss(&args->loss, config);
}

/* ---- certs ---- */

static int run_certs(const struct arguments *args, const struct sc_config *config)
{
    const char *file = args->cluster.file != NULL ? args->cluster.file : config->cluster;
    const struct sc_admin_certs what = {.cluster = file, .folder = args->store, .renew = args->renew};
    if (file == NULL)
        return fail(SC_EXIT_USAGE, "whose? give the membership file: --cluster=FILE");
    return sc_admin_make_certs(&what);
}

/* ---- drain ---- */

static int run_drain(const struct arguments *args, const struct sc_config *config)
{
    struct sc_admin_cluster request = args->cluster;
    const struct sc_admin_drain what = {.member = args->store,
                                        .state = args->gone        ? SC_MEMBER_GONE
                                                 : args->loss.undo ? SC_MEMBER_ACTIVE
                                                                   : SC_MEMBER_DRAINING,
                                        .force = args->loss.force};
    request.config_file = args->config;
    request.windows = 1;
    request.timeout_ms = request.timeout_ms == 0 ? STATUS_MS : request.timeout_ms;
    if (args->gone && args->loss.undo)
        return fail(SC_EXIT_USAGE, "drain takes --gone or --undo, either with or without --force");
    return sc_admin_drain(&what, &request, config);
}

/* ---- arguments ---- */

enum command { STATUS, PING, VERIFY, REPAIR, EXPIRE, COMPACT, HEAL, ACCEPT_LOSS, CERTS, DRAIN, COMMANDS };
static const char *const command_names[COMMANDS] = {"status",  "ping", "verify",      "repair", "expire",
                                                    "compact", "heal", "accept-loss", "certs",  "drain"};
#define NAMES "status, ping, verify, repair, expire, compact, heal, accept-loss, certs"

enum { TAKE_CLUSTER = SC_OPTION_LETTER, TAKE_STREAM };

static enum sc_status take(void *out, int id, const char *value, struct sc_error *err)
{
    struct arguments *args = out;
    if (id == TAKE_CLUSTER) {
        args->of_cluster = true;
        args->cluster.file = value;
        return SC_OK;
    }
    size_t length = strlen(value);
    args->loss.one_stream = true;
    args->loss.stream = strtoull(value, NULL, 16);
    return length != 0 && length <= 16 && strspn(value, "0123456789abcdefABCDEF") == length
               ? SC_OK
               : sc_fail(err, SC_USAGE, "--stream takes the number of a stream, up to 16 hexadecimal digits");
}

static bool read_span(const char *text, uint64_t *ms)
{
    return sc_time_parse_span(text, ms, NULL) == SC_OK;
}

#define AT(member) offsetof(struct arguments, member)

/* A row of the table is a row here. */
/* clang-format off */
static const struct sc_option rows[] = {
    {"json", 0, SC_OPTION_FLAG, .place = AT(json)},
    {"dry-run", 0, SC_OPTION_FLAG, .place = AT(dry_run)},
    {"age", 0, SC_OPTION_NUMBER, .place = AT(retention.age_s), .given = AT(retention_given), .read = sc_units_age,
     .wrong = "--age takes a time with its unit, such as 12h or 30d"},
    {"bytes", 0, SC_OPTION_NUMBER, .place = AT(retention.bytes), .given = AT(retention_given), .read = sc_units_bytes,
     .wrong = "--bytes takes a size such as 500G"},
    {"cluster", TAKE_CLUSTER, .type = SC_OPTION_TAKE_MAYBE},
    {"windows", 0, SC_OPTION_SMALL, .place = AT(cluster.windows), .least = 1, .most = SC_HOLDINGS_MAX_WINDOWS,
     .wrong = "--windows takes a number from 1 to 1000"},
    {"ssh", 0, SC_OPTION_TEXT, .place = AT(cluster.ssh)},
    {"timeout", 0, SC_OPTION_NUMBER, .place = AT(cluster.timeout_ms), .read = read_span, .least = 1, .most = MOST_TIMEOUT_MS,
     .wrong = "--timeout takes a time above 0, 7 days at most, such as 10s or 200ms"},
    {"no-archive", 0, SC_OPTION_FLAG, .place = AT(no_archive)},
    {"quick", 0, SC_OPTION_FLAG, .place = AT(quick)},
    {"rate", 0, SC_OPTION_NUMBER, .place = AT(rate), .read = sc_units_bytes, .least = 1, .wrong = "--rate takes a size above 0, such as 20M"},
    {"accepts", 0, SC_OPTION_FLAG, .place = AT(accepts)},
    {"all", 0, SC_OPTION_FLAG, .place = AT(all)},
    {"undo", 0, SC_OPTION_FLAG, .place = AT(loss.undo)},
    {"force", 0, SC_OPTION_FLAG, .place = AT(loss.force)},
    {"member", 0, SC_OPTION_FLAG, .place = AT(member)},
    {"renew", 0, SC_OPTION_FLAG, .place = AT(renew)},
    {"gone", 0, SC_OPTION_FLAG, .place = AT(gone)},
    {"top", 0, SC_OPTION_SMALL, .place = AT(top), .least = 1, .most = SC_EXPORTERS_TOP, .wrong = "--top takes a number from 1 to 1024"},
    {"stream", TAKE_STREAM, .type = SC_OPTION_TAKE},
    {"config", 'c', SC_OPTION_TEXT, .place = AT(config)},
    {"help", 0, SC_OPTION_SAY, .wrong = usage},
    {"version", 0, SC_OPTION_SAY, .wrong = "sc-admin " SC_VERSION "\n"},
};
/* clang-format on */

static const struct sc_options options = {.program = "sc-admin",
                                          .hint = "Try sc-admin --help.\n",
                                          .rows = rows,
                                          .count = sizeof(rows) / sizeof(rows[0]),
                                          .take = take};

static int fail_usage(const char *message)
{
    return sc_options_fail(&options, message);
}

#define ON(command) (1u << (command))

static bool option_fits(const struct arguments *args, enum command command)
{
    const struct sc_admin_cluster *c = &args->cluster;
    bool verifies = command == VERIFY && (args->of_cluster || args->member);
    const unsigned asks =
        args->of_cluster ? ON(STATUS) | ON(ACCEPT_LOSS) | ON(VERIFY) | ON(DRAIN) : ON(DRAIN);
    const struct {
        bool given;
        unsigned commands; /* that it goes with */
    } rules[] = {
        {args->json, ON(STATUS) | (args->of_cluster ? ON(VERIFY) : 0)},
        {args->accepts, ON(PING)},
        {args->renew, ON(CERTS)},
        {args->gone, ON(DRAIN)},
        {args->retention_given != NULL || args->no_archive, ON(EXPIRE)},
        {args->all || args->loss.one_stream, ON(ACCEPT_LOSS)},
        {args->member, ON(ACCEPT_LOSS) | (args->of_cluster ? 0 : ON(VERIFY))},
        {args->store != NULL && verifies, 0},
        {args->loss.undo || args->loss.force, ON(ACCEPT_LOSS) | ON(DRAIN)},
        {args->dry_run, ON(EXPIRE) | ON(COMPACT) | ON(ACCEPT_LOSS) | ON(HEAL)},
        {args->quick || args->rate != 0, ON(COMPACT)},
        {args->config != NULL, verifies ? ON(VERIFY) : ~(ON(VERIFY) | ON(REPAIR))},
        {args->of_cluster, ON(STATUS) | ON(CERTS) | ON(ACCEPT_LOSS) | ON(VERIFY) | ON(REPAIR) | ON(DRAIN)},
        {c->ssh != NULL, asks},
        {c->timeout_ms != 0, ON(PING) | asks},
        {c->windows != 0, args->of_cluster || args->json ? ON(STATUS) : 0},
        {args->top != 0, args->of_cluster || c->windows != 0 ? 0 : ON(STATUS)},
    };
    for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].given && (rules[i].commands & ON(command)) == 0)
            return false;
    }
    return true;
}

/* What accept-loss is about; NULL, or what is wrong. A --cluster FILE is one as with status. */
static const char *check_loss(struct arguments *args)
{
    bool asked = args->of_cluster || args->member;
    if (args->of_cluster && args->cluster.file == NULL && args->loss.store_count == 1)
        args->cluster.file = args->loss.stores[--args->loss.store_count];
    if (asked && (args->loss.store_count != 0 || (args->of_cluster && args->member)))
        return "accept-loss takes stores, or --cluster";
    if (args->member)
        return args->all || args->loss.one_stream || args->loss.undo || args->loss.force || args->dry_run
                   ? "--member goes with no other option"
                   : NULL;
    if (!asked && args->loss.store_count == 0)
        return "which stores? accept-loss needs those of all nodes, or --cluster";
    return args->all == args->loss.one_stream ? "accept-loss takes either --all or --stream" : NULL;
}

/* @return -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *args, enum command *command)
{
    int code = sc_options_read(&options, argc, argv, args);
    if (code >= 0)
        return code;
    if (optind == argc)
        return fail_usage("a command is needed: " NAMES " or drain");
    for (*command = STATUS; *command < COMMANDS; (*command)++) {
        if (strcmp(argv[optind], command_names[*command]) == 0)
            break;
    }
    if (*command == COMMANDS)
        return fail_usage("unknown command; " NAMES " and drain are known");
    args->loss.stores = (const char *const *)argv + optind + 1;
    args->loss.store_count = (uint32_t)(argc - optind - 1);
    args->loss.dry_run = args->dry_run;
    const char *wrong = *command == ACCEPT_LOSS ? check_loss(args) : NULL;
    if (wrong != NULL)
        return fail_usage(wrong);
    if (argc - optind > 2 && *command != ACCEPT_LOSS)
        return fail_usage(*command == DRAIN ? "one member at a time" : "one store at a time");
    args->store = argc - optind == 2 && *command != ACCEPT_LOSS ? argv[optind + 1] : NULL;
    bool named = args->of_cluster && args->cluster.file == NULL; /* --cluster FILE */
    if (named && *command == REPAIR)
        return option_fits(args, *command) && args->store != NULL
                   ? -1
                   : fail_usage("which store? repair needs its path");
    if (named && *command == CERTS)
        return fail_usage("certs takes the membership file as --cluster=FILE, and one folder");
    if (named && *command == DRAIN)
        return fail_usage("drain takes the membership file as --cluster=FILE, and one member");
    if (named) {
        args->cluster.file = args->store;
        args->store = NULL;
    }
    bool asked = args->of_cluster || args->member;
    if (args->store == NULL && ((*command == VERIFY && !asked) || *command == REPAIR))
        return fail_usage("which store? verify and repair need its path");
    if (args->store == NULL && *command == CERTS)
        return fail_usage("which folder? certs needs the one to make them in");
    if (args->store == NULL && *command == DRAIN)
        return fail_usage("which member? drain needs its name");
    return option_fits(args, *command) ? -1 : fail_usage("an option does not go with this command");
}

int main(int argc, char **argv)
{
    struct arguments args = {0};
    struct sc_config config;
    struct sc_error err;
    enum command command = STATUS;
    int code = parse(argc, argv, &args, &command);
    if (code >= 0)
        return code;
    const char *store = command == DRAIN ? NULL : args.store; /* of that one it is a member */
    if (load_config(args.config, store, &config, &err) != SC_OK)
        return fail(SC_EXIT_USAGE, err.message);
    if (command == CERTS)
        code = run_certs(&args, &config);
    else if (command == STATUS)
        code = run_status(&args, &config);
    else if (command == PING)
        code = run_ping(&args, &config);
    else if (command == ACCEPT_LOSS)
        code = run_accept_loss(&args, &config);
    else if (command == VERIFY)
        code = run_verify(&args, &config);
    else if (command == EXPIRE)
        code = run_expire(&args, &config);
    else if (command == COMPACT)
        code = sc_admin_compact(&config, &(struct sc_admin_compact){args.quick, args.dry_run, args.rate});
    else if (command == HEAL)
        code = sc_admin_heal(&config, args.dry_run);
    else if (command == DRAIN)
        code = run_drain(&args, &config);
    else
        code = run_check(&config, true, args.of_cluster);
    sc_config_free(&config);
    return code;
}
