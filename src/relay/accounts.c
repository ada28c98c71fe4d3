// SPDX-License-Identifier: BSD-3-Clause
#include "relay/accounts.h"

#include "base/array.h"
#include "base/bytes.h"
#include "base/clock.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_FOR_MS 60000u
#define KEPT_FOR_MS                                                                                          \
    86400000u /* how much later than those of newer windows a batch may be accepted; nobody takes one that is a day ahead */
#define RECORD_BYTES 72u
#define BLOCK        56u  /* records for which space is taken at a time: what fits 4 KiB */
#define SPARE        8u   /* records that have space before they are needed */
#define UNTOLD_S     300u /* what was written so long before a process ended may not have been told to all */
#define SUFFIX       ".accounts"

static const char magic[] = {'S', 'C', 'A', 'C'};

struct account {
    struct sc_link_tally tally;
    uint64_t next;       /* sequence after the last that was accepted */
    uint64_t changed_ms; /* monotonic */
    uint32_t slot;       /* in the stream's file */
    uint32_t saved_s;    /* wall clock: when it was written there; 0: by an earlier version */
};

struct sc_accounts {
    pthread_mutex_t mutex; /* never held while a file is touched */
    uint64_t (*mono_ms)(void);
    char *folder;
    uint64_t stream;
    struct sc_io *io;
    int handle;        /* of the own file, of the thread that accepts; -1: not made yet */
    uint32_t reserved; /* records in it that have their space */
    struct account *all;
    uint32_t count;
    uint64_t adopted; /* batches of earlier processes that are not safe yet */
    bool lost_track;  /* memory was short: nothing is ever called closed */
    uint64_t *unread; /* streams of earlier processes: what their files have to tell is for the next one */
    uint32_t unread_count;
};

/* ---- the file ---- */

static void path_of(const struct sc_accounts *a, uint64_t stream, char *out, size_t size)
{
    snprintf(out, size, "%s/%016llx" SUFFIX, a->folder, (unsigned long long)stream);
}

static void put_record(const struct account *one, uint8_t out[RECORD_BYTES])
{
    const struct sc_tally_count *c = &one->tally.lane.accepted;
    memset(out, 0, RECORD_BYTES);
    memcpy(out, magic, sizeof(magic));
    sc_store_le32(out + 4, one->tally.window_s);
    sc_store_le64(out + 8, one->tally.window_ms);
    sc_store_le32(out + 16, one->tally.lane.lane);
    sc_store_le32(out + 20, (uint32_t)(sc_clock_wall_ms() / 1000));
    sc_store_le64(out + 24, one->next);
    for (unsigned i = 0; i < 2; i++) {
        sc_store_le64(out + 32 + 8 * (size_t)i, c->batches[i]);
        sc_store_le64(out + 48 + 8 * (size_t)i, c->records[i]);
    }
    sc_store_le64(out + 64, sc_link_hash(out, 64));
}

static bool get_record(const uint8_t in[RECORD_BYTES], uint64_t stream, struct account *out)
{
    if (memcmp(in, magic, sizeof(magic)) != 0 || sc_load_le64(in + 64) != sc_link_hash(in, 64))
        return false;
    *out = (struct account){.tally = {.stream = stream,
                                      .window_ms = sc_load_le64(in + 8),
                                      .window_s = sc_load_le32(in + 4),
                                      .lane = {.lane = sc_load_le32(in + 16)}},
                            .next = sc_load_le64(in + 24),
                            .saved_s = sc_load_le32(in + 20)};
    struct sc_tally_lane *l = &out->tally.lane;
    for (unsigned i = 0; i < 2; i++) {
        l->accepted.batches[i] = sc_load_le64(in + 32 + 8 * (size_t)i);
        l->accepted.records[i] = sc_load_le64(in + 48 + 8 * (size_t)i);
    }
    l->safe = l->accepted; /* but for what is adopted */
    return out->tally.window_s != 0;
}

static bool is_unread(const struct sc_accounts *a, uint64_t stream)
{
    for (uint32_t i = 0; i < a->unread_count; i++) {
        if (a->unread[i] == stream)
            return true;
    }
    return false;
}

static int open_file(struct sc_accounts *a, uint64_t stream)
{
    char path[4096];
    path_of(a, stream, path, sizeof(path));
    return a->io->ops->open(a->io, path, true);
}

static bool write_at(struct sc_accounts *a, int handle, uint32_t slot, const uint8_t *records, size_t size)
{
    return sc_io_write_all_at(a->io, handle, (uint64_t)slot * RECORD_BYTES, records, size) == 0;
}

/* A full disk takes what goes over bytes that are there. */
static void reserve(struct sc_accounts *a, uint32_t slot)
{
    static const uint8_t zeros[BLOCK * RECORD_BYTES];
    if (slot + SPARE >= a->reserved && write_at(a, a->handle, a->reserved, zeros, sizeof(zeros)))
        a->reserved += BLOCK;
}

