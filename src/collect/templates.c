// SPDX-License-Identifier: BSD-3-Clause
#include "collect/templates.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define STATE_NAME   "templates.state"
#define JOURNAL_NAME "templates.journal"
#define VERSION      2u
#define OF_WHOLES    1u                  /* version of lists of whole states */
#define MOST_WHOLE   (UINT64_C(1) << 30) /* bytes of a file of those */
#define READ_BYTES   ((size_t)256 << 10)
#define WRITE_BYTES  ((size_t)1 << 20)
#define PATH_BYTES   4200

static const char magic[8] = {'S', 'C', 'T', 'S', 'T', 'A', 'T', 'E'};

static void set_path(char out[static PATH_BYTES], const char *store, const char *name)
{
    snprintf(out, PATH_BYTES, "%.4096s/%s", store, name);
}

/* ---- on the link ---- */

void sc_templates_begin_state(struct sc_buf *out)
{
    sc_buf_append(out, magic, sizeof(magic));
    sc_buf_append_le32(out, VERSION);
}

bool sc_templates_list(const uint8_t *bytes, size_t length, struct sc_cursor *list)
{
    if (length < SC_TEMPLATES_STATE_BYTES || memcmp(bytes, magic, sizeof(magic)) != 0 ||
        sc_load_le32(bytes + sizeof(magic)) != VERSION)
        return false;
    *list = (struct sc_cursor){.data = bytes, .len = length, .pos = SC_TEMPLATES_STATE_BYTES};
    return true;
}

/* A list of whole states: calls `take` for each. */
static enum sc_status each_whole(const uint8_t *bytes, size_t length, const char *what,
                                 enum sc_status (*take)(void *arg, const uint8_t *state, size_t size,
                                                        struct sc_error *err),
                                 void *arg, struct sc_error *err)
{
    struct sc_cursor in = {.data = bytes, .len = length};
    const uint8_t *head = sc_cursor_take(&in, sizeof(magic)), *state;
    uint32_t version = sc_cursor_le32(&in), left = sc_cursor_le32(&in);
    if (in.failed || memcmp(head, magic, sizeof(magic)) != 0)
        return sc_fail(err, SC_DAMAGED, "%s: not a template state", what);
    if (version != OF_WHOLES)
        return sc_fail(err, SC_UNSUPPORTED, "%s: format %u, this program reads up to %u", what, version,
                       VERSION);
    for (; left != 0; left--) {
        uint32_t size = sc_cursor_le32(&in);
        state = sc_cursor_take(&in, size);
        if (state == NULL)
            return sc_fail(err, SC_DAMAGED, "%s: ends in the middle", what);
        SC_TRY(take(arg, state, size, err));
    }
    return SC_OK;
}

struct merging {
    struct sc_decoder *decoder;
    uint64_t clock_ms, now_ms;
};

static enum sc_status merge_whole(void *arg, const uint8_t *state, size_t size, struct sc_error *err)
{
    const struct merging *m = arg;
    return sc_decoder_merge(m->decoder, state, size, m->clock_ms, m->now_ms, err);
}

/* Where the records end that begin within the next `most` bytes. */
static size_t end_of_share(struct sc_cursor list, size_t most)
{
    const uint8_t *record;
    uint32_t length;
    size_t start = list.pos;
    while (list.pos - start < most && sc_record_next(&list, &record, &length))
        continue;
    return list.failed ? list.len : list.pos;
}

enum sc_status sc_templates_merge(const uint8_t *bytes, size_t length, size_t *at, size_t most,
                                  struct sc_decoder *decoder, uint64_t clock_ms, uint64_t now_ms,
                                  struct sc_error *err)
{
    struct sc_cursor list;
    struct merging m = {.decoder = decoder, .clock_ms = clock_ms, .now_ms = now_ms};
    if (!sc_templates_list(bytes, length, &list))
        return each_whole(bytes, length, "what another collector knows", merge_whole, &m, err);
    list.pos = *at == 0 ? list.pos : *at;
    size_t end = end_of_share(list, most);
    enum sc_status status =
        sc_decoder_merge_records(decoder, bytes + list.pos, end - list.pos, clock_ms, now_ms, err);
    *at = end;
    return status == SC_OK && end < length ? SC_AGAIN : status;
}

