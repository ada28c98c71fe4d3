// SPDX-License-Identifier: BSD-3-Clause
/*
 * Rank 0 asks, the others answer: ASK for the next piece, or ENOUGH with the number of records that were used, which ends it (as an
 * empty message does, where there is no memory for more). An answer is a byte, whether nothing comes behind it, a byte, how the
 * listing ended, and the piece (the error's sentence in its place when it could not go on).
 */
#include "cluster/listing.h"

#include "cluster/listing_feed.h"
#include "query/sort_key.h"

#include <stdlib.h>

enum { ASK, ENOUGH };

#define ANSWER_HEAD 2u
#define TEXT_BYTES  ((size_t)64 << 10) /* written to the sink at a time */

static bool goes_on(enum sc_status status)
{
    return status == SC_OK || status == SC_CANCELLED;
}

/* ---- a rank that is asked ---- */

static void put_answer(bool over, enum sc_status status, const void *bytes, size_t count,
                       struct sc_buf *answer)
{
    sc_buf_clear(answer);
    sc_buf_append_u8(answer, over);
    sc_buf_append_u8(answer, (uint8_t)status);
    if (count != 0)
        sc_buf_append(answer, bytes, count);
}

static enum sc_status make_answer(struct sc_feed *feed, struct sc_buf *piece, struct sc_buf *answer,
                                  struct sc_error *err)
{
    bool over;
    struct sc_error why = {0};
    sc_feed_take(feed, piece, &over);
    enum sc_status status = over ? sc_feed_status(feed, &why) : SC_OK;
    if (goes_on(status))
        put_answer(over, status, piece->data, piece->len, answer);
    else
        put_answer(over, status, why.message, strlen(why.message), answer);
    return sc_buf_ok(answer) ? SC_OK : sc_fail_nomem(err, "a piece of the listing");
}

/* A rank without a listing says so. */
static void make_refusal(enum sc_status status, const struct sc_error *err, struct sc_buf *answer)
{
    put_answer(true, status, err->message, strlen(err->message), answer);
    if (!sc_buf_ok(answer)) /* parts of it mean something else */
        sc_buf_clear(answer);
}

/* *status: of this rank; `feed` NULL where it is not SC_OK. */
static enum sc_status serve(const struct sc_ranks *r, struct sc_feed *feed, enum sc_status *status,
                            struct sc_cluster_list_stats *stats, struct sc_error *err)
{
    struct sc_buf order = {0}, piece = {0}, answer = {0};
    enum sc_status passed = r->pass(r->arg, SC_NO_RANK, NULL, 0, &order, err);
    while (passed == SC_OK && order.len != 0 && order.data[0] == ASK) {
        if (*status == SC_OK)
            *status = make_answer(feed, &piece, &answer, err);
        if (*status != SC_OK)
            make_refusal(*status, err, &answer);
        stats->bytes += answer.len;
        passed = r->pass(r->arg, 0, &answer, SC_NO_RANK, NULL, err);
        if (passed == SC_OK)
            passed = r->pass(r->arg, SC_NO_RANK, NULL, 0, &order, err);
    }
    struct sc_cursor in = {.data = order.data, .len = order.len};
    sc_cursor_u8(&in);
    stats->records = sc_cursor_le64(&in);
    sc_buf_free(&order);
    sc_buf_free(&piece);
    sc_buf_free(&answer);
    return passed;
}

/* ---- rank 0 ---- */

struct input {
    struct sc_buf piece;
    size_t at, length; /* of the first record in it that is not used */
    bool over;         /* no piece comes behind this one */
    uint64_t used;
    struct sc_value *values; /* of that record: fields, sort keys */
    struct sc_sort_key keys[SC_MAX_SORT_KEYS];
    uint16_t nulls;
};

struct merger {
    const struct sc_ranks *ranks;
    const struct sc_listing *listing;
    const struct sc_sink *sink;
    const atomic_int *cancel;
    struct sc_feed *feed;
    struct input *inputs; /* by rank */
    struct sc_value *values;
    uint32_t *heap; /* ranks, that of the first record at the root */
    uint32_t heap_count;
    uint64_t written;
    struct sc_buf held; /* records, until the columns fit them */
    uint64_t held_count;
    bool headed;
    struct sc_buf text;
    bool stopped; /* one was, or this rank is */
    struct sc_error *err;
};

