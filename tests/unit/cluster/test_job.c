// SPDX-License-Identifier: BSD-3-Clause
/* A job that is watched from outside: shell scripts stand in for mpiexec and its ranks. */
#include "cluster/job.h"

#include "base/buf.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEAT(rank, phase) "printf '\\036sc-beat " #rank " " phase " 1 2 9 3\\n' >&2; "

struct run {
    struct sc_job_result result;
    struct sc_buf answer, said;
    enum sc_status status;
};

static void said(void *arg, const char *line, size_t length)
{
    struct run *r = arg;
    sc_buf_append(&r->said, line, length);
    sc_buf_append_str(&r->said, "|");
}

/* Two ranks; a rank may be silent for 400 ms, and takes 600 ms at most to start. */
static void run_script(struct run *r, char *script, const atomic_int *cancel, uint64_t deadline_ms)
{
    char *command[] = {"sh", "-c", script, NULL};
    char bytes[4096];
    FILE *answer = tmpfile();
    assert_non_null(answer);
    struct sc_job_options options = {.command = command,
                                     .ranks = 2,
                                     .launch_ms = 600,
                                     .silence_ms = 400,
                                     .deadline_ms = deadline_ms,
                                     .answer_fd = fileno(answer),
                                     .cancel = cancel,
                                     .said = said,
                                     .arg = r};
    struct sc_error err = {0};
    *r = (struct run){0};
    r->status = sc_job_run(&options, &r->result, &err);
    rewind(answer);
    size_t n;
    while ((n = fread(bytes, 1, sizeof(bytes), answer)) != 0)
        sc_buf_append(&r->answer, bytes, n);
    fclose(answer);
    sc_buf_append_u8(&r->answer, 0);
    sc_buf_append_u8(&r->said, 0);
}

static void end(struct run *r)
{
    free(r->result.ranks);
    sc_buf_free(&r->answer);
    sc_buf_free(&r->said);
}

static void the_answer_and_what_is_said_come_apart(void **state)
{
    struct run r;
    (void)state;
    run_script(&r, BEAT(0, "scan") BEAT(1, "plan") "echo answer; echo trouble >&2; printf last >&2; exit 3",
               NULL, 0);
    assert_int_equal(r.status, SC_OK);
    assert_int_equal(r.result.end, SC_JOB_EXITED);
    assert_int_equal(WEXITSTATUS(r.result.status), 3);
    assert_string_equal((char *)r.answer.data, "answer\n");
    assert_string_equal((char *)r.said.data, "trouble|last|");
    assert_string_equal(r.result.ranks[0].beat.phase, "scan");
    assert_string_equal(r.result.ranks[1].beat.phase, "plan");
    assert_int_equal(r.result.ranks[1].beat.rows, 9);
    assert_int_equal(r.result.ranks[1].beat.bytes, 3);
    end(&r);
}

static void much_is_written_whole(void **state)
{
    struct run r;
    (void)state;
    run_script(&r, BEAT(0, "end") BEAT(1, "end") "head -c 3000000 /dev/zero; exit 0", NULL, 0);
    assert_int_equal(r.answer.len, 3000001);
    assert_int_equal(r.result.end, SC_JOB_EXITED);
    end(&r);
}

static void a_silent_rank_is_named(void **state)
{
    struct run r;
    (void)state;
    run_script(&r, BEAT(1, "scan") "while :; do " BEAT(0, "scan") "sleep 0.1; done", NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_SILENT);
    assert_int_equal(r.result.rank, 1);
    end(&r);
}

static void a_rank_that_died_is_named_at_once(void **state)
{
    struct run r;
    (void)state;
    run_script(
        &r, BEAT(0, "scan") BEAT(1, "scan") "printf '\\036sc-died 7 9\\n\\036sc-died 1 11\\n' >&2; sleep 20",
        NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_DIED);
    assert_int_equal(r.result.rank, 1);
    assert_int_equal(r.result.signal, SIGSEGV);
    assert_string_equal((char *)r.said.data, "");
    end(&r);
}