/* What cannot be written now is written with the next batch of the account. */
static void save(struct sc_accounts *a, const struct account *one)
{
    uint8_t record[RECORD_BYTES];
    bool own = one->tally.stream == a->stream;
    if (is_unread(a, one->tally.stream))
        return; /* it might go over what is for the next process */
    if (own && a->handle < 0)
        a->handle = open_file(a, a->stream);
    int handle = own ? a->handle : open_file(a, one->tally.stream);
    if (handle < 0)
        return;
    if (own)
        reserve(a, one->slot);
    put_record(one, record);
    bool written = write_at(a, handle, one->slot, record, sizeof(record));
    if (own && written && one->slot >= a->reserved)
        a->reserved = one->slot + 1;
    if (!own)
        a->io->ops->close(a->io, handle);
}

/* ---- accounts ---- */

/* Told for a minute since the last change, whatever the wall clock did; and a minute after the window's end, which is that of the
 * wall clock, to those who were away. */
static bool is_settled(const struct sc_accounts *a, const struct account *one, uint64_t now_ms)
{
    const struct sc_tally_lane *l = &one->tally.lane;
    bool safe = l->accepted.batches[0] == l->safe.batches[0] && l->accepted.batches[1] == l->safe.batches[1];
    return safe && one->tally.window_ms + (uint64_t)one->tally.window_s * 1000 + TOLD_FOR_MS < now_ms &&
           one->changed_ms + TOLD_FOR_MS < a->mono_ms();
}

static struct account *append(struct sc_accounts *a)
{
    return sc_array_more(a->all, a->count, 1) ? &a->all[a->count++] : NULL;
}

/* The first free place in a stream's file. */
static uint32_t next_slot(const struct sc_accounts *a, uint64_t stream)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->all[i].tally.stream == stream && a->all[i].slot >= next)
            next = a->all[i].slot + 1;
    }
    return next;
}

/* The newest stand at the end. */
static struct account *look_up(struct sc_accounts *a, const struct sc_batch_head *head)
{
    for (uint32_t i = a->count; i-- > 0;) {
        struct account *one = &a->all[i];
        if (one->tally.stream == head->id.stream && one->tally.window_ms == head->window_ms &&
            one->tally.lane.lane == head->id.lane)
            return one;
    }
    return NULL;
}

static struct account *make(struct account *place, const struct sc_batch_head *head, uint32_t slot)
{
    if (place != NULL)
        *place = (struct account){.tally = {.stream = head->id.stream,
                                            .window_ms = head->window_ms,
                                            .window_s = head->window_s,
                                            .lane = {.lane = head->id.lane}},
                                  .slot = slot};
    return place;
}

/* Of a stream, window and lane; made when missing. */
static struct account *find(struct sc_accounts *a, const struct sc_batch_head *head)
{
    struct account *one = look_up(a, head);
    if (one != NULL)
        return one;
    uint32_t slot = next_slot(a, head->id.stream);
    return make(append(a), head, slot);
}

/* One of which nothing more can come, when a batch of `head` is accepted. */
static struct account *find_over(struct sc_accounts *a, const struct sc_batch_head *head)
{
    for (uint32_t i = 0; i < a->count; i++) {
        struct account *one = &a->all[i];
        if (one->tally.stream == head->id.stream && one->tally.window_ms + KEPT_FOR_MS < head->window_ms &&
            is_settled(a, one, head->window_ms))
            return one;
    }
    return NULL;
}

/* As find, with the slot of an account that is over. Only for what is accepted, which comes about in the order of windows: drops are
 * told past what still waits in the queue, so that the batches of a window they are newer than may be yet to come. */
static struct account *find_next(struct sc_accounts *a, const struct sc_batch_head *head)
{
    struct account *one = look_up(a, head);
    if (one != NULL)
        return one;
    struct account *over = find_over(a, head);
    if (over == NULL)
        return find(a, head);
    uint32_t slot = over->slot;
    struct account *last = &a->all[a->count - 1];
    memmove(over, over + 1, (size_t)(last - over) * sizeof(*over));
    return make(last, head, slot);
}

static void add(struct sc_tally_count *c, const struct sc_batch_head *head)
{
    c->batches[head->record_kind & 1]++;
    c->records[head->record_kind & 1] += head->records;
}

static void take_back(struct sc_tally_count *c, const struct sc_batch_head *head)
{
    unsigned kind = head->record_kind & 1;
    c->batches[kind] -= c->batches[kind] != 0;
    c->records[kind] -= c->records[kind] < head->records ? c->records[kind] : head->records;
}

