// SPDX-License-Identifier: BSD-3-Clause
/*
 * The plan is a function of what is held: the runs of all ranks are swept lane by lane from the first number to the last, and between
 * two ends of runs nothing changes. What could not be read is cut out of its rank's runs, and the sweep is made again.
 */
#include "cluster/planner.h"

#include "base/array.h"
#include "cluster/inventory.h"

#include <stdlib.h>
#include <string.h>

/* Ids that a rank holds, or is to read. */
struct share {
    struct sc_id_run ids;
    uint32_t rank;
};

struct lost {
    struct sc_lost_batch batch;
    uint32_t rank;
};

struct sc_planner {
    uint32_t rank_count, added; /* ranks, so far */
    struct share *held;         /* by rank and id */
    uint32_t held_count;
    struct share *assigned; /* by id */
    uint32_t assigned_count;
    struct lost *lost; /* of this round */
    uint32_t lost_count;
};

struct sc_planner *sc_planner_create(uint32_t ranks)
{
    struct sc_planner *p = calloc(1, sizeof(*p));
    if (p != NULL)
        p->rank_count = ranks;
    return p;
}

void sc_planner_free(struct sc_planner *p)
{
    if (p == NULL)
        return;
    free(p->held);
    free(p->assigned);
    free(p->lost);
    free(p);
}

static enum sc_status add_share(struct share **shares, uint32_t *count, const struct sc_id_run *ids,
                                uint32_t rank)
{
    if (!sc_array_more(*shares, *count, 1))
        return SC_NOMEM;
    (*shares)[(*count)++] = (struct share){*ids, rank};
    return SC_OK;
}

enum sc_status sc_planner_add(struct sc_planner *p, struct sc_cursor *in)
{
    struct sc_id_run *runs;
    uint32_t count, rank = p->added++;
    SC_TRY(sc_inventory_get_runs(in, &runs, &count));
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < count && status == SC_OK; i++)
        status = add_share(&p->held, &p->held_count, &runs[i], rank);
    free(runs);
    return status;
}

/* ---- the sweep ---- */

/* Runs that hold the number at which the sweep stands, or have ended unnoticed: a heap with the one that is read on top. */
struct sweep {
    const struct share **open;
    uint32_t count;
};

static bool is_before(const struct share *a, const struct share *b)
{
    return a->ids.rank != b->ids.rank ? a->ids.rank < b->ids.rank : a->rank < b->rank;
}

static void begin_run(struct sweep *s, const struct share *run)
{
    uint32_t at = s->count++;
    for (; at != 0 && is_before(run, s->open[(at - 1) / 2]); at = (at - 1) / 2)
        s->open[at] = s->open[(at - 1) / 2];
    s->open[at] = run;
}

static void end_top(struct sweep *s)
{
    const struct share *last = s->open[--s->count];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < s->count; at = child) {
        child += child + 1 < s->count && is_before(s->open[child + 1], s->open[child]);
        if (!is_before(s->open[child], last))
            break;
        s->open[at] = s->open[child];
    }
    s->open[at] = last;
}

static bool same_lane(const struct sc_id_run *a, const struct sc_id_run *b)
{
    return a->stream == b->stream && a->lane == b->lane;
}

/* The numbers `first` to `last` of a run are for its rank. */
static enum sc_status assign(struct sc_planner *p, const struct share *run, uint64_t first, uint64_t last)
{
    struct share *before = p->assigned_count == 0 ? NULL : &p->assigned[p->assigned_count - 1];
    struct sc_id_run ids = run->ids;
    if (before != NULL && before->rank == run->rank && same_lane(&before->ids, &ids) &&
        before->ids.last + 1 == first) {
        before->ids.last = last;
        return SC_OK;
    }
    ids.first = first;
    ids.last = last;
    return add_share(&p->assigned, &p->assigned_count, &ids, run->rank);
}

