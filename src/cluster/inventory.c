// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/inventory.h"

#include "base/array.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

void sc_inventory_put_text(const char *text, struct sc_buf *out)
{
    size_t length = strlen(text);
    sc_buf_append_le32(out, (uint32_t)length);
    sc_buf_append(out, text, length);
}

bool sc_inventory_copy_text(struct sc_cursor *in, char *out, size_t size)
{
    uint32_t length = sc_cursor_le32(in);
    const uint8_t *text = sc_cursor_take(in, length);
    if (text == NULL || length >= size)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

/* ---- what is expected ---- */

static void put_count(const struct sc_tally_count *c, struct sc_buf *out)
{
    for (int kind = 0; kind < 2; kind++) {
        sc_buf_append_le64(out, c->batches[kind]);
        sc_buf_append_le64(out, c->records[kind]);
    }
}

static void get_count(struct sc_cursor *in, struct sc_tally_count *c)
{
    for (int kind = 0; kind < 2; kind++) {
        c->batches[kind] = sc_cursor_le64(in);
        c->records[kind] = sc_cursor_le64(in);
    }
}

static void put_tally(const struct sc_tally *t, struct sc_buf *out)
{
    sc_inventory_put_text(t->proxy, out);
    sc_buf_append_le64(out, t->stream);
    sc_buf_append_le64(out, t->window_ms);
    sc_buf_append_le32(out, t->window_s);
    sc_buf_append_le32(out, t->lane_count);
    for (uint32_t i = 0; i < t->lane_count; i++) {
        sc_buf_append_le32(out, t->lanes[i].lane);
        put_count(&t->lanes[i].accepted, out);
        put_count(&t->lanes[i].safe, out);
    }
}

static void put_losses(const struct sc_losses *losses, struct sc_buf *out)
{
    sc_buf_append_le32(out, losses->count);
    for (uint32_t i = 0; i < losses->count; i++) {
        const struct sc_loss *l = &losses->list[i];
        sc_buf_append_le64(out, l->stream);
        sc_buf_append_le64(out, l->window_ms);
        sc_buf_append_le32(out, l->window_s);
        sc_buf_append_le32(out, l->lane);
        put_count(&l->lost, out);
    }
}

/* Its lanes are in order: who knows the same says the same. `bytes`: cleared. */
static uint64_t hash_tally(const struct sc_tally *t, uint64_t seed, struct sc_buf *bytes)
{
    sc_buf_clear(bytes);
    put_tally(t, bytes);
    return sc_hash_bytes(bytes->data, bytes->len, seed);
}

static int compare_hashes(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

void sc_inventory_put_digest(const struct sc_expected *e, const struct sc_expected_range *range,
                             uint64_t seed, struct sc_buf *out)
{
    struct sc_buf bytes = {0};
    uint32_t count = 0;
    uint64_t *hashes = malloc(((size_t)e->tally_count + 1) * sizeof(*hashes));
    for (uint32_t i = 0; hashes != NULL && i < e->tally_count; i++) {
        if (sc_expected_is_judged(e, range, &e->tallies[i]))
            hashes[count++] = hash_tally(&e->tallies[i], seed, &bytes);
    }
    out->failed = out->failed || hashes == NULL || !sc_buf_ok(&bytes);
    if (count > 1)
        qsort(hashes, count, sizeof(*hashes), compare_hashes);
    sc_buf_append_le64(out, seed);
    for (uint32_t i = 0; i < count; i++)
        sc_buf_append_le64(out, hashes[i]);
    free(hashes);
    sc_buf_free(&bytes);
}

enum sc_status sc_inventory_get_digest(struct sc_cursor *in, struct sc_inventory_digest *digest)
{
    *digest = (struct sc_inventory_digest){.seed = sc_cursor_le64(in)};
    size_t count = sc_cursor_left(in) / 8;
    if (in->failed || sc_cursor_left(in) % 8 != 0 || count > UINT32_MAX)
        return SC_DAMAGED;
    digest->hashes = malloc((count + 1) * sizeof(*digest->hashes));
    if (digest->hashes == NULL)
        return SC_NOMEM;
    for (; digest->count < count; digest->count++)
        digest->hashes[digest->count] = sc_cursor_le64(in);
    return SC_OK;
}

void sc_inventory_digest_free(struct sc_inventory_digest *digest)
{
    free(digest->hashes);
    *digest = (struct sc_inventory_digest){0};
}

static bool is_known(const struct sc_inventory_digest *digest, const struct sc_tally *t, struct sc_buf *bytes)
{
    if (digest == NULL)
        return false;
    uint64_t hash = hash_tally(t, digest->seed, bytes);
    uint32_t at = sc_array_below(digest->hashes, sizeof(hash), digest->count, hash);
    return at < digest->count && digest->hashes[at] == hash;
}

/* What is news of the judged tallies. @return how many. */
static uint32_t put_news(const struct sc_expected *e, const struct sc_expected_range *range,
                         const struct sc_inventory_digest *digest, struct sc_buf *out)
{
    struct sc_buf bytes = {0};
    uint32_t told = 0;
    for (uint32_t i = 0; i < e->tally_count; i++) {
        const struct sc_tally *t = &e->tallies[i];
        if (!sc_expected_is_judged(e, range, t) || is_known(digest, t, &bytes))
            continue;
        put_tally(t, out);
        told++;
    }
    out->failed = out->failed || !sc_buf_ok(&bytes);
    sc_buf_free(&bytes);
    return told;
}

void sc_inventory_put_tallies(const struct sc_expected *e, const struct sc_expected_range *range,
                              const struct sc_inventory_digest *digest, struct sc_buf *out)
{
    size_t begin = out->len;
    sc_buf_append_le32(out, 0);
    uint32_t told = put_news(e, range, digest, out);
    if (told == 0 && digest == NULL && e->tally_count != 0) {
        put_tally(&e->tallies[0], out);
        told = 1;
    }
    if (sc_buf_ok(out))
        memcpy(out->data + begin, &told, sizeof(told));
}

static void put_members(const struct sc_horizons *h, bool own, struct sc_buf *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->member_count; i++)
        count += !own || h->members[i].own;
    sc_buf_append_le32(out, count);
    for (uint32_t i = 0; i < h->member_count; i++) {
        const struct sc_member_horizon *m = &h->members[i];
        if (own && !m->own)
            continue;
        sc_buf_append_le32(out, m->lane);
        sc_buf_append_le64(out, m->horizon_ms);
        sc_buf_append_u8(out, m->own);
    }
}

static void put_horizons(const struct sc_horizons *h, struct sc_buf *out)
{
    sc_buf_append_le64(out, h->version);
    sc_buf_append_le64(out, h->alone_ms);
    put_members(h, false, out);
    sc_buf_append_le32(out, h->lane_count);
    for (uint32_t i = 0; i < h->lane_count; i++) {
        sc_buf_append_le32(out, h->lanes[i].lane);
        sc_buf_append_u8(out, (uint8_t)h->lanes[i].count);
        for (uint32_t k = 0; k < h->lanes[i].count; k++)
            sc_buf_append_le32(out, h->lanes[i].holders[k]);
    }
}

void sc_inventory_put_own_horizons(const struct sc_expected *e, struct sc_buf *out)
{
    sc_buf_append_le64(out, e->horizons.alone_ms);
    put_members(&e->horizons, true, out);
}

void sc_inventory_put_expected(const struct sc_expected *e, struct sc_buf *out)
{
    put_horizons(&e->horizons, out);
    sc_buf_append_le32(out, e->stream_count);
    for (uint32_t i = 0; i < e->stream_count; i++) {
        sc_inventory_put_text(e->streams[i].proxy, out);
        sc_buf_append_le64(out, e->streams[i].stream);
        sc_buf_append_le64(out, e->streams[i].heard_ms);
        sc_buf_append_u8(out, e->streams[i].closed);
    }
    put_losses(&e->losses, out);
}

static enum sc_status get_tally(struct sc_cursor *in, struct sc_tally *t)
{
    if (!sc_inventory_copy_text(in, t->proxy, sizeof(t->proxy)))
        return SC_DAMAGED;
    t->stream = sc_cursor_le64(in);
    t->window_ms = sc_cursor_le64(in);
    t->window_s = sc_cursor_le32(in);
    uint32_t lanes = sc_cursor_le32(in);
    for (uint32_t i = 0; i < lanes && !in->failed; i++) {
        struct sc_tally_lane *lane = sc_tally_lane(t, sc_cursor_le32(in));
        if (lane == NULL)
            return SC_NOMEM;
        get_count(in, &lane->accepted);
        get_count(in, &lane->safe);
    }
    return in->failed ? SC_DAMAGED : SC_OK;
}

static enum sc_status get_stream(struct sc_cursor *in, struct sc_expected *e)
{
    struct sc_stream s = {0};
    if (!sc_inventory_copy_text(in, s.proxy, sizeof(s.proxy)))
        return SC_DAMAGED;
    s.stream = sc_cursor_le64(in);
    s.heard_ms = sc_cursor_le64(in);
    s.closed = sc_cursor_u8(in) != 0;
    return in->failed ? SC_DAMAGED : sc_expected_add_stream(e, &s);
}

/* The streams that were given up are among the streams. */
static enum sc_status get_losses(struct sc_cursor *in, struct sc_losses *losses)
{
    uint32_t count = sc_cursor_le32(in);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        struct sc_loss l = {.stream = sc_cursor_le64(in)};
        l.window_ms = sc_cursor_le64(in);
        l.window_s = sc_cursor_le32(in);
        l.lane = sc_cursor_le32(in);
        get_count(in, &l.lost);
        if (!in->failed)
            SC_TRY(sc_losses_add(losses, &l));
    }
    return in->failed ? SC_DAMAGED : SC_OK;
}

