// SPDX-License-Identifier: BSD-3-Clause
#include "collect/keeper.h"

#include "base/clock.h"
#include "base/hash.h"
#include "collect/templates.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RETRY_MS   2000u
#define QUIET_MS   60000u              /* after a line in the log that the disk refuses */
#define TOLD_BYTES ((size_t)256 << 10) /* of what was loaded, at once */

/* The thread's, while it runs; else the caller's. */
struct files {
    struct sc_io *io;
    int journal; /* -1: there is none to append to, a compaction makes one */
    uint64_t salt;
    bool failed; /* what it did last was in vain */
    uint64_t quiet_until_ms;
    struct sc_buf records, frames;
    atomic_ullong state_bytes, journal_bytes, saved_ms, left_out;
};

struct sc_keeper {
    struct sc_keeper_options options;
    struct files files;
    struct sc_buf waiting; /* a list of records */
    uint64_t retry_ms;     /* not before */
    pthread_t thread;
    bool running; /* the thread is to be joined */
    bool anew;    /* the files are gone: the journal is that of no name */
    bool given_up;
    atomic_bool ready; /* it is at its end */
};

struct sc_keeper *sc_keeper_create(const struct sc_keeper_options *options)
{
    struct sc_keeper *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    k->options = *options;
    k->files.io = options->io == NULL ? sc_io_system() : options->io;
    k->files.journal = -1;
    if (k->options.waiting_bytes == 0)
        k->options.waiting_bytes = SC_KEEPER_WAITING;
    return k;
}

void sc_keeper_look(const struct sc_keeper *k, struct sc_keeper_view *out)
{
    *out = (struct sc_keeper_view){.state_bytes = atomic_load(&k->files.state_bytes),
                                   .journal_bytes = atomic_load(&k->files.journal_bytes),
                                   .saved_ms = atomic_load(&k->files.saved_ms),
                                   .left_out = atomic_load(&k->files.left_out)};
}

/* ---- reading ---- */

static void log_left_out(struct sc_keeper *k, const struct sc_roll *roll)
{
    char exporter[SC_ADDR_TEXT_MAX];
    if (roll->left_out == 0)
        return;
    atomic_fetch_add(&k->files.left_out, roll->left_out);
    sc_addr_format(&roll->left_out_of, exporter);
    sc_log(&k->options.log, SC_LOG_WARNING,
           "templates of %llu sessions, at last of exporter %s, are not kept over a restart: there is room "
           "for %zu "
           "bytes",
           (unsigned long long)roll->left_out, exporter, roll->most);
}

/* Both files of the store; of what could not be read there is a line in the log. */
static void read_files(struct sc_keeper *k, struct sc_roll *roll)
{
    struct sc_templates_read found;
    struct sc_error err;
    bool again = sc_clock_mono_ms() < k->files.quiet_until_ms; /* the same was told before what failed */
    sc_roll_init(roll, SC_TEMPLATES_MOST_BYTES);
    if (sc_templates_read(k->options.store, &k->options.limits, sc_clock_wall_ms(), roll, &found, &err) !=
            SC_OK &&
        !again)
        sc_log(&k->options.log, SC_LOG_WARNING, "saved templates are not used: %s", err.message);
    if (found.damaged != 0 && !again)
        sc_log(&k->options.log, SC_LOG_WARNING,
               "saved templates are not used where they are damaged, in %llu places; %u sessions are whole",
               (unsigned long long)found.damaged, roll->count);
    log_left_out(k, roll);
    atomic_store(&k->files.state_bytes, found.state_bytes);
    atomic_store(&k->files.journal_bytes, found.journal_bytes);
}

/* Into the decoders. False: not into all of them. */
static bool load_entry(struct sc_keeper *k, const struct sc_roll_entry *e, uint64_t now_ms,
                       struct sc_error *err)
{
    bool loaded = true;
    for (uint32_t i = 0; i < k->options.count; i++) {
        struct sc_decoder *decoder = sc_receiver_decoder(k->options.receivers[i]);
        loaded &= sc_decoder_load_record(decoder, e->record, e->length, now_ms, err) == SC_OK;
    }
    return loaded;
}

