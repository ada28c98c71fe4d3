// SPDX-License-Identifier: BSD-3-Clause
#include "cli/admin.h"

#include "base/clock.h"
#include "base/text.h"
#include "cluster/horizons_told.h"
#include "cluster/leaving.h"
#include "cluster/survey.h"
#include "conf/units.h"
#include "daemon/control.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_ALL_WELL = 0, EXIT_NOTHING = 1, EXIT_BAD_USAGE = 2, EXIT_NOT_WELL = 3 };

static int fail(int code, const char *message)
{
    fprintf(stderr, "sc-admin: %s\n", message);
    return code;
}

bool sc_admin_write_json(json_t *root)
{
    bool written = root != NULL &&
                   json_dumpf(root, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6)) == 0 &&
                   putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(root);
    return written;
}

static enum sc_status read_input(struct sc_buf *out, struct sc_error *err)
{
    uint8_t block[65536];
    ssize_t n;
    while ((n = TEMP_FAILURE_RETRY(read(STDIN_FILENO, block, sizeof(block)))) > 0) {
        sc_buf_append(out, block, (size_t)n);
        if (!sc_buf_ok(out) || out->len > SC_ASK_MAX_ANSWER)
            return sc_fail(err, SC_LIMIT, "what it was asked is longer than any that makes sense");
    }
    return n < 0 ? sc_fail_errno(err, errno, "cannot read what it was asked") : SC_OK;
}

enum sc_status sc_admin_read_request(json_t **out, struct sc_error *err)
{
    struct sc_buf input = {0};
    enum sc_status status = read_input(&input, err);
    *out =
        status == SC_OK && input.len != 0 ? json_loadb((const char *)input.data, input.len, 0, NULL) : NULL;
    sc_buf_free(&input);
    return status;
}

/* ---- what a node answers ---- */

/* When the oldest file of the outbox was written to last; 0: there is none. */
static uint64_t oldest_of_outbox(const char *store)
{
    char path[4096];
    uint64_t oldest = 0;
    const struct dirent *entry;
    snprintf(path, sizeof(path), "%s/outbox", store);
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) != 0)
            continue;
        uint64_t ms = (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
        oldest = oldest == 0 || ms < oldest ? ms : oldest;
    }
    if (dir != NULL)
        closedir(dir);
    return oldest;
}

static json_t *collector_status(const struct sc_config *config, struct sc_error *err)
{
    struct sc_buf answer = {0};
    json_t *root = NULL;
    if (sc_control_ask(config->store, "status", &answer, err) == SC_OK) {
        root = json_loadb((const char *)answer.data, answer.len, JSON_DISABLE_EOF_CHECK, NULL);
        if (root == NULL)
            sc_fail(err, SC_MALFORMED, "the collector's answer makes no sense; is it of another version?");
    }
    sc_buf_free(&answer);
    return root;
}

int sc_admin_node_status(const struct sc_config *config, uint32_t windows)
{
    struct sc_error err = {0}, held_err = {0};
    struct sc_holdings held;
    json_t *root = collector_status(config, &err);
    bool runs = root != NULL;
    if (!runs)
        root = json_pack("{s:s, s:s}", "version", SC_VERSION, "problem", err.message);
    json_object_set_new(root, "now_ms", json_integer((json_int_t)sc_clock_wall_ms()));
    sc_horizons_to_answer(config->store, root);
    sc_leaving_to_answer(config->store, root);
    json_object_set_new(root, "outbox_oldest_ms", json_integer((json_int_t)oldest_of_outbox(config->store)));
    if (sc_holdings_read(config->store, windows, &held, &held_err) == SC_OK)
        json_object_set_new(root, "held", sc_holdings_to_json(&held));
    else
        json_object_set_new(root, "held_problem", json_string(held_err.message));
    sc_holdings_free(&held);
    if (!sc_admin_write_json(root))
        return fail(EXIT_NOTHING, "cannot write the status");
    return runs ? EXIT_ALL_WELL : EXIT_NOTHING;
}

/* ---- what a node is ---- */

