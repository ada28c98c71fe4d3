// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/leaving.h"

#include "cluster/json_number.h"
#include "store/catalogue.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- what a node answers ---- */

/* 1 or 0; -1: it cannot be told. */
static int has_segments(const char *folder, const char *name)
{
    char path[4096];
    struct sc_catalogue c = {0};
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -1;
    enum sc_status status = sc_catalogue_add(&c, path, NULL);
    int any = status != SC_OK || c.unreadable != 0 ? -1 : c.count != 0;
    sc_catalogue_free(&c);
    return any;
}

/* NULL: they cannot be told. */
static json_t *copied_lanes(const char *folder)
{
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return errno == ENOENT ? json_array() : NULL;
    json_t *lanes = json_array();
    int any = 0;
    while (any >= 0 && (entry = readdir(dir)) != NULL) {
        any = entry->d_name[0] == '.' ? 0 : has_segments(folder, entry->d_name);
        if (any > 0)
            json_array_append_new(lanes, json_string(entry->d_name));
    }
    closedir(dir);
    if (any >= 0)
        return lanes;
    json_decref(lanes);
    return NULL;
}

void sc_leaving_to_answer(const char *store, json_t *answer)
{
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/" SC_REPLICA_FOLDER, store);
    json_t *lanes = copied_lanes(folder);
    if (lanes != NULL)
        json_object_set_new(answer, "copies_of", lanes);
}

/* ---- what all said ---- */

static const json_t *healing_of(const struct sc_survey_node *node)
{
    return json_object_get(json_object_get(node->root, "cluster"), "healing");
}

/* The longest that anybody told: holders have windows of any length. */
static uint64_t window_ms(const struct sc_survey *v)
{
    uint64_t longest = 0;
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        uint64_t ms = sc_json_number(json_object_get(v->nodes[i].root, "store"), "window_s") * 1000;
        longest = ms > longest ? ms : longest;
    }
    return longest;
}

/* When its last window is over. */
static uint64_t end_of(const struct sc_survey *v, const struct sc_survey_node *node)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < node->held.count; i++)
        last = node->held.list[i].window_ms > last ? node->held.list[i].window_ms : last;
    return last == 0 ? 0 : last + window_ms(v);
}

static bool knows_the_file(const struct sc_survey *v, const struct sc_survey_node *node)
{
    return sc_survey_runs(node) &&
           sc_json_number(json_object_get(node->root, "cluster"), "version") == v->cluster->version;
}

/* Why a member that drains is waited for, by what one of the others said. False: not for this one. */
static bool waits_for(const struct sc_survey *v, const struct sc_survey_node *other, uint64_t end_ms,
                      struct sc_leaving *out)
{
    const char *name = other->member->name;
    if (other->left_out)
        return false;
    if (!knows_the_file(v, other))
        snprintf(out->words, sizeof(out->words),
                 "%.63s does not run with this version of the membership file", name);
    else if (other->member->subcollector && sc_member_takes(other->member) &&
             sc_json_number(healing_of(other), "whole_to_ms") < end_ms)
        snprintf(out->words, sizeof(out->words), "%.63s has not yet all that ought to be there", name);
    return out->words[0] != '\0';
}

static void judge_draining(const struct sc_survey *v, const struct sc_survey_node *node,
                           struct sc_leaving *out)
{
    const json_t *proxy = json_object_get(json_object_get(node->root, "cluster"), "proxy");
    uint64_t waiting = sc_json_number(proxy, "waiting_batches");
    if (!sc_survey_runs(node) || (node->member->subcollector && !node->has_held))
        snprintf(out->words, sizeof(out->words), "it does not say what it holds");
    else if (node->held.unreadable != 0) /* they may be of its last window */
        snprintf(out->words, sizeof(out->words), "%u files or row groups of it cannot be read",
                 node->held.unreadable);
    else if (waiting != 0)
        snprintf(out->words, sizeof(out->words), "%" PRIu64 " batches wait in its outbox", waiting);
    for (uint32_t i = 0; i < v->cluster->count && out->words[0] == '\0'; i++)
        (void)waits_for(v, &v->nodes[i], node->member->subcollector ? end_of(v, node) : 0, out);
    out->may_go = out->words[0] == '\0';
    if (out->may_go)
        snprintf(out->words, sizeof(out->words), "all that it holds is with others: its state may be gone");
}

static bool has_copies_of(const struct sc_survey_node *node, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(node->root, "copies_of"), i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), name) == 0)
            return true;
    }
    return false;
}

static void judge_gone(const struct sc_survey *v, const char *name, struct sc_leaving *out)
{
    for (uint32_t i = 0; i < v->cluster->count && out->words[0] == '\0'; i++) {
        const struct sc_survey_node *other = &v->nodes[i];
        if (other->left_out || !other->member->subcollector)
            continue;
        if (!json_is_array(json_object_get(other->root, "copies_of")))
            snprintf(out->words, sizeof(out->words), "%.63s does not say whether it has windows of it",
                     other->member->name);
        else if (has_copies_of(other, name))
            snprintf(out->words, sizeof(out->words), "%.63s has windows of it", other->member->name);
    }
    out->may_go = out->words[0] == '\0';
    if (out->may_go)
        snprintf(out->words, sizeof(out->words), "nobody has windows of it: its line may go");
}

struct sc_leaving sc_leaving_judge(const struct sc_survey *v, const struct sc_survey_node *node)
{
    struct sc_leaving out = {.leaves = node->member->state != SC_MEMBER_ACTIVE};
    if (node->member->state == SC_MEMBER_DRAINING)
        judge_draining(v, node, &out);
    else if (node->member->state == SC_MEMBER_GONE)
        judge_gone(v, node->member->name, &out);
    return out;
}
