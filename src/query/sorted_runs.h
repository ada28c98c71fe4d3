// SPDX-License-Identifier: BSD-3-Clause
/*
 * Records as text, sorted by their places, as many as there are: each thread fills a run; one that passes its share of the memory is
 * sorted and goes to a file without a name (group/spill_file.h), and in the end all runs are merged.
 */
#ifndef SC_QUERY_SORTED_RUNS_H
#define SC_QUERY_SORTED_RUNS_H

#include "query/engine.h"
#include "query/place.h"

struct sc_sorted_runs;

/* `memory_limit` bytes for all of it, about; 0: no file. NULL without memory. */
struct sc_sorted_runs *sc_sorted_runs_create(uint32_t orders, unsigned threads, uint64_t memory_limit,
                                             const atomic_int *cancel);
void sc_sorted_runs_free(struct sc_sorted_runs *runs);

/* A thread's record: its text is appended to what begin returns, end takes it. One record at a time of each thread.
 * @return SC_OK, SC_NOMEM, SC_FULL, SC_CANCELLED. */
struct sc_buf *sc_sorted_runs_begin(struct sc_sorted_runs *runs, unsigned thread);
enum sc_status sc_sorted_runs_end(struct sc_sorted_runs *runs, unsigned thread, const struct sc_place *place,
                                  struct sc_error *err);

/*
 * When all threads are done: the first `limit` (0: all) in order to the sink, `separator` between them. Ends early, and well, when nobody reads.
 * @return SC_OK; SC_NOMEM, SC_FULL: the file cannot be written or read; SC_CANCELLED.
 */
enum sc_status sc_sorted_runs_write(struct sc_sorted_runs *runs, const struct sc_sink *sink,
                                    const char *separator, uint64_t limit, struct sc_error *err);

#endif
