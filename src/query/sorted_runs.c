// SPDX-License-Identifier: BSD-3-Clause
#include "query/sorted_runs.h"

#include "base/array.h"
#include "base/sort.h"
#include "group/spill_file.h"

#include <pthread.h>
#include <stdlib.h>

#define LENGTH_BYTES   4u
#define STAGED_BYTES   ((size_t)1 << 18) /* written to the file at once */
#define LEAST_BUFFER   ((size_t)4 << 10) /* of a run that is read back */
#define MOST_BUFFER    ((size_t)1 << 20)
#define LOOKS_AT_LEAST 1024u /* records between two looks at whether to stop */

/* Of a thread's file. */
struct file_run {
    uint64_t offset, bytes;
};

/* What a thread fills. An entry is a place and, behind it, where its text is, which begins with its length. */
struct filling {
    uint8_t *entries;
    uint64_t count;
    struct sc_buf text;
    size_t begun; /* where the text of the record that is made begins */
    struct sc_spill_file *file;
    struct file_run *
        runs; /* in the file: sorted, each record its place, the length of its text, the text, in whole words */
    uint32_t run_count;
    enum sc_status status; /* of sorting what is left */
};

struct sc_sorted_runs {
    uint32_t orders;
    size_t place_bytes, entry_bytes;
    unsigned threads;
    uint64_t share; /* bytes of one thread; 0: no bound */
    const atomic_int *cancel;
    struct filling *fillings;
};

struct sc_sorted_runs *sc_sorted_runs_create(uint32_t orders, unsigned threads, uint64_t memory_limit,
                                             const atomic_int *cancel)
{
    struct sc_sorted_runs *runs = calloc(1, sizeof(*runs));
    if (runs == NULL)
        return NULL;
    *runs = (struct sc_sorted_runs){.orders = orders,
                                    .place_bytes = sc_place_bytes(orders),
                                    .entry_bytes = sc_place_bytes(orders) + sizeof(uint64_t),
                                    .threads = threads,
                                    .share = memory_limit == 0 ? 0 : memory_limit / 2 / threads + 1,
                                    .cancel = cancel,
                                    .fillings = calloc(threads, sizeof(struct filling))};
    if (runs->fillings != NULL)
        return runs;
    free(runs);
    return NULL;
}

void sc_sorted_runs_free(struct sc_sorted_runs *runs)
{
    if (runs == NULL)
        return;
    for (unsigned t = 0; t < runs->threads; t++) {
        struct filling *f = &runs->fillings[t];
        free(f->entries);
        sc_buf_free(&f->text);
        sc_spill_file_free(f->file);
        free(f->runs);
    }
    free(runs->fillings);
    free(runs);
}

/* ---- one run ---- */

static int compare_entries(const void *x, const void *y, void *arg)
{
    return sc_place_compare(x, y, ((const struct sc_sorted_runs *)arg)->orders);
}

static enum sc_status sort_entries(struct sc_sorted_runs *runs, struct filling *f)
{
    return sc_sort(f->entries, f->count, runs->entry_bytes, compare_entries, runs, runs->cancel);
}

static const uint8_t *entry_at(const struct sc_sorted_runs *runs, const struct filling *f, uint64_t i)
{
    return f->entries + i * runs->entry_bytes;
}

/* The length of an entry's text, and the text. */
static const uint8_t *text_of(const struct sc_sorted_runs *runs, const struct filling *f,
                              const uint8_t *entry)
{
    return f->text.data + sc_load_le64(entry + runs->place_bytes);
}

static enum sc_status append_staged(struct filling *f, struct sc_buf *staged, struct sc_error *err)
{
    uint64_t offset;
    if (!sc_buf_ok(staged))
        return sc_fail_nomem(err, "sorting");
    SC_TRY(sc_spill_file_append(f->file, staged->data, staged->len, &offset, err));
    sc_buf_clear(staged);
    return SC_OK;
}

