// SPDX-License-Identifier: BSD-3-Clause
/* Makes what is known of days (store/day.h): each second, by a collector; when they are done, by who fills or compacts a store. */
#ifndef SC_STORE_DAYS_H
#define SC_STORE_DAYS_H

#include "store/io.h"

#include <stdbool.h>

/*
 * Of up to `most` folders below a store, and what it holds for other lanes, of which nothing is known, or not any more. Left alone are those that were changed within the last two seconds: a change to come could have the same time. With `settle` these, too, are
 * done: a folder's time of last change is set back then, so that each change to come is told by it. Files of days that are gone are
 * removed. Any thread; others may write the store.
 * @return whether there are more than `most`. What is busy, or cannot be written, is no loss, and left for another time; after one that
 * cannot be written no other is read, as it would be for nothing.
 */
bool sc_days_make(const char *store, unsigned most, bool settle, struct sc_io *io);

#endif
