// SPDX-License-Identifier: BSD-3-Clause
/*
 * The words of the command line to a query: lists of fields, keys with prefixes and buckets, sort orders,
 * statistics. Used by the program and, through text, by every rank of a cluster query, so that all build the
 * same aggregates.
 */
#ifndef SC_QUERY_REQUEST_H
#define SC_QUERY_REQUEST_H

#include "query/engine.h"

#define SC_LABEL_MAX   80u
#define SC_MAX_COLUMNS 256u
#define SC_MAX_ORDERS  16u

/* One column of an aggregated result. */
struct sc_request_column {
    char label[SC_LABEL_MAX]; /* as the user spelt it */
    struct sc_field field;    /* how the value is shown */
    struct sc_result_column result;
};

/* One aggregation with its order and its columns: keys first, then the sort keys and the output fields. */
struct sc_request {
    char name[256]; /* the text it was made from */
    struct sc_aggregate aggregate;
    struct sc_request_column columns[SC_MAX_COLUMNS];
    uint32_t column_count;
    struct sc_result_order orders[SC_MAX_ORDERS];
    uint32_t order_count;
};

/*
 * Builds an aggregation. `keys`: "srcip/24/64,dstport,first/5m,ip"; `orders`: "bytes#desc,flows" or NULL;
 * `fields`: output fields such as "flows,bytes,max(bytes),avg(packets)", NULL for the default set
 * ("duration,flows,packets,bytes,flags,bps,pps,bpp"), "" for none. `learned` (NULL: none) as in sc_field_find.
 * The aggregate's seed is drawn; ranks whose groups will meet replace it by one that they share.
 * @return SC_OK; SC_NOTFOUND (unknown field), SC_USAGE with a sentence that names the word.
 */
enum sc_status sc_request_aggregate(const struct sc_ie_learned *learned, const char *keys, const char *orders,
                                    const char *fields, struct sc_request *out, struct sc_error *err);

/*
 * Splits a statistic "KEY[,KEY..][#SORT[#asc|desc]]" (also nfdump's "KEY/bytes") into keys and orders,
 * default "flows#desc". The buffers hold at least strlen(text) + 16 bytes.
 */
enum sc_status sc_request_split_statistic(const char *text, char *keys, char *orders, struct sc_error *err);

/* A listing: fields and orders by name. `fields` NULL: the default set. */
struct sc_request_listing {
    struct sc_output_column columns[SC_MAX_COLUMNS];
    char labels[SC_MAX_COLUMNS][SC_LABEL_MAX];
    struct sc_field fields[SC_MAX_COLUMNS];
    uint32_t column_count;
    struct sc_list_order orders[SC_MAX_ORDERS];
    uint32_t order_count;
};

enum sc_status sc_request_list(const struct sc_ie_learned *learned, const char *fields, const char *orders,
                               struct sc_request_listing *out, struct sc_error *err);

/* --scale-sampling: all counters and rates of a request count times the sampling interval (sc_field_scale). */
void sc_request_scale(struct sc_request *request);
void sc_request_list_scale(struct sc_request_listing *listing);

/* Times are shown in the zone of TZ: buckets begin by its wall clock (sc_time_bucket_is_local). */
void sc_request_local_time(struct sc_request *request);

/* Adds a column to a listing. @return SC_LIMIT when it is full. */
enum sc_status sc_request_add_column(struct sc_request_listing *listing, const struct sc_field *field,
                                     const char *label, struct sc_error *err);

#endif
