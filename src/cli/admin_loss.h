// SPDX-License-Identifier: BSD-3-Clause
/* What both forms of sc-admin accept-loss share: of stores by their paths, and of a cluster. */
#ifndef SC_CLI_ADMIN_LOSS_H
#define SC_CLI_ADMIN_LOSS_H

#include "cli/admin.h"
#include "source/expect.h"

/* What is found to be missing, of the streams that were asked for. sc_losses_free releases. */
struct sc_admin_found {
    const struct sc_admin_loss *what;
    struct sc_losses losses;
    bool short_of_memory;
};

/* Fills *found. */
struct sc_loss_sink sc_admin_loss_sink(struct sc_admin_found *found);
/* A line for each stream. */
void sc_admin_print_losses(const struct sc_losses *losses);
/* The stream that was asked for, NULL: all. */
const uint64_t *sc_admin_loss_stream(const struct sc_admin_loss *what);

#endif
