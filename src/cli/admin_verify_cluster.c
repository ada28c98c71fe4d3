// SPDX-License-Identifier: BSD-3-Clause
/* sc-admin verify --cluster: all subcollectors read their stores, and what they lack together or each is told; and what one of them
 * answers. */
#include "base/clock.h"
#include "base/text.h"
#include "cli/admin.h"
#include "cluster/json_number.h"
#include "cluster/verification.h"
#include "relay/healer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_ALL_WELL = 0, EXIT_NOTHING = 1, EXIT_BAD_USAGE = 2, EXIT_NOT_WELL = 3 };

#define MOST_LINES 20u /* of a kind; --json has all */
#define LOOK_MS    1000u
#define NICE       10

static int fail(int code, const char *message)
{
    sc_say(stderr, "sc-admin:", message);
    return code;
}

/* ---- what a member answers ---- */

/* A line for each hundredth: who asks sees that it goes on, and no connection falls asleep. */
static void tell_hundredths(void *arg, uint64_t bytes, uint64_t of_bytes)
{
    unsigned *told = arg;
    for (; of_bytes != 0 && *told < (unsigned)((double)bytes / (double)of_bytes * 100); ++*told)
        putchar('\n');
    fflush(stdout);
}

int sc_admin_verify_member(const struct sc_config *config)
{
    struct sc_error err = {0};
    json_t *request;
    unsigned told = 0;
    if (sc_admin_read_request(&request, &err) != SC_OK)
        return fail(EXIT_NOTHING, err.message);
    const struct sc_retention retention = {.age_s = config->retention_age_s,
                                           .bytes = config->retention_bytes};
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* the collector goes first */
    json_t *answer =
        sc_verification_answer(config->store, config->node, &retention, request, tell_hundredths, &told);
    json_decref(request);
    return sc_admin_write_json(answer) ? EXIT_SUCCESS : fail(EXIT_NOTHING, "cannot write the answer");
}

/* ---- meanwhile ---- */

static void show_reading(void *arg, const struct sc_survey_node *const *nodes, const struct sc_ask *asks,
                         uint32_t count)
{
    uint64_t *next_ms = arg, now_ms = sc_clock_mono_ms();
    const char *before = "\r\033[Kreading: ";
    if (now_ms < *next_ms)
        return;
    *next_ms = now_ms + LOOK_MS;
    for (uint32_t i = 0; i < count; i++) {
        if (asks[i].pid < 0)
            continue;
        size_t hundredths = asks[i].answer.len < 100 ? asks[i].answer.len : 100;
        fprintf(stderr, "%s%s %zu %%", before, nodes[i]->member->name, hundredths);
        before = ", ";
    }
}

/* ---- what each is ---- */

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "" : value;
}

static const char *failed_of(const struct sc_verified_member *m)
{
    return text(m->answer, "failed");
}

static bool cannot_read(const struct sc_verified_member *m)
{
    return m->unreadable != 0 || failed_of(m)[0] != '\0';
}

static const char *state_of(const struct sc_survey_node *node, const struct sc_verified_member *m)
{
    return node->problem[0] != '\0'    ? "SILENT"
           : sc_verified_is_damaged(m) ? "DAMAGED"
           : m->absent != 0            ? "LACKS"
                                       : "whole";
}

static bool all_answered(const struct sc_verification *v)
{
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        if (v->survey.nodes[i].problem[0] != '\0')
            return false;
    }
    return true;
}

static bool any_told(const struct sc_verification *v)
{
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        if (v->members[i].told)
            return true;
    }
    return false;
}

static bool is_well(const struct sc_verification *v)
{
    bool well = all_answered(v) && v->lack_count == 0 && v->missing_count == 0;
    for (uint32_t i = 0; i < v->survey.cluster->count; i++)
        well = well && !sc_verified_is_damaged(&v->members[i]);
    return well;
}

/* The member whose lane it is, or was. */
static void name_lane(const struct sc_verification *v, uint32_t lane, char *out, size_t size)
{
    uint32_t i = sc_cluster_find_lane(v->survey.cluster, lane);
    if (i == SC_NO_MEMBER)
        snprintf(out, size, "%08" PRIx32, lane);
    else
        snprintf(out, size, "%s", v->survey.cluster->members[i].name);
}