static uint64_t integer(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *state_of(const struct sc_survey_node *node)
{
    return node->left_out                                                      ? "gone"
           : node->root == NULL                                                ? "UNREACHABLE"
           : sc_survey_runs(node) && node->member->state == SC_MEMBER_DRAINING ? "draining"
           : sc_survey_runs(node)                                              ? "up"
                                                                               : "DOWN";
}

static const char *role_of(const struct sc_member *m)
{
    if (m->state == SC_MEMBER_GONE)
        return "-";
    return m->proxy && m->subcollector ? "both" : m->proxy ? "proxy" : "subcollector";
}

/* ---- as text ---- */

static void format_ms(uint64_t ms, char *out, size_t size)
{
    if (ms == UINT64_MAX)
        snprintf(out, size, "-");
    else if (ms < 120000)
        snprintf(out, size, "%.1f s", (double)ms / 1000);
    else if (ms < 7200000)
        snprintf(out, size, "%" PRIu64 " min", ms / 60000);
    else
        snprintf(out, size, "%" PRIu64 " h", ms / 3600000);
}

static void format_outbox(const struct sc_survey_node *node, char *out, size_t size, char *oldest,
                          size_t oldest_size)
{
    const json_t *proxy = json_object_get(json_object_get(node->root, "cluster"), "proxy");
    uint64_t written = integer(node->root, "outbox_oldest_ms"), now = integer(node->root, "now_ms");
    snprintf(out, size, "-");
    snprintf(oldest, oldest_size, "-");
    if (proxy == NULL)
        return;
    snprintf(out, size, "%s, %" PRIu64, sc_units_shown(integer(proxy, "outbox_bytes")).text,
             integer(proxy, "waiting_batches"));
    if (integer(proxy, "waiting_batches") != 0 && written != 0)
        format_ms(now > written ? now - written : 0, oldest, oldest_size);
}

static void print_node(const struct sc_survey *v, const struct sc_survey_node *node)
{
    const json_t *store = json_object_get(node->root, "store"),
                 *cluster = json_object_get(node->root, "cluster");
    struct sc_units_text space = {"-"};
    char lag[24], outbox[40], oldest[24], taken[24] = "-", version[24] = "-";
    uint32_t usable, proxies;
    format_ms(sc_survey_lag_ms(node), lag, sizeof(lag));
    format_outbox(node, outbox, sizeof(outbox), oldest, sizeof(oldest));
    sc_survey_taken_by(v, node->member, &usable, &proxies);
    if (sc_survey_runs(node))
        space = sc_units_shown(integer(store, "free_bytes"));
    if (node->member->subcollector && proxies != 0)
        snprintf(taken, sizeof(taken), "%u of %u", usable, proxies);
    if (cluster != NULL)
        snprintf(version, sizeof(version), "%" PRIu64, integer(cluster, "version"));
    printf("%-24.24s %-12s %-11s %10s %8s %20s %8s %9s %8s\n", node->member->name, role_of(node->member),
           state_of(node), space.text, lag, outbox, oldest, taken, version);
}

/* A line that fits 120 columns. */
static void print_problem(const char *name, const char *sentence)
{
    struct sc_buf line = {0};
    sc_buf_printf(&line, "PROBLEM   %s: ", name);
    sc_buf_append_visible(&line, sentence, strlen(sentence));
    if (sc_buf_ok(&line))
        printf("%.*s%s\n", line.len > 120 ? 117 : (int)line.len, (const char *)line.data,
               line.len > 120 ? "..." : "");
    sc_buf_free(&line);
}

static bool says(const struct sc_survey_node *node, const char *sentence)
{
    size_t i;
    const json_t *one;
    json_array_foreach(sc_survey_differences(node), i, one)
    {
        if (strcmp(json_string_value(one), sentence) == 0)
            return true;
    }
    return false;
}

/* What several nodes say is told once, with the first of them. */
static void print_difference(const struct sc_survey *v, uint32_t by, const char *sentence)
{
    char who[SC_CLUSTER_NAME_MAX + 32];
    uint32_t others = 0;
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        if (i == by || !says(&v->nodes[i], sentence))
            continue;
        if (i < by)
            return;
        others++;
    }
    snprintf(who, sizeof(who), others == 0 ? "%s" : "%s and %u more", v->cluster->members[by].name, others);
    print_problem(who, sentence);
}

static void print_differences(const struct sc_survey *v)
{
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        size_t k;
        const json_t *one;
        json_array_foreach(sc_survey_differences(&v->nodes[i]), k, one)
            print_difference(v, i, json_string_value(one));
    }
}

static void print_problems(const struct sc_survey *v)
{
    char differs[160];
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        const struct sc_survey_node *node = &v->nodes[i];
        if (node->problem[0] != '\0')
            print_problem(node->member->name, node->problem);
        if (sc_survey_differs(v, node, differs, sizeof(differs)))
            print_problem(node->member->name, differs);
        if (node->held.unreadable != 0) {
            snprintf(differs, sizeof(differs),
                     "%u files or row groups are damaged; run sc-admin verify there", node->held.unreadable);
            print_problem(node->member->name, differs);
        }
    }
}

