// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/survey.h"

#include "base/clock.h"
#include "cluster/horizons_told.h"
#include "cluster/json_number.h"
#include "cluster/ssh.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "-" : value;
}

/* ---- asking ---- */

void sc_survey_set_problem(struct sc_survey_node *node, const char *text)
{
    snprintf(node->problem, sizeof(node->problem), "%.*s", (int)sizeof(node->problem) - 1, text);
}

/* The words of a node's ask. False, with its problem, when it cannot be asked. */
static bool prepare(const struct sc_survey *v, struct sc_survey_node *node, const char *input)
{
    const struct sc_survey_options *o = &v->options;
    struct sc_error err = {0};
    bool here = o->node != NULL && strcmp(o->node, node->member->name) == 0, room = true;
    sc_buf_free(&node->ask.answer);
    sc_buf_free(&node->ask.errors);
    free(node->ssh);
    node->ask = (struct sc_ask){.pid = -1, .input = input};
    node->ssh = strdup(o->ssh);
    if (node->ssh == NULL ||
        (!here && sc_ssh_words(&node->ask, node->ssh, node->member->address.host, &err) != SC_OK)) {
        sc_survey_set_problem(node, node->ssh == NULL ? "out of memory" : err.message);
        return false;
    }
    for (const char *const *word = here ? o->here : o->there; *word != NULL; word++)
        room = room && sc_ask_word(&node->ask, *word);
    if (!room)
        sc_survey_set_problem(node, "the ssh command has too many words");
    return room;
}

static void explain_silence(const struct sc_survey *v, struct sc_survey_node *node)
{
    const struct sc_ask *ask = &node->ask;
    char line[SC_SURVEY_PROBLEM_MAX - 64], text[SC_SURVEY_PROBLEM_MAX];
    uint64_t ms = v->options.timeout_ms;
    bool whole = ms % 1000 == 0;
    sc_ask_line(&ask->errors, ask->exit == 255, line, sizeof(line));
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
    sc_survey_set_problem(node, text);
}

static void take_answer(const struct sc_survey *v, struct sc_survey_node *node)
{
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
    node->answered = true;
}

/* What the status of a node says. Holdings of an earlier round stay when it has none to tell now. */
static void read_status(struct sc_survey_node *node)
{
    struct sc_error err = {0};
    struct sc_holdings held;
    json_t *root = node->root;
    const char *problem = json_string_value(json_object_get(root, "problem"));
    const char *held_problem = json_string_value(json_object_get(root, "held_problem"));
    if (problem != NULL)
        sc_survey_set_problem(node, problem);
    else if (!json_is_object(json_object_get(root, "store")))
        sc_survey_set_problem(node, "its answer makes no sense; is it of another version?");
    if (sc_holdings_from_json(json_object_get(root, "held"), &held, &err) == SC_OK) {
        sc_holdings_free(&node->held);
        node->held = held;
        node->has_held = true;
    } else if (node->problem[0] == '\0') {
        sc_survey_set_problem(node, held_problem != NULL ? held_problem : err.message);
    }
}

bool sc_survey_is_well(const struct sc_survey_node *node)
{
    return node->problem[0] == '\0' && !node->left_out;
}

struct watching {
    const struct sc_survey *survey;
    const struct sc_survey_node *const *nodes;
};

static void watch(void *arg, const struct sc_ask *asks, uint32_t count)
{
    const struct watching *w = arg;
    w->survey->options.watch(w->survey->options.watch_arg, w->nodes, asks, count);
}

/* Without memory nobody is asked, which is a problem of each. */
void sc_survey_ask(struct sc_survey *v, const char *input)
{
    struct sc_ask *asks = malloc(((size_t)v->cluster->count + 1) * sizeof(*asks));
    struct sc_survey_node **of = malloc(((size_t)v->cluster->count + 1) * sizeof(struct sc_survey_node *));
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        struct sc_survey_node *node = &v->nodes[i];
        node->answered = false;
        if (!sc_survey_is_well(node) || !prepare(v, node, input))
            continue;
        if (asks == NULL || of == NULL) {
            sc_survey_set_problem(node, "out of memory");
            continue;
        }
        asks[count] = node->ask;
        of[count++] = node;
    }
    struct watching watching = {v, (const struct sc_survey_node *const *)of};
    if (count != 0)
        sc_ask_all_watched(asks, count, v->options.timeout_ms, v->options.watch == NULL ? NULL : watch,
                           &watching);
    for (uint32_t i = 0; i < count; i++) {
        of[i]->ask = asks[i];
        take_answer(v, of[i]);
    }
    free(asks);
    free(of);
}