/* ---- frames ---- */

static uint32_t check_of(uint32_t length, uint64_t salt)
{
    return (uint32_t)sc_hash_bytes(&length, sizeof(length), salt);
}

void sc_templates_put_head(struct sc_buf *out, uint64_t salt)
{
    sc_templates_begin_state(out);
    sc_buf_append_le32(out, 0);
    sc_buf_append_le64(out, salt);
}

void sc_templates_put_frame(struct sc_buf *out, uint64_t salt, const uint8_t *record, size_t length)
{
    sc_buf_append_le32(out, (uint32_t)length);
    sc_buf_append_le32(out, check_of((uint32_t)length, salt));
    sc_buf_append_le64(out, sc_hash_bytes(record, length, salt));
    sc_buf_append(out, record, length);
}

/* ---- reading ---- */

struct reader {
    FILE *file;
    const char *path;
    struct sc_buf bytes; /* what was read and not yet taken, from `pos` on */
    size_t pos;
    uint64_t salt;
    uint64_t damaged;
    bool searching; /* for a frame: the damage is counted */
};

static size_t left(const struct reader *r)
{
    return r->bytes.len - r->pos;
}

/* So that `need` bytes are there. SC_END: the file has no more. */
static enum sc_status fill(struct reader *r, size_t need, struct sc_error *err)
{
    if (left(r) >= need)
        return SC_OK;
    if (r->pos != 0)
        memmove(r->bytes.data, r->bytes.data + r->pos, left(r));
    r->bytes.len = left(r);
    r->pos = 0;
    size_t most = need - r->bytes.len > READ_BYTES ? need - r->bytes.len : READ_BYTES;
    uint8_t *place = sc_buf_reserve(&r->bytes, most);
    if (place == NULL)
        return sc_fail_nomem(err, r->path);
    r->bytes.len += fread(place, 1, most, r->file);
    if (ferror(r->file))
        return sc_fail_errno(err, EIO, "cannot read %s", r->path);
    return left(r) >= need ? SC_OK : SC_END;
}

static void skip(struct reader *r, size_t count, bool damaged)
{
    r->damaged += damaged && !r->searching;
    r->searching = damaged;
    r->pos += count;
}

/* The next whole frame's record; it is borrowed until the next call. SC_END: there is none. */
static enum sc_status next_frame(struct reader *r, const uint8_t **record, uint32_t *length,
                                 struct sc_error *err)
{
    enum sc_status status;
    while ((status = fill(r, SC_TEMPLATES_FRAME_BYTES, err)) == SC_OK) {
        const uint8_t *frame = r->bytes.data + r->pos;
        *length = sc_load_le32(frame);
        if (*length > SC_RECORD_MAX || sc_load_le32(frame + 4) != check_of(*length, r->salt)) {
            skip(r, 1, true);
            continue;
        }
        status = fill(r, SC_TEMPLATES_FRAME_BYTES + *length, err);
        if (status != SC_OK)
            break;
        frame = r->bytes.data + r->pos;
        *record = frame + SC_TEMPLATES_FRAME_BYTES;
        bool whole = sc_hash_bytes(*record, *length, r->salt) == sc_load_le64(frame + 8);
        skip(r, SC_TEMPLATES_FRAME_BYTES + *length, !whole);
        r->searching = false;
        if (whole)
            return SC_OK;
    }
    if (status == SC_END)
        skip(r, left(r), left(r) != 0);
    return status;
}

static enum sc_status put_record(struct sc_roll *roll, const uint8_t *record, size_t length)
{
    struct sc_record_head head;
    bool news;
    enum sc_status status = sc_record_head(record, length, &head);
    if (status == SC_OK && head.bare)
        sc_roll_forget(roll, &head);
    else if (status == SC_OK)
        status = sc_roll_put(roll, record, length, roll->number + 1, &news);
    roll->number++;
    return status == SC_NOMEM ? SC_NOMEM : SC_OK; /* what is of a newer program is left alone */
}

