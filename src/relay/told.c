// SPDX-License-Identifier: BSD-3-Clause
#include "relay/told.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void free_files(struct sc_told_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(files[i].path);
    free(files);
}

void sc_told_free(struct sc_told *told)
{
    free_files(told->files, told->count);
    *told = (struct sc_told){.store = told->store};
}

/* ---- hashes: compared between nodes, not seeded ---- */

static int compare_lanes(const void *x, const void *y)
{
    uint32_t a = ((const struct sc_tally_lane *)x)->lane, b = ((const struct sc_tally_lane *)y)->lane;
    return a < b ? -1 : a > b;
}

static uint64_t mix(uint64_t hash, uint64_t number)
{
    uint8_t bytes[16];
    sc_store_le64(bytes, hash);
    sc_store_le64(bytes + 8, number);
    return sc_link_hash(bytes, sizeof(bytes));
}

static uint64_t mix_count(uint64_t hash, const struct sc_tally_count *count)
{
    for (int kind = 0; kind < 2; kind++)
        hash = mix(mix(hash, count->batches[kind]), count->records[kind]);
    return hash;
}

static uint64_t hash_tally(struct sc_tally *tally)
{
    uint64_t hash = mix(tally->stream, tally->window_ms);
    qsort(tally->lanes, tally->lane_count, sizeof(*tally->lanes), compare_lanes);
    for (uint32_t i = 0; i < tally->lane_count; i++) {
        hash = mix(hash, tally->lanes[i].lane);
        hash = mix_count(mix_count(hash, &tally->lanes[i].accepted), &tally->lanes[i].safe);
    }
    return hash;
}

/* ---- reading ---- */

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static int compare_files(const void *x, const void *y)
{
    return strcmp(name_of(((const struct sc_told_file *)x)->path),
                  name_of(((const struct sc_told_file *)y)->path));
}

static void read_file(struct sc_told_file *file)
{
    struct sc_tally tally;
    if (sc_tally_read(file->path, &tally, NULL) != SC_OK)
        return;
    file->window_ms = tally.window_ms;
    file->window_s = tally.window_s;
    file->hash = hash_tally(&tally);
    sc_tally_free(&tally);
}

/* What was read of it before holds while it is the same file. */
static void look(const struct sc_told *told, struct sc_told_file *file)
{
    struct stat st;
    const struct sc_told_file *before =
        told->count == 0 ? NULL : bsearch(file, told->files, told->count, sizeof(*file), compare_files);
    if (stat(file->path, &st) != 0)
        return;
    file->bytes = (uint64_t)st.st_size;
    file->changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    if (before == NULL || before->window_s == 0 || before->bytes != file->bytes ||
        before->changed_ns != file->changed_ns) {
        read_file(file);
        return;
    }
    file->window_ms = before->window_ms;
    file->window_s = before->window_s;
    file->hash = before->hash;
}

static int compare_streams(const void *x, const void *y)
{
    uint64_t a = ((const struct sc_stream *)x)->stream, b = ((const struct sc_stream *)y)->stream;
    return a < b ? -1 : a > b;
}

/* When one was heard of does not count: it is told anew all the time. */
static void look_at_streams(struct sc_told *told)
{
    struct sc_stream *list;
    uint64_t hash = 1;
    told->streams = 0;
    told->streams_hash = 0;
    if (sc_stream_list(told->store, &list, &told->streams, NULL) != SC_OK)
        return;
    if (told->streams > 1)
        qsort(list, told->streams, sizeof(*list), compare_streams);
    for (uint32_t i = 0; i < told->streams; i++)
        hash = mix(mix(hash, list[i].stream), list[i].closed);
    told->streams_hash = told->streams == 0 ? 0 : hash;
    free(list);
}

