// SPDX-License-Identifier: BSD-3-Clause
#include "store/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- whose a new file is ---- */

#define FILE_MODE   0640u
#define FOLDER_MODE 02750u

/* Root works in the store of somebody else: *folder is where the new file lies. */
static bool is_guest(const char *path, struct stat *folder)
{
    struct sc_io_names names;
    return geteuid() == 0 && sc_io_name_beside(path, "", &names) && stat(names.folder, folder) == 0 &&
           (folder->st_uid != 0 || folder->st_gid != 0);
}

/* What root makes belongs to whom its folder belongs, or the collector could not read it; it is no more open than that folder, and than
 * what a collector makes, whatever root's umask. Only what was made here, by its descriptor: a name may be another file by then. */
static int hand_over(int fd, const char *path, mode_t most)
{
    struct stat folder;
    if (!is_guest(path, &folder))
        return 0;
    return fchown(fd, folder.st_uid, folder.st_gid) != 0 || fchmod(fd, folder.st_mode & most) != 0 ? -errno
                                                                                                   : 0;
}

/* A file that its owner could not use is none. */
static int made(int fd, const char *path)
{
    if (fd < 0)
        return -errno;
    int result = hand_over(fd, path, FILE_MODE);
    if (result == 0)
        return fd;
    close(fd);
    unlink(path);
    return result;
}

static int hand_over_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 ? -errno : hand_over(fd, path, FOLDER_MODE);
    if (fd >= 0)
        close(fd);
    if (result != 0)
        rmdir(path);
    return result;
}

/* ---- the system's files ---- */

static int system_create(struct sc_io *io, const char *path)
{
    (void)io;
    return made(open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, FILE_MODE), path);
}

static ssize_t system_write(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    (void)io;
    ssize_t n = TEMP_FAILURE_RETRY(write(handle, bytes, count));
    return n < 0 ? -errno : n;
}

static int system_datasync(struct sc_io *io, int handle)
{
    (void)io;
    return fdatasync(handle) != 0 ? -errno : 0;
}

static int system_close(struct sc_io *io, int handle)
{
    (void)io;
    return close(handle) != 0 ? -errno : 0;
}

static int system_truncate(struct sc_io *io, int handle, uint64_t size)
{
    (void)io;
    return ftruncate(handle, (off_t)size) != 0 ? -errno : 0;
}

static int system_open(struct sc_io *io, const char *path, bool make)
{
    (void)io;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || !make)
        return fd < 0 ? -errno : fd;
    int fresh = made(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE), path);
    return fresh == -EEXIST ? system_open(io, path, false) : fresh; /* somebody was quicker */
}

static ssize_t system_read_at(struct sc_io *io, int handle, uint64_t at, void *bytes, size_t count)
{
    (void)io;
    ssize_t n = TEMP_FAILURE_RETRY(pread(handle, bytes, count, (off_t)at));
    return n < 0 ? -errno : n;
}

static ssize_t system_write_at(struct sc_io *io, int handle, uint64_t at, const void *bytes, size_t count)
{
    (void)io;
    ssize_t n = TEMP_FAILURE_RETRY(pwrite(handle, bytes, count, (off_t)at));
    return n < 0 ? -errno : n;
}

static int system_lock(struct sc_io *io, int handle)
{
    (void)io;
    return flock(handle, LOCK_EX | LOCK_NB) != 0 ? -errno : 0;
}

static int system_rename(struct sc_io *io, const char *from, const char *to)
{
    (void)io;
    return rename(from, to) != 0 ? -errno : 0;
}

static int system_link(struct sc_io *io, const char *from, const char *to)
{
    (void)io;
    return link(from, to) != 0 ? -errno : 0;
}

static int system_unlink(struct sc_io *io, const char *path)
{
    (void)io;
    return unlink(path) != 0 ? -errno : 0;
}

static int system_mkdir(struct sc_io *io, const char *path)
{
    (void)io;
    struct stat folder;
    if (mkdir(path, FOLDER_MODE & 0777u) != 0)
        return errno == EEXIST ? 0 : -errno;
    return is_guest(path, &folder) ? hand_over_folder(path) : 0;
}

static int system_sync_dir(struct sc_io *io, const char *path)
{
    (void)io;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = fsync(fd) != 0 ? -errno : 0;
    close(fd);
    return result;
}

static int system_identify(struct sc_io *io, int handle, const char *path, struct sc_file_id *out)
{
    struct stat st;
    (void)io;
    if ((handle >= 0 ? fstat(handle, &st) : stat(path, &st)) != 0)
        return -errno;
    *out = (struct sc_file_id){st.st_dev, st.st_ino};
    return 0;
}

static const struct sc_io_ops system_ops = {
    .create = system_create,
    .write = system_write,
    .datasync = system_datasync,
    .close = system_close,
    .truncate = system_truncate,
    .open = system_open,
    .read_at = system_read_at,
    .write_at = system_write_at,
    .lock = system_lock,
    .rename = system_rename,
    .link = system_link,
    .unlink = system_unlink,
    .mkdir = system_mkdir,
    .sync_dir = system_sync_dir,
    .identify = system_identify,
};

struct sc_io *sc_io_system(void)
{
    static const struct sc_io system_io = {&system_ops};
    return (struct sc_io *)&system_io; /* its functions do not write to it */
}

int sc_io_write_all(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t n = io->ops->write(io, handle, (const char *)bytes + done, count - done);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        done += (size_t)n;
    }
    return 0;
}

int sc_io_write_all_at(struct sc_io *io, int handle, uint64_t at, const void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t n = io->ops->write_at(io, handle, at + done, (const char *)bytes + done, count - done);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        done += (size_t)n;
    }
    return 0;
}

