// SPDX-License-Identifier: BSD-3-Clause
#include "group/rows.h"

#include <stdlib.h>

static void free_values(struct sc_row_values *v)
{
    free(v->values);
    free(v->valid);
}

void sc_group_scratch_free(struct sc_group_scratch *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < SC_MAX_KEYS; i++) {
        free_values(&s->keys[i].numbers);
        free_values(&s->others[i].numbers);
        free(s->keys[i].own);
        free(s->others[i].own);
    }
    for (unsigned i = 0; i < SC_MAX_ACCUMULATORS; i++)
        free_values(&s->accumulators[i]);
    free(s->rows);
    free(s->packed.keys);
    free(s->direct);
    free(s);
}