/* SC_END when nobody reads. */
static enum sc_status flush(struct merger *m)
{
    if (!sc_buf_ok(&m->text))
        return sc_fail_nomem(m->err, "the listing");
    bool going = m->text.len == 0 || m->sink->write(m->sink->arg, m->text.data, m->text.len);
    sc_buf_clear(&m->text);
    return going ? SC_OK : SC_END;
}

static void print(struct merger *m, const struct sc_value *values)
{
    if (m->written++ != 0)
        sc_buf_append_str(&m->text, m->listing->separator);
    sc_output_row(m->listing->output, values, &m->text);
}

/* The header and what waited for it. `values` has room for a record. */
static enum sc_status print_held(struct merger *m, struct sc_value *values)
{
    if (m->headed)
        return SC_OK;
    m->headed = true;
    sc_output_header(m->listing->output, &m->text);
    uint32_t count = m->listing->field_count + m->listing->order_count;
    for (size_t at = 0, length; at < m->held.len; at += length) {
        length = sc_record_length(m->held.data + at, m->held.len - at);
        SC_TRY(sc_record_get(m->held.data + at, length, values, count));
        print(m, values);
        if (m->text.len >= TEXT_BYTES)
            SC_TRY(flush(m));
    }
    return SC_OK;
}

/* The first record of an input to the output. SC_END when it is the last that is wanted. */
static enum sc_status use(struct merger *m, struct input *in)
{
    in->used++;
    if (m->headed) {
        print(m, in->values);
    } else {
        sc_output_fit(m->listing->output, in->values);
        sc_buf_append(&m->held, in->piece.data + in->at, in->length);
        if (!sc_buf_ok(&m->held))
            return sc_fail_nomem(m->err, "the listing");
        m->held_count++;
    }
    uint64_t used = m->headed ? m->written : m->held_count;
    bool last = m->listing->limit != 0 && used == m->listing->limit;
    if (!m->headed && (m->held_count == SC_MOST_FITTED || last))
        SC_TRY(print_held(m, m->values));
    if (m->text.len >= TEXT_BYTES)
        SC_TRY(flush(m));
    return last ? SC_END : SC_OK;
}

/* ---- pieces ---- */

static enum sc_status ask(struct merger *m, uint32_t rank, struct input *in)
{
    struct sc_buf order = {0};
    sc_buf_append_u8(&order, ASK);
    enum sc_status status = SC_NOMEM;
    if (sc_buf_ok(&order))
        status = m->ranks->pass(m->ranks->arg, rank, &order, rank, &in->piece, m->err);
    sc_buf_free(&order);
    SC_TRY(status);
    if (in->piece.len == 0)
        return sc_fail(m->err, SC_NOMEM, "rank %u: no memory for an answer", (unsigned)rank);
    if (in->piece.len < ANSWER_HEAD)
        return sc_fail(m->err, SC_DAMAGED, "rank %u: an answer is cut", (unsigned)rank);
    in->over = in->piece.data[0] != 0;
    in->at = ANSWER_HEAD;
    status = (enum sc_status)in->piece.data[1];
    m->stopped = m->stopped || status == SC_CANCELLED;
    if (goes_on(status))
        return SC_OK;
    return sc_fail(m->err, status, "rank %u: %.*s", (unsigned)rank, (int)(in->piece.len - ANSWER_HEAD),
                   (const char *)in->piece.data + ANSWER_HEAD);
}

static enum sc_status take_own(struct merger *m, struct input *in)
{
    sc_feed_take(m->feed, &in->piece, &in->over);
    in->at = 0;
    enum sc_status status = in->over ? sc_feed_status(m->feed, m->err) : SC_OK;
    m->stopped = m->stopped || status == SC_CANCELLED;
    return goes_on(status) ? SC_OK : status;
}

