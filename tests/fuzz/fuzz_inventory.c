// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a rank tells rank 0, from bytes that nobody trusts: sums, what is expected, held and found, what could not be read. What is
 * read is written and read once more: it must be the same. No id is read twice. The first byte chooses; messages stand behind their
 * lengths (2 bytes). The mutator adds messages of the writers.
 */
#include "cluster/inventory.h"
#include "cluster/planner.h"
#include "store/reader.h"

#include <stdlib.h>
#include <string.h>

#define RANKS 3u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static void must(bool true_)
{
    if (!true_)
        __builtin_trap();
}

/* The next message in memory of its very size; with the last one *bytes is at its end. The caller frees it. */
static struct sc_cursor next_message(struct sc_cursor *in)
{
    size_t n = sc_cursor_le16(in);
    n = n < sc_cursor_left(in) ? n : sc_cursor_left(in);
    uint8_t *copy = malloc(n + 1);
    const uint8_t *from = sc_cursor_take(in, n);
    must(copy != NULL);
    if (n != 0 && from != NULL)
        memcpy(copy, from, n);
    copy = realloc(copy, n == 0 ? 1 : n);
    return (struct sc_cursor){.data = copy, .len = n};
}

static void free_message(const struct sc_cursor *message)
{
    free((void *)message->data);
}

/* ---- sums ---- */

static void read_summary(struct sc_cursor *in)
{
    struct sc_cursor message = next_message(in);
    struct sc_summary s, sum = {0};
    if (sc_inventory_get_summary(&message, &s) == SC_OK) {
        struct sc_buf out = {0};
        sc_inventory_put_summary(&s, &out);
        must(s.interval_count <= SC_MAX_INTERVALS && out.len == message.len - sc_cursor_left(&message));
        must(memcmp(out.data, message.data, out.len - 1) == 0); /* the last one is a truth value */
        sc_summary_merge(&sum, &s);
        sc_summary_merge(&sum, &s);
        must(sum.interval_count <= SC_MAX_INTERVALS);
        sc_buf_free(&out);
    }
    free_message(&message);
}

/* ---- what is expected ---- */

static void look_at(void *arg, const char *sentence)
{
    uint32_t *sentences = arg;
    must(strlen(sentence) < 512);
    ++*sentences;
}

static void judge(struct sc_expected *e)
{
    uint32_t sentences = 0;
    for (int kind = 0; kind < 2; kind++) {
        const struct sc_expected_range range = {.kind = (enum sc_record_kind)kind, .end_ms = UINT64_MAX};
        sc_expected_judge(e, &range, look_at, &sentences);
    }
}

static enum sc_status get_expected(struct sc_cursor *in, struct sc_expected *e)
{
    struct sc_cursor message = next_message(in);
    enum sc_status status = sc_inventory_get_expected(&message, e);
    must(status == SC_OK || status == SC_DAMAGED);
    free_message(&message);
    return status;
}

static void read_expected(struct sc_cursor *in)
{
    struct sc_expected e = {.now_ms = UINT64_C(1800000000000)}, again = e;
    struct sc_buf out = {0}, second = {0};
    if (get_expected(in, &e) == SC_OK && get_expected(in, &e) == SC_OK) {
        must(sc_expected_merge_tallies(&e) == SC_OK || e.tally_count != 0);
        sc_inventory_put_expected(&e, &out);
        struct sc_cursor whole = {.data = out.data, .len = out.len};
        must(sc_inventory_get_expected(&whole, &again) == SC_OK && sc_cursor_left(&whole) == 0);
        sc_inventory_put_expected(&again, &second);
        must(out.len == second.len && memcmp(out.data, second.data, out.len) == 0);
        judge(&e);
    }
    sc_buf_free(&out);
    sc_buf_free(&second);
    sc_expected_free(&e);
    sc_expected_free(&again);
}

/* ---- the plan ---- */

static bool meets(const struct sc_id_run *run, const struct sc_id_run *others, uint32_t count)
{
    bool met = false;
    for (uint32_t i = 0; i < count; i++)
        met = met || (others[i].stream == run->stream && others[i].lane == run->lane &&
                      others[i].first <= run->last && run->first <= others[i].last);
    return met;
}

