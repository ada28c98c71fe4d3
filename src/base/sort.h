// SPDX-License-Identifier: BSD-3-Clause
/* Sorting that can be stopped: millions of records take seconds, and Ctrl-C must not wait for them. */
#ifndef SC_BASE_SORT_H
#define SC_BASE_SORT_H

#include "base/status.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * As qsort_r, for `count` elements of `size` bytes at `base`. `cancel` (may be NULL) is looked at every few
 * milliseconds. @return SC_OK; SC_CANCELLED once it is not 0; SC_NOMEM. Unless SC_OK the elements are in no order, and
 * some may be lost.
 */
enum sc_status sc_sort(void *base, uint64_t count, size_t size,
                       int (*compare)(const void *, const void *, void *), void *arg,
                       const atomic_int *cancel);

#endif
