// SPDX-License-Identifier: BSD-3-Clause
/* Totals of all segments of a source by protocol, from statistics; only where batches are held twice are rows read. */
#ifndef SC_QUERY_TOTALS_H
#define SC_QUERY_TOTALS_H

#include "source/source.h"

/* Adds to *out. @return SC_OK or SC_NOMEM. */
enum sc_status sc_query_totals(struct sc_source *source, struct sc_row_stats *out, struct sc_error *err);

#endif