/* Each rank is told its runs in their order, and no id is read twice. */
static void check_assigned(const struct sc_planner *p)
{
    struct sc_buf out[RANKS] = {{0}};
    struct sc_id_run *runs[RANKS];
    uint32_t counts[RANKS];
    sc_planner_put_assignments(p, out);
    for (uint32_t r = 0; r < RANKS; r++) {
        struct sc_cursor in = {.data = out[r].data, .len = out[r].len};
        must(sc_inventory_get_runs(&in, &runs[r], &counts[r]) == SC_OK);
        for (uint32_t i = 0; i < counts[r]; i++) {
            for (uint32_t s = 0; s < r; s++)
                must(!meets(&runs[r][i], runs[s], counts[s]));
        }
    }
    for (uint32_t r = 0; r < RANKS; r++) {
        free(runs[r]);
        sc_buf_free(&out[r]);
    }
}

static void lose(struct sc_planner *p, struct sc_cursor *in)
{
    bool again = true;
    for (unsigned round = 0; round < 4 && again; round++) {
        enum sc_status status = SC_OK;
        struct sc_source source = {.planned_above = true};
        for (uint32_t r = 0; r < RANKS && status == SC_OK; r++) {
            struct sc_cursor message = next_message(in);
            status = sc_planner_lost(p, r, &message);
            free_message(&message);
        }
        if (status == SC_OK)
            must(sc_planner_reassign(p, &source, &again) == SC_OK);
        check_assigned(p);
        again = again && status == SC_OK;
        sc_source_close(&source);
    }
}

static enum sc_status get_found(struct sc_cursor *in, struct sc_expected *e)
{
    struct sc_cursor message = next_message(in);
    enum sc_status status = sc_inventory_get_found(&message, e);
    free_message(&message);
    return status;
}

static void read_plan(struct sc_cursor *in)
{
    struct sc_expected e = {.now_ms = UINT64_C(1800000000000)};
    struct sc_planner *p = sc_planner_create(RANKS);
    must(p != NULL);
    enum sc_status status = get_expected(in, &e);
    for (uint32_t r = 0; r < RANKS && status == SC_OK; r++) {
        struct sc_cursor message = next_message(in);
        status = sc_planner_add(p, &message);
        must(status == SC_OK || status == SC_DAMAGED);
        free_message(&message);
    }
    if (status == SC_OK) {
        must(sc_planner_assign(p) == SC_OK);
        check_assigned(p);
        status = get_found(in, &e);
        must(status == SC_OK || status == SC_DAMAGED);
        judge(&e);
        lose(p, in);
    }
    sc_planner_free(p);
    sc_expected_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct sc_cursor in = {.data = bytes, .len = length};
    switch (sc_cursor_u8(&in) % 3) {
    case 0:
        read_summary(&in);
        break;
    case 1:
        read_expected(&in);
        break;
    default:
        read_plan(&in);
        break;
    }
    return 0;
}

/* ---- inputs ---- */

static uint64_t draw(uint64_t *random)
{
    *random = (*random + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    return *random >> 32;
}

static void put_message(struct sc_buf *out, struct sc_buf *message)
{
    sc_buf_append_le16(out, (uint16_t)message->len);
    if (message->len != 0)
        sc_buf_append(out, message->data, message->len);
    sc_buf_clear(message);
}

static void put_sums(struct sc_buf *message, uint64_t *random)
{
    struct sc_summary s = {.records = draw(random), .flows = draw(random), .interval_count = 2};
    s.intervals[0] = 10;
    s.intervals[1] = 11 + draw(random) % 100;
    sc_inventory_put_summary(&s, message);
}

/* Two members, and the lanes of both. */
static void put_horizons(struct sc_horizons *h, uint64_t *random)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct sc_member_horizon m = {
            .lane = i, .own = draw(random) % 2 != 0, .horizon_ms = draw(random) % 3 * 300000};
        const struct sc_lane_holders l = {
            .lane = i, .count = 1 + (uint32_t)(draw(random) % 2), .holders = {i, 1 - i}};
        must(sc_horizons_add_member(h, &m) == SC_OK && sc_horizons_add_lane(h, &l) == SC_OK);
    }
}

