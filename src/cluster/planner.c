// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/planner.h"

#include "base/array.h"

#include <stdlib.h>

struct rank {
    uint32_t first_copy, copies; /* in the plan, whose order is that of ranks and then each one's own */
};

struct sc_planner {
    struct sc_read_plan plan;
    uint64_t *windows; /* of each row group, ms */
    uint32_t group_count;
    uint32_t added; /* ranks, so far */
    uint32_t *failed;
    uint32_t failed_count;
    struct rank ranks[];
};

struct sc_planner *sc_planner_create(uint32_t ranks)
{
    return calloc(1, sizeof(struct sc_planner) + ranks * sizeof(struct rank));
}

void sc_planner_free(struct sc_planner *p)
{
    if (p == NULL)
        return;
    sc_read_plan_free(&p->plan);
    free(p->windows);
    free(p->failed);
    free(p);
}

static enum sc_status add_windows(struct sc_planner *p, struct sc_cursor *in, uint32_t count)
{
    if (count > sc_cursor_left(in) / 8)
        return SC_DAMAGED;
    if (!sc_array_more(p->windows, p->group_count, count))
        return SC_NOMEM;
    for (uint32_t g = 0; g < count; g++)
        p->windows[p->group_count + g] = sc_cursor_le64(in);
    return SC_OK;
}

enum sc_status sc_planner_add(struct sc_planner *p, struct sc_cursor *in)
{
    struct rank *rank = &p->ranks[p->added++];
    uint32_t groups = sc_cursor_le32(in);
    SC_TRY(add_windows(p, in, groups));
    rank->first_copy = p->plan.count;
    rank->copies = sc_cursor_le32(in);
    for (uint32_t i = 0; i < rank->copies && !in->failed; i++) {
        struct sc_span span = {.stream = sc_cursor_le64(in)};
        span.sequence = sc_cursor_le64(in);
        span.lane = sc_cursor_le32(in);
        span.first_row = sc_cursor_le32(in);
        span.rows = sc_cursor_le32(in);
        uint32_t group = sc_cursor_le32(in);
        uint16_t preference = sc_cursor_le16(in);
        if (in->failed || group >= groups)
            return SC_DAMAGED;
        SC_TRY(sc_read_plan_add(&p->plan, &span, p->group_count + group, preference, true));
    }
    p->group_count += groups;
    return in->failed ? SC_DAMAGED : SC_OK;
}

enum sc_status sc_planner_assign(struct sc_planner *p, struct sc_expected *expected)
{
    SC_TRY(sc_read_plan_assign(&p->plan));
    p->failed = malloc(((size_t)p->plan.count + 1) * sizeof(*p->failed));
    if (p->failed == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < p->plan.count; i++) {
        const struct sc_read_plan_copy *copy = &p->plan.copies[i];
        if (copy->state == SC_COPY_ASSIGNED)
            SC_TRY(sc_expected_found(expected, &copy->span, p->windows[copy->group]));
    }
    return SC_OK;
}

void sc_planner_put_assignment(const struct sc_planner *p, uint32_t rank, struct sc_buf *out)
{
    const struct rank *r = &p->ranks[rank];
    for (uint32_t i = 0; i < r->copies; i++)
        sc_buf_append_u8(out, p->plan.copies[r->first_copy + i].state == SC_COPY_ASSIGNED);
}

enum sc_status sc_planner_lost(struct sc_planner *p, uint32_t rank, struct sc_cursor *in)
{
    const struct rank *r = &p->ranks[rank];
    uint32_t count = sc_cursor_le32(in);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        uint32_t copy = sc_cursor_le32(in);
        if (in->failed || copy >= r->copies || p->failed_count >= p->plan.count)
            return SC_DAMAGED;
        p->failed[p->failed_count++] = r->first_copy + copy;
    }
    return in->failed ? SC_DAMAGED : SC_OK;
}

/* News lists the lost by id: those of one window that stand together are told together. */
static enum sc_status note_lost(const struct sc_planner *p, const struct sc_read_plan_news *news,
                                struct sc_source *source)
{
    struct sc_span *spans = malloc(((size_t)news->lost_count + 1) * sizeof(*spans));
    enum sc_status status = spans == NULL ? SC_NOMEM : SC_OK;
    for (uint32_t i = 0, n; i < news->lost_count && status == SC_OK; i += n) {
        uint64_t window = p->windows[p->plan.copies[news->lost[i]].group];
        for (n = 0; i + n < news->lost_count; n++) {
            const struct sc_read_plan_copy *copy = &p->plan.copies[news->lost[i + n]];
            if (p->windows[copy->group] != window)
                break;
            spans[n] = copy->span;
        }
        status = sc_source_note_lost(source, window, spans, n, "no node can read it");
    }
    free(spans);
    return status;
}

enum sc_status sc_planner_reassign(struct sc_planner *p, struct sc_source *source, bool *again)
{
    struct sc_read_plan_news news = {0};
    enum sc_status status = sc_read_plan_reassign(&p->plan, p->failed, p->failed_count, &news);
    *again = news.work_count != 0;
    p->failed_count = 0;
    if (status == SC_OK)
        status = note_lost(p, &news, source);
    sc_read_plan_news_free(&news);
    return status;
}
