// SPDX-License-Identifier: BSD-3-Clause
#include "cli/query_cluster.h"

#include "base/clock.h"
#include "base/text.h"
#include "cluster/crew.h"
#include "cluster/ranks.h"
#include "conf/config.h"
#include "net/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define RANK_PROGRAM   "sc-query-rank"
#define GUARD_PROGRAM  "sc-query-guard"
#define MOST_ATTEMPTS  5u
#define LAUNCH_MS      20000u /* until each rank is heard, */
#define LAUNCH_EACH    200u   /* and so much for each: ssh may take 80 ms of a processor to let one in */
#define SILENCE_MS     10000u /* unless --node-timeout says otherwise */
#define MOST_CONNECT_S 5u
#define GRACE_MS       10000u
#define MOST_SAID      65536u

struct supervisor {
    struct sc_query_job *job;
    struct sc_cluster cluster;
    struct sc_config config;
    struct sc_crew crew;
    char program[4096], guard[4096];
    struct sc_words query;
    struct sc_progress_node *shown; /* of each rank, as the progress shows it */
    uint32_t attempts;
    struct sc_buf said; /* in an attempt, by mpiexec and by programs that broke down */
};

/* ---- programs ---- */

/* Beside this one. */
static bool find_program(const char *name, char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n < 0)
        return false;
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    return slash != NULL && snprintf(slash + 1, size - (size_t)(slash + 1 - out), "%s", name) <
                                (int)(size - (size_t)(slash + 1 - out));
}

/* Of all the words for other machines this one alone is read by a shell there, when nodes are probed. */
static int check_program(const char *program)
{
    for (const char *p = program; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("/._+-@,=", *p) == NULL) {
            fprintf(stderr, "sc-query: %s: '%c' in its path: a shell on another node might read it\n",
                    program, *p);
            return SC_EXIT_NOTHING;
        }
    }
    if (access(program, X_OK) == 0)
        return 0;
    fprintf(stderr, "sc-query: cannot run %s: %s; it belongs beside sc-query, on all nodes\n", program,
            strerror(errno));
    return SC_EXIT_NOTHING;
}

int sc_query_become_rank(int argc, char **argv)
{
    char program[4096] = RANK_PROGRAM;
    char **words = calloc((size_t)argc + 3, sizeof(char *));
    static char separator[] = "--";
    if (words == NULL)
        return sc_query_fail_usage("out of memory");
    (void)find_program(RANK_PROGRAM, program, sizeof(program));
    words[0] = program;
    words[1] = separator;
    for (int i = 1; i < argc; i++)
        words[i + 1] = argv[i];
    execv(program, words);
    fprintf(stderr, "sc-query: cannot run %s: %s\n", program, strerror(errno));
    free(words);
    return SC_EXIT_NOTHING;
}

/* ---- who takes part ---- */

static bool is_local(const struct sc_url *at)
{
    struct sc_client_addresses found;
    struct sc_error err;
    bool local = false;
    if (sc_client_resolve(at, &found, &err) != SC_OK)
        return false; /* ssh may know more of names; what it says is told */
    for (uint32_t i = 0; i < found.count; i++)
        local = local || sc_client_leads_here(&found.all[i]);
    return local;
}

static void look_for_local(struct sc_crew *crew)
{
    for (uint32_t i = 0; i < crew->node_count; i++)
        crew->nodes[i].local = !crew->nodes[i].here && is_local(&crew->nodes[i].member->address);
}

