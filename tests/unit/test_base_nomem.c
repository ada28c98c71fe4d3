// SPDX-License-Identifier: BSD-3-Clause
/*
 * Arrays, tables and rosters without memory: a request in two is refused, and what there was is there still. Linked with --wrap
 * (see CMakeLists.txt).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/roster.h"

#include <stdio.h>
#include <stdlib.h>

#define MANY 1000u

/* ---- the allocator ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refusing;
static uint32_t chance, refused;

static bool refuse(void)
{
    chance = chance * 1664525u + 1013904223u;
    bool now = refusing && (chance >> 31) != 0;
    refused += now;
    return now;
}

void *__wrap_malloc(size_t size)
{
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refuse() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return __real_strdup(text);
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vasprintf(out, format, args);
    va_end(args);
    return n;
}

static int begin_refusing(void **state)
{
    (void)state;
    refusing = true;
    chance = 1;
    refused = 0;
    return 0;
}

static int end_refusing(void **state)
{
    (void)state;
    refusing = false;
    return refused > 3 ? 0 : -1;
}

/* ---- */

static void an_array_stays_as_it_was(void **state)
{
    (void)state;
    uint32_t *list = NULL, count = 0;
    while (count < MANY) {
        uint32_t *before = list;
        if (!sc_array_more(list, count, 1)) {
            assert_ptr_equal(list, before);
            continue;
        }
        list[count] = count;
        count++;
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(list[i], i);
    free(list);
}

static void a_capacity_stays_as_it_was(void **state)
{
    (void)state;
    uint16_t *list = NULL;
    for (uint32_t count = 1, capacity = 0; count <= MANY;) {
        uint32_t before = capacity;
        if (sc_array_reserve(list, capacity, count))
            list[count++ - 1] = 1;
        else
            assert_int_equal(capacity, before);
    }
    free(list);
}

static void a_table_stays_as_it_was(void **state)
{
    (void)state;
    struct sc_table table = {0};
    while (table.count < MANY) {
        if (sc_table_reserve(&table, 1))
            sc_table_add(&table, sc_hash_u64(table.count, 9), table.count);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        struct sc_probe p = sc_table_first(&table, sc_hash_u64(i, 9));
        while (p.number != i && p.number != SC_TABLE_NONE)
            sc_table_next(&table, &p);
        assert_int_equal(p.number, i);
    }
    sc_table_free(&table);
}

static void a_roster_stays_as_it_was(void **state)
{
    (void)state;
    static struct sc_roster_entry entries[MANY];
    struct sc_roster roster = {0};
    while (roster.count < MANY) {
        uint32_t before = roster.count;
        size_t bytes = sc_roster_bytes(&roster);
        bool added = sc_roster_add(&roster, &entries[before], sc_hash_u64(before, 9));
        assert_int_equal(roster.count, before + added);
        assert_true(added || sc_roster_bytes(&roster) == bytes);
    }
    for (uint32_t i = 0; i < MANY; i++)
        assert_ptr_equal(roster.row[entries[i].place], &entries[i]);
    sc_roster_free(&roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_array_stays_as_it_was, begin_refusing, end_refusing),
        cmocka_unit_test_setup_teardown(a_capacity_stays_as_it_was, begin_refusing, end_refusing),
        cmocka_unit_test_setup_teardown(a_table_stays_as_it_was, begin_refusing, end_refusing),
        cmocka_unit_test_setup_teardown(a_roster_stays_as_it_was, begin_refusing, end_refusing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
