// SPDX-License-Identifier: BSD-3-Clause
/*
 * Every member is asked for `sc-admin status --json --windows N`: this node as a process of its own, the others by ssh, all at
 * once. What they hold is compared here. A node takes part when its files can be read, whether its collector runs or not.
 */
#include "cli/admin_cluster.h"
#include "base/text.h"

#include "base/clock.h"
#include "cluster/ask.h"
#include "cluster/holdings.h"
#include "conf/cluster.h"
#include "conf/units.h"
#include "daemon/control.h"
#include "store/horizon.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_ALL_WELL = 0, EXIT_NOTHING = 1, EXIT_BAD_USAGE = 2, EXIT_NOT_WELL = 3 };

#define MOST_NODES  256u
#define PROBLEM_MAX 400u

static int fail(int code, const char *message)
{
    fprintf(stderr, "sc-admin: %s\n", message);
    return code;
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
    json_object_set_new(root, "horizon_ms", json_integer((json_int_t)sc_store_horizon(config->store)));
    json_object_set_new(root, "outbox_oldest_ms", json_integer((json_int_t)oldest_of_outbox(config->store)));
    if (sc_holdings_read(config->store, windows, &held, &held_err) == SC_OK)
        json_object_set_new(root, "held", sc_holdings_to_json(&held));
    else
        json_object_set_new(root, "held_problem", json_string(held_err.message));
    sc_holdings_free(&held);
    int failed = root == NULL
                     ? -1
                     : json_dumpf(root, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    json_decref(root);
    putchar('\n');
    if (failed != 0 || fflush(stdout) != 0)
        return fail(EXIT_NOTHING, "cannot write the status");
    return runs ? EXIT_ALL_WELL : EXIT_NOTHING;
}

/* ---- asking ---- */

struct node {
    const struct sc_member *member;
    struct sc_ask ask;
    char *ssh; /* words of the ask */
    json_t *root;
    struct sc_holdings held;
    bool has_held;
    char problem[PROBLEM_MAX]; /* empty: none */
};

struct view {
    const struct sc_admin_cluster *request;
    const struct sc_config *config;
    struct sc_cluster cluster;
    struct node *nodes; /* one per member */
    struct sc_window_copies *windows;
    uint32_t window_count;
    char program[4096]; /* this one */
    char windows_text[16];
};

static void set_problem(struct node *node, const char *text)
{
    snprintf(node->problem, sizeof(node->problem), "%.*s", (int)sizeof(node->problem) - 1, text);
}

static bool is_here(const struct view *v, const struct sc_member *member)
{
    return v->config->node != NULL && strcmp(v->config->node, member->name) == 0;
}

/* The words of a node's ask. False, with its problem, when it cannot be asked. */
static bool prepare(struct view *v, struct node *node)
{
    const char *ssh = v->request->ssh != NULL ? v->request->ssh : getenv("SC_SSH");
    struct sc_error err = {0};
    bool here = is_here(v, node->member), room = true;
    sc_buf_free(&node->ask.answer);
    sc_buf_free(&node->ask.errors);
    free(node->ssh);
    node->ask = (struct sc_ask){.pid = -1};
    node->ssh = strdup(ssh == NULL ? "ssh" : ssh);
    if (node->ssh == NULL ||
        (!here && sc_ask_ssh(&node->ask, node->ssh, node->member->address.host, &err) != SC_OK)) {
        set_problem(node, node->ssh == NULL ? "out of memory" : err.message);
        return false;
    }
    const char *words[] = {here ? v->program : "sc-admin", "status", "--json", "--windows", v->windows_text};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        room = room && sc_ask_word(&node->ask, words[i]);
    if (here && v->request->config_file != NULL)
        room = room && sc_ask_word(&node->ask, "-c") && sc_ask_word(&node->ask, v->request->config_file);
    if (here && v->request->store != NULL)
        room = room && sc_ask_word(&node->ask, v->request->store);
    if (!room)
        set_problem(node, "the ssh command has too many words");
    return room;
}

/* The first or the last line of what a program wrote to stderr that says something. */
static void telling_line(const struct sc_buf *errors, bool last, char *out, size_t size)
{
    const char *p = errors->len == 0 ? "" : (const char *)errors->data, *end = p + errors->len;
    out[0] = '\0';
    while (p < end && (last || out[0] == '\0')) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop == NULL ? end : stop) - p);
        length = length > 0 && p[length - 1] == '\r' ? length - 1 : length;
        if (length > 0)
            snprintf(out, size, "%.*s", (int)length, p);
        p = stop == NULL ? end : stop + 1;
    }
}

