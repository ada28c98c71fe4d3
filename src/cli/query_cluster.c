// SPDX-License-Identifier: BSD-3-Clause
#include "cli/query_cluster.h"

#include "base/clock.h"
#include "base/text.h"
#include "cluster/ask.h"
#include "cluster/job.h"
#include "cluster/launch.h"
#include "conf/cluster.h"
#include "conf/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANK_PROGRAM   "sc-query-rank"
#define GUARD_PROGRAM  "sc-query-guard"
#define MOST_ATTEMPTS  5u
#define LAUNCH_MS      20000u /* until each rank is heard, */
#define LAUNCH_EACH    200u   /* and so much for each: ssh may take 80 ms of a processor to let one in */
#define SILENCE_MS     10000u /* unless --node-timeout says otherwise */
#define MOST_CONNECT_S 5u
#define GRACE_MS       10000u
#define PROBE_MS       10000u
#define PROBLEM_MAX    256u
#define MOST_SAID      65536u
#define COPY_BYTES     65536u
#define COMPLAINTS     3u

struct node {
    const struct sc_member *member;
    bool here;
    bool given_up;
    bool died; /* in the last attempt */
    bool other_version;
    char problem[PROBLEM_MAX];
};

struct supervisor {
    struct sc_query_job *job;
    struct sc_cluster cluster;
    struct sc_config config;
    struct node *nodes; /* subcollectors, the one that runs here first */
    uint32_t node_count;
    char program[4096], guard[4096];
    struct sc_words query;
    struct sc_progress_node *shown; /* of each rank, as the progress shows it */
    uint32_t attempts;
    const char *ssh;
    /* of an attempt */
    struct node **of_rank; /* NULL: reads nothing */
    struct sc_launch_rank *ranks;
    uint32_t rank_count;
    bool puzzled;       /* an attempt failed, and nothing told why */
    struct sc_buf said; /* by mpiexec and by programs that broke down */
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
    s->nodes = calloc((size_t)s->cluster.count + 1, sizeof(*s->nodes));
    s->of_rank = calloc((size_t)s->cluster.count + 1, sizeof(struct node *));
    s->ranks = calloc((size_t)s->cluster.count + 1, sizeof(*s->ranks));
    s->shown = calloc((size_t)s->cluster.count + 1, sizeof(*s->shown));
    if (s->shown == NULL || s->nodes == NULL || s->of_rank == NULL || s->ranks == NULL)
        return sc_query_fail_usage("out of memory");
    for (uint32_t i = 0; i < s->cluster.count; i++) {
        const struct sc_member *m = &s->cluster.members[i];
        bool here = s->config.node != NULL && strcmp(s->config.node, m->name) == 0;
        if (!m->subcollector)
            continue;
        s->nodes[s->node_count++] = (struct node){.member = m, .here = here};
        if (here) {
            struct node first = s->nodes[0];
            s->nodes[0] = s->nodes[s->node_count - 1];
            s->nodes[s->node_count - 1] = first;
        }
    }
    if (s->node_count == 0) {
        fprintf(stderr, "sc-query: %s names no subcollector\n", file);
        return SC_EXIT_BAD_USAGE;
    }
    return 0;
}

/* Rank 0 is here: the node of this machine, or one that only gathers. */
static void choose_ranks(struct supervisor *s)
{
    s->rank_count = 0;
    if (s->node_count == 0 || !s->nodes[0].here || s->nodes[0].given_up) {
        s->of_rank[0] = NULL;
        s->ranks[s->rank_count++] = (struct sc_launch_rank){.node = ""};
    }
    for (uint32_t i = 0; i < s->node_count; i++) {
        struct node *n = &s->nodes[i];
        if (n->given_up)
            continue;
        s->of_rank[s->rank_count] = n;
        s->ranks[s->rank_count++] = (struct sc_launch_rank){.node = n->member->name,
                                                            .host = n->here ? NULL : n->member->address.host};
    }
}

static void give_up(struct node *n, const char *why)
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

/* ---- a look at nodes, when a job broke down ---- */

static void first_line(const struct sc_buf *text, char *out, size_t size)
{
    const char *p = text->len == 0 ? "" : (const char *)text->data, *end = p + text->len;
    while (p < end && (*p == '\n' || *p == '\r'))
        p++;
    const char *stop = p == end ? end : memchr(p, '\n', (size_t)(end - p));
    snprintf(out, size, "%.*s", (int)((stop == NULL ? end : stop) - p), p);
}

