// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/job.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS    100
#define NAP_MS     5
#define GRACE_MS   2000u /* between SIGTERM, which mpiexec hands on to all hosts, and SIGKILL */
#define SHOW_MS    200u
#define LAST_MS    2000u /* for the ranks to end, once the answer is whole and nothing more of it comes */
#define READ_BYTES 65536u
#define MOST_LINE  4096u

struct job {
    const struct sc_job_options *options;
    struct sc_job_result *result;
    pid_t child;
    int out, said; /* its stdout and stderr; -1: at their end */
    struct sc_buf line;
    uint64_t started_ms, shown_ms, asked_ms;
    uint64_t heard_ms; /* the first sign of life of any rank; 0: none yet */
    uint64_t told_ms;  /* rank 0 told its status, or wrote something after it; 0: not yet */
    bool ended;        /* but not reaped */
    bool lost;         /* the result is known before the job has ended */
};

/* ---- starting ---- */

static void close_two(const int fds[2])
{
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
}

/* dup2, also where the number is right already. */
static bool place(int fd, int number)
{
    return fd == number ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, number) == number;
}

/* In the child, which is a copy of us and must run none of our handlers. */
static _Noreturn void vanish(void)
{
    for (;;)
        raise(SIGKILL);
}

/* In the child. It ends with us, whatever ends us: then nobody watches, and nobody wants the answer. */
static _Noreturn void become(char *const *command, pid_t parent, int out, int said, int failure)
{
    sigset_t none;
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    /* A group of its own: Ctrl-C at the terminal is for us, who then end the job in order. */
    if (in >= 0 && place(in, 0) && place(out, 1) && place(said, 2) && setpgid(0, 0) == 0 &&
        prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0) {
        if (getppid() != parent)
            vanish();
        execvp(command[0], command);
    }
    int why = errno;
    ssize_t told = write(failure, &why, sizeof(why));
    (void)told;
    vanish();
}

/* @return 0, or why the program cannot be run. */
static int spawn(struct job *j, int out, int said, int failure[2])
{
    int why = 0;
    const pid_t self = getpid();
    j->child = fork();
    if (j->child < 0)
        return errno;
    if (j->child == 0)
        become(j->options->command, self, out, said, failure[1]);
    close(failure[1]);
    failure[1] = -1;
    if (read(failure[0], &why, sizeof(why)) != (ssize_t)sizeof(why)) /* its end is exec */
        return 0;
    while (waitpid(j->child, NULL, 0) < 0 && errno == EINTR)
        ;
    return why;
}

static enum sc_status start(struct job *j, struct sc_error *err)
{
    int out[2] = {-1, -1}, said[2] = {-1, -1}, failure[2] = {-1, -1};
    bool piped = pipe2(out, O_CLOEXEC) == 0 && pipe2(said, O_CLOEXEC) == 0 && pipe2(failure, O_CLOEXEC) == 0;
    int failed = piped ? spawn(j, out[1], said[1], failure) : errno;
    close_two(failure);
    if (failed != 0) {
        close_two(out);
        close_two(said);
        return sc_fail_errno(err, failed, "cannot start %s", j->options->command[0]);
    }
    close(out[1]);
    close(said[1]);
    j->out = out[0];
    j->said = said[0];
    fcntl(j->out, F_SETFL, O_NONBLOCK);
    fcntl(j->said, F_SETFL, O_NONBLOCK);
    j->started_ms = sc_clock_mono_ms();
    return SC_OK;
}

/* ---- what it says ---- */

static void end_with(struct job *j, enum sc_job_end end, uint32_t rank)
{
    if (j->lost)
        return;
    j->lost = true;
    j->result->end = end;
    j->result->rank = rank;
}

/* One that we asked to stop may do so before it knows how to. */
static void take_death(struct job *j, uint32_t rank, int signal)
{
    if (rank >= j->options->ranks || j->lost || j->told_ms != 0)
        return;
    j->result->signal = signal;
    end_with(j, j->asked_ms != 0 ? SC_JOB_CANCELLED : SC_JOB_DIED, rank);
}

