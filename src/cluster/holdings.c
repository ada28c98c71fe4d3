// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/holdings.h"

#include "base/array.h"
#include "store/catalogue.h"
#include "store/reader.h"

#include <stdlib.h>

/* ---- the list ---- */

enum sc_status sc_holdings_add(struct sc_holdings *h, const struct sc_holding *holding)
{
    struct sc_holding *last = h->count == 0 ? NULL : &h->list[h->count - 1];
    if (last != NULL && last->window_ms == holding->window_ms && last->stream == holding->stream &&
        last->lane == holding->lane && last->last + 1 == holding->first) {
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
    for (uint32_t i = 0; i < h->tally_count; i++) {
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
    h->tallies[h->tally_count++] = *tally;
    *tally = (struct sc_tally){0};
    return SC_OK;
}

static int compare_lanes(const struct sc_holding *a, const struct sc_holding *b)
{
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    if (a->stream != b->stream)
        return a->stream < b->stream ? -1 : 1;
    return a->lane < b->lane ? -1 : a->lane > b->lane;
}

int sc_holding_compare(const void *x, const void *y)
{
    const struct sc_holding *a = x, *b = y;
    int order = compare_lanes(a, b);
    return order != 0 ? order : a->first < b->first ? -1 : a->first > b->first;
}

void sc_holdings_settle(struct sc_holdings *h)
{
    uint32_t kept = 0;
    if (h->count > 1)
        qsort(h->list, h->count, sizeof(*h->list), sc_holding_compare);
    for (uint32_t i = 1; i < h->count; i++) {
        struct sc_holding *last = &h->list[kept], *next = &h->list[i];
        bool joined =
            compare_lanes(last, next) == 0 && (next->first <= last->last || next->first == last->last + 1);
        if (joined && next->last > last->last)
            last->last = next->last;
        if (!joined)
            h->list[++kept] = *next;
    }
    h->count = h->count == 0 ? 0 : kept + 1;
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

static enum sc_status add_group(struct sc_holdings *h, struct sc_read_context *context,
                                const struct sc_segment *segment, uint32_t index)
{
    struct sc_row_group *group;
    sc_read_context_reset(context);
    enum sc_status status = sc_row_group_open(context, segment, index, &group, NULL);
    if (status == SC_DAMAGED || status == SC_IO) {
        h->unreadable++;
        return SC_OK;
    }
    for (uint32_t i = 0; status == SC_OK && i < group->span_count; i++) {
        const struct sc_span *span = &group->spans[i];
        struct sc_holding one = {.window_ms = segment->window_ms,
                                 .stream = span->stream,
                                 .lane = span->lane,
                                 .first = span->sequence,
                                 .last = span->sequence};
        status = sc_holdings_add(h, &one);
    }
    return status;
}

/* A file that is gone was sealed or expired since it was listed. */
static enum sc_status add_segment(struct sc_holdings *h, struct sc_read_context *context, const char *path)
{
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
        status = add_group(h, context, segment, g);
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

static enum sc_status read_listed(struct sc_holdings *h, const char *store, const struct sc_catalogue *c,
                                  uint32_t windows)
{
    uint64_t from_ms;
    struct sc_read_context context;
    SC_TRY(first_window(c, windows, &from_ms));
    SC_TRY(add_losses(h, store, from_ms));
    SC_TRY(sc_read_context_init(&context));
    enum sc_status status = SC_OK;
    /* Tallies first: what they call safe is then there to be found. */
    for (uint32_t i = 0; i < c->tally_count && status == SC_OK; i++) {
        if (c->tallies[i].window_ms >= from_ms)
            status = add_tally_file(h, c->tallies[i].path);
    }
    for (uint32_t i = 0; i < c->count && status == SC_OK; i++) {
        if (c->files[i].window_ms >= from_ms)
            status = add_segment(h, &context, c->files[i].path);
    }
    sc_read_context_free(&context);
    return status;
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

enum sc_status sc_holdings_read(const char *store, uint32_t windows, struct sc_holdings *out,
                                struct sc_error *err)
{
    bool again = true;
    enum sc_status status = SC_OK;
    *out = (struct sc_holdings){0};
    for (unsigned i = 0; i < MOST_READINGS && status == SC_OK && again; i++) {
        struct sc_catalogue before = {.replicas = true}, after = {.replicas = true};
        sc_holdings_free(out);
        status = sc_catalogue_add(&before, store, err);
        sc_catalogue_sort(&before);
        if (status == SC_OK && read_listed(out, store, &before, windows) != SC_OK)
            status = sc_fail_nomem(err, "the list of batches");
        if (status == SC_OK)
            status = sc_catalogue_add(&after, store, err);
        sc_catalogue_sort(&after);
        again = has_new_file(&after, &before);
        sc_catalogue_free(&before);
        sc_catalogue_free(&after);
    }
    sc_holdings_settle(out);
    if (status != SC_OK)
        sc_holdings_free(out);
    return status;
}