enum sc_status sc_inventory_get_tallies(struct sc_cursor *in, struct sc_expected *e)
{
    uint32_t tallies = sc_cursor_le32(in);
    for (uint32_t i = 0; i < tallies && !in->failed; i++) {
        struct sc_tally t = {0};
        enum sc_status status = get_tally(in, &t);
        if (status == SC_OK)
            status = sc_expected_add_tally(e, &t);
        sc_tally_free(&t);
        SC_TRY(status);
    }
    return in->failed ? SC_DAMAGED : SC_OK;
}

static struct sc_member_horizon get_member(struct sc_cursor *in)
{
    struct sc_member_horizon m = {.lane = sc_cursor_le32(in)};
    m.horizon_ms = sc_cursor_le64(in);
    m.own = sc_cursor_u8(in) != 0;
    return m;
}

static enum sc_status get_lane(struct sc_cursor *in, struct sc_horizons *to)
{
    struct sc_lane_holders l = {.lane = sc_cursor_le32(in)};
    l.count = sc_cursor_u8(in);
    if (l.count > SC_HORIZONS_HOLDERS)
        return SC_DAMAGED;
    for (uint32_t i = 0; i < l.count; i++)
        l.holders[i] = sc_cursor_le32(in);
    return in->failed ? SC_DAMAGED : sc_horizons_add_lane(to, &l);
}

