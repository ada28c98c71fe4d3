// SPDX-License-Identifier: BSD-3-Clause
/*
 * What is written under a store, and all of an outbox, goes through this table, so that tests inject short writes, EIO, ENOSPC, a
 * failing fsync and a stop after any single operation. Functions return 0 or a negative errno, sizes where said.
 */
#ifndef SC_STORE_IO_H
#define SC_STORE_IO_H

#include "base/status.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sc_io;

/* Which file it is, whatever its name: for as long as somebody has it open, no other one has the same. */
struct sc_file_id {
    uint64_t device, number;
};

static inline bool sc_file_same(const struct sc_file_id *x, const struct sc_file_id *y)
{
    return x->device == y->device && x->number == y->number;
}

struct sc_io_ops {
    /* New file for writing; -EEXIST when it is there. Returns a handle >= 0. */
    int (*create)(struct sc_io *io, const char *path);
    /* Appends; may write less. Returns bytes written or -errno. */
    ssize_t (*write)(struct sc_io *io, int handle, const void *bytes, size_t count);
    int (*datasync)(struct sc_io *io, int handle);
    int (*close)(struct sc_io *io, int handle);
    int (*truncate)(struct sc_io *io, int handle, uint64_t size);
    /* A file to read and to write in place; `make`: when there is none it is made, else -ENOENT. Returns a handle >= 0. */
    int (*open)(struct sc_io *io, const char *path, bool make);
    /* May read, or write, less. Return bytes, 0 at the end of a file, or -errno. */
    ssize_t (*read_at)(struct sc_io *io, int handle, uint64_t at, void *bytes, size_t count);
    ssize_t (*write_at)(struct sc_io *io, int handle, uint64_t at, const void *bytes, size_t count);
    /* Nobody else may until the handle is closed; -EWOULDBLOCK: somebody does. */
    int (*lock)(struct sc_io *io, int handle);
    int (*rename)(struct sc_io *io, const char *from, const char *to);
    /* A second name for the same file; -EEXIST when it is taken, -EPERM or -EOPNOTSUPP where there are none.
     */
    int (*link)(struct sc_io *io, const char *from, const char *to);
    int (*unlink)(struct sc_io *io, const char *path);
    int (*mkdir)(struct sc_io *io, const char *path); /* 0 also when it is there */
    int (*sync_dir)(struct sc_io *io, const char *path);
    /* Of what a handle has open or, when that is below 0, of what lies at a path. */
    int (*identify)(struct sc_io *io, int handle, const char *path, struct sc_file_id *out);
};

struct sc_io {
    const struct sc_io_ops *ops;
};

/* The operating system's files. What root makes in another's folder is that user's, and no more open than the folder: commands may be
 * run as root on the store of a collector that is not. Constant, any thread. */
struct sc_io *sc_io_system(void);

/* Writes all of `count` bytes, going on after short writes. Returns 0 or -errno; -EIO when nothing moves. */
int sc_io_write_all(struct sc_io *io, int handle, const void *bytes, size_t count);
/* The same in place. */
int sc_io_write_all_at(struct sc_io *io, int handle, uint64_t at, const void *bytes, size_t count);
/* Reads until there are `count` bytes, or no more: *got. Returns 0 or -errno. */
int sc_io_read_all_at(struct sc_io *io, int handle, uint64_t at, void *bytes, size_t count, size_t *got);

/* Whether this file lies at the path. Also true when nobody can tell now: who is told of a loss acts on it. */
bool sc_io_is_at(struct sc_io *io, const struct sc_file_id *id, const char *path);

/* Reads a small file of the system's, or what stands for one (a pipe): at most `most` bytes of it, *got. @return SC_OK, SC_NOTFOUND, SC_IO. */
enum sc_status sc_io_read_file(const char *path, void *out, size_t most, size_t *got, struct sc_error *err);

/* Writes over bytes of a file that is there, and syncs it; this needs no space. -ENOENT: no such file. When it fails, any of these bytes
 * may be the old or the new ones, or others. */
int sc_io_overwrite(struct sc_io *io, const char *path, uint64_t at, const void *bytes, size_t count);

/*
 * Creates each missing folder of a path. The names below its first `known` bytes are synced, also of folders that are there: who made
 * them may have died before. Returns 0 or -errno.
 */
int sc_io_make_folders(struct sc_io *io, const char *path, size_t known);

struct sc_io_names {
    char folder[PATH_MAX];
    char temporary[PATH_MAX]; /* FOLDER/.NAME and a suffix */
};
/* The folder of a file, and what a new one that is to take its place is called. False: the path is too long. */
bool sc_io_name_beside(const char *path, const char *suffix, struct sc_io_names *out);

/*
 * The one way to replace a small file, or to make it: FOLDER/.NAME.tmp is written, synced and renamed to FOLDER/NAME, and the folder
 * is synced. Whatever fails, and wherever the machine stops, the file has its old content or all of the new one; after SC_OK it has
 * the new one for good. When it fails the temporary file is removed; one that a crash left is overwritten by the next call. Of two
 * writers of the same path at the same time one may fail. `io` NULL: the system's.
 * @return SC_OK; SC_FULL, SC_IO, SC_NOTFOUND (no such folder).
 */
enum sc_status sc_io_replace(struct sc_io *io, const char *path, const void *bytes, size_t length,
                             struct sc_error *err);
/* The same of a file that is written piece by piece: `fill` writes all of it, and returns 0 or -errno. */
typedef int sc_io_fill_fn(void *arg, struct sc_io *io, int handle);
enum sc_status sc_io_replace_by(struct sc_io *io, const char *path, sc_io_fill_fn *fill, void *arg,
                                struct sc_error *err);
/* The same without the syncs, for what is told again a second later: safe when the process dies, not when the power fails. */
enum sc_status sc_io_replace_unsynced(struct sc_io *io, const char *path, const void *bytes, size_t length,
                                      struct sc_error *err);

#endif
