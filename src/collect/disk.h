// SPDX-License-Identifier: BSD-3-Clause
/* What is free on a file system. To be looked at by a thread that may wait for the disk, and published with its figures. */
#ifndef SC_COLLECT_DISK_H
#define SC_COLLECT_DISK_H

#include <stdint.h>

struct sc_disk {
    uint64_t free_bytes;
    uint64_t size_bytes; /* 0: not known */
};

/* Stays as it is when the file system does not answer. */
void sc_disk_look(const char *path, struct sc_disk *disk);

#endif
