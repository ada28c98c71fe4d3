// SPDX-License-Identifier: BSD-3-Clause
#include "relay/stock.h"

#include "base/array.h"
#include "base/bytes.h"
#include "store/catalogue.h"
#include "store/room.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- intervals ---- */

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_holds(const void *x, const void *y)
{
    const struct sc_link_holds *a = x, *b = y;
    int order = compare_numbers(a->stream, b->stream);
    return order != 0 ? order : compare_numbers(a->first, b->first);
}

uint32_t sc_holds_settle(struct sc_link_holds *list, uint32_t count)
{
    uint32_t kept = 0;
    if (count < 2)
        return count;
    qsort(list, count, sizeof(*list), compare_holds);
    for (uint32_t i = 1; i < count; i++) {
        struct sc_link_holds *last = &list[kept];
        bool touches = last->stream == list[i].stream &&
                       (list[i].first <= last->last || list[i].first - 1 == last->last);
        if (!touches)
            list[++kept] = list[i];
        else if (list[i].last > last->last)
            last->last = list[i].last;
    }
    return kept + 1;
}

static enum sc_status put(struct sc_link_holds **list, uint32_t *count, const struct sc_link_holds *one)
{
    if (!sc_array_more(*list, *count, 1))
        return SC_NOMEM;
    (*list)[(*count)++] = *one;
    return SC_OK;
}

/* What is left of one interval, of a stream whose others begin at `others`; both ascend. */
static enum sc_status put_rest(struct sc_link_holds **out, uint32_t *count, struct sc_link_holds one,
                               const struct sc_link_holds *others, uint32_t other_count)
{
    for (uint32_t i = 0; i < other_count && others[i].first <= one.last; i++) {
        if (others[i].last < one.first)
            continue;
        struct sc_link_holds before = one;
        if (others[i].first > one.first) {
            before.last = others[i].first - 1;
            SC_TRY(put(out, count, &before));
        }
        if (others[i].last >= one.last)
            return SC_OK;
        one.first = others[i].last + 1;
    }
    return put(out, count, &one);
}

static const struct sc_link_holds *of_stream(const struct sc_link_holds *list, uint32_t count,
                                             uint64_t stream, uint32_t *found)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (list[mid].stream < stream)
            low = mid + 1;
        else
            high = mid;
    }
    for (high = low; high < count && list[high].stream == stream;)
        high++;
    *found = high - low;
    return list + low;
}

enum sc_status sc_holds_without(struct sc_link_holds **list, uint32_t *count,
                                const struct sc_link_holds *others, uint32_t other_count)
{
    struct sc_link_holds *rest = NULL;
    uint32_t left = 0, found;
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < *count && status == SC_OK; i++) {
        const struct sc_link_holds *same = of_stream(others, other_count, (*list)[i].stream, &found);
        status = put_rest(&rest, &left, (*list)[i], same, found);
    }
    if (status != SC_OK) {
        free(rest);
        return status;
    }
    free(*list);
    *list = rest;
    *count = left;
    return SC_OK;
}

uint64_t sc_holds_batches(const struct sc_link_holds *list, uint32_t count)
{
    uint64_t batches = 0;
    for (uint32_t i = 0; i < count; i++)
        batches += list[i].last - list[i].first + 1;
    return batches;
}

/* ---- files ---- */

/* By lane and window; then by what tells two files apart. */
static int compare_windows(const struct sc_stock_file *a, const struct sc_stock_file *b)
{
    int order = compare_numbers(a->lane, b->lane);
    order = order != 0 ? order : compare_numbers(a->window_ms, b->window_ms);
    return order != 0 ? order : compare_numbers(a->window_s, b->window_s);
}

static int compare_files(const void *x, const void *y)
{
    const struct sc_stock_file *a = x, *b = y;
    int order = compare_windows(a, b);
    return order != 0 ? order : strcmp(a->path, b->path);
}

