// SPDX-License-Identifier: BSD-3-Clause
#include "store/day.h"

#include "base/array.h"
#include "base/buf.h"
#include "store/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MAGIC      UINT64_C(0x0031535941444353) /* "SCDAYS1" */
#define HEAD_BYTES 24u                          /* with the folder's identity */
#define MOST_BYTES ((size_t)64 << 20)

/* No window is longer than a day. */
#define MOST_WINDOW_MS UINT64_C(86400000)

bool sc_day_file_is_wanted(const struct sc_day_file *f, const struct sc_day_bounds *bounds)
{
    uint64_t length = f->tally ? MOST_WINDOW_MS : (uint64_t)f->window_s * 1000;
    return (f->window_ms < bounds->end_ms && f->window_ms + length > bounds->begin_ms) ||
           (f->begin_ms < bounds->end_ms && f->end_ms >= bounds->begin_ms);
}

bool sc_day_path(const char *folder, char out[PATH_MAX])
{
    static const size_t tail = sizeof("/YYYY/MM/DD") - 1;
    size_t length = strlen(folder);
    const char *day = folder + length - tail;
    char digits[9];
    if (length <= tail || day[0] != '/' || day[5] != '/' || day[8] != '/')
        return false;
    snprintf(digits, sizeof(digits), "%.4s%.2s%.2s", day + 1, day + 6, day + 9);
    return sc_name_digits(digits) == 8 && snprintf(out, PATH_MAX, "%.*s/" SC_DAYS_FOLDER "/%s",
                                                   (int)(length - tail), folder, digits) < PATH_MAX;
}

uint64_t sc_day_changed_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
}

void sc_day_free(struct sc_day *day)
{
    free(day->files);
    *day = (struct sc_day){0};
}

static bool take_head(struct sc_cursor *in, const struct stat *st)
{
    uint64_t magic = sc_cursor_le64(in), inode = sc_cursor_le64(in), changed_ns = sc_cursor_le64(in);
    return !in->failed && magic == MAGIC && inode == (uint64_t)st->st_ino &&
           changed_ns == sc_day_changed_ns(st);
}

static bool take_file(struct sc_cursor *in, struct sc_day_file *f)
{
    f->tally = sc_cursor_u8(in) != 0;
    f->bytes = sc_cursor_le64(in);
    f->window_ms = sc_cursor_le64(in);
    f->window_s = sc_cursor_le32(in);
    f->begin_ms = sc_cursor_le64(in);
    f->end_ms = sc_cursor_le64(in);
    size_t length = sc_cursor_u8(in);
    const uint8_t *name = sc_cursor_take(in, length);
    if (name == NULL)
        return false;
    memcpy(f->name, name, length);
    f->name[length] = '\0';
    return strlen(f->name) == length && strchr(f->name, '/') == NULL;
}

/* Behind the head. */
static enum sc_status take_files(struct sc_cursor *in, struct sc_day *out)
{
    out->damaged_files = sc_cursor_le32(in);
    out->damaged_bytes = sc_cursor_le64(in);
    uint32_t count = sc_cursor_le32(in);
    while (out->count < count) {
        if (!sc_array_more(out->files, out->count, 1))
            return SC_NOMEM;
        if (!take_file(in, &out->files[out->count]))
            return SC_NOTFOUND;
        out->count++;
    }
    return in->failed || sc_cursor_left(in) != 0 ? SC_NOTFOUND : SC_OK;
}

static enum sc_status parse(const uint8_t *bytes, size_t length, const struct stat *st, struct sc_day *out)
{
    if (length < HEAD_BYTES + 8 || sc_load_le64(bytes + length - 8) != XXH3_64bits(bytes, length - 8))
        return SC_NOTFOUND;
    struct sc_cursor in = {.data = bytes, .len = length - 8};
    return take_head(&in, st) ? take_files(&in, out) : SC_NOTFOUND;
}

/* All of a file that is no larger than anything we write. */
static enum sc_status read_all(const char *path, struct sc_buf *out)
{
    struct stat st;
    size_t got = 0;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > MOST_BYTES)
        return SC_NOTFOUND;
    uint8_t *to = sc_buf_reserve(out, (size_t)st.st_size + 1);
    if (to == NULL)
        return SC_NOMEM;
    if (sc_io_read_file(path, to, (size_t)st.st_size + 1, &got, NULL) != SC_OK)
        return SC_NOTFOUND;
    out->len = got;
    return SC_OK;
}

enum sc_status sc_day_read(const char *folder, const struct stat *st, struct sc_day *out)
{
    char path[PATH_MAX];
    struct sc_buf bytes = {0};
    *out = (struct sc_day){0};
    if (!sc_day_is_known(folder, st) || !sc_day_path(folder, path))
        return SC_NOTFOUND;
    enum sc_status status = read_all(path, &bytes);
    if (status == SC_OK)
        status = parse(bytes.data, bytes.len, st, out);
    sc_buf_free(&bytes);
    if (status != SC_OK)
        sc_day_free(out);
    return status;
}

bool sc_day_is_known(const char *folder, const struct stat *st)
{
    char path[PATH_MAX];
    uint8_t head[HEAD_BYTES];
    size_t got = 0;
    if (!sc_day_path(folder, path) || sc_io_read_file(path, head, sizeof(head), &got, NULL) != SC_OK)
        return false;
    struct sc_cursor in = {.data = head, .len = got};
    return take_head(&in, st);
}

static void put_file(struct sc_buf *out, const struct sc_day_file *f)
{
    size_t length = strlen(f->name);
    sc_buf_append_u8(out, f->tally);
    sc_buf_append_le64(out, f->bytes);
    sc_buf_append_le64(out, f->window_ms);
    sc_buf_append_le32(out, f->window_s);
    sc_buf_append_le64(out, f->begin_ms);
    sc_buf_append_le64(out, f->end_ms);
    sc_buf_append_u8(out, (uint8_t)length);
    sc_buf_append(out, f->name, length);
}

static enum sc_status write_bytes(const char *path, const struct sc_buf *bytes, struct sc_io *io,
                                  struct sc_error *err)
{
    struct sc_io_names names;
    if (!sc_buf_ok(bytes))
        return sc_fail_nomem(err, path);
    if (!sc_io_name_beside(path, "", &names))
        return sc_fail(err, SC_IO, "%s: the path is too long", path);
    int code = sc_io_make_folders(io, names.folder, strlen(names.folder));
    return code != 0 ? sc_fail_errno(err, -code, "cannot make %s", names.folder)
                     : sc_io_replace_unsynced(io, path, bytes->data, bytes->len, err);
}

enum sc_status sc_day_write(const char *folder, const struct sc_day *day, struct sc_io *io,
                            struct sc_error *err)
{
    char path[PATH_MAX];
    struct sc_buf out = {0};
    if (!sc_day_path(folder, path))
        return sc_fail(err, SC_NOTFOUND, "%s is no folder of a day", folder);
    sc_buf_append_le64(&out, MAGIC);
    sc_buf_append_le64(&out, day->inode);
    sc_buf_append_le64(&out, day->changed_ns);
    sc_buf_append_le32(&out, day->damaged_files);
    sc_buf_append_le64(&out, day->damaged_bytes);
    sc_buf_append_le32(&out, day->count);
    for (uint32_t i = 0; i < day->count; i++)
        put_file(&out, &day->files[i]);
    if (sc_buf_ok(&out))
        sc_buf_append_le64(&out, XXH3_64bits(out.data, out.len));
    enum sc_status status = write_bytes(path, &out, io == NULL ? sc_io_system() : io, err);
    sc_buf_free(&out);
    return status;
}
