// SPDX-License-Identifier: BSD-3-Clause
#include "collect/stores.h"

#include "base/array.h"
#include "base/clock.h"
#include "store/catalogue.h"
#include "store/days.h"
#include "store/horizon.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define RETENTION_EVERY_MS 60000u
#define DAYS_EVERY_MS      60000u

/* The first failure counts, and *err is its. */
static void add_status(enum sc_status *status, enum sc_status one, struct sc_error **err)
{
    *status = *status == SC_OK ? one : *status;
    *err = *status == SC_OK ? *err : NULL;
}

/* ---- a store that was deleted ---- */

bool sc_stores_are_there(const struct sc_stores *s)
{
    for (uint32_t i = 0; i < s->lane_count; i++) {
        if (!sc_store_writer_is_there(s->lanes[i].writer))
            return false;
    }
    return true;
}

/* The parts of lanes other than the own; they are opened again when something comes for them. */
static void drop_deleted(struct sc_stores *s, bool all)
{
    for (uint32_t i = s->lane_count; --i > 0;) {
        struct sc_stores_lane *l = &s->lanes[i];
        if (!all && sc_store_writer_is_there(l->writer))
            continue;
        sc_store_writer_abandon(l->writer);
        free(l->path);
        *l = s->lanes[--s->lane_count];
    }
}

static void fail_waiting(struct sc_stores *s, const struct sc_error *why)
{
    bool waited = s->waits;
    s->waits = false;
    for (uint32_t i = 0; i < s->lane_count; i++)
        s->lanes[i].dirty = false;
    if (waited)
        s->options.committed(s->options.arg, why);
}

/* The files beside the segments that are known here. */
static void write_beside(struct sc_stores *s)
{
    const char *path = s->options.path;
    s->elements.changed = s->elements.table.count != 0;
    sc_elements_write(&s->elements);
    if (s->horizon_ms != 0)
        (void)sc_store_set_horizon(path, s->horizon_ms, s->options.io, NULL);
    (void)sc_store_prepare_horizon(path, s->options.io, NULL); /* else retention tells it */
}

/* It stays deleted for now: another has it, or it cannot be made. */
static void note_gone(struct sc_stores *s, const struct sc_error *err)
{
    s->stats.taken = err->status == SC_TAKEN;
    sc_log_complain(s->options.log, SC_LOG_ERROR, "",
                    "the store %s was deleted while this process writes it, and is not made anew: %s",
                    s->options.path, err->message);
    fail_waiting(s, err);
}

static void note_wiped(struct sc_stores *s, const char *what)
{
    const struct sc_error why = {.status = SC_IO, .message = "the store was deleted while it was written"};
    s->stats.wiped++;
    s->stats.wiped_ms = sc_clock_wall_ms();
    sc_log(s->options.log, SC_LOG_ERROR,
           "%s the store %s was deleted while this process writes it; it is made anew, and what it held is "
           "lost here",
           what, s->options.path);
    fail_waiting(s, &why);
    if (s->options.wiped != NULL)
        s->options.wiped(s->options.arg);
}

static void make_anew(struct sc_stores *s)
{
    struct sc_error err;
    struct sc_store_writer *own = s->lanes[0].writer;
    bool all = !sc_store_writer_is_there(own);
    drop_deleted(s, all);
    if (all && sc_store_writer_renew(own, &err) != SC_OK) {
        note_gone(s, &err);
        return;
    }
    s->stats.lock = *sc_store_writer_lock_id(own);
    write_beside(s);
    note_wiped(s, all ? "all of" : "a part of");
}

/* Asked when all is synced: nothing is called durable that was written into a file without a name. False: it has failed. The lanes stay
 * where they are, as the caller may have one of them in hand; the next second makes them anew, and that is now. */
static bool stay_there(struct sc_stores *s)
{
    const struct sc_error why = {.status = SC_IO, .message = "the store was deleted while it was written"};
    if (sc_stores_are_there(s))
        return true;
    s->next_second_ms = 0;
    fail_waiting(s, &why);
    return false;
}