/* It may not have known yet how to stop by itself. */
static void a_rank_that_dies_of_being_asked_to_stop_was_cancelled(void **state)
{
    struct run r;
    atomic_int cancel = 1;
    (void)state;
    run_script(&r,
               "trap \"printf '\\036sc-died 0 10\\n' >&2\" USR1; " BEAT(0, "scan")
                   BEAT(1, "scan") "while :; do sleep 0.05; done",
               &cancel, 0);
    assert_int_equal(r.result.end, SC_JOB_CANCELLED);
    end(&r);
}

/* What becomes of ranks after the answer does not matter. */
static void a_death_after_the_answer_is_none(void **state)
{
    struct run r;
    (void)state;
    run_script(&r,
               BEAT(0, "end") BEAT(1, "end") "echo answer; printf '\\036sc-exit 0\\n\\036sc-died 1 9\\n' >&2",
               NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_EXITED);
    assert_int_equal(r.result.answer_status, 0);
    end(&r);
}

static void a_launch_that_comes_to_nothing_is_told(void **state)
{
    struct run r;
    (void)state;
    run_script(&r, "sleep 60", NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_UNSTARTED);
    end(&r);
}

/* All begin at once: from the first sign of life on, no rank has longer than another. The launch itself may take its time. */
static void a_rank_that_never_starts_is_silent(void **state)
{
    struct run r;
    (void)state;
    run_script(&r, "sleep 0.5; while :; do " BEAT(0, "launch") "sleep 0.1; done", NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_SILENT);
    assert_int_equal(r.result.rank, 1);
    assert_true(r.result.ranks[0].heard_ms != 0 && r.result.ranks[1].heard_ms == 0);
    end(&r);
}

static void a_rank_may_start_a_little_later(void **state)
{
    struct run r;
    (void)state;
    run_script(&r, "sleep 0.5; " BEAT(0, "launch") "sleep 0.2; " BEAT(1, "scan") "exit 0", NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_EXITED);
    end(&r);
}

static void a_rank_at_its_end_may_be_silent(void **state)
{
    struct run r;
    (void)state;
    run_script(&r, BEAT(1, "end") "for i in 1 2 3 4 5 6 7 8; do " BEAT(0, "reduce") "sleep 0.1; done", NULL,
               0);
    assert_int_equal(r.result.end, SC_JOB_EXITED);
    end(&r);
}

/* The answer is there: a rank that hangs at its end does not hold it up. What rank 0 still writes is not cut off. */
static void a_job_with_its_answer_is_ended(void **state)
{
    struct run r;
    (void)state;
    run_script(&r,
               BEAT(0, "end") BEAT(1, "end") "echo one; printf '\\036sc-exit 3\\n' >&2; sleep 1.2; echo two; "
                                             "sleep 1.2; echo three; sleep 60",
               NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_EXITED);
    assert_int_equal(r.result.answer_status, 3);
    assert_string_equal((char *)r.answer.data, "one\ntwo\nthree\n");
    end(&r);
}

static void the_deadline_and_the_user_end_it(void **state)
{
    struct run r;
    atomic_int cancel = 1;
    (void)state;
    run_script(&r, BEAT(0, "end") BEAT(1, "end") "sleep 30", NULL, sc_clock_mono_ms() + 300);
    assert_int_equal(r.result.end, SC_JOB_DEADLINE);
    end(&r);
    run_script(&r, BEAT(0, "end") BEAT(1, "end") "sleep 30", &cancel, 0);
    assert_int_equal(r.result.end, SC_JOB_CANCELLED);
    end(&r);
}