/* ---- as text ---- */

/* Lines of a kind: those that are too many are counted. */
struct lines {
    const char *kind;
    uint64_t count;
};

static void print_line(struct lines *lines, const char *words)
{
    struct sc_buf line = {0};
    if (lines->count++ >= MOST_LINES)
        return;
    sc_buf_append_visible(&line, words, strlen(words));
    if (sc_buf_ok(&line))
        printf("%-9s %.*s\n", lines->kind, (int)line.len, (const char *)line.data);
    sc_buf_free(&line);
}

static void say(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct lines *lines, const char *format, ...)
{
    char words[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    print_line(lines, words);
}

static void end_lines(const struct lines *lines, uint64_t untold)
{
    uint64_t more = untold + (lines->count > MOST_LINES ? lines->count - MOST_LINES : 0);
    if (more != 0)
        printf("%-9s ... and %" PRIu64 " more (--json)\n", lines->kind, more);
}

static void print_member(const struct sc_survey_node *node, const struct sc_verified_member *m)
{
    const json_t *a = m->answer;
    if (!m->told)
        printf("%-24.24s %10s %12s %14s %14s %14s %14s  %s\n", node->member->name, "-", "-", "-", "-", "-",
               "-", state_of(node, m));
    else
        printf("%-24.24s %10" PRIu64 " %12" PRIu64 " %14" PRIu64 " %14" PRIu64 " %14" PRIu64 " %14" PRIu64
               "  %s\n",
               node->member->name, sc_json_number(a, "files"), sc_json_number(a, "row_groups"),
               sc_json_number(a, "records"), sc_json_number(a, "damaged_files"), m->damaged_batches,
               m->absent, state_of(node, m));
}

static void print_members(const struct sc_verification *v)
{
    printf("%-24s %10s %12s %14s %14s %14s %14s  %s\n", "node", "files", "row groups", "records",
           "damaged files", "damaged batch.", "lacking batch.", "state");
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        if (!v->survey.nodes[i].left_out)
            print_member(&v->survey.nodes[i], &v->members[i]);
    }
}

static void print_problems(const struct sc_verification *v)
{
    struct lines lines = {.kind = "SILENT"}, unread = {.kind = "UNREAD"};
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        const char *name = v->survey.cluster->members[i].name;
        const struct sc_verified_member *m = &v->members[i];
        if (v->survey.nodes[i].problem[0] != '\0')
            say(&lines, "%s does not answer: %s", name, v->survey.nodes[i].problem);
        if (failed_of(m)[0] != '\0')
            say(&unread, "%s cannot examine all: %s", name, failed_of(m));
        if (m->unreadable != 0)
            say(&unread, "%s cannot read %u of its tallies, accepted losses or folders", name, m->unreadable);
    }
    end_lines(&lines, 0);
    end_lines(&unread, 0);
}

static void print_finding(struct lines *lines, const char *name, const json_t *finding)
{
    const char *path = text(finding, "path"), *what = text(finding, "text");
    bool repeats = strncmp(what, path, strlen(path)) == 0; /* some begin with the path themselves */
    say(lines, "%s: %s%s%s", name, repeats ? "" : path, repeats ? "" : ": ", what);
}

static void print_findings(const struct sc_verification *v)
{
    struct lines lines = {.kind = "DAMAGED"};
    uint64_t untold = 0;
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        size_t k;
        const json_t *one;
        json_array_foreach(json_object_get(v->members[i].answer, "findings"), k, one)
            print_finding(&lines, v->survey.cluster->members[i].name, one);
        untold += sc_json_number(v->members[i].answer, "more_findings");
    }
    end_lines(&lines, untold);
}