/* ---- group commit ---- */

bool sc_stores_is_passing(enum sc_status failure)
{
    return failure == SC_FULL || failure == SC_IO || failure == SC_NOMEM || failure == SC_NOTFOUND;
}

/* Retention may make room, at once; from then on it is tried each minute, as always. @return the failure. */
static enum sc_status note_failure(struct sc_stores *s, enum sc_status failure)
{
    s->waits = s->waits && !sc_stores_is_passing(failure);
    if (failure == SC_FULL && !s->found_full) {
        s->found_full = true;
        s->next_retention_ms = 0;
    }
    return failure;
}

static enum sc_status sync_lanes(struct sc_stores *s, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    for (struct sc_stores_lane *l = s->lanes; l < s->lanes + s->lane_count; l++) {
        if (l->dirty)
            add_status(&status, sc_store_writer_sync(l->writer, err), &err);
        l->dirty = false;
    }
    return status;
}

void sc_stores_commit(struct sc_stores *s)
{
    struct sc_error failure = {0};
    if (!s->waits)
        return;
    sc_elements_write(&s->elements); /* an exporter need not tell again what is called durable */
    enum sc_status status = sync_lanes(s, &failure);
    if (!stay_there(s))
        return;
    s->waits = false;
    s->found_full = s->found_full && status != SC_OK;
    note_failure(s, status);
    s->options.committed(s->options.arg, status == SC_OK ? NULL : &failure);
}

bool sc_stores_commit_due(const struct sc_stores *s, uint64_t now_ms)
{
    return s->waits && (s->waiting_bytes > s->options.commit_bytes ||
                        now_ms >= s->waiting_since_ms + s->options.commit_ms);
}

/* ---- windows ---- */

/* Sealing syncs: what it finds must have been answered for. */
static void seal(struct sc_stores *s, struct sc_stores_lane *l, uint64_t before_ms)
{
    struct sc_error err;
    sc_stores_commit(s);
    if (sc_store_writer_seal(l->writer, before_ms, &err) != SC_OK)
        sc_log_complain(s->options.log, SC_LOG_WARNING, "",
                        "%s; the windows stay readable in their live files", err.message);
}

static void seal_ended(struct sc_stores *s, struct sc_stores_lane *l, uint64_t now_ms)
{
    uint64_t end_ms;
    while (sc_window_clock_due(&l->windows, now_ms, &end_ms))
        seal(s, l, end_ms);
}

/* Import: a window is sealed when the data is in a later one. Late records open it again; all are sealed at the end. */
static void seal_passed(struct sc_stores *s, struct sc_stores_lane *l, uint64_t window_ms)
{
    if (!s->options.import || window_ms <= s->newest_window_ms)
        return;
    s->newest_window_ms = window_ms;
    seal(s, l, window_ms);
}

static void note_window(const struct sc_stores *s, struct sc_stores_lane *l, const struct sc_window *window)
{
    sc_window_clock_note(&l->windows, window->begin_ms, (uint64_t)window->length_s * 1000,
                         sc_reference_now(s->options.reference));
}

/* Live files that an earlier process left are sealed like those of this one: at once, or when their windows are over. */
static void seal_leftovers(struct sc_stores *s, struct sc_stores_lane *l)
{
    uint64_t now_ms = sc_reference_now(s->options.reference),
             length_ms = (uint64_t)s->options.window_s * 1000;
    struct sc_window window;
    if (s->options.import)
        return;
    seal(s, l, now_ms - now_ms % length_ms);
    for (uint32_t at = 0; sc_store_writer_window(l->writer, &at, &window);)
        note_window(s, l, &window);
}

/* ---- appending ---- */