static void judge_version(struct node *n, const char *line)
{
    static const char name[] = "sc-query ";
    char why[PROBLEM_MAX];
    n->other_version = strcmp(line, "sc-query " SC_VERSION) != 0;
    if (!n->other_version)
        return;
    bool named = strncmp(line, name, sizeof(name) - 1) == 0;
    snprintf(why, sizeof(why), "it has version %.64s of sc-query, this is " SC_VERSION,
             named ? line + sizeof(name) - 1 : "?");
    give_up(n, why);
}

static void judge_probe(struct node *n, const struct sc_ask *ask)
{
    char line[PROBLEM_MAX];
    if (ask->timed_out) {
        give_up(n, "it does not answer");
    } else if (ask->failed != 0) {
        snprintf(line, sizeof(line), "cannot start %.100s: %s", ask->words[0], strerror(ask->failed));
        give_up(n, line);
    } else if (ask->exit != 0) {
        first_line(&ask->errors, line, sizeof(line));
        give_up(n, line[0] != '\0' ? line : "sc-query-rank does not run there");
    } else {
        first_line(&ask->answer, line, sizeof(line));
        judge_version(n, line);
    }
}

static void probe(struct supervisor *s)
{
    struct sc_error err;
    struct sc_ask *asks = calloc((size_t)s->node_count + 1, sizeof(*asks));
    char **words = calloc((size_t)s->node_count + 1, sizeof(char *));
    struct node **of = calloc((size_t)s->node_count + 1, sizeof(struct node *));
    uint32_t count = 0;
    for (uint32_t i = 0; asks != NULL && words != NULL && of != NULL && i < s->node_count; i++) {
        struct node *n = &s->nodes[i];
        if (n->given_up || n->here)
            continue;
        asks[count] = (struct sc_ask){.pid = -1};
        words[count] = strdup(s->ssh);
        if (words[count] == NULL ||
            sc_ask_ssh(&asks[count], words[count], n->member->address.host, &err) != SC_OK)
            continue;
        sc_ask_word(&asks[count], s->program);
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
    for (uint32_t i = 0; words != NULL && i < s->node_count; i++)
        free(words[i]);
    free(words);
    free(asks);
    free(of);
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
        if (s->of_rank[i] == NULL)
            continue;
        s->shown[shown++] =
            (struct sc_progress_node){.name = s->of_rank[i]->member->name,
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
    return LAUNCH_MS + (uint64_t)s->rank_count * LAUNCH_EACH;
}

static enum sc_status attempt(struct supervisor *s, int answer_fd, struct sc_job_result *result,
                              struct sc_error *err)
{
    struct sc_words command = {0}, first = {0};
    const char *mpiexec = getenv("SC_MPIEXEC");
    sc_words_add(&first, "--attempt");
    sc_words_addf(&first, "%u", ++s->attempts);
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (!s->nodes[i].given_up)
            continue;
        sc_words_add(&first, "--absent");
        sc_words_add(&first, s->nodes[i].member->name);
        sc_words_add(&first, s->nodes[i].problem);
    }
    choose_ranks(s);
    uint64_t draw = sc_clock_wall_ms();
    (void)getrandom(&draw, sizeof(draw), GRND_NONBLOCK);
    const struct sc_launch launch = {.mpiexec = mpiexec == NULL ? "mpiexec" : mpiexec,
                                     .guard = s->guard,
                                     .program = s->program,
                                     .ssh = s->ssh,
                                     .ranks = s->ranks,
                                     .rank_count = s->rank_count,
                                     .connect_s = connect_s(s),
                                     .draw = draw,
                                     .query = s->query.list,
                                     .first = first.list};
    enum sc_status status =
        first.failed ? sc_fail_nomem(err, "the command") : sc_launch_words(&launch, &command, err);
    const uint64_t timeout = s->job->o.timeout_ms;
    const struct sc_job_options options = {.command = command.list,
                                           .ranks = s->rank_count,
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

/* ---- after a job that brought no answer ---- */

/* Whom the others outlived by some beats; without others itself. NULL: none stands out, so that mpiexec may be what hangs. */
static struct node *first_silent(const struct supervisor *s, const struct sc_job_result *result)
{
    uint32_t first = 0;
    uint64_t last_ms = 0;
    for (uint32_t i = 0; i < s->rank_count; i++) {
        first = result->ranks[i].heard_ms < result->ranks[first].heard_ms ? i : first;
        last_ms = result->ranks[i].heard_ms > last_ms ? result->ranks[i].heard_ms : last_ms;
    }
    return s->rank_count == 1 || result->ranks[first].heard_ms + 2 * SC_BEAT_MS < last_ms ? s->of_rank[first]
                                                                                          : NULL;
}

/*
 * Its guard told, or Open MPI, when there was no guard any more: "mpirun noticed that process rank 2 with PID 0 on node b exited on
 * signal 9 (Killed).".
 */
static struct node *who_died(struct supervisor *s, const struct sc_job_result *result)
{
    static const char mark[] = "noticed that process rank ";
    if (result->end == SC_JOB_DIED)
        return s->of_rank[result->rank];
    const char *found = sc_buf_ok(&s->said) ? strstr((const char *)s->said.data, mark) : NULL;
    if (found == NULL)
        return first_silent(s, result);
    unsigned long rank = strtoul(found + sizeof(mark) - 1, NULL, 10);
    return rank < s->rank_count ? s->of_rank[rank] : NULL;
}

static void line_around(const char *text, const char *at, char *out, size_t size)
{
    const char *begin = at, *end = strchr(at, '\n');
    while (begin > text && begin[-1] != '\n')
        begin--;
    snprintf(out, size, "%.*s", end == NULL ? (int)strlen(begin) : (int)(end - begin), begin);
}

/* What ssh itself said of hosts that it cannot reach: to find that out anew would take as long again. */
static bool find_unreachable(struct supervisor *s)
{
    static const char *const complaints[COMPLAINTS] = {"connect to host %s port ",
                                                       "resolve hostname %s: ", "server %s not responding"};
    char mark[PROBLEM_MAX], line[PROBLEM_MAX];
    bool found = false;
    for (uint32_t i = 0; sc_buf_ok(&s->said) && i < COMPLAINTS * s->node_count; i++) {
        struct node *n = &s->nodes[i / COMPLAINTS];
        snprintf(mark, sizeof(mark), complaints[i % COMPLAINTS], n->member->address.host);
        const char *text = (const char *)s->said.data, *at = strstr(text, mark);
        if (at == NULL || n->given_up || n->here)
            continue;
        line_around(text, at, line, sizeof(line));
        give_up(n, line);
        found = true;
    }
    return found;
}

static uint32_t count_left(const struct supervisor *s)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < s->node_count; i++)
        left += !s->nodes[i].given_up;
    return left;
}

/* One death may be an accident. */
static void strike(struct node *n, const struct sc_job_result *result)
{
    char why[PROBLEM_MAX];
    snprintf(why, sizeof(why), "its part of the query died twice%s%s", result->end == SC_JOB_DIED ? ": " : "",
             result->end == SC_JOB_DIED ? strsignal(result->signal) : "");
    if (n->died && !n->given_up)
        give_up(n, why);
    n->died = true;
}

/* Nothing tells why an attempt failed: the ports that it drew may be taken on some node, of which Open MPI's daemon says nothing. */
static bool try_once_more(struct supervisor *s)
{
    bool first = !s->puzzled;
    s->puzzled = true;
    return first;
}

/* Decides who takes no part in the next attempt. False: another attempt would be no better. */
static bool learn_from(struct supervisor *s, const struct sc_job_result *result)
{
    const uint32_t before = count_left(s);
    char why[PROBLEM_MAX];
    struct node *blamed;
    sc_buf_append_u8(&s->said, 0);
    switch (result->end) {
    case SC_JOB_SILENT:
        blamed = first_silent(s, result);
        snprintf(why, sizeof(why), "it was silent for %.0f s", (double)silence_ms(s) / 1000);
        if (blamed != NULL)
            give_up(blamed, why);
        return blamed != NULL || try_once_more(s);
    case SC_JOB_DIED:
        blamed = who_died(s, result);
        if (blamed != NULL)
            strike(blamed, result);
        return blamed != NULL || try_once_more(s);
    default:
        blamed = result->end == SC_JOB_EXITED ? who_died(s, result) : NULL;
        if (!find_unreachable(s))
            probe(s);
        if (blamed != NULL)
            strike(blamed, result);
        if (result->end == SC_JOB_UNSTARTED && count_left(s) == before && s->of_rank[result->rank] != NULL) {
            snprintf(why, sizeof(why), "its part of the query did not start within %.0f s",
                     (double)launch_ms(s) / 1000);
            give_up(s->of_rank[result->rank], why);
        }
        return count_left(s) != before || blamed != NULL || try_once_more(s);
    }
}

static int fail_for_good(struct supervisor *s, const struct sc_job_result *result)
{
    if (result->end == SC_JOB_UNWRITABLE)
        fprintf(stderr, "sc-query: cannot hold the answer: %s\n", strerror(result->errnum));
    else if (result->end == SC_JOB_CANCELLED)
        fputs("sc-query: interrupted, and the nodes did not end in time\n", stderr);
    else if (result->end == SC_JOB_DEADLINE)
        fputs("sc-query: the --timeout passed, and the nodes did not end in time\n", stderr);
    else if (count_left(s) == 0)
        fputs("sc-query: no node takes part\n", stderr);
    else
        fprintf(stderr, "sc-query: the query cannot be run on the nodes; mpiexec said:\n%.*s",
                (int)s->said.len, s->said.len == 0 ? "" : (const char *)s->said.data);
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i].given_up)
            fprintf(stderr, "sc-query: node %s: %s\n", s->nodes[i].member->name, s->nodes[i].problem);
    }
    return SC_EXIT_NOTHING;
}