static enum sc_status fetch(struct merger *m, uint32_t rank)
{
    struct input *in = &m->inputs[rank];
    /* Even after a stop so much is written: each rank has its share ready. */
    bool little = m->listing->limit != 0 && m->listing->limit <= SC_MOST_FITTED;
    SC_TRY(flush(m)); /* it may take long */
    if (m->cancel != NULL && atomic_load(m->cancel) != 0 && !little) {
        m->stopped = true;
        return SC_END;
    }
    return rank == 0 ? take_own(m, in) : ask(m, rank, in);
}

/* *any false: the input is at its end. */
static enum sc_status next_record(struct merger *m, uint32_t rank, bool *any)
{
    struct input *in = &m->inputs[rank];
    const struct sc_listing *l = m->listing;
    in->at += in->length;
    in->length = 0;
    while (in->at == in->piece.len && !in->over)
        SC_TRY(fetch(m, rank));
    *any = in->at < in->piece.len;
    if (!*any)
        return SC_OK;
    in->length = sc_record_length(in->piece.data + in->at, in->piece.len - in->at);
    if (in->length == 0 || sc_record_get(in->piece.data + in->at, in->length, in->values,
                                         l->field_count + l->order_count) != SC_OK)
        return sc_fail(m->err, SC_DAMAGED, "rank %u: a record is damaged", (unsigned)rank);
    in->nulls = 0;
    for (uint32_t i = 0; i < l->order_count; i++) {
        const struct sc_value *v = &in->values[l->field_count + i];
        in->nulls = (uint16_t)(in->nulls | sc_sort_key_is_null(v) << i);
        in->keys[i] = sc_sort_key_of(v, l->orders[i].descending);
    }
    return SC_OK;
}

/* ---- rank by rank, or merged ---- */

static enum sc_status in_turn(struct merger *m)
{
    for (uint32_t rank = 0; rank < m->ranks->count; rank++) {
        bool any;
        SC_TRY(next_record(m, rank, &any));
        while (any) {
            SC_TRY(use(m, &m->inputs[rank]));
            SC_TRY(next_record(m, rank, &any));
        }
    }
    return SC_OK;
}

static bool stands_before(const struct merger *m, uint32_t x, uint32_t y)
{
    const struct input *a = &m->inputs[x], *b = &m->inputs[y];
    int order = sc_sort_keys_compare(a->keys, a->nulls, b->keys, b->nulls, m->listing->order_count);
    return order != 0 ? order < 0 : x < y;
}

