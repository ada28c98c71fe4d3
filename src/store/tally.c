// SPDX-License-Identifier: BSD-3-Clause
#include "store/tally.h"

#include "base/array.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_BYTES 256u
#define LANE_BYTES 192u /* "lane", eight hex digits, eight numbers */

/* ---- in memory ---- */

/* Where the lane is, or would go. */
static uint32_t place_of(const struct sc_tally *tally, uint32_t lane)
{
    uint32_t low = 0, high = tally->lane_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (tally->lanes[middle].lane < lane)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct sc_tally_lane *sc_tally_lane(struct sc_tally *tally, uint32_t lane)
{
    const uint32_t count = tally->lane_count;
    bool last = count != 0 && tally->lanes[count - 1].lane < lane; /* as who reads them in their order */
    uint32_t at = last ? count : place_of(tally, lane);
    if (at < count && tally->lanes[at].lane == lane)
        return &tally->lanes[at];
    if (count == SC_TALLY_MAX_LANES || !sc_array_more(tally->lanes, count, 1))
        return NULL;
    memmove(&tally->lanes[at + 1], &tally->lanes[at], (count - at) * sizeof(tally->lanes[0]));
    tally->lanes[at] = (struct sc_tally_lane){.lane = lane};
    tally->lane_count++;
    return &tally->lanes[at];
}

void sc_tally_count_grow(struct sc_tally_count *to, const struct sc_tally_count *from)
{
    for (int kind = 0; kind < 2; kind++) {
        to->batches[kind] = from->batches[kind] > to->batches[kind] ? from->batches[kind] : to->batches[kind];
        to->records[kind] = from->records[kind] > to->records[kind] ? from->records[kind] : to->records[kind];
    }
}

static bool same_count(const struct sc_tally_count *x, const struct sc_tally_count *y)
{
    return x->batches[0] == y->batches[0] && x->batches[1] == y->batches[1] &&
           x->records[0] == y->records[0] && x->records[1] == y->records[1];
}

bool sc_tally_lane_equal(const struct sc_tally_lane *x, const struct sc_tally_lane *y)
{
    return x->lane == y->lane && same_count(&x->accepted, &y->accepted) && same_count(&x->safe, &y->safe);
}

/* Tallies of one stream have the same lanes, as a rule. */
static struct sc_tally_lane *lane_near(struct sc_tally *tally, uint32_t place, uint32_t lane)
{
    bool there = place < tally->lane_count && tally->lanes[place].lane == lane;
    return there ? &tally->lanes[place] : sc_tally_lane(tally, lane);
}

enum sc_status sc_tally_merge(struct sc_tally *to, const struct sc_tally *from)
{
    for (uint32_t i = 0; i < from->lane_count; i++) {
        struct sc_tally_lane *lane = lane_near(to, i, from->lanes[i].lane);
        if (lane == NULL)
            return SC_NOMEM;
        sc_tally_count_grow(&lane->accepted, &from->lanes[i].accepted);
        sc_tally_count_grow(&lane->safe, &from->lanes[i].safe);
    }
    return SC_OK;
}

void sc_tally_free(struct sc_tally *tally)
{
    free(tally->lanes);
    *tally = (struct sc_tally){0};
}

/* ---- files ---- */

static enum sc_status read_text(const char *path, char *out, size_t size, struct sc_error *err)
{
    size_t length;
    SC_TRY(sc_io_read_file(path, out, size - 1, &length, err));
    out[length] = '\0';
    return SC_OK;
}

/* When the file is there, so is its folder, durably. `soon`: this comes again in a second, so that only the first one need be. */
static enum sc_status replace(struct sc_io *io, const char *store, const char *path, const char *text,
                              size_t length, bool soon, struct sc_error *err)
{
    char folder[4096];
    bool is_new = access(path, F_OK) != 0;
    if (io == NULL)
        io = sc_io_system();
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    int result = is_new ? sc_io_make_folders(io, folder, strlen(store)) : 0;
    if (result < 0)
        return sc_fail_errno(err, -result, "cannot create the folder of %s", path);
    return soon && !is_new ? sc_io_replace_unsynced(io, path, text, length, err)
                           : sc_io_replace(io, path, text, length, err);
}

/* ---- tallies ---- */

static size_t print_lane(const struct sc_tally_lane *l, char *out, size_t size)
{
    const struct sc_tally_count *a = &l->accepted, *s = &l->safe;
    int n = snprintf(out, size,
                     "lane %08" PRIx32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                     " %" PRIu64 " %" PRIu64 "\n",
                     l->lane, a->batches[0], a->records[0], a->batches[1], a->records[1], s->batches[0],
                     s->records[0], s->batches[1], s->records[1]);
    return (size_t)n;
}

void sc_tally_path(const char *store, uint64_t stream, uint64_t window_ms, char *out, size_t size)
{
    char day[11], name[64];
    sc_segment_name_format(window_ms, stream, 0, day, name);
    name[33] = '\0'; /* without the number of a segment */
    snprintf(out, size, "%s/%s/%s" SC_TALLY_SUFFIX, store, day, name);
}

enum sc_status sc_tally_write(const char *store, const struct sc_tally *t, struct sc_io *io,
                              struct sc_error *err)
{
    char path[4096];
    const size_t most = HEAD_BYTES + (size_t)t->lane_count * LANE_BYTES;
    char *text = malloc(most);
    if (text == NULL)
        return sc_fail_nomem(err, "a tally");
    sc_tally_path(store, t->stream, t->window_ms, path, sizeof(path));
    int n =
        snprintf(text, most,
                 "securitycloud tally 1\nproxy %s\nstream %016" PRIx64 "\nwindow %" PRIu64 " %" PRIu32 "\n",
                 t->proxy, t->stream, t->window_ms, t->window_s);
    size_t length = (size_t)n;
    for (uint32_t i = 0; i < t->lane_count; i++)
        length += print_lane(&t->lanes[i], text + length, most - length);
    enum sc_status status = replace(io, store, path, text, length, false, err);
    free(text);
    return status;
}

static bool parse_lane(const char *line, struct sc_tally *out)
{
    uint32_t number;
    struct sc_tally_count a, s;
    if (sscanf(line,
               "lane %8" SCNx32 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &number, &a.batches[0], &a.records[0], &a.batches[1], &a.records[1], &s.batches[0],
               &s.records[0], &s.batches[1], &s.records[1]) != 9)
        return false;
    struct sc_tally_lane *lane = sc_tally_lane(out, number);
    if (lane == NULL)
        return false;
    lane->accepted = a;
    lane->safe = s;
    return true;
}

static bool parse_tally(char *text, struct sc_tally *out)
{
    int used = 0;
    if (sscanf(text, "securitycloud tally 1 proxy %63s stream %16" SCNx64 " window %" SCNu64 " %" SCNu32 "%n",
               out->proxy, &out->stream, &out->window_ms, &out->window_s, &used) != 4 ||
        out->window_s == 0)
        return false;
    char *rest = NULL;
    for (char *line = strtok_r(text + used, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (!parse_lane(line, out))
            return false;
    }
    return true;
}

enum sc_status sc_tally_read(const char *path, struct sc_tally *out, struct sc_error *err)
{
    static const size_t most = HEAD_BYTES + (size_t)SC_TALLY_MAX_LANES * LANE_BYTES;
    char *text = malloc(most);
    *out = (struct sc_tally){0};
    if (text == NULL)
        return sc_fail_nomem(err, "a tally");
    enum sc_status status = read_text(path, text, most, err);
    if (status == SC_OK && !parse_tally(text, out)) {
        sc_tally_free(out);
        status = sc_fail(err, SC_DAMAGED, "%s is damaged: what ought to be in its window is not known", path);
    }
    free(text);
    return status;
}

/* ---- streams ---- */

enum sc_status sc_stream_write(const char *store, const struct sc_stream *s, struct sc_io *io,
                               struct sc_error *err)
{
    char path[4096], text[256];
    snprintf(path, sizeof(path), "%s/" SC_STREAMS_FOLDER "/%016" PRIx64, store, s->stream);
    int n = snprintf(text, sizeof(text), "securitycloud stream 1\nproxy %s\nheard %" PRIu64 "\nclosed %d\n",
                     s->proxy, s->heard_ms, s->closed);
    return replace(io, store, path, text, (size_t)n, !s->closed, err);
}

static bool read_stream(const char *store, const char *name, struct sc_stream *out)
{
    char path[4096 + 32], text[256];
    int closed;
    if (strlen(name) != 16 || strspn(name, "0123456789abcdef") != 16)
        return false;
    snprintf(path, sizeof(path), "%s/" SC_STREAMS_FOLDER "/%s", store, name);
    if (read_text(path, text, sizeof(text), NULL) != SC_OK ||
        sscanf(text, "securitycloud stream 1 proxy %63s heard %" SCNu64 " closed %d", out->proxy,
               &out->heard_ms, &closed) != 3)
        return false;
    out->stream = strtoull(name, NULL, 16);
    out->closed = closed != 0;
    return true;
}

enum sc_status sc_stream_read(const char *store, uint64_t stream, struct sc_stream *out)
{
    char name[17];
    snprintf(name, sizeof(name), "%016" PRIx64, stream);
    return read_stream(store, name, out) ? SC_OK : SC_NOTFOUND;
}

enum sc_status sc_stream_walk_begin(struct sc_stream_walk *walk, const char *store, struct sc_error *err)
{
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/" SC_STREAMS_FOLDER, store);
    walk->dir = opendir(folder);
    if (walk->dir == NULL && errno != ENOENT && errno != ENOTDIR)
        return sc_fail_errno(err, errno, "cannot list %s", folder);
    return SC_OK;
}

bool sc_stream_walk_next(struct sc_stream_walk *walk, const char *store, struct sc_stream *out)
{
    const struct dirent *entry;
    while (walk->dir != NULL && (entry = readdir(walk->dir)) != NULL) {
        if (read_stream(store, entry->d_name, out))
            return true;
    }
    return false;
}

void sc_stream_walk_end(struct sc_stream_walk *walk)
{
    if (walk->dir != NULL)
        closedir(walk->dir);
    walk->dir = NULL;
}

enum sc_status sc_stream_list(const char *store, struct sc_stream **out, uint32_t *count,
                              struct sc_error *err)
{
    struct sc_stream_walk walk = {0};
    struct sc_stream one;
    *out = NULL;
    *count = 0;
    enum sc_status status = sc_stream_walk_begin(&walk, store, err);
    while (status == SC_OK && sc_stream_walk_next(&walk, store, &one)) {
        if (sc_array_more(*out, *count, 1))
            (*out)[(*count)++] = one;
        else
            status = sc_fail_nomem(err, "the list of streams");
    }
    sc_stream_walk_end(&walk);
    if (status != SC_OK) {
        free(*out);
        *out = NULL;
        *count = 0;
    }
    return status;
}
