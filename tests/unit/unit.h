// SPDX-License-Identifier: BSD-3-Clause
/*
 * What all test files have in common: cmocka, and how each names its group of tests, which the program of its room runs
 * (runner.c). The name is the file's:
 *
 *     UNIT(test_url)
 *     {
 *         const struct CMUnitTest tests[] = {cmocka_unit_test(ports)};
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 */
#ifndef SC_TEST_UNIT_H
#define SC_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* @return how many of the file's tests failed */
#define UNIT(name)                                                                                           \
    int name(void);                                                                                          \
    int name(void)

#endif
