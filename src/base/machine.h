// SPDX-License-Identifier: BSD-3-Clause
/* What the machine gives a process. */
#ifndef SC_BASE_MACHINE_H
#define SC_BASE_MACHINE_H

#include <stdint.h>

/*
 * Bytes of memory that this process may have: the machine's, or less where its control group or one above it says so (memory.max of cgroup
 * v2, memory.limit_in_bytes of v1), as in a container. `root`: where /proc and /sys lie, "" but in tests. At least 1 GiB is said
 * where nothing is known.
 */
uint64_t sc_machine_memory(const char *root);

#endif
