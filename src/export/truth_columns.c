// SPDX-License-Identifier: BSD-3-Clause
#include "export/truth.h"

enum field { SRCIP, DSTIP, SRCPORT, DSTPORT, PROTO, FLOWS, PACKETS, BYTES, FIRST, LAST };

enum sc_status sc_truth_columns_init(struct sc_truth_columns *t, struct sc_error *err)
{
    static const char *const names[SC_TRUTH_FIELDS] = {"srcip", "dstip",   "srcport", "dstport", "proto",
                                                       "flows", "packets", "bytes",   "first",   "last"};
    for (unsigned i = 0; i < SC_TRUTH_FIELDS; i++)
        SC_TRY(sc_field_find(NULL, names[i], strlen(names[i]), &t->fields[i], err));
    return SC_OK;
}

enum sc_status sc_truth_add_row(struct sc_truth *truth, const struct sc_truth_columns *t,
                                const struct sc_column *const *columns, uint32_t column_count, uint32_t row)
{
    static const uint8_t absent[SC_TRUTH_FIELDS] = {[SRCPORT] = SC_TRUTH_NO_SOURCE_PORT,
                                                    [DSTPORT] = SC_TRUTH_NO_DESTINATION_PORT,
                                                    [PROTO] = SC_TRUTH_NO_PROTOCOL,
                                                    [FIRST] = SC_TRUTH_NO_FIRST,
                                                    [LAST] = SC_TRUTH_NO_LAST};
    struct sc_value value[SC_TRUTH_FIELDS];
    struct sc_truth_flow flow = {0};
    for (unsigned i = 0; i < SC_TRUTH_FIELDS; i++) {
        value[i] = sc_field_value(&t->fields[i], columns, column_count, row);
        if (value[i].null)
            flow.absent |= absent[i];
    }
    flow.source = value[SRCIP].null ? NULL : &value[SRCIP].addr;
    flow.destination = value[DSTIP].null ? NULL : &value[DSTIP].addr;
    flow.flows = value[FLOWS].u;
    flow.packets = value[PACKETS].null ? 0 : value[PACKETS].u;
    flow.bytes = value[BYTES].null ? 0 : value[BYTES].u;
    flow.first_ms = value[FIRST].null ? 0 : value[FIRST].u;
    flow.last_ms = value[LAST].null ? 0 : value[LAST].u;
    flow.source_port = value[SRCPORT].null ? 0 : (uint16_t)value[SRCPORT].u;
    flow.destination_port = value[DSTPORT].null ? 0 : (uint16_t)value[DSTPORT].u;
    flow.protocol = value[PROTO].null ? 0 : (uint8_t)value[PROTO].u;
    return sc_truth_add(truth, &flow);
}
