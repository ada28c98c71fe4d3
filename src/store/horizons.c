// SPDX-License-Identifier: BSD-3-Clause
#include "store/horizons.h"

#include "base/array.h"
#include "store/horizon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 262144u

void sc_horizons_free(struct sc_horizons *h)
{
    free(h->members);
    free(h->lanes);
    *h = (struct sc_horizons){0};
}

/* ---- what is known ---- */

static struct sc_member_horizon *find_member(const struct sc_horizons *h, uint32_t lane)
{
    for (uint32_t i = 0; i < h->member_count; i++) {
        if (h->members[i].lane == lane)
            return &h->members[i];
    }
    return NULL;
}

enum sc_status sc_horizons_add_member(struct sc_horizons *h, const struct sc_member_horizon *member)
{
    if (h->member_count == SC_HORIZONS_MAX)
        return SC_LIMIT;
    if (!sc_array_more(h->members, h->member_count, 1))
        return SC_NOMEM;
    h->members[h->member_count++] = *member;
    return SC_OK;
}

enum sc_status sc_horizons_add_lane(struct sc_horizons *h, const struct sc_lane_holders *lane)
{
    if (h->lane_count == SC_HORIZONS_MAX)
        return SC_LIMIT;
    if (!sc_array_more(h->lanes, h->lane_count, 1))
        return SC_NOMEM;
    h->lanes[h->lane_count++] = *lane;
    return SC_OK;
}

void sc_horizons_tell(struct sc_horizons *h, const struct sc_member_horizon *told)
{
    struct sc_member_horizon *m = find_member(h, told->lane);
    if (m == NULL || (m->own && !told->own))
        return;
    bool counts = (told->own && !m->own) || told->horizon_ms > m->horizon_ms;
    m->horizon_ms = counts ? told->horizon_ms : m->horizon_ms;
    m->own = told->own;
}

static enum sc_status copy(const struct sc_horizons *from, struct sc_horizons *to)
{
    *to = (struct sc_horizons){.version = from->version, .alone_ms = from->alone_ms};
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < from->member_count && status == SC_OK; i++)
        status = sc_horizons_add_member(to, &from->members[i]);
    for (uint32_t i = 0; i < from->lane_count && status == SC_OK; i++)
        status = sc_horizons_add_lane(to, &from->lanes[i]);
    if (status != SC_OK)
        sc_horizons_free(to);
    return status;
}

static void tell_all(struct sc_horizons *h, const struct sc_horizons *from)
{
    for (uint32_t i = 0; i < from->member_count; i++)
        sc_horizons_tell(h, &from->members[i]);
    h->alone_ms = from->alone_ms > h->alone_ms ? from->alone_ms : h->alone_ms;
    sc_horizons_settle(h);
}

enum sc_status sc_horizons_add_all(struct sc_horizons *h, const struct sc_horizons *more)
{
    if (more->version > h->version) {
        struct sc_horizons before = *h;
        enum sc_status status = copy(more, h);
        if (status != SC_OK) {
            *h = before;
            return SC_NOMEM;
        }
        tell_all(h, &before);
        sc_horizons_free(&before);
        return SC_OK;
    }
    tell_all(h, more);
    return SC_OK;
}

enum sc_status sc_horizons_add_store(struct sc_horizons *h, const char *store, struct sc_error *err)
{
    struct sc_horizons file = {0};
    enum sc_status status = sc_horizons_read(store, &file, err);
    const struct sc_member_horizon own = {
        .lane = file.node, .own = true, .horizon_ms = sc_store_horizon(store)};
    if (status == SC_NOTFOUND)
        file.alone_ms = own.horizon_ms;
    else if (status != SC_OK)
        return status;
    sc_horizons_tell(&file, &own);
    status = sc_horizons_add_all(h, &file);
    sc_horizons_free(&file);
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "the horizons");
}

/* ---- what follows ---- */

static int compare_lanes(const void *x, const void *y)
{
    uint32_t a = ((const struct sc_lane_holders *)x)->lane, b = ((const struct sc_lane_holders *)y)->lane;
    return (a > b) - (a < b);
}

static uint64_t least_of_holders(const struct sc_horizons *h, const struct sc_lane_holders *l)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct sc_member_horizon *m = find_member(h, l->holders[i]);
        uint64_t horizon = m == NULL ? 0 : m->horizon_ms;
        least = horizon < least ? horizon : least;
    }
    return l->count == 0 ? 0 : least;
}

void sc_horizons_settle(struct sc_horizons *h)
{
    bool alone = h->member_count == 0;
    h->least_ms = alone ? h->alone_ms : UINT64_MAX;
    h->kept_since_ms = alone ? h->alone_ms : 0;
    for (uint32_t i = 0; i < h->member_count; i++)
        h->least_ms = h->members[i].horizon_ms < h->least_ms ? h->members[i].horizon_ms : h->least_ms;
    for (uint32_t i = 0; i < h->lane_count; i++) {
        struct sc_lane_holders *l = &h->lanes[i];
        l->horizon_ms = least_of_holders(h, l);
        h->kept_since_ms = l->horizon_ms > h->kept_since_ms ? l->horizon_ms : h->kept_since_ms;
    }
    if (h->lane_count > 1)
        qsort(h->lanes, h->lane_count, sizeof(*h->lanes), compare_lanes);
}