static enum sc_status note_append(struct sc_stores *s, struct sc_stores_lane *l,
                                  const struct sc_window *window, uint64_t bytes, enum sc_status status)
{
    if (status != SC_OK)
        return note_failure(s, status);
    s->waiting_since_ms = s->waits ? s->waiting_since_ms : sc_clock_mono_ms();
    s->waiting_bytes = bytes + (s->waits ? s->waiting_bytes : 0);
    s->waits = l->dirty = true;
    if (!s->options.import)
        note_window(s, l, window);
    return SC_OK;
}

static enum sc_status check_taken(const struct sc_stores *s, struct sc_error *err)
{
    return s->stats.taken ? sc_fail(err, SC_TAKEN, "another collector has the store %s now", s->options.path)
                          : SC_OK;
}

enum sc_status sc_stores_append(struct sc_stores *s, struct sc_batch *batch, uint64_t bytes, bool hurry,
                                struct sc_error *err)
{
    const struct sc_window window = {batch->window_ms, s->options.window_s};
    struct sc_stores_lane *l = s->lanes;
    SC_TRY(check_taken(s, err));
    seal_passed(s, l, batch->window_ms);
    sc_store_writer_set_hurry(l->writer, hurry);
    SC_TRY(note_append(s, l, &window, bytes, sc_store_writer_append(l->writer, batch, err)));
    sc_elements_learn(&s->elements, batch);
    return SC_OK;
}

enum sc_status sc_stores_append_encoded(struct sc_stores *s, struct sc_stores_lane *l,
                                        const struct sc_window *window, uint64_t came_ms,
                                        const struct sc_encoded_group *group, uint64_t bytes,
                                        struct sc_error *err)
{
    SC_TRY(check_taken(s, err));
    SC_TRY(note_append(s, l, window, bytes,
                       sc_store_writer_append_encoded(l->writer, window, came_ms, group, err)));
    sc_elements_learn_encoded(&s->elements, group);
    return SC_OK;
}

/* ---- once a second ---- */

void sc_stores_set_format(struct sc_stores *s, uint16_t format)
{
    s->options.format = format;
    for (uint32_t i = 0; i < s->lane_count; i++)
        sc_store_writer_set_format(s->lanes[i].writer, format);
}

void sc_stores_set_retention(struct sc_stores *s, const struct sc_retention *retention)
{
    pthread_mutex_lock(&s->mutex);
    s->options.retention = *retention;
    pthread_mutex_unlock(&s->mutex);
}

enum sc_status sc_stores_set_archive(struct sc_stores *s, const struct sc_archive_command *command)
{
    return sc_archiver_set(s->archiver, command);
}

/* ---- retention ---- */

static struct sc_retention retention_of(struct sc_stores *s)
{
    pthread_mutex_lock(&s->mutex);
    struct sc_retention retention = s->options.retention;
    pthread_mutex_unlock(&s->mutex);
    return retention;
}

/* Who is not believed is told once, and once that it is over. */
static void tell_of_clock(struct sc_stores *s, uint64_t before_ms)
{
    bool problem = s->stats.clock_problem[0] != '\0';
    if (problem && !s->clock_told)
        sc_log(s->options.log, SC_LOG_WARNING, "%s", s->stats.clock_problem);
    else if (s->clock_told && !problem)
        sc_log(s->options.log, SC_LOG_INFO, "windows expire by age again, after %llu s",
               (unsigned long long)before_ms / 1000);
    s->clock_told = problem;
}

/* As soon as the clock is believed again retention makes up for what it left. */
static void watch_clock(struct sc_stores *s, uint64_t now_ms)
{
    uint64_t before_ms = s->stats.age_paused_ms;
    bool doubted = s->clock.state != SC_CLOCK_BELIEVED;
    if (sc_clock_trust_look(&s->clock, now_ms, sc_clock_wall_ms()) == SC_CLOCK_BELIEVED && doubted)
        s->next_retention_ms = 0;
    bool matters = retention_of(s).age_s != 0;
    s->stats.clock_problem[0] = '\0';
    if (matters)
        sc_clock_trust_say(&s->clock, now_ms, s->stats.clock_problem);
    s->stats.age_paused_ms = matters ? sc_clock_trust_doubt_ms(&s->clock, now_ms) : 0;
    tell_of_clock(s, before_ms);
}

