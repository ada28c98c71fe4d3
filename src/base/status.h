// SPDX-License-Identifier: BSD-3-Clause
/*
 * Errors are values. A function that can fail returns `enum sc_status` and fills a caller-owned
 * `struct sc_error` with one sentence: what failed, where, and what the user can do about it.
 * `err` may be NULL everywhere; the status is then all that is reported. Nothing here allocates.
 */
#ifndef SC_BASE_STATUS_H
#define SC_BASE_STATUS_H

enum sc_status {
    SC_OK = 0,
    SC_END,         /* no error: the sequence (file, stream, list) is at its end */
    SC_AGAIN,       /* no error: nothing now, ask again later */
    SC_NOMEM,       /* memory could not be had; the object is unchanged */
    SC_IO,          /* the operating system refused; `errnum` says why */
    SC_FULL,        /* ENOSPC or EDQUOT: the caller keeps the data and tries elsewhere or later */
    SC_NOTFOUND,    /* no such file, name or key */
    SC_DAMAGED,     /* bytes that were once ours are no longer whole */
    SC_NOT_OURS,    /* bytes that were never ours: another file type */
    SC_UNSUPPORTED, /* ours, but of a newer version or an unknown feature */
    SC_MALFORMED,   /* a message breaks its protocol; it is to be discarded and counted */
    SC_LIMIT,       /* a bound that protects this process was reached */
    SC_USAGE,       /* the user's input is wrong; the message shows where */
    SC_TAKEN,       /* somebody else has it, for as long as he runs */
    SC_CANCELLED    /* stopped on request (signal, deadline) */
};

#define SC_ERROR_MAX 1024

struct sc_error {
    enum sc_status status;
    int errnum; /* errno at the time, 0 when no system call was involved */
    char message[SC_ERROR_MAX];
};

/* Fills *err (when not NULL) and returns `status`, so that `return sc_fail(err, SC_IO, "...")` reads well. */
enum sc_status sc_fail(struct sc_error *err, enum sc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As sc_fail, with ": <strerror(errnum)>" appended; ENOSPC and EDQUOT become SC_FULL, ENOENT SC_NOTFOUND. */
enum sc_status sc_fail_errno(struct sc_error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "out of memory" with the name of what was being made. */
enum sc_status sc_fail_nomem(struct sc_error *err, const char *what);

/* The static analyser sees one file at a time: this tells it which status comes back. */
#if defined(__clang_analyzer__) && !defined(SC_BASE_STATUS_IMPLEMENTATION)
#define sc_fail(err, status, ...)       ((void)sc_fail(err, status, __VA_ARGS__), (status))
#define sc_fail_errno(err, errnum, ...) ((void)sc_fail_errno(err, errnum, __VA_ARGS__), SC_IO)
#define sc_fail_nomem(err, what)        ((void)sc_fail_nomem(err, what), SC_NOMEM)
#endif

#define SC_TRY(expression)                                                                                   \
    do {                                                                                                     \
        enum sc_status sc_try_status_ = (expression);                                                        \
        if (sc_try_status_ != SC_OK)                                                                         \
            return sc_try_status_;                                                                           \
    } while (0)

#endif
