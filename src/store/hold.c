// SPDX-License-Identifier: BSD-3-Clause
#include "store/hold.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void lock_path(const char *store, char out[4096])
{
    snprintf(out, 4096, "%s/collector.lock", store);
}

/* @return 0 or -errno; -EWOULDBLOCK: another has it. */
static int lock_file(struct sc_hold *hold, const char *path)
{
    hold->handle = hold->io->ops->open(hold->io, path, true);
    if (hold->handle < 0)
        return hold->handle;
    int result = hold->io->ops->lock(hold->io, hold->handle);
    return result < 0 ? result : hold->io->ops->identify(hold->io, hold->handle, path, &hold->id);
}

enum sc_status sc_hold_take(struct sc_hold *hold, const char *store, struct sc_io *io, struct sc_error *err)
{
    char path[4096];
    *hold = (struct sc_hold){.io = io == NULL ? sc_io_system() : io, .handle = -1};
    int made = sc_io_make_folders(hold->io, store, strlen(store));
    if (made < 0)
        return sc_fail_errno(err, -made, "cannot create the store %s", store);
    lock_path(store, path);
    int result = lock_file(hold, path);
    if (result == 0)
        return SC_OK;
    sc_hold_release(hold);
    if (result == -EWOULDBLOCK)
        return sc_fail(err, SC_TAKEN,
                       "another collector is writing to the store %s; stop it or choose another store",
                       store);
    return sc_fail_errno(err, -result, "cannot write to the store %s", store);
}

bool sc_hold_is_there(const struct sc_hold *hold, const char *store)
{
    char path[4096];
    lock_path(store, path);
    return sc_io_is_at(hold->io, &hold->id, path);
}

enum sc_status sc_hold_renew(struct sc_hold *hold, const char *store, struct sc_error *err)
{
    struct sc_hold fresh;
    SC_TRY(sc_hold_take(&fresh, store, hold->io, err));
    sc_hold_release(hold);
    *hold = fresh;
    return SC_OK;
}

void sc_hold_release(struct sc_hold *hold)
{
    if (hold->handle >= 0)
        hold->io->ops->close(hold->io, hold->handle);
    hold->handle = -1;
}

bool sc_hold_is_at(const char *store, const struct sc_file_id *id)
{
    char path[4096];
    struct sc_file_id now;
    lock_path(store, path);
    return sc_io_system()->ops->identify(sc_io_system(), -1, path, &now) == 0 && sc_file_same(id, &now);
}
