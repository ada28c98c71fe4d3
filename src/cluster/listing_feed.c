// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/listing_feed.h"

#include <pthread.h>
#include <stdlib.h>

struct sc_feed {
    struct sc_source *source;
    const struct sc_scan_options *options;
    const struct sc_listing *wanted;
    struct sc_listing own; /* with the sort keys behind the fields */
    struct sc_field *fields;
    struct sc_summary summary;
    struct sc_scan_stats stats;
    struct sc_buf filling; /* of the thread that lists */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    struct sc_buf ready;
    bool full;    /* `ready` is to be taken */
    bool hungry;  /* somebody waits for it */
    bool over;    /* nothing comes behind it */
    bool stopped; /* nobody wants more */
    bool no_memory;
    enum sc_status status;
    struct sc_error err;
};

/* ---- the thread that lists ---- */

static void put_record(const void *arg, const struct sc_value *values, struct sc_buf *out)
{
    const struct sc_feed *f = arg;
    sc_record_put(out, values, f->own.field_count);
}

/* The mutex is held. */
static void hand_over(struct sc_feed *f)
{
    struct sc_buf empty = f->ready;
    f->ready = f->filling;
    f->filling = empty;
    sc_buf_clear(&f->filling);
    f->full = true;
    pthread_cond_broadcast(&f->changed);
}

/* Hands a piece over when it is large enough, or at once when somebody waits. False when nobody wants more. */
static bool offer(struct sc_feed *f, bool large)
{
    pthread_mutex_lock(&f->mutex);
    while (large && f->full && !f->stopped)
        pthread_cond_wait(&f->changed, &f->mutex);
    bool going = !f->stopped;
    if (going && !f->full && (large || f->hungry))
        hand_over(f);
    pthread_mutex_unlock(&f->mutex);
    return going;
}

static bool write_records(void *arg, const void *bytes, size_t count)
{
    struct sc_feed *f = arg;
    const uint8_t *record = bytes;
    while (count != 0) {
        size_t own = sc_record_length(record, count);
        sc_buf_append(&f->filling, record, own);
        if (!sc_buf_ok(&f->filling)) {
            f->no_memory = true; /* looked at behind the listing, by the same thread */
            return false;
        }
        record += own;
        count -= own;
        if (f->filling.len >= SC_FEED_PIECE && !offer(f, true))
            return false;
    }
    return f->filling.len == 0 || offer(f, false);
}

static void *feed_main(void *arg)
{
    struct sc_feed *f = arg;
    struct sc_sink sink = {.write = write_records, .arg = f};
    struct sc_error err = {0};
    enum sc_status status =
        sc_query_list(f->source, f->options, &f->own, &sink, &f->summary, &f->stats, &err);
    if (f->no_memory)
        status = sc_fail_nomem(&err, "the listing");
    pthread_mutex_lock(&f->mutex);
    while (f->filling.len != 0 && f->full && !f->stopped)
        pthread_cond_wait(&f->changed, &f->mutex);
    if (f->filling.len != 0 && !f->full)
        hand_over(f);
    f->status = status;
    f->err = err;
    f->over = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* ---- the others ---- */

static void free_feed(struct sc_feed *f)
{
    pthread_mutex_destroy(&f->mutex);
    pthread_cond_destroy(&f->changed);
    sc_buf_free(&f->filling);
    sc_buf_free(&f->ready);
    free(f->fields);
    free(f);
}

static bool make_listing(struct sc_feed *f)
{
    const struct sc_listing *l = f->wanted;
    f->fields = malloc(((size_t)l->field_count + l->order_count + 1) * sizeof(*f->fields));
    if (f->fields == NULL)
        return false;
    memcpy(f->fields, l->fields, l->field_count * sizeof(*f->fields));
    for (uint32_t i = 0; i < l->order_count; i++)
        f->fields[l->field_count + i] = l->orders[i].field;
    f->own = *l;
    f->own.output = NULL;
    f->own.separator = "";
    f->own.fit = false;
    f->own.fields = f->fields;
    f->own.field_count = l->field_count + l->order_count;
    f->own.put = put_record;
    f->own.put_arg = f;
    return true;
}

struct sc_feed *sc_feed_start(struct sc_source *source, const struct sc_scan_options *options,
                              const struct sc_listing *listing, struct sc_error *err)
{
    struct sc_feed *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        sc_fail_nomem(err, "the listing");
        return NULL;
    }
    *f = (struct sc_feed){.source = source, .options = options, .wanted = listing};
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    if (make_listing(f)) {
        int failed = pthread_create(&f->thread, NULL, feed_main, f);
        if (failed == 0)
            return f;
        sc_fail_errno(err, failed, "cannot start a thread");
    } else {
        sc_fail_nomem(err, "the listing");
    }
    free_feed(f);
    return NULL;
}

void sc_feed_take(struct sc_feed *f, struct sc_buf *piece, bool *over)
{
    sc_buf_clear(piece);
    pthread_mutex_lock(&f->mutex);
    f->hungry = true;
    while (!f->full && !f->over)
        pthread_cond_wait(&f->changed, &f->mutex);
    f->hungry = false;
    if (f->full) {
        struct sc_buf taken = f->ready;
        f->ready = *piece;
        *piece = taken;
        f->full = false;
        pthread_cond_broadcast(&f->changed);
    }
    *over = f->over;
    pthread_mutex_unlock(&f->mutex);
}

enum sc_status sc_feed_status(struct sc_feed *f, struct sc_error *err)
{
    pthread_mutex_lock(&f->mutex);
    enum sc_status status = f->status;
    if (status != SC_OK && err != NULL)
        *err = f->err;
    pthread_mutex_unlock(&f->mutex);
    return status;
}

static bool write_nothing(void *arg, const void *bytes, size_t count)
{
    (void)arg;
    (void)bytes;
    (void)count;
    return true;
}

/* More was listed than is in the answer: the summary is made anew, of what is. */
static enum sc_status summarize_used(struct sc_feed *f, uint64_t used, struct sc_error *err)
{
    struct sc_sink sink = {.write = write_nothing};
    struct sc_scan_options again = *f->options;
    f->summary = (struct sc_summary){0};
    if (used == 0)
        return SC_OK;
    again.progress = NULL;
    again.cancel = NULL;
    f->own.limit = used;
    return sc_query_list(f->source, &again, &f->own, &sink, &f->summary, NULL, err);
}

enum sc_status sc_feed_end(struct sc_feed *f, uint64_t used, struct sc_summary *summary,
                           struct sc_scan_stats *stats, struct sc_error *err)
{
    pthread_mutex_lock(&f->mutex);
    f->stopped = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
    enum sc_status status = sc_feed_status(f, err);
    bool as_listed = f->own.order_count != 0 || f->summary.records == used || !f->own.summarize;
    if ((status == SC_OK || status == SC_CANCELLED) && !as_listed) {
        enum sc_status made = summarize_used(f, used, err);
        status = made == SC_OK ? status : made;
    }
    *summary = f->summary;
    if (stats != NULL)
        *stats = f->stats;
    free_feed(f);
    return status;
}