static void print_lack(const struct sc_verification *v, struct lines *lines, const struct sc_lack *lack)
{
    char when[32], lane[SC_CLUSTER_NAME_MAX], damaged[64] = "", left[80];
    bool all = lack->absent == 0;
    sc_time_format_utc(lack->window_ms, when, sizeof(when));
    name_lane(v, lack->lane, lane, sizeof(lane));
    if (lack->damaged != 0 && !all)
        snprintf(damaged, sizeof(damaged), " (%" PRIu64 " of them damaged)", lack->damaged);
    if (lack->left == 0)
        snprintf(left, sizeof(left), "no whole copy is left of some or all");
    else
        snprintf(left, sizeof(left), "%u whole cop%s left elsewhere", lack->left,
                 lack->left == 1 ? "y is" : "ies are");
    say(lines, "%s: window %s: %" PRIu64 " %sbatches%s of lane %s; %s",
        v->survey.cluster->members[lack->member].name, when, lack->absent + lack->damaged,
        all ? "damaged " : "", damaged, lane, left);
}

static void print_lacks(const struct sc_verification *v)
{
    struct lines lacks = {.kind = "LACKS"}, missing = {.kind = "MISSING"};
    char when[32];
    for (uint32_t i = 0; i < v->lack_count; i++)
        print_lack(v, &lacks, &v->lacks[i]);
    end_lines(&lacks, 0);
    for (uint32_t i = 0; i < v->missing_count; i++)
        say(&missing, "%s", v->missing[i]);
    end_lines(&missing, 0);
    if (v->known_lost.batches != 0)
        printf("%-9s %" PRIu64 " batches with %" PRIu64 " records were accepted as lost\n", "lost",
               v->known_lost.batches, v->known_lost.records);
    sc_time_format_utc(v->kept_since_ms, when, sizeof(when));
    if (v->kept_since_ms != 0)
        printf("%-9s of windows before %s some or all were deleted on purpose\n", "kept", when);
}

/* What brings it back: who has damage repairs, which pulls; who lacks something pulls; what nobody has is to be searched for. */
static void print_advice(const struct sc_verification *v)
{
    struct lines lines = {.kind = "do"};
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        const struct sc_verified_member *m = &v->members[i];
        const char *name = v->survey.cluster->members[i].name;
        if (sc_json_number(m->answer, "damaged_files") != 0)
            say(&lines, "on %s: sc-admin repair --cluster %s", name, text(m->answer, "store"));
        else if (m->absent != 0)
            say(&lines, "on %s, while its collector runs: sc-admin heal", name);
        if (cannot_read(m))
            say(&lines,
                "on %s: mend what it cannot read, as UNREAD says; then sc-admin verify --cluster, again",
                name);
    }
    if (!all_answered(v))
        say(&lines, "once those that are silent answer: sc-admin verify --cluster, again");
    else if (v->missing_count != 0)
        say(&lines, "when no store and no outbox has it any more: sc-admin accept-loss --cluster");
    end_lines(&lines, 0);
}

static void print_text(const struct sc_verification *v)
{
    char when[32], left[32];
    sc_time_format_utc(v->over_ms, when, sizeof(when));
    sc_time_format_utc(v->left_from_ms, left, sizeof(left));
    print_members(v);
    putchar('\n');
    print_problems(v);
    print_findings(v);
    print_lacks(v);
    print_advice(v);
    printf("%s: windows that were over by %s, with %u copies\n", is_well(v) ? "whole" : "NOT WHOLE", when,
           v->survey.cluster->replication);
    if (v->left_from_ms != 0)
        printf("left out is what may not have been over by then, from %s on\n", left);
    if (!all_answered(v))
        puts("at least so much lacks, and what is missing may be with those that are silent");
}

/* ---- as JSON ---- */

static json_t *member_json(const struct sc_survey_node *node, const struct sc_verified_member *m)
{
    static const char *const taken[] = {"store",         "files",  "row_groups", "records",
                                        "damaged_files", "failed", "findings",   "more_findings"};
    json_t *out = json_object();
    json_object_set_new(out, "name", json_string(node->member->name));
    json_object_set_new(out, "state", json_string(state_of(node, m)));
    json_object_set_new(out, "problem", node->problem[0] == '\0' ? json_null() : json_string(node->problem));
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        json_t *value = json_object_get(m->answer, taken[i]);
        if (value != NULL)
            json_object_set(out, taken[i], value);
    }
    json_object_set_new(out, "unreadable", json_integer(m->unreadable));
    json_object_set_new(out, "damaged_batches", json_integer((json_int_t)m->damaged_batches));
    json_object_set_new(out, "lacking_batches", json_integer((json_int_t)m->absent));
    return out;
}

