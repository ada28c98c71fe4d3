// SPDX-License-Identifier: BSD-3-Clause
#include "base/ask.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ERRORS 4096u
#define POLL_MS     50

extern char **environ;

bool sc_ask_word(struct sc_ask *ask, const char *word)
{
    if (ask->word_count == SC_ASK_MAX_WORDS)
        return false;
    ask->words[ask->word_count++] = word;
    return true;
}

void sc_ask_free_words(char **words)
{
    for (char **word = words; word != NULL && *word != NULL; word++)
        free(*word);
    free(words);
}

char **sc_ask_copy_words(char *const *words)
{
    uint32_t count = 0;
    while (words[count] != NULL)
        count++;
    char **copy = calloc((size_t)count + 1, sizeof(*copy));
    for (uint32_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(words[i]);
        if (copy[i] == NULL) {
            sc_ask_free_words(copy);
            return NULL;
        }
    }
    return copy;
}

/* ---- start ---- */

/* Nothing, or a file in memory: whoever reads it late, or never, holds up nobody. */
static int open_input(const struct sc_ask *ask)
{
    if (ask->input == NULL)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    size_t length = strlen(ask->input);
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, ask->input, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The threads of a daemon have signals blocked, and a process may ignore SIGPIPE: a program is to begin without either. */
static void set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, ignored;
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    posix_spawnattr_setflags(attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &ignored);
}

static int spawn(struct sc_ask *ask, int in, int out, int errors)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&files);
    if (failed != 0)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
        if (ask->unheard)
            posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        else
            posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
        if (ask->folder != NULL)
            posix_spawn_file_actions_addchdir_np(&files, ask->folder);
        set_attributes(&attributes);
        failed = posix_spawnp(&ask->pid, ask->words[0], &files, &attributes, (char *const *)ask->words,
                              ask->environment != NULL ? ask->environment : environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void start(struct sc_ask *ask, uint64_t timeout_ms)
{
    int in = open_input(ask), out[2] = {-1, -1}, errors[2] = {-1, -1};
    ask->words[ask->word_count] = NULL;
    ask->pid = -1;
    ask->pipes[0] = ask->pipes[1] = -1;
    ask->until_ms = sc_clock_mono_ms() + timeout_ms;
    if (in < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0)
        ask->failed = errno;
    else
        ask->failed = spawn(ask, in, out[1], errors[1]);
    close_one(&in);
    close_one(&out[1]);
    close_one(&errors[1]);
    if (ask->failed != 0) {
        ask->pid = -1;
        close_one(&out[0]);
        close_one(&errors[0]);
        return;
    }
    ask->pipes[0] = out[0];
    ask->pipes[1] = errors[0];
}

/* ---- gather ---- */

/* One read; closes the pipe at its end. */
static void take(struct sc_ask *ask, unsigned which)
{
    uint8_t block[65536];
    ssize_t n = read(ask->pipes[which], block, sizeof(block));
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        close_one(&ask->pipes[which]);
        return;
    }
    if (which == 0) {
        sc_buf_append(&ask->answer, block, (size_t)n);
        ask->too_long = ask->answer.len > SC_ASK_MAX_ANSWER || !sc_buf_ok(&ask->answer);
    } else if (ask->errors.len < MOST_ERRORS) {
        size_t room = MOST_ERRORS - ask->errors.len;
        sc_buf_append(&ask->errors, block, (size_t)n < room ? (size_t)n : room);
    }
}

/* Ends what still runs of the ask, and waits for it: nothing that was killed can hold this up. */
static void end(struct sc_ask *ask)
{
    kill(-ask->pid, SIGKILL);
    close_one(&ask->pipes[0]);
    close_one(&ask->pipes[1]);
}

static void note_exit(struct sc_ask *ask, int status)
{
    ask->exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ask->pid = -1;
}

static void give_up(struct sc_ask *ask)
{
    int status;
    ask->timed_out = true;
    end(ask);
    while (waitpid(ask->pid, &status, 0) < 0 && errno == EINTR)
        ;
    note_exit(ask, status);
}

static bool is_over(const struct sc_ask *ask)
{
    return sc_clock_mono_ms() >= ask->until_ms || (ask->stop != NULL && atomic_load(ask->stop));
}

/* Programs that have closed both pipes and are over, and those whose time is. Returns how many others there are. */
static uint32_t reap(struct sc_ask *asks, uint32_t count)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_ask *ask = &asks[i];
        int status;
        if (ask->pid < 0)
            continue;
        if (ask->too_long)
            end(ask);
        if (ask->pipes[0] < 0 && ask->pipes[1] < 0 && waitpid(ask->pid, &status, WNOHANG) == ask->pid)
            note_exit(ask, status);
        else if (is_over(ask))
            give_up(ask);
        else
            running++;
    }
    return running;
}

static void poll_once(struct sc_ask *asks, uint32_t count, struct pollfd *fds)
{
    nfds_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned p = 0; p < 2; p++)
            fds[n++] = (struct pollfd){.fd = asks[i].pid < 0 ? -1 : asks[i].pipes[p], .events = POLLIN};
    }
    if (poll(fds, n, POLL_MS) <= 0)
        return;
    for (uint32_t i = 0; i < 2 * count; i++) {
        if (fds[i].fd >= 0 && fds[i].revents != 0)
            take(&asks[i / 2], i % 2);
    }
}

void sc_ask_all_watched(struct sc_ask *asks, uint32_t count, uint64_t timeout_ms, sc_ask_watch_fn *watch,
                        void *arg)
{
    struct pollfd *fds = calloc(2 * (size_t)count + 1, sizeof(*fds));
    uint32_t started = 0, running = 0;
    for (uint32_t i = 0; fds == NULL && i < count; i++)
        asks[i] = (struct sc_ask){.failed = ENOMEM, .pid = -1, .pipes = {-1, -1}};
    while (fds != NULL && (running != 0 || started < count)) {
        for (; started < count && running < SC_ASK_AT_ONCE; started++) {
            start(&asks[started], timeout_ms);
            running += asks[started].pid >= 0;
        }
        poll_once(asks, started, fds);
        running = reap(asks, started);
        if (watch != NULL)
            watch(arg, asks, started);
    }
    free(fds);
}

void sc_ask_all(struct sc_ask *asks, uint32_t count, uint64_t timeout_ms)
{
    sc_ask_all_watched(asks, count, timeout_ms, NULL, NULL);
}

void sc_ask_line(const struct sc_buf *text, bool last, char *out, size_t size)
{
    const char *p = text->len == 0 ? "" : (const char *)text->data, *end = p + text->len;
    out[0] = '\0';
    while (p < end && (last || out[0] == '\0')) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop == NULL ? end : stop) - p);
        length = length > 0 && p[length - 1] == '\r' ? length - 1 : length;
        if (length > 0)
            snprintf(out, size, "%.*s", (int)length, p);
        p = stop == NULL ? end : stop + 1;
    }
}