/* One lane of a stream, by first number. Each step goes to where the run on top ends, or the next one begins. */
static enum sc_status sweep_lane(struct sc_planner *p, struct sweep *s, const struct share *runs,
                                 uint32_t count)
{
    uint64_t at = 0, last = 0;
    for (uint32_t next = 0; next < count || s->count != 0;) {
        at = s->count == 0 ? runs[next].ids.first : at;
        while (next < count && runs[next].ids.first <= at)
            begin_run(s, &runs[next++]);
        while (s->count != 0 && s->open[0]->ids.last < at)
            end_top(s);
        if (s->count == 0)
            continue;
        last = s->open[0]->ids.last;
        if (next < count && runs[next].ids.first <= last)
            last = runs[next].ids.first - 1;
        SC_TRY(assign(p, s->open[0], at, last));
        if (last == UINT64_MAX)
            s->count = 0;
        at = last + 1;
    }
    return SC_OK;
}

static int compare_ids(const void *x, const void *y)
{
    const struct share *a = x, *b = y;
    return sc_id_run_compare(&a->ids, b->ids.stream, b->ids.lane, b->ids.first);
}

/* `runs` are all that are held; `open` has room for as many. */
static enum sc_status sweep_all(struct sc_planner *p, struct share *runs, const struct share **open)
{
    struct sweep s = {.open = open};
    enum sc_status status = SC_OK;
    qsort(runs, p->held_count, sizeof(*runs), compare_ids);
    for (uint32_t i = 0, n; i < p->held_count && status == SC_OK; i += n) {
        for (n = 1; i + n < p->held_count && same_lane(&runs[i].ids, &runs[i + n].ids);)
            n++;
        status = sweep_lane(p, &s, &runs[i], n);
    }
    return status;
}

enum sc_status sc_planner_assign(struct sc_planner *p)
{
    const size_t count = p->held_count;
    free(p->assigned);
    p->assigned = NULL;
    p->assigned_count = 0;
    if (count == 0)
        return SC_OK;
    struct share *runs = malloc(count * sizeof(*runs));
    const struct share **open = malloc(count * sizeof(const struct share *));
    enum sc_status status = runs == NULL || open == NULL ? SC_NOMEM : SC_OK;
    if (status == SC_OK) {
        memcpy(runs, p->held, count * sizeof(*runs));
        status = sweep_all(p, runs, open);
    }
    free(runs);
    free(open);
    return status;
}

void sc_planner_put_assignments(const struct sc_planner *p, struct sc_buf *out)
{
    for (uint32_t i = 0; i < p->assigned_count; i++)
        sc_inventory_put_run(&p->assigned[i].ids, &out[p->assigned[i].rank]);
}

/* ---- what could not be read ---- */