static enum sc_status read_horizons(struct sc_cursor *in, struct sc_horizons *out)
{
    enum sc_status status = SC_OK;
    out->version = sc_cursor_le64(in);
    out->alone_ms = sc_cursor_le64(in);
    uint32_t members = sc_cursor_le32(in);
    for (uint32_t i = 0; i < members && !in->failed && status == SC_OK; i++) {
        struct sc_member_horizon m = get_member(in);
        status = sc_horizons_add_member(out, &m);
    }
    uint32_t lanes = sc_cursor_le32(in);
    for (uint32_t i = 0; i < lanes && !in->failed && status == SC_OK; i++)
        status = get_lane(in, out);
    return status == SC_NOMEM ? status : in->failed || status != SC_OK ? SC_DAMAGED : SC_OK;
}

static enum sc_status get_horizons(struct sc_cursor *in, struct sc_horizons *to)
{
    struct sc_horizons theirs = {0};
    enum sc_status status = read_horizons(in, &theirs);
    if (status == SC_OK)
        status = sc_horizons_add_all(to, &theirs);
    sc_horizons_free(&theirs);
    return status;
}

enum sc_status sc_inventory_get_own_horizons(struct sc_cursor *in, struct sc_expected *e)
{
    uint64_t alone_ms = sc_cursor_le64(in);
    e->horizons.alone_ms = alone_ms > e->horizons.alone_ms ? alone_ms : e->horizons.alone_ms;
    uint32_t members = sc_cursor_le32(in);
    for (uint32_t i = 0; i < members && !in->failed; i++) {
        struct sc_member_horizon m = get_member(in);
        sc_horizons_tell(&e->horizons, &m);
    }
    sc_horizons_settle(&e->horizons);
    return in->failed ? SC_DAMAGED : SC_OK;
}

