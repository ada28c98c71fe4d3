// SPDX-License-Identifier: BSD-3-Clause
#include "query/list_rows.h"

#include <stdlib.h>

enum sc_status sc_list_formatter_init(struct sc_list_formatter *f, const struct sc_list_run *run,
                                      struct sc_error *err)
{
    size_t fields = (size_t)run->listing->field_count + 1;
    f->values = calloc(fields, sizeof(*f->values));
    f->cells = calloc(fields, sizeof(*f->cells));
    if (f->values == NULL || f->cells == NULL)
        return sc_fail_nomem(err, "the listing");
    return sc_summarizer_init(&f->summarizer, run->options->scale_sampling, err);
}

void sc_list_formatter_free(struct sc_list_formatter *f)
{
    free(f->values);
    free(f->cells);
    sc_summarizer_free(&f->summarizer);
}

enum sc_status sc_list_find_cells(struct sc_list_formatter *f, const struct sc_listing *listing,
                                  struct sc_row_group *group, bool many, struct sc_error *err)
{
    for (uint32_t i = 0; i < listing->field_count; i++)
        SC_TRY(sc_cells_of_group(&f->cells[i], &listing->fields[i], group, many, err));
    if (listing->put != NULL)
        return SC_OK;
    f->rows = sc_output_rows_of(listing->output, f->cells, many, &group->context->arena);
    return f->rows != NULL ? SC_OK : sc_fail_nomem(err, "the listing");
}

static const struct sc_value *find_values(struct sc_list_formatter *f, const struct sc_listing *listing,
                                          uint32_t row)
{
    for (uint32_t i = 0; i < listing->field_count; i++)
        sc_cells_value(&f->cells[i], row, &f->values[i]);
    return f->values;
}

void sc_list_begin(struct sc_list_formatter *f, const uint32_t *rows, uint32_t count)
{
    f->next = rows;
    f->behind = rows + count;
    f->loaded = f->put = 0;
}

const uint32_t *sc_list_begin_selected(struct sc_list_formatter *f, const struct sc_selection *selection,
                                       struct sc_row_group *group, struct sc_error *err)
{
    uint32_t *rows =
        sc_arena_alloc(&group->context->arena, (selection->count + (size_t)SC_BITMAP_SLACK) * sizeof(*rows));
    if (rows == NULL) {
        sc_fail_nomem(err, "the listing");
        return NULL;
    }
    sc_selection_list(selection, group, rows);
    sc_list_begin(f, rows, selection->count);
    return rows;
}

void sc_list_format_next(struct sc_list_formatter *f, const struct sc_listing *listing, struct sc_buf *out)
{
    uint32_t left = (uint32_t)(f->behind - f->next);
    if (listing->put != NULL) {
        listing->put(listing->put_arg, find_values(f, listing, *f->next++), out);
        return;
    }
    if (f->loaded == f->put) {
        f->loaded = left < SC_ROWS_AT_ONCE ? left : SC_ROWS_AT_ONCE;
        f->put = 0;
        sc_output_rows_load(f->rows, f->next, f->loaded);
    }
    sc_output_rows_put(f->rows, f->put++, out);
    f->next++;
}

/* ---- the header ---- */

void sc_list_fit_row(struct sc_list_run *run, struct sc_list_formatter *f, uint32_t row)
{
    const struct sc_value *values = find_values(f, run->listing, row);
    pthread_mutex_lock(&run->mutex);
    sc_output_fit(run->listing->output, values);
    pthread_mutex_unlock(&run->mutex);
}

bool sc_list_is_headed(struct sc_list_run *run)
{
    pthread_mutex_lock(&run->mutex);
    bool headed = run->headed;
    pthread_mutex_unlock(&run->mutex);
    return headed;
}

bool sc_list_write_header(struct sc_list_run *run)
{
    struct sc_buf text = {0};
    bool going = true;
    pthread_mutex_lock(&run->mutex);
    if (!run->headed) {
        run->headed = true;
        sc_output_header(run->listing->output, &text);
        going = sc_buf_ok(&text) && run->sink->write(run->sink->arg, text.data, text.len);
        sc_buf_free(&text);
    }
    pthread_mutex_unlock(&run->mutex);
    return going;
}