/* What an operator who waits for a member to leave is to do next. */
static void print_leaving(const struct sc_survey *v)
{
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        struct sc_leaving leaving = sc_leaving_judge(v, &v->nodes[i]);
        if (leaving.leaves)
            printf("%s   %s: %s\n", leaving.may_go ? "MAY GO " : "LEAVING", v->cluster->members[i].name,
                   leaving.words);
    }
}

static void print_windows(const struct sc_survey *v)
{
    char when[32];
    if (v->window_count == 0)
        return;
    printf("\n%-24s %12s %12s %12s %12s %12s %12s %12s\n", "window, in batches", "known", "whole",
           "fewer copies", "one copy", "MISSING", "waiting", "known lost");
    for (uint32_t i = 0; i < v->window_count; i++) {
        const struct sc_window_copies *w = &v->windows[i];
        sc_time_format_utc(w->window_ms, when, sizeof(when));
        printf("%-24s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64
               " %12" PRIu64 "\n",
               when, w->known, w->whole, w->fewer, w->single, w->missing, w->waiting, w->lost);
    }
}

static void print_kept_since(const struct sc_survey *v)
{
    char when[32];
    sc_time_format_utc(v->horizons.kept_since_ms, when, sizeof(when));
    if (v->horizons.kept_since_ms != 0)
        printf("\nkept since %s: of older windows some or all were deleted on purpose\n", when);
}

static void print_text(const struct sc_survey *v)
{
    printf("cluster   %u members, %u copies, version %" PRIu64 " of the membership file\n\n",
           v->cluster->count, v->cluster->replication, v->cluster->version);
    printf("%-24s %-12s %-11s %10s %8s %20s %8s %9s %8s\n", "node", "role", "state", "free", "lag",
           "outbox, batches", "oldest", "taken by", "version");
    for (uint32_t i = 0; i < v->cluster->count; i++)
        print_node(v, &v->nodes[i]);
    print_problems(v);
    print_differences(v);
    print_leaving(v);
    print_kept_since(v);
    print_windows(v);
}

/* ---- as JSON ---- */

static json_t *node_json(const struct sc_survey *v, const struct sc_survey_node *node)
{
    char differs[160];
    uint32_t usable, proxies;
    uint64_t lag = sc_survey_lag_ms(node);
    json_t *object = json_object(), *status = json_copy(node->root); /* of what is in it, a share */
    sc_survey_taken_by(v, node->member, &usable, &proxies);
    bool other = sc_survey_differs(v, node, differs, sizeof(differs));
    struct sc_leaving leaving = sc_leaving_judge(v, node);
    json_object_del(status, "held");
    json_object_del(status, "horizons");
    json_object_del(status, "copies_of");
    json_object_set_new(object, "name", json_string(node->member->name));
    json_object_set_new(object, "host", json_string(node->member->address.host));
    json_object_set_new(object, "role", json_string(role_of(node->member)));
    json_object_set_new(object, "reachable", json_boolean(node->root != NULL));
    json_object_set_new(object, "running", json_boolean(sc_survey_runs(node)));
    json_object_set_new(object, "problem",
                        node->problem[0] == '\0' ? json_null() : json_string(node->problem));
    json_object_set_new(object, "differs", other ? json_string(differs) : json_null());
    json_object_set_new(object, "lag_ms", lag == UINT64_MAX ? json_null() : json_integer((json_int_t)lag));
    json_object_set_new(object, "unreadable", json_integer(node->held.unreadable));
    json_object_set_new(object, "leaving", leaving.leaves ? json_string(leaving.words) : json_null());
    json_object_set_new(object, "may_go", json_boolean(leaving.may_go));
    json_object_set_new(object, "usable_by", json_integer(usable));
    json_object_set_new(object, "proxies_asked", json_integer(proxies));
    json_object_set_new(object, "status", status == NULL ? json_null() : status);
    return object;
}

static json_t *window_json(const struct sc_window_copies *w)
{
    char when[32];
    sc_time_format_utc(w->window_ms, when, sizeof(when));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "window", when, "known",
                     (json_int_t)w->known, "whole", (json_int_t)w->whole, "fewer_copies",
                     (json_int_t)w->fewer, "one_copy", (json_int_t)w->single, "missing",
                     (json_int_t)w->missing, "waiting", (json_int_t)w->waiting, "known_lost",
                     (json_int_t)w->lost);
}