static bool write_answer(int from)
{
    char bytes[COPY_BYTES];
    ssize_t n;
    lseek(from, 0, SEEK_SET);
    while ((n = read(from, bytes, sizeof(bytes))) > 0) {
        if (fwrite(bytes, 1, (size_t)n, stdout) != (size_t)n)
            return false;
    }
    return n == 0 && fflush(stdout) == 0;
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
    show_nodes(s, result->ranks, s->rank_count, true);
    sc_progress_end(&s->job->progress);
    if (spool < 0 || write_answer(spool))
        return result->answer_status;
    fprintf(stderr, "sc-query: cannot write the output: %s\n", strerror(errno));
    return SC_EXIT_NOTHING;
}

/* Rank 0 has found nodes that cannot take part, before it wrote anything. False: none. */
static bool leave_out(struct supervisor *s, const struct sc_job_result *result)
{
    static const char version[] = "it has version ";
    bool found = false;
    for (uint32_t i = 0; i < s->rank_count; i++) {
        struct node *n = s->of_rank[i];
        if (n == NULL || n->given_up || result->ranks[i].leave_out[0] == '\0')
            continue;
        give_up(n, result->ranks[i].leave_out);
        n->other_version = strncmp(n->problem, version, sizeof(version) - 1) == 0;
        found = true;
    }
    return found;
}

