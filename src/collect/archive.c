// SPDX-License-Identifier: BSD-3-Clause
#include "collect/archive.h"

#include "base/array.h"
#include "base/ask.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_MS      10000u
#define MOST_PAUSE_MS 3600000u

extern char **environ;

/* ---- one window ---- */

struct surroundings {
    char window[64], store[PATH_MAX + 16];
    char **environment;
    struct sc_buf paths;
};

static bool is_ours(const char *variable)
{
    return strncmp(variable, "SC_WINDOW=", 10) == 0 || strncmp(variable, "SC_STORE=", 9) == 0;
}

static bool list_environment(struct surroundings *s)
{
    uint32_t count = 0;
    for (char **v = environ; *v != NULL; v++) {
        if (is_ours(*v))
            continue;
        if (!sc_array_more(s->environment, count, 1))
            return false;
        s->environment[count++] = *v;
    }
    char *const ours[] = {s->window, s->store, NULL};
    for (int i = 0; i < 3; i++) {
        if (!sc_array_more(s->environment, count, 1))
            return false;
        s->environment[count++] = ours[i];
    }
    return true;
}

static bool prepare(struct surroundings *s, const char *store, const struct sc_window_files *files)
{
    char when[32], whole[PATH_MAX];
    sc_time_format_utc(files->window_ms, when, sizeof(when));
    snprintf(s->window, sizeof(s->window), "SC_WINDOW=%s", when);
    snprintf(s->store, sizeof(s->store), "SC_STORE=%s", realpath(store, whole) != NULL ? whole : store);
    for (uint32_t i = 0; i < files->count; i++) {
        sc_buf_append_str(&s->paths, files->paths[i]);
        sc_buf_append_str(&s->paths, "\n");
    }
    sc_buf_append_u8(&s->paths, '\0');
    return sc_buf_ok(&s->paths) && list_environment(s);
}

/* Why the window is not elsewhere. */
static enum sc_status judge(const struct sc_ask *ask, uint32_t timeout_s, bool stopped, struct sc_error *err)
{
    char line[128];
    sc_ask_line(&ask->errors, true, line, sizeof(line));
    const char *colon = line[0] == '\0' ? "" : ": ";
    if (ask->failed != 0)
        return sc_fail_errno(err, ask->failed, "the archive command %.100s cannot be run", ask->words[0]);
    if (stopped)
        return sc_fail(err, SC_IO, "the archive command was ended with this process");
    if (ask->timed_out)
        return sc_fail(err, SC_IO, "the archive command took longer than %u s, and was ended%s%s", timeout_s,
                       colon, line);
    return ask->exit == 0
               ? SC_OK
               : sc_fail(err, SC_IO, "the archive command ended with status %d%s%s", ask->exit, colon, line);
}

enum sc_status sc_archive_run(const struct sc_archive_command *command, const char *store,
                              const struct sc_window_files *files, const atomic_bool *stop,
                              struct sc_error *err)
{
    struct surroundings s = {.paths = {0}};
    struct sc_ask ask = {.folder = store, .unheard = true, .stop = stop};
    bool room = prepare(&s, store, files);
    for (char *const *word = command->words; *word != NULL; word++)
        room = room && sc_ask_word(&ask, *word);
    enum sc_status status = SC_OK;
    if (room) {
        ask.input = (const char *)s.paths.data;
        ask.environment = s.environment;
        sc_ask_all(&ask, 1, (uint64_t)command->timeout_s * 1000);
        status = judge(&ask, command->timeout_s, stop != NULL && atomic_load(stop), err);
    } else {
        status = sc_fail_nomem(err, "the archive command");
    }
    sc_buf_free(&ask.answer);
    sc_buf_free(&ask.errors);
    sc_buf_free(&s.paths);
    free(s.environment);
    return status;
}

/* ---- beside another thread ---- */

struct sc_archiver {
    const char *store;
    const struct sc_log *log;
    pthread_t thread; /* for the time of a window */
    bool started;     /* it is to be joined */
    atomic_bool stop;
    struct sc_window_files files; /* the thread's, while it runs */
    uint64_t pause_ms, next_ms;   /* after a failure */

    pthread_mutex_t mutex; /* what follows is shared */
    char **words;
    uint32_t timeout_s;
    /* Of the last window: it is at work, it does not have it, it has and nobody has heard of it. */
    bool running, failed, has;
    bool anew; /* the command is another one */
    struct sc_archiver_stats stats;
};

struct sc_archiver *sc_archiver_create(const char *store, const struct sc_log *log)
{
    struct sc_archiver *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->store = store;
    a->log = log;
    pthread_mutex_init(&a->mutex, NULL);
    return a;
}

static void join(struct sc_archiver *a)
{
    if (a->started)
        pthread_join(a->thread, NULL);
    a->started = false;
}

