// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/ranks.h"

static enum sc_status copy(struct sc_buf *to, const struct sc_buf *from, struct sc_error *err)
{
    sc_buf_clear(to);
    if (from->len != 0)
        sc_buf_append(to, from->data, from->len);
    return sc_buf_ok(to) ? SC_OK : sc_fail_nomem(err, "what ranks pass to each other");
}

enum sc_status sc_ranks_gather(const struct sc_ranks *r, const struct sc_buf *mine, struct sc_buf *all,
                               struct sc_error *err)
{
    if (r->rank != 0)
        return r->pass(r->arg, 0, mine, SC_NO_RANK, NULL, err);
    SC_TRY(copy(&all[0], mine, err));
    for (uint32_t i = 1; i < r->count; i++)
        SC_TRY(r->pass(r->arg, SC_NO_RANK, NULL, i, &all[i], err));
    return SC_OK;
}

enum sc_status sc_ranks_scatter(const struct sc_ranks *r, const struct sc_buf *all, struct sc_buf *mine,
                                struct sc_error *err)
{
    if (r->rank != 0)
        return r->pass(r->arg, SC_NO_RANK, NULL, 0, mine, err);
    for (uint32_t i = 1; i < r->count; i++)
        SC_TRY(r->pass(r->arg, i, &all[i], SC_NO_RANK, NULL, err));
    return copy(mine, &all[0], err);
}

enum sc_status sc_ranks_broadcast(const struct sc_ranks *r, struct sc_buf *bytes, struct sc_error *err)
{
    if (r->rank != 0)
        return r->pass(r->arg, SC_NO_RANK, NULL, 0, bytes, err);
    for (uint32_t i = 1; i < r->count; i++)
        SC_TRY(r->pass(r->arg, i, bytes, SC_NO_RANK, NULL, err));
    return SC_OK;
}

enum sc_status sc_ranks_exchange(const struct sc_ranks *r, const struct sc_buf *out, struct sc_buf *in,
                                 struct sc_error *err)
{
    SC_TRY(copy(&in[r->rank], &out[r->rank], err));
    for (uint32_t step = 1; step < r->count; step++) {
        uint32_t to = (r->rank + step) % r->count, from = (r->rank + r->count - step) % r->count;
        SC_TRY(r->pass(r->arg, to, &out[to], from, &in[from], err));
    }
    return SC_OK;
}

enum sc_status sc_ranks_most(const struct sc_ranks *r, uint64_t *value, struct sc_error *err)
{
    struct sc_buf mine = {0}, theirs = {0};
    enum sc_status status = SC_OK;
    for (uint32_t i = 1; r->rank == 0 && i < r->count && status == SC_OK; i++) {
        status = r->pass(r->arg, SC_NO_RANK, NULL, i, &theirs, err);
        uint64_t v = theirs.len == sizeof(v) ? sc_load_le64(theirs.data) : 0;
        *value = v > *value ? v : *value;
    }
    sc_buf_append_le64(&mine, *value);
    if (!sc_buf_ok(&mine))
        status = sc_fail_nomem(err, "what ranks pass to each other");
    if (r->rank != 0 && status == SC_OK)
        status = r->pass(r->arg, 0, &mine, SC_NO_RANK, NULL, err);
    if (status == SC_OK)
        status = sc_ranks_broadcast(r, &mine, err);
    if (status == SC_OK && mine.len == sizeof(*value))
        *value = sc_load_le64(mine.data);
    sc_buf_free(&mine);
    sc_buf_free(&theirs);
    return status;
}

enum sc_status sc_ranks_settle(const struct sc_ranks *r, enum sc_status mine, struct sc_error *err)
{
    uint64_t worst = (uint64_t)mine;
    SC_TRY(sc_ranks_most(r, &worst, mine == SC_OK ? err : NULL));
    if (mine == SC_OK && worst != SC_OK)
        return sc_fail(err, (enum sc_status)worst, "another node could not go on");
    return mine;
}
