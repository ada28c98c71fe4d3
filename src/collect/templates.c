// SPDX-License-Identifier: BSD-3-Clause
#include "collect/templates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_NAME      "templates.state"
#define FORMAT_VERSION 1u
#define MAX_FILE_BYTES (UINT64_C(1) << 30)
#define PATH_BYTES     4200

static const char magic[8] = {'S', 'C', 'T', 'S', 'T', 'A', 'T', 'E'};

void sc_templates_encode(const struct sc_buf *states, uint32_t count, struct sc_buf *out)
{
    sc_buf_append(out, magic, sizeof(magic));
    sc_buf_append_le32(out, FORMAT_VERSION);
    uint32_t full = 0;
    for (uint32_t i = 0; i < count; i++)
        full += states[i].len != 0;
    sc_buf_append_le32(out, full);
    for (uint32_t i = 0; i < count; i++) {
        if (states[i].len == 0)
            continue;
        sc_buf_append_le32(out, (uint32_t)states[i].len);
        sc_buf_append(out, states[i].data, states[i].len);
    }
}

enum sc_status sc_templates_save(const char *store, const struct sc_buf *states, uint32_t count,
                                 struct sc_io *io, struct sc_error *err)
{
    struct sc_buf bytes = {0};
    sc_templates_encode(states, count, &bytes);
    if (!sc_buf_ok(&bytes)) {
        sc_buf_free(&bytes);
        return sc_fail_nomem(err, "the template state");
    }
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%.4096s/" FILE_NAME, store);
    enum sc_status status = sc_io_replace(io, path, bytes.data, bytes.len, err);
    sc_buf_free(&bytes);
    return status;
}

static enum sc_status read_file(const char *path, struct sc_buf *out, struct sc_error *err)
{
    struct stat info;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return errno == ENOENT ? SC_END : sc_fail_errno(err, errno, "cannot open %s", path);
    enum sc_status status = SC_OK;
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode) ||
        (uint64_t)info.st_size > MAX_FILE_BYTES) {
        status = sc_fail(err, SC_DAMAGED, "%s: no such file of ours", path);
    } else if (sc_buf_reserve(out, (size_t)info.st_size + 1) == NULL) {
        status = sc_fail_nomem(err, path);
    } else {
        out->len = fread(out->data, 1, (size_t)info.st_size, file);
        if (ferror(file))
            status = sc_fail_errno(err, EIO, "cannot read %s", path);
    }
    fclose(file);
    return status;
}

/* Goes from one state to the next. @return SC_END after the last one. */
struct reader {
    struct sc_cursor in;
    uint32_t left;
    const char *what; /* in errors */
};

static enum sc_status begin_reading(struct reader *r, const uint8_t *bytes, size_t length,
                                    struct sc_error *err)
{
    r->in = (struct sc_cursor){.data = bytes, .len = length};
    const uint8_t *head = sc_cursor_take(&r->in, sizeof(magic));
    uint32_t version = sc_cursor_le32(&r->in);
    r->left = sc_cursor_le32(&r->in);
    if (r->in.failed || memcmp(head, magic, sizeof(magic)) != 0)
        return sc_fail(err, SC_DAMAGED, "%s: not a template state", r->what);
    if (version != FORMAT_VERSION)
        return sc_fail(err, SC_UNSUPPORTED, "%s: format %u, this program reads %u", r->what, version,
                       FORMAT_VERSION);
    return SC_OK;
}

static enum sc_status next_state(struct reader *r, const uint8_t **state, uint32_t *length,
                                 struct sc_error *err)
{
    if (r->left == 0)
        return SC_END;
    r->left--;
    *length = sc_cursor_le32(&r->in);
    *state = sc_cursor_take(&r->in, *length);
    return *state == NULL ? sc_fail(err, SC_DAMAGED, "%s: ends in the middle", r->what) : SC_OK;
}

static enum sc_status load_states(const char *path, const struct sc_buf *bytes, struct sc_decoder *decoder,
                                  uint64_t now_ms, struct sc_error *err)
{
    struct reader r = {.what = path};
    const uint8_t *state;
    uint32_t length;
    enum sc_status status = begin_reading(&r, bytes->data, bytes->len, err);
    while (status == SC_OK && (status = next_state(&r, &state, &length, err)) == SC_OK)
        status = sc_decoder_load(decoder, state, length, now_ms, err);
    return status == SC_END ? SC_OK : status;
}

enum sc_status sc_templates_merge(const uint8_t *bytes, size_t length, struct sc_decoder *decoder,
                                  uint64_t clock_ms, uint64_t now_ms, struct sc_error *err)
{
    struct reader r = {.what = "what another collector knows"};
    const uint8_t *state;
    uint32_t size;
    enum sc_status status = begin_reading(&r, bytes, length, err);
    while (status == SC_OK && (status = next_state(&r, &state, &size, err)) == SC_OK)
        status = sc_decoder_merge(decoder, state, size, clock_ms, now_ms, err);
    return status == SC_END ? SC_OK : status;
}

enum sc_status sc_templates_load(const char *store, struct sc_decoder *decoder, uint64_t now_ms,
                                 struct sc_error *err)
{
    char path[PATH_BYTES];
    struct sc_buf bytes = {0};
    snprintf(path, sizeof(path), "%.4096s/" FILE_NAME, store);
    enum sc_status status = read_file(path, &bytes, err);
    if (status == SC_OK)
        status = load_states(path, &bytes, decoder, now_ms, err);
    sc_buf_free(&bytes);
    return status == SC_END ? SC_OK : status;
}
