// SPDX-License-Identifier: BSD-3-Clause
/* Generated flows to a sender: one encoder for each exporter, paced. */
#ifndef SC_EXPORT_GENERATE_H
#define SC_EXPORT_GENERATE_H

#include "export/generator.h"
#include "export/run.h"
#include "wire/encoder.h"

struct sc_generate_options {
    struct sc_generator_options generator;
    uint64_t flows; /* 0: until stopped */
    uint64_t rate;  /* flows a second that are asked for, 0: none; kept only where run->rate says so too */
    /* Protocol, message size, reliable. Exporter i has observation domain (v9 source id, v5 engine type << 8
     * | id) i + 1. */
    struct sc_encoder_options encoder;
};

/*
 * A message waits at most a second of the export clock for more records. The messages depend on the options
 * and run->rate only.
 * @return SC_OK; SC_CANCELLED when stopped (all that was generated is sent); SC_IO, SC_NOMEM with *err.
 */
enum sc_status sc_export_generate(struct sc_export_run *run, const struct sc_generate_options *options,
                                  struct sc_export_totals *totals, struct sc_error *err);

#endif