static void take_line(struct job *j, const char *line, size_t length)
{
    struct sc_beat beat;
    uint32_t rank;
    int signal;
    char why[SC_LEAVE_OUT_MAX];
    if (sc_exit_line_parse(line, length, &j->result->answer_status)) {
        j->told_ms = sc_clock_mono_ms();
    } else if (sc_died_line_parse(line, length, &rank, &signal)) {
        take_death(j, rank, signal);
    } else if (sc_leave_out_line_parse(line, length, &rank, why)) {
        if (rank < j->options->ranks)
            memcpy(j->result->ranks[rank].leave_out, why, sizeof(why));
    } else if (!sc_beat_parse(line, length, &beat)) {
        if (length != 0 && j->options->said != NULL)
            j->options->said(j->options->arg, line, length);
    } else if (beat.rank < j->options->ranks) {
        j->result->ranks[beat.rank].heard_ms = sc_clock_mono_ms();
        j->result->ranks[beat.rank].beat = beat;
        j->heard_ms = j->heard_ms != 0 ? j->heard_ms : j->result->ranks[beat.rank].heard_ms;
    }
}

static void take_lines(struct job *j, bool all)
{
    size_t from = 0;
    const char *text = (const char *)j->line.data;
    for (size_t i = 0; i < j->line.len; i++) {
        if (text[i] != '\n')
            continue;
        take_line(j, text + from, i - from);
        from = i + 1;
    }
    if (all || j->line.len - from > MOST_LINE) {
        take_line(j, text + from, j->line.len - from);
        from = j->line.len;
    }
    if (from != 0)
        memmove(j->line.data, j->line.data + from, j->line.len - from);
    j->line.len -= from;
}

static bool write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count != 0) {
        ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        count -= (size_t)n;
    }
    return true;
}

/* Reads what is there. */
static void read_stream(struct job *j, int *fd)
{
    uint8_t bytes[READ_BYTES];
    for (;;) {
        ssize_t n = read(*fd, bytes, sizeof(bytes));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            close(*fd);
            *fd = -1;
            return;
        }
        if (fd == &j->said) {
            sc_buf_append(&j->line, bytes, (size_t)n);
            take_lines(j, false);
        } else if (!j->lost && !write_all(j->options->answer_fd, bytes, (size_t)n)) {
            j->result->errnum = errno;
            end_with(j, SC_JOB_UNWRITABLE, UINT32_MAX);
        } else if (j->told_ms != 0) {
            j->told_ms = sc_clock_mono_ms();
        }
    }
}