/* In the file, up to where the next one is aligned. */
static size_t record_bytes(const struct sc_sorted_runs *runs, const uint8_t *text)
{
    return (runs->place_bytes + LENGTH_BYTES + sc_load_le32(text) + 7) & ~(size_t)7;
}

static enum sc_status append_entries(struct sc_sorted_runs *runs, struct filling *f, struct sc_buf *staged,
                                     struct sc_error *err)
{
    static const uint8_t none[8];
    for (uint64_t i = 0; i < f->count; i++) {
        const uint8_t *entry = entry_at(runs, f, i), *text = text_of(runs, f, entry);
        sc_buf_append(staged, entry, runs->place_bytes);
        sc_buf_append(staged, text, LENGTH_BYTES + sc_load_le32(text));
        sc_buf_append(staged, none,
                      record_bytes(runs, text) - runs->place_bytes - LENGTH_BYTES - sc_load_le32(text));
        if (staged->len >= STAGED_BYTES)
            SC_TRY(append_staged(f, staged, err));
    }
    return append_staged(f, staged, err);
}

/* What is there to the file. */
static enum sc_status end_run(struct sc_sorted_runs *runs, struct filling *f, struct sc_error *err)
{
    struct sc_buf staged = {0};
    if (!sc_array_more(f->runs, f->run_count, 1))
        return sc_fail_nomem(err, "sorting");
    if (f->file == NULL)
        f->file = sc_spill_file_create(err);
    if (f->file == NULL)
        return SC_FULL;
    enum sc_status status = sort_entries(runs, f);
    if (status != SC_OK)
        return status == SC_NOMEM ? sc_fail_nomem(err, "sorting")
                                  : sc_fail(err, status, "before everything was sorted");
    uint64_t offset = f->file->end;
    status = append_entries(runs, f, &staged, err);
    sc_buf_free(&staged);
    f->runs[f->run_count++] = (struct file_run){offset, f->file->end - offset};
    sc_buf_clear(&f->text);
    free(f->entries);
    f->entries = NULL;
    f->count = 0;
    return status;
}

struct sc_buf *sc_sorted_runs_begin(struct sc_sorted_runs *runs, unsigned thread)
{
    struct filling *f = &runs->fillings[thread];
    f->begun = f->text.len;
    sc_buf_append_le32(&f->text, 0);
    return &f->text;
}

enum sc_status sc_sorted_runs_end(struct sc_sorted_runs *runs, unsigned thread, const struct sc_place *place,
                                  struct sc_error *err)
{
    struct filling *f = &runs->fillings[thread];
    bool room =
        f->count != sc_array_room(f->count) || sc_array_grow(&f->entries, runs->entry_bytes, f->count, 1);
    if (!sc_buf_ok(&f->text) || !room)
        return sc_fail_nomem(err, "sorting so many records; give a limit with -l");
    uint8_t *entry = f->entries + f->count++ * runs->entry_bytes;
    memcpy(entry, place, runs->place_bytes);
    sc_store_le64(entry + runs->place_bytes, f->begun);
    sc_store_le32(f->text.data + f->begun, (uint32_t)(f->text.len - f->begun - LENGTH_BYTES));
    /* sorting needs the entries twice */
    bool full = runs->share != 0 && 2 * f->count * runs->entry_bytes + f->text.len > runs->share;
    return full ? end_run(runs, f, err) : SC_OK;
}

/* ---- all runs, merged ---- */

/* The record of a run that comes next. */
struct cursor {
    const struct filling *f;
    uint64_t next, end; /* in memory: entries; in the file: bytes that are not in the buffer yet */
    bool in_file;
    struct sc_buf buffer; /* of the file */
    size_t at;            /* of the next record in it */
    size_t most;          /* bytes that are read at once */
    const struct sc_place *place;
    const uint8_t *text; /* with its length */
};

struct merging {
    struct sc_sorted_runs *runs;
    struct cursor *cursors;
    uint32_t count;
    struct cursor **heap; /* the first record at the root; run out: not in it */
    uint32_t left;
};

