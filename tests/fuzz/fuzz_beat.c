// SPDX-License-Identifier: BSD-3-Clause
/*
 * What comes on the stderr of a job, line by line: signs of life, the status, ranks to leave out. A line is one of them at most; what was
 * read of it is the same once it was written and read again.
 */
#include "cluster/beat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static int pipes[2];

static void must(bool true_)
{
    if (!true_)
        __builtin_trap();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    must(pipe(pipes) == 0);
    return 0;
}

/* What the writer wrote, without its end; whole lines only. */
static size_t written(char *out, size_t size)
{
    ssize_t n = read(pipes[0], out, size);
    must(n > 1 && out[n - 1] == '\n' && memchr(out, '\n', (size_t)n - 1) == NULL);
    return (size_t)n - 1;
}

static bool read_beat(const char *line, size_t length)
{
    struct sc_beat b, again;
    char text[256];
    if (!sc_beat_parse(line, length, &b))
        return false;
    must(b.phase[0] != '\0' && strspn(b.phase, "abcdefghijklmnopqrstuvwxyz") == strlen(b.phase));
    int n =
        snprintf(text, sizeof(text), "%csc-beat %" PRIu32 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                 SC_BEAT_MARK, b.rank, b.phase, b.done, b.total, b.rows, b.bytes);
    must(sc_beat_parse(text, (size_t)n, &again));
    must(again.rank == b.rank && strcmp(again.phase, b.phase) == 0 && again.done == b.done &&
         again.total == b.total && again.rows == b.rows && again.bytes == b.bytes);
    return true;
}

static bool read_exit(const char *line, size_t length)
{
    char text[256];
    int status, again;
    if (!sc_exit_line_parse(line, length, &status))
        return false;
    sc_exit_line_write(pipes[1], status);
    size_t n = written(text, sizeof(text));
    must(sc_exit_line_parse(text, n, &again) && again == status);
    return true;
}

static bool read_leave_out(const char *line, size_t length)
{
    char text[512], why[SC_LEAVE_OUT_MAX], more[SC_LEAVE_OUT_MAX];
    uint32_t rank, again;
    if (!sc_leave_out_line_parse(line, length, &rank, why))
        return false;
    must(why[0] != '\0' && strlen(why) < SC_LEAVE_OUT_MAX);
    sc_leave_out_line_write(pipes[1], rank, why);
    size_t n = written(text, sizeof(text));
    must(sc_leave_out_line_parse(text, n, &again, more) && again == rank && strcmp(why, more) == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    while (length != 0) {
        const uint8_t *end = memchr(bytes, '\n', length);
        size_t n = end == NULL ? length : (size_t)(end - bytes);
        char *line = malloc(n == 0 ? 1 : n); /* of its very size */
        must(line != NULL);
        memcpy(line, bytes, n);
        must(read_beat(line, n) + read_exit(line, n) + read_leave_out(line, n) <= 1);
        free(line);
        n += end != NULL;
        bytes += n;
        length -= n;
    }
    return 0;
}

/* An empty input becomes a line of each kind; else any change. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    char text[512];
    if (size > 4 && seed % 64 != 0)
        return LLVMFuzzerMutate(data, size, max_size);
    struct sc_beater *beater = sc_beater_start(pipes[1], seed % 9, NULL);
    must(beater != NULL);
    sc_beater_progress(beater, seed, seed / 3, seed / 7, UINT64_MAX - seed);
    sc_beater_stop(beater);
    sc_exit_line_write(pipes[1], (int)(seed % 5));
    sc_leave_out_line_write(pipes[1], seed % 9, "it has another version");
    ssize_t n = read(pipes[0], text, sizeof(text));
    if (n <= 0 || (size_t)n > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data, text, (size_t)n);
    return (size_t)n;
}
