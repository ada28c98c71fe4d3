// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/distributed.h"

#include "base/clock.h"
#include "base/hash.h"
#include "cluster/inventory.h"
#include "store/catalogue.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_root(const struct sc_distributed *d)
{
    return d->options.ranks->rank == 0;
}

static enum sc_status refuse(enum sc_status status, struct sc_error *err)
{
    return status == SC_NOMEM ? sc_fail_nomem(err, "what the nodes say")
           : status == SC_DAMAGED
               ? sc_fail(err, SC_DAMAGED, "what a node says makes no sense: is it of another version?")
               : status;
}

static enum sc_status collect(struct sc_distributed *d, const struct sc_buf *mine, sc_ranks_take_fn *take,
                              struct sc_error *err)
{
    return sc_ranks_collect(d->options.ranks, mine, take, d, err);
}

/* ---- what ought to exist ---- */

static void note(void *arg, const char *sentence)
{
    (void)sc_source_note_missing(arg, sentence);
}

static enum sc_status load_expected(struct sc_distributed *d, struct sc_source *notes)
{
    const struct sc_distributed_options *o = &d->options;
    struct sc_catalogue catalogue = {.replicas = true};
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < o->path_count && status != SC_NOMEM; i++)
        status = sc_catalogue_add(&catalogue, o->paths[i], NULL); /* told when it is listed */
    if (status != SC_NOMEM)
        status = sc_expected_load(&d->expected, o->paths, o->path_count, &catalogue, sc_clock_wall_ms(), note,
                                  notes);
    sc_catalogue_free(&catalogue);
    return status;
}

static enum sc_status take_expected(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_distributed *d = arg;
    return rank == 0 ? SC_OK : refuse(sc_inventory_get_expected(in, &d->expected), err);
}

/* Which windows, and so which tallies, the answer is judged for. */
static struct sc_expected_range judged_range(const struct sc_distributed *d)
{
    const struct sc_source_bounds *b = &d->options.bounds;
    return (struct sc_expected_range){
        .kind = b->options ? SC_RECORDS_OPTIONS : SC_RECORDS_FLOWS,
        .begin_ms = b->window_ms != 0 ? b->window_ms : b->begin_ms,
        .end_ms = b->window_ms != 0 ? b->window_ms + 1
                  : b->end_ms != 0  ? b->end_ms
                                    : UINT64_MAX,
    };
}

/* The tallies of the rank `step` behind this one, and of those that it has heard, to `known`. */
static enum sc_status hear_tallies(struct sc_distributed *d, uint32_t step, struct sc_expected *known,
                                   struct sc_error *err)
{
    const struct sc_ranks *r = d->options.ranks;
    struct sc_buf theirs = {0};
    enum sc_status status = r->pass(r->arg, SC_NO_RANK, NULL, r->rank + step, &theirs, err);
    struct sc_cursor in = {.data = theirs.data, .len = theirs.len};
    if (status == SC_OK)
        status = refuse(sc_inventory_get_tallies(&in, known), err);
    sc_buf_free(&theirs);
    return status;
}

static enum sc_status tell_tallies(struct sc_distributed *d, uint32_t step, const struct sc_expected *known,
                                   struct sc_error *err)
{
    const struct sc_ranks *r = d->options.ranks;
    const struct sc_expected_range range = judged_range(d);
    struct sc_buf bytes = {0};
    sc_inventory_put_tallies(known, &range, NULL, &bytes);
    enum sc_status status = sc_buf_ok(&bytes) ? r->pass(r->arg, r->rank - step, &bytes, SC_NO_RANK, NULL, err)
                                              : sc_fail_nomem(err, "what the nodes say");
    sc_buf_free(&bytes);
    return status;
}

/* Rank 0 has tallies when anybody has: else those of the first who has. */
static enum sc_status give_rank_0_tallies(struct sc_distributed *d, bool *any, struct sc_error *err)
{
    const struct sc_ranks *r = d->options.ranks;
    uint64_t first = d->expected.tally_count == 0 ? 0 : UINT64_MAX - r->rank;
    SC_TRY(sc_ranks_most(r, &first, err));
    uint32_t from = (uint32_t)(UINT64_MAX - first);
    *any = first != 0;
    if (!*any || from == 0)
        return SC_OK;
    if (r->rank == from)
        return tell_tallies(d, from, &d->expected, err);
    return is_root(d) ? hear_tallies(d, from, &d->expected, err) : SC_OK;
}

