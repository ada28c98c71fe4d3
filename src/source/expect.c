// SPDX-License-Identifier: BSD-3-Clause
#include "source/expect.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A proxy tells its nodes every second; one that has not been heard of for so long is silent. */
#define SILENT_MS 3000u

/* ---- what is known ---- */

enum sc_status sc_expected_add_tally(struct sc_expected *e, struct sc_tally *tally)
{
    if (!sc_array_more(e->tallies, e->tally_count, 1))
        return SC_NOMEM;
    e->tallies[e->tally_count++] = *tally;
    *tally = (struct sc_tally){0};
    return SC_OK;
}

static int compare_sources(const void *x, const void *y)
{
    const struct sc_tally *a = x, *b = y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    return (a->stream > b->stream) - (a->stream < b->stream);
}

/* Windows in order, in each the proxies, so that the streams of one are neighbours. */
static int compare_tallies(const void *x, const void *y)
{
    const struct sc_tally *a = x, *b = y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    int order = strcmp(a->proxy, b->proxy);
    return order != 0 ? order : (a->stream > b->stream) - (a->stream < b->stream);
}

enum sc_status sc_expected_merge_tallies(struct sc_expected *e)
{
    uint32_t kept = 0;
    enum sc_status status = SC_OK;
    if (e->tally_count < 2)
        return SC_OK;
    qsort(e->tallies, e->tally_count, sizeof(*e->tallies), compare_sources);
    for (uint32_t i = 1; i < e->tally_count; i++) {
        struct sc_tally *next = &e->tallies[i];
        if (compare_sources(&e->tallies[kept], next) != 0) {
            e->tallies[++kept] = *next;
            continue;
        }
        enum sc_status one = sc_tally_merge(&e->tallies[kept], next);
        status = status == SC_OK ? one : status;
        sc_tally_free(next);
    }
    e->tally_count = kept + 1;
    qsort(e->tallies, e->tally_count, sizeof(*e->tallies), compare_tallies);
    return status;
}

/* The later of two times at which a stream was heard of; those of a clock that is ahead count only when there is no other. */
static uint64_t later_heard(uint64_t x, uint64_t y, uint64_t now_ms)
{
    uint64_t least = x < y ? x : y, greatest = x < y ? y : x;
    return greatest > now_ms + SILENT_MS ? least : greatest;
}

/* Of both tables, before the first is filled. */
static void draw_seed(struct sc_expected *e)
{
    if (e->stream_count == 0 && e->held_count == 0)
        e->seed = sc_hash_draw_seed();
}

/* Where it is, or would go. */
static struct sc_probe find_stream(const struct sc_expected *e, uint64_t stream)
{
    struct sc_probe p = sc_table_first(&e->stream_table, sc_hash_pair(stream, 0, e->seed));
    while (p.number != SC_TABLE_NONE && e->streams[p.number].stream != stream)
        sc_table_next(&e->stream_table, &p);
    return p;
}

enum sc_status sc_expected_add_stream(struct sc_expected *e, const struct sc_stream *stream)
{
    draw_seed(e);
    if (!sc_table_reserve(&e->stream_table, 1) || !sc_array_more(e->streams, e->stream_count, 1))
        return SC_NOMEM;
    struct sc_probe p = find_stream(e, stream->stream);
    if (p.number == SC_TABLE_NONE) {
        sc_table_put(&e->stream_table, &p, e->stream_count);
        e->streams[e->stream_count++] = *stream;
        return SC_OK;
    }
    struct sc_stream *known = &e->streams[p.number];
    known->heard_ms = later_heard(known->heard_ms, stream->heard_ms, e->now_ms);
    known->closed = known->closed || stream->closed;
    return SC_OK;
}

static enum sc_status load_streams(struct sc_expected *e, const char *store)
{
    struct sc_stream *streams;
    uint32_t count;
    enum sc_status status = sc_stream_list(store, &streams, &count, NULL);
    if (status != SC_OK)
        return status == SC_NOMEM ? status : SC_OK; /* the listing of the store says so too */
    for (uint32_t i = 0; i < count && status == SC_OK; i++)
        status = sc_expected_add_stream(e, &streams[i]);
    free(streams);
    return status;
}