/* How much more should be free. A disk that is found full may have room that is others' only. */
static uint64_t lacking_bytes(const struct sc_stores *s)
{
    struct sc_disk disk = {0};
    sc_disk_look(s->options.path, &disk);
    uint64_t least = disk.size_bytes / 20;
    least = least < SC_STORES_LEAST_FREE ? least : SC_STORES_LEAST_FREE;
    return disk.free_bytes < least ? least - disk.free_bytes : s->found_full ? 1 : 0;
}

static void note_unarchived(struct sc_stores *s, const struct sc_expiry *expiry)
{
    s->stats.unarchived_windows += expiry->unarchived_windows;
    s->stats.unarchived_bytes += expiry->unarchived_bytes;
    if (expiry->unarchived_windows != 0)
        sc_log(
            s->options.log, SC_LOG_ERROR,
            "the disk is nearly full: %llu windows, %llu bytes were deleted that the archive does NOT have",
            (unsigned long long)expiry->unarchived_windows, (unsigned long long)expiry->unarchived_bytes);
}

static void run_retention(struct sc_stores *s)
{
    const char *path = s->options.path;
    struct sc_retention retention = retention_of(s);
    struct sc_expiry expiry = {0};
    struct sc_archived archived = {0};
    struct sc_error err;
    if (s->clock.state != SC_CLOCK_BELIEVED)
        retention.age_s = 0;
    if (sc_archiver_is_on(s->archiver)) {
        sc_archiver_take(s->archiver, &archived);
        archived.lacking_bytes = lacking_bytes(s);
        retention.archived = &archived;
    }
    if (retention.age_s == 0 && retention.bytes == 0)
        return;
    sc_stores_commit(s); /* a file that is deleted now holds nothing that waits */
    if (sc_store_expire(path, &retention, s->clock.time_ms, false, s->options.io, &expiry, &err) != SC_OK)
        sc_log(s->options.log, SC_LOG_WARNING, "retention: %s", err.message);
    else if (expiry.windows != 0)
        sc_log(s->options.log, SC_LOG_INFO, "retention: %llu windows, %llu bytes deleted",
               (unsigned long long)expiry.windows, (unsigned long long)expiry.bytes);
    s->stats.expired_windows += expiry.windows;
    s->stats.expired_bytes += expiry.bytes;
    s->stats.waiting_windows = expiry.waiting_windows;
    note_unarchived(s, &expiry);
    sc_archiver_offer(s->archiver, &expiry.next, sc_clock_mono_ms());
    sc_window_files_free(&expiry.next);
}

/* Each minute; of windows that wait for the archive as soon as something can be done for them. */
static bool is_retention_due(struct sc_stores *s, uint64_t now_ms)
{
    return now_ms >= s->next_retention_ms || sc_archiver_is_due(s->archiver, now_ms) ||
           (s->stats.waiting_windows != 0 && lacking_bytes(s) != 0);
}

/* sc-admin expire may have written it. One that is gone with the store is known here. */
static void follow_horizon(struct sc_stores *s)
{
    uint64_t horizon_ms = sc_store_horizon(s->options.path);
    s->horizon_ms = horizon_ms != 0 ? horizon_ms : s->horizon_ms;
}

/* Retention may have deleted more meanwhile. */
static uint64_t oldest_window(const struct sc_stores *s)
{
    struct sc_catalogue c = {.replicas = true};
    enum sc_status status = sc_catalogue_add(&c, s->options.path, NULL);
    sc_catalogue_sort(&c);
    uint64_t begin_ms = status == SC_OK && c.count != 0 ? c.files[0].window_ms : UINT64_MAX;
    sc_catalogue_free(&c);
    return begin_ms;
}

