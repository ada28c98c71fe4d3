// SPDX-License-Identifier: BSD-3-Clause
/* sc-admin accept-loss --cluster: all subcollectors are asked, and record what none of them holds; and what one of them answers. */
#include "base/text.h"
#include "cli/admin_loss.h"
#include "cluster/acceptance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_NOTHING = 1, EXIT_BAD_USAGE = 2, EXIT_DAMAGED = 3 };

static int fail(int code, const char *message)
{
    sc_say(stderr, "sc-admin:", message);
    return code;
}

/* ---- what a member answers ---- */

int sc_admin_accept_loss_member(const struct sc_config *config)
{
    struct sc_error err = {0};
    json_t *request;
    if (sc_admin_read_request(&request, &err) != SC_OK)
        return fail(EXIT_NOTHING, err.message);
    json_t *answer = sc_acceptance_answer(config->store, config->node, request);
    json_decref(request);
    return sc_admin_write_json(answer) ? EXIT_SUCCESS : fail(EXIT_NOTHING, "cannot write the answer");
}

/* ---- who answered ---- */

struct run {
    const struct sc_admin_loss *what;
    struct sc_survey survey;
    bool told[SC_CLUSTER_MAX_MEMBERS]; /* whose problem was said */
};

static void say_of(const struct sc_survey_node *node, const char *what, const char *why)
{
    char text[SC_SURVEY_PROBLEM_MAX + 200];
    snprintf(text, sizeof(text), "%s %s: %s", node->member->name, what, why);
    fail(0, text);
}

/* Says what was not said yet. @return how many that were. */
static uint32_t tell_problems(struct run *r, const char *what)
{
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < r->survey.cluster->count; i++) {
        const struct sc_survey_node *node = &r->survey.nodes[i];
        if (node->problem[0] == '\0' || r->told[i])
            continue;
        say_of(node, what, node->problem);
        r->told[i] = true;
        fresh++;
    }
    return fresh;
}

static uint32_t count_well(const struct run *r)
{
    uint32_t well = 0;
    for (uint32_t i = 0; i < r->survey.cluster->count; i++)
        well += sc_survey_is_well(&r->survey.nodes[i]);
    return well;
}

/* @return 0, or the exit status: all is said. */
static int check_answers(struct run *r)
{
    uint32_t silent = tell_problems(r, "does not answer");
    if (count_well(r) == 0)
        return fail(EXIT_NOTHING, "no member answers, and nothing is done");
    if (silent != 0 && !r->what->force)
        return fail(EXIT_NOTHING,
                    "nothing is done: one subcollector may hold what all others lack; --force when "
                    "those that do not answer are gone for good");
    return 0;
}

/* What cannot be read is not lost yet. */
static int check_damage(const struct run *r)
{
    int code = 0;
    for (uint32_t i = 0; i < r->survey.cluster->count; i++) {
        const struct sc_survey_node *node = &r->survey.nodes[i];
        char text[120];
        snprintf(text, sizeof(text),
                 "%u files, row groups or folders: nothing is recorded before they are repaired",
                 node->held.unreadable);
        if (node->has_held && node->held.unreadable != 0) {
            say_of(node, "cannot read", text);
            code = EXIT_DAMAGED;
        }
    }
    return code;
}

/* ---- the word of the operator ---- */

/* Some may have done it, and others not: both by name. */
static int report(struct run *r, const char *done, const char *not_done)
{
    const char *before = done;
    for (uint32_t i = 0; i < r->survey.cluster->count; i++) {
        if (!sc_survey_is_well(&r->survey.nodes[i]))
            continue;
        printf("%s %s", before, r->survey.nodes[i].member->name);
        before = ",";
    }
    puts(before == done ? "nothing is done" : "");
    if (tell_problems(r, not_done) == 0)
        return EXIT_SUCCESS;
    return fail(EXIT_NOTHING, "done in part only: run it again, which does no harm to the others");
}

static int record(struct run *r, const struct sc_losses *losses)
{
    struct sc_error err;
    sc_admin_print_losses(losses);
    if (losses->stream_count == 0 || r->what->dry_run) {
        puts(losses->stream_count == 0 ? "nothing is missing" : "nothing is recorded (--dry-run)");
        return EXIT_SUCCESS;
    }
    if (sc_acceptance_record(&r->survey, losses, &err) != SC_OK)
        return fail(EXIT_NOTHING, err.message);
    return report(r, "recorded as lost for good at", "did NOT record it");
}

