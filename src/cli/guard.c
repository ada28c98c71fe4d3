// SPDX-License-Identifier: BSD-3-Clause
/*
 * sc-query-guard: what mpiexec starts on each node of a cluster query. It starts the rank, and tells the supervisor when a signal ends it:
 *
 *     sc-query-guard PROGRAM [ARGUMENT...]
 *
 * Open MPI itself is no witness: mpiexec may not say which rank died, and may hang over it when the rank had not told its daemon about
 * itself. So the guard stays for HOLD_MS after such a death, in which the supervisor ends the job; the daemon sees nothing unusual.
 * And Open MPI's daemon may hang. When it is to end: a second process, which is in nobody's group, kills it when it is still there
 * LINGER_MS after the guard. By then the supervisor has long given up a job whose ranks did not end together. While the rank runs, which
 * would outlive a query that is gone: the daemon is deaf when none of the rank's beats is read from the pipe for DEAF_LOOKS looks; they are
 * counted, so that a machine that stood still begins anew.
 *
 * On the machine that asks it is what mpiexec runs as its ssh, too (cluster/reach.h): sc-query-guard --reach HOSTS SSH...
 *
 * This program is small, knows no MPI and has little to die of.
 */
#include "cluster/beat.h"
#include "cluster/reach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOLD_MS    5000L
#define LOOK_MS    500L
#define DEAF_LOOKS 20
#define LINGER_MS  5000
#define CANNOT_RUN 127

/* In the child: it ends when the guard does, for whatever reason. */
static _Noreturn void become(char **argv, pid_t guard, const sigset_t *usual)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != guard)
        _exit(CANNOT_RUN);
    sigprocmask(SIG_SETMASK, usual, NULL);
    execv(argv[1], argv + 1);
    fprintf(stderr, "sc-query-guard: cannot run %s: %s\n", argv[1], strerror(errno));
    _exit(CANNOT_RUN);
}

/* Whether nobody has read of the pipe to the daemon for long; `waiting` and `deaf`: of the last look. */
static bool is_deaf(int *waiting, int *deaf)
{
    int before = *waiting;
    bool grew = ioctl(STDERR_FILENO, FIONREAD, waiting) == 0 && *waiting > 0 && *waiting >= before;
    *deaf = grew ? *deaf + 1 : 0;
    return *deaf > DEAF_LOOKS;
}

/* Hands on the request to stop; ends with the daemon, whose work nobody would do. @return the status of the child, as of waitpid. */
static int guard(pid_t child, pid_t daemon, const sigset_t *watched)
{
    const struct timespec tick = {.tv_nsec = LOOK_MS * 1000000L};
    int status, waiting = 0, deaf = 0;
    while (waitpid(child, &status, WNOHANG) != child) {
        int got = sigtimedwait(watched, NULL, &tick);
        if (got == SIGUSR1)
            kill(child, SIGUSR1);
        if (getppid() != daemon)
            _exit(0); /* and the child with it */
        if (is_deaf(&waiting, &deaf))
            kill(daemon, SIGKILL);
    }
    return status;
}

/* The second process. It holds none of the guard's files, at whose end the daemon looks. */
static _Noreturn void outlive(int guard, int daemon)
{
    struct pollfd of_guard = {.fd = guard, .events = POLLIN}, of_daemon = {.fd = daemon, .events = POLLIN};
    setsid();
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
    while (poll(&of_guard, 1, -1) < 0 && errno == EINTR)
        ;
    if (poll(&of_daemon, 1, LINGER_MS) == 0)
        pidfd_send_signal(daemon, SIGKILL, NULL, 0);
    _exit(0);
}

/* Without it all goes on: a daemon that hangs is all that would be left. */
static void start_second(pid_t self, pid_t daemon)
{
    int of_guard = pidfd_open(self, 0), of_daemon = pidfd_open(daemon, 0);
    if (of_guard >= 0 && of_daemon >= 0 && getppid() == daemon && fork() == 0)
        outlive(of_guard, of_daemon);
    if (of_guard >= 0)
        close(of_guard);
    if (of_daemon >= 0)
        close(of_daemon);
}

/* `words`: the hosts, ssh, its words. */
static int reach(char **words)
{
    if (!sc_reach_resolve(words)) {
        fputs("sc-query-guard: --reach: no host has that number\n", stderr);
        return CANNOT_RUN;
    }
    execvp(words[1], words + 1);
    fprintf(stderr, "sc-query-guard: cannot run %s: %s\n", words[1], strerror(errno));
    return CANNOT_RUN;
}

int main(int argc, char **argv)
{
    const struct timespec hold = {.tv_sec = HOLD_MS / 1000};
    const pid_t daemon = getppid(), self = getpid();
    sigset_t watched, usual;
    if (argc < 2) {
        fputs("usage: sc-query-guard PROGRAM [ARGUMENT...]; sc-query --cluster runs it\n", stderr);
        return 2;
    }
    if (argc > 3 && strcmp(argv[1], "--reach") == 0)
        return reach(argv + 2);
    start_second(self, daemon);
    sigemptyset(&watched);
    sigaddset(&watched, SIGUSR1);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_BLOCK, &watched, &usual);
    pid_t child = fork();
    if (child == 0)
        become(argv, self, &usual);
    if (child < 0) {
        perror("sc-query-guard: cannot start another process");
        return CANNOT_RUN;
    }
    int status = guard(child, daemon, &watched);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    sc_died_line_write(STDERR_FILENO, sc_rank_by_launcher(), WTERMSIG(status));
    nanosleep(&hold, NULL);
    return 128 + WTERMSIG(status);
}
