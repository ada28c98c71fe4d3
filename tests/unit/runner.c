// SPDX-License-Identifier: BSD-3-Clause
/*
 * The program of a room's tests: runs the one file that it is told, or several, or all, each in a process of its own.
 *
 *     unit_ROOM [FILE]...     e.g. unit_relay test_dispatch
 *
 * Exit: 0 when all tests passed, 1 when one failed or a process died, 2 when a name is no file of the room; all are listed then.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* UNIT_LIST has a line UNIT_FILE(name) for each file in the room's folder (CMakeLists.txt). */
#define UNIT_FILE(name) int name(void);
#include UNIT_LIST
#undef UNIT_FILE

static const struct unit {
    const char *name;
    int (*run)(void); /* as in unit.h */
} units[] = {
#define UNIT_FILE(name) {#name, name},
#include UNIT_LIST
};

enum { UNITS = sizeof(units) / sizeof(units[0]) };

static const struct unit *find(const char *name)
{
    for (int i = 0; i < UNITS; i++) {
        if (strcmp(units[i].name, name) == 0)
            return &units[i];
    }
    fprintf(stderr, "there is no %s; there are:\n", name);
    for (int i = 0; i < UNITS; i++)
        fprintf(stderr, "    %s\n", units[i].name);
    return NULL;
}

static int run(const struct unit *unit)
{
    return unit->run() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool passes_apart(const struct unit *unit)
{
    int status = -1;
    printf("# %s\n", unit->name);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        exit(run(unit));
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
        return true;
    fprintf(stderr, "%s failed\n", unit->name);
    return false;
}

int main(int argc, char **argv)
{
    bool good = true;
    for (int i = 1; i < argc; i++) {
        if (find(argv[i]) == NULL)
            return 2;
    }
    if (argc == 2)
        return run(find(argv[1])); /* as it is, for a debugger */
    for (int i = 1; i < argc; i++)
        good = passes_apart(find(argv[i])) && good;
    for (int i = 0; i < UNITS && argc == 1; i++)
        good = passes_apart(&units[i]) && good;
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
