// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/ranks.h"

#include <string.h>

static enum sc_status no_memory(struct sc_error *err)
{
    return sc_fail_nomem(err, "what ranks pass to each other");
}

static enum sc_status take_bytes(sc_ranks_take_fn *take, void *arg, uint32_t rank, const struct sc_buf *bytes,
                                 struct sc_error *err)
{
    struct sc_cursor in = {.data = bytes->data, .len = bytes->len};
    return take(arg, rank, &in, err);
}

bool sc_ranks_understand(const char *ours, const char *theirs, size_t length)
{
    const char *own = strchr(ours, '('), *other = memchr(theirs, '(', length);
    if (own == NULL || other == NULL)
        return length == strlen(ours) && memcmp(theirs, ours, length) == 0;
    size_t left = length - (size_t)(other - theirs);
    return left == strlen(own) && memcmp(own, other, left) == 0;
}

enum sc_status sc_ranks_collect(const struct sc_ranks *r, const struct sc_buf *mine, sc_ranks_take_fn *take,
                                void *arg, struct sc_error *err)
{
    struct sc_buf theirs = {0};
    if (!sc_buf_ok(mine))
        return no_memory(err);
    if (r->rank != 0)
        return r->pass(r->arg, 0, mine, SC_NO_RANK, NULL, err);
    enum sc_status status = take_bytes(take, arg, 0, mine, err);
    for (uint32_t i = 1; i < r->count && status == SC_OK; i++) {
        status = r->pass(r->arg, SC_NO_RANK, NULL, i, &theirs, err);
        if (status == SC_OK)
            status = take_bytes(take, arg, i, &theirs, err);
    }
    sc_buf_free(&theirs);
    return status;
}

enum sc_status sc_ranks_scatter(const struct sc_ranks *r, const struct sc_buf *all, struct sc_buf *mine,
                                struct sc_error *err)
{
    if (r->rank != 0)
        return r->pass(r->arg, SC_NO_RANK, NULL, 0, mine, err);
    for (uint32_t i = 1; i < r->count; i++)
        SC_TRY(r->pass(r->arg, i, &all[i], SC_NO_RANK, NULL, err));
    sc_buf_clear(mine);
    if (all[0].len != 0)
        sc_buf_append(mine, all[0].data, all[0].len);
    return sc_buf_ok(mine) ? SC_OK : no_memory(err);
}

/* ---- the tree of short messages ---- */

/*
 * A rank's parent is its number without the lowest bit: its children are so many ranks behind it as there are powers of two below that
 * bit, and all that are behind a child come before the next child. Rank 0 has a child for each power.
 */
static uint32_t to_parent(const struct sc_ranks *r)
{
    uint32_t step = 1;
    while (r->rank == 0 ? step < r->count : (r->rank & step) == 0)
        step *= 2;
    return step;
}

enum sc_status sc_ranks_broadcast(const struct sc_ranks *r, struct sc_buf *bytes, struct sc_error *err)
{
    uint32_t step = to_parent(r);
    if (r->rank != 0)
        SC_TRY(r->pass(r->arg, SC_NO_RANK, NULL, r->rank - step, bytes, err));
    while ((step /= 2) != 0) { /* who has most behind it first */
        if (r->rank + step < r->count)
            SC_TRY(r->pass(r->arg, r->rank + step, bytes, SC_NO_RANK, NULL, err));
    }
    return SC_OK;
}

/* What the ranks from `rank` on say, each behind its length; how many there are to *said. */
static enum sc_status take_said(sc_ranks_take_fn *take, void *arg, uint32_t rank, const struct sc_buf *said,
                                uint32_t *count, struct sc_error *err)
{
    struct sc_cursor in = {.data = said->data, .len = said->len};
    for (*count = 0; sc_cursor_left(&in) != 0 && !in.failed; ++*count) {
        struct sc_cursor one = {.len = sc_cursor_le64(&in)};
        one.data = sc_cursor_take(&in, one.len);
        if (!in.failed)
            SC_TRY(take(arg, rank + *count, &one, err));
    }
    return in.failed ? sc_fail(err, SC_DAMAGED, "what ranks say is cut") : SC_OK;
}