/* More likely than that all nodes are wrong, this machine is. */
static void compare_versions(const struct supervisor *s)
{
    uint32_t others = 0, other_versions = 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        others += !s->nodes[i].here;
        other_versions += s->nodes[i].other_version;
    }
    if (others != 0 && other_versions == others && s->job->o.verbosity >= 1)
        fputs("sc-query: version " SC_VERSION ", as here, is that of no other node\n", stderr);
}

/* Another attempt may bring more. */
static bool try_again(struct supervisor *s, int spool, const struct sc_job_result *result)
{
    bool final =
        result->end == SC_JOB_CANCELLED || result->end == SC_JOB_DEADLINE || result->end == SC_JOB_UNWRITABLE;
    bool unwritten = !final && leave_out(s, result);
    return !final && (unwritten || (spool >= 0 && learn_from(s, result))) && count_left(s) != 0 &&
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
        if (!again)
            compare_versions(s);
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
    free(s->nodes);
    free(s->of_rank);
    free(s->ranks);
    free(s->shown);
}

int sc_query_cluster(struct sc_query_job *job, int argc, char **argv)
{
    struct supervisor s = {.job = job};
    const struct sc_query_options *o = &job->o;
    s.ssh = o->ssh != NULL ? o->ssh : getenv("SC_SSH") != NULL ? getenv("SC_SSH") : "ssh";
    sc_words_addf(&s.query, "--now=%llu", (unsigned long long)sc_clock_wall_ms());
    for (int i = 1; i < argc; i++)
        sc_words_add(&s.query, argv[i]);
    int code = load(&s);
    if (code == 0 && (s.query.failed || !find_program(RANK_PROGRAM, s.program, sizeof(s.program)) ||
                      !find_program(GUARD_PROGRAM, s.guard, sizeof(s.guard))))
        code = sc_query_fail_usage("out of memory");
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
        sc_query_watch_signals(0);
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
