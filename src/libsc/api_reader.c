// SPDX-License-Identifier: BSD-3-Clause
/* The reader of libsc.h: units of a source one after another, each selected, verified, and given row by row.
 */
#include "libsc/api_values.h"
#include "source/source.h"
#include "store/elements.h"

#include <stdlib.h>

struct libsc_reader {
    struct sc_source source;
    struct sc_filter *filter;
    struct sc_selector selector;
    struct sc_read_context context;
    struct sc_api_columns columns;
    uint32_t next_unit;
    /* Of the row group that is being given: its selected rows, bit by bit. */
    const uint64_t *selected;
    size_t words;
    size_t word;          /* that `bits` is of */
    uint64_t bits;        /* not given yet */
    enum sc_status ended; /* SC_OK until the end, or an error */
    struct sc_error error;
};

/* ---- opening ---- */

/* The names and types of fields, and the filter, which keep nothing of what was learned. */
static enum sc_status prepare_fields(struct libsc_reader *reader, const char *const *paths, size_t path_count,
                                     const char *filter, const char *fields, struct sc_error *err)
{
    struct sc_ie_learned learned = {0};
    enum sc_status status = SC_OK;
    for (size_t i = 0; i < path_count && status != SC_NOMEM; i++)
        status = sc_elements_load(paths[i], &learned, err); /* without it, elements have their numbers */
    if (status != SC_NOMEM)
        status = filter == NULL ? SC_OK : sc_filter_parse(&learned, filter, &reader->filter, err);
    if (status == SC_OK)
        status = sc_api_columns_init(&reader->columns, &learned, fields, err);
    sc_ie_learned_free(&learned);
    return status;
}

static enum sc_status prepare(struct libsc_reader *reader, const char *const *paths, size_t path_count,
                              const char *filter, const char *fields, struct sc_error *err)
{
    const struct sc_time_bounds always = {.begin_ms = 0, .end_ms = UINT64_MAX};
    const struct sc_source_bounds flows = {.options = false};
    SC_TRY(prepare_fields(reader, paths, path_count, filter, fields, err));
    if (sc_read_context_init(&reader->context) != SC_OK)
        return sc_fail_nomem(err, "a reader");
    SC_TRY(sc_selector_init(&reader->selector, reader->filter, &always, true, err));
    return sc_source_open(paths, (uint32_t)path_count, &flows, &reader->source, err);
}

enum libsc_status libsc_reader_open(const char *const *paths, size_t path_count, const char *filter,
                                    const char *fields, struct libsc_reader **out, struct libsc_error *err)
{
    struct sc_error why = {0};
    if (out == NULL)
        return sc_api_usage(err, "libsc_reader_open: no place for the reader is given");
    *out = NULL;
    if (paths == NULL || path_count == 0 || path_count > UINT32_MAX)
        return sc_api_usage(err, "libsc_reader_open: no path is given; name a store or a part of one");
    for (size_t i = 0; i < path_count; i++) {
        if (paths[i] == NULL)
            return sc_api_usage(err, "libsc_reader_open: one of the paths is NULL");
    }
    struct libsc_reader *reader = calloc(1, sizeof(*reader));
    enum sc_status status = SC_OK;
    if (reader == NULL)
        status = sc_fail_nomem(&why, "a reader");
    else
        status = prepare(reader, paths, path_count, filter, fields, &why);
    if (status != SC_OK)
        libsc_reader_close(reader);
    else
        *out = reader;
    return sc_api_status(status, &why, err);
}

void libsc_reader_close(struct libsc_reader *reader)
{
    if (reader == NULL)
        return;
    sc_source_close(&reader->source);
    sc_selector_free(&reader->selector);
    sc_read_context_free(&reader->context);
    sc_api_columns_free(&reader->columns);
    sc_filter_free(reader->filter);
    free(reader);
}

/* ---- rows ---- */

/* Opens a unit, selects its rows, reads and verifies the columns of all fields. */
static enum sc_status start_unit(struct libsc_reader *reader, const struct sc_source_unit *unit,
                                 struct sc_error *err)
{
    const struct sc_segment *segment = reader->source.segments[unit->segment];
    struct sc_row_group *group;
    struct sc_selection selection = {0};
    if (!sc_selector_group_possible(&reader->selector, &segment->groups[unit->group]))
        return SC_OK;
    SC_TRY(sc_row_group_open(&reader->context, segment, unit->group, &group, err));
    SC_TRY(sc_selector_run(&reader->selector, group, unit, &selection, err));
    if (selection.count == 0)
        return SC_OK;
    bool many = selection.count > group->rows / 16;
    for (uint32_t i = 0; i < reader->columns.count; i++)
        SC_TRY(sc_cells_of_group(&reader->columns.cells[i], &reader->columns.fields[i], group, many, err));
    reader->selected = selection.rows;
    reader->words = sc_bitmap_words(group->rows);
    reader->word = 0;
    reader->bits = selection.rows[0];
    return SC_OK;
}

/* Damage leaves the unit out, whole; other copies of its batches follow in its place. @return SC_OK; SC_END: there are no more units; SC_NOMEM. */
static enum sc_status next_unit(struct libsc_reader *reader, struct sc_error *err)
{
    struct sc_error why = {0};
    reader->words = 0;
    reader->bits = 0;
    sc_read_context_reset(&reader->context);
    if (reader->next_unit == reader->source.unit_count)
        return SC_END;
    uint32_t number = reader->next_unit;
    const struct sc_source_unit *unit = &reader->source.units[number];
    enum sc_status status = start_unit(reader, unit, &why);
    if (status != SC_OK && status != SC_NOMEM)
        status = sc_source_replace(&reader->source, number, why.message);
    reader->next_unit = unit->next != SC_NO_UNIT ? unit->next : unit->turn + 1;
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "the next records");
}

/* The next selected row of the row group; false when there is none. */
static bool take_row(struct libsc_reader *reader, uint32_t *row)
{
    while (reader->bits == 0) {
        if (reader->word + 1 >= reader->words)
            return false;
        reader->bits = reader->selected[++reader->word];
    }
    *row = (uint32_t)(reader->word * 64) + (uint32_t)__builtin_ctzll(reader->bits);
    reader->bits &= reader->bits - 1;
    return true;
}

enum libsc_status libsc_reader_next(struct libsc_reader *reader, const struct libsc_value **row,
                                    struct libsc_error *err)
{
    uint32_t number;
    *row = NULL;
    while (reader->ended == SC_OK) {
        if (take_row(reader, &number)) {
            *row = sc_api_columns_row(&reader->columns, number);
            return LIBSC_OK;
        }
        reader->ended = next_unit(reader, &reader->error);
    }
    return sc_api_status(reader->ended, &reader->error, err);
}

/* ---- what it is ---- */

size_t libsc_reader_columns(const struct libsc_reader *reader)
{
    return reader->columns.count;
}

int libsc_reader_column(const struct libsc_reader *reader, size_t i, struct libsc_column *out)
{
    return sc_api_columns_describe(&reader->columns, i, out);
}

const char *libsc_reader_missing(const struct libsc_reader *reader, size_t i)
{
    return i < reader->source.missing_count ? reader->source.missing[i] : NULL;
}

const char *libsc_version(void)
{
    return SC_VERSION;
}
