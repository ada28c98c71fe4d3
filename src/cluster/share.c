// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/share.h"

#include "cluster/beat.h"

#include <stdio.h>
#include <string.h>

/* ---- words ---- */

/* Each with its NUL. */
static enum sc_status take_words(const struct sc_buf *bytes, struct sc_words *words, struct sc_error *err)
{
    const char *text = (const char *)bytes->data;
    if (bytes->len != 0 && text[bytes->len - 1] != '\0')
        return sc_fail(err, SC_DAMAGED, "the words of the query are cut");
    for (size_t at = 0; at < bytes->len; at += strlen(text + at) + 1)
        sc_words_add(words, text + at);
    return words->failed ? sc_fail_nomem(err, "the words of the query") : SC_OK;
}

enum sc_status sc_share_words(const struct sc_ranks *ranks, struct sc_words *words, struct sc_error *err)
{
    struct sc_buf bytes = {0};
    for (size_t i = 0; ranks->rank == 0 && i < words->count; i++)
        sc_buf_append(&bytes, words->list[i], strlen(words->list[i]) + 1);
    enum sc_status status = sc_buf_ok(&bytes) && !words->failed
                                ? sc_ranks_broadcast(ranks, &bytes, err)
                                : sc_fail_nomem(err, "the words of the query");
    if (status == SC_OK && ranks->rank != 0)
        status = take_words(&bytes, words, err);
    sc_buf_free(&bytes);
    return status;
}

/* ---- what comes together at rank 0, and from there to all ---- */

struct common {
    void *thing;
    void (*put)(const void *thing, struct sc_buf *out);
    sc_ranks_take_fn *take; /* adds to `thing` what is not there yet */
    void (*empty)(void *thing);
};

/* All take it from the same bytes, rank 0 too, so that it is in the same order everywhere. */
static enum sc_status make_common(const struct sc_ranks *ranks, const struct common *c, struct sc_error *err)
{
    struct sc_buf bytes = {0};
    c->put(c->thing, &bytes);
    enum sc_status status = sc_ranks_collect_short(ranks, &bytes, c->take, c->thing, err);
    sc_buf_clear(&bytes);
    if (status == SC_OK && ranks->rank == 0)
        c->put(c->thing, &bytes);
    if (status == SC_OK)
        status = sc_buf_ok(&bytes) ? sc_ranks_broadcast(ranks, &bytes, err)
                                   : sc_fail_nomem(err, "what ranks have in common");
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    c->empty(c->thing);
    if (status == SC_OK)
        status = c->take(c->thing, 0, &in, err);
    sc_buf_free(&bytes);
    return status;
}

/* ---- elements that exporters defined ---- */

static void put_learned(const void *thing, struct sc_buf *out)
{
    const struct sc_ie_learned *table = thing;
    char line[SC_IE_LEARNED_LINE_MAX];
    for (uint32_t i = 0; i < table->count; i++) {
        sc_buf_append(out, line, sc_ie_definition_format(&table->entries[i], line));
        sc_buf_append_u8(out, '\n');
    }
}

/* A line that is no definition is no reason to answer nothing. */
static enum sc_status take_learned(void *thing, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    (void)rank;
    while (sc_cursor_left(in) != 0) {
        struct sc_ie_definition d;
        const char *line = (const char *)in->data + in->pos, *end = memchr(line, '\n', sc_cursor_left(in));
        if (end == NULL)
            return SC_OK;
        sc_cursor_take(in, (size_t)(end - line) + 1);
        if (sc_ie_definition_parse(line, (size_t)(end - line), &d) &&
            sc_ie_learned_add(thing, &d) == SC_IE_NOMEM)
            return sc_fail_nomem(err, "learned elements");
    }
    return SC_OK;
}

static void empty_learned(void *thing)
{
    sc_ie_learned_free(thing);
}

enum sc_status sc_share_learned(const struct sc_ranks *ranks, struct sc_ie_learned *learned,
                                struct sc_error *err)
{
    const struct common c = {learned, put_learned, take_learned, empty_learned};
    return make_common(ranks, &c, err);
}

/* ---- stored columns ---- */

static void put_columns(const void *thing, struct sc_buf *out)
{
    sc_stored_columns_put(thing, out);
}

static enum sc_status take_columns(void *thing, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    (void)rank;
    return sc_stored_columns_take(thing, in, err);
}

static void empty_columns(void *thing)
{
    struct sc_stored_columns *columns = thing;
    sc_stored_columns_free(columns);
    sc_stored_columns_init(columns, columns->learned);
}

