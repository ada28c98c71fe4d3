// SPDX-License-Identifier: BSD-3-Clause
/*
 * What does not fit the memory, in a file without a name (0600) in $TMPDIR or /tmp: it is gone with the process. One thread writes; what is
 * written may be read by several.
 */
#ifndef SC_GROUP_SPILL_FILE_H
#define SC_GROUP_SPILL_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct sc_spill_file {
    int fd;
    uint64_t end;
};

/* NULL with SC_FULL in *err. */
struct sc_spill_file *sc_spill_file_create(struct sc_error *err);
void sc_spill_file_free(struct sc_spill_file *file);
/* Behind all that is there; *offset tells where that is. @return SC_OK or SC_FULL. */
enum sc_status sc_spill_file_append(struct sc_spill_file *file, const void *bytes, size_t count,
                                    uint64_t *offset, struct sc_error *err);
/* @return SC_OK or SC_FULL: what was written cannot be read. */
enum sc_status sc_spill_file_read(const struct sc_spill_file *file, uint64_t offset, void *bytes,
                                  size_t count, struct sc_error *err);

#endif