enum sc_status sc_inventory_get_expected(struct sc_cursor *in, struct sc_expected *e)
{
    SC_TRY(get_horizons(in, &e->horizons));
    uint32_t streams = sc_cursor_le32(in);
    for (uint32_t i = 0; i < streams && !in->failed; i++)
        SC_TRY(get_stream(in, e));
    return in->failed ? SC_DAMAGED : get_losses(in, &e->losses);
}

/* ---- batches ---- */

#define RUN_BYTES 30u

void sc_inventory_put_run(const struct sc_id_run *run, struct sc_buf *out)
{
    sc_buf_append_le64(out, run->stream);
    sc_buf_append_le32(out, run->lane);
    sc_buf_append_le64(out, run->first);
    sc_buf_append_le64(out, run->last);
    sc_buf_append_le16(out, run->rank);
}

static struct sc_id_run get_run(struct sc_cursor *in)
{
    struct sc_id_run run = {.stream = sc_cursor_le64(in)};
    run.lane = sc_cursor_le32(in);
    run.first = sc_cursor_le64(in);
    run.last = sc_cursor_le64(in);
    run.rank = sc_cursor_le16(in);
    return run;
}

/* Each id is in one of them at most. */
static bool in_order(const struct sc_id_run *runs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_id_run *r = &runs[i];
        if (r->first > r->last || (i != 0 && sc_id_run_compare(r, r[-1].stream, r[-1].lane, r[-1].last) <= 0))
            return false;
    }
    return true;
}

enum sc_status sc_inventory_get_runs(struct sc_cursor *in, struct sc_id_run **runs, uint32_t *count)
{
    size_t n = sc_cursor_left(in) / RUN_BYTES;
    if (in->failed || sc_cursor_left(in) % RUN_BYTES != 0 || n > UINT32_MAX)
        return SC_DAMAGED;
    struct sc_id_run *list = malloc((n + 1) * sizeof(*list));
    if (list == NULL)
        return SC_NOMEM;
    for (size_t i = 0; i < n; i++)
        list[i] = get_run(in);
    if (!in_order(list, (uint32_t)n)) {
        free(list);
        return SC_DAMAGED;
    }
    *runs = list;
    *count = (uint32_t)n;
    return SC_OK;
}

static uint64_t window_of(const struct sc_source *source, const struct sc_read_plan_copy *copy)
{
    return source->segments[source->groups[copy->group].segment]->window_ms;
}

static void put_held(const struct sc_held *held, struct sc_buf *out)
{
    sc_buf_append_le64(out, held->stream);
    sc_buf_append_le64(out, held->window_ms);
    sc_buf_append_le64(out, held->batches);
    sc_buf_append_le64(out, held->records);
    sc_buf_append_le32(out, held->lane);
}