static enum sc_status read_frames(struct reader *r, struct sc_roll *roll, struct sc_error *err)
{
    const uint8_t *record;
    uint32_t length;
    enum sc_status status;
    r->salt = sc_load_le64(r->bytes.data + r->pos + SC_TEMPLATES_HEAD_BYTES - 8);
    r->pos += SC_TEMPLATES_HEAD_BYTES;
    while ((status = next_frame(r, &record, &length, err)) == SC_OK) {
        if (put_record(roll, record, length) == SC_NOMEM)
            return sc_fail_nomem(err, r->path);
    }
    return status == SC_END ? SC_OK : status;
}

/* ---- files of version 1 ---- */

struct loading {
    struct sc_decoder *decoder;
    uint64_t now_ms;
};

static enum sc_status load_whole(void *arg, const uint8_t *state, size_t size, struct sc_error *err)
{
    const struct loading *l = arg;
    return sc_decoder_load(l->decoder, state, size, l->now_ms, err);
}

static enum sc_status put_all(struct sc_roll *roll, struct sc_decoder *decoder, struct sc_error *err)
{
    struct sc_buf list = {0};
    const uint8_t *record;
    uint32_t length;
    enum sc_status status = sc_decoder_save(decoder, &list, err);
    struct sc_cursor in = {.data = list.data, .len = list.len};
    while (status == SC_OK && sc_record_next(&in, &record, &length)) {
        if (put_record(roll, record, length) == SC_NOMEM)
            status = sc_fail_nomem(err, "the saved templates");
    }
    sc_buf_free(&list);
    return status;
}

static enum sc_status read_wholes(struct reader *r, const struct sc_decoder_limits *limits, uint64_t now_ms,
                                  struct sc_roll *roll, struct sc_error *err)
{
    struct sc_decoder_limits wide = *limits;
    struct sc_budget budget = {.limit = SIZE_MAX};
    wide.budget = &budget; /* who has room is decided where the records go */
    wide.share_bytes = UINT64_MAX;
    enum sc_status status = SC_OK;
    while (status == SC_OK && r->bytes.len < MOST_WHOLE)
        status = fill(r, left(r) + READ_BYTES, err);
    if (status != SC_END)
        return status == SC_OK ? sc_fail(err, SC_DAMAGED, "%s: no such file of ours", r->path) : status;
    struct loading l = {.decoder = sc_decoder_create(&wide, err), .now_ms = now_ms};
    status =
        l.decoder == NULL ? SC_NOMEM : each_whole(r->bytes.data, r->bytes.len, r->path, load_whole, &l, err);
    if (l.decoder != NULL) {
        enum sc_status put = put_all(roll, l.decoder, err);
        status = status == SC_OK ? put : status;
    }
    sc_decoder_free(l.decoder);
    return status;
}

/* ---- a store's files ---- */

/* A file that is shorter than its head was being begun. */
static enum sc_status read_opened(struct reader *r, const struct sc_decoder_limits *limits, uint64_t now_ms,
                                  struct sc_roll *roll, struct sc_error *err)
{
    enum sc_status status = fill(r, SC_TEMPLATES_HEAD_BYTES, err);
    uint32_t version =
        left(r) < SC_TEMPLATES_STATE_BYTES ? VERSION : sc_load_le32(r->bytes.data + sizeof(magic));
    if (version == OF_WHOLES)
        return read_wholes(r, limits, now_ms, roll, err);
    if (status != SC_OK)
        return status == SC_END ? sc_fail(err, SC_DAMAGED, "%s: ends in the middle", r->path) : status;
    if (memcmp(r->bytes.data, magic, sizeof(magic)) != 0)
        return sc_fail(err, SC_DAMAGED, "%s: not a template state", r->path);
    if (version != VERSION)
        return sc_fail(err, SC_UNSUPPORTED, "%s: format %u, this program reads up to %u", r->path, version,
                       VERSION);
    return read_frames(r, roll, err);
}

