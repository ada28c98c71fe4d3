// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/crew.h"

#include "base/buf.h"
#include "cluster/ranks.h"
#include "cluster/ssh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_MS   10000u
#define COMPLAINTS 3u

/* ---- who takes part ---- */

enum sc_status sc_crew_init(struct sc_crew *c, const struct sc_cluster *cluster, const char *here_name,
                            struct sc_error *err)
{
    size_t most = (size_t)cluster->count + 1;
    *c = (struct sc_crew){.nodes = calloc(most, sizeof(*c->nodes)),
                          .of_rank = calloc(most, sizeof(struct sc_crew_node *)),
                          .ranks = calloc(most, sizeof(*c->ranks))};
    if (c->nodes == NULL || c->of_rank == NULL || c->ranks == NULL)
        return sc_fail_nomem(err, "the nodes");
    for (uint32_t i = 0; i < cluster->count; i++) {
        const struct sc_member *m = &cluster->members[i];
        bool here = here_name != NULL && strcmp(here_name, m->name) == 0;
        if (!m->subcollector)
            continue;
        c->nodes[c->node_count++] = (struct sc_crew_node){.member = m, .here = here};
        if (here) {
            struct sc_crew_node first = c->nodes[0];
            c->nodes[0] = c->nodes[c->node_count - 1];
            c->nodes[c->node_count - 1] = first;
        }
    }
    return SC_OK;
}

void sc_crew_free(struct sc_crew *c)
{
    free(c->nodes);
    free(c->of_rank);
    free(c->ranks);
    *c = (struct sc_crew){0};
}

void sc_crew_choose_ranks(struct sc_crew *c)
{
    c->rank_count = 0;
    if (c->node_count == 0 || !c->nodes[0].here || c->nodes[0].given_up) {
        c->of_rank[0] = NULL;
        c->ranks[c->rank_count++] = (struct sc_launch_rank){.node = ""};
    }
    for (uint32_t i = 0; i < c->node_count; i++) {
        struct sc_crew_node *n = &c->nodes[i];
        if (n->given_up)
            continue;
        c->of_rank[c->rank_count] = n;
        c->ranks[c->rank_count++] = (struct sc_launch_rank){
            .node = n->member->name, .host = n->here || n->local ? NULL : n->member->address.host};
    }
}

uint32_t sc_crew_left(const struct sc_crew *c)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < c->node_count; i++)
        left += !c->nodes[i].given_up;
    return left;
}

static void give_up(struct sc_crew_node *n, const char *why)
{
    n->given_up = true;
    snprintf(n->problem, sizeof(n->problem), "%.*s", (int)sizeof(n->problem) - 1, why);
    for (char *p = n->problem; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) /* other machines' words on somebody's terminal */
            *p = ' ';
    }
    if (strcmp(n->problem, ":") == 0) /* which mpiexec would read */
        n->problem[0] = '?';
}

bool sc_crew_leave_out(struct sc_crew *c, const struct sc_job_result *result)
{
    static const char version[] = "it has version ";
    bool found = false;
    for (uint32_t i = 0; i < c->rank_count; i++) {
        struct sc_crew_node *n = c->of_rank[i];
        if (n == NULL || n->given_up || result->ranks[i].leave_out[0] == '\0')
            continue;
        give_up(n, result->ranks[i].leave_out);
        n->other_version = strncmp(n->problem, version, sizeof(version) - 1) == 0;
        found = true;
    }
    return found;
}

bool sc_crew_is_alone(const struct sc_crew *c)
{
    uint32_t others = 0, other_versions = 0;
    for (uint32_t i = 0; i < c->node_count; i++) {
        others += !c->nodes[i].here;
        other_versions += c->nodes[i].other_version;
    }
    return others != 0 && other_versions == others;
}

/* ---- a look at nodes, when a job broke down ---- */

static void judge_version(struct sc_crew_node *n, const char *line)
{
    static const char name[] = "sc-query ";
    char why[SC_CREW_PROBLEM_MAX];
    const char *version = strncmp(line, name, sizeof(name) - 1) == 0 ? line + sizeof(name) - 1 : "?";
    n->other_version = !sc_ranks_understand(SC_RANKS_VERSION, version, strlen(version));
    if (!n->other_version)
        return;
    snprintf(why, sizeof(why), "it has version %.64s of sc-query, this is " SC_RANKS_VERSION, version);
    give_up(n, why);
}