/* Accepted losses stay so; a stream that was given up is closed. */
static enum sc_status load_losses(struct sc_expected *e, const char *store,
                                  void (*problem)(void *arg, const char *sentence), void *arg)
{
    struct sc_error err;
    enum sc_status status = sc_losses_read(store, &e->losses, &err);
    if (status == SC_NOMEM)
        return status;
    if (status != SC_OK)
        problem(arg, err.message);
    for (uint32_t i = 0; i < e->losses.stream_count; i++) {
        if (e->losses.streams[i].closed) /* of the others it says nothing, not even when they were heard */
            SC_TRY(sc_expected_add_stream(e, &e->losses.streams[i]));
    }
    return SC_OK;
}

/* What cannot be read was told at the load. */
enum sc_status sc_expected_horizon(struct sc_expected *e, const char *const *paths, uint32_t path_count)
{
    for (uint32_t i = 0; i < path_count; i++) {
        if (sc_horizons_add_store(&e->horizons, paths[i], NULL) == SC_NOMEM)
            return SC_NOMEM;
    }
    return SC_OK;
}

static enum sc_status load_horizons(struct sc_expected *e, const char *store,
                                    void (*problem)(void *arg, const char *sentence), void *arg)
{
    struct sc_error err;
    enum sc_status status = sc_horizons_add_store(&e->horizons, store, &err);
    if (status == SC_OK || status == SC_NOMEM)
        return status;
    problem(arg, err.message);
    return SC_OK;
}

bool sc_expected_excuses(const struct sc_expected *e, uint64_t window_ms, uint32_t lane)
{
    return window_ms < sc_horizons_of(&e->horizons, lane);
}

bool sc_expected_covers(const struct sc_expected *e, uint64_t window_ms, uint32_t lane)
{
    for (uint32_t i = 0; i < e->tally_count && lane != 0; i++) {
        const struct sc_tally *t = &e->tallies[i];
        for (uint32_t l = 0; l < t->lane_count && t->window_ms == window_ms; l++) {
            uint32_t told = t->lanes[l].lane;
            if (told != SC_DROPPED_LANE && (lane == SC_ANY_LANE || told == lane))
                return true;
        }
    }
    return false;
}

enum sc_status sc_expected_load(struct sc_expected *e, const char *const *paths, uint32_t path_count,
                                const struct sc_catalogue *catalogue, uint64_t now_ms,
                                void (*problem)(void *arg, const char *sentence), void *arg)
{
    e->now_ms = now_ms;
    for (uint32_t i = 0; i < path_count; i++) {
        SC_TRY(load_horizons(e, paths[i], problem, arg));
        SC_TRY(load_streams(e, paths[i]));
        SC_TRY(load_losses(e, paths[i], problem, arg));
    }
    for (uint32_t i = 0; i < catalogue->tally_count; i++) {
        struct sc_tally tally;
        struct sc_error err;
        enum sc_status status = sc_tally_read(catalogue->tallies[i].path, &tally, &err);
        if (status == SC_NOMEM)
            return status;
        if (status == SC_NOTFOUND) /* replaced or expired since */
            continue;
        if (status != SC_OK) {
            problem(arg, err.message);
            continue;
        }
        status = sc_expected_add_tally(e, &tally);
        sc_tally_free(&tally);
        SC_TRY(status);
    }
    return sc_expected_merge_tallies(e);
}

void sc_expected_free(struct sc_expected *e)
{
    for (uint32_t i = 0; i < e->tally_count; i++)
        sc_tally_free(&e->tallies[i]);
    free(e->tallies);
    free(e->streams);
    free(e->held);
    sc_table_free(&e->stream_table);
    sc_table_free(&e->held_table);
    sc_losses_free(&e->losses);
    sc_horizons_free(&e->horizons);
    *e = (struct sc_expected){0};
}

/* ---- what was found ---- */

/* Where it is, or would go. */
static struct sc_probe find_held(const struct sc_expected *e, uint64_t stream, uint32_t lane,
                                 uint64_t window_ms)
{
    struct sc_probe p = sc_table_first(&e->held_table, sc_hash_pair(stream, window_ms, e->seed ^ lane));
    for (; p.number != SC_TABLE_NONE; sc_table_next(&e->held_table, &p)) {
        const struct sc_held *h = &e->held[p.number];
        if (h->stream == stream && h->lane == lane && h->window_ms == window_ms)
            break;
    }
    return p;
}