/* All hear which tallies rank 0 knows. */
static enum sc_status share_digest(struct sc_distributed *d, struct sc_inventory_digest *digest,
                                   struct sc_error *err)
{
    const struct sc_expected_range range = judged_range(d);
    struct sc_buf bytes = {0};
    if (is_root(d))
        sc_inventory_put_digest(&d->expected, &range, sc_hash_draw_seed(), &bytes);
    enum sc_status status = sc_buf_ok(&bytes) ? sc_ranks_broadcast(d->options.ranks, &bytes, err)
                                              : sc_fail_nomem(err, "what the nodes say");
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    if (status == SC_OK)
        status = refuse(sc_inventory_get_digest(&in, digest), err);
    sc_buf_free(&bytes);
    return status;
}

/* This rank's news for rank 0. */
static enum sc_status find_news(struct sc_distributed *d, const struct sc_inventory_digest *digest,
                                struct sc_expected *news, struct sc_error *err)
{
    const struct sc_expected_range range = judged_range(d);
    struct sc_buf mine = {0};
    sc_inventory_put_tallies(&d->expected, &range, digest, &mine);
    struct sc_cursor in = {.data = mine.data, .len = mine.len};
    enum sc_status status = sc_buf_ok(&mine) ? refuse(sc_inventory_get_tallies(&in, news), err)
                                             : sc_fail_nomem(err, "what the nodes say");
    sc_buf_free(&mine);
    return status;
}

/* By a tree, each rank passing on once what is news of it and of those behind it. */
static enum sc_status gather_news(struct sc_distributed *d, struct sc_expected *known, struct sc_error *err)
{
    const struct sc_ranks *r = d->options.ranks;
    enum sc_status status = SC_OK;
    uint32_t step = 1;
    for (; status == SC_OK && step < r->count && (r->rank & step) == 0; step *= 2) {
        if (r->rank + step < r->count)
            status = hear_tallies(d, step, known, err);
    }
    if (status == SC_OK)
        status = refuse(sc_expected_merge_tallies(known), err);
    if (status == SC_OK && !is_root(d))
        status = tell_tallies(d, step, known, err);
    return status;
}

/*
 * Every proxy tells its tallies to all subcollectors, so that ranks know the same but for what is being told: rank 0 hears of what
 * differs from what it knows. What others know is kept from this rank's own view, but for rank 0's.
 */
static enum sc_status gather_tallies(struct sc_distributed *d, struct sc_error *err)
{
    struct sc_expected passed = {.horizons = {.least_ms = d->expected.horizons.least_ms}};
    struct sc_inventory_digest digest = {0};
    bool any;
    SC_TRY(give_rank_0_tallies(d, &any, err));
    if (!any)
        return SC_OK;
    enum sc_status status = share_digest(d, &digest, err);
    if (status == SC_OK && !is_root(d))
        status = find_news(d, &digest, &passed, err);
    if (status == SC_OK)
        status = gather_news(d, is_root(d) ? &d->expected : &passed, err);
    sc_inventory_digest_free(&digest);
    sc_expected_free(&passed);
    return status;
}

/* When all ranks are through, everything that a tally calls safe is on its nodes' disks: only then files are listed. */
static enum sc_status gather_expected(struct sc_distributed *d, struct sc_source *notes, struct sc_error *err)
{
    struct sc_buf mine = {0};
    uint64_t barrier = 0;
    enum sc_status status = refuse(load_expected(d, notes), err);
    if (status == SC_OK) {
        sc_inventory_put_expected(&d->expected, &mine);
        status = collect(d, &mine, take_expected, err);
    }
    if (status == SC_OK)
        status = gather_tallies(d, err);
    if (status == SC_OK)
        status = sc_ranks_most(d->options.ranks, &barrier, err);
    sc_buf_free(&mine);
    return status;
}

/* ---- who reads what ---- */

static enum sc_status list_source(struct sc_distributed *d, struct sc_source *notes, struct sc_error *err)
{
    const struct sc_distributed_options *o = &d->options;
    struct sc_error why = {0};
    enum sc_status status = o->path_count == 0 ? SC_NOTFOUND
                                               : sc_source_list(o->paths, o->path_count, &o->bounds,
                                                                &d->expected, &d->source, &why);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "the list of segments");
    if (status != SC_OK)
        d->source = (struct sc_source){.planned_above = true};
    if (status != SC_OK && o->path_count != 0)
        SC_TRY(sc_source_note_missing(&d->source, why.message));
    for (uint32_t i = 0; i < notes->missing_count; i++)
        SC_TRY(sc_source_note_missing(&d->source, notes->missing[i]));
    return SC_OK;
}