/* Who is to read an id; NULL: nobody. */
static const struct share *reader_of(const struct sc_planner *p, const struct sc_span *id)
{
    uint32_t low = 0, high = p->assigned_count; /* the last that does not begin behind it is below `low` */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (sc_id_run_compare(&p->assigned[mid].ids, id->stream, id->lane, id->sequence) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    const struct share *found = low == 0 ? NULL : &p->assigned[low - 1];
    bool holds = found != NULL && found->ids.stream == id->stream && found->ids.lane == id->lane &&
                 id->sequence <= found->ids.last;
    return holds ? found : NULL;
}

enum sc_status sc_planner_lost(struct sc_planner *p, uint32_t rank, struct sc_cursor *in)
{
    struct sc_lost_batch batch;
    while (sc_inventory_get_lost(in, &batch)) {
        const struct share *reader = reader_of(p, &batch.span);
        if (reader == NULL || reader->rank != rank)
            return SC_DAMAGED;
        if (!sc_array_more(p->lost, p->lost_count, 1))
            return SC_NOMEM;
        p->lost[p->lost_count++] = (struct lost){batch, rank};
    }
    return in->failed ? SC_DAMAGED : SC_OK;
}

static int compare_spans(const struct sc_span *a, const struct sc_span *b)
{
    const struct sc_id_run run = {.stream = a->stream, .lane = a->lane, .first = a->sequence};
    return sc_id_run_compare(&run, b->stream, b->lane, b->sequence);
}

static int compare_lost(const void *x, const void *y)
{
    const struct lost *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return compare_spans(&a->batch.span, &b->batch.span);
}

static int compare_lost_ids(const void *x, const void *y)
{
    const struct lost *a = x, *b = y;
    return compare_spans(&a->batch.span, &b->batch.span);
}

/* By rank and id, each once. */
static void sort_lost(struct sc_planner *p)
{
    uint32_t kept = 0;
    if (p->lost_count > 1)
        qsort(p->lost, p->lost_count, sizeof(*p->lost), compare_lost);
    for (uint32_t i = 0; i < p->lost_count; i++) {
        if (kept == 0 || compare_lost(&p->lost[kept - 1], &p->lost[i]) != 0)
            p->lost[kept++] = p->lost[i];
    }
    p->lost_count = kept;
}

static bool is_in(const struct share *run, const struct lost *lost)
{
    const struct sc_span *id = &lost->batch.span;
    return run->rank == lost->rank && run->ids.stream == id->stream && run->ids.lane == id->lane &&
           run->ids.first <= id->sequence && id->sequence <= run->ids.last;
}

/* Adds what is left of a run without the lost ids from *next on that are in it. */
static enum sc_status keep_readable(struct sc_planner *p, struct share run, uint32_t *next)
{
    for (; *next < p->lost_count && is_in(&run, &p->lost[*next]); ++*next) {
        uint64_t sequence = p->lost[*next].batch.span.sequence;
        struct sc_id_run before = run.ids;
        before.last = sequence - 1;
        if (before.first != sequence)
            SC_TRY(add_share(&p->held, &p->held_count, &before, run.rank));
        if (run.ids.last == sequence) {
            ++*next;
            return SC_OK;
        }
        run.ids.first = sequence + 1;
    }
    return add_share(&p->held, &p->held_count, &run.ids, run.rank);
}

/* Both are by rank and id, and each lost id is in one of its rank's runs. */
static enum sc_status cut_out_lost(struct sc_planner *p)
{
    struct share *runs = p->held;
    uint32_t count = p->held_count, next = 0;
    enum sc_status status = SC_OK;
    p->held = NULL;
    p->held_count = 0;
    for (uint32_t i = 0; i < count && status == SC_OK; i++)
        status = keep_readable(p, runs[i], &next);
    free(runs);
    return status;
}

/* Leaves of the lost, by id now, those that nobody reads. */
static void forget_found(struct sc_planner *p)
{
    uint32_t kept = 0;
    qsort(p->lost, p->lost_count, sizeof(*p->lost), compare_lost_ids);
    for (uint32_t i = 0; i < p->lost_count; i++) {
        if (reader_of(p, &p->lost[i].batch.span) == NULL)
            p->lost[kept++] = p->lost[i];
    }
    p->lost_count = kept;
}

/* Those of one window that stand together are told together. */
static enum sc_status note_lost(const struct sc_planner *p, struct sc_source *source)
{
    struct sc_span *spans = malloc(((size_t)p->lost_count + 1) * sizeof(*spans));
    enum sc_status status = spans == NULL ? SC_NOMEM : SC_OK;
    for (uint32_t i = 0, n; i < p->lost_count && status == SC_OK; i += n) {
        uint64_t window_ms = p->lost[i].batch.window_ms;
        for (n = 0; i + n < p->lost_count && p->lost[i + n].batch.window_ms == window_ms; n++)
            spans[n] = p->lost[i + n].batch.span;
        status = sc_source_note_lost(source, window_ms, spans, n, "no node can read it");
    }
    free(spans);
    return status;
}

enum sc_status sc_planner_reassign(struct sc_planner *p, struct sc_source *source, bool *again)
{
    *again = false;
    if (p->lost_count == 0)
        return SC_OK;
    sort_lost(p);
    uint32_t before = p->lost_count;
    SC_TRY(cut_out_lost(p));
    SC_TRY(sc_planner_assign(p));
    forget_found(p);
    *again = p->lost_count != before;
    enum sc_status status = note_lost(p, source);
    p->lost_count = 0;
    return status;
}