static int load(struct supervisor *s)
{
    struct sc_error err = {0};
    const struct sc_query_options *o = &s->job->o;
    enum sc_status status = sc_config_init(&s->config, &err);
    if (status == SC_OK && access(SC_CONFIG_DEFAULT_FILE, F_OK) == 0)
        status = sc_config_load(SC_CONFIG_DEFAULT_FILE, &s->config, &err);
    if (status != SC_OK)
        return sc_query_report(s->job, &err, SC_EXIT_BAD_USAGE);
    const char *file = o->cluster != NULL ? o->cluster : s->config.cluster;
    if (file == NULL)
        return sc_query_fail_usage(
            "which cluster? give its membership file, --cluster=FILE, or name it in " SC_CONFIG_DEFAULT_FILE);
    if (sc_cluster_load(file, &s->cluster, &err) != SC_OK)
        return sc_query_report(s->job, &err, SC_EXIT_BAD_USAGE);
    s->shown = calloc((size_t)s->cluster.count + 1, sizeof(*s->shown));
    if (s->shown == NULL || sc_crew_init(&s->crew, &s->cluster, s->config.node, &err) != SC_OK)
        return sc_query_fail_usage("out of memory");
    if (s->crew.node_count == 0) {
        fprintf(stderr, "sc-query: %s names no subcollector\n", file);
        return SC_EXIT_BAD_USAGE;
    }
    look_for_local(&s->crew);
    return 0;
}

/* ---- one attempt ---- */

static void on_said(void *arg, const char *line, size_t length)
{
    struct supervisor *s = arg;
    static const char ours[] = "sc-query: ";
    bool told = length >= sizeof(ours) - 1 && memcmp(line, ours, sizeof(ours) - 1) == 0;
    struct sc_buf shown = {0};
    sc_buf_append_visible(&shown, line, length);
    sc_buf_append_u8(&shown, '\n');
    if ((told || s->job->o.explain || s->job->o.verbosity >= 4) && s->job->o.verbosity >= 1 &&
        sc_buf_ok(&shown))
        fwrite(shown.data, 1, shown.len, stderr);
    if (!told && s->said.len < MOST_SAID && sc_buf_ok(&shown)) /* who is shown more is not to learn less */
        sc_buf_append(&s->said, shown.data, shown.len);
    sc_buf_free(&shown);
}

/* Rank 0 may be here to gather only: that is no node. */
static void show_nodes(struct supervisor *s, const struct sc_job_rank *ranks, uint32_t count, bool last)
{
    uint32_t shown = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_beat *beat = &ranks[i].beat;
        if (s->crew.of_rank[i] == NULL)
            continue;
        s->shown[shown++] =
            (struct sc_progress_node){.name = s->crew.of_rank[i]->member->name,
                                      .phase = ranks[i].heard_ms == 0 ? "launch" : beat->phase,
                                      .done = beat->done,
                                      .total = beat->total,
                                      .rows = beat->rows,
                                      .bytes = beat->bytes};
    }
    sc_progress_show_nodes(&s->job->progress, s->shown, shown, last);
}

static void on_progress(void *arg, const struct sc_job_rank *ranks, uint32_t count)
{
    struct supervisor *s = arg;
    show_nodes(s, ranks, count, false);
}

static uint64_t silence_ms(const struct supervisor *s)
{
    return s->job->o.node_timeout_ms != 0 ? s->job->o.node_timeout_ms : SILENCE_MS;
}

/* A host that lets a connection wait is silent, too. Only ssh knows its way there, so only ssh can say. */
static unsigned connect_s(const struct supervisor *s)
{
    uint64_t seconds = (silence_ms(s) + 999) / 1000;
    return seconds < MOST_CONNECT_S ? (unsigned)seconds : MOST_CONNECT_S;
}

static uint64_t launch_ms(const struct supervisor *s)
{
    return LAUNCH_MS + (uint64_t)s->crew.rank_count * LAUNCH_EACH;
}

