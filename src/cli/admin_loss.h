// SPDX-License-Identifier: BSD-3-Clause
/* sc-admin accept-loss. */
#ifndef SC_CLI_ADMIN_LOSS_H
#define SC_CLI_ADMIN_LOSS_H

#include <stdbool.h>
#include <stdint.h>

struct sc_admin_loss {
    const char *const *stores;
    uint32_t store_count;
    bool one_stream; /* else all */
    uint64_t stream;
    bool dry_run;
};

/* The exit status. */
int sc_admin_accept_loss(const struct sc_admin_loss *what);

#endif
