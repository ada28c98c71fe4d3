// SPDX-License-Identifier: BSD-3-Clause
/*
 * A struct sc_io that fails on demand: one operation, or all from one on, or the whole machine stops there. It
 * remembers what was made durable and what was not, so that a stop can lose the rest: bytes written since the last
 * datasync of a file, names changed since the last sync_dir of their folder.
 */
#ifndef TESTS_FAULT_IO_H
#define TESTS_FAULT_IO_H

#include "store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

enum fault {
    FAULT_NONE,
    FAULT_EIO,    /* operation n fails once */
    FAULT_TWICE,  /* and the one after it; a little later the machine stops */
    FAULT_ENOSPC, /* operation n fails once */
    FAULT_SHORT,  /* a write writes half of it and says so; other operations pass */
    FAULT_TORN,   /* a write writes half of it and fails; other operations fail */
    FAULT_DROP, /* a datasync fails and what it should have written is gone, or zeros; other operations fail */
    FAULT_FULL,      /* from n on there is no space: nothing can be created or written */
    FAULT_STOP,      /* operation n is the last that does not take place */
    FAULT_STOP_TORN, /* likewise, but half of a write takes place */
    FAULT_KINDS
};

/* What a stop takes along. */
enum loss {
    LOSS_NONE,  /* the process died, the system did not */
    LOSS_BYTES, /* bytes that were not synced */
    LOSS_ZEROS, /* likewise, but the files keep their length */
    LOSS_NAMES, /* names that were not synced; bytes stay */
    LOSS_ALL,
    LOSS_UNORDERED, /* likewise, but what was unlinked stays away */
    LOSS_SOME,      /* some of the bytes, the last few of the names */
    LOSS_KINDS
};

enum { FAULT_FILES = 256, FAULT_CHANGES = 512 };

struct fault_file {
    char path[256];
    int fd; /* -1 when closed */
    bool there;
    uint64_t size, synced;
    /* Opened to be read and written in place: not the one that knows the name and what of it is synced. */
    bool in_place;
    char before
        [4096]; /* the bytes that were written over since the last datasync, as far as they were there */
    uint64_t before_at;
    size_t before_count;
};

enum change_kind { CHANGE_CREATE, CHANGE_RENAME, CHANGE_LINK, CHANGE_UNLINK, CHANGE_MKDIR };

struct change {
    enum change_kind kind;
    bool durable;
    char path[256]; /* what it made, or took away */
    char from[256]; /* rename */
    int grave;      /* number of the saved file that it replaced or took away; 0 when none */
};

struct fault_io {
    struct sc_io io;
    pthread_mutex_t mutex;
    enum fault fault;
    uint64_t at; /* the operation that fails */
    uint64_t count;
    bool full; /* all the time: nothing can be created or written, but over what is there */
    bool hit;
    bool stopped;
    char graves[64]; /* a folder outside of the store */
    int grave_count;
    struct fault_file files[FAULT_FILES];
    uint32_t file_count;
    struct change changes[FAULT_CHANGES];
    uint32_t change_count;
};

static inline struct fault_io *fault_of(struct sc_io *io)
{
    return (struct fault_io *)io;
}

/* ---- whether this operation fails ---- */

enum verdict { PASS, FAIL_EIO, FAIL_ENOSPC, HALF, HALF_FAIL, DROP };

static inline bool needs_space(const char *operation)
{
    return strcmp(operation, "write") == 0 || strcmp(operation, "create") == 0 ||
           strcmp(operation, "mkdir") == 0;
}