static void tell(struct sc_keeper *k, struct sc_buf *list)
{
    if (k->options.tell != NULL && list->len != 0)
        k->options.tell(k->options.arg, list->data, list->len);
    sc_buf_clear(list);
}

void sc_keeper_load(struct sc_keeper *k)
{
    struct sc_roll roll;
    struct sc_buf told = {0};
    struct sc_error err;
    uint64_t now = sc_clock_wall_ms(), bad = 0;
    read_files(k, &roll);
    for (const struct sc_roll_entry *e = sc_roll_after(&roll, 0); e != NULL;
         e = sc_roll_after(&roll, e->number)) {
        if (e->head.outlived_ms <= now)
            continue;
        bad += !load_entry(k, e, now, &err);
        sc_record_append(&told, e->record, e->length);
        if (told.len >= TOLD_BYTES)
            tell(k, &told);
    }
    tell(k, &told);
    if (bad != 0)
        sc_log(&k->options.log, SC_LOG_WARNING, "saved templates of %llu sessions are not used: %s",
               (unsigned long long)bad, err.message);
    sc_buf_free(&told);
    sc_roll_free(&roll);
}

/* ---- writing ---- */

static void close_journal(struct sc_keeper *k)
{
    if (k->files.journal >= 0)
        k->files.io->ops->close(k->files.io, k->files.journal);
    k->files.journal = -1;
}

/* The state anew, from both files; then an empty journal. When it ends in between, the journal says again what the state has. */
static enum sc_status compact(struct sc_keeper *k, struct sc_error *err)
{
    struct files *f = &k->files;
    struct sc_roll roll;
    uint64_t bytes;
    close_journal(k);
    read_files(k, &roll);
    enum sc_status status =
        sc_templates_replace(k->options.store, &roll, sc_clock_wall_ms(), f->io, &bytes, err);
    sc_roll_free(&roll);
    if (status != SC_OK)
        return status;
    atomic_store(&f->state_bytes, bytes);
    f->salt = sc_hash_draw_seed();
    SC_TRY(sc_templates_begin_journal(k->options.store, f->salt, f->io, &f->journal, err));
    atomic_store(&f->journal_bytes, SC_TEMPLATES_HEAD_BYTES);
    return SC_OK;
}

/* A session without templates is none to keep, unless an earlier record has some. */
static void put_frames(struct files *f)
{
    struct sc_cursor list = {.data = f->records.data, .len = f->records.len};
    struct sc_record_head head;
    const uint8_t *record;
    uint32_t length;
    sc_buf_clear(&f->frames);
    while (sc_record_next(&list, &record, &length)) {
        if (sc_record_head(record, length, &head) == SC_OK && (!head.bare || head.forget))
            sc_templates_put_frame(&f->frames, f->salt, record, length);
    }
}

static enum sc_status append(struct sc_keeper *k, struct sc_error *err)
{
    struct files *f = &k->files;
    put_frames(f);
    if (!sc_buf_ok(&f->frames))
        return sc_fail_nomem(err, "the journal of templates");
    if (f->frames.len == 0)
        return SC_OK;
    int result = sc_io_write_all(f->io, f->journal, f->frames.data, f->frames.len);
    if (result == 0)
        result = f->io->ops->datasync(f->io, f->journal);
    if (result != 0)
        return sc_fail_errno(err, -result, "cannot write %s/templates.journal", k->options.store);
    atomic_fetch_add(&f->journal_bytes, f->frames.len);
    atomic_store(&f->saved_ms, sc_clock_wall_ms());
    return SC_OK;
}

static enum sc_status write_records(struct sc_keeper *k, struct sc_error *err)
{
    struct files *f = &k->files;
    if (f->journal < 0 || atomic_load(&f->journal_bytes) > atomic_load(&f->state_bytes) + SC_KEEPER_SLACK)
        SC_TRY(compact(k, err));
    return append(k, err);
}