/* Also what ignores SIGTERM, is stopped, or was left behind by the launcher. */
static void nothing_of_the_group_is_left(void **state)
{
    static char *const scripts[] = {"trap '' TERM; sleep 30 & echo $!; wait; sleep 30",
                                    "sleep 30 & echo $!; kill -STOP $!; wait", "sleep 30 & echo $!; exit 0"};
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct run r;
        run_script(&r, scripts[i], NULL, sc_clock_mono_ms() + 300);
        pid_t left = (pid_t)atoi((char *)r.answer.data);
        assert_true(left > 1);
        for (int looks = 0; looks < 50 && kill(left, 0) == 0; looks++)
            usleep(20000); /* until its new parent has reaped it */
        char path[64], text[512] = "";
        snprintf(path, sizeof(path), "/proc/%d/stat", left);
        FILE *stat = fopen(path, "re");
        if (stat != NULL && fgets(text, sizeof(text), stat) != NULL)
            assert_non_null(strstr(text, ") Z ")); /* where nobody reaps */
        if (stat != NULL)
            fclose(stat);
        end(&r);
    }
}

/* The program gets SIGTERM, and can put in order what it has started. It writes past the watcher, who is dead then. */
static void a_job_ends_with_its_watcher(void **state)
{
    char script[256], text[64] = "";
    char *command[] = {"sh", "-c", script, NULL};
    int pipes[2];
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    snprintf(script, sizeof(script),
             "exec 1>&%d; trap 'echo ended; exit 0' TERM; echo started; "
             "for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5 6 7 8 9; do sleep 0.1; done; done",
             pipes[1]);
    pid_t watcher = fork();
    if (watcher == 0) {
        struct sc_job_options options = {
            .command = command, .ranks = 1, .launch_ms = 60000, .silence_ms = 60000, .answer_fd = pipes[1]};
        struct sc_job_result result;
        sc_job_run(&options, &result, NULL);
        _exit(1);
    }
    assert_true(watcher > 0);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], text, 8), 8);
    assert_string_equal(text, "started\n");
    assert_int_equal(kill(watcher, SIGKILL), 0);
    assert_int_equal(waitpid(watcher, NULL, 0), watcher);
    assert_int_equal(read(pipes[0], text, sizeof(text)), 6);
    assert_memory_equal(text, "ended\n", 6);
    assert_int_equal(read(pipes[0], text, sizeof(text)), 0);
    close(pipes[0]);
}

static void a_program_that_is_not_there_is_an_error(void **state)
{
    char *command[] = {"/nonexistent/mpiexec", NULL};
    struct sc_job_options options = {
        .command = command, .ranks = 1, .launch_ms = 1, .silence_ms = 1, .answer_fd = 1};
    struct sc_job_result result;
    struct sc_error err;
    (void)state;
    assert_int_equal(sc_job_run(&options, &result, &err), SC_NOTFOUND);
    assert_non_null(strstr(err.message, "/nonexistent/mpiexec"));
}

/* Whatever comes before and after it. */
static void a_rank_that_is_to_be_left_out_is_named(void **state)
{
    struct run r;
    (void)state;
    run_script(&r,
               BEAT(0, "launch") "printf '\\036sc-leave-out 1 it has version 9\\n\\036sc-leave-out 7 no "
                                 "rank\\n' >&2; " BEAT(1, "launch") "exit 1",
               NULL, 0);
    assert_int_equal(r.result.end, SC_JOB_EXITED);
    assert_int_equal(r.result.answer_status, -1);
    assert_string_equal(r.result.ranks[1].leave_out, "it has version 9");
    assert_string_equal(r.result.ranks[0].leave_out, "");
    assert_string_equal((char *)r.said.data, "");
    end(&r);
}