static void sift_down(struct merger *m, uint32_t at)
{
    for (uint32_t child = 2 * at + 1; child < m->heap_count; child = 2 * at + 1) {
        if (child + 1 < m->heap_count && stands_before(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (!stands_before(m, m->heap[child], m->heap[at]))
            return;
        uint32_t swap = m->heap[at];
        m->heap[at] = m->heap[child];
        m->heap[child] = swap;
        at = child;
    }
}

static enum sc_status merged(struct merger *m)
{
    bool any;
    for (uint32_t rank = 0; rank < m->ranks->count; rank++) {
        SC_TRY(next_record(m, rank, &any));
        if (any)
            m->heap[m->heap_count++] = rank;
    }
    for (uint32_t i = m->heap_count / 2; i-- > 0;)
        sift_down(m, i);
    while (m->heap_count != 0) {
        SC_TRY(use(m, &m->inputs[m->heap[0]]));
        SC_TRY(next_record(m, m->heap[0], &any));
        if (!any)
            m->heap[0] = m->heap[--m->heap_count];
        sift_down(m, 0);
    }
    return SC_OK;
}

/* ---- the whole ---- */

static enum sc_status make_merger(struct merger *m)
{
    size_t values = (size_t)m->listing->field_count + m->listing->order_count + 1;
    uint32_t ranks = m->ranks->count;
    m->inputs = calloc(ranks, sizeof(*m->inputs));
    m->heap = calloc(ranks, sizeof(*m->heap));
    m->values = calloc((ranks + 1) * values, sizeof(*m->values));
    if (m->inputs == NULL || m->heap == NULL || m->values == NULL)
        return sc_fail_nomem(m->err, "the listing");
    for (uint32_t i = 0; i < ranks; i++)
        m->inputs[i].values = m->values + (i + 1) * values;
    return SC_OK;
}

static void free_merger(struct merger *m)
{
    for (uint32_t i = 0; i < m->ranks->count && m->inputs != NULL; i++)
        sc_buf_free(&m->inputs[i].piece);
    free(m->inputs);
    free(m->heap);
    free(m->values);
    sc_buf_free(&m->held);
    sc_buf_free(&m->text);
}

static enum sc_status list_all(struct merger *m)
{
    enum sc_status status = m->listing->order_count == 0 ? in_turn(m) : merged(m);
    if (status == SC_OK || (status == SC_END && m->stopped))
        status = print_held(m, m->values);
    if (status == SC_OK || status == SC_END)
        status = flush(m);
    if (status == SC_OK || status == SC_END)
        status = m->stopped ? sc_fail(m->err, SC_CANCELLED, "before everything was listed") : SC_OK;
    return status;
}

/* *own: of this rank. */
static enum sc_status end_others(struct merger *m, enum sc_status *own)
{
    struct sc_buf order = {0};
    enum sc_status status = SC_OK;
    for (uint32_t i = 1; i < m->ranks->count && status == SC_OK; i++) {
        sc_buf_clear(&order);
        sc_buf_append_u8(&order, ENOUGH);
        sc_buf_append_le64(&order, m->inputs == NULL ? 0 : m->inputs[i].used);
        if (!sc_buf_ok(&order)) {
            sc_buf_clear(&order);
            *own = *own == SC_OK ? sc_fail_nomem(m->err, "the listing") : *own;
        }
        status = m->ranks->pass(m->ranks->arg, i, &order, SC_NO_RANK, NULL, m->err);
    }
    sc_buf_free(&order);
    return status;
}

/* *status: of this rank; `m->feed` NULL where it is not SC_OK. */
static enum sc_status lead(struct merger *m, enum sc_status *status, struct sc_cluster_list_stats *stats)
{
    if (*status == SC_OK)
        *status = make_merger(m);
    if (*status == SC_OK)
        *status = list_all(m);
    stats->records = m->inputs == NULL ? 0 : m->inputs[0].used;
    enum sc_status passed = end_others(m, status);
    free_merger(m);
    return passed;
}

enum sc_status sc_cluster_list(const struct sc_ranks *ranks, struct sc_source *source,
                               const struct sc_scan_options *options, const struct sc_listing *listing,
                               const struct sc_sink *sink, struct sc_summary *summary,
                               struct sc_scan_stats *stats, struct sc_cluster_list_stats *list_stats,
                               struct sc_error *err)
{
    struct sc_error own = {0}; /* a message of the local engine must not hide that of a rank */
    enum sc_status status = SC_OK, passed;
    *list_stats = (struct sc_cluster_list_stats){0};
    *summary = (struct sc_summary){0};
    if (listing->order_count > SC_MAX_SORT_KEYS)
        return sc_fail(err, SC_USAGE, "at most %u sort keys", SC_MAX_SORT_KEYS);
    struct sc_feed *feed = sc_feed_start(source, options, listing, &own);
    if (feed == NULL)
        status = own.status;
    struct merger m = {.ranks = ranks,
                       .listing = listing,
                       .sink = sink,
                       .cancel = options->cancel,
                       .feed = feed,
                       .headed = !listing->fit,
                       .err = &own};
    passed = ranks->rank == 0 ? lead(&m, &status, list_stats) : serve(ranks, feed, &status, list_stats, &own);
    if (feed != NULL) {
        enum sc_status ended =
            sc_feed_end(feed, list_stats->records, summary, stats, status == SC_OK ? &own : NULL);
        status = status == SC_OK ? ended : status;
    }
    if (err != NULL)
        *err = own;
    return passed != SC_OK ? passed : sc_ranks_settle(ranks, status, err);
}