/* It is tried again every two seconds, for as long as the disk refuses: a line a minute says so. */
static void tell_failure(struct sc_keeper *k, const struct sc_error *err)
{
    uint64_t now = sc_clock_mono_ms();
    if (now < k->files.quiet_until_ms)
        return;
    k->files.quiet_until_ms = now + QUIET_MS;
    sc_log(&k->options.log, SC_LOG_WARNING, "template state: %s; it is tried again", err->message);
}

/* A journal that was not written to the end is not appended to any more: what is whole in it goes to the next state. */
static void *write_out(void *arg)
{
    struct sc_keeper *k = arg;
    struct sc_error err;
    k->files.failed = write_records(k, &err) != SC_OK;
    if (k->files.failed) {
        tell_failure(k, &err);
        close_journal(k);
    }
    atomic_store(&k->ready, true);
    return NULL;
}

/* ---- from the receivers to the thread ---- */

static void take_changes(struct sc_keeper *k)
{
    struct sc_buf list = {0};
    for (uint32_t i = 0; i < k->options.count; i++) {
        sc_receiver_take_changes(k->options.receivers[i], &list);
        sc_buf_append(&k->waiting, list.data, list.len);
        tell(k, &list);
        sc_buf_free(&list);
    }
    if (sc_buf_ok(&k->waiting))
        return;
    k->waiting.failed = false;
    sc_log(&k->options.log, SC_LOG_WARNING,
           "template state: out of memory, some of it is not kept over a restart");
}

/* What was written is done with; what was not is written again, before what came since. */
static void settle(struct sc_keeper *k)
{
    struct files *f = &k->files;
    if (!f->failed) {
        sc_buf_clear(&f->records);
        return;
    }
    f->failed = false;
    k->retry_ms = sc_clock_mono_ms() + RETRY_MS;
}

static void join(struct sc_keeper *k)
{
    if (!k->running)
        return;
    pthread_join(k->thread, NULL);
    k->running = false;
    settle(k);
}

/* Gives the thread what waits. False: there is nothing, or no memory. */
static bool load_thread(struct sc_keeper *k)
{
    struct files *f = &k->files;
    if (f->records.len == 0) {
        struct sc_buf empty = f->records;
        f->records = k->waiting;
        k->waiting = empty;
    } else {
        sc_buf_append(&f->records, k->waiting.data, k->waiting.len);
        if (sc_buf_ok(&f->records))
            sc_buf_clear(&k->waiting);
        f->records.failed = false;
    }
    if (k->anew)
        close_journal(k);
    k->anew = false;
    atomic_store(&k->ready, false);
    return f->records.len != 0 && !k->given_up;
}

void sc_keeper_begin_anew(struct sc_keeper *k)
{
    k->anew = true;
    for (uint32_t i = 0; i < k->options.count; i++)
        sc_receiver_change_all(k->options.receivers[i]);
}

void sc_keeper_give_up(struct sc_keeper *k)
{
    k->given_up = true;
}

void sc_keeper_tick(struct sc_keeper *k)
{
    if (k->waiting.len + k->files.records.len < k->options.waiting_bytes)
        take_changes(k);
    if (k->running && !atomic_load(&k->ready))
        return;
    join(k);
    if (sc_clock_mono_ms() < k->retry_ms || !load_thread(k))
        return;
    k->running = pthread_create(&k->thread, NULL, write_out, k) == 0;
    if (k->running)
        return;
    write_out(k);
    settle(k);
}

void sc_keeper_finish(struct sc_keeper *k)
{
    if (k == NULL)
        return;
    join(k);
    take_changes(k);
    if (load_thread(k))
        write_out(k);
    close_journal(k);
    sc_buf_free(&k->files.records);
    sc_buf_free(&k->files.frames);
    sc_buf_free(&k->waiting);
    free(k);
}