enum sc_status sc_expected_found(struct sc_expected *e, const struct sc_span *span, uint64_t window_ms)
{
    const struct sc_held one = {span->stream, window_ms, 1, span->rows, span->lane};
    return sc_expected_found_all(e, &one);
}

enum sc_status sc_expected_found_all(struct sc_expected *e, const struct sc_held *found)
{
    if (e->tally_count == 0)
        return SC_OK;
    draw_seed(e);
    if (!sc_table_reserve(&e->held_table, 1) || !sc_array_more(e->held, e->held_count, 1))
        return SC_NOMEM;
    struct sc_probe p = find_held(e, found->stream, found->lane, found->window_ms);
    if (p.number == SC_TABLE_NONE) {
        p.number = e->held_count++;
        e->held[p.number] = *found;
        sc_table_put(&e->held_table, &p, p.number);
        return SC_OK;
    }
    e->held[p.number].batches += found->batches;
    e->held[p.number].records += found->records;
    return SC_OK;
}

/* ---- the judgement ---- */

static uint64_t over(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static const struct sc_stream *stream_of(const struct sc_expected *e, uint64_t number)
{
    uint32_t place = find_stream(e, number).number;
    return place == SC_TABLE_NONE ? NULL : &e->streams[place];
}

/* Also when all who heard of it have a clock that is ahead: nobody knows when that was. */
static bool is_silent(const struct sc_expected *e, const struct sc_stream *stream)
{
    return stream == NULL || (!stream->closed && (stream->heard_ms + SILENT_MS < e->now_ms ||
                                                  stream->heard_ms > e->now_ms + SILENT_MS));
}

/* Sums over a window and a proxy. */
struct verdict {
    uint64_t expected, lost, lost_records, waiting, waiting_records, known, known_records, dropped_records;
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void tell_loss(const struct sc_expected *e, const struct sc_tally *t, uint32_t lane, int kind,
                      uint64_t batches, uint64_t records)
{
    struct sc_loss loss = {t->stream, t->window_ms, t->window_s, lane, {{0}, {0}}};
    loss.lost.batches[kind] = batches;
    loss.lost.records[kind] = records;
    if (e->sink != NULL && batches != 0)
        e->sink->lost(e->sink->arg, t, &loss);
}

static void judge_lane(const struct sc_expected *e, const struct sc_tally *t, const struct sc_tally_lane *l,
                       int kind, const struct sc_stream *stream, bool silent, struct verdict *v)
{
    static const struct sc_held none;
    uint32_t place = find_held(e, t->stream, l->lane, t->window_ms).number;
    const struct sc_held *h = place == SC_TABLE_NONE ? &none : &e->held[place];
    const struct sc_loss *accepted = sc_losses_find(&e->losses, t->stream, t->window_ms, l->lane);
    bool closed = stream != NULL && stream->closed;
    uint64_t batches = l->safe.batches[kind], records = l->safe.records[kind];
    if (closed) {
        batches = most(batches, l->accepted.batches[kind]);
        records = most(records, l->accepted.records[kind]);
    }
    uint64_t lost = over(batches, h->batches), lost_records = over(records, h->records);
    uint64_t waiting = over(l->accepted.batches[kind], most(h->batches, batches));
    uint64_t waiting_records = over(l->accepted.records[kind], most(h->records, records));
    tell_loss(e, t, l->lane, kind, lost + (silent ? waiting : 0),
              lost_records + (silent ? waiting_records : 0));
    uint64_t known = accepted == NULL ? 0 : least(lost, accepted->lost.batches[kind]);
    uint64_t known_records = accepted == NULL ? 0 : least(lost_records, accepted->lost.records[kind]);
    if (l->lane == SC_DROPPED_LANE) {
        v->dropped_records += lost_records - known_records;
    } else {
        v->expected += batches;
        v->lost += lost - known;
        v->lost_records += lost_records - known_records;
    }
    v->known += known;
    v->known_records += known_records;
    v->waiting += silent ? waiting : 0;
    v->waiting_records += silent ? waiting_records : 0;
}

static void judge_tally(const struct sc_expected *e, const struct sc_tally *t, int kind, struct verdict *sum)
{
    const struct sc_stream *stream = stream_of(e, t->stream);
    bool silent = is_silent(e, stream);
    for (uint32_t i = 0; i < t->lane_count; i++) {
        if (!sc_expected_excuses(e, t->window_ms, t->lanes[i].lane))
            judge_lane(e, t, &t->lanes[i], kind, stream, silent, sum);
    }
}

/* What ought to be there and is not found; what was accepted, and waits at a proxy of which nobody hears. All streams of the proxy
 * together, since a sentence that stands there already is not said again. */
static void tell_window(struct sc_expected *e, const struct sc_tally *t, const struct verdict *v,
                        void (*missing)(void *arg, const char *sentence), void *arg)
{
    char when[32], text[512];
    e->known_lost.windows += v->known != 0;
    e->known_lost.batches += v->known;
    e->known_lost.records += v->known_records;
    sc_time_format_utc(t->window_ms, when, sizeof(when));
    if (v->lost != 0) {
        snprintf(text, sizeof(text),
                 "window %s: %llu of %llu batches of proxy %s are missing, with %llu records", when,
                 (unsigned long long)v->lost, (unsigned long long)v->expected, t->proxy,
                 (unsigned long long)v->lost_records);
        missing(arg, text);
    }
    if (v->dropped_records != 0) {
        snprintf(text, sizeof(text),
                 "window %s: %llu records were dropped by collector %s: its queue was full", when,
                 (unsigned long long)v->dropped_records, t->proxy);
        missing(arg, text);
    }
    if (v->waiting != 0) {
        snprintf(text, sizeof(text),
                 "window %s: %llu batches with %llu records wait in the outbox of proxy %s, which is silent",
                 when, (unsigned long long)v->waiting, (unsigned long long)v->waiting_records, t->proxy);
        missing(arg, text);
    }
}

static bool same_window_and_proxy(const struct sc_tally *x, const struct sc_tally *y)
{
    return x->window_ms == y->window_ms && strcmp(x->proxy, y->proxy) == 0;
}

static void judge_streams(const struct sc_expected *e, const struct sc_expected_range *range,
                          void (*missing)(void *arg, const char *sentence), void *arg)
{
    for (uint32_t i = 0; i < e->stream_count; i++) {
        const struct sc_stream *s = &e->streams[i];
        char when[32], text[256];
        bool ahead = s->heard_ms > e->now_ms + SILENT_MS;
        if (!is_silent(e, s) || (!ahead && s->heard_ms >= range->end_ms))
            continue;
        if (e->sink != NULL)
            e->sink->silent(e->sink->arg, s);
        sc_time_format_utc(s->heard_ms, when, sizeof(when));
        if (ahead)
            snprintf(text, sizeof(text),
                     "proxy %s was heard of at %s, which is to come: the clocks of the nodes differ",
                     s->proxy, when);
        else
            snprintf(text, sizeof(text), "proxy %s is silent since %s: what it accepted since is not here",
                     s->proxy, when);
        missing(arg, text);
    }
}

bool sc_expected_is_judged(const struct sc_expected *e, const struct sc_expected_range *range,
                           const struct sc_tally *t)
{
    return t->window_ms >= e->horizons.least_ms && t->window_ms < range->end_ms &&
           t->window_ms + (uint64_t)t->window_s * 1000 > range->begin_ms;
}

void sc_expected_judge(struct sc_expected *e, const struct sc_expected_range *range,
                       void (*missing)(void *arg, const char *sentence), void *arg)
{
    struct verdict sum = {0};
    for (uint32_t i = 0; i < e->tally_count; i++) {
        const struct sc_tally *t = &e->tallies[i];
        if (sc_expected_is_judged(e, range, t))
            judge_tally(e, t, range->kind, &sum);
        if (i + 1 < e->tally_count && same_window_and_proxy(t, t + 1))
            continue;
        tell_window(e, t, &sum, missing, arg);
        sum = (struct verdict){0};
    }
    judge_streams(e, range, missing, arg);
}
