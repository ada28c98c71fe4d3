# SPDX-License-Identifier: BSD-3-Clause
"""A disk that stalls, or is full: a library that is loaded before a collector."""
import subprocess

STALL_S = 60  # at most, whatever becomes of the test

# While STALL_FILE is there: each sync, and with STALL_ALL each reading, writing and removing at a place, too. While FULL_FILE is
# there the disk is full for what is written to the files of an outbox.
SHIM = """
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void stall(const char *wish)
{
    const char *path = getenv("STALL_FILE");
    for (int i = 0; i < %d && wish != NULL && path != NULL && access(path, F_OK) == 0; i++)
        usleep(20000);
}
#define STALLED(type, name, wish, parameters, arguments)                                                     \\
    type name parameters                                                                                     \\
    {                                                                                                        \\
        stall(wish);                                                                                         \\
        return ((type(*) parameters)dlsym(RTLD_NEXT, #name)) arguments;                                      \\
    }
#define ALL getenv("STALL_ALL")
STALLED(int, fsync, "", (int fd), (fd))
STALLED(int, fdatasync, "", (int fd), (fd))
STALLED(int, unlink, ALL, (const char *path), (path))
STALLED(int, ftruncate, ALL, (int fd, off_t size), (fd, size))
STALLED(ssize_t, pread, ALL, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
STALLED(ssize_t, pwrite, ALL, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
static int is_outbox(int fd)
{
    char name[32], path[4096] = "";
    snprintf(name, sizeof(name), "/proc/self/fd/%%d", fd);
    return readlink(name, path, sizeof(path) - 1) > 0 && strstr(path, ".scout") != NULL;
}
ssize_t write(int fd, const void *from, size_t size)
{
    const char *full = getenv("FULL_FILE");
    if (is_outbox(fd)) {
        stall(ALL);
        if (full != NULL && access(full, F_OK) == 0) {
            errno = ENOSPC;
            return -1;
        }
    }
    return ((ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, from, size);
}
""" % (STALL_S * 50)


def environment(folder, stall):
    """For a collector whose disk stalls while the file `stall` is there."""
    source, shim = folder / "stall.c", folder / "stall.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(shim), "STALL_FILE": str(stall)}
