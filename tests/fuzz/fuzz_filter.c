// SPDX-License-Identifier: BSD-3-Clause
/*
 * Any text is a filter or an error of three lines. A filter, printed, is a filter that prints the same and
 * matches the same records. The readers of times and spans get the same text.
 */
#include "filter/filter.h"
#include "filter/time_range.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS 4

static void put_row(struct sc_column *c, uint32_t row)
{
    static const char *const addresses[ROWS] = {"10.1.2.3", "2001:db8::1", "0.0.0.0", "::"};
    static const uint64_t numbers[ROWS] = {0, 53, 0x12, UINT64_MAX};
    struct sc_addr a;
    if (row == ROWS - 1 && c->key.id % 2 == 0) {
        sc_column_put_null(c);
    } else if (c->key.kind == SC_COLUMN_ADDRESS) {
        sc_addr_parse(addresses[row], strlen(addresses[row]), &a);
        sc_column_put_addr(c, &a);
    } else if (c->key.kind == SC_COLUMN_BYTES) {
        sc_column_put_bytes(c, "dns", row);
    } else {
        sc_column_put_u64(c, numbers[row]);
    }
}

/* Records with the columns that filters name most. */
static struct sc_batch *make_records(void)
{
    static const struct sc_column_key keys[] = {
        {0, 1, 0, SC_COLUMN_UINT},
        {0, 2, 0, SC_COLUMN_UINT},
        {0, 4, 0, SC_COLUMN_UINT},
        {0, 6, 0, SC_COLUMN_UINT},
        {0, 7, 0, SC_COLUMN_UINT},
        {0, 11, 0, SC_COLUMN_UINT},
        {0, 152, 0, SC_COLUMN_UINT},
        {0, 153, 0, SC_COLUMN_UINT},
        {0, 96, 0, SC_COLUMN_BYTES},
        {0, 95, 0, SC_COLUMN_BYTES},
        {0, 434, 0, SC_COLUMN_INT},
        {0, 311, 0, SC_COLUMN_FLOAT},
        {SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, SC_COLUMN_ADDRESS},
        {SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, 0, SC_COLUMN_ADDRESS},
    };
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    for (uint32_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct sc_column *c = sc_batch_begin(batch, keys[i], NULL, 8, ROWS);
        for (uint32_t row = 0; row < ROWS; row++)
            put_row(c, row);
    }
    sc_batch_commit(batch, ROWS);
    return batch;
}

static void check_message(const struct sc_error *err)
{
    unsigned lines = 0;
    for (const char *c = err->message; *c != '\0'; c++)
        lines += *c == '\n';
    if (lines != 2 || err->message[strlen(err->message) - 1] != '^')
        abort();
}

/* A tree that is deeper printed than it was written may nest too deeply; nothing else may be wrong with it.
 */
static void check_again(const struct sc_filter *filter, const struct sc_batch *batch)
{
    struct sc_buf first = {0}, second = {0};
    struct sc_filter *again;
    struct sc_error err = {0};
    sc_filter_format(filter, &first);
    sc_buf_append_u8(&first, '\0');
    if (sc_filter_parse(NULL, (const char *)first.data, &again, &err) == SC_OK) {
        sc_filter_format(again, &second);
        sc_buf_append_u8(&second, '\0');
        if (strcmp((const char *)first.data, (const char *)second.data) != 0)
            abort();
        for (uint32_t row = 0; row < ROWS; row++) {
            const struct sc_column *const *columns = (const struct sc_column *const *)batch->columns;
            if (sc_filter_match(filter, columns, batch->slots, row) !=
                sc_filter_match(again, columns, batch->slots, row))
                abort();
        }
        sc_filter_free(again);
    } else if (strstr(err.message, "nests too deeply") == NULL) {
        abort();
    }
    sc_buf_free(&first);
    sc_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct sc_filter *filter;
    struct sc_error err = {0};
    uint64_t a, b;
    memcpy(text, data, size);
    text[size] = '\0';
    if (sc_filter_parse(NULL, text, &filter, &err) == SC_OK) {
        struct sc_batch *batch = make_records();
        check_again(filter, batch);
        sc_batch_free(batch);
        sc_filter_free(filter);
    } else {
        check_message(&err);
    }
    sc_time_parse_range(text, UINT64_C(1795428672345), false, &a, &b, &err);
    sc_time_parse_span(text, &a, &err);
    free(text);
    return 0;
}