static int compare_paths(const void *x, const void *y)
{
    return strcmp(((const struct sc_stock_file *)x)->path, ((const struct sc_stock_file *)y)->path);
}

static void free_files(struct sc_stock_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(files[i].path);
        free(files[i].list);
    }
    free(files);
}

static void close_file(struct sc_stock_open *open)
{
    sc_segment_close(open->segment);
    free(open->list);
    *open = (struct sc_stock_open){0};
}

void sc_stock_free(struct sc_stock *s)
{
    for (uint32_t i = 0; i < SC_STOCK_OPEN; i++)
        close_file(&s->open[i]);
    free_files(s->files, s->count);
    free(s->digests);
    sc_told_free(&s->told);
    *s = (struct sc_stock){.store = s->store};
}

/* The batches of a row group; `tag` stands where a lane would. */
static enum sc_status add_group(struct sc_read_context *context, const struct sc_segment *segment,
                                uint32_t index, uint32_t tag, struct sc_link_holds **list, uint32_t *count)
{
    struct sc_row_group *group;
    sc_read_context_reset(context);
    SC_TRY(sc_row_group_open(context, segment, index, &group, NULL));
    for (uint32_t i = 0; i < group->span_count; i++) {
        const struct sc_span *span = &group->spans[i];
        struct sc_link_holds *last = *count == 0 ? NULL : &(*list)[*count - 1];
        if (last != NULL && last->lane == tag && last->stream == span->stream &&
            last->last + 1 == span->sequence) {
            last->last++;
            continue;
        }
        const struct sc_link_holds one = {tag,          segment->window_ms, segment->window_s,
                                          span->stream, span->sequence,     span->sequence};
        SC_TRY(put(list, count, &one));
    }
    return SC_OK;
}

static enum sc_status read_groups(struct sc_stock *s, const struct sc_segment *segment, bool tagged,
                                  struct sc_link_holds **list, uint32_t *count)
{
    struct sc_read_context context;
    SC_TRY(sc_read_context_init(&context));
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < segment->group_count && status != SC_NOMEM; i++) {
        status = add_group(&context, segment, i, tagged ? i : segment->lane, list, count);
        s->unreadable += status != SC_OK && status != SC_NOMEM;
    }
    sc_read_context_free(&context);
    return status == SC_NOMEM ? status : SC_OK;
}

/* One that is gone, or unreadable, holds nothing, and is looked at again with the next listing. */
static enum sc_status read_file(struct sc_stock *s, struct sc_stock_file *file, bool *gone)
{
    struct sc_segment *segment;
    uint32_t unreadable = s->unreadable;
    enum sc_status status = sc_segment_open(file->path, &segment, NULL);
    if (status != SC_OK) {
        *gone = *gone || status == SC_NOTFOUND;
        s->unreadable += status != SC_NOTFOUND && status != SC_NOMEM;
        return status == SC_NOMEM ? status : SC_OK;
    }
    file->lane = segment->lane;
    file->window_ms = segment->window_ms;
    file->window_s = segment->window_s;
    status = read_groups(s, segment, false, &file->list, &file->count);
    file->count = sc_holds_settle(file->list, file->count);
    file->known = s->unreadable == unreadable;
    sc_segment_close(segment);
    return status;
}

/* ---- listing ---- */

/* Takes over what is known of the file, when it has not grown. Of what a repair kept (.damaged) there is nothing to be known. */
static bool take_known(struct sc_stock *s, struct sc_stock_file *file)
{
    struct sc_stock_file *known =
        s->count == 0 ? NULL : bsearch(file, s->files, s->count, sizeof(*file), compare_paths);
    if (known == NULL || !known->known || known->bytes != file->bytes)
        return false;
    char *path = file->path;
    *file = *known;
    file->path = path;
    known->list = NULL;
    known->known = false;
    return true;
}

