// SPDX-License-Identifier: BSD-3-Clause
#define SC_BASE_STATUS_IMPLEMENTATION
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum sc_status sc_fail(struct sc_error *err, enum sc_status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->status = status;
        err->errnum = 0;
        vsnprintf(err->message, sizeof(err->message), format, args);
        va_end(args);
    }
    return status;
}

enum sc_status sc_fail_errno(struct sc_error *err, int errnum, const char *format, ...)
{
    enum sc_status status = SC_IO;
    if (errnum == ENOSPC || errnum == EDQUOT)
        status = SC_FULL;
    else if (errnum == ENOENT)
        status = SC_NOTFOUND;
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        int used = vsnprintf(err->message, sizeof(err->message), format, args);
        va_end(args);
        err->status = status;
        err->errnum = errnum;
        if (used >= 0 && (size_t)used < sizeof(err->message)) {
            char reason[128];
            snprintf(err->message + used, sizeof(err->message) - (size_t)used, ": %s",
                     strerror_r(errnum, reason, sizeof(reason)));
        }
    }
    return status;
}

enum sc_status sc_fail_nomem(struct sc_error *err, const char *what)
{
    return sc_fail(err, SC_NOMEM, "out of memory for %s", what);
}