static bool print_json(const struct sc_survey *v, bool well)
{
    char since[32];
    json_t *root = json_object(), *nodes = json_array(), *windows = json_array();
    for (uint32_t i = 0; i < v->cluster->count; i++)
        json_array_append_new(nodes, node_json(v, &v->nodes[i]));
    for (uint32_t i = 0; i < v->window_count; i++)
        json_array_append_new(windows, window_json(&v->windows[i]));
    json_object_set_new(root, "version", json_integer((json_int_t)v->cluster->version));
    json_object_set_new(root, "replication", json_integer(v->cluster->replication));
    json_object_set_new(root, "well", json_boolean(well));
    json_object_set_new(root, "nodes", nodes);
    sc_time_format_utc(v->horizons.kept_since_ms, since, sizeof(since));
    json_object_set_new(root, "kept_since",
                        v->horizons.kept_since_ms == 0 ? json_null() : json_string(since));
    json_object_set_new(root, "windows", windows);
    return sc_admin_write_json(root);
}

/* ---- all of it ---- */

static int report(const struct sc_survey *v, bool json)
{
    uint32_t reached = 0, well = 0;
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        reached += v->nodes[i].root != NULL;
        well += v->nodes[i].problem[0] == '\0' && json_array_size(sc_survey_differences(&v->nodes[i])) == 0;
    }
    bool all = well == v->cluster->count && sc_survey_missing(v) == 0;
    bool written = true;
    if (json)
        written = print_json(v, all);
    else
        print_text(v);
    if (!written || fflush(stdout) != 0)
        return fail(EXIT_NOTHING, "cannot write the status");
    return reached == 0 ? EXIT_NOTHING : all ? EXIT_ALL_WELL : EXIT_NOT_WELL;
}

enum sc_status sc_admin_own_path(char *out, size_t size, struct sc_error *err)
{
    ssize_t length = readlink("/proc/self/exe", out, size - 1);
    if (length <= 0)
        return sc_fail_errno(err, errno, "cannot find out which program this is");
    out[length] = '\0';
    return SC_OK;
}

enum sc_status sc_admin_membership(const struct sc_admin_cluster *request, const struct sc_config *config,
                                   const char **file, struct sc_error *err)
{
    *file = request->file != NULL ? request->file : config->cluster;
    if (*file != NULL)
        return SC_OK;
    return sc_fail(err, SC_USAGE,
                   "which cluster? The configuration names no membership file; give --cluster=FILE");
}

enum sc_status sc_admin_members(const struct sc_admin_cluster *request, const struct sc_config *config,
                                struct sc_cluster *out, struct sc_error *err)
{
    const char *file;
    SC_TRY(sc_admin_membership(request, config, &file, err));
    return sc_cluster_load(file, out, err);
}

const char *sc_admin_ssh(const struct sc_admin_cluster *request)
{
    const char *ssh = request->ssh != NULL ? request->ssh : getenv("SC_SSH");
    return ssh == NULL ? "ssh" : ssh;
}

enum sc_status sc_admin_survey(const struct sc_admin_cluster *request, const struct sc_config *config,
                               const struct sc_cluster *cluster, struct sc_survey *survey,
                               struct sc_error *err)
{
    char program[4096], windows[16];
    const char *here[9] = {program, "status", "--json", "--windows", windows};
    const char *const there[] = {"sc-admin", "status", "--json", "--windows", windows, NULL};
    unsigned count = 5;
    SC_TRY(sc_admin_own_path(program, sizeof(program), err));
    snprintf(windows, sizeof(windows), "%u", request->windows);
    if (request->config_file != NULL) {
        here[count++] = "-c";
        here[count++] = request->config_file;
    }
    here[count] = request->store;
    const struct sc_survey_options options = {.node = config->node,
                                              .ssh = sc_admin_ssh(request),
                                              .here = here,
                                              .there = there,
                                              .timeout_ms = request->timeout_ms,
                                              .windows = request->windows};
    return sc_survey_run(survey, &options, cluster, err);
}

int sc_admin_cluster_status(const struct sc_admin_cluster *request, const struct sc_config *config)
{
    struct sc_cluster cluster;
    struct sc_survey survey = {0};
    struct sc_error err = {0};
    if (sc_admin_members(request, config, &cluster, &err) != SC_OK)
        return fail(EXIT_BAD_USAGE, err.message);
    int code = sc_admin_survey(request, config, &cluster, &survey, &err) == SC_OK
                   ? report(&survey, request->json)
                   : fail(EXIT_NOTHING, err.message);
    sc_survey_free(&survey);
    sc_cluster_free(&cluster);
    return code;
}
