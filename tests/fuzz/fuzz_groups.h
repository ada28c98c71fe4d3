// SPDX-License-Identifier: BSD-3-Clause
/* What fuzz_groups reads, by the first byte of an input: the aggregation, and whether the rest is its groups, or what the first of its
 * distinct values or percentiles is made of. */
#ifndef TESTS_FUZZ_GROUPS_H
#define TESTS_FUZZ_GROUPS_H

#include "group/part.h"

struct fuzz_shape {
    const char *keys, *orders, *fields;
};

static const struct fuzz_shape fuzz_shapes[] = {
    {"srcip,dstport", "bytes", NULL},
    {"proto", "flows", "flows"},
    {"appname,srcip/24/64,app", "appname", "min(bytes),avg(packets),last"},
    {"first/5m,mibObjectValueInteger,srcmac", "mibObjectValueInteger#asc", "bps,pps,bpp,duration"},
    {"srcip,dstip,srcport,dstport,proto,tos,srcas,dstas,inif,outif", "bytes#asc,srcip",
     "flows,bytes,packets,flags,min(bytes),max(bytes),min(packets),max(packets),min(tos),max(tos),first,"
     "last"},
    {"srcip,appname", "distinct(dstip)", "distinct(dstip),bytes"},
    {"proto,srcip,dstport,tos,srcas,dstas", "distinct(appname)", "distinct(appname)"},
    {"srcip", "p95(bytes)", "p95(bytes),p50(bytes),flows"},
};

#define FUZZ_SHAPES (sizeof(fuzz_shapes) / sizeof(fuzz_shapes[0]))

enum fuzz_part { FUZZ_GROUPS, FUZZ_VALUES, FUZZ_REGISTERS, FUZZ_PARTS };

/* What is read into; NULL: the aggregation has no such part. */
static inline struct sc_groups *fuzz_target(struct sc_groups *groups, unsigned part)
{
    uint32_t count;
    if (part == FUZZ_GROUPS)
        return groups;
    if (sc_groups_make_values(groups, &count) != SC_OK || count == 0)
        return NULL;
    if (part == FUZZ_REGISTERS && (sc_groups_aggregate(*sc_groups_values(groups, 0))->hash_by_group ||
                                   sc_groups_estimate_values(groups, 0) != SC_OK))
        return NULL;
    return *sc_groups_values(groups, 0);
}

#endif