static enum sc_status attempt(struct supervisor *s, int answer_fd, struct sc_job_result *result,
                              struct sc_error *err)
{
    struct sc_words command = {0}, first = {0};
    const char *mpiexec = getenv("SC_MPIEXEC");
    sc_words_add(&first, "--attempt");
    sc_words_addf(&first, "%u", ++s->attempts);
    for (uint32_t i = 0; i < s->crew.node_count; i++) {
        if (!s->crew.nodes[i].given_up)
            continue;
        sc_words_add(&first, "--absent");
        sc_words_add(&first, s->crew.nodes[i].member->name);
        sc_words_add(&first, s->crew.nodes[i].problem);
    }
    sc_crew_choose_ranks(&s->crew);
    uint64_t draw = sc_clock_wall_ms();
    (void)getrandom(&draw, sizeof(draw), GRND_NONBLOCK);
    const struct sc_launch launch = {.mpiexec = mpiexec == NULL ? "mpiexec" : mpiexec,
                                     .guard = s->guard,
                                     .program = s->program,
                                     .ssh = s->crew.ssh,
                                     .ranks = s->crew.ranks,
                                     .rank_count = s->crew.rank_count,
                                     .connect_s = connect_s(s),
                                     .draw = draw,
                                     .query = s->query.list,
                                     .first = first.list};
    enum sc_status status =
        first.failed ? sc_fail_nomem(err, "the command") : sc_launch_words(&launch, &command, err);
    const uint64_t timeout = s->job->o.timeout_ms;
    const struct sc_job_options options = {.command = command.list,
                                           .ranks = s->crew.rank_count,
                                           .launch_ms = launch_ms(s),
                                           .silence_ms = silence_ms(s),
                                           .deadline_ms =
                                               timeout == 0 ? 0 : s->job->started_ms + timeout + GRACE_MS,
                                           .answer_fd = answer_fd,
                                           .cancel = sc_query_cancel_flag(),
                                           .grace_ms = GRACE_MS,
                                           .progress = on_progress,
                                           .said = on_said,
                                           .arg = s};
    sc_buf_clear(&s->said);
    if (status == SC_OK)
        status = sc_job_run(&options, result, err);
    sc_words_free(&command);
    sc_words_free(&first);
    return status;
}

static int fail_for_good(struct supervisor *s, const struct sc_job_result *result)
{
    if (result->end == SC_JOB_UNWRITABLE)
        fprintf(stderr, "sc-query: cannot hold the answer: %s\n", strerror(result->errnum));
    else if (result->end == SC_JOB_CANCELLED)
        fputs("sc-query: interrupted, and the nodes did not end in time\n", stderr);
    else if (result->end == SC_JOB_DEADLINE)
        fputs("sc-query: the --timeout passed, and the nodes did not end in time\n", stderr);
    else if (sc_crew_left(&s->crew) == 0)
        fputs("sc-query: no node takes part\n", stderr);
    else
        fprintf(stderr, "sc-query: the query cannot be run on the nodes; mpiexec said:\n%.*s",
                (int)s->said.len, s->said.len == 0 ? "" : (const char *)s->said.data);
    for (uint32_t i = 0; i < s->crew.node_count; i++) {
        if (s->crew.nodes[i].given_up)
            fprintf(stderr, "sc-query: node %s: %s\n", s->crew.nodes[i].member->name,
                    s->crew.nodes[i].problem);
    }
    return SC_EXIT_NOTHING;
}

static int report_no_mpiexec(const struct supervisor *s, const struct sc_error *err)
{
    if (err->status == SC_USAGE)
        return sc_query_report(s->job, err, SC_EXIT_BAD_USAGE);
    if (s->job->o.verbosity >= 1)
        fprintf(stderr, "sc-query: %s; it comes with Open MPI (openmpi-bin)\n", err->message);
    return SC_EXIT_NOTHING;
}

static int deliver(struct supervisor *s, int spool, const struct sc_job_result *result)
{
    show_nodes(s, result->ranks, s->crew.rank_count, true);
    sc_progress_end(&s->job->progress);
    if (spool < 0 || sc_query_copy_spool(spool, STDOUT_FILENO))
        return result->answer_status;
    fprintf(stderr, "sc-query: cannot write the output: %s\n", strerror(errno));
    return SC_EXIT_NOTHING;
}