static void judge_probe(struct sc_crew_node *n, const struct sc_ask *ask)
{
    char line[SC_CREW_PROBLEM_MAX];
    if (ask->timed_out) {
        give_up(n, "it does not answer");
    } else if (ask->failed != 0) {
        snprintf(line, sizeof(line), "cannot start %.100s: %s", ask->words[0], strerror(ask->failed));
        give_up(n, line);
    } else if (ask->exit != 0) {
        sc_ask_line(&ask->errors, false, line, sizeof(line));
        give_up(n, line[0] != '\0' ? line : "sc-query-rank does not run there");
    } else {
        sc_ask_line(&ask->answer, false, line, sizeof(line));
        judge_version(n, line);
    }
}

static void probe(struct sc_crew *c)
{
    struct sc_error err;
    struct sc_ask *asks = calloc((size_t)c->node_count + 1, sizeof(*asks));
    char **words = calloc((size_t)c->node_count + 1, sizeof(char *));
    struct sc_crew_node **of = calloc((size_t)c->node_count + 1, sizeof(struct sc_crew_node *));
    uint32_t count = 0;
    for (uint32_t i = 0; asks != NULL && words != NULL && of != NULL && i < c->node_count; i++) {
        struct sc_crew_node *n = &c->nodes[i];
        if (n->given_up || n->here)
            continue;
        asks[count] = (struct sc_ask){.pid = -1};
        words[count] = strdup(c->ssh);
        if (words[count] == NULL ||
            sc_ssh_words(&asks[count], words[count], n->member->address.host, &err) != SC_OK)
            continue;
        sc_ask_word(&asks[count], c->program);
        sc_ask_word(&asks[count], "--version");
        of[count++] = n;
    }
    if (count != 0)
        sc_ask_all(asks, count, PROBE_MS);
    for (uint32_t i = 0; i < count; i++) {
        judge_probe(of[i], &asks[i]);
        sc_buf_free(&asks[i].answer);
        sc_buf_free(&asks[i].errors);
    }
    for (uint32_t i = 0; words != NULL && i < c->node_count; i++)
        free(words[i]);
    free(words);
    free(asks);
    free(of);
}

/* ---- after a job that brought no answer ---- */

/* Whom the others outlived by some beats; without others itself. NULL: none stands out, so that mpiexec may be what hangs. */
static struct sc_crew_node *first_silent(const struct sc_crew *c, const struct sc_job_result *result)
{
    uint32_t first = 0;
    uint64_t last_ms = 0;
    for (uint32_t i = 0; i < c->rank_count; i++) {
        first = result->ranks[i].heard_ms < result->ranks[first].heard_ms ? i : first;
        last_ms = result->ranks[i].heard_ms > last_ms ? result->ranks[i].heard_ms : last_ms;
    }
    return c->rank_count == 1 || result->ranks[first].heard_ms + 2 * SC_BEAT_MS < last_ms ? c->of_rank[first]
                                                                                          : NULL;
}

/*
 * Its guard told, or Open MPI, when there was no guard any more: "mpirun noticed that process rank 2 with PID 0 on node b exited on
 * signal 9 (Killed).".
 */
static struct sc_crew_node *who_died(const struct sc_crew *c, const struct sc_crew_failure *f)
{
    static const char mark[] = "noticed that process rank ";
    if (f->result->end == SC_JOB_DIED)
        return c->of_rank[f->result->rank];
    const char *found = strstr(f->said, mark);
    if (found == NULL)
        return first_silent(c, f->result);
    unsigned long rank = strtoul(found + sizeof(mark) - 1, NULL, 10);
    return rank < c->rank_count ? c->of_rank[rank] : NULL;
}

static void line_around(const char *text, const char *at, char *out, size_t size)
{
    const char *begin = at, *end = strchr(at, '\n');
    while (begin > text && begin[-1] != '\n')
        begin--;
    snprintf(out, size, "%.*s", end == NULL ? (int)strlen(begin) : (int)(end - begin), begin);
}