static inline enum verdict judge(struct fault_io *f, const char *operation)
{
    uint64_t n = f->count++;
    bool write = strcmp(operation, "write") == 0 || strcmp(operation, "overwrite") == 0;
    if (f->stopped)
        return FAIL_EIO;
    if (f->fault == FAULT_FULL && n >= f->at) {
        f->hit = f->hit || needs_space(operation);
        return needs_space(operation) ? FAIL_ENOSPC : PASS;
    }
    if (f->fault == FAULT_TWICE && n == f->at + 9) {
        f->stopped = true;
        return FAIL_EIO;
    }
    bool now = n == f->at || (f->fault == FAULT_TWICE && n == f->at + 1);
    if (f->fault == FAULT_NONE || !now)
        return f->full && needs_space(operation) ? FAIL_ENOSPC : PASS;
    f->hit = true;
    f->stopped = f->fault == FAULT_STOP || f->fault == FAULT_STOP_TORN;
    switch (f->fault) {
    case FAULT_ENOSPC:
        return FAIL_ENOSPC;
    case FAULT_SHORT:
        return write ? HALF : PASS;
    case FAULT_TORN:
    case FAULT_STOP_TORN:
        return write ? HALF_FAIL : FAIL_EIO;
    case FAULT_DROP:
        return strcmp(operation, "datasync") == 0 ? DROP : FAIL_EIO;
    default:
        return FAIL_EIO;
    }
}

static inline int error_of(enum verdict v)
{
    return v == FAIL_ENOSPC ? -ENOSPC : -EIO;
}

static inline struct fault_file *file_at(struct fault_io *f, const char *path)
{
    for (uint32_t i = 0; i < f->file_count; i++) {
        if (f->files[i].there && strcmp(f->files[i].path, path) == 0)
            return &f->files[i];
    }
    return NULL;
}

static inline struct change *note_change(struct fault_io *f, enum change_kind kind, const char *path)
{
    assert_true(f->change_count < FAULT_CHANGES);
    struct change *c = &f->changes[f->change_count++];
    *c = (struct change){.kind = kind};
    snprintf(c->path, sizeof(c->path), "%s", path);
    return c;
}

/* Saves a file that is about to lose its name, so that the change can be undone. */
static inline int bury(struct fault_io *f, const char *path)
{
    char grave[128];
    snprintf(grave, sizeof(grave), "%s/%d", f->graves, f->grave_count + 1);
    return link(path, grave) == 0 ? ++f->grave_count : 0;
}

/* ---- the operations ---- */

static int fault_create(struct sc_io *io, const char *path)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    enum verdict v = judge(f, "create");
    int result =
        v == PASS || v == HALF ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640) : -2;
    int error = errno;
    if (result >= 0) {
        assert_true(f->file_count < FAULT_FILES);
        struct fault_file *file = &f->files[f->file_count++];
        *file = (struct fault_file){.fd = result, .there = true};
        snprintf(file->path, sizeof(file->path), "%s", path);
        note_change(f, CHANGE_CREATE, path);
    }
    pthread_mutex_unlock(&f->mutex);
    return result >= 0 ? result : result == -2 ? error_of(v) : -error;
}

static struct fault_file *file_of_fd(struct fault_io *f, int fd)
{
    for (uint32_t i = 0; i < f->file_count; i++) {
        if (f->files[i].fd == fd)
            return &f->files[i];
    }
    fail_msg("handle %d is not open", fd);
    return NULL;
}

static ssize_t fault_write(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    struct fault_file *file = file_of_fd(f, handle);
    enum verdict v = judge(f, "write");
    size_t n = v == PASS ? count : v == HALF || v == HALF_FAIL ? (count + 1) / 2 : 0;
    if (n != 0)
        assert_int_equal(write(handle, bytes, n), n);
    file->size += n;
    pthread_mutex_unlock(&f->mutex);
    return v == PASS || v == HALF ? (ssize_t)n : error_of(v);
}

/* What a datasync that fails should have written is zeros. */
static void settle_over(struct fault_file *file, int handle, enum verdict v)
{
    static const char zeros[sizeof(file->before)];
    if (v == DROP && file->before_count != 0)
        assert_int_equal(pwrite(handle, zeros, file->before_count, (off_t)file->before_at),
                         file->before_count);
    if (v == DROP || v == PASS)
        file->before_count = 0;
}