/* ---- asking for more than the status ---- */

/* Two names of one machine would stand for two stores, and what lies in the other one would seem lost. */
static bool is_another(struct sc_survey_node *node)
{
    const char *name = json_string_value(json_object_get(node->root, "node"));
    char text[SC_SURVEY_PROBLEM_MAX];
    if (name != NULL && strcmp(name, node->member->name) == 0)
        return false;
    if (name == NULL)
        snprintf(text, sizeof(text), "its answer makes no sense, or its configuration names no node");
    else
        snprintf(text, sizeof(text), "it takes itself for member %.64s", name);
    sc_survey_set_problem(node, text);
    return true;
}

/* Who was to tell something and did not is not taken for one that has nothing. */
static void read_held(struct sc_survey_node *node)
{
    struct sc_error err;
    struct sc_holdings held;
    if (sc_holdings_from_json(json_object_get(node->root, "held"), &held, &err) != SC_OK) {
        sc_survey_set_problem(node, err.message);
        return;
    }
    sc_holdings_free(&node->held);
    node->held = held;
    node->has_held = true;
}

static void read_answer(struct sc_survey_node *node, bool with_held)
{
    const char *problem = json_string_value(json_object_get(node->root, "problem"));
    if (is_another(node))
        return;
    if (problem != NULL)
        sc_survey_set_problem(node, problem);
    else if (with_held)
        read_held(node);
}

enum sc_status sc_survey_request(struct sc_survey *v, json_t *request, bool with_held, struct sc_error *err)
{
    char *text = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text == NULL)
        return sc_fail_nomem(err, "the request");
    sc_survey_ask(v, text);
    free(text);
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        v->nodes[i].has_held = false;
        if (v->nodes[i].answered)
            read_answer(&v->nodes[i], with_held);
    }
    return SC_OK;
}

/* ---- the status ---- */

/* The member that an entry of a status is about; all have the order of the file, as a rule. */
static struct sc_survey_node *node_of(const struct sc_survey *v, size_t place, const json_t *entry)
{
    const char *name = text(entry, "name");
    if (place < v->cluster->count && strcmp(v->cluster->members[place].name, name) == 0)
        return &v->nodes[place];
    uint32_t i = sc_cluster_find(v->cluster, name);
    return i == SC_NO_MEMBER ? NULL : &v->nodes[i];
}

/* Who of its members a proxy gives batches to. */
static void count_usable(struct sc_survey *v, const json_t *members)
{
    size_t place;
    const json_t *entry;
    json_array_foreach(members, place, entry)
    {
        struct sc_survey_node *node = node_of(v, place, entry);
        if (node == NULL || json_object_get(entry, "usable") == NULL)
            continue;
        node->proxies++;
        node->usable += json_is_true(json_object_get(entry, "usable"));
    }
}

static void ask_status(struct sc_survey *v)
{
    sc_survey_ask(v, NULL);
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        v->nodes[i].usable = v->nodes[i].proxies = 0;
        if (v->nodes[i].answered)
            read_status(&v->nodes[i]);
    }
    for (uint32_t i = 0; i < v->cluster->count; i++)
        count_usable(v, json_object_get(json_object_get(v->nodes[i].root, "cluster"), "members"));
}

/* ---- comparing ---- */

static enum sc_status hear_horizons(struct sc_survey *v)
{
    sc_horizons_free(&v->horizons);
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        if (v->nodes[i].root != NULL && v->nodes[i].member->subcollector)
            SC_TRY(sc_horizons_from_answer(v->nodes[i].root, &v->horizons));
    }
    return SC_OK;
}

static enum sc_status compare(struct sc_survey *v, struct sc_error *err)
{
    const struct sc_holdings **held =
        malloc(((size_t)v->cluster->count + 1) * sizeof(const struct sc_holdings *));
    if (held == NULL)
        return sc_fail_nomem(err, "the comparison");
    for (uint32_t i = 0; i < v->cluster->count; i++)
        held[i] = v->nodes[i].has_held ? &v->nodes[i].held : NULL;
    free(v->windows);
    v->windows = NULL;
    v->window_count = 0;
    enum sc_status status = hear_horizons(v);
    if (status == SC_OK)
        status = sc_copies_compare(held, v->cluster->count, v->cluster->replication, v->options.windows,
                                   &v->horizons, &v->windows, &v->window_count);
    free(held);
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "the comparison");
}