uint64_t sc_horizons_of(const struct sc_horizons *h, uint32_t lane)
{
    const struct sc_lane_holders key = {.lane = lane};
    const struct sc_lane_holders *found =
        h->lane_count == 0 ? NULL : bsearch(&key, h->lanes, h->lane_count, sizeof(key), compare_lanes);
    return found == NULL ? h->least_ms : found->horizon_ms;
}

/* ---- the file ---- */

static void path_of(const char *store, char *out, size_t size)
{
    snprintf(out, size, "%s/" SC_HORIZONS_FILE, store);
}

static bool read_member(const char *line, struct sc_horizons *out)
{
    struct sc_member_horizon m = {0};
    return sscanf(line, "member %8" SCNx32 " %" SCNu64 " %63s", &m.lane, &m.horizon_ms, m.name) == 3 &&
           find_member(out, m.lane) == NULL && sc_horizons_add_member(out, &m) == SC_OK;
}

static bool read_lane(const char *line, struct sc_horizons *out)
{
    struct sc_lane_holders l = {0};
    int read = sscanf(line, "lane %8" SCNx32 " %8" SCNx32 " %8" SCNx32 " %8" SCNx32, &l.lane, &l.holders[0],
                      &l.holders[1], &l.holders[2]);
    l.count = read < 2 ? 0 : (uint32_t)read - 1;
    for (uint32_t i = 0; i < l.count; i++) {
        if (find_member(out, l.holders[i]) == NULL)
            return false;
    }
    return l.count != 0 && sc_horizons_add_lane(out, &l) == SC_OK;
}

static bool read_lines(char *text, struct sc_horizons *out)
{
    int used = 0;
    char *rest = NULL;
    if (sscanf(text, "securitycloud horizons 1 version %" SCNu64 " node %8" SCNx32 "%n", &out->version,
               &out->node, &used) != 2 ||
        out->version == 0)
        return false;
    for (char *line = strtok_r(text + used, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "member ", 7) == 0 ? !read_member(line, out) : !read_lane(line, out))
            return false;
    }
    return out->member_count != 0;
}

enum sc_status sc_horizons_parse(char *text, struct sc_horizons *out)
{
    if (!read_lines(text, out)) {
        sc_horizons_free(out);
        return SC_DAMAGED;
    }
    sc_horizons_settle(out);
    return SC_OK;
}

static enum sc_status read_text(const char *path, char **text, struct sc_error *err)
{
    size_t length;
    *text = malloc(MAX_BYTES + 1);
    if (*text == NULL)
        return sc_fail_nomem(err, "the horizons");
    SC_TRY(sc_io_read_file(path, *text, MAX_BYTES, &length, err));
    (*text)[length] = '\0';
    return SC_OK;
}

enum sc_status sc_horizons_read(const char *store, struct sc_horizons *out, struct sc_error *err)
{
    char path[4096], *text;
    path_of(store, path, sizeof(path));
    enum sc_status status = read_text(path, &text, err);
    if (status == SC_OK && sc_horizons_parse(text, out) != SC_OK)
        status = sc_fail(err, SC_DAMAGED,
                         "%s is damaged: how far other members have expired is not known; a collector that "
                         "runs writes it anew",
                         path);
    free(text);
    return status;
}

static void print_lane(const struct sc_lane_holders *l, struct sc_buf *out)
{
    sc_buf_printf(out, "lane %08" PRIx32, l->lane);
    for (uint32_t i = 0; i < l->count; i++)
        sc_buf_printf(out, " %08" PRIx32, l->holders[i]);
    sc_buf_append_str(out, "\n");
}

void sc_horizons_print(const struct sc_horizons *h, struct sc_buf *out)
{
    sc_buf_printf(out, "securitycloud horizons 1\nversion %" PRIu64 "\nnode %08" PRIx32 "\n", h->version,
                  h->node);
    for (uint32_t i = 0; i < h->member_count; i++)
        sc_buf_printf(out, "member %08" PRIx32 " %" PRIu64 " %s\n", h->members[i].lane,
                      h->members[i].horizon_ms, h->members[i].name);
    for (uint32_t i = 0; i < h->lane_count; i++)
        print_lane(&h->lanes[i], out);
}

enum sc_status sc_horizons_write(const char *store, const struct sc_horizons *h, struct sc_io *io,
                                 struct sc_error *err)
{
    char path[4096];
    struct sc_buf text = {0};
    path_of(store, path, sizeof(path));
    sc_horizons_print(h, &text);
    enum sc_status status = sc_buf_ok(&text) ? sc_io_replace(io, path, text.data, text.len, err)
                                             : sc_fail_nomem(err, "the horizons");
    sc_buf_free(&text);
    return status;
}