int sc_io_read_all_at(struct sc_io *io, int handle, uint64_t at, void *bytes, size_t count, size_t *got)
{
    ssize_t n = 1;
    for (*got = 0; *got < count && n > 0; *got += n > 0 ? (size_t)n : 0)
        n = io->ops->read_at(io, handle, at + *got, (char *)bytes + *got, count - *got);
    return n < 0 ? (int)n : 0;
}

bool sc_io_is_at(struct sc_io *io, const struct sc_file_id *id, const char *path)
{
    struct sc_file_id now;
    int result = io->ops->identify(io, -1, path, &now);
    return result == 0 ? sc_file_same(id, &now) : result != -ENOENT && result != -ENOTDIR;
}

enum sc_status sc_io_read_file(const char *path, void *out, size_t most, size_t *got, struct sc_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    if (fd < 0)
        return sc_fail_errno(err, errno == ENOTDIR ? ENOENT : errno, "cannot read %s", path);
    for (*got = 0; *got < most && n > 0; *got += n > 0 ? (size_t)n : 0)
        n = TEMP_FAILURE_RETRY(read(fd, (char *)out + *got, most - *got));
    int failed = n < 0 ? errno : 0;
    close(fd);
    return failed != 0 ? sc_fail_errno(err, failed, "cannot read %s", path) : SC_OK;
}

int sc_io_overwrite(struct sc_io *io, const char *path, uint64_t at, const void *bytes, size_t count)
{
    int handle = io->ops->open(io, path, false);
    if (handle < 0)
        return handle;
    int result = sc_io_write_all_at(io, handle, at, bytes, count);
    if (result == 0)
        result = io->ops->datasync(io, handle);
    io->ops->close(io, handle);
    return result;
}

/* ---- folders ---- */

static int sync_parent(struct sc_io *io, char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return io->ops->sync_dir(io, ".");
    if (slash == path)
        return io->ops->sync_dir(io, "/");
    *slash = '\0';
    int result = io->ops->sync_dir(io, path);
    *slash = '/';
    return result;
}

int sc_io_make_folders(struct sc_io *io, const char *path, size_t known)
{
    char copy[4096];
    struct stat st;
    snprintf(copy, sizeof(copy), "%s", path);
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char saved = *p;
        *p = '\0';
        int result = 0;
        bool missing = stat(copy, &st) != 0;
        if (missing)
            result = io->ops->mkdir(io, copy);
        if (result >= 0 && (missing || (size_t)(p - copy) > known))
            result = sync_parent(io, copy);
        if (result < 0)
            return result;
        *p = saved;
        if (saved == '\0')
            return 0;
    }
}

/* ---- replacing a file ---- */

bool sc_io_name_beside(const char *path, const char *suffix, struct sc_io_names *out)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    int folder =
        snprintf(out->folder, sizeof(out->folder), "%.*s",
                 slash == NULL || slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    int temporary =
        snprintf(out->temporary, sizeof(out->temporary), "%.*s.%s%s", (int)(name - path), path, name, suffix);
    return folder < (int)sizeof(out->folder) && temporary < (int)sizeof(out->temporary);
}

/* What a crash left under this name goes. */
static int create_anew(struct sc_io *io, const char *path)
{
    int handle = io->ops->create(io, path);
    if (handle != -EEXIST)
        return handle;
    int result = io->ops->unlink(io, path);
    return result < 0 && result != -ENOENT ? result : io->ops->create(io, path);
}

static int write_temporary(struct sc_io *io, const char *path, sc_io_fill_fn *fill, void *arg, bool sync)
{
    int handle = create_anew(io, path);
    if (handle < 0)
        return handle;
    int result = fill(arg, io, handle);
    if (result == 0 && sync)
        result = io->ops->datasync(io, handle);
    int closed = io->ops->close(io, handle);
    return result != 0 ? result : closed;
}

static int replace(struct sc_io *io, const struct sc_io_names *names, const char *path, sc_io_fill_fn *fill,
                   void *arg, bool sync)
{
    int result = write_temporary(io, names->temporary, fill, arg, sync);
    if (result == 0)
        result = io->ops->rename(io, names->temporary, path);
    if (result != 0)
        io->ops->unlink(io, names->temporary);
    else if (sync)
        result = io->ops->sync_dir(io, names->folder);
    return result;
}

static enum sc_status replace_or_say(struct sc_io *io, const char *path, sc_io_fill_fn *fill, void *arg,
                                     bool sync, struct sc_error *err)
{
    struct sc_io_names names;
    int result = -ENAMETOOLONG;
    if (sc_io_name_beside(path, ".tmp", &names))
        result = replace(io == NULL ? sc_io_system() : io, &names, path, fill, arg, sync);
    return result == 0 ? SC_OK : sc_fail_errno(err, -result, "cannot write %s", path);
}

enum sc_status sc_io_replace_by(struct sc_io *io, const char *path, sc_io_fill_fn *fill, void *arg,
                                struct sc_error *err)
{
    return replace_or_say(io, path, fill, arg, true, err);
}

struct content {
    const void *bytes;
    size_t length;
};

static int fill_with(void *arg, struct sc_io *io, int handle)
{
    const struct content *c = arg;
    return sc_io_write_all(io, handle, c->bytes, c->length);
}

enum sc_status sc_io_replace(struct sc_io *io, const char *path, const void *bytes, size_t length,
                             struct sc_error *err)
{
    return replace_or_say(io, path, fill_with, &(struct content){bytes, length}, true, err);
}

enum sc_status sc_io_replace_unsynced(struct sc_io *io, const char *path, const void *bytes, size_t length,
                                      struct sc_error *err)
{
    return replace_or_say(io, path, fill_with, &(struct content){bytes, length}, false, err);
}