enum sc_status sc_told_refresh(struct sc_told *told, const struct sc_catalogue *listed)
{
    struct sc_told_file *fresh = calloc((size_t)listed->tally_count + 1, sizeof(*fresh));
    if (fresh == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < listed->tally_count; i++) {
        fresh[i].path = strdup(listed->tallies[i].path);
        if (fresh[i].path == NULL) {
            free_files(fresh, i);
            return SC_NOMEM;
        }
        look(told, &fresh[i]);
    }
    free_files(told->files, told->count);
    told->files = fresh;
    told->count = listed->tally_count;
    qsort(told->files, told->count, sizeof(*told->files), compare_files);
    look_at_streams(told);
    return SC_OK;
}

/* ---- telling ---- */

static enum sc_status put_digest(struct sc_link_digest **list, uint32_t *count,
                                 const struct sc_link_digest *one)
{
    if (!sc_array_more(*list, *count, 1))
        return SC_NOMEM;
    (*list)[(*count)++] = *one;
    return SC_OK;
}

enum sc_status sc_told_digests(const struct sc_told *told, struct sc_link_digest **list, uint32_t *count)
{
    struct sc_link_digest one = {SC_TOLD_LANE, 0, 0, told->streams, told->streams_hash};
    SC_TRY(told->streams == 0 ? SC_OK : put_digest(list, count, &one));
    for (uint32_t i = 0, next; i < told->count; i = next) {
        const struct sc_told_file *f = &told->files[i];
        one = (struct sc_link_digest){SC_TOLD_LANE, f->window_ms, f->window_s, 0, 1};
        for (next = i; next < told->count && told->files[next].window_ms == f->window_ms; next++) {
            one.batches += told->files[next].window_s != 0;
            one.hash = mix(one.hash, told->files[next].hash);
        }
        SC_TRY(f->window_s == 0 ? SC_OK : put_digest(list, count, &one));
    }
    return SC_OK;
}

static enum sc_status put_record(struct sc_link_told **out, uint32_t *count, const struct sc_link_told *one)
{
    if (!sc_array_more(*out, *count, 1))
        return SC_NOMEM;
    (*out)[(*count)++] = *one;
    return SC_OK;
}

static enum sc_status put_tally(const char *path, struct sc_link_told **out, uint32_t *count)
{
    struct sc_tally tally;
    enum sc_status status = SC_OK;
    if (sc_tally_read(path, &tally, NULL) != SC_OK) /* it has expired, or is damaged */
        return SC_OK;
    struct sc_link_told one = {
        .tally = {.stream = tally.stream, .window_ms = tally.window_ms, .window_s = tally.window_s}};
    memcpy(one.proxy, tally.proxy, sizeof(one.proxy));
    for (uint32_t i = 0; i < tally.lane_count && status == SC_OK; i++) {
        one.tally.lane = tally.lanes[i];
        status = put_record(out, count, &one);
    }
    sc_tally_free(&tally);
    return status;
}

static enum sc_status put_streams(const struct sc_told *told, struct sc_link_told **out, uint32_t *count)
{
    struct sc_stream *list;
    uint32_t streams;
    enum sc_status status = SC_OK;
    if (sc_stream_list(told->store, &list, &streams, NULL) != SC_OK)
        return SC_OK;
    for (uint32_t i = 0; i < streams && status == SC_OK; i++) {
        struct sc_link_told one = {.is_stream = true, .stream = list[i]};
        memcpy(one.proxy, list[i].proxy, sizeof(one.proxy));
        status = put_record(out, count, &one);
    }
    free(list);
    return status;
}

enum sc_status sc_told_records(const struct sc_told *told, uint64_t window_ms, struct sc_link_told **out,
                               uint32_t *count)
{
    enum sc_status status = window_ms == 0 ? put_streams(told, out, count) : SC_OK;
    for (uint32_t i = 0; i < told->count && window_ms != 0 && status == SC_OK; i++) {
        if (told->files[i].window_ms == window_ms)
            status = put_tally(told->files[i].path, out, count);
    }
    return status;
}