static int fault_datasync(struct sc_io *io, int handle)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    struct fault_file *file = file_of_fd(f, handle);
    enum verdict v = judge(f, "datasync");
    if (v == PASS)
        file->synced = file->size;
    if (file->in_place)
        settle_over(file, handle, v);
    else if (v == DROP) {
        file->size = file->synced;
        assert_int_equal(ftruncate(handle, (off_t)file->size), 0);
    }
    pthread_mutex_unlock(&f->mutex);
    return v == PASS ? 0 : error_of(v);
}

static int fault_close(struct sc_io *io, int handle)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    file_of_fd(f, handle)->fd = -1;
    enum verdict v = judge(f, "close");
    close(handle);
    pthread_mutex_unlock(&f->mutex);
    return v == PASS || v == HALF ? 0 : error_of(v);
}

static int fault_truncate(struct sc_io *io, int handle, uint64_t size)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    struct fault_file *file = file_of_fd(f, handle);
    enum verdict v = judge(f, "truncate");
    int result = v == PASS || v == HALF ? 0 : error_of(v);
    if (result == 0) {
        assert_int_equal(ftruncate(handle, (off_t)size), 0);
        file->size = size;
        file->synced = file->synced < size ? file->synced : size;
    }
    pthread_mutex_unlock(&f->mutex);
    return result;
}

/* ---- in place ---- */

static struct fault_file *free_place(struct fault_io *f)
{
    for (uint32_t i = 0; i < f->file_count; i++) {
        if (f->files[i].in_place && f->files[i].fd < 0)
            return &f->files[i];
    }
    assert_true(f->file_count < FAULT_FILES);
    return &f->files[f->file_count++];
}

static int fault_open(struct sc_io *io, const char *path, bool make)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    bool makes = make && access(path, F_OK) != 0;
    enum verdict v = judge(f, makes ? "create" : "open");
    int result = v == PASS || v == HALF ? 0 : error_of(v);
    if (result == 0) {
        result = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0640);
        result = result < 0 ? -errno : result;
    }
    if (result >= 0) {
        struct fault_file *file = free_place(f);
        *file = (struct fault_file){.fd = result, .in_place = true};
        snprintf(file->path, sizeof(file->path), "%s", path);
        if (makes)
            note_change(f, CHANGE_CREATE, path);
    }
    pthread_mutex_unlock(&f->mutex);
    return result;
}

static int fault_lock(struct sc_io *io, int handle)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    enum verdict v = judge(f, "lock");
    int result = v == PASS || v == HALF ? sc_io_system()->ops->lock(io, handle) : error_of(v);
    pthread_mutex_unlock(&f->mutex);
    return result;
}

static ssize_t fault_read_at(struct sc_io *io, int handle, uint64_t at, void *bytes, size_t count)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    file_of_fd(f, handle);
    enum verdict v = judge(f, "read");
    ssize_t n = v == PASS || v == HALF ? pread(handle, bytes, count, (off_t)at) : error_of(v);
    pthread_mutex_unlock(&f->mutex);
    return n;
}

/* What fails leaves the old bytes, or one half or the other of the new ones. */
static ssize_t fault_write_at(struct sc_io *io, int handle, uint64_t at, const void *bytes, size_t count)
{
    struct fault_io *f = fault_of(io);
    char before[sizeof(f->files[0].before)];
    pthread_mutex_lock(&f->mutex);
    struct fault_file *file = file_of_fd(f, handle);
    assert_true(file->in_place && count <= sizeof(before));
    struct stat st;
    assert_int_equal(fstat(handle, &st), 0);
    size_t there = (size_t)pread(handle, before, count, (off_t)at);
    enum verdict v = judge(f, st.st_size == 0 ? "write" : "overwrite"); /* else into a block that is there */
    size_t half = (count + 1) / 2, begin = v == HALF_FAIL && f->at % 2 == 1 ? half : 0;
    size_t end = v == HALF || (v == HALF_FAIL && begin == 0) ? half : count;
    if (v == PASS || v == HALF || v == HALF_FAIL) {
        if (file->before_count == 0) {
            memcpy(file->before, before, there);
            file->before_at = at;
            file->before_count = there;
        }
        assert_int_equal(pwrite(handle, (const char *)bytes + begin, end - begin, (off_t)(at + begin)),
                         end - begin);
    }
    pthread_mutex_unlock(&f->mutex);
    return v == PASS || v == HALF ? (ssize_t)(end - begin) : error_of(v);
}

