// SPDX-License-Identifier: BSD-3-Clause
/*
 * One MPI job, watched from outside: its process group, its answer, its ranks' signs of life, and its end.
 * MPI itself tells nobody that a rank died or hangs; this does. The program that is run need not be mpiexec: tests run scripts.
 * It gets SIGTERM when the thread that runs the job dies, so that nothing goes on without its watcher.
 */
#ifndef SC_CLUSTER_JOB_H
#define SC_CLUSTER_JOB_H

#include "cluster/beat.h"

#include <stdatomic.h>

struct sc_job_rank {
    uint64_t heard_ms; /* monotonic; 0: never */
    struct sc_beat beat;
    char leave_out[SC_LEAVE_OUT_MAX]; /* why rank 0 wants another job without this rank; "": it does not */
};

struct sc_job_options {
    char *const *command; /* argv, NULL-terminated; found by PATH; no shell */
    uint32_t ranks;
    uint64_t launch_ms;   /* until a rank must have been heard */
    uint64_t silence_ms;  /* a rank that is silent for so long is lost, from then on */
    uint64_t deadline_ms; /* monotonic: the job is ended then; 0: none */
    int answer_fd;        /* what the job writes to stdout goes here */
    const atomic_int
        *cancel; /* not 0: SIGUSR1 for the job, which may end by itself within grace_ms; may be NULL */
    uint64_t grace_ms;
    /* From the calling thread: about five times a second, and for each line on stderr that is no beat (borrowed, without its end). */
    void (*progress)(void *arg, const struct sc_job_rank *ranks, uint32_t count);
    void (*said)(void *arg, const char *line, size_t length);
    void *arg;
};

enum sc_job_end {
    SC_JOB_EXITED,    /* by itself: see `status` */
    SC_JOB_DIED,      /* a signal ended a rank: see `rank`, `signal` */
    SC_JOB_SILENT,    /* a rank was silent: see `rank` */
    SC_JOB_UNSTARTED, /* no rank was heard within launch_ms */
    SC_JOB_DEADLINE,
    SC_JOB_CANCELLED,
    SC_JOB_UNWRITABLE /* answer_fd takes no more: see `errnum` */
};

struct sc_job_result {
    enum sc_job_end end;
    int status;        /* as of waitpid */
    int answer_status; /* as rank 0 told; -1: it did not come to that */
    int errnum;
    int signal;
    uint32_t rank;             /* the first one lost; UINT32_MAX: none */
    struct sc_job_rank *ranks; /* malloc'ed, as of the end */
};

/*
 * Runs the job to its end; nothing that it started is left afterwards on this machine. The process adopts orphans from now on, and the
 * calling thread must have no other children. @return SC_OK with *result (free its
 * ranks); SC_NOTFOUND, SC_IO: it could not be started; SC_NOMEM.
 */
enum sc_status sc_job_run(const struct sc_job_options *options, struct sc_job_result *result,
                          struct sc_error *err);

#endif