static void lines_of_rank_0_are_read_back(void **state)
{
    char line[512], why[SC_LEAVE_OUT_MAX];
    char much[600];
    int pipes[2], status = -1;
    uint32_t rank = 0;
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    sc_exit_line_write(pipes[1], 3);
    ssize_t n = read(pipes[0], line, sizeof(line));
    assert_true(n > 1 && sc_exit_line_parse(line, (size_t)n - 1, &status));
    assert_int_equal(status, 3);
    assert_false(sc_leave_out_line_parse(line, (size_t)n - 1, &rank, why));
    sc_leave_out_line_write(pipes[1], UINT32_MAX, "its version\nis \x1b[31m 2");
    n = read(pipes[0], line, sizeof(line));
    assert_true(n > 1 && line[n - 1] == '\n' && sc_leave_out_line_parse(line, (size_t)n - 1, &rank, why));
    assert_true(rank == UINT32_MAX);
    assert_string_equal(why, "its version?is ?[31m 2");
    assert_false(sc_exit_line_parse(line, (size_t)n - 1, &status));
    memset(much, 'x', sizeof(much) - 1);
    much[sizeof(much) - 1] = '\0';
    sc_leave_out_line_write(pipes[1], 1, much);
    n = read(pipes[0], line, sizeof(line));
    assert_true(n > 1 && line[n - 1] == '\n' && sc_leave_out_line_parse(line, (size_t)n - 1, &rank, why));
    assert_int_equal(strlen(why), SC_LEAVE_OUT_MAX - 1);
    close(pipes[0]);
    close(pipes[1]);
    static const char *const none[] = {
        "", "\x1e", "\x1esc-leave-out 1", "\x1esc-leave-out 1 ", "\x1esc-leave-out x y", "sc-leave-out 1 y"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(sc_leave_out_line_parse(none[i], strlen(none[i]), &rank, why));
}

static void beats_are_read_back(void **state)
{
    struct sc_beat b;
    int pipes[2];
    char text[4096];
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    struct sc_beater *beater = sc_beater_start(pipes[1], 7, NULL);
    assert_non_null(beater);
    sc_beater_phase(beater, "scan");
    sc_beater_progress(beater, 3, 9, UINT64_MAX - 1, UINT64_MAX);
    sc_beater_stop(beater);
    ssize_t n = read(pipes[0], text, sizeof(text));
    assert_true(n > 2);
    const char *last = memrchr(text, SC_BEAT_MARK, (size_t)n);
    assert_true(sc_beat_parse(last, (size_t)(text + n - last - 1), &b));
    assert_int_equal(b.rank, 7);
    assert_string_equal(b.phase, "end");
    assert_int_equal(b.done, 3);
    assert_int_equal(b.total, 9);
    assert_true(b.rows == UINT64_MAX - 1);
    assert_true(b.bytes == UINT64_MAX);
    close(pipes[0]);
    close(pipes[1]);
    static const char *const none[] = {"",
                                       "\x1e",
                                       "sc-beat 0 scan 1 2 3 4",
                                       "\x1esc-beat 0 scan 1 2 3",
                                       "\x1esc-beat 0 scan 1 2 3 4 5",
                                       "\x1esc-beat x scan 1 2 3 4",
                                       "\x1esc-beat 0 SCAN 1 2 3 4"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(sc_beat_parse(none[i], strlen(none[i]), &b));
}

UNIT(test_job)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_and_what_is_said_come_apart),
        cmocka_unit_test(much_is_written_whole),
        cmocka_unit_test(a_silent_rank_is_named),
        cmocka_unit_test(a_rank_that_died_is_named_at_once),
        cmocka_unit_test(a_rank_that_dies_of_being_asked_to_stop_was_cancelled),
        cmocka_unit_test(a_death_after_the_answer_is_none),
        cmocka_unit_test(a_launch_that_comes_to_nothing_is_told),
        cmocka_unit_test(a_rank_that_never_starts_is_silent),
        cmocka_unit_test(a_rank_may_start_a_little_later),
        cmocka_unit_test(a_rank_at_its_end_may_be_silent),
        cmocka_unit_test(a_job_with_its_answer_is_ended),
        cmocka_unit_test(the_deadline_and_the_user_end_it),
        cmocka_unit_test(nothing_of_the_group_is_left),
        cmocka_unit_test(a_job_ends_with_its_watcher),
        cmocka_unit_test(a_program_that_is_not_there_is_an_error),
        cmocka_unit_test(a_rank_that_is_to_be_left_out_is_named),
        cmocka_unit_test(lines_of_rank_0_are_read_back),
        cmocka_unit_test(beats_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