static json_t *lack_json(const struct sc_verification *v, const struct sc_lack *lack)
{
    char when[32], lane[SC_CLUSTER_NAME_MAX];
    sc_time_format_utc(lack->window_ms, when, sizeof(when));
    name_lane(v, lack->lane, lane, sizeof(lane));
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:i}", "node", v->survey.cluster->members[lack->member].name,
                     "window", when, "lane", lane, "lacking", (json_int_t)lack->absent, "damaged",
                     (json_int_t)lack->damaged, "copies_left", (int)lack->left);
}

static bool print_json(const struct sc_verification *v)
{
    char when[32], left[32], since[32];
    json_t *nodes = json_array(), *lacks = json_array(), *missing = json_array();
    sc_time_format_utc(v->over_ms, when, sizeof(when));
    sc_time_format_utc(v->left_from_ms, left, sizeof(left));
    sc_time_format_utc(v->kept_since_ms, since, sizeof(since));
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        if (!v->survey.nodes[i].left_out)
            json_array_append_new(nodes, member_json(&v->survey.nodes[i], &v->members[i]));
    }
    for (uint32_t i = 0; i < v->lack_count; i++)
        json_array_append_new(lacks, lack_json(v, &v->lacks[i]));
    for (uint32_t i = 0; i < v->missing_count; i++)
        json_array_append_new(missing, json_string(v->missing[i]));
    return sc_admin_write_json(json_pack(
        "{s:b, s:b, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:{s:I, s:I}}", "well", (int)is_well(v),
        "all_answered", (int)all_answered(v), "over_by", when, "left_out_from",
        v->left_from_ms == 0 ? json_null() : json_string(left), "kept_since",
        v->kept_since_ms == 0 ? json_null() : json_string(since), "replication",
        (int)v->survey.cluster->replication, "nodes", nodes, "lacks", lacks, "missing", missing, "known_lost",
        "batches", (json_int_t)v->known_lost.batches, "records", (json_int_t)v->known_lost.records));
}

/* ---- all of it ---- */

static int report(const struct sc_verification *v, bool json)
{
    bool written = true;
    if (json)
        written = print_json(v);
    else
        print_text(v);
    if (!written || fflush(stdout) != 0)
        return fail(EXIT_NOTHING, "cannot write what was found");
    return !any_told(v) ? EXIT_NOTHING : is_well(v) ? EXIT_ALL_WELL : EXIT_NOT_WELL;
}

static int run(const struct sc_survey_options *options, const struct sc_cluster *cluster, bool json)
{
    struct sc_verification v;
    struct sc_error err = {0};
    enum sc_status status = sc_verification_run(&v, options, cluster, SC_HEALER_SETTLE_MS, &err);
    if (options->watch != NULL)
        fprintf(stderr, "\r\033[K");
    int code = status == SC_OK ? report(&v, json) : fail(EXIT_NOTHING, err.message);
    sc_verification_free(&v);
    return code;
}

int sc_admin_verify_cluster(const struct sc_admin_cluster *request, const struct sc_config *config)
{
    char program[4096];
    uint64_t next_ms = 0;
    const char *here[6] = {program, "verify", "--member"};
    const char *const there[] = {"sc-admin", "verify", "--member", NULL};
    const struct sc_survey_options options = {.node = config->node,
                                              .ssh = sc_admin_ssh(request),
                                              .here = here,
                                              .there = there,
                                              .timeout_ms = request->timeout_ms,
                                              .subcollectors = true,
                                              .watch = isatty(STDERR_FILENO) ? show_reading : NULL,
                                              .watch_arg = &next_ms};
    struct sc_cluster cluster;
    struct sc_error err = {0};
    if (sc_admin_members(request, config, &cluster, &err) != SC_OK)
        return fail(EXIT_BAD_USAGE, err.message);
    int code = EXIT_BAD_USAGE;
    if (request->config_file != NULL) {
        here[3] = "-c";
        here[4] = request->config_file;
    }
    if (sc_admin_own_path(program, sizeof(program), &err) == SC_OK)
        code = run(&options, &cluster, request->json);
    else
        fail(code, err.message);
    sc_cluster_free(&cluster);
    return code;
}