/* What was written over is gone. */
static void forget_over(struct fault_io *f, const char *path)
{
    for (uint32_t i = 0; i < f->file_count; i++) {
        if (f->files[i].in_place && strcmp(f->files[i].path, path) == 0)
            f->files[i].before_count = 0;
    }
}

static int fault_rename(struct sc_io *io, const char *from, const char *to)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    enum verdict v = judge(f, "rename");
    int result = v == PASS || v == HALF ? 0 : error_of(v);
    int grave = result == 0 ? bury(f, to) : 0;
    if (result == 0 && rename(from, to) != 0)
        result = -errno;
    if (result == 0) {
        forget_over(f, to);
        struct fault_file *old = file_at(f, to), *file = file_at(f, from);
        if (old != NULL)
            old->there = false;
        if (file != NULL)
            snprintf(file->path, sizeof(file->path), "%s", to);
        struct change *c = note_change(f, CHANGE_RENAME, to);
        snprintf(c->from, sizeof(c->from), "%s", from);
        c->grave = grave;
    }
    pthread_mutex_unlock(&f->mutex);
    return result;
}

static int fault_link(struct sc_io *io, const char *from, const char *to)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    enum verdict v = judge(f, "link");
    int result = v == PASS || v == HALF ? 0 : error_of(v);
    if (result == 0 && link(from, to) != 0)
        result = -errno;
    if (result == 0)
        note_change(f, CHANGE_LINK, to);
    pthread_mutex_unlock(&f->mutex);
    return result;
}

static int fault_unlink(struct sc_io *io, const char *path)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    enum verdict v = judge(f, "unlink");
    int result = v == PASS || v == HALF ? 0 : error_of(v);
    int grave = result == 0 ? bury(f, path) : 0;
    if (result == 0 && unlink(path) != 0)
        result = -errno;
    if (result == 0) {
        forget_over(f, path);
        struct fault_file *file = file_at(f, path);
        if (file != NULL)
            file->there = false;
        note_change(f, CHANGE_UNLINK, path)->grave = grave;
    }
    pthread_mutex_unlock(&f->mutex);
    return result;
}

static int fault_mkdir(struct sc_io *io, const char *path)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    enum verdict v = judge(f, "mkdir");
    int result = v == PASS || v == HALF ? 0 : error_of(v);
    if (result == 0 && mkdir(path, 0750) == 0)
        note_change(f, CHANGE_MKDIR, path);
    else if (result == 0 && errno != EEXIST)
        result = -errno;
    pthread_mutex_unlock(&f->mutex);
    return result;
}

static bool lies_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/' &&
           strchr(path + length + 1, '/') == NULL;
}

static int fault_sync_dir(struct sc_io *io, const char *path)
{
    struct fault_io *f = fault_of(io);
    pthread_mutex_lock(&f->mutex);
    enum verdict v = judge(f, "sync_dir");
    int result = v == PASS || v == HALF ? 0 : error_of(v);
    for (uint32_t i = 0; i < f->change_count && result == 0; i++)
        f->changes[i].durable = f->changes[i].durable || lies_in(f->changes[i].path, path);
    pthread_mutex_unlock(&f->mutex);
    return result;
}

/* A look, which never fails. */
static int fault_identify(struct sc_io *io, int handle, const char *path, struct sc_file_id *out)
{
    return sc_io_system()->ops->identify(io, handle, path, out);
}

static const struct sc_io_ops fault_ops = {
    .create = fault_create,
    .write = fault_write,
    .datasync = fault_datasync,
    .close = fault_close,
    .truncate = fault_truncate,
    .open = fault_open,
    .read_at = fault_read_at,
    .write_at = fault_write_at,
    .lock = fault_lock,
    .rename = fault_rename,
    .link = fault_link,
    .unlink = fault_unlink,
    .mkdir = fault_mkdir,
    .sync_dir = fault_sync_dir,
    .identify = fault_identify,
};

