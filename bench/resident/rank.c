// SPDX-License-Identifier: BSD-3-Clause
/*
 * A prototype, to be measured and not to be installed (docs/decisions.md, "No resident session"): sc-query-rank, but its ranks stay, and
 * answer one query after another. bench/resident.py starts it in the place of sc-query-rank, with the same words:
 *
 *     sc-resident-rank --supervised --node NAME [--attempt N] [--absent NAME WHY]... -- SC-QUERY-OPTIONS [PATH...]
 *
 * Rank 0 reads questions from stdin, a line each: further words for sc-query, divided by tabs. Its answer on stdout ends with a line
 *
 *     "\x1e" "sc-answer STATUS MILLISECONDS" "\n"     decimal; the time from the line to the answer's last byte
 *
 * The end of stdin ends the session. SC_RESIDENT_NAP_US in rank 0's environment: how long the other ranks sleep between two looks
 * for a question (10,000). What is the process's and would outlive a question is refused (--timeout, --time-zone) or ends the session
 * (SIGUSR1, an error of one rank).
 */
#include "base/clock.h"
#include "cli/rank_query.h"
#include "cluster/ranks.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MARK    "\x1e"
#define DEFAULT_NAP_US "10000"

struct session {
    struct sc_rank_query own; /* ranks, beater and the rank's own words: what each query begins with */
    int argc;
    char **argv; /* of sc-query, for every question */
    long nap_us;
};

static bool is_root(const struct session *s)
{
    return s->own.ranks.rank == 0;
}

/* A session without these is none. */
static void need(enum sc_status status, const struct sc_error *err)
{
    if (status == SC_OK)
        return;
    fprintf(stderr, "sc-query: %s\n", err->message);
    sc_ranks_mpi_abort(SC_EXIT_NOTHING);
}

/* ---- questions ---- */

static void end_answer(int status, uint64_t began_ms)
{
    printf(ANSWER_MARK "sc-answer %d %llu\n", status, (unsigned long long)(sc_clock_mono_ms() - began_ms));
    fflush(stdout);
}

static bool outlives_question(const char *word)
{
    return strncmp(word, "--timeout", 9) == 0 || strncmp(word, "--time-z", 8) == 0;
}

/* The words of the line, each with a NUL behind it. False: they are refused. */
static bool divide(char *line, struct sc_buf *out)
{
    char now[48], *state = NULL;
    sc_buf_clear(out);
    sc_buf_append(out, now,
                  (size_t)snprintf(now, sizeof(now), "--now=%llu", (unsigned long long)sc_clock_wall_ms()) +
                      1);
    for (char *word = strtok_r(line, "\t\n", &state); word != NULL; word = strtok_r(NULL, "\t\n", &state)) {
        if (outlives_question(word))
            return false;
        sc_buf_append(out, word, strlen(word) + 1);
    }
    return true;
}

/* The next question that is not refused; empty: there are no more. */
static void read_question(struct sc_buf *out, uint64_t *began_ms)
{
    char *line = NULL;
    size_t size = 0;
    bool good = false;
    while (!good && getline(&line, &size, stdin) > 0) {
        *began_ms = sc_clock_mono_ms();
        good = divide(line, out);
        if (!good)
            end_answer(sc_query_fail_usage("a session takes neither --timeout nor --time-zone"), *began_ms);
    }
    if (!good)
        sc_buf_clear(out);
    free(line);
}

/* MPI has no way to wait for a message that does not use the processor: so it is looked for now and then. */
static void await_question(const struct session *s)
{
    const struct timespec nap = {s->nap_us / 1000000, s->nap_us % 1000000 * 1000};
    int found = 0;
    while (MPI_Iprobe(0, MPI_ANY_TAG, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE) == MPI_SUCCESS && !found)
        nanosleep(&nap, NULL);
}

/* ---- answers ---- */

