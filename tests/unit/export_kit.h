// SPDX-License-Identifier: BSD-3-Clause
/* For the tests of src/export: runs into files, files read back, the truth as JSON. */
#ifndef SC_TESTS_EXPORT_KIT_H
#define SC_TESTS_EXPORT_KIT_H

// clang-format off
// clang-format on

#include "export/run.h"

#include "unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bytes {
    uint8_t *data;
    size_t length;
};

static inline struct bytes read_file(const char *path)
{
    struct bytes b = {malloc(64 << 20), 0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(b.data);
    b.length = fread(b.data, 1, 64 << 20, file);
    fclose(file);
    return b;
}

static inline void assert_same_files(const char *x, const char *y)
{
    struct bytes a = read_file(x), b = read_file(y);
    assert_true(a.length > 0);
    assert_int_equal(a.length, b.length);
    assert_memory_equal(a.data, b.data, a.length);
    free(a.data);
    free(b.data);
}

/* A run into one file, with a truth; it never stops by itself. */
static inline struct sc_export_run run_to_file(const char *path, uint32_t exporters)
{
    static const volatile sig_atomic_t never = 0;
    struct sc_target target;
    assert_int_equal(sc_target_parse_file(path, &target, NULL), SC_OK);
    struct sc_export_run run = {.stop = &never, .truth = sc_truth_create()};
    run.sender = sc_sender_open(&target, 1, exporters, NULL);
    assert_non_null(run.sender);
    assert_non_null(run.truth);
    return run;
}

/* Ends a run; its truth, without what only the encoder knows, is the caller's (json_decref). */
static inline json_t *end_run(struct sc_export_run *run)
{
    struct sc_truth_export sent = {0};
    struct sc_buf text = {0};
    assert_int_equal(sc_sender_close(run->sender, NULL, NULL), SC_OK);
    assert_int_equal(sc_truth_write(run->truth, &sent, &text), SC_OK);
    json_t *root = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_non_null(root);
    sc_buf_free(&text);
    sc_truth_free(run->truth);
    return root;
}

static inline long long truth_number(const json_t *truth, const char *key)
{
    const json_t *v = json_object_get(truth, key);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

#endif
