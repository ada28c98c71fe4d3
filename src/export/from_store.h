// SPDX-License-Identifier: BSD-3-Clause
/*
 * The flow records of a store, encoded anew. Records go out in the store's order from one exporter with
 * observation domain 1; in IPFIX each carries its original exporter and domain (IE 403/404, 405) and its
 * receive time (258). The export time is the latest receive time of the row group, so that the same store
 * gives the same messages. A batch that the store holds twice is sent once; options records are not sent.
 */
#ifndef SC_EXPORT_FROM_STORE_H
#define SC_EXPORT_FROM_STORE_H

#include "export/run.h"
#include "flow/batch.h"
#include "wire/encoder.h"

struct sc_from_store_options {
    const char *path;                  /* a store, a part of one, or a segment */
    struct sc_encoder_options encoder; /* domain, origin and system_init_ms are set here */
    /* Whether to send a row; NULL: all. `columns` may have NULL entries. */
    bool (*match)(void *arg, const struct sc_column *const *columns, uint32_t column_count, uint32_t row);
    void *arg;
};

/*
 * @return SC_OK; SC_CANCELLED; SC_DAMAGED: some row groups could not be read (*err names the first), all
 * others are sent; SC_NOTFOUND, SC_NOT_OURS: no store; SC_IO; SC_NOMEM.
 */
enum sc_status sc_export_from_store(struct sc_export_run *run, const struct sc_from_store_options *options,
                                    struct sc_export_totals *totals, struct sc_error *err);

#endif