static void accept(struct account *one, const struct sc_batch_head *head)
{
    add(&one->tally.lane.accepted, head);
    one->next = head->id.sequence + 1;
}

void sc_accounts_accept(struct sc_accounts *a, const struct sc_batch_head *head)
{
    struct account now;
    pthread_mutex_lock(&a->mutex);
    struct account *one = find_next(a, head);
    a->lost_track = a->lost_track || one == NULL;
    if (one != NULL) {
        one->changed_ms = a->mono_ms();
        accept(one, head);
        now = *one;
    }
    pthread_mutex_unlock(&a->mutex);
    if (one != NULL)
        save(a, &now);
}

void sc_accounts_safe(struct sc_accounts *a, const struct sc_batch_head *head)
{
    pthread_mutex_lock(&a->mutex);
    struct account *one = find(a, head);
    a->adopted -= head->id.stream != a->stream && a->adopted != 0;
    a->lost_track = a->lost_track || one == NULL;
    if (one != NULL) {
        one->changed_ms = a->mono_ms();
        add(&one->tally.lane.safe, head);
    }
    pthread_mutex_unlock(&a->mutex);
}

void sc_accounts_lose(struct sc_accounts *a, uint64_t window_ms, uint32_t window_s,
                      const struct sc_tally_count *lost)
{
    const struct sc_batch_head head = {
        .id = {.stream = a->stream, .lane = SC_DROPPED_LANE}, .window_ms = window_ms, .window_s = window_s};
    struct account now;
    pthread_mutex_lock(&a->mutex);
    struct account *one = find(a, &head);
    a->lost_track = a->lost_track || one == NULL;
    if (one != NULL) {
        one->changed_ms = a->mono_ms();
        sc_tally_count_add(&one->tally.lane.accepted, lost);
        sc_tally_count_add(&one->tally.lane.safe, lost);
        now = *one;
    }
    pthread_mutex_unlock(&a->mutex);
    if (one != NULL)
        save(a, &now);
}

/* One that the file does not count was accepted in the last moment of its process. */
void sc_accounts_adopt(struct sc_accounts *a, const struct sc_batch_head *head)
{
    struct account now;
    bool unknown = false;
    pthread_mutex_lock(&a->mutex);
    struct account *one = find(a, head);
    a->adopted++;
    if (one != NULL) {
        one->changed_ms = a->mono_ms();
        unknown = head->id.sequence >= one->next;
        if (unknown)
            accept(one, head);
        else
            take_back(&one->tally.lane.safe, head);
        now = *one;
    }
    pthread_mutex_unlock(&a->mutex);
    if (unknown)
        save(a, &now);
}

/* ---- what earlier processes kept ---- */

/* False: the file does not say all that it has to say, or memory is short. */
static bool read_records(struct sc_accounts *a, uint64_t stream, int handle)
{
    uint8_t record[RECORD_BYTES];
    struct account one;
    size_t got;
    for (uint32_t slot = 0;; slot++) {
        uint64_t at = (uint64_t)slot * RECORD_BYTES;
        if (sc_io_read_all_at(a->io, handle, at, record, sizeof(record), &got) < 0)
            return false;
        if (got < sizeof(record))
            return true;
        if (!get_record(record, stream, &one))
            continue;
        struct account *place = append(a);
        if (place == NULL)
            return false;
        *place = one;
        place->slot = slot;
    }
}

/* All but the last accounts were told as they are. */
static enum sc_status load_file(struct sc_accounts *a, uint64_t stream)
{
    char path[4096];
    uint32_t first = a->count, last_s = 0;
    enum sc_status status = SC_OK;
    path_of(a, stream, path, sizeof(path));
    int handle = a->io->ops->open(a->io, path, false);
    if (handle < 0 || !read_records(a, stream, handle)) {
        a->count = first;
        if (sc_array_more(a->unread, a->unread_count, 1))
            a->unread[a->unread_count++] = stream;
        else
            status = SC_NOMEM;
    }
    if (handle >= 0)
        a->io->ops->close(a->io, handle);
    for (uint32_t i = first; i < a->count; i++)
        last_s = a->all[i].saved_s > last_s ? a->all[i].saved_s : last_s;
    for (uint32_t i = first; i < a->count; i++)
        a->all[i].changed_ms = a->all[i].saved_s + UNTOLD_S >= last_s ? a->mono_ms() : 0;
    return status;
}

static enum sc_status load(struct sc_accounts *a)
{
    const struct dirent *entry;
    enum sc_status status = SC_OK;
    DIR *dir = opendir(a->folder);
    if (dir == NULL)
        return SC_OK;
    while (status == SC_OK && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, SUFFIX) == 0)
            status = load_file(a, strtoull(name, NULL, 16));
    }
    closedir(dir);
    return status;
}

