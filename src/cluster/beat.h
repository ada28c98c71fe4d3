// SPDX-License-Identifier: BSD-3-Clause
/*
 * The signs of life of a rank: lines on its stderr, which mpiexec hands on to whoever started the job. They need no MPI, so that
 * they come while a rank scans, merges, or waits in MPI for another one.
 *
 *   "\x1e" "sc-beat RANK PHASE DONE TOTAL ROWS BYTES" "\n"     PHASE one word, all else decimal
 *
 * The first character (record separator) begins no other line that our programs write.
 */
#ifndef SC_CLUSTER_BEAT_H
#define SC_CLUSTER_BEAT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_BEAT_MS        200u
#define SC_BEAT_PHASE_MAX 16u
#define SC_BEAT_MARK      '\x1e'

struct sc_beat {
    uint32_t rank;
    char phase[SC_BEAT_PHASE_MAX]; /* "launch", "plan", "scan", "reduce", "print", "end" */
    uint64_t done, total;          /* row groups */
    uint64_t rows, bytes;          /* read */
};

/* Reads a line without its end. False: it is something else. */
bool sc_beat_parse(const char *line, size_t length, struct sc_beat *out);

/* "\x1e" "sc-exit STATUS" "\n": the exit status of the query, from rank 0, when it is known; mpiexec makes noise of one that is not 0. */
void sc_exit_line_write(int fd, int status);
bool sc_exit_line_parse(const char *line, size_t length, int *status);

#define SC_LEAVE_OUT_MAX 160u

/* "\x1e" "sc-leave-out RANK WHY" "\n": from rank 0, before it ends the job: there is no answer with that rank. WHY is cut, and has no
 * control characters. */
void sc_leave_out_line_write(int fd, uint32_t rank, const char *why);
bool sc_leave_out_line_parse(const char *line, size_t length, uint32_t *rank, char why[SC_LEAVE_OUT_MAX]);

/* "\x1e" "sc-died RANK SIGNAL" "\n": from the guard of a rank (cli/guard.c), which a signal ended. */
void sc_died_line_write(int fd, uint32_t rank, int signal);
bool sc_died_line_parse(const char *line, size_t length, uint32_t *rank, int *signal);

/* The number that Open MPI's launcher gave to this process, which MPI will call it by; 0 without one. */
uint32_t sc_rank_by_launcher(void);

struct sc_beater;

/* Starts a thread that beats on `fd`. NULL with *err. */
struct sc_beater *sc_beater_start(int fd, uint32_t rank, struct sc_error *err);
/* What the next lines say; from any thread. `phase` is a literal. */
void sc_beater_phase(struct sc_beater *beater, const char *phase);
void sc_beater_progress(struct sc_beater *beater, uint64_t done, uint64_t total, uint64_t rows,
                        uint64_t bytes);
/* Beats once more ("end") and frees. NULL is allowed. */
void sc_beater_stop(struct sc_beater *beater);

#endif
