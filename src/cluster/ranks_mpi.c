// SPDX-License-Identifier: BSD-3-Clause
/*
 * Messages are cut into pieces of at most 256 MiB, since MPI counts in int; a piece that is not full is the last. Nothing
 * spins: a rank that waits lets others have the processor, as threads that scan may share it.
 */
#include "cluster/ranks_mpi.h"

#include <mpi.h>
#include <time.h>

#define PIECE  ((size_t)256 << 20)
#define TAG    1
#define NAP_NS 200000L
#define QUICK  200u /* looks before the first nap */

static enum sc_status fail(int code, struct sc_error *err)
{
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    return sc_fail(err, SC_IO, "MPI: %.*s", length, text);
}

static int wait_for(MPI_Request *request, MPI_Status *status)
{
    int done = 0, code = MPI_SUCCESS;
    for (unsigned looks = 0; !done && code == MPI_SUCCESS; looks++) {
        const struct timespec nap = {.tv_nsec = NAP_NS};
        code = MPI_Test(request, &done, status);
        if (!done && looks > QUICK)
            nanosleep(&nap, NULL);
    }
    return code;
}

/* One direction of a pass. */
struct stream {
    uint32_t peer; /* SC_NO_RANK: over */
    const struct sc_buf *send;
    struct sc_buf *receive;
    size_t at;
    MPI_Request request;
};

static enum sc_status start_send(struct stream *s, struct sc_error *err)
{
    size_t left = s->send->len - s->at, n = left < PIECE ? left : PIECE;
    int code = MPI_Isend(n == 0 ? NULL : s->send->data + s->at, (int)n, MPI_BYTE, (int)s->peer, TAG,
                         MPI_COMM_WORLD, &s->request);
    s->at += n;
    return code == MPI_SUCCESS ? SC_OK : fail(code, err);
}

static enum sc_status end_send(struct stream *s, size_t piece, struct sc_error *err)
{
    MPI_Status status;
    int code = wait_for(&s->request, &status);
    if (code != MPI_SUCCESS)
        return fail(code, err);
    if (piece < PIECE)
        s->peer = SC_NO_RANK;
    return SC_OK;
}

static enum sc_status receive_piece(struct stream *s, struct sc_error *err)
{
    MPI_Status status;
    int found = 0, count = 0, code = MPI_SUCCESS;
    for (unsigned looks = 0; !found && code == MPI_SUCCESS; looks++) {
        const struct timespec nap = {.tv_nsec = NAP_NS};
        code = MPI_Iprobe((int)s->peer, TAG, MPI_COMM_WORLD, &found, &status);
        if (!found && looks > QUICK)
            nanosleep(&nap, NULL);
    }
    if (code == MPI_SUCCESS)
        code = MPI_Get_count(&status, MPI_BYTE, &count);
    if (code != MPI_SUCCESS)
        return fail(code, err);
    uint8_t *place = sc_buf_reserve(s->receive, (size_t)count + 1);
    if (place == NULL)
        return sc_fail_nomem(err, "what another rank sends");
    code = MPI_Irecv(place, count, MPI_BYTE, (int)s->peer, TAG, MPI_COMM_WORLD, &s->request);
    if (code == MPI_SUCCESS)
        code = wait_for(&s->request, &status);
    if (code != MPI_SUCCESS)
        return fail(code, err);
    s->receive->len += (size_t)count;
    if ((size_t)count < PIECE)
        s->peer = SC_NO_RANK;
    return SC_OK;
}

static enum sc_status pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                           struct sc_buf *receive, struct sc_error *err)
{
    struct stream out = {.peer = to, .send = send}, in = {.peer = from, .receive = receive};
    (void)arg;
    if (from != SC_NO_RANK)
        sc_buf_clear(receive);
    while (out.peer != SC_NO_RANK || in.peer != SC_NO_RANK) {
        size_t before = out.at;
        bool sending = out.peer != SC_NO_RANK;
        if (sending)
            SC_TRY(start_send(&out, err));
        if (in.peer != SC_NO_RANK)
            SC_TRY(receive_piece(&in, err));
        if (sending)
            SC_TRY(end_send(&out, out.at - before, err));
    }
    return SC_OK;
}

enum sc_status sc_ranks_mpi_begin(int *argc, char ***argv, struct sc_ranks *out, struct sc_error *err)
{
    int provided, rank, count;
    /* Other threads of the process scan; only one calls MPI. */
    int code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED)
        return sc_fail(err, SC_UNSUPPORTED, "MPI does not start, or knows no threads");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    *out = (struct sc_ranks){.rank = (uint32_t)rank, .count = (uint32_t)count, .pass = pass};
    return SC_OK;
}

void sc_ranks_mpi_end(void)
{
    MPI_Finalize();
}

void sc_ranks_mpi_abort(int status)
{
    MPI_Abort(MPI_COMM_WORLD, status);
}
