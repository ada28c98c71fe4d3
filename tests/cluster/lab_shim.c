// SPDX-License-Identifier: BSD-3-Clause
/*
 * Loaded before a collector by the laboratory: in the folder LAB_FAULTS a file "clock" holds the seconds by which the wall clock is
 * off, a file "sync" the milliseconds that each fsync and fdatasync takes. No file, no fault; they may come and go at any time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long read_fault(const char *name)
{
    const char *folder = getenv("LAB_FAULTS");
    char path[4096], text[32] = "";
    snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : "/nonexistent", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

/* Looked at again every 20 ms, since the clock is read often. */
static long clock_fault(void)
{
    static _Thread_local long off;
    static _Thread_local long long next_ns;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    long long ns = now.tv_sec * 1000000000LL + now.tv_nsec;
    if (ns >= next_ns) {
        next_ns = ns + 20000000;
        off = read_fault("clock");
    }
    return off;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, id, out);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        out->tv_sec += clock_fault();
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}

static void linger(void)
{
    long ms = read_fault("sync");
    struct timespec nap = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (ms > 0)
        nanosleep(&nap, NULL);
}

int fsync(int fd)
{
    linger();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    linger();
    return (int)syscall(SYS_fdatasync, fd);
}