/* A tally, a stream and a loss of few streams and windows, so that they meet. */
static void put_expected(struct sc_buf *message, uint64_t *random)
{
    struct sc_expected e = {.horizons = {.version = draw(random) % 3, .alone_ms = draw(random) % 2 * 300000}};
    struct sc_tally t = {.proxy = "alpha", .stream = draw(random) % 3, .window_s = 300};
    struct sc_stream s = {.proxy = "alpha", .stream = t.stream, .heard_ms = UINT64_C(1799999999999)};
    t.window_ms = draw(random) % 3 * 300000;
    s.closed = draw(random) % 2 != 0;
    struct sc_tally_lane *lane = sc_tally_lane(&t, (uint32_t)(draw(random) % 2));
    must(lane != NULL);
    lane->safe = (struct sc_tally_count){{1, draw(random) % 3}, {100, 100}};
    lane->accepted = (struct sc_tally_count){{1 + draw(random) % 3, 3}, {200, 100}};
    const struct sc_loss loss = {t.stream, t.window_ms, 300, lane->lane, {{1, 0}, {10, 0}}};
    must(sc_losses_add(&e.losses, &loss) == SC_OK && sc_expected_add_tally(&e, &t) == SC_OK &&
         sc_expected_add_stream(&e, &s) == SC_OK);
    put_horizons(&e.horizons, random);
    sc_inventory_put_expected(&e, message);
    sc_expected_free(&e);
}

/* A few runs of one stream and lane, which other ranks may have, too. */
static void put_held(struct sc_buf *message, uint64_t *random)
{
    uint64_t at = draw(random) % 3;
    for (uint32_t i = 0; i < 3; i++) {
        struct sc_id_run run = {.stream = 1, .first = at, .rank = (uint16_t)(draw(random) % 3)};
        run.last = at + draw(random) % 4;
        at = run.last + 1 + draw(random) % 3;
        sc_inventory_put_run(&run, message);
    }
}

/* A source of three batches of one window. */
static void put_of_source(struct sc_buf *message, uint64_t *random,
                          void (*put)(const struct sc_source *, struct sc_buf *))
{
    struct sc_segment segment = {.window_ms = draw(random) % 3 * 300000}, *segments[] = {&segment};
    struct sc_source_group group = {.segment = 0};
    struct sc_read_plan_copy copies[3];
    uint32_t in_order[] = {0, 1, 2}, first = (uint32_t)(draw(random) % 6);
    for (uint32_t i = 0; i < 3; i++)
        copies[i] = (struct sc_read_plan_copy){.span = {.stream = 1, .sequence = first + i, .rows = 10},
                                               .state = SC_COPY_ASSIGNED};
    const struct sc_source source = {.segments = segments,
                                     .groups = &group,
                                     .plan = {.copies = copies, .count = 3, .by_id = in_order},
                                     .lost = in_order,
                                     .lost_count = (uint32_t)(draw(random) % 4)};
    put(&source, message);
}

/* An input as ranks make it, now and then; else any change. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct sc_buf out = {0}, message = {0};
    uint64_t random = seed;
    if (size > 8 && seed % 32 != 0)
        return LLVMFuzzerMutate(data, size, max_size);
    const uint8_t kind = (uint8_t)(draw(&random) % 3);
    sc_buf_append_u8(&out, kind);
    for (unsigned i = 0; i < (kind == 0 ? 1 : kind == 1 ? 2 : 2 + 3 * RANKS); i++) {
        if (kind == 0)
            put_sums(&message, &random);
        else if (kind == 1 || i == 0)
            put_expected(&message, &random);
        else if (i <= RANKS)
            put_held(&message, &random);
        else
            put_of_source(&message, &random, i == RANKS + 1 ? sc_inventory_put_found : sc_inventory_put_lost);
        put_message(&out, &message);
    }
    size_t made = out.len <= max_size ? out.len : 0;
    if (made != 0)
        memcpy(data, out.data, made);
    sc_buf_free(&out);
    sc_buf_free(&message);
    return made != 0 ? made : LLVMFuzzerMutate(data, size, max_size);
}
