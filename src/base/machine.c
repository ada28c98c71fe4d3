// SPDX-License-Identifier: BSD-3-Clause
#include "base/machine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNKNOWN (UINT64_C(1) << 30)

/* The number in a small file; UINT64_MAX where there is none ("max", no such file). */
static uint64_t read_number(const char *path)
{
    uint64_t number = UINT64_MAX;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return number;
    if (fscanf(f, "%" SCNu64, &number) != 1)
        number = UINT64_MAX;
    fclose(f);
    return number;
}

/* The least limit of a group and those above it. */
static uint64_t limit_of(const char *root, const char *mount, const char *file, char *group)
{
    uint64_t least = UINT64_MAX;
    for (bool top = false; !top;) {
        char path[PATH_MAX];
        char *slash = strrchr(group, '/');
        top = slash == NULL;
        if (snprintf(path, sizeof(path), "%s%s%s/%s", root, mount, group, file) < (int)sizeof(path)) {
            uint64_t limit = read_number(path);
            least = limit < least ? limit : least;
        }
        if (!top)
            *slash = '\0';
    }
    return least;
}

/* "ID:CONTROLLERS:/GROUP"; v2 has no controllers there. */
static uint64_t limit_of_line(const char *root, char *line)
{
    char *controllers = strchr(line, ':'), *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL)
        return UINT64_MAX;
    *controllers++ = *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (strcmp(controllers, "") == 0)
        return limit_of(root, "/sys/fs/cgroup", "memory.max", group);
    if (strcmp(controllers, "memory") == 0)
        return limit_of(root, "/sys/fs/cgroup/memory", "memory.limit_in_bytes", group);
    return UINT64_MAX;
}

static uint64_t limit_of_groups(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX];
    uint64_t least = UINT64_MAX;
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        uint64_t limit = limit_of_line(root, line);
        least = limit < least ? limit : least;
    }
    if (f != NULL)
        fclose(f);
    return least;
}

uint64_t sc_machine_memory(const char *root)
{
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    uint64_t all = pages <= 0 || bytes <= 0 ? UNKNOWN : (uint64_t)pages * (uint64_t)bytes;
    uint64_t limit = limit_of_groups(root);
    return limit < all ? limit : all;
}

bool sc_machine_has(enum sc_vectors vectors)
{
#if defined(__x86_64__)
    if (vectors == SC_VECTORS_AVX2)
        return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi2") != 0;
    if (vectors == SC_VECTORS_AVX512)
        return sc_machine_has(SC_VECTORS_AVX2) && __builtin_cpu_supports("avx512f") != 0 &&
               __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
               __builtin_cpu_supports("avx512vl") != 0;
#endif
    return vectors == SC_VECTORS_PORTABLE;
}

enum sc_vectors sc_machine_vectors(void)
{
    static const char *const names[SC_VECTORS_COUNT] = {"portable", "avx2", "avx512"};
    const char *named = getenv("SC_VECTORS");
    unsigned most = SC_VECTORS_COUNT - 1;
    for (unsigned i = 0; named != NULL && i < SC_VECTORS_COUNT; i++)
        most = strcmp(named, names[i]) == 0 ? i : most;
    while (!sc_machine_has((enum sc_vectors)most))
        most--;
    return (enum sc_vectors)most;
}