static bool learn(struct supervisor *s, const struct sc_job_result *result)
{
    sc_buf_append_u8(&s->said, 0);
    const struct sc_crew_failure failure = {.result = result,
                                            .said = sc_buf_ok(&s->said) ? (const char *)s->said.data : "",
                                            .launch_ms = launch_ms(s),
                                            .silence_ms = silence_ms(s)};
    return sc_crew_learn(&s->crew, &failure);
}

/* Another attempt may bring more. */
static bool try_again(struct supervisor *s, int spool, const struct sc_job_result *result)
{
    bool final =
        result->end == SC_JOB_CANCELLED || result->end == SC_JOB_DEADLINE || result->end == SC_JOB_UNWRITABLE;
    bool unwritten = !final && sc_crew_leave_out(&s->crew, result);
    return !final && (unwritten || (spool >= 0 && learn(s, result))) && sc_crew_left(&s->crew) != 0 &&
           s->attempts < MOST_ATTEMPTS &&
           (spool < 0 || (ftruncate(spool, 0) == 0 && lseek(spool, 0, SEEK_SET) == 0));
}

static int run_attempts(struct supervisor *s, int spool)
{
    for (;;) {
        struct sc_job_result result = {0};
        struct sc_error err = {0};
        if (attempt(s, spool < 0 ? STDOUT_FILENO : spool, &result, &err) != SC_OK)
            return report_no_mpiexec(s, &err);
        bool answered = result.end == SC_JOB_EXITED && result.answer_status >= 0;
        bool again = !answered && try_again(s, spool, &result);
        if (!again && sc_crew_is_alone(&s->crew) && s->job->o.verbosity >= 1)
            fputs("sc-query: version " SC_RANKS_VERSION ", as here, is that of no other node\n", stderr);
        int code = answered ? deliver(s, spool, &result) : again ? 0 : fail_for_good(s, &result);
        free(result.ranks);
        if (!again)
            return code;
        if (s->job->o.verbosity >= 3)
            fputs("sc-query: the query begins anew\n", stderr);
    }
}

static void free_supervisor(struct supervisor *s)
{
    sc_cluster_free(&s->cluster);
    sc_config_free(&s->config);
    sc_words_free(&s->query);
    sc_buf_free(&s->said);
    sc_crew_free(&s->crew);
    free(s->shown);
}

int sc_query_cluster(struct sc_query_job *job, int argc, char **argv)
{
    struct supervisor s = {.job = job};
    const struct sc_query_options *o = &job->o;
    sc_words_addf(&s.query, "--now=%llu", (unsigned long long)sc_clock_wall_ms());
    for (int i = 1; i < argc; i++)
        sc_words_add(&s.query, argv[i]);
    int code = load(&s);
    if (code == 0 && (s.query.failed || !find_program(RANK_PROGRAM, s.program, sizeof(s.program)) ||
                      !find_program(GUARD_PROGRAM, s.guard, sizeof(s.guard))))
        code = sc_query_fail_usage("out of memory");
    s.crew.ssh = o->ssh != NULL ? o->ssh : getenv("SC_SSH") != NULL ? getenv("SC_SSH") : "ssh";
    s.crew.program = s.program;
    if (code == 0)
        code = check_program(s.program);
    if (code == 0)
        code = check_program(s.guard);
    int spool = o->stream ? -1 : sc_query_open_spool();
    if (code == 0 && !o->stream && spool < 0) {
        fprintf(stderr, "sc-query: cannot create a temporary file: %s\n", strerror(errno));
        code = SC_EXIT_NOTHING;
    }
    if (code == 0) {
        sc_query_watch_signals(0, false);
        sc_query_start_output(job);
        code = run_attempts(&s, spool);
    }
    if (spool >= 0)
        close(spool);
    if (o->explain)
        fprintf(stderr, "attempts: %u, in all %llu ms\n", s.attempts,
                (unsigned long long)(sc_clock_mono_ms() - job->started_ms));
    free_supervisor(&s);
    return code;
}
