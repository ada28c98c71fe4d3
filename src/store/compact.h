// SPDX-License-Identifier: BSD-3-Clause
/*
 * Compaction: sealed files of a window become one, by the one merger, in less room: batches that stand in several are kept once, row
 * groups are filled, older formats become the one that is asked for, and integers are packed as small as they go, which costs reading.
 * Beside a running collector and readers, in the store and in what it holds for other lanes. Windows with live files are left alone,
 * and those with damage, which is repair's.
 *
 * The new file gets its name when it is durable and was read back; only then the old ones go. Whatever stops in between, each batch is
 * there once or more, and counted once. Should an old file be gone by then, as its window expired, the new one goes, too.
 */
#ifndef SC_STORE_COMPACT_H
#define SC_STORE_COMPACT_H

#include "store/io.h"

struct sc_compacted {
    uint64_t window_ms;
    const char *folder;     /* that the files are in */
    uint32_t files;         /* that there were */
    uint64_t before, after; /* bytes; after is 0 with dry_run, or where it is left as it is */
    const char *left;       /* why it is; NULL: it is not */
};

struct sc_compact_options {
    uint16_t format; /* that all is to have; 0: the newest */
    bool quick;      /* not packed, as a seal makes files */
    bool dry_run;
    uint64_t bytes_per_s;       /* of files that are read; 0: as quickly as it goes */
    const volatile int *cancel; /* looked at between row groups; may be NULL */
    struct sc_io *io;           /* NULL: the system's */
    void (*tell)(
        void *arg,
        const struct sc_compacted *one); /* after each window that has something to do; may be NULL */
    void *arg;
};

struct sc_compaction {
    uint64_t windows; /* that there are, of each lane */
    uint64_t compacted, left;
    uint64_t files_before, files_after, bytes_before,
        bytes_after; /* of those that were compacted, or would be */
};

/*
 * Of a store or a part of one. One at a time: another one has SC_TAKEN. @return SC_OK, also when windows were left as they are; SC_NOTFOUND, SC_IO,
 * SC_FULL, SC_NOMEM, SC_CANCELLED: what was done until then is in *out, and stays.
 */
enum sc_status sc_store_compact(const char *path, const struct sc_compact_options *options,
                                struct sc_compaction *out, struct sc_error *err);

#endif
