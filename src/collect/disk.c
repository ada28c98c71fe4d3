// SPDX-License-Identifier: BSD-3-Clause
#include "collect/disk.h"

#include <sys/statvfs.h>

void sc_disk_look(const char *path, struct sc_disk *disk)
{
    struct statvfs now;
    if (statvfs(path, &now) != 0)
        return;
    *disk = (struct sc_disk){(uint64_t)now.f_bavail * now.f_frsize, (uint64_t)now.f_blocks * now.f_frsize};
}