static enum sc_status read_file(const char *path, const struct sc_decoder_limits *limits, uint64_t now_ms,
                                struct sc_roll *roll, uint64_t *bytes, uint64_t *damaged,
                                struct sc_error *err)
{
    struct reader r = {.path = path, .file = fopen(path, "rbe")};
    struct stat info;
    *bytes = 0;
    if (r.file == NULL)
        return errno == ENOENT ? SC_OK : sc_fail_errno(err, errno, "cannot open %s", path);
    enum sc_status status = SC_OK;
    if (fstat(fileno(r.file), &info) != 0 || !S_ISREG(info.st_mode)) {
        status = sc_fail(err, SC_DAMAGED, "%s: no such file of ours", path);
    } else {
        *bytes = (uint64_t)info.st_size;
        status = read_opened(&r, limits, now_ms, roll, err);
    }
    fclose(r.file);
    sc_buf_free(&r.bytes);
    *damaged += r.damaged;
    return status;
}

enum sc_status sc_templates_read(const char *store, const struct sc_decoder_limits *limits, uint64_t now_ms,
                                 struct sc_roll *roll, struct sc_templates_read *found, struct sc_error *err)
{
    char path[PATH_BYTES];
    struct sc_error second;
    *found = (struct sc_templates_read){0};
    set_path(path, store, STATE_NAME);
    enum sc_status first = read_file(path, limits, now_ms, roll, &found->state_bytes, &found->damaged, err);
    set_path(path, store, JOURNAL_NAME);
    enum sc_status status =
        read_file(path, limits, now_ms, roll, &found->journal_bytes, &found->damaged, &second);
    if (first == SC_OK && status != SC_OK && err != NULL)
        *err = second;
    return first == SC_OK ? status : first;
}

/* ---- writing ---- */

static int flush(struct sc_io *io, int handle, struct sc_buf *out, uint64_t *bytes)
{
    if (!sc_buf_ok(out))
        return -ENOMEM;
    int result = sc_io_write_all(io, handle, out->data, out->len);
    *bytes += out->len;
    sc_buf_clear(out);
    return result;
}

struct writing {
    const struct sc_roll *roll;
    uint64_t now_ms;
    uint64_t bytes;
};

static int write_roll(void *arg, struct sc_io *io, int handle)
{
    struct writing *w = arg;
    struct sc_buf out = {0};
    uint64_t salt = sc_hash_draw_seed();
    int result = 0;
    sc_templates_put_head(&out, salt);
    for (const struct sc_roll_entry *e = sc_roll_after(w->roll, 0); e != NULL && result == 0;
         e = sc_roll_after(w->roll, e->number)) {
        if (e->head.outlived_ms > w->now_ms)
            sc_templates_put_frame(&out, salt, e->record, e->length);
        if (out.len >= WRITE_BYTES || !sc_buf_ok(&out))
            result = flush(io, handle, &out, &w->bytes);
    }
    if (result == 0)
        result = flush(io, handle, &out, &w->bytes);
    sc_buf_free(&out);
    return result;
}

enum sc_status sc_templates_replace(const char *store, const struct sc_roll *roll, uint64_t now_ms,
                                    struct sc_io *io, uint64_t *bytes, struct sc_error *err)
{
    char path[PATH_BYTES];
    struct writing w = {.roll = roll, .now_ms = now_ms};
    set_path(path, store, STATE_NAME);
    enum sc_status status = sc_io_replace_by(io, path, write_roll, &w, err);
    *bytes = w.bytes;
    return status;
}

enum sc_status sc_templates_begin_journal(const char *store, uint64_t salt, struct sc_io *io, int *handle,
                                          struct sc_error *err)
{
    char path[PATH_BYTES];
    uint8_t head[SC_TEMPLATES_HEAD_BYTES];
    struct sc_buf out = {.data = head, .cap = sizeof(head)};
    set_path(path, store, JOURNAL_NAME);
    sc_templates_put_head(&out, salt);
    io->ops->unlink(io, path);
    *handle = io->ops->create(io, path);
    if (*handle < 0)
        return sc_fail_errno(err, -*handle, "cannot create %s", path);
    int result = sc_io_write_all(io, *handle, head, sizeof(head));
    if (result == 0)
        result = io->ops->datasync(io, *handle);
    if (result == 0)
        result = io->ops->sync_dir(io, store);
    if (result == 0)
        return SC_OK;
    io->ops->close(io, *handle);
    *handle = -1;
    return sc_fail_errno(err, -result, "cannot write %s", path);
}