void sc_stores_take_back_horizon(struct sc_stores *s, uint64_t begin_ms)
{
    char when[32];
    struct sc_error err;
    uint64_t oldest_ms = oldest_window(s);
    begin_ms = begin_ms > oldest_ms ? begin_ms : oldest_ms;
    if (begin_ms == 0 || begin_ms >= s->horizon_ms)
        return;
    sc_time_format_utc(begin_ms, when, sizeof(when));
    if (sc_store_take_back_horizon(s->options.path, begin_ms, s->options.io, &err) != SC_OK) {
        sc_log_complain(s->options.log, SC_LOG_WARNING, "", "%s; it is tried again", err.message);
        return;
    }
    s->horizon_ms = begin_ms;
    sc_log(s->options.log, SC_LOG_INFO, "what was expired from %s on is here again", when);
}

/* ---- each second ---- */

uint64_t sc_stores_wait(const struct sc_stores *s, uint64_t now_ms)
{
    uint64_t next_ms = s->next_second_ms, commit_ms = s->waiting_since_ms + s->options.commit_ms;
    if (s->waits && commit_ms < next_ms)
        next_ms = commit_ms;
    return next_ms > now_ms ? next_ms - now_ms : 0;
}

/* A day at a time, so that nothing waits for long. */
static void know_days(struct sc_stores *s, uint64_t now_ms)
{
    if (now_ms < s->next_days_ms)
        return;
    bool left = sc_days_make(s->options.path, 1, false, s->options.io);
    s->next_days_ms = now_ms + (left ? 0 : DAYS_EVERY_MS);
}

bool sc_stores_each_second(struct sc_stores *s, uint64_t now_ms)
{
    if (now_ms < s->next_second_ms)
        return false;
    s->next_second_ms = now_ms + 1000;
    if (!sc_stores_are_there(s))
        make_anew(s);
    if (s->stats.taken) /* what lies there is not ours */
        return true;
    for (uint32_t i = 0; i < s->lane_count; i++)
        seal_ended(s, &s->lanes[i], now_ms);
    sc_elements_write(&s->elements);
    watch_clock(s, now_ms);
    if (is_retention_due(s, now_ms)) {
        s->next_retention_ms = now_ms + RETENTION_EVERY_MS;
        run_retention(s);
    }
    follow_horizon(s);
    know_days(s, now_ms);
    return true;
}

static void add_stats(struct sc_store_stats *sum, const struct sc_store_stats *one)
{
    sum->flows += one->flows;
    sum->options += one->options;
    sum->row_groups += one->row_groups;
    sum->bytes_written += one->bytes_written;
    sum->segments_sealed += one->segments_sealed;
    sum->sync_failures += one->sync_failures;
    sum->write_failures += one->write_failures;
    sum->full_events += one->full_events;
    sum->last_sync_ms = one->last_sync_ms > sum->last_sync_ms ? one->last_sync_ms : sum->last_sync_ms;
}

void sc_stores_get_stats(struct sc_stores *s, struct sc_stores_stats *out)
{
    sc_disk_look(s->options.path, &s->stats.disk);
    s->stats.store = (struct sc_store_stats){0};
    for (uint32_t i = 0; i < s->lane_count; i++) {
        struct sc_store_stats one;
        sc_store_writer_stats(s->lanes[i].writer, &one);
        add_stats(&s->stats.store, &one);
    }
    s->stats.horizon_ms = s->horizon_ms;
    sc_archiver_get_stats(s->archiver, &s->stats.archive);
    *out = s->stats;
}

/* ---- opening and closing ---- */

struct sc_stores_lane *sc_stores_find(struct sc_stores *s, uint32_t lane)
{
    for (uint32_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].lane == lane)
            return &s->lanes[i];
    }
    return NULL;
}

