// SPDX-License-Identifier: BSD-3-Clause
/*
 * Any lines are definitions of elements or none. A definition comes back from its own line; a name that is used finds its element
 * again, under that name alone, and never stands in for a field that all users know.
 */
#include "flow/field.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct sc_ie_definition *d)
{
    char first[SC_IE_LEARNED_LINE_MAX], second[SC_IE_LEARNED_LINE_MAX];
    struct sc_ie_definition again;
    size_t length = sc_ie_definition_format(d, first);
    if (length >= sizeof(first) || !sc_ie_definition_parse(first, length, &again))
        abort();
    if (sc_ie_definition_format(&again, second) != length || memcmp(first, second, length) != 0)
        abort();
}

/* The element by its number, by what it is called, and what a name that is not its own finds. */
static void check_element(const struct sc_ie_learned *table, const struct sc_ie_definition *d)
{
    struct sc_field field, named, usual;
    struct sc_column_key key = {d->pen, d->id, 0, SC_COLUMN_BYTES};
    sc_field_of_column(table, key, &field);
    if (sc_field_find(table, field.name, strlen(field.name), &named, NULL) != SC_OK ||
        !sc_column_key_equal(named.sources[0].key, key) || strcmp(named.name, field.name) != 0)
        abort();
    if (sc_field_find(NULL, d->name, strlen(d->name), &usual, NULL) == SC_OK &&
        (sc_field_find(table, d->name, strlen(d->name), &named, NULL) != SC_OK ||
         strcmp(named.name, usual.name) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sc_ie_learned table = {0};
    const char *p = (const char *)data, *end = p + size;
    while (p < end && table.count < 100) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop == NULL ? end : stop) - p);
        struct sc_ie_definition d;
        if (sc_ie_definition_parse(p, length, &d)) {
            check_line(&d);
            sc_ie_learned_add(&table, &d);
        }
        sc_ie_definition_name(&d, p, length); /* as an exporter would tell it */
        if (strlen(d.name) > length)
            abort();
        p = stop == NULL ? end : stop + 1;
    }
    for (uint32_t i = 0; i < table.count; i++)
        check_element(&table, &table.entries[i]);
    sc_ie_learned_free(&table);
    return 0;
}