static enum sc_status take_listed(struct sc_stock *s, struct sc_catalogue *c, struct sc_stock_file *fresh,
                                  bool *gone)
{
    if (s->count > 1)
        qsort(s->files, s->count, sizeof(*s->files), compare_paths);
    for (uint32_t i = 0; i < c->count; i++) {
        fresh[i] = (struct sc_stock_file){
            .path = c->files[i].path, .window_ms = c->files[i].window_ms, .bytes = c->files[i].bytes};
        c->files[i].path = NULL;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (!c->files[i].damaged && !take_known(s, &fresh[i]))
            SC_TRY(read_file(s, &fresh[i], gone));
    }
    return SC_OK;
}

/* ---- digests ---- */

static enum sc_status gather(const struct sc_stock_file *files, uint32_t count, struct sc_link_holds **out,
                             uint32_t *held)
{
    *out = NULL;
    *held = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < files[i].count; k++) {
            if (put(out, held, &files[i].list[k]) == SC_OK)
                continue;
            free(*out);
            return SC_NOMEM;
        }
    }
    *held = sc_holds_settle(*out, *held);
    return SC_OK;
}

/* Compared between nodes: not seeded. */
static uint64_t hash_holds(const struct sc_link_holds *list, uint32_t count)
{
    uint8_t bytes[32];
    uint64_t hash = 1;
    for (uint32_t i = 0; i < count; i++) {
        sc_store_le64(bytes, hash);
        sc_store_le64(bytes + 8, list[i].stream);
        sc_store_le64(bytes + 16, list[i].first);
        sc_store_le64(bytes + 24, list[i].last);
        hash = sc_link_hash(bytes, sizeof(bytes));
    }
    return hash;
}

static uint32_t same_window(const struct sc_stock *s, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < s->count && compare_windows(&s->files[first], &s->files[end]) == 0)
        end++;
    return end;
}

static enum sc_status make_digests(struct sc_stock *s)
{
    struct sc_link_holds *list;
    uint32_t held;
    free(s->digests);
    s->digests = NULL;
    s->digest_count = 0;
    for (uint32_t i = 0, end; i < s->count; i = end) {
        const struct sc_stock_file *f = &s->files[i];
        end = same_window(s, i);
        SC_TRY(gather(f, end - i, &list, &held));
        const struct sc_link_digest one = {f->lane, f->window_ms, f->window_s, sc_holds_batches(list, held),
                                           hash_holds(list, held)};
        free(list);
        if (held == 0)
            continue;
        if (!sc_array_more(s->digests, s->digest_count, 1))
            return SC_NOMEM;
        s->digests[s->digest_count++] = one;
    }
    return sc_told_digests(&s->told, &s->digests, &s->digest_count);
}

/* What was sealed or has expired takes no room any more. */
static void close_gone(struct sc_stock *s)
{
    for (uint32_t i = 0; i < SC_STOCK_OPEN; i++) {
        if (s->open[i].segment != NULL && access(s->open[i].segment->path, F_OK) != 0)
            close_file(&s->open[i]);
    }
}

/* *gone: a file was sealed or has expired since it was listed; what it held may be in one that was not listed. */
static enum sc_status refresh_once(struct sc_stock *s, bool *gone, struct sc_error *err)
{
    struct sc_catalogue c = {.replicas = true, .with_damaged = true};
    *gone = false;
    enum sc_status status = sc_catalogue_add(&c, s->store, err);
    struct sc_stock_file *fresh = status == SC_OK ? calloc((size_t)c.count + 1, sizeof(*fresh)) : NULL;
    if (fresh == NULL) {
        sc_catalogue_free(&c);
        return status == SC_OK ? sc_fail_nomem(err, "the list of batches") : status;
    }
    s->unreadable = 0;
    s->told.store = s->store;
    status = sc_told_refresh(&s->told, &c);
    if (status != SC_OK) {
        free(fresh);
        sc_catalogue_free(&c);
        return sc_fail_nomem(err, "the list of tallies");
    }
    status = take_listed(s, &c, fresh, gone);
    free_files(s->files, s->count);
    s->files = fresh;
    s->count = c.count;
    qsort(s->files, s->count, sizeof(*s->files), compare_files);
    if (status == SC_OK)
        status = make_digests(s);
    sc_catalogue_free(&c);
    if (status == SC_OK)
        return SC_OK;
    sc_stock_free(s); /* what was not read is not to be taken for known */
    return sc_fail_nomem(err, "the list of batches");
}