static void explain_silence(const struct view *v, struct node *node)
{
    const struct sc_ask *ask = &node->ask;
    char line[PROBLEM_MAX - 64], text[PROBLEM_MAX];
    uint64_t ms = v->request->timeout_ms;
    bool whole = ms % 1000 == 0;
    telling_line(&ask->errors, ask->exit == 255, line, sizeof(line));
    if (ask->failed != 0)
        snprintf(text, sizeof(text), "cannot run %.200s: %s", ask->words[0], strerror(ask->failed));
    else if (ask->timed_out)
        snprintf(text, sizeof(text), "no answer within %" PRIu64 " %s", whole ? ms / 1000 : ms,
                 whole ? "s" : "ms");
    else if (ask->too_long)
        snprintf(text, sizeof(text), "its answer is longer than any that makes sense");
    else if (line[0] != '\0')
        snprintf(text, sizeof(text), "%s", line);
    else
        snprintf(text, sizeof(text), "no status came, exit status %d", ask->exit);
    set_problem(node, text);
}

/* Takes over what a node answered. Holdings of an earlier round stay when it has none to tell now. */
static void read_answer(const struct view *v, struct node *node)
{
    struct sc_error err = {0};
    struct sc_holdings held;
    json_t *root = NULL;
    if (node->ask.failed == 0 && !node->ask.timed_out && !node->ask.too_long && node->ask.answer.len != 0)
        root = json_loadb((const char *)node->ask.answer.data, node->ask.answer.len, JSON_DISABLE_EOF_CHECK,
                          NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        explain_silence(v, node);
        return;
    }
    json_decref(node->root);
    node->root = root;
    const char *problem = json_string_value(json_object_get(root, "problem"));
    const char *held_problem = json_string_value(json_object_get(root, "held_problem"));
    if (problem != NULL)
        set_problem(node, problem);
    else if (!json_is_object(json_object_get(root, "store")))
        set_problem(node, "its answer makes no sense; is it of another version?");
    if (sc_holdings_from_json(json_object_get(root, "held"), &held, &err) == SC_OK) {
        sc_holdings_free(&node->held);
        node->held = held;
        node->has_held = true;
    } else if (node->problem[0] == '\0') {
        set_problem(node, held_problem != NULL ? held_problem : err.message);
    }
}

/* Asks all that have no problem yet. */
static enum sc_status ask_nodes(struct view *v, struct sc_error *err)
{
    struct sc_ask asks[MOST_NODES];
    uint32_t of[MOST_NODES], count = 0;
    if (v->cluster.count > MOST_NODES)
        return sc_fail(err, SC_LIMIT, "more than %u members", MOST_NODES);
    for (uint32_t i = 0; i < v->cluster.count; i++) {
        struct node *node = &v->nodes[i];
        if (node->problem[0] != '\0' || !prepare(v, node))
            continue;
        asks[count] = node->ask;
        of[count++] = i;
    }
    sc_ask_all(asks, count, v->request->timeout_ms);
    for (uint32_t i = 0; i < count; i++) {
        v->nodes[of[i]].ask = asks[i];
        read_answer(v, &v->nodes[of[i]]);
    }
    return SC_OK;
}

/* ---- comparing ---- */