/* At least `need` bytes behind cursor->at. */
static enum sc_status fill_buffer(struct cursor *c, size_t need, struct sc_error *err)
{
    size_t left = c->buffer.len - c->at, more = c->most > need ? c->most : need;
    if (left >= need)
        return SC_OK;
    if (left != 0)
        memmove(c->buffer.data, c->buffer.data + c->at, left);
    c->buffer.len = left;
    c->at = 0;
    more = more - left < c->end - c->next ? more - left : (size_t)(c->end - c->next);
    uint8_t *to = sc_buf_reserve(&c->buffer, more);
    if (to == NULL)
        return sc_fail_nomem(err, "sorting");
    SC_TRY(sc_spill_file_read(c->f->file, c->next, to, more, err));
    c->buffer.len += more;
    c->next += more;
    return SC_OK;
}

/* cursor->place NULL: there is none. */
static enum sc_status next_of_file(const struct sc_sorted_runs *runs, struct cursor *c, struct sc_error *err)
{
    size_t head = runs->place_bytes + LENGTH_BYTES;
    c->place = NULL;
    if (c->at == c->buffer.len && c->next == c->end)
        return SC_OK;
    SC_TRY(fill_buffer(c, head, err));
    size_t bytes = record_bytes(runs, c->buffer.data + c->at + runs->place_bytes);
    SC_TRY(fill_buffer(c, bytes, err));
    c->place = (const struct sc_place *)(const void *)(c->buffer.data + c->at);
    c->text = c->buffer.data + c->at + runs->place_bytes;
    c->at += bytes;
    return SC_OK;
}

static enum sc_status advance(const struct sc_sorted_runs *runs, struct cursor *c, struct sc_error *err)
{
    if (c->in_file)
        return next_of_file(runs, c, err);
    c->place = NULL;
    if (c->next == c->end)
        return SC_OK;
    const uint8_t *entry = entry_at(runs, c->f, c->next++);
    c->place = (const struct sc_place *)(const void *)entry;
    c->text = text_of(runs, c->f, entry);
    return SC_OK;
}

static bool is_before(const struct merging *m, const struct cursor *x, const struct cursor *y)
{
    return sc_place_compare(x->place, y->place, m->runs->orders) < 0;
}