enum sc_status sc_share_columns(const struct sc_ranks *ranks, struct sc_stored_columns *columns,
                                struct sc_error *err)
{
    const struct common c = {columns, put_columns, take_columns, empty_columns};
    return make_common(ranks, &c, err);
}

/* ---- totals ---- */

static enum sc_status take_totals(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_row_stats theirs;
    if (rank == 0) /* they are with it */
        return SC_OK;
    sc_row_stats_init(&theirs);
    enum sc_status status = sc_row_stats_read(in, &theirs);
    if (status == SC_OK)
        status = sc_row_stats_merge(arg, &theirs);
    sc_row_stats_free(&theirs);
    return status == SC_OK      ? SC_OK
           : status == SC_NOMEM ? sc_fail_nomem(err, "totals")
                                : sc_fail(err, SC_DAMAGED, "totals make no sense");
}

enum sc_status sc_share_totals(const struct sc_ranks *ranks, struct sc_row_stats *totals,
                               struct sc_error *err)
{
    struct sc_buf mine = {0};
    sc_row_stats_write(totals, &mine);
    enum sc_status status = sc_ranks_collect_short(ranks, &mine, take_totals, totals, err);
    sc_buf_free(&mine);
    return status;
}

/* ---- who takes part ---- */

/* False: why a rank that says this is to be left out. */
typedef bool fits_fn(const char *expected, const char *text, size_t length, char why[SC_LEAVE_OUT_MAX]);

struct judging {
    const struct sc_muster *muster;
    const char *expected;
    fits_fn *fits;
    struct sc_error *first; /* who may not */
    bool whole;
};

static bool fits_version(const char *ours, const char *text, size_t length, char why[SC_LEAVE_OUT_MAX])
{
    if (sc_ranks_understand(ours, text, length))
        return true;
    snprintf(why, SC_LEAVE_OUT_MAX, "it has version %.*s of sc-query, this is %s",
             (int)(length < 64 ? length : 64), text, ours);
    return false;
}

static bool fits_excuse(const char *none, const char *text, size_t length, char why[SC_LEAVE_OUT_MAX])
{
    (void)none;
    snprintf(why, SC_LEAVE_OUT_MAX, "%.*s", (int)(length < SC_LEAVE_OUT_MAX ? length : SC_LEAVE_OUT_MAX),
             text);
    return length == 0;
}

/* A rank says its name, an end of line, and the text. A supervisor starts another job without those that it is told of. */
static enum sc_status judge(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct judging *j = arg;
    char why[SC_LEAVE_OUT_MAX];
    const char *node = in->len == 0 ? "" : (const char *)in->data;
    const char *line = memchr(node, '\n', in->len);
    size_t name = line == NULL ? in->len : (size_t)(line - node);
    (void)err;
    if (j->fits(j->expected, line == NULL ? "" : line + 1, line == NULL ? 0 : in->len - name - 1, why))
        return SC_OK;
    if (j->whole)
        sc_fail(j->first, SC_UNSUPPORTED, "node %.*s: %s", (int)name, node, why);
    j->whole = false;
    if (j->muster->supervisor_fd >= 0)
        sc_leave_out_line_write(j->muster->supervisor_fd, rank, why);
    return SC_OK;
}

typedef enum sc_status collect_fn(const struct sc_ranks *ranks, const struct sc_buf *mine,
                                  sc_ranks_take_fn *take, void *arg, struct sc_error *err);

static enum sc_status hold(const struct sc_muster *m, collect_fn *collect, const char *text, fits_fn *fits,
                           struct sc_error *err)
{
    struct judging j = {.muster = m, .expected = text, .fits = fits, .first = err, .whole = true};
    struct sc_buf mine = {0};
    uint64_t all_here = 0;
    sc_buf_append_str(&mine, m->node);
    sc_buf_append_u8(&mine, '\n');
    sc_buf_append_str(&mine, text);
    enum sc_status status = collect(m->ranks, &mine, judge, &j, err);
    sc_buf_free(&mine);
    if (status == SC_OK && !j.whole)
        return SC_UNSUPPORTED;
    return status == SC_OK ? sc_ranks_tell(m->ranks, &all_here, 1, err) : status;
}

/* To rank 0 itself: who has another version may know no tree. */
enum sc_status sc_muster_version(const struct sc_muster *m, const char *version, struct sc_error *err)
{
    return hold(m, sc_ranks_collect, version, fits_version, err);
}

enum sc_status sc_muster_excuse(const struct sc_muster *m, const char *excuse, struct sc_error *err)
{
    return hold(m, sc_ranks_collect_short, excuse, fits_excuse, err);
}