/* What ssh itself said of hosts that it cannot reach: to find that out anew would take as long again. */
static bool find_unreachable(struct sc_crew *c, const char *said)
{
    static const char *const complaints[COMPLAINTS] = {"connect to host %s port ",
                                                       "resolve hostname %s: ", "server %s not responding"};
    char mark[SC_CREW_PROBLEM_MAX], line[SC_CREW_PROBLEM_MAX];
    bool found = false;
    for (uint32_t i = 0; i < COMPLAINTS * c->node_count; i++) {
        struct sc_crew_node *n = &c->nodes[i / COMPLAINTS];
        snprintf(mark, sizeof(mark), complaints[i % COMPLAINTS], n->member->address.host);
        const char *at = strstr(said, mark);
        if (at == NULL || n->given_up || n->here)
            continue;
        line_around(said, at, line, sizeof(line));
        give_up(n, line);
        found = true;
    }
    return found;
}

/* One death may be an accident. */
static void strike(struct sc_crew_node *n, const struct sc_job_result *result)
{
    char why[SC_CREW_PROBLEM_MAX];
    snprintf(why, sizeof(why), "its part of the query died twice%s%s", result->end == SC_JOB_DIED ? ": " : "",
             result->end == SC_JOB_DIED ? strsignal(result->signal) : "");
    if (n->died && !n->given_up)
        give_up(n, why);
    n->died = true;
}

/* Here and below: whether anybody is to blame. Those that never were heard are, all at once, when others were. */
static bool learn_from_silence(struct sc_crew *c, const struct sc_crew_failure *f)
{
    char why[SC_CREW_PROBLEM_MAX];
    struct sc_crew_node *blamed = first_silent(c, f->result);
    snprintf(why, sizeof(why), "it was silent for %.0f s", (double)f->silence_ms / 1000);
    for (uint32_t i = 0; i < c->rank_count && blamed != NULL; i++) {
        struct sc_crew_node *n = c->of_rank[i];
        if (n != NULL && (n == blamed || f->result->ranks[i].heard_ms == 0))
            give_up(n, why);
    }
    return blamed != NULL;
}

static bool learn_from_death(struct sc_crew *c, const struct sc_crew_failure *f)
{
    struct sc_crew_node *blamed = who_died(c, f);
    if (blamed != NULL)
        strike(blamed, f->result);
    return blamed != NULL;
}

/* It ended by itself, or a rank was never heard: ssh may have said why, or the nodes do when they are asked. */
static bool learn_from_nodes(struct sc_crew *c, const struct sc_crew_failure *f)
{
    const struct sc_job_result *result = f->result;
    const uint32_t before = sc_crew_left(c);
    char why[SC_CREW_PROBLEM_MAX];
    struct sc_crew_node *blamed = result->end == SC_JOB_EXITED ? who_died(c, f) : NULL;
    if (!find_unreachable(c, f->said))
        probe(c);
    if (blamed != NULL)
        strike(blamed, result);
    if (result->end == SC_JOB_UNSTARTED && sc_crew_left(c) == before && c->of_rank[result->rank] != NULL) {
        snprintf(why, sizeof(why), "its part of the query did not start within %.0f s",
                 (double)f->launch_ms / 1000);
        give_up(c->of_rank[result->rank], why);
    }
    return sc_crew_left(c) != before || blamed != NULL;
}

/*
 * Once when nothing tells why: the ports that were drawn may be taken on some node, of which Open MPI's daemon says nothing. Once more where
 * mpiexec ended by itself, which costs little: on busy machines a rank may die before any other is heard, and nobody is named.
 */
bool sc_crew_learn(struct sc_crew *c, const struct sc_crew_failure *f)
{
    enum sc_job_end end = f->result->end;
    bool told = end == SC_JOB_SILENT ? learn_from_silence(c, f)
                : end == SC_JOB_DIED ? learn_from_death(c, f)
                                     : learn_from_nodes(c, f);
    c->puzzles += !told;
    return told || c->puzzles <= (end == SC_JOB_EXITED ? 2 : 1);
}