/* What was expired since the tallies were read is not missing. */
static enum sc_status take_held(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_distributed *d = arg;
    (void)rank;
    SC_TRY(refuse(sc_inventory_get_own_horizons(in, &d->expected), err));
    return refuse(sc_planner_add(d->planner, in), err);
}

/* What a rank is to read: runs of what it told. */
static enum sc_status take_assignment(struct sc_distributed *d, const struct sc_buf *mine)
{
    struct sc_cursor in = {.data = mine->data, .len = mine->len};
    struct sc_id_run *runs;
    uint32_t count;
    SC_TRY(sc_inventory_get_runs(&in, &runs, &count));
    enum sc_status status = sc_source_assign(&d->source, runs, count);
    free(runs);
    return status;
}

static bool put_assignments(const struct sc_distributed *d, struct sc_buf *all)
{
    bool ok = true;
    sc_planner_put_assignments(d->planner, all);
    for (uint32_t r = 0; r < d->options.ranks->count; r++)
        ok = ok && sc_buf_ok(&all[r]);
    return ok;
}

static enum sc_status assign(struct sc_distributed *d, struct sc_error *err)
{
    const struct sc_ranks *ranks = d->options.ranks;
    struct sc_buf mine = {0}, *all = calloc(ranks->count, sizeof(*all));
    bool put = all != NULL && (!is_root(d) || put_assignments(d, all));
    enum sc_status status = put ? sc_ranks_scatter(ranks, all, &mine, err) : sc_fail_nomem(err, "the plan");
    if (status == SC_OK)
        status = refuse(take_assignment(d, &mine), err);
    sc_buf_free(&mine);
    for (uint32_t r = 0; all != NULL && r < ranks->count; r++)
        sc_buf_free(&all[r]);
    free(all);
    d->rounds++;
    return status;
}

static void judge(struct sc_distributed *d)
{
    const struct sc_expected_range range = judged_range(d);
    sc_expected_judge(&d->expected, &range, note, &d->source);
    d->source.known_lost = d->expected.known_lost;
    d->source.kept_since_ms = d->expected.horizons.kept_since_ms;
}

static enum sc_status tell_held(struct sc_distributed *d, struct sc_error *err)
{
    struct sc_buf mine = {0};
    struct sc_id_run *runs;
    uint32_t count;
    if (sc_read_plan_runs(&d->source.plan, &runs, &count) != SC_OK)
        return sc_fail_nomem(err, "the plan");
    sc_inventory_put_own_horizons(&d->expected, &mine);
    for (uint32_t i = 0; i < count; i++)
        sc_inventory_put_run(&runs[i], &mine);
    free(runs);
    enum sc_status status = collect(d, &mine, take_held, err);
    sc_buf_free(&mine);
    return status;
}

static enum sc_status take_found(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_distributed *d = arg;
    (void)rank;
    return refuse(sc_inventory_get_found(in, &d->expected), err);
}

/* Who reads a batch knows how many records it has: rank 0 need not know it of all copies. */
static enum sc_status tell_found(struct sc_distributed *d, struct sc_error *err)
{
    struct sc_buf mine = {0};
    sc_inventory_put_found(&d->source, &mine);
    enum sc_status status = collect(d, &mine, take_found, err);
    sc_buf_free(&mine);
    return status;
}

static enum sc_status plan(struct sc_distributed *d, struct sc_error *err)
{
    if (is_root(d) && (d->planner = sc_planner_create(d->options.ranks->count)) == NULL)
        return sc_fail_nomem(err, "the plan");
    SC_TRY(tell_held(d, err));
    if (is_root(d))
        SC_TRY(refuse(sc_planner_assign(d->planner), err));
    SC_TRY(assign(d, err));
    SC_TRY(tell_found(d, err));
    if (is_root(d))
        judge(d);
    return SC_OK;
}