/* In the order of ids, in which those of a window mostly stand together. */
void sc_inventory_put_found(const struct sc_source *source, struct sc_buf *out)
{
    struct sc_held held = {0};
    for (uint32_t i = 0; i < source->plan.count; i++) {
        const struct sc_read_plan_copy *c = &source->plan.copies[source->plan.by_id[i]];
        uint64_t window_ms = window_of(source, c);
        if (c->state != SC_COPY_ASSIGNED)
            continue;
        if (held.batches == 0 || held.stream != c->span.stream || held.lane != c->span.lane ||
            held.window_ms != window_ms) {
            if (held.batches != 0)
                put_held(&held, out);
            held = (struct sc_held){.stream = c->span.stream, .window_ms = window_ms, .lane = c->span.lane};
        }
        held.batches++;
        held.records += c->span.rows;
    }
    if (held.batches != 0)
        put_held(&held, out);
}

enum sc_status sc_inventory_get_found(struct sc_cursor *in, struct sc_expected *expected)
{
    while (!in->failed && sc_cursor_left(in) != 0) {
        struct sc_held held = {.stream = sc_cursor_le64(in)};
        held.window_ms = sc_cursor_le64(in);
        held.batches = sc_cursor_le64(in);
        held.records = sc_cursor_le64(in);
        held.lane = sc_cursor_le32(in);
        if (!in->failed)
            SC_TRY(sc_expected_found_all(expected, &held));
    }
    return in->failed ? SC_DAMAGED : SC_OK;
}

void sc_inventory_put_lost(const struct sc_source *source, struct sc_buf *out)
{
    for (uint32_t i = 0; i < source->lost_count; i++) {
        const struct sc_read_plan_copy *c = &source->plan.copies[source->lost[i]];
        sc_buf_append_le64(out, c->span.stream);
        sc_buf_append_le64(out, c->span.sequence);
        sc_buf_append_le32(out, c->span.lane);
        sc_buf_append_le32(out, c->span.rows);
        sc_buf_append_le64(out, window_of(source, c));
    }
}

bool sc_inventory_get_lost(struct sc_cursor *in, struct sc_lost_batch *lost)
{
    if (sc_cursor_left(in) == 0)
        return false;
    *lost = (struct sc_lost_batch){.span.stream = sc_cursor_le64(in)};
    lost->span.sequence = sc_cursor_le64(in);
    lost->span.lane = sc_cursor_le32(in);
    lost->span.rows = sc_cursor_le32(in);
    lost->window_ms = sc_cursor_le64(in);
    return !in->failed;
}

/* ---- sums ---- */

void sc_inventory_put_summary(const struct sc_summary *s, struct sc_buf *out)
{
    sc_buf_append_le64(out, s->records);
    sc_buf_append_le64(out, s->flows);
    sc_buf_append_le64(out, s->packets);
    sc_buf_append_le64(out, s->bytes);
    sc_buf_append_le64(out, s->sampled);
    sc_buf_append_le32(out, s->interval_count);
    for (uint32_t i = 0; i < s->interval_count; i++)
        sc_buf_append_le64(out, s->intervals[i]);
    sc_buf_append_u8(out, s->more_intervals);
}

enum sc_status sc_inventory_get_summary(struct sc_cursor *in, struct sc_summary *s)
{
    *s = (struct sc_summary){.records = sc_cursor_le64(in)};
    s->flows = sc_cursor_le64(in);
    s->packets = sc_cursor_le64(in);
    s->bytes = sc_cursor_le64(in);
    s->sampled = sc_cursor_le64(in);
    s->interval_count = sc_cursor_le32(in);
    if (s->interval_count > SC_MAX_INTERVALS)
        return SC_DAMAGED;
    for (uint32_t i = 0; i < s->interval_count; i++)
        s->intervals[i] = sc_cursor_le64(in);
    s->more_intervals = sc_cursor_u8(in) != 0;
    return in->failed ? SC_DAMAGED : SC_OK;
}
