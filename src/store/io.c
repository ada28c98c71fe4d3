// SPDX-License-Identifier: BSD-3-Clause
#include "store/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_create(struct sc_io *io, const char *path)
{
    (void)io;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : fd;
}

static ssize_t system_write(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    (void)io;
    ssize_t n;
    do {
        n = write(handle, bytes, count);
    } while (n < 0 && errno == EINTR);
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
    return mkdir(path, 0750) != 0 && errno != EEXIST ? -errno : 0;
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

static const struct sc_io_ops system_ops = {
    .create = system_create,
    .write = system_write,
    .datasync = system_datasync,
    .close = system_close,
    .rename = system_rename,
    .link = system_link,
    .unlink = system_unlink,
    .mkdir = system_mkdir,
    .sync_dir = system_sync_dir,
};

struct sc_io *sc_io_system(void)
{
    static const struct sc_io system_io = {&system_ops};
    return (struct sc_io *)&system_io; /* its functions do not write to it */
}

int sc_io_write_all(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    const char *p = bytes;
    while (count > 0) {
        ssize_t n = io->ops->write(io, handle, p, count);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -EIO;
        p += n;
        count -= (size_t)n;
    }
    return 0;
}
