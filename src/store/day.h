// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a day's folder holds, known beforehand: a query over a minute need not open each segment of a year to learn that it has no flow of
 * that minute. One file for each folder of a day,
 *
 *   STORE/.days/YYYYMMDD            of STORE/YYYY/MM/DD; likewise below STORE/.replica/LANE
 *
 * which may be missing, and is of no use once the folder has changed: it says with which inode and time of last change it was
 * listed, and is only made when that time cannot be that of a change to come (store/days.h). Little-endian:
 *
 *   u64 magic "SCDAYS1\0"
 *   u64 inode, u64 time of last change (ns) of the folder
 *   u32 .damaged files, u64 their bytes
 *   u32 files, and for each: u8 kind (0 segment, 1 tally), u64 bytes, u64 window (ms), u32 its length (s), u64 and u64 the least and
 *       greatest time of any flow (ms; whatever of first, last, observation and reception), u8 length of the name, the name
 *   u64 XXH3 of all before
 *
 * A live file may have flows of any time, and one that is damaged is to be looked at, so that it is told: these have all times.
 */
#ifndef SC_STORE_DAY_H
#define SC_STORE_DAY_H

#include "store/io.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define SC_DAYS_FOLDER    ".days"
#define SC_DAY_NAME_BYTES 255u

struct sc_day_file {
    char name[SC_DAY_NAME_BYTES + 1];
    uint64_t bytes, window_ms;
    uint64_t begin_ms, end_ms; /* times of flows, both included */
    uint32_t window_s;
    bool tally;
};

struct sc_day {
    uint64_t inode, changed_ns;
    uint32_t damaged_files;
    uint64_t damaged_bytes;
    struct sc_day_file *files;
    uint32_t count;
};

/* Which times are asked for. */
struct sc_day_bounds {
    uint64_t begin_ms, end_ms; /* the second not included */
};

/* Whether the file's window, or some flow of it, may lie in what is asked for. */
bool sc_day_file_is_wanted(const struct sc_day_file *file, const struct sc_day_bounds *bounds);

/* Of "STORE/YYYY/MM/DD"; false: it is not called so, or the path is too long. */
bool sc_day_path(const char *folder, char out[PATH_MAX]);

uint64_t sc_day_changed_ns(const struct stat *st);

/* What is known of a folder that looks so now. @return SC_OK; SC_NOTFOUND: nothing, as nobody has made it, or the folder has changed;
 * SC_NOMEM. Unless SC_OK *out is empty. */
enum sc_status sc_day_read(const char *folder, const struct stat *st, struct sc_day *out);
/* Whether there is such knowledge, by the first bytes only. */
bool sc_day_is_known(const char *folder, const struct stat *st);
/* Replaces it. @return as of sc_io_replace_unsynced. */
enum sc_status sc_day_write(const char *folder, const struct sc_day *day, struct sc_io *io,
                            struct sc_error *err);
void sc_day_free(struct sc_day *day);

#endif