void sc_archiver_free(struct sc_archiver *a)
{
    if (a == NULL)
        return;
    atomic_store(&a->stop, true);
    join(a);
    sc_window_files_free(&a->files);
    sc_ask_free_words(a->words);
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

enum sc_status sc_archiver_set(struct sc_archiver *a, const struct sc_archive_command *command)
{
    char **words = command->words == NULL ? NULL : sc_ask_copy_words(command->words);
    if (command->words != NULL && words == NULL)
        return SC_NOMEM;
    pthread_mutex_lock(&a->mutex);
    char **before = a->words;
    a->words = words;
    a->timeout_s = command->timeout_s;
    a->failed = false;
    a->anew = true; /* it may do better */
    a->stats.on = words != NULL;
    a->stats.problem[0] = '\0';
    pthread_mutex_unlock(&a->mutex);
    sc_ask_free_words(before);
    return SC_OK;
}

bool sc_archiver_is_on(struct sc_archiver *a)
{
    pthread_mutex_lock(&a->mutex);
    bool on = a->words != NULL;
    pthread_mutex_unlock(&a->mutex);
    return on;
}

void sc_archiver_get_stats(struct sc_archiver *a, struct sc_archiver_stats *out)
{
    pthread_mutex_lock(&a->mutex);
    *out = a->stats;
    out->running = a->running;
    pthread_mutex_unlock(&a->mutex);
}

/* ---- a window ---- */

static void note_end(struct sc_archiver *a, enum sc_status status, const struct sc_error *err)
{
    char when[32];
    sc_time_format_utc(a->files.window_ms, when, sizeof(when));
    if (status != SC_OK)
        sc_log_complain(a->log, SC_LOG_ERROR, "", "%s; window %s is kept", err->message, when);
    else
        sc_log(a->log, SC_LOG_INFO, "the archive has window %s", when);
    pthread_mutex_lock(&a->mutex);
    a->running = false;
    a->failed = status != SC_OK;
    a->has = status == SC_OK;
    a->stats.windows += a->has;
    a->stats.failures += a->failed;
    snprintf(a->stats.problem, sizeof(a->stats.problem), "%.255s", a->failed ? err->message : "");
    pthread_mutex_unlock(&a->mutex);
}

static void *run(void *arg)
{
    struct sc_archiver *a = arg;
    struct sc_error err = {0};
    pthread_setname_np(pthread_self(), "sc-archive");
    pthread_mutex_lock(&a->mutex);
    char **words = a->words == NULL ? NULL : sc_ask_copy_words(a->words);
    const struct sc_archive_command command = {words, a->timeout_s};
    pthread_mutex_unlock(&a->mutex);
    enum sc_status status = words == NULL ? sc_fail(&err, SC_IO, "the archive command is not there any more")
                                          : sc_archive_run(&command, a->store, &a->files, &a->stop, &err);
    sc_ask_free_words(words);
    note_end(a, status, &err);
    return NULL;
}

/* Of one that has ended; pauses double as long as nothing succeeds. */
static void settle(struct sc_archiver *a, bool failed, uint64_t now_ms)
{
    if (!a->started)
        return;
    join(a);
    a->pause_ms = !failed ? 0 : a->pause_ms == 0 ? PAUSE_MS : 2 * a->pause_ms;
    a->pause_ms = a->pause_ms > MOST_PAUSE_MS ? MOST_PAUSE_MS : a->pause_ms;
    a->next_ms = now_ms + a->pause_ms;
}

bool sc_archiver_is_due(struct sc_archiver *a, uint64_t now_ms)
{
    pthread_mutex_lock(&a->mutex);
    bool on = a->words != NULL, running = a->running, failed = a->failed, has = a->has || a->anew;
    a->anew = a->anew && running;
    pthread_mutex_unlock(&a->mutex);
    if (!running)
        settle(a, failed, now_ms);
    return on && !running && (has || (failed && now_ms >= a->next_ms));
}

void sc_archiver_take(struct sc_archiver *a, struct sc_archived *out)
{
    pthread_mutex_lock(&a->mutex);
    bool has = a->has;
    a->has = false;
    pthread_mutex_unlock(&a->mutex);
    if (has) {
        out->window_ms = a->files.window_ms;
        out->mark = a->files.mark;
    }
}

/* @return whether it is time for another one. */
static bool is_ready(struct sc_archiver *a, uint64_t now_ms)
{
    pthread_mutex_lock(&a->mutex);
    bool ready = a->words != NULL && !a->running, failed = a->failed;
    pthread_mutex_unlock(&a->mutex);
    if (ready)
        settle(a, failed, now_ms);
    return ready && (!failed || now_ms >= a->next_ms);
}

void sc_archiver_offer(struct sc_archiver *a, struct sc_window_files *files, uint64_t now_ms)
{
    if (files->count == 0 || !is_ready(a, now_ms))
        return;
    sc_window_files_free(&a->files);
    a->files = *files;
    *files = (struct sc_window_files){0};
    pthread_mutex_lock(&a->mutex);
    a->running = true;
    a->has = false;
    a->stats.window_ms = a->files.window_ms;
    pthread_mutex_unlock(&a->mutex);
    int refused = pthread_create(&a->thread, NULL, run, a);
    a->started = refused == 0;
    if (refused != 0) {
        struct sc_error err;
        a->next_ms = now_ms + PAUSE_MS;
        note_end(a, sc_fail_errno(&err, refused, "cannot start the archive command's thread"), &err);
    }
}
