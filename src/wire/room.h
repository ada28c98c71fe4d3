// SPDX-License-Identifier: BSD-3-Clause
/* What records will weigh. */
#ifndef SC_WIRE_ROOM_H
#define SC_WIRE_ROOM_H

#include "wire/run.h"

/* What records of the template can add to a batch, at most: as far as that is known, and looked up. What was looked up holds for the
 * batch as long as it is not reset: it only gets more columns, and wider ones. */
struct sc_need sc_need_known(const struct sc_batch *batch, const struct sc_template *t);
struct sc_need sc_need_exact(const struct sc_batch *batch, struct sc_template *t);
/* Sets what records of the template can have at most. */
void sc_template_measure(struct sc_template *t);
/* Records of the run that are appended at once: so many that they alone pass no bound. */
uint32_t sc_run_part(const struct sc_run *run);

enum sc_fit {
    SC_FITS,
    SC_FIT_HEAVY, /* the batch would weigh too much */
    SC_FIT_NEVER  /* it would have too many rows or columns */
};
/* Whether the batch may take `n` records of the run. *bytes: its weight with them (not for rows too many). */
enum sc_fit sc_run_fits(const struct sc_run *run, const struct sc_batch *batch, uint32_t n, size_t most_bytes,
                        size_t *bytes);

#endif