/* Twice over: what is asked for second may not be answered any more. */
static int find(struct run *r, struct sc_admin_found *found)
{
    const struct sc_loss_sink sink = sc_admin_loss_sink(found);
    struct sc_error err;
    int code = 0;
    enum sc_status status = sc_acceptance_ask(&r->survey, &err);
    if (status == SC_OK)
        code = check_answers(r);
    if (status == SC_OK && code == 0)
        code = check_damage(r);
    if (status != SC_OK || code != 0)
        return status == SC_OK ? code : fail(EXIT_NOTHING, err.message);
    status = sc_acceptance_judge(&r->survey, &sink, &err);
    if (status == SC_OK && found->short_of_memory)
        status = sc_fail_nomem(&err, "what is lost");
    if (status != SC_OK)
        return fail(EXIT_NOTHING, err.message);
    code = check_answers(r);
    return code != 0 ? code : check_damage(r);
}

static int accept(struct run *r)
{
    struct sc_admin_found found = {.what = r->what};
    int code = find(r, &found);
    if (code == 0)
        code = record(r, &found.losses);
    sc_losses_free(&found.losses);
    return code;
}

/* What the members that answered have recorded, together. */
static enum sc_status gather(const struct run *r, struct sc_losses *all)
{
    for (uint32_t n = 0; n < r->survey.cluster->count; n++) {
        if (r->survey.nodes[n].has_held)
            SC_TRY(sc_losses_add_all(all, &r->survey.nodes[n].held.losses));
    }
    return SC_OK;
}

static int take_back(struct run *r, const struct sc_losses *recorded)
{
    struct sc_error err;
    sc_admin_print_losses(recorded);
    if (r->what->dry_run) {
        puts(recorded->stream_count == 0 ? "nothing was recorded as lost"
                                         : "nothing is taken back (--dry-run)");
        return EXIT_SUCCESS;
    }
    if (sc_acceptance_undo(&r->survey, sc_admin_loss_stream(r->what), false, &err) != SC_OK)
        return fail(EXIT_NOTHING, err.message);
    return report(r, recorded->stream_count == 0 ? "nothing was recorded as lost at" : "taken back at",
                  "did NOT take it back");
}

/* First all have to answer. */
static int undo(struct run *r)
{
    struct sc_losses recorded = {0};
    struct sc_error err;
    if (sc_acceptance_undo(&r->survey, sc_admin_loss_stream(r->what), true, &err) != SC_OK)
        return fail(EXIT_NOTHING, err.message);
    int code = check_answers(r);
    if (code == 0 && gather(r, &recorded) != SC_OK)
        code = fail(EXIT_NOTHING, "out of memory");
    if (code == 0)
        code = take_back(r, &recorded);
    sc_losses_free(&recorded);
    return code;
}

/* ---- all of it ---- */

static int run(struct run *r, const struct sc_survey_options *options, const struct sc_cluster *cluster)
{
    struct sc_error err;
    int code;
    if (sc_survey_begin(&r->survey, options, cluster, &err) != SC_OK)
        code = fail(EXIT_NOTHING, err.message);
    else
        code = r->what->undo ? undo(r) : accept(r);
    sc_survey_free(&r->survey);
    return code;
}

int sc_admin_accept_loss_cluster(const struct sc_admin_loss *what, const struct sc_admin_cluster *request,
                                 const struct sc_config *config)
{
    char program[4096];
    const char *here[6] = {program, "accept-loss", "--member"};
    const char *const there[] = {"sc-admin", "accept-loss", "--member", NULL};
    const struct sc_survey_options options = {.node = config->node,
                                              .ssh = sc_admin_ssh(request),
                                              .here = here,
                                              .there = there,
                                              .timeout_ms = request->timeout_ms,
                                              .subcollectors = true};
    struct run r = {.what = what};
    struct sc_cluster cluster;
    struct sc_error err = {0};
    if (sc_admin_own_path(program, sizeof(program), &err) != SC_OK ||
        sc_admin_members(request, config, &cluster, &err) != SC_OK)
        return fail(EXIT_BAD_USAGE, err.message);
    if (request->config_file != NULL) {
        here[3] = "-c";
        here[4] = request->config_file;
    }
    int code = run(&r, &options, &cluster);
    sc_cluster_free(&cluster);
    return code;
}
