// SPDX-License-Identifier: BSD-3-Clause
/* Sentences on what could not be read. */
#include "base/array.h"
#include "source/units.h"

#include <stdlib.h>

static enum sc_status note_once(char ***list, uint32_t *count, const char *sentence)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (strcmp((*list)[i], sentence) == 0)
            return SC_OK;
    }
    char *copy = sc_array_more(*list, *count, 1) ? strdup(sentence) : NULL;
    if (copy == NULL)
        return SC_NOMEM;
    (*list)[(*count)++] = copy;
    return SC_OK;
}

enum sc_status sc_source_note_missing(struct sc_source *source, const char *sentence)
{
    return note_once(&source->missing, &source->missing_count, sentence);
}

enum sc_status sc_source_note_damage(struct sc_source *source, const char *sentence)
{
    return note_once(&source->damage, &source->damage_count, sentence);
}

enum sc_status sc_source_note_unreadable(struct sc_source *source, const struct sc_expected *expected,
                                         uint64_t window_ms, uint32_t lane, const char *sentence)
{
    return sc_expected_covers(expected, window_ms, lane) ? sc_source_note_damage(source, sentence)
                                                         : sc_source_note_missing(source, sentence);
}
