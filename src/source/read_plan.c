// SPDX-License-Identifier: BSD-3-Clause
#include "source/read_plan.h"

#include "base/array.h"

#include <stdlib.h>

enum sc_status sc_read_plan_add(struct sc_read_plan *plan, const struct sc_span *span, uint32_t group,
                                uint16_t rank, bool readable)
{
    if (!sc_array_more(plan->copies, plan->count, 1))
        return SC_NOMEM;
    plan->copies[plan->count++] = (struct sc_read_plan_copy){
        .span = *span, .group = group, .rank = rank, .state = readable ? SC_COPY_SPARE : SC_COPY_UNREADABLE};
    return SC_OK;
}

static int compare_places(const void *x, const void *y)
{
    const struct sc_read_plan_copy *a = x, *b = y;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return a->span.first_row < b->span.first_row ? -1 : a->span.first_row > b->span.first_row;
}

static int compare_ids(const struct sc_span *a, const struct sc_span *b)
{
    if (a->stream != b->stream)
        return a->stream < b->stream ? -1 : 1;
    if (a->lane != b->lane)
        return a->lane < b->lane ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* The index of a copy is its place already: the last resort, so that the order is the same everywhere. */
static int compare_preference(const void *x, const void *y, void *arg)
{
    const struct sc_read_plan_copy *copies = arg;
    uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
    int order = compare_ids(&copies[i].span, &copies[j].span);
    if (order != 0)
        return order;
    if (copies[i].rank != copies[j].rank)
        return copies[i].rank < copies[j].rank ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* The first copy at or behind `place` of the id there that may be read; NULL when there is none. */
static struct sc_read_plan_copy *next_spare(struct sc_read_plan *plan, uint32_t place)
{
    const struct sc_span *id = &plan->copies[plan->by_id[place]].span;
    for (; place < plan->count; place++) {
        struct sc_read_plan_copy *copy = &plan->copies[plan->by_id[place]];
        if (compare_ids(&copy->span, id) != 0)
            break;
        if (copy->state == SC_COPY_SPARE)
            return copy;
    }
    return NULL;
}

enum sc_status sc_read_plan_assign(struct sc_read_plan *plan)
{
    size_t bytes = ((size_t)plan->count + 1) * sizeof(uint32_t);
    plan->by_id = malloc(bytes);
    plan->place_of = malloc(bytes);
    if (plan->by_id == NULL || plan->place_of == NULL)
        return SC_NOMEM;
    if (plan->count > 1)
        qsort(plan->copies, plan->count, sizeof(*plan->copies), compare_places);
    for (uint32_t i = 0; i < plan->count; i++)
        plan->by_id[i] = i;
    if (plan->count > 1)
        qsort_r(plan->by_id, plan->count, sizeof(*plan->by_id), compare_preference, plan->copies);
    for (uint32_t i = 0; i < plan->count; i++) {
        plan->place_of[plan->by_id[i]] = i;
        if (i != 0 &&
            compare_ids(&plan->copies[plan->by_id[i]].span, &plan->copies[plan->by_id[i - 1]].span) == 0)
            continue;
        plan->batches++;
        struct sc_read_plan_copy *copy = next_spare(plan, i);
        if (copy != NULL)
            copy->state = SC_COPY_ASSIGNED;
    }
    return SC_OK;
}

static uint32_t first_at(const struct sc_read_plan *plan, uint64_t group)
{
    uint32_t low = 0, high = plan->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (plan->copies[mid].group < group)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void sc_read_plan_group(const struct sc_read_plan *plan, uint32_t group, uint32_t *first, uint32_t *end)
{
    *first = first_at(plan, group);
    *end = first_at(plan, (uint64_t)group + 1);
}

void sc_read_plan_exclude(struct sc_read_plan *plan, uint32_t copy)
{
    if (plan->copies[copy].state == SC_COPY_SPARE)
        plan->copies[copy].state = SC_COPY_UNREADABLE;
}

/* ---- what could not be read ---- */

static int compare_numbers(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static int compare_by_id(const void *x, const void *y, void *arg)
{
    const uint32_t *place_of = arg;
    uint32_t a = place_of[*(const uint32_t *)x], b = place_of[*(const uint32_t *)y];
    return a < b ? -1 : a > b;
}

enum sc_status sc_read_plan_reassign(struct sc_read_plan *plan, const uint32_t *failed, uint32_t count,
                                     struct sc_read_plan_news *news)
{
    size_t bytes = ((size_t)count + 1) * sizeof(uint32_t);
    *news = (struct sc_read_plan_news){.work = malloc(bytes), .lost = malloc(bytes)};
    if (news->work == NULL || news->lost == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < count; i++) { /* first of all: what fails together is no way out for another */
        struct sc_read_plan_copy *copy = &plan->copies[failed[i]];
        if (copy->state == SC_COPY_ASSIGNED)
            news->lost[news->lost_count++] = failed[i];
        copy->state = SC_COPY_UNREADABLE;
    }
    uint32_t assigned = news->lost_count;
    news->lost_count = 0;
    for (uint32_t i = 0; i < assigned; i++) {
        uint32_t place = plan->place_of[news->lost[i]];
        struct sc_read_plan_copy *copy;
        while (place != 0 && compare_ids(&plan->copies[plan->by_id[place - 1]].span,
                                         &plan->copies[news->lost[i]].span) == 0)
            place--;
        copy = next_spare(plan, place);
        if (copy == NULL) {
            news->lost[news->lost_count++] = news->lost[i];
            continue;
        }
        copy->state = SC_COPY_ASSIGNED;
        news->work[news->work_count++] = (uint32_t)(copy - plan->copies);
    }
    qsort(news->work, news->work_count, sizeof(*news->work), compare_numbers);
    qsort_r(news->lost, news->lost_count, sizeof(*news->lost), compare_by_id, plan->place_of);
    return SC_OK;
}

void sc_read_plan_news_free(struct sc_read_plan_news *news)
{
    free(news->work);
    free(news->lost);
    *news = (struct sc_read_plan_news){0};
}

/* ---- for a planner above ---- */

int sc_id_run_compare(const struct sc_id_run *run, uint64_t stream, uint32_t lane, uint64_t sequence)
{
    const struct sc_span id = {.stream = stream, .lane = lane, .sequence = sequence};
    const struct sc_span first = {.stream = run->stream, .lane = run->lane, .sequence = run->first};
    return compare_ids(&first, &id);
}

/* Whether the copy's id is the next of the run, and as much liked. */
static bool goes_on(const struct sc_id_run *run, const struct sc_read_plan_copy *copy)
{
    return run->stream == copy->span.stream && run->lane == copy->span.lane &&
           run->last + 1 == copy->span.sequence && run->rank == copy->rank;
}

enum sc_status sc_read_plan_runs(const struct sc_read_plan *plan, struct sc_id_run **runs, uint32_t *count)
{
    struct sc_id_run *list = NULL;
    uint32_t n = 0;
    *runs = NULL;
    *count = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct sc_read_plan_copy *copy = &plan->copies[plan->by_id[i]];
        const struct sc_span *id = &copy->span;
        if (copy->state != SC_COPY_ASSIGNED)
            continue;
        if (n != 0 && goes_on(&list[n - 1], copy)) {
            list[n - 1].last++;
            continue;
        }
        if (!sc_array_more(list, n, 1)) {
            free(list);
            return SC_NOMEM;
        }
        list[n++] = (struct sc_id_run){id->stream, id->sequence, id->sequence, id->lane, copy->rank};
    }
    *runs = list;
    *count = n;
    return SC_OK;
}

/* How many copies there are of the id at `place`, which is that of the first. */
static uint32_t copies_of_id(const struct sc_read_plan *plan, uint32_t place)
{
    const struct sc_span *id = &plan->copies[plan->by_id[place]].span;
    uint32_t n = 1;
    while (place + n < plan->count && compare_ids(&plan->copies[plan->by_id[place + n]].span, id) == 0)
        n++;
    return n;
}

static void take_back(struct sc_read_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        if (plan->copies[i].state == SC_COPY_ASSIGNED)
            plan->copies[i].state = SC_COPY_SPARE;
    }
}

static bool is_behind(const struct sc_span *id, const struct sc_id_run *run)
{
    const struct sc_span last = {.stream = run->stream, .lane = run->lane, .sequence = run->last};
    return compare_ids(id, &last) > 0;
}

/* Assigns the id at `place` to what can be read of it here. */
static enum sc_status take_id(struct sc_read_plan *plan, uint32_t place, uint32_t **lost,
                              uint32_t *lost_count)
{
    struct sc_read_plan_copy *copy = next_spare(plan, place);
    if (copy != NULL) {
        copy->state = SC_COPY_ASSIGNED;
        return SC_OK;
    }
    if (!sc_array_more(*lost, *lost_count, 1))
        return SC_NOMEM;
    (*lost)[(*lost_count)++] = plan->by_id[place];
    return SC_OK;
}

enum sc_status sc_read_plan_take(struct sc_read_plan *plan, const struct sc_id_run *runs, uint32_t count,
                                 uint32_t **lost, uint32_t *lost_count)
{
    uint64_t wanted = 0, met = 0;
    *lost = NULL;
    *lost_count = 0;
    take_back(plan);
    for (uint32_t r = 0; r < count; r++)
        wanted += runs[r].last - runs[r].first + 1;
    for (uint32_t i = 0, r = 0; i < plan->count && r < count; i += copies_of_id(plan, i)) {
        const struct sc_span *id = &plan->copies[plan->by_id[i]].span;
        while (r < count && is_behind(id, &runs[r]))
            r++;
        if (r == count || sc_id_run_compare(&runs[r], id->stream, id->lane, id->sequence) > 0)
            continue;
        met++;
        SC_TRY(take_id(plan, i, lost, lost_count));
    }
    return met == wanted ? SC_OK : SC_DAMAGED;
}

void sc_read_plan_free(struct sc_read_plan *plan)
{
    free(plan->copies);
    free(plan->by_id);
    free(plan->place_of);
    *plan = (struct sc_read_plan){0};
}