#define MOST_LISTINGS 50

enum sc_status sc_stock_refresh(struct sc_stock *s, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    bool gone = true;
    close_gone(s);
    for (unsigned listing = 0; listing < MOST_LISTINGS && status == SC_OK && gone; listing++)
        status = refresh_once(s, &gone, err);
    if (status == SC_OK && gone)
        return sc_fail(err, SC_IO, "the store changes faster than it can be listed");
    return status;
}

enum sc_status sc_stock_digests(const struct sc_stock *s, uint64_t from_ms, uint64_t end_ms,
                                struct sc_link_digest **out, uint32_t *count)
{
    *out = malloc(((size_t)s->digest_count + 1) * sizeof(**out));
    *count = 0;
    if (*out == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < s->digest_count; i++) {
        const struct sc_link_digest *d = &s->digests[i];
        bool over = d->window_ms >= from_ms && d->window_ms + (uint64_t)d->window_s * 1000 <= end_ms;
        if (!over && d->window_ms != 0) /* streams have no window */
            continue;
        (*out)[(*count)++] = *d;
    }
    return SC_OK;
}

uint64_t sc_digests_hash(const struct sc_link_digest *list, uint32_t count)
{
    uint8_t bytes[32];
    uint64_t hash = 1;
    for (uint32_t i = 0; i < count; i++) {
        sc_store_le64(bytes, hash);
        sc_store_le64(bytes + 8, list[i].window_ms);
        sc_store_le64(bytes + 16, (uint64_t)list[i].lane << 32 | list[i].window_s);
        sc_store_le64(bytes + 24, list[i].hash);
        hash = sc_link_hash(bytes, sizeof(bytes)) | 1;
    }
    return hash;
}

uint64_t sc_stock_bytes(const struct sc_stock *s, uint64_t before_ms)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->count; i++)
        bytes += s->files[i].window_ms >= before_ms ? 0 : s->files[i].bytes;
    return bytes;
}

static uint64_t bytes_before(const void *arg, uint64_t before_ms)
{
    return sc_stock_bytes(arg, before_ms);
}

uint64_t sc_stock_kept_from(const struct sc_stock *s, uint64_t most)
{
    return sc_room_from(most, bytes_before, s);
}

/* ---- of one window ---- */

/* @return the first of its files. */
static const struct sc_stock_file *find_files(const struct sc_stock *s, uint32_t lane,
                                              const struct sc_window *window, uint32_t *count)
{
    const struct sc_stock_file key = {
        .lane = lane, .window_ms = window->begin_ms, .window_s = window->length_s};
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (compare_windows(&s->files[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    bool found = low < s->count && compare_windows(&s->files[low], &key) == 0;
    *count = found ? same_window(s, low) - low : 0;
    return s->files + low;
}

enum sc_status sc_stock_holds(const struct sc_stock *s, uint32_t lane, const struct sc_window *window,
                              struct sc_link_holds **out, uint32_t *count)
{
    uint32_t files;
    const struct sc_stock_file *first = find_files(s, lane, window, &files);
    return gather(first, files, out, count);
}

static const struct sc_link_holds *find_batch(const struct sc_link_holds *list, uint32_t count,
                                              uint64_t stream, uint64_t sequence)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].stream == stream && list[i].first <= sequence && sequence <= list[i].last)
            return &list[i];
    }
    return NULL;
}