static enum sc_status open_lane(struct sc_stores *s, struct sc_stores_lane *l, struct sc_error *err)
{
    const struct sc_store_options how = {.window_s = s->options.window_s,
                                         .format = s->options.format,
                                         .verify = s->options.verify,
                                         .lane = l->lane,
                                         .io = s->options.io,
                                         .log = s->options.log,
                                         .open_files = &s->open_files,
                                         .reference = s->options.reference};
    if (l->path == NULL)
        return sc_fail_nomem(err, "a store");
    l->writer = sc_store_writer_open(l->path, &how, err);
    if (l->writer == NULL)
        free(l->path);
    return l->writer == NULL ? err->status : SC_OK;
}

enum sc_status sc_stores_add(struct sc_stores *s, uint32_t lane, const char *path,
                             struct sc_stores_lane **out, struct sc_error *err)
{
    if (!sc_array_more(s->lanes, s->lane_count, 1))
        return sc_fail_nomem(err, "a store");
    *out = &s->lanes[s->lane_count];
    **out = (struct sc_stores_lane){.lane = lane, .path = strdup(path)};
    SC_TRY(open_lane(s, *out, err));
    s->open_files.most = SC_STORES_FILES + ++s->lane_count;
    seal_leftovers(s, *out);
    return SC_OK;
}

static enum sc_status close_lane(const struct sc_stores *s, struct sc_stores_lane *l, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    if (s->stats.taken)
        sc_store_writer_abandon(l->writer);
    else
        status = sc_store_writer_close(l->writer, err);
    free(l->path);
    return status;
}

void sc_stores_drop(struct sc_stores *s, struct sc_stores_lane *l)
{
    sc_stores_commit(s); /* closing syncs too */
    close_lane(s, l, NULL);
    *l = s->lanes[--s->lane_count];
}

enum sc_status sc_stores_open(struct sc_stores *s, const struct sc_stores_options *options,
                              struct sc_error *err)
{
    struct sc_stores_lane *own;
    *s = (struct sc_stores){.options = *options, .next_second_ms = sc_clock_mono_ms()};
    s->open_files.most = SC_STORES_FILES;
    enum sc_status status = sc_stores_add(s, options->lane, options->path, &own, err);
    if (status == SC_OK) {
        s->archiver = sc_archiver_create(own->path, options->log);
        if (s->archiver == NULL || sc_archiver_set(s->archiver, &options->archive) != SC_OK) {
            sc_archiver_free(s->archiver);
            close_lane(s, own, NULL);
            status = sc_fail_nomem(err, "a store");
        }
    }
    if (status != SC_OK) {
        free(s->lanes);
        return status;
    }
    pthread_mutex_init(&s->mutex, NULL);
    sc_clock_trust_init(&s->clock, options->window_s, options->reference, options->others);
    s->options.path = own->path;
    s->stats.lock = *sc_store_writer_lock_id(own->writer);
    sc_elements_init(&s->elements, own->path, options->io, options->log);
    (void)sc_store_prepare_horizon(own->path, options->io, NULL); /* else retention tells it */
    s->horizon_ms = sc_store_horizon(own->path);
    return SC_OK;
}

enum sc_status sc_stores_close(struct sc_stores *s, bool seal_all, struct sc_stores_stats *stats,
                               struct sc_error *err)
{
    enum sc_status status = SC_OK;
    if (!s->stats.taken)
        sc_elements_write(&s->elements);
    for (uint32_t i = 0; i < s->lane_count && seal_all && !s->stats.taken; i++)
        add_status(&status, sc_store_writer_seal(s->lanes[i].writer, UINT64_MAX, err), &err);
    if (seal_all && !s->stats.taken)
        (void)sc_days_make(s->options.path, UINT_MAX, true, s->options.io);
    sc_stores_get_stats(s, stats == NULL ? &s->stats : stats);
    sc_archiver_free(s->archiver);
    for (uint32_t i = 0; i < s->lane_count; i++)
        add_status(&status, close_lane(s, &s->lanes[i], err), &err);
    sc_elements_free(&s->elements);
    pthread_mutex_destroy(&s->mutex);
    free(s->lanes);
    return status;
}
