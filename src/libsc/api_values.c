// SPDX-License-Identifier: BSD-3-Clause
#include "libsc/api_values.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert(sizeof(struct libsc_value) == 24, "part of the binary interface");
_Static_assert(sizeof(((struct libsc_error *)0)->message) >= SC_ERROR_MAX, "messages are copied whole");
_Static_assert((int)LIBSC_UINT == SC_VALUE_UINT && (int)LIBSC_INT == SC_VALUE_INT, "types are taken over");
_Static_assert((int)LIBSC_FLOAT == SC_VALUE_FLOAT && (int)LIBSC_ADDRESS == SC_VALUE_ADDRESS, "types");
_Static_assert((int)LIBSC_MAC == SC_VALUE_MAC && (int)LIBSC_TIME_MS == SC_VALUE_TIME_MS, "types");
_Static_assert((int)LIBSC_TIME_NS == SC_VALUE_TIME_NS && (int)LIBSC_BYTES == SC_VALUE_BYTES, "types");
_Static_assert((int)LIBSC_STRING == SC_VALUE_STRING, "types");

/* ---- errors ---- */

static const uint8_t public_statuses[] = {
    [SC_OK] = LIBSC_OK,
    [SC_END] = LIBSC_END,
    [SC_AGAIN] = LIBSC_IO,
    [SC_IO] = LIBSC_IO,
    [SC_FULL] = LIBSC_IO,
    [SC_NOMEM] = LIBSC_NO_MEMORY,
    [SC_NOTFOUND] = LIBSC_NOT_FOUND,
    [SC_DAMAGED] = LIBSC_DAMAGED,
    [SC_NOT_OURS] = LIBSC_NOT_OURS,
    [SC_UNSUPPORTED] = LIBSC_UNSUPPORTED,
    [SC_MALFORMED] = LIBSC_MALFORMED,
    [SC_LIMIT] = LIBSC_LIMIT,
    [SC_USAGE] = LIBSC_USAGE,
    [SC_TAKEN] = LIBSC_IO,
    [SC_CANCELLED] = LIBSC_IO,
};

enum libsc_status sc_api_status(enum sc_status status, const struct sc_error *from, struct libsc_error *to)
{
    enum libsc_status result = (enum libsc_status)public_statuses[status];
    if (to == NULL || status == SC_OK || status == SC_END)
        return result;
    to->status = result;
    to->errnum = from->errnum;
    snprintf(to->message, sizeof(to->message), "%s",
             from->message[0] != '\0' ? from->message : "the operation failed without a message");
    return result;
}

enum libsc_status sc_api_usage(struct libsc_error *to, const char *sentence)
{
    struct sc_error err = {0};
    return sc_api_status(sc_fail(&err, SC_USAGE, "%s", sentence), &err, to);
}

/* ---- columns ---- */

static bool allocate(struct sc_api_columns *columns, uint32_t count)
{
    size_t n = (size_t)count + 1;
    columns->fields = calloc(n, sizeof(*columns->fields));
    columns->labels = calloc(n, sizeof(*columns->labels));
    columns->cells = calloc(n, sizeof(*columns->cells));
    columns->row = calloc(n, sizeof(*columns->row));
    return columns->fields != NULL && columns->labels != NULL && columns->cells != NULL &&
           columns->row != NULL;
}

enum sc_status sc_api_columns_init(struct sc_api_columns *columns, const struct sc_ie_learned *learned,
                                   const char *list, struct sc_error *err)
{
    *columns = (struct sc_api_columns){0};
    struct sc_request_listing *listing = malloc(sizeof(*listing));
    if (listing == NULL)
        return sc_fail_nomem(err, "a list of fields");
    enum sc_status status = sc_request_list(learned, list, NULL, listing, err);
    if (status == SC_OK && !allocate(columns, listing->column_count)) {
        sc_api_columns_free(columns);
        status = sc_fail_nomem(err, "a list of fields");
    }
    if (status == SC_OK) {
        columns->count = listing->column_count;
        memcpy(columns->fields, listing->fields, columns->count * sizeof(*columns->fields));
        memcpy(columns->labels, listing->labels, columns->count * sizeof(*columns->labels));
    }
    free(listing);
    return status;
}

void sc_api_columns_free(struct sc_api_columns *columns)
{
    free(columns->fields);
    free(columns->labels);
    free(columns->cells);
    free(columns->row);
    *columns = (struct sc_api_columns){0};
}

int sc_api_columns_describe(const struct sc_api_columns *columns, size_t i, struct libsc_column *out)
{
    if (i >= columns->count)
        return -1;
    const struct sc_field *field = &columns->fields[i];
    *out = (struct libsc_column){.name = columns->labels[i],
                                 .unit = field->unit == NULL ? "-" : field->unit,
                                 .type = (enum libsc_type)field->type};
    return 0;
}

/* ---- rows ---- */

static void give(const struct sc_value *v, uint8_t type, struct libsc_value *out)
{
    memset(out, 0, sizeof(*out));
    out->null = v->null;
    out->type = type;
    if (v->null)
        return;
    switch (type) {
    case SC_VALUE_FLOAT:
        out->as.f64 = v->f;
        break;
    case SC_VALUE_ADDRESS:
        memcpy(out->as.address, v->addr.b, sizeof(out->as.address));
        out->is_v4 = sc_addr_is_v4(&v->addr);
        break;
    case SC_VALUE_BYTES:
    case SC_VALUE_STRING:
        out->as.bytes = v->bytes;
        out->length = v->length;
        break;
    default:
        out->as.u64 = v->u;
        break;
    }
}

const struct libsc_value *sc_api_columns_row(struct sc_api_columns *columns, uint32_t row)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        struct sc_value value;
        sc_cells_value(&columns->cells[i], row, &value);
        give(&value, columns->fields[i].type, &columns->row[i]);
    }
    return columns->row;
}