static bool all_settled(const struct sc_accounts *a, uint64_t stream, uint64_t now_ms)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->all[i].tally.stream == stream && !is_settled(a, &a->all[i], now_ms))
            return false;
    }
    return true;
}

static void forget(struct sc_accounts *a, uint64_t stream)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->all[i].tally.stream != stream)
            a->all[kept++] = a->all[i];
    }
    a->count = kept;
}

/* A stream of an earlier process of which all is told is forgotten. False: there is none. */
static bool take_settled(struct sc_accounts *a, uint64_t now_ms, uint64_t *stream)
{
    bool found = false;
    pthread_mutex_lock(&a->mutex);
    uint64_t judged = a->stream; /* those of a stream stand together, but for the own */
    for (uint32_t i = 0; i < a->count && !found; i++) {
        *stream = a->all[i].tally.stream;
        if (*stream == a->stream || *stream == judged || is_unread(a, *stream))
            continue;
        judged = *stream;
        found = all_settled(a, judged, now_ms);
    }
    if (found)
        forget(a, *stream);
    pthread_mutex_unlock(&a->mutex);
    return found;
}

static bool is_there(const struct sc_accounts *a)
{
    char path[4096];
    struct sc_file_id id;
    path_of(a, a->stream, path, sizeof(path));
    return a->handle < 0 || a->io->ops->identify(a->io, a->handle, path, &id) != 0 ||
           sc_io_is_at(a->io, &id, path);
}

/* False: there are not so many. */
static bool copy_of(struct sc_accounts *a, uint32_t i, struct account *out)
{
    pthread_mutex_lock(&a->mutex);
    bool found = i < a->count;
    if (found)
        *out = a->all[i];
    pthread_mutex_unlock(&a->mutex);
    return found;
}

void sc_accounts_look(struct sc_accounts *a)
{
    struct account one;
    if (is_there(a))
        return;
    a->io->ops->close(a->io, a->handle);
    a->handle = -1;
    for (uint32_t i = 0; copy_of(a, i, &one); i++)
        save(a, &one);
}

void sc_accounts_tidy(struct sc_accounts *a, uint64_t now_ms)
{
    uint64_t stream;
    char path[4096];
    while (take_settled(a, now_ms, &stream)) {
        path_of(a, stream, path, sizeof(path));
        a->io->ops->unlink(a->io, path);
    }
}

struct sc_accounts *sc_accounts_open(const char *folder, uint64_t stream, uint64_t (*mono_ms)(void),
                                     struct sc_io *io)
{
    struct sc_accounts *a = calloc(1, sizeof(*a));
    if (a == NULL || (a->folder = strdup(folder)) == NULL) {
        free(a);
        return NULL;
    }
    pthread_mutex_init(&a->mutex, NULL);
    a->mono_ms = mono_ms;
    a->stream = stream;
    a->handle = -1;
    a->io = io == NULL ? sc_io_system() : io;
    if (load(a) == SC_OK)
        return a;
    sc_accounts_free(a);
    return NULL;
}

void sc_accounts_free(struct sc_accounts *a)
{
    if (a == NULL)
        return;
    if (a->handle >= 0)
        a->io->ops->close(a->io, a->handle);
    pthread_mutex_destroy(&a->mutex);
    free(a->folder);
    free(a->all);
    free(a->unread);
    free(a);
}

bool sc_accounts_unread(const struct sc_accounts *a, char *path, size_t size)
{
    if (a->unread_count != 0)
        path_of(a, a->unread[0], path, size);
    return a->unread_count != 0;
}

/* ---- what is told ---- */

struct sc_link_stream sc_accounts_stream(struct sc_accounts *a, bool ended)
{
    struct sc_link_stream out = {.stream = a->stream};
    pthread_mutex_lock(&a->mutex);
    out.earlier_closed = a->adopted == 0 && a->unread_count == 0;
    out.closed = ended && !a->lost_track;
    for (uint32_t i = 0; i < a->count && out.closed; i++) {
        const struct sc_tally_lane *l = &a->all[i].tally.lane;
        out.closed = a->all[i].tally.stream != a->stream || (l->accepted.batches[0] == l->safe.batches[0] &&
                                                             l->accepted.batches[1] == l->safe.batches[1]);
    }
    pthread_mutex_unlock(&a->mutex);
    return out;
}

bool sc_accounts_tally(struct sc_accounts *a, uint32_t *at, uint64_t now_ms, struct sc_link_tally *out)
{
    bool found = false;
    pthread_mutex_lock(&a->mutex);
    for (; *at < a->count && !found; ++*at) {
        found = !is_settled(a, &a->all[*at], now_ms);
        if (found)
            *out = a->all[*at].tally;
    }
    pthread_mutex_unlock(&a->mutex);
    return found;
}