static uint64_t integer(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static enum sc_status compare(struct view *v, struct sc_error *err)
{
    const struct sc_holdings *held[MOST_NODES];
    uint64_t horizon = 0;
    for (uint32_t i = 0; i < v->cluster.count; i++) {
        struct node *node = &v->nodes[i];
        held[i] = node->has_held ? &node->held : NULL;
        if (integer(node->root, "horizon_ms") > horizon)
            horizon = integer(node->root, "horizon_ms");
    }
    free(v->windows);
    v->windows = NULL;
    if (sc_copies_compare(held, v->cluster.count, v->cluster.replication, v->request->windows, horizon,
                          &v->windows, &v->window_count) != SC_OK)
        return sc_fail_nomem(err, "the comparison");
    return SC_OK;
}

static uint64_t missing_of(const struct view *v)
{
    uint64_t missing = 0;
    for (uint32_t i = 0; i < v->window_count; i++)
        missing += v->windows[i].missing;
    return missing;
}

/*
 * Nodes answer at different moments: what the tallies of one call safe may have come to another after it had answered. So when
 * something seems to be missing, what is held is asked for again and compared with the tallies that were told before.
 */
static enum sc_status compare_again(struct view *v, struct sc_error *err)
{
    struct sc_holdings before[MOST_NODES];
    for (uint32_t i = 0; i < v->cluster.count; i++) {
        before[i] = v->nodes[i].held;
        v->nodes[i].held = (struct sc_holdings){0};
    }
    enum sc_status status = ask_nodes(v, err);
    for (uint32_t i = 0; i < v->cluster.count; i++) {
        struct sc_holdings *now = &v->nodes[i].held;
        struct sc_holdings tallies = *now;
        if (v->nodes[i].problem[0] != '\0' && now->list == NULL) { /* it fell silent in between */
            *now = before[i];
            continue;
        }
        now->tallies = before[i].tallies;
        now->tally_count = before[i].tally_count;
        before[i].tallies = tallies.tallies;
        before[i].tally_count = tallies.tally_count;
        sc_holdings_free(&before[i]);
    }
    return status == SC_OK ? compare(v, err) : status;
}

/* ---- what a node is ---- */

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "-" : value;
}

static bool runs(const struct node *node)
{
    return json_is_object(json_object_get(node->root, "store"));
}

static const char *state_of(const struct node *node)
{
    return node->root == NULL ? "UNREACHABLE" : runs(node) ? "up" : "DOWN";
}

static const char *role_of(const struct sc_member *m)
{
    return m->proxy && m->subcollector ? "both" : m->proxy ? "proxy" : "subcollector";
}

/* Ms from the last durable moment of its store to its answer, by its own clock; UINT64_MAX: none was. */
static uint64_t lag_of(const struct node *node)
{
    struct sc_civil c = {0};
    uint64_t now = integer(node->root, "now_ms");
    if (sscanf(text(json_object_get(node->root, "store"), "last_sync"), "%d-%2u-%2uT%2u:%2u:%2u.%3uZ",
               &c.year, &c.month, &c.day, &c.hour, &c.minute, &c.second, &c.millisecond) != 7)
        return UINT64_MAX;
    uint64_t then = (uint64_t)sc_time_from_civil(&c);
    return now > then ? now - then : 0;
}

/* How many of the proxies that answered give batches to the member. */
static void taken_by(const struct view *v, const struct sc_member *member, uint32_t *usable,
                     uint32_t *proxies)
{
    *usable = *proxies = 0;
    for (uint32_t i = 0; i < v->cluster.count; i++) {
        const json_t *cluster = json_object_get(v->nodes[i].root, "cluster"), *m;
        size_t k;
        json_array_foreach(json_object_get(cluster, "members"), k, m)
        {
            if (strcmp(text(m, "name"), member->name) != 0 || json_object_get(m, "usable") == NULL)
                continue;
            ++*proxies;
            *usable += json_is_true(json_object_get(m, "usable"));
        }
    }
}

