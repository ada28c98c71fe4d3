// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/holdings.h"

#include "base/array.h"
#include "store/catalogue.h"
#include "store/reader.h"

#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

static int compare_tallies(const void *x, const void *y)
{
    const struct sc_tally *a = x, *b = y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    return a->stream < b->stream ? -1 : a->stream > b->stream;
}

static bool same_records(const struct sc_holding *a, const struct sc_holding *b)
{
    return a->rows == b->rows && a->kind == b->kind;
}

enum sc_status sc_holdings_add(struct sc_holdings *h, const struct sc_holding *holding)
{
    struct sc_holding *last = h->count == 0 ? NULL : &h->list[h->count - 1];
    if (last != NULL && last->window_ms == holding->window_ms && last->stream == holding->stream &&
        last->lane == holding->lane && last->last + 1 == holding->first && same_records(last, holding)) {
        last->last = holding->last;
        return SC_OK;
    }
    if (!sc_array_more(h->list, h->count, 1))
        return SC_NOMEM;
    h->list[h->count++] = *holding;
    return SC_OK;
}

enum sc_status sc_holdings_add_tally(struct sc_holdings *h, struct sc_tally *tally)
{
    /* Most come in their order, and none before is of the same. */
    bool behind = h->tally_count != 0 && compare_tallies(&h->tallies[h->tally_count - 1], tally) < 0;
    for (uint32_t i = behind && h->in_order ? h->tally_count : 0; i < h->tally_count; i++) {
        if (h->tallies[i].stream != tally->stream || h->tallies[i].window_ms != tally->window_ms)
            continue;
        enum sc_status status = sc_tally_merge(&h->tallies[i], tally);
        sc_tally_free(tally);
        return status;
    }
    if (!sc_array_more(h->tallies, h->tally_count, 1)) {
        sc_tally_free(tally);
        return SC_NOMEM;
    }
    h->in_order = behind ? h->in_order : h->tally_count == 0;
    h->tallies[h->tally_count++] = *tally;
    *tally = (struct sc_tally){0};
    return SC_OK;
}

int sc_holding_compare_lanes(const void *x, const void *y)
{
    const struct sc_holding *a = x, *b = y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    if (a->stream != b->stream)
        return a->stream < b->stream ? -1 : 1;
    return a->lane < b->lane ? -1 : a->lane > b->lane;
}

int sc_holding_compare(const void *x, const void *y)
{
    const struct sc_holding *a = x, *b = y;
    int order = sc_holding_compare_lanes(a, b);
    return order != 0 ? order : a->first < b->first ? -1 : a->first > b->first;
}

/* Takes the next interval of a sorted list into the last one where that is the same, and what lies in both out of it: each batch is there
 * once, whatever is told of it. @return whether something of it is left. */
static bool join(struct sc_holding *last, struct sc_holding *next)
{
    bool behind = next->first > last->last;
    if (sc_holding_compare_lanes(last, next) != 0 || (behind && next->first != last->last + 1))
        return true;
    if (same_records(last, next)) {
        last->last = next->last > last->last ? next->last : last->last;
        return false;
    }
    if (behind)
        return true;
    next->first = last->last + 1;
    return next->last > last->last;
}

void sc_holdings_settle(struct sc_holdings *h)
{
    uint32_t kept = 0;
    if (h->count > 1)
        qsort(h->list, h->count, sizeof(*h->list), sc_holding_compare);
    for (uint32_t i = 1; i < h->count; i++) {
        if (join(&h->list[kept], &h->list[i]))
            h->list[++kept] = h->list[i];
    }
    h->count = h->count == 0 ? 0 : kept + 1;
    if (h->tally_count > 1)
        qsort(h->tallies, h->tally_count, sizeof(*h->tallies), compare_tallies);
    h->in_order = true;
}