/* The session's words and the question's; the array is to be freed. */
static char **join(const struct session *s, const struct sc_buf *question, int *count)
{
    size_t words = (size_t)s->argc;
    for (size_t i = 0; i < question->len; i++)
        words += question->data[i] == '\0';
    char **argv = calloc(words + 1, sizeof(char *));
    for (*count = 0; argv != NULL && *count < s->argc; (*count)++)
        argv[*count] = s->argv[*count];
    for (char *p = (char *)question->data; argv != NULL && *count < (int)words; p += strlen(p) + 1)
        argv[(*count)++] = p;
    return argv;
}

static int answer(const struct session *s, const struct sc_buf *question)
{
    struct sc_error err = {0};
    struct sc_rank_query q = s->own;
    int argc = 0;
    char **argv = join(s, question, &argc);
    need(argv == NULL ? sc_fail_nomem(&err, "the words") : SC_OK, &err);
    sc_rank_query_begin(&q);
    int code = sc_rank_query_run(&q, argc, argv);
    sc_rank_query_free(&q);
    if (is_root(s) && q.job.o.explain)
        sc_rank_query_explain(&q);
    free(argv);
    return code;
}

static void answer_all(struct session *s)
{
    struct sc_error err = {0};
    struct sc_buf question = {0};
    uint64_t began_ms = 0;
    for (;;) {
        sc_beater_phase(s->own.beater, "idle");
        if (is_root(s))
            read_question(&question, &began_ms);
        else
            await_question(s);
        need(sc_ranks_broadcast(&s->own.ranks, &question, &err), &err);
        if (question.len == 0)
            break;
        int code = answer(s, &question);
        if (is_root(s))
            end_answer(code, began_ms);
    }
    sc_buf_free(&question);
}

/* ---- the session ---- */

/* Only rank 0's environment is the user's. */
static void share_nap(struct session *s)
{
    struct sc_error err = {0};
    struct sc_buf text = {0};
    const char *given = getenv("SC_RESIDENT_NAP_US");
    sc_buf_append_str(&text, given == NULL ? DEFAULT_NAP_US : given);
    sc_buf_append_u8(&text, 0);
    need(sc_ranks_broadcast(&s->own.ranks, &text, &err), &err);
    s->nap_us = strtol((const char *)text.data, NULL, 10);
    sc_buf_free(&text);
}

/* --stream is for the supervisor, who would hold all answers until the session ends; each answer is held here. */
static void drop_stream(struct session *s)
{
    int kept = 0;
    for (int i = 0; i < s->argc; i++) {
        if (strcmp(s->argv[i], "--stream") != 0)
            s->argv[kept++] = s->argv[i];
    }
    s->argc = kept;
}

static int run(struct session *s, int argc, char **argv)
{
    static char program[] = "sc-query";
    int own = sc_rank_query_parse_own(&s->own, argc, argv);
    if (own < 0 || s->own.beater == NULL)
        return sc_query_fail_usage("sc-resident-rank is run by bench/resident.py");
    argv[own] = program;
    s->argc = argc - own;
    s->argv = argv + own;
    drop_stream(s);
    share_nap(s);
    if (!is_root(s))
        fclose(stdout);
    answer_all(s);
    return SC_EXIT_COMPLETE;
}

int main(int argc, char **argv)
{
    struct session s = {0};
    struct sc_error err = {0};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("sc-query " SC_VERSION);
        return SC_EXIT_COMPLETE;
    }
    const char *number = getenv("OMPI_COMM_WORLD_RANK");
    s.own.beater =
        sc_beater_start(STDERR_FILENO, (uint32_t)strtoul(number == NULL ? "0" : number, NULL, 10), &err);
    if (sc_ranks_mpi_begin(&argc, &argv, &s.own.ranks, &err) != SC_OK) {
        fprintf(stderr, "sc-query: %s\n", err.message);
        return SC_EXIT_NOTHING;
    }
    int code = run(&s, argc, argv);
    if (is_root(&s))
        sc_exit_line_write(STDERR_FILENO, code);
    sc_beater_stop(s.own.beater);
    sc_ranks_mpi_end();
    return 0;
}