/* The membership and program versions that differ from here; false when none does. */
static bool versions_differ(const struct view *v, const struct node *node, char *out, size_t size)
{
    const json_t *cluster = json_object_get(node->root, "cluster");
    const char *program = text(node->root, "version");
    out[0] = '\0';
    if (runs(node) && cluster == NULL)
        snprintf(out, size, "its collector is no member of a cluster");
    else if (cluster != NULL && integer(cluster, "version") != v->cluster.version)
        snprintf(out, size, "its collector has version %" PRIu64 " of the membership file, not %" PRIu64,
                 integer(cluster, "version"), v->cluster.version);
    else if (cluster != NULL && strcmp(text(cluster, "node"), node->member->name) != 0)
        snprintf(out, size, "it takes itself for member %.64s", text(cluster, "node"));
    else if (node->root != NULL && strcmp(program, SC_VERSION) != 0)
        snprintf(out, size, "it runs version %.32s, not " SC_VERSION, program);
    return out[0] != '\0';
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

static void format_outbox(const struct node *node, char *out, size_t size, char *oldest, size_t oldest_size)
{
    const json_t *proxy = json_object_get(json_object_get(node->root, "cluster"), "proxy");
    uint64_t written = integer(node->root, "outbox_oldest_ms"), now = integer(node->root, "now_ms");
    char bytes[16];
    snprintf(out, size, "-");
    snprintf(oldest, oldest_size, "-");
    if (proxy == NULL)
        return;
    sc_units_format_bytes(integer(proxy, "outbox_bytes"), bytes, sizeof(bytes));
    snprintf(out, size, "%s, %" PRIu64, bytes, integer(proxy, "waiting_batches"));
    if (integer(proxy, "waiting_batches") != 0 && written != 0)
        format_ms(now > written ? now - written : 0, oldest, oldest_size);
}

static void print_node(const struct view *v, const struct node *node)
{
    const json_t *store = json_object_get(node->root, "store"),
                 *cluster = json_object_get(node->root, "cluster");
    char space[16] = "-", lag[24], outbox[40], oldest[24], taken[24] = "-", version[24] = "-";
    uint32_t usable, proxies;
    format_ms(lag_of(node), lag, sizeof(lag));
    format_outbox(node, outbox, sizeof(outbox), oldest, sizeof(oldest));
    taken_by(v, node->member, &usable, &proxies);
    if (runs(node))
        sc_units_format_bytes(integer(store, "free_bytes"), space, sizeof(space));
    if (node->member->subcollector && proxies != 0)
        snprintf(taken, sizeof(taken), "%u of %u", usable, proxies);
    if (cluster != NULL)
        snprintf(version, sizeof(version), "%" PRIu64, integer(cluster, "version"));
    printf("%-24.24s %-12s %-11s %10s %8s %20s %8s %9s %8s\n", node->member->name, role_of(node->member),
           state_of(node), space, lag, outbox, oldest, taken, version);
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

static void print_problems(const struct view *v)
{
    char differs[160];
    for (uint32_t i = 0; i < v->cluster.count; i++) {
        const struct node *node = &v->nodes[i];
        if (node->problem[0] != '\0')
            print_problem(node->member->name, node->problem);
        if (versions_differ(v, node, differs, sizeof(differs)))
            print_problem(node->member->name, differs);
        if (node->held.unreadable != 0) {
            snprintf(differs, sizeof(differs),
                     "%u files or row groups are damaged; run sc-admin verify there", node->held.unreadable);
            print_problem(node->member->name, differs);
        }
    }
}

static void print_windows(const struct view *v)
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

static void print_text(const struct view *v)
{
    printf("cluster   %u members, %u copies, version %" PRIu64 " of the membership file\n\n",
           v->cluster.count, v->cluster.replication, v->cluster.version);
    printf("%-24s %-12s %-11s %10s %8s %20s %8s %9s %8s\n", "node", "role", "state", "free", "lag",
           "outbox, batches", "oldest", "taken by", "version");
    for (uint32_t i = 0; i < v->cluster.count; i++)
        print_node(v, &v->nodes[i]);
    print_problems(v);
    print_windows(v);
}

/* ---- as JSON ---- */

static json_t *node_json(const struct view *v, const struct node *node)
{
    char differs[160];
    uint32_t usable, proxies;
    uint64_t lag = lag_of(node);
    json_t *object = json_object(), *status = json_deep_copy(node->root);
    taken_by(v, node->member, &usable, &proxies);
    bool other = versions_differ(v, node, differs, sizeof(differs));
    json_object_del(status, "held");
    json_object_set_new(object, "name", json_string(node->member->name));
    json_object_set_new(object, "host", json_string(node->member->address.host));
    json_object_set_new(object, "role", json_string(role_of(node->member)));
    json_object_set_new(object, "reachable", json_boolean(node->root != NULL));
    json_object_set_new(object, "running", json_boolean(runs(node)));
    json_object_set_new(object, "problem",
                        node->problem[0] == '\0' ? json_null() : json_string(node->problem));
    json_object_set_new(object, "differs", other ? json_string(differs) : json_null());
    json_object_set_new(object, "lag_ms", lag == UINT64_MAX ? json_null() : json_integer((json_int_t)lag));
    json_object_set_new(object, "unreadable", json_integer(node->held.unreadable));
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

static bool print_json(const struct view *v, bool well)
{
    json_t *root = json_object(), *nodes = json_array(), *windows = json_array();
    for (uint32_t i = 0; i < v->cluster.count; i++)
        json_array_append_new(nodes, node_json(v, &v->nodes[i]));
    for (uint32_t i = 0; i < v->window_count; i++)
        json_array_append_new(windows, window_json(&v->windows[i]));
    json_object_set_new(root, "version", json_integer((json_int_t)v->cluster.version));
    json_object_set_new(root, "replication", json_integer(v->cluster.replication));
    json_object_set_new(root, "well", json_boolean(well));
    json_object_set_new(root, "nodes", nodes);
    json_object_set_new(root, "windows", windows);
    int failed = json_dumpf(root, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    json_decref(root);
    putchar('\n');
    return failed == 0;
}

/* ---- all of it ---- */

static int report(const struct view *v)
{
    uint32_t reached = 0, well = 0;
    for (uint32_t i = 0; i < v->cluster.count; i++) {
        reached += v->nodes[i].root != NULL;
        well += v->nodes[i].problem[0] == '\0';
    }
    bool all = well == v->cluster.count && missing_of(v) == 0;
    bool written = true;
    if (v->request->json)
        written = print_json(v, all);
    else
        print_text(v);
    if (!written || fflush(stdout) != 0)
        return fail(EXIT_NOTHING, "cannot write the status");
    return reached == 0 ? EXIT_NOTHING : all ? EXIT_ALL_WELL : EXIT_NOT_WELL;
}

static void free_view(struct view *v)
{
    for (uint32_t i = 0; i < v->cluster.count && v->nodes != NULL; i++) {
        struct node *node = &v->nodes[i];
        sc_buf_free(&node->ask.answer);
        sc_buf_free(&node->ask.errors);
        free(node->ssh);
        json_decref(node->root);
        sc_holdings_free(&node->held);
    }
    free(v->nodes);
    free(v->windows);
    sc_cluster_free(&v->cluster);
}

static enum sc_status look(struct view *v, struct sc_error *err)
{
    ssize_t length = readlink("/proc/self/exe", v->program, sizeof(v->program) - 1);
    if (length <= 0)
        return sc_fail_errno(err, errno, "cannot find out which program this is");
    v->program[length] = '\0';
    snprintf(v->windows_text, sizeof(v->windows_text), "%u", v->request->windows);
    v->nodes = calloc(v->cluster.count, sizeof(*v->nodes));
    if (v->nodes == NULL)
        return sc_fail_nomem(err, "the nodes");
    for (uint32_t i = 0; i < v->cluster.count; i++)
        v->nodes[i].member = &v->cluster.members[i];
    SC_TRY(ask_nodes(v, err));
    SC_TRY(compare(v, err));
    return missing_of(v) == 0 ? SC_OK : compare_again(v, err);
}

int sc_admin_cluster_status(const struct sc_admin_cluster *request, const struct sc_config *config)
{
    const char *file = request->file != NULL ? request->file : config->cluster;
    struct view v = {.request = request, .config = config};
    struct sc_error err = {0};
    if (file == NULL)
        return fail(EXIT_BAD_USAGE,
                    "which cluster? The configuration names no membership file; give --cluster=FILE");
    if (sc_cluster_load(file, &v.cluster, &err) != SC_OK)
        return fail(EXIT_BAD_USAGE, err.message);
    int code = look(&v, &err) == SC_OK ? report(&v) : fail(EXIT_NOTHING, err.message);
    free_view(&v);
    return code;
}