/* Rank 0 takes what its children's ranks say; the others put it behind their own. */
static enum sc_status hear_children(const struct sc_ranks *r, struct sc_buf *said, sc_ranks_take_fn *take,
                                    void *arg, struct sc_error *err)
{
    struct sc_buf theirs = {0};
    enum sc_status status = SC_OK;
    uint32_t next = 1, count;
    for (uint32_t step = 1; step < to_parent(r) && r->rank + step < r->count && status == SC_OK; step *= 2) {
        status = r->pass(r->arg, SC_NO_RANK, NULL, r->rank + step, &theirs, err);
        if (status == SC_OK && r->rank == 0) {
            status = take_said(take, arg, next, &theirs, &count, err);
            next += count;
        } else if (status == SC_OK) {
            sc_buf_append(said, theirs.data, theirs.len);
        }
    }
    sc_buf_free(&theirs);
    if (status == SC_OK && r->rank == 0 && next != r->count)
        return sc_fail(err, SC_DAMAGED, "what ranks say is not that of all");
    return status;
}

enum sc_status sc_ranks_collect_short(const struct sc_ranks *r, const struct sc_buf *mine,
                                      sc_ranks_take_fn *take, void *arg, struct sc_error *err)
{
    struct sc_buf said = {0};
    if (!sc_buf_ok(mine))
        return no_memory(err);
    if (r->rank == 0)
        SC_TRY(take_bytes(take, arg, 0, mine, err));
    sc_buf_append_le64(&said, mine->len);
    sc_buf_append(&said, mine->data, mine->len);
    enum sc_status status = hear_children(r, &said, take, arg, err);
    if (status == SC_OK && r->rank != 0)
        status = sc_buf_ok(&said) ? r->pass(r->arg, r->rank - to_parent(r), &said, SC_NO_RANK, NULL, err)
                                  : no_memory(err);
    sc_buf_free(&said);
    return status;
}

enum sc_status sc_ranks_tell(const struct sc_ranks *r, uint64_t *numbers, uint32_t count,
                             struct sc_error *err)
{
    struct sc_buf bytes = {0};
    for (uint32_t i = 0; i < count; i++)
        sc_buf_append_le64(&bytes, numbers[i]);
    enum sc_status status = sc_buf_ok(&bytes) ? sc_ranks_broadcast(r, &bytes, err) : no_memory(err);
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    for (uint32_t i = 0; i < count && status == SC_OK; i++)
        numbers[i] = sc_cursor_le64(&in);
    sc_buf_free(&bytes);
    return status == SC_OK && in.failed ? sc_fail(err, SC_DAMAGED, "what rank 0 says is cut") : status;
}

static enum sc_status take_most(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    uint64_t *most = arg, theirs = sc_cursor_le64(in);
    (void)rank;
    (void)err;
    *most = theirs > *most ? theirs : *most;
    return SC_OK;
}

enum sc_status sc_ranks_most(const struct sc_ranks *r, uint64_t *value, struct sc_error *err)
{
    struct sc_buf mine = {0};
    sc_buf_append_le64(&mine, *value);
    enum sc_status status = sc_ranks_collect_short(r, &mine, take_most, value, err);
    sc_buf_free(&mine);
    return status == SC_OK ? sc_ranks_tell(r, value, 1, err) : status;
}

enum sc_status sc_ranks_settle(const struct sc_ranks *r, enum sc_status mine, struct sc_error *err)
{
    uint64_t worst = (uint64_t)mine;
    SC_TRY(sc_ranks_most(r, &worst, mine == SC_OK ? err : NULL));
    if (mine == SC_OK && worst != SC_OK)
        return sc_fail(err, (enum sc_status)worst, "another node could not go on");
    return mine;
}

enum sc_status sc_ranks_agree(const struct sc_ranks *r, enum sc_status mine, struct sc_error *err)
{
    uint64_t stopped = mine == SC_CANCELLED;
    if (mine != SC_OK && mine != SC_CANCELLED)
        return mine;
    SC_TRY(sc_ranks_most(r, &stopped, err));
    if (mine == SC_OK && stopped != 0)
        return sc_fail(err, SC_CANCELLED, "before everything was read");
    return mine;
}