static void look(struct job *j, int wait_ms)
{
    struct pollfd files[2] = {{.fd = j->out, .events = POLLIN}, {.fd = j->said, .events = POLLIN}};
    if (poll(files, 2, wait_ms) > 0) {
        if (files[0].revents != 0)
            read_stream(j, &j->out);
        if (files[1].revents != 0)
            read_stream(j, &j->said);
    }
    /* Left as a zombie, so that its group's number stays its own until the group is gone. */
    siginfo_t info = {0};
    if (!j->ended && waitid(P_PID, (id_t)j->child, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        j->ended = info.si_pid == j->child;
}

/* ---- is it still well? ---- */

/* mpiexec starts no rank before the daemons of all have reported, and then all at once: from the first sign of life on, who has given
 * none is silent. */
static void judge_ranks(struct job *j, uint64_t now)
{
    const struct sc_job_options *o = j->options;
    for (uint32_t i = 0; i < o->ranks; i++) {
        const struct sc_job_rank *r = &j->result->ranks[i];
        uint64_t heard_ms = r->heard_ms != 0 ? r->heard_ms : j->heard_ms;
        if (strcmp(r->beat.phase, "end") == 0)
            continue;
        if (heard_ms == 0 && now - j->started_ms > o->launch_ms)
            end_with(j, SC_JOB_UNSTARTED, i);
        else if (heard_ms != 0 && now - heard_ms > o->silence_ms)
            end_with(j, SC_JOB_SILENT, i);
    }
}

static void judge(struct job *j)
{
    const struct sc_job_options *o = j->options;
    uint64_t now = sc_clock_mono_ms();
    if (o->cancel != NULL && atomic_load(o->cancel) != 0 && j->asked_ms == 0) {
        j->asked_ms = now;
        kill(j->child, SIGUSR1); /* mpiexec hands it on to all ranks */
    }
    if (j->asked_ms != 0 && now - j->asked_ms >= o->grace_ms)
        end_with(j, SC_JOB_CANCELLED, UINT32_MAX);
    else if (j->told_ms != 0 && now - j->told_ms >= LAST_MS)
        end_with(j, SC_JOB_EXITED, UINT32_MAX); /* a rank hangs where it ought to end */
    else if (o->deadline_ms != 0 && now >= o->deadline_ms)
        end_with(j, SC_JOB_DEADLINE, UINT32_MAX);
    else
        judge_ranks(j, now);
    if (o->progress != NULL && now - j->shown_ms >= SHOW_MS) {
        j->shown_ms = now;
        o->progress(o->arg, j->result->ranks, o->ranks);
    }
}

/*
 * What outlived mpiexec in a group of its own, as its ssh does when a host is gone: the children of this thread now, since it adopts
 * orphans. The end of one may bring others here.
 */
static void end_orphans(void)
{
    const struct timespec nap = {.tv_nsec = NAP_MS * 1000000L};
    uint64_t until = sc_clock_mono_ms() + GRACE_MS;
    for (unsigned pid, count = 1; count != 0 && sc_clock_mono_ms() < until;) {
        FILE *list = fopen("/proc/thread-self/children", "r");
        for (count = 0; list != NULL && fscanf(list, "%u", &pid) == 1; count++)
            kill((pid_t)pid, SIGKILL);
        if (list != NULL)
            fclose(list);
        if (count != 0)
            nanosleep(&nap, NULL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

/* Ends the process group: mpiexec ends the ranks of all hosts when it is asked; what is left here is killed. */
static void put_down(struct job *j)
{
    uint64_t until = sc_clock_mono_ms() + GRACE_MS;
    if (!j->ended) {
        kill(-j->child, SIGTERM);
        kill(-j->child, SIGCONT);
    }
    while (!j->ended && sc_clock_mono_ms() < until)
        look(j, LOOK_MS);
    kill(-j->child, SIGKILL);
    while (!j->ended)
        look(j, LOOK_MS);
    while (waitpid(j->child, &j->result->status, 0) < 0 && errno == EINTR)
        ;
    end_orphans();
}

/* What is written just before the end is still in the pipes. A grandchild that keeps them open is not waited for. */
static void drain(struct job *j)
{
    uint64_t until = sc_clock_mono_ms() + GRACE_MS;
    while ((j->out >= 0 || j->said >= 0) && sc_clock_mono_ms() < until)
        look(j, LOOK_MS);
    take_lines(j, true);
    close_two((int[]){j->out, j->said});
}

enum sc_status sc_job_run(const struct sc_job_options *options, struct sc_job_result *result,
                          struct sc_error *err)
{
    struct job j = {.options = options, .result = result, .out = -1, .said = -1};
    *result = (struct sc_job_result){.end = SC_JOB_EXITED, .answer_status = -1, .rank = UINT32_MAX};
    result->ranks = calloc((size_t)options->ranks + 1, sizeof(*result->ranks));
    if (result->ranks == NULL)
        return sc_fail_nomem(err, "the job");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    enum sc_status status = start(&j, err);
    if (status != SC_OK) {
        free(result->ranks);
        result->ranks = NULL;
        return status;
    }
    while (!j.ended && !j.lost) {
        look(&j, LOOK_MS);
        if (!j.ended)
            judge(&j);
    }
    put_down(&j);
    drain(&j);
    sc_buf_free(&j.line);
    return SC_OK;
}