const struct sc_holding *sc_holdings_find(const struct sc_holdings *h, uint64_t window_ms, uint64_t stream,
                                          uint32_t lane)
{
    const struct sc_holding key = {.window_ms = window_ms, .stream = stream, .lane = lane};
    uint32_t low = 0, high = h->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sc_holding_compare_lanes(&h->list[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < h->count && sc_holding_compare_lanes(&h->list[low], &key) == 0 ? &h->list[low] : NULL;
}

const struct sc_holding *sc_holdings_window(const struct sc_holdings *h, uint64_t window_ms)
{
    uint32_t low = 0, high = h->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (h->list[middle].window_ms < window_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low < h->count && h->list[low].window_ms == window_ms ? &h->list[low] : NULL;
}

void sc_holdings_free(struct sc_holdings *h)
{
    for (uint32_t i = 0; i < h->tally_count; i++)
        sc_tally_free(&h->tallies[i]);
    free(h->tallies);
    free(h->list);
    sc_losses_free(&h->losses);
    *h = (struct sc_holdings){0};
}

/* ---- from the files of a store ---- */

static int compare_times_down(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a > b ? -1 : a < b;
}

/* The start of the n-th last of some windows, each of which may be there many times; sorts them. */
static uint64_t nth_last(uint64_t *times, size_t count, uint32_t n)
{
    uint32_t different = 0;
    if (count > 1)
        qsort(times, count, sizeof(*times), compare_times_down);
    for (size_t i = 0; i < count; i++) {
        different += i == 0 || times[i] != times[i - 1];
        if (different == n)
            return times[i];
    }
    return 0;
}

static enum sc_status first_window(const struct sc_catalogue *c, uint32_t windows, uint64_t *from_ms)
{
    size_t count = 0;
    uint64_t *times = malloc(((size_t)c->count + c->tally_count + 1) * sizeof(*times));
    if (times == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < c->count; i++)
        times[count++] = c->files[i].window_ms;
    for (uint32_t i = 0; i < c->tally_count; i++)
        times[count++] = c->tallies[i].window_ms;
    *from_ms = nth_last(times, count, windows);
    free(times);
    return SC_OK;
}

/* What is read of a store, and where to. */
struct reading {
    struct sc_holdings *out;
    const char *store;
    const struct sc_holdings *lanes; /* these only, with their records; NULL: all, with tallies and losses */
    uint32_t windows;
    uint64_t from_ms;
    struct sc_read_context context;
};

static bool wants_window(const struct reading *r, uint64_t window_ms)
{
    return r->lanes == NULL ? window_ms >= r->from_ms : sc_holdings_window(r->lanes, window_ms) != NULL;
}

static enum sc_status add_span(struct sc_holdings *h, const struct sc_row_group *group,
                               const struct sc_span *span, bool with_records)
{
    const struct sc_holding one = {.window_ms = group->segment->window_ms,
                                   .stream = span->stream,
                                   .lane = span->lane,
                                   .first = span->sequence,
                                   .last = span->sequence,
                                   .rows = with_records ? span->rows : 0,
                                   .kind = with_records ? group->record_kind : 0};
    return sc_holdings_add(h, &one);
}

enum sc_status sc_holdings_add_group(struct sc_holdings *h, const struct sc_row_group *group,
                                     const struct sc_holdings *lanes)
{
    uint64_t window_ms = group->segment->window_ms;
    for (uint32_t i = 0; i < group->span_count; i++) {
        const struct sc_span *span = &group->spans[i];
        if (lanes == NULL || sc_holdings_find(lanes, window_ms, span->stream, span->lane) != NULL)
            SC_TRY(add_span(h, group, span, lanes != NULL));
    }
    return SC_OK;
}

static enum sc_status add_group(struct reading *r, const struct sc_segment *segment, uint32_t index)
{
    struct sc_row_group *group;
    sc_read_context_reset(&r->context);
    enum sc_status status = sc_row_group_open(&r->context, segment, index, &group, NULL);
    if (status == SC_DAMAGED || status == SC_IO) {
        r->out->unreadable++;
        return SC_OK;
    }
    return status == SC_OK ? sc_holdings_add_group(r->out, group, r->lanes) : status;
}

/* A file that is gone was sealed or expired since it was listed. */
static enum sc_status add_segment(struct reading *r, const char *path)
{
    struct sc_holdings *h = r->out;
    struct sc_segment *segment;
    enum sc_status status = sc_segment_open(path, &segment, NULL);
    if (status == SC_NOMEM)
        return status;
    if (status != SC_OK) {
        h->unreadable += status != SC_NOTFOUND;
        return SC_OK;
    }
    h->unreadable += segment->damaged_stretches;
    for (uint32_t g = 0; g < segment->group_count && status == SC_OK; g++)
        status = add_group(r, segment, g);
    sc_segment_close(segment);
    return status;
}

static enum sc_status add_tally_file(struct sc_holdings *h, const char *path)
{
    struct sc_tally tally;
    enum sc_status status = sc_tally_read(path, &tally, NULL);
    if (status == SC_OK)
        return sc_holdings_add_tally(h, &tally);
    h->unreadable += status != SC_NOTFOUND && status != SC_NOMEM;
    return status == SC_NOMEM ? status : SC_OK;
}

/* Those of the windows that are told, and all streams that were given up. */
static enum sc_status add_losses(struct sc_holdings *h, const char *store, uint64_t from_ms)
{
    uint32_t kept = 0;
    enum sc_status status = sc_losses_read(store, &h->losses, NULL);
    if (status == SC_NOMEM)
        return status;
    h->unreadable += status != SC_OK;
    for (uint32_t i = 0; i < h->losses.count; i++) {
        if (h->losses.list[i].window_ms >= from_ms)
            h->losses.list[kept++] = h->losses.list[i];
    }
    h->losses.count = kept;
    return SC_OK;
}

/* Tallies first: what they call safe is then there to be found. */
static enum sc_status read_told(struct reading *r, const struct sc_catalogue *c)
{
    SC_TRY(first_window(c, r->windows, &r->from_ms));
    SC_TRY(add_losses(r->out, r->store, r->from_ms));
    for (uint32_t i = 0; i < c->tally_count; i++) {
        if (wants_window(r, c->tallies[i].window_ms))
            SC_TRY(add_tally_file(r->out, c->tallies[i].path));
    }
    return SC_OK;
}

static enum sc_status read_listed(struct reading *r, const struct sc_catalogue *c)
{
    if (r->lanes == NULL)
        SC_TRY(read_told(r, c));
    r->out->unreadable += c->unreadable;
    SC_TRY(sc_read_context_init(&r->context));
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < c->count && status == SC_OK; i++) {
        if (wants_window(r, c->files[i].window_ms))
            status = add_segment(r, c->files[i].path);
    }
    sc_read_context_free(&r->context);
    return status;
}

static int compare_paths(const void *x, const void *y)
{
    const struct sc_catalogue_file *a = x, *b = y;
    return strcmp(a->path, b->path);
}

/* All in order: of tallies, by window and stream. */
static void sort_listing(struct sc_catalogue *c)
{
    sc_catalogue_sort(c);
    if (c->tally_count > 1)
        qsort(c->tallies, c->tally_count, sizeof(*c->tallies), compare_paths);
}

/* Whether a sorted listing shows a file that an earlier one did not: a seal may have taken others away. */
static bool has_new_file(const struct sc_catalogue *now, const struct sc_catalogue *before)
{
    for (uint32_t i = 0, k = 0; i < now->count; i++) {
        while (k < before->count && sc_catalogue_compare(&before->files[k], &now->files[i]) < 0)
            k++;
        if (k == before->count || sc_catalogue_compare(&before->files[k], &now->files[i]) != 0)
            return true;
    }
    return false;
}

/* Files come and go; what is read while none came is whole. A bounded number of times: it is a status, no answer. */
#define MOST_READINGS 5

static enum sc_status read_store(struct reading *r, struct sc_error *err)
{
    bool again = true;
    enum sc_status status = SC_OK;
    *r->out = (struct sc_holdings){0};
    for (unsigned i = 0; i < MOST_READINGS && status == SC_OK && again; i++) {
        struct sc_catalogue before = {.replicas = true}, after = {.replicas = true};
        sc_holdings_free(r->out);
        status = sc_catalogue_add(&before, r->store, err);
        sort_listing(&before);
        if (status == SC_OK && read_listed(r, &before) != SC_OK)
            status = sc_fail_nomem(err, "the list of batches");
        if (status == SC_OK)
            status = sc_catalogue_add(&after, r->store, err);
        sc_catalogue_sort(&after);
        again = has_new_file(&after, &before);
        sc_catalogue_free(&before);
        sc_catalogue_free(&after);
    }
    sc_holdings_settle(r->out);
    if (status != SC_OK)
        sc_holdings_free(r->out);
    return status;
}

enum sc_status sc_holdings_read(const char *store, uint32_t windows, struct sc_holdings *out,
                                struct sc_error *err)
{
    struct reading r = {.out = out, .store = store, .windows = windows};
    return read_store(&r, err);
}

enum sc_status sc_holdings_read_lanes(const char *store, const struct sc_holdings *lanes,
                                      struct sc_holdings *out, struct sc_error *err)
{
    struct reading r = {.out = out, .store = store, .lanes = lanes};
    return read_store(&r, err);
}

enum sc_status sc_holdings_read_told(const char *store, struct sc_holdings *out, struct sc_error *err)
{
    struct reading r = {.out = out, .store = store, .windows = UINT32_MAX};
    struct sc_catalogue c = {0};
    *out = (struct sc_holdings){0};
    enum sc_status status = sc_catalogue_add(&c, store, err);
    sort_listing(&c);
    if (status == SC_OK && read_told(&r, &c) != SC_OK)
        status = sc_fail_nomem(err, "what the proxies told");
    sc_catalogue_free(&c);
    if (status != SC_OK)
        sc_holdings_free(out);
    return status;
}