enum sc_status sc_distributed_open(struct sc_distributed *d, const struct sc_distributed_options *options,
                                   struct sc_error *err)
{
    struct sc_source notes = {0};
    *d = (struct sc_distributed){.options = *options};
    enum sc_status status = gather_expected(d, &notes, err);
    if (status == SC_OK)
        status = refuse(list_source(d, &notes, err), err);
    if (status == SC_OK)
        status = plan(d, err);
    sc_source_close(&notes);
    return status;
}

/* ---- what could not be read ---- */

static enum sc_status take_lost(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_distributed *d = arg;
    return refuse(sc_planner_lost(d->planner, rank, in), err);
}

/* What could not be read goes back to the planner. When *again it assigned that to others, and what was read is void. */
static enum sc_status read_again(struct sc_distributed *d, bool *again, struct sc_error *err)
{
    struct sc_buf mine = {0};
    sc_inventory_put_lost(&d->source, &mine);
    enum sc_status status = sc_ranks_collect_short(d->options.ranks, &mine, take_lost, d, err);
    sc_buf_free(&mine);
    *again = false;
    if (status == SC_OK && is_root(d))
        status = refuse(sc_planner_reassign(d->planner, &d->source, again), err);
    uint64_t more = *again;
    if (status == SC_OK)
        status = sc_ranks_most(d->options.ranks, &more, err);
    *again = more != 0;
    return status == SC_OK && *again ? assign(d, err) : status;
}

enum sc_status sc_distributed_read(struct sc_distributed *d,
                                   enum sc_status (*read)(void *arg, struct sc_error *err), void *arg,
                                   struct sc_error *err)
{
    bool again = true;
    while (again) {
        SC_TRY(sc_ranks_agree(d->options.ranks, read(arg, err), err));
        SC_TRY(read_again(d, &again, err));
    }
    return SC_OK;
}

/* ---- the end ---- */

static enum sc_status put_sentences(const struct sc_distributed *d, char *const *sentences, uint32_t count,
                                    struct sc_buf *out)
{
    sc_buf_append_le32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        char text[SC_ERROR_MAX + 320];
        snprintf(text, sizeof(text), "%s: %s", d->options.node, sentences[i]);
        sc_inventory_put_text(text, out);
    }
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

static enum sc_status take_sentences(struct sc_cursor *in, struct sc_source *to,
                                     enum sc_status (*note_one)(struct sc_source *, const char *))
{
    uint32_t count = sc_cursor_le32(in);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        char text[SC_ERROR_MAX + 320];
        if (!sc_inventory_copy_text(in, text, sizeof(text)))
            return SC_DAMAGED;
        SC_TRY(note_one(to, text));
    }
    return in->failed ? SC_DAMAGED : SC_OK;
}

/* Rank 0's own are with it. */
static enum sc_status take_notes(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_distributed *d = arg;
    enum sc_status status = rank == 0 ? SC_OK : take_sentences(in, &d->source, sc_source_note_missing);
    if (rank != 0 && status == SC_OK)
        status = take_sentences(in, &d->source, sc_source_note_damage);
    return refuse(status, err);
}

enum sc_status sc_distributed_notes(struct sc_distributed *d, struct sc_error *err)
{
    struct sc_buf mine = {0};
    enum sc_status status = put_sentences(d, d->source.missing, d->source.missing_count, &mine);
    if (status == SC_OK)
        status = put_sentences(d, d->source.damage, d->source.damage_count, &mine);
    status = status == SC_OK ? sc_ranks_collect_short(d->options.ranks, &mine, take_notes, d, err)
                             : refuse(status, err);
    sc_buf_free(&mine);
    return status;
}

static enum sc_status take_summary(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_summary theirs;
    SC_TRY(refuse(sc_inventory_get_summary(in, &theirs), err));
    if (rank != 0)
        sc_summary_merge(arg, &theirs);
    return SC_OK;
}

enum sc_status sc_distributed_summary(struct sc_distributed *d, struct sc_summary *summary,
                                      struct sc_error *err)
{
    struct sc_buf mine = {0};
    sc_inventory_put_summary(summary, &mine);
    enum sc_status status = sc_ranks_collect_short(d->options.ranks, &mine, take_summary, summary, err);
    sc_buf_free(&mine);
    return status;
}

void sc_distributed_close(struct sc_distributed *d)
{
    sc_source_close(&d->source);
    sc_expected_free(&d->expected);
    sc_planner_free(d->planner);
    d->planner = NULL;
}
