// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/reduce_steps.h"

static enum sc_status counting_pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                    struct sc_buf *receive, struct sc_error *err)
{
    struct sc_reduce *r = arg;
    if (to != SC_NO_RANK)
        r->stats->bytes += send->len;
    return r->under->pass(r->under->arg, to, send, from, receive, err);
}

void sc_reduce_count_passes(struct sc_reduce *r)
{
    r->ranks =
        (struct sc_ranks){.rank = r->under->rank, .count = r->under->count, .pass = counting_pass, .arg = r};
}

void sc_reduce_absorb(struct sc_reduce *r, struct sc_groups *into, const uint8_t *bytes, size_t length)
{
    if (sc_reduce_fine(r) && length != 0)
        sc_reduce_note(r, sc_groups_read(into, bytes, length, r->err));
}

struct collecting {
    struct sc_reduce *r;
    struct sc_groups *into;
};

static enum sc_status take_groups(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct collecting *c = arg;
    (void)rank;
    (void)err;
    sc_reduce_absorb(c->r, c->into, in->data, in->len);
    return SC_OK;
}

enum sc_status sc_reduce_collect(struct sc_reduce *r, const struct sc_buf *mine, struct sc_groups *into)
{
    const struct sc_buf nothing = {0};
    struct collecting c = {r, into};
    r->stats->rounds++;
    return sc_ranks_collect(&r->ranks, sc_reduce_fine(r) ? mine : &nothing, take_groups, &c, r->err);
}

struct hearing {
    void (*add)(uint64_t *sum, const uint64_t *theirs);
    uint64_t *sum;
    uint32_t count;
};

static enum sc_status take_numbers(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct hearing *h = arg;
    uint64_t numbers[SC_REDUCE_NUMBERS];
    (void)err;
    for (uint32_t i = 0; i < h->count; i++)
        numbers[i] = sc_cursor_le64(in);
    if (rank != 0)
        h->add(h->sum, numbers);
    return SC_OK;
}

enum sc_status sc_reduce_hear(struct sc_reduce *r, const uint64_t *mine, uint32_t count,
                              void (*add)(uint64_t *sum, const uint64_t *theirs), uint64_t *sum)
{
    struct hearing h = {add, sum, count};
    struct sc_buf bytes = {0};
    for (uint32_t i = 0; i < count; i++)
        sc_buf_append_le64(&bytes, mine[i]);
    enum sc_status status = sc_ranks_collect_short(&r->ranks, &bytes, take_numbers, &h, r->err);
    sc_buf_free(&bytes);
    return status;
}