/* Opens the file, in the place of the one that was not read for longest. NULL: it can't be, or is gone. */
static struct sc_stock_open *open_file(struct sc_stock *s, const struct sc_stock_file *file)
{
    struct sc_stock_open *oldest = &s->open[0];
    for (uint32_t i = 0; i < SC_STOCK_OPEN; i++) {
        struct sc_stock_open *o = &s->open[i];
        if (o->segment != NULL && strcmp(o->segment->path, file->path) == 0 &&
            o->segment->file_bytes == file->bytes)
            return o;
        oldest = o->used < oldest->used ? o : oldest;
    }
    close_file(oldest);
    if (sc_segment_open(file->path, &oldest->segment, NULL) != SC_OK)
        return NULL;
    if (read_groups(s, oldest->segment, true, &oldest->list, &oldest->count) == SC_OK)
        return oldest;
    close_file(oldest);
    return NULL;
}

/* As it stands in the file, and whole. */
static enum sc_status read_whole(const struct sc_row_group *group, struct sc_buf *bytes, struct sc_error *err)
{
    struct sc_encoded_group whole;
    SC_TRY(sc_row_group_bytes(group, bytes, err));
    SC_TRY(sc_row_group_check(bytes->data, bytes->len, &whole, err));
    sc_encoded_group_free(&whole);
    return SC_OK;
}

static enum sc_status read_group(const struct sc_segment *segment, uint32_t index, struct sc_batch_head *head,
                                 struct sc_buf *bytes, struct sc_error *err)
{
    struct sc_read_context context;
    struct sc_row_group *group;
    if (sc_read_context_init(&context) != SC_OK)
        return sc_fail_nomem(err, "a row group");
    enum sc_status status = sc_row_group_open(&context, segment, index, &group, err);
    if (status == SC_OK)
        status = read_whole(group, bytes, err);
    if (status == SC_OK)
        *head = (struct sc_batch_head){
            .id = {group->spans[0].stream, group->spans[0].sequence, group->spans[0].lane},
            .window_ms = segment->window_ms,
            .window_s = segment->window_s,
            .records = group->rows,
            .size = (uint32_t)bytes->len,
            .record_kind = (uint8_t)group->record_kind,
            .hash = sc_link_hash(bytes->data, bytes->len)};
    sc_read_context_free(&context);
    return status;
}

/* Of one file. SC_NOTFOUND: it is not in it, or the link takes no row group of that size. */
static enum sc_status read_batch(struct sc_stock *s, const struct sc_stock_file *file, uint64_t stream,
                                 uint64_t sequence, struct sc_batch_head *head, struct sc_buf *bytes,
                                 struct sc_error *err)
{
    if (find_batch(file->list, file->count, stream, sequence) == NULL)
        return SC_NOTFOUND;
    struct sc_stock_open *open = open_file(s, file);
    const struct sc_link_holds *at =
        open == NULL ? NULL : find_batch(open->list, open->count, stream, sequence);
    if (at == NULL)
        return SC_NOTFOUND;
    open->used = ++s->ticks;
    return open->segment->groups[at->lane].length > SC_LINK_MAX_BATCH
               ? SC_NOTFOUND
               : read_group(open->segment, at->lane, head, bytes, err);
}

/* A batch may be held twice: what one file has damaged, another one may have whole. */
enum sc_status sc_stock_group(struct sc_stock *s, uint32_t lane, const struct sc_window *window,
                              uint64_t stream, uint64_t sequence, struct sc_batch_head *head,
                              struct sc_buf *bytes, struct sc_error *err)
{
    uint32_t files;
    const struct sc_stock_file *f = find_files(s, lane, window, &files);
    enum sc_status worst = sc_fail(err, SC_NOTFOUND, "the batch is not here any more");
    for (uint32_t i = 0; i < files; i++) {
        enum sc_status status = read_batch(s, &f[i], stream, sequence, head, bytes, err);
        if (status == SC_OK)
            return SC_OK;
        worst = status == SC_NOTFOUND ? worst : status;
    }
    return worst;
}
