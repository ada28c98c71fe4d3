// SPDX-License-Identifier: BSD-3-Clause
#include "store/horizon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LINES  2
#define DIGITS 20u
#define LINE   38u

struct content {
    bool whole[LINES];
    uint64_t ms[LINES];
    uint64_t earlier; /* as an earlier version wrote it */
};

static void put_line(char *out, uint64_t horizon_ms)
{
    char text[LINE + 1];
    snprintf(text, sizeof(text), "%020" PRIu64, horizon_ms);
    snprintf(text + DIGITS, sizeof(text) - DIGITS, " %016" PRIx64 "\n", XXH3_64bits(text, DIGITS));
    memcpy(out, text, LINE);
}

static bool read_line(const char *line, uint64_t *ms)
{
    char same[LINE];
    *ms = strtoull(line, NULL, 10);
    put_line(same, *ms);
    return memcmp(line, same, LINE) == 0;
}

/* `text` ends in a zero. */
static uint64_t read_earlier(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= DIGITS && text[digits] == '\n' ? strtoull(text, NULL, 10) : 0;
}

/* @return SC_OK, also when there is no file; SC_DAMAGED: nothing in it holds; SC_IO: nobody knows what is in it. */
static enum sc_status read_content(const char *path, struct content *out, struct sc_error *err)
{
    char text[LINES * LINE + 1] = {0};
    *out = (struct content){0};
    size_t length;
    enum sc_status status = sc_io_read_file(path, text, LINES * LINE, &length, err);
    if (status != SC_OK)
        return status == SC_NOTFOUND ? SC_OK : status;
    for (size_t i = 0; i < LINES; i++)
        out->whole[i] = length >= (i + 1) * LINE && read_line(text + i * LINE, &out->ms[i]);
    out->earlier = read_earlier(text);
    bool holds = out->whole[0] || out->whole[1] || out->earlier != 0 || strcmp(text, "0\n") == 0;
    return holds ? SC_OK : sc_fail(err, SC_DAMAGED, "%s is damaged", path);
}

/* The line that the horizon is read from. */
static size_t line_that_holds(const struct content *c)
{
    return c->whole[1] && (!c->whole[0] || c->ms[1] > c->ms[0]);
}

static uint64_t horizon_of(const struct content *c)
{
    return c->whole[0] || c->whole[1] ? c->ms[line_that_holds(c)] : c->earlier;
}

static enum sc_status replace(struct sc_io *io, const char *path, uint64_t horizon_ms, struct sc_error *err)
{
    char text[LINES * LINE];
    for (size_t i = 0; i < LINES; i++)
        put_line(text + i * LINE, horizon_ms);
    return sc_io_replace(io, path, text, sizeof(text), err);
}

static int write_over(struct sc_io *io, const char *path, uint64_t horizon_ms)
{
    struct content now;
    char line[LINE];
    int result = 0;
    (void)read_content(path, &now, NULL);
    put_line(line, horizon_ms);
    for (size_t i = 0, first = 1 - line_that_holds(&now); i < LINES && result == 0; i++)
        result = sc_io_overwrite(io, path, (first + i) % LINES * LINE, line, LINE);
    return result;
}

uint64_t sc_store_horizon(const char *store)
{
    char path[4096];
    struct content content;
    snprintf(path, sizeof(path), "%s/horizon", store);
    (void)read_content(path, &content, NULL);
    return horizon_of(&content);
}

enum sc_status sc_store_set_horizon(const char *store, uint64_t horizon_ms, struct sc_io *io,
                                    struct sc_error *err)
{
    char path[4096];
    struct content now;
    snprintf(path, sizeof(path), "%s/horizon", store);
    enum sc_status status = read_content(path, &now, err);
    if (status != SC_OK && status != SC_DAMAGED) /* what is unknown may be further */
        return status;
    if (horizon_of(&now) >= horizon_ms)
        return SC_OK;
    status = replace(io, path, horizon_ms, err);
    if (status != SC_FULL)
        return status;
    int result = write_over(io == NULL ? sc_io_system() : io, path, horizon_ms);
    if (result == -ENOENT)
        return status;
    return result == 0 ? SC_OK : sc_fail_errno(err, -result, "cannot write over %s", path);
}

enum sc_status sc_store_take_back_horizon(const char *store, uint64_t horizon_ms, struct sc_io *io,
                                          struct sc_error *err)
{
    char path[4096];
    struct content now;
    snprintf(path, sizeof(path), "%s/horizon", store);
    SC_TRY(read_content(path, &now, err));
    return horizon_of(&now) <= horizon_ms ? SC_OK : replace(io, path, horizon_ms, err);
}

enum sc_status sc_store_prepare_horizon(const char *store, struct sc_io *io, struct sc_error *err)
{
    char path[4096];
    struct content now;
    snprintf(path, sizeof(path), "%s/horizon", store);
    SC_TRY(read_content(path, &now, err));
    return now.whole[0] && now.whole[1] ? SC_OK : replace(io, path, horizon_of(&now), err);
}
