// SPDX-License-Identifier: BSD-3-Clause
/*
 * Messages are cut into pieces of at most 256 MiB, since MPI counts in int; a piece that is not full is the last. Nothing
 * spins: a rank that waits lets others have the processor, as threads that scan may share it.
 */
#include "cluster/ranks.h"

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

static void nap(unsigned looks)
{
    const struct timespec time = {.tv_nsec = NAP_NS};
    if (looks > QUICK)
        nanosleep(&time, NULL);
}

/* Before MPI_Wait, which alone would spin. */
static void await(MPI_Request request)
{
    int done = 0, code = MPI_SUCCESS;
    for (unsigned looks = 0; !done && code == MPI_SUCCESS; looks++) {
        code = MPI_Request_get_status(request, &done, MPI_STATUS_IGNORE);
        if (!done)
            nap(looks);
    }
}

/* One direction of a pass. */
struct stream {
    uint32_t peer; /* SC_NO_RANK: over */
    const struct sc_buf *send;
    struct sc_buf *receive;
    size_t at;
};

/* Waits for a piece without taking it; its size. */
static int probe(uint32_t peer, int *count)
{
    MPI_Status status;
    int found = 0, code = MPI_SUCCESS;
    for (unsigned looks = 0; !found && code == MPI_SUCCESS; looks++) {
        code = MPI_Iprobe((int)peer, TAG, MPI_COMM_WORLD, &found, &status);
        if (!found)
            nap(looks);
    }
    return code == MPI_SUCCESS ? MPI_Get_count(&status, MPI_BYTE, count) : code;
}

static enum sc_status receive_piece(struct stream *s, struct sc_error *err)
{
    int count = 0, code = probe(s->peer, &count);
    if (code != MPI_SUCCESS)
        return fail(code, err);
    uint8_t *place = sc_buf_reserve(s->receive, (size_t)count + 1);
    if (place == NULL)
        return sc_fail_nomem(err, "what another rank sends");
    MPI_Request request = MPI_REQUEST_NULL;
    code = MPI_Irecv(place, count, MPI_BYTE, (int)s->peer, TAG, MPI_COMM_WORLD, &request);
    await(request);
    int waited = MPI_Wait(&request, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS || waited != MPI_SUCCESS)
        return fail(code != MPI_SUCCESS ? code : waited, err);
    s->receive->len += (size_t)count;
    if ((size_t)count < PIECE)
        s->peer = SC_NO_RANK;
    return SC_OK;
}

/* A piece goes out while one comes in: two ranks may pass to each other. */
static enum sc_status send_and_receive(struct stream *out, struct stream *in, struct sc_error *err)
{
    size_t left = out->send->len - out->at, n = left < PIECE ? left : PIECE;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Isend(n == 0 ? NULL : out->send->data + out->at, (int)n, MPI_BYTE, (int)out->peer, TAG,
                         MPI_COMM_WORLD, &request);
    enum sc_status status = in->peer == SC_NO_RANK ? SC_OK : receive_piece(in, err);
    await(request);
    int waited = MPI_Wait(&request, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS || waited != MPI_SUCCESS)
        return fail(code != MPI_SUCCESS ? code : waited, err);
    out->at += n;
    if (n < PIECE)
        out->peer = SC_NO_RANK;
    return status;
}

static enum sc_status pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                           struct sc_buf *receive, struct sc_error *err)
{
    struct stream out = {.peer = to, .send = send}, in = {.peer = from, .receive = receive};
    (void)arg;
    if (from != SC_NO_RANK)
        sc_buf_clear(receive);
    while (out.peer != SC_NO_RANK)
        SC_TRY(send_and_receive(&out, &in, err));
    while (in.peer != SC_NO_RANK)
        SC_TRY(receive_piece(&in, err));
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