static struct fault_io *fault_create_io(enum fault fault, uint64_t at)
{
    struct fault_io *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->io.ops = &fault_ops;
    f->fault = fault;
    f->at = at;
    pthread_mutex_init(&f->mutex, NULL);
    const char *parent = getenv("TMPDIR"); /* as the stores: files are moved there */
    snprintf(f->graves, sizeof(f->graves), "%s/sc-graves-XXXXXX", parent == NULL ? "/tmp" : parent);
    assert_non_null(mkdtemp(f->graves));
    return f;
}

static void fault_free_io(struct fault_io *f)
{
    for (uint32_t i = 0; i < f->file_count; i++)
        assert_int_equal(f->files[i].fd, -1); /* every handle was closed */
    nftw(f->graves, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

/* ---- the loss ---- */

static void lose_bytes(const struct fault_file *file, enum loss loss, uint64_t *seed)
{
    bool zeros = loss == LOSS_ZEROS || (loss == LOSS_SOME && kit_random(seed) % 2 == 0);
    uint64_t keep = file->synced;
    if (loss == LOSS_SOME && !zeros && file->size > file->synced)
        keep += kit_random(seed) % (file->size - file->synced + 1);
    if (!file->there || keep >= file->size)
        return;
    assert_int_equal(truncate(file->path, (off_t)keep), 0);
    if (zeros)
        assert_int_equal(truncate(file->path, (off_t)file->size), 0);
}

static void undo_over(const struct fault_file *file)
{
    int fd = file->before_count == 0 ? -1 : open(file->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    assert_int_equal(pwrite(fd, file->before, file->before_count, (off_t)file->before_at),
                     file->before_count);
    close(fd);
}

static void undo(const struct fault_io *f, const struct change *c)
{
    char grave[128];
    snprintf(grave, sizeof(grave), "%s/%d", f->graves, c->grave);
    switch (c->kind) {
    case CHANGE_CREATE:
    case CHANGE_LINK:
        unlink(c->path);
        break;
    case CHANGE_RENAME:
        rename(c->path, c->from); /* it may have been unlinked since */
        break;
    case CHANGE_UNLINK:
        break;
    case CHANGE_MKDIR: /* with all that is in it */
        nftw(c->path, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        break;
    }
    if (c->grave != 0)
        assert_int_equal(link(grave, c->path), 0);
}

/* A change in a folder that a later undo takes away altogether cannot be undone by itself any more. */
static bool inside_lost_folder(const struct fault_io *f, const char *path)
{
    for (uint32_t i = 0; i < f->change_count; i++) {
        size_t n = strlen(f->changes[i].path);
        if (f->changes[i].kind == CHANGE_MKDIR && !f->changes[i].durable &&
            strncmp(path, f->changes[i].path, n) == 0 && path[n] == '/')
            return true;
    }
    return false;
}

static inline void fault_lose(struct fault_io *f, enum loss loss, uint64_t seed)
{
    bool bytes = loss == LOSS_BYTES || loss == LOSS_ZEROS || loss >= LOSS_ALL;
    for (uint32_t i = 0; i < f->file_count && bytes; i++) {
        undo_over(&f->files[i]);
        lose_bytes(&f->files[i], loss, &seed);
    }
    if (loss < LOSS_NAMES)
        return;
    uint32_t keep = loss == LOSS_SOME ? (uint32_t)(kit_random(&seed) % (f->change_count + 1)) : 0;
    for (uint32_t i = f->change_count; i-- > keep;) {
        const struct change *c = &f->changes[i];
        if (loss == LOSS_UNORDERED && c->kind == CHANGE_UNLINK)
            continue;
        if (!c->durable && (c->kind == CHANGE_MKDIR || !inside_lost_folder(f, c->path)))
            undo(f, c);
    }
}

#endif