uint64_t sc_survey_missing(const struct sc_survey *v)
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
static enum sc_status compare_again(struct sc_survey *v, struct sc_error *err)
{
    struct sc_holdings *before = malloc(((size_t)v->cluster->count + 1) * sizeof(*before));
    if (before == NULL)
        return sc_fail_nomem(err, "the comparison");
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        before[i] = v->nodes[i].held;
        v->nodes[i].held = (struct sc_holdings){0};
    }
    ask_status(v);
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        struct sc_holdings *now = &v->nodes[i].held, tallies = *now;
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
    free(before);
    return compare(v, err);
}

/* ---- all of it ---- */

enum sc_status sc_survey_begin(struct sc_survey *v, const struct sc_survey_options *options,
                               const struct sc_cluster *cluster, struct sc_error *err)
{
    *v = (struct sc_survey){.options = *options, .cluster = cluster};
    v->nodes = calloc(cluster->count, sizeof(*v->nodes));
    if (v->nodes == NULL)
        return sc_fail_nomem(err, "the nodes");
    for (uint32_t i = 0; i < cluster->count; i++) {
        v->nodes[i].member = &cluster->members[i];
        v->nodes[i].left_out = cluster->members[i].state == SC_MEMBER_GONE ||
                               (options->subcollectors && !cluster->members[i].subcollector);
    }
    return SC_OK;
}

enum sc_status sc_survey_run(struct sc_survey *v, const struct sc_survey_options *options,
                             const struct sc_cluster *cluster, struct sc_error *err)
{
    SC_TRY(sc_survey_begin(v, options, cluster, err));
    ask_status(v);
    SC_TRY(compare(v, err));
    return sc_survey_missing(v) == 0 ? SC_OK : compare_again(v, err);
}

void sc_survey_free(struct sc_survey *v)
{
    for (uint32_t i = 0; v->nodes != NULL && i < v->cluster->count; i++) {
        struct sc_survey_node *node = &v->nodes[i];
        sc_buf_free(&node->ask.answer);
        sc_buf_free(&node->ask.errors);
        free(node->ssh);
        json_decref(node->root);
        sc_holdings_free(&node->held);
    }
    free(v->nodes);
    free(v->windows);
    sc_horizons_free(&v->horizons);
    *v = (struct sc_survey){0};
}

/* ---- what a node is ---- */

bool sc_survey_runs(const struct sc_survey_node *node)
{
    return json_is_object(json_object_get(node->root, "store"));
}

uint64_t sc_survey_lag_ms(const struct sc_survey_node *node)
{
    struct sc_civil c = {0};
    uint64_t now = sc_json_number(node->root, "now_ms");
    if (sscanf(text(json_object_get(node->root, "store"), "last_sync"), "%d-%2u-%2uT%2u:%2u:%2u.%3uZ",
               &c.year, &c.month, &c.day, &c.hour, &c.minute, &c.second, &c.millisecond) != 7)
        return UINT64_MAX;
    uint64_t then = (uint64_t)sc_time_from_civil(&c);
    return now > then ? now - then : 0;
}

void sc_survey_taken_by(const struct sc_survey *v, const struct sc_member *member, uint32_t *usable,
                        uint32_t *proxies)
{
    const struct sc_survey_node *node = &v->nodes[member - v->cluster->members];
    *usable = node->usable;
    *proxies = node->proxies;
}

const json_t *sc_survey_differences(const struct sc_survey_node *node)
{
    return json_object_get(json_object_get(node->root, "cluster"), "problems");
}

bool sc_survey_differs(const struct sc_survey *v, const struct sc_survey_node *node, char *out, size_t size)
{
    const json_t *cluster = json_object_get(node->root, "cluster");
    const char *program = text(node->root, "version");
    out[0] = '\0';
    if (sc_survey_runs(node) && cluster == NULL)
        snprintf(out, size, "its collector is no member of a cluster");
    else if (cluster != NULL && sc_json_number(cluster, "version") != v->cluster->version)
        snprintf(out, size, "its collector has version %" PRIu64 " of the membership file, not %" PRIu64,
                 sc_json_number(cluster, "version"), v->cluster->version);
    else if (cluster != NULL && strcmp(text(cluster, "node"), node->member->name) != 0)
        snprintf(out, size, "it takes itself for member %.64s", text(cluster, "node"));
    else if (node->root != NULL && strcmp(program, SC_VERSION) != 0)
        snprintf(out, size, "it runs version %.32s, not " SC_VERSION, program);
    return out[0] != '\0';
}
