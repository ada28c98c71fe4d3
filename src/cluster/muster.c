// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/muster.h"

#include "cluster/beat.h"

#include <stdio.h>
#include <string.h>

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
    if (length == strlen(ours) && memcmp(text, ours, length) == 0)
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

static enum sc_status hold(const struct sc_muster *m, const char *text, fits_fn *fits, struct sc_error *err)
{
    struct judging j = {.muster = m, .expected = text, .fits = fits, .first = err, .whole = true};
    struct sc_buf mine = {0};
    uint64_t all_here = 0;
    sc_buf_append_str(&mine, m->node);
    sc_buf_append_u8(&mine, '\n');
    sc_buf_append_str(&mine, text);
    enum sc_status status = sc_ranks_collect(m->ranks, &mine, judge, &j, err);
    sc_buf_free(&mine);
    if (status == SC_OK && !j.whole)
        return SC_UNSUPPORTED;
    return status == SC_OK ? sc_ranks_tell(m->ranks, &all_here, 1, err) : status;
}

enum sc_status sc_muster_version(const struct sc_muster *m, const char *version, struct sc_error *err)
{
    return hold(m, version, fits_version, err);
}

enum sc_status sc_muster_excuse(const struct sc_muster *m, const char *excuse, struct sc_error *err)
{
    return hold(m, excuse, fits_excuse, err);
}