/* Lets the cursor at `at` sink to where it belongs. */
static void sink_down(struct merging *m, uint32_t at)
{
    struct cursor *c = m->heap[at];
    for (uint32_t child = 2 * at + 1; child < m->left; child = 2 * at + 1) {
        if (child + 1 < m->left && is_before(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (!is_before(m, m->heap[child], c))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = c;
}

static void add_cursor(struct merging *m, const struct cursor *cursor)
{
    m->cursors[m->count++] = *cursor;
}

static enum sc_status open_cursors(struct merging *m, struct sc_error *err)
{
    struct sc_sorted_runs *runs = m->runs;
    uint32_t most = runs->threads;
    for (unsigned t = 0; t < runs->threads; t++)
        most += runs->fillings[t].run_count;
    size_t buffer = (size_t)(runs->share * runs->threads / most);
    buffer = buffer < LEAST_BUFFER ? LEAST_BUFFER : buffer > MOST_BUFFER ? MOST_BUFFER : buffer;
    m->cursors = calloc(most, sizeof(*m->cursors));
    m->heap = calloc(most, sizeof(struct cursor *));
    if (m->cursors == NULL || m->heap == NULL)
        return sc_fail_nomem(err, "sorting");
    for (unsigned t = 0; t < runs->threads; t++) {
        const struct filling *f = &runs->fillings[t];
        add_cursor(m, &(struct cursor){.f = f, .end = f->count});
        for (uint32_t i = 0; i < f->run_count; i++)
            add_cursor(m, &(struct cursor){.f = f,
                                           .in_file = true,
                                           .next = f->runs[i].offset,
                                           .end = f->runs[i].offset + f->runs[i].bytes,
                                           .most = buffer});
    }
    return SC_OK;
}

static enum sc_status make_heap(struct merging *m, struct sc_error *err)
{
    for (uint32_t i = 0; i < m->count; i++) {
        SC_TRY(advance(m->runs, &m->cursors[i], err));
        if (m->cursors[i].place != NULL)
            m->heap[m->left++] = &m->cursors[i];
    }
    for (uint32_t i = m->left / 2; i-- > 0;)
        sink_down(m, i);
    return SC_OK;
}

static bool is_stopped(const struct sc_sorted_runs *runs)
{
    return runs->cancel != NULL && atomic_load_explicit(runs->cancel, memory_order_relaxed) != 0;
}

/* False when nobody reads. */
static bool put(const struct sc_sink *sink, const char *separator, const struct cursor *c)
{
    return (separator[0] == '\0' || sink->write(sink->arg, separator, strlen(separator))) &&
           sink->write(sink->arg, c->text + LENGTH_BYTES, sc_load_le32(c->text));
}

static enum sc_status merge(struct merging *m, const struct sc_sink *sink, const char *separator,
                            uint64_t limit, struct sc_error *err)
{
    for (uint64_t written = 0; m->left != 0 && (limit == 0 || written < limit); written++) {
        struct cursor *first = m->heap[0];
        if (written != 0 && written % LOOKS_AT_LEAST == 0 && is_stopped(m->runs))
            return sc_fail(err, SC_CANCELLED, "before everything was written");
        if (!put(sink, written == 0 ? "" : separator, first))
            return SC_OK;
        SC_TRY(advance(m->runs, first, err));
        if (first->place == NULL)
            m->heap[0] = m->heap[--m->left];
        if (m->left != 0)
            sink_down(m, 0);
    }
    return SC_OK;
}

/* ---- what is left in memory, each thread's by one of its own ---- */

struct sorting {
    struct sc_sorted_runs *runs;
    struct filling *f;
};

static void *sort_main(void *arg)
{
    const struct sorting *s = arg;
    s->f->status = sort_entries(s->runs, s->f);
    return NULL;
}

static enum sc_status sort_rest(struct sc_sorted_runs *runs, struct sc_error *err)
{
    pthread_t ids[64];
    struct sorting all[64];
    enum sc_status status = SC_OK;
    for (unsigned begun = 0, n; begun < runs->threads; begun += n) {
        unsigned started = 0;
        n = runs->threads - begun < 64 ? runs->threads - begun : 64;
        for (unsigned i = 0; i < n; i++)
            all[i] = (struct sorting){runs, &runs->fillings[begun + i]};
        while (started + 1 < n && pthread_create(&ids[started], NULL, sort_main, &all[started]) == 0)
            started++;
        for (unsigned i = started; i < n; i++)
            sort_main(&all[i]);
        for (unsigned i = 0; i < started; i++)
            pthread_join(ids[i], NULL);
    }
    for (unsigned t = 0; t < runs->threads; t++)
        status = runs->fillings[t].status != SC_OK ? runs->fillings[t].status : status;
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "sorting so many records; give a limit with -l");
    return status == SC_OK ? SC_OK : sc_fail(err, status, "before everything was sorted");
}

enum sc_status sc_sorted_runs_write(struct sc_sorted_runs *runs, const struct sc_sink *sink,
                                    const char *separator, uint64_t limit, struct sc_error *err)
{
    struct merging m = {.runs = runs};
    SC_TRY(sort_rest(runs, err));
    enum sc_status status = open_cursors(&m, err);
    if (status == SC_OK)
        status = make_heap(&m, err);
    if (status == SC_OK)
        status = merge(&m, sink, separator, limit, err);
    for (uint32_t i = 0; i < m.count; i++)
        sc_buf_free(&m.cursors[i].buffer);
    free(m.cursors);
    free(m.heap);
    return status;
}
