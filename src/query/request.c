// SPDX-License-Identifier: BSD-3-Clause
#include "query/request.h"

#include "base/hash.h"
#include "base/text.h"
#include "filter/time_range.h"
#include "group/time_bucket.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static const char default_list_fields[] =
    "first,duration,proto,srcip,srcport,dstip,dstport,flags,packets,bytes";
static const char default_group_fields[] = "duration,flows,packets,bytes,flags,bps,pps,bpp";

/* ---- words ---- */

struct word {
    const char *text;
    size_t length;
};

static void trim(struct word *w)
{
    while (w->length > 0 && isspace((unsigned char)w->text[0])) {
        w->text++;
        w->length--;
    }
    while (w->length > 0 && isspace((unsigned char)w->text[w->length - 1]))
        w->length--;
}

/* What the words of a list are added to. */
struct building {
    const struct sc_ie_learned *learned;
    struct sc_request *request;         /* an aggregation */
    bool has_pair;                      /* one of its keys stands for two fields */
    struct sc_request_listing *listing; /* or a listing */
    bool shows_orders;                  /* nobody chose its columns: it shows what it is sorted by */
};

/* Gives the words of a comma-separated list (NULL: none) to `add`, parentheses kept together. */
static enum sc_status each_word(const char *list, struct building *b,
                                enum sc_status (*add)(struct building *b, struct word *w,
                                                      struct sc_error *err),
                                struct sc_error *err)
{
    for (const char *p = list, *start = list; p != NULL; start = p) {
        for (unsigned depth = 0; *p != '\0' && (*p != ',' || depth != 0); p++) {
            depth += *p == '(';
            depth -= *p == ')' && depth > 0;
        }
        struct word w = {start, (size_t)(p - start)};
        trim(&w);
        if (w.length == 0)
            return sc_fail(err, SC_USAGE, "\"%s\": a field is missing between or beside the commas", list);
        SC_TRY(add(b, &w, err));
        p = *p == ',' ? p + 1 : NULL;
    }
    return SC_OK;
}

/* `fields` as it was asked for: NULL for the default, "" for none. */
static const char *chosen(const char *fields, const char *by_default)
{
    if (fields == NULL)
        return by_default;
    return fields[0] == '\0' ? NULL : fields;
}

static bool word_is(const struct word *w, const char *text)
{
    return strlen(text) == w->length && strncasecmp(w->text, text, w->length) == 0;
}

static void copy_label(char label[SC_LABEL_MAX], const char *text, size_t length)
{
    snprintf(label, SC_LABEL_MAX, "%.*s", (int)(length < SC_LABEL_MAX - 1 ? length : SC_LABEL_MAX - 1), text);
}

/* ---- keys ---- */

static bool parse_bits(const struct word *w, unsigned most, uint8_t *out)
{
    unsigned v = 0;
    if (w->length == 0 || w->length > 3)
        return false;
    for (size_t i = 0; i < w->length; i++) {
        if (!isdigit((unsigned char)w->text[i]))
            return false;
        v = v * 10 + (unsigned)(w->text[i] - '0');
    }
    *out = (uint8_t)v;
    return v <= most;
}

static bool is_v6_only(const struct sc_field *field)
{
    return field->source_count != 0 &&
           field->sources[field->source_count - 1].transform == SC_TRANSFORM_FAMILY_V6;
}

/* "24" or "24/64" behind an address: IPv4 and IPv6 prefix lengths. One alone holds for IPv4, or IPv6 where the field has no other. */
static enum sc_status parse_prefixes(const struct word *w, struct sc_group_key *key, struct sc_error *err)
{
    const char *slash = memchr(w->text, '/', w->length);
    struct word v4 = {w->text, slash == NULL ? w->length : (size_t)(slash - w->text)};
    bool of_v6 = is_v6_only(&key->field) && slash == NULL;
    bool good = of_v6 ? parse_bits(&v4, 128, &key->prefix6) : parse_bits(&v4, 32, &key->prefix4);
    if (good && slash != NULL) {
        struct word v6 = {slash + 1, w->length - v4.length - 1};
        good = parse_bits(&v6, 128, &key->prefix6);
    }
    return good ? SC_OK
                : sc_fail(err, SC_USAGE,
                          "\"/%.*s\": expected a prefix length for IPv4 (0 to 32), or two, the second for "
                          "IPv6, as in "
                          "/24/64 (/32/64: of IPv6 only)",
                          (int)w->length, w->text);
}

/* What has a size, and ports: numbers that only name something have no neighbours. */
static bool is_amount(const struct sc_field *field)
{
    static const uint16_t ports[] = {7, 11, 180, 181, 182, 183, 227, 228};
    bool amount = field->combine == SC_COMBINE_SUM || field->computed != SC_COMPUTED_NONE ||
                  (field->unit != NULL && strcmp(field->unit, "-") != 0);
    const struct sc_column_key *key = &field->sources[0].key;
    bool standard = field->source_count != 0 && key->pen == SC_PEN_IANA;
    for (size_t i = 0; standard && i < sizeof(ports) / sizeof(ports[0]); i++)
        amount = amount || key->id == ports[i];
    amount = amount || (key->pen != SC_PEN_IANA && key->pen != SC_PEN_COLLECTOR); /* who knows */
    return field->type == SC_VALUE_UINT && amount;
}

static enum sc_status parse_bucket(const struct word *w, struct sc_group_key *key, struct sc_error *err)
{
    char text[64];
    snprintf(text, sizeof(text), "%.*s", (int)(w->length < sizeof(text) ? w->length : sizeof(text) - 1),
             w->text);
    bool duration = key->field.computed == SC_COMPUTED_DURATION; /* in ms, or with a unit */
    bool unitless = text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
    if (key->field.type == SC_VALUE_TIME_MS && unitless)
        return sc_fail(err, SC_USAGE, "\"/%s\": seconds or milliseconds? Write %s/%ss or %s/%sms", text,
                       key->field.name, text, key->field.name, text);
    if (key->field.type == SC_VALUE_TIME_MS) {
        SC_TRY(sc_time_parse_span(text, &key->bucket, err));
    } else if (is_amount(&key->field)) {
        bool good = duration && text[strspn(text, "0123456789")] != '\0'
                        ? sc_time_parse_span(text, &key->bucket, NULL) == SC_OK
                        : sc_text_number(text, true, &key->bucket);
        key->bucket = good ? key->bucket : 0;
    } else {
        return sc_fail(err, SC_USAGE, "%s takes neither a prefix length nor a bucket", key->field.name);
    }
    return key->bucket != 0
               ? SC_OK
               : sc_fail(err, SC_USAGE, "\"/%s\": expected a bucket size above 0, such as first/5m", text);
}

static enum sc_status groupable(const struct sc_field *field, struct sc_error *err)
{
    if (field->type == SC_VALUE_FLOAT)
        return sc_fail(err, SC_USAGE, "%s is a rate and cannot be a key; group by another field",
                       field->name);
    return SC_OK;
}

static enum sc_status parse_key(const struct sc_ie_learned *learned, const struct word *w,
                                struct sc_group_key *key, char label[SC_LABEL_MAX], struct sc_error *err)
{
    const char *slash = memchr(w->text, '/', w->length);
    struct word name = {w->text, slash == NULL ? w->length : (size_t)(slash - w->text)};
    struct sc_field pair[2];
    *key = (struct sc_group_key){.prefix4 = SC_NO_PREFIX, .prefix6 = SC_NO_PREFIX};
    trim(&name);
    key->pair = sc_field_find_pair(name.text, name.length, pair);
    if (key->pair) {
        key->field = pair[0];
        key->other = pair[1];
    } else {
        SC_TRY(sc_field_find(learned, name.text, name.length, &key->field, err));
    }
    SC_TRY(groupable(&key->field, err));
    copy_label(label, name.text, name.length);
    if (slash == NULL)
        return SC_OK;
    struct word rest = {slash + 1, w->length - (size_t)(slash + 1 - w->text)};
    trim(&rest);
    return key->field.type == SC_VALUE_ADDRESS ? parse_prefixes(&rest, key, err)
                                               : parse_bucket(&rest, key, err);
}

static bool has_label(const struct sc_request *r, const char *label)
{
    for (uint32_t i = 0; i < r->column_count; i++) {
        if (strcasecmp(r->columns[i].label, label) == 0)
            return true;
    }
    return false;
}

static enum sc_status add_key(struct building *b, struct word *w, struct sc_error *err);

/* Networks of one address and other lengths are others: the length is a key beside it. */
static enum sc_status add_mask(struct building *b, const struct sc_group_key *key, struct sc_error *err)
{
    const char *address, *mask;
    if (!sc_field_is_network(&key->field, &address, &mask) || has_label(b->request, mask))
        return SC_OK;
    return add_key(b, &(struct word){mask, strlen(mask)}, err);
}

static enum sc_status add_key(struct building *b, struct word *w, struct sc_error *err)
{
    struct sc_request *r = b->request;
    struct sc_aggregate *a = &r->aggregate;
    if (a->key_count == SC_MAX_KEYS)
        return sc_fail(err, SC_USAGE, "at most %u keys", SC_MAX_KEYS);
    struct sc_request_column *column = &r->columns[r->column_count];
    char label[SC_LABEL_MAX];
    struct sc_group_key *key = &a->keys[a->key_count];
    SC_TRY(parse_key(b->learned, w, key, label, err));
    if (key->pair && b->has_pair)
        return sc_fail(err, SC_USAGE,
                       "only one key may stand for two fields (ip, port, as, if, vlan, net, mac)");
    b->has_pair = b->has_pair || key->pair;
    if (has_label(r, label)) /* the same field with another prefix: told apart by the whole word */
        copy_label(label, w->text, w->length);
    memcpy(column->label, label, sizeof(label));
    column->field = key->field;
    column->result =
        (struct sc_result_column){.source = SC_RESULT_KEY, .type = key->field.type, .a = a->key_count};
    a->key_count++;
    r->column_count++;
    return key->pair ? SC_OK : add_mask(b, key, err);
}

/* ---- aggregated values ---- */

static uint32_t base(struct sc_aggregate *a, enum sc_field_place place, enum sc_accumulate how)
{
    struct sc_field field;
    sc_field_at(place, &field, NULL);
    return sc_aggregate_add(a, &field, how);
}

static enum sc_status too_many(struct sc_error *err)
{
    return sc_fail(err, SC_USAGE, "too many different output fields for one aggregation (at most %u sums)",
                   SC_MAX_ACCUMULATORS);
}

/* What is made of values groups by them, too. */
static enum sc_status room_for_values(const struct sc_aggregate *a, struct sc_error *err)
{
    return a->key_count < SC_MAX_KEYS
               ? SC_OK
               : sc_fail(err, SC_USAGE, "distinct and percentiles go with at most %u keys", SC_MAX_KEYS - 1);
}

static enum sc_status resolve_computed(struct sc_aggregate *a, const struct sc_field *field,
                                       struct sc_result_column *out, struct sc_error *err)
{
    *out = (struct sc_result_column){
        .source = SC_RESULT_COMPUTED, .computed = field->computed, .type = field->type};
    if (field->computed == SC_COMPUTED_BPP) {
        out->a = base(a, SC_FIELD_BYTES, SC_ACCUMULATE_SUM);
        out->b = base(a, SC_FIELD_PACKETS, SC_ACCUMULATE_SUM);
    } else {
        out->a = base(a, SC_FIELD_FIRST, SC_ACCUMULATE_MIN);
        out->b = base(a, SC_FIELD_LAST, SC_ACCUMULATE_MAX);
    }
    if (field->computed == SC_COMPUTED_BPS)
        out->c = base(a, SC_FIELD_BYTES, SC_ACCUMULATE_SUM);
    else if (field->computed == SC_COMPUTED_PPS)
        out->c = base(a, SC_FIELD_PACKETS, SC_ACCUMULATE_SUM);
    return out->a == UINT32_MAX || out->b == UINT32_MAX || out->c == UINT32_MAX ? too_many(err) : SC_OK;
}

static bool same_field(const struct sc_field *x, const struct sc_field *y)
{
    return strcmp(x->name, y->name) == 0;
}

static bool is_number(const struct sc_field *f)
{
    return f->type == SC_VALUE_UINT || f->type == SC_VALUE_TIME_MS || f->type == SC_VALUE_TIME_NS;
}

static enum sc_status resolve_field(struct sc_aggregate *a, const struct sc_field *field,
                                    struct sc_result_column *out, struct sc_error *err)
{
    for (uint32_t k = 0; k < a->key_count; k++) {
        if (!a->keys[k].pair && same_field(&a->keys[k].field, field)) {
            *out = (struct sc_result_column){.source = SC_RESULT_KEY, .type = field->type, .a = k};
            return SC_OK;
        }
    }
    if (sc_field_is_of_sums(field))
        return resolve_computed(a, field, out, err);
    static const uint8_t how_of[] = {[SC_COMBINE_SUM] = SC_ACCUMULATE_SUM,
                                     [SC_COMBINE_MIN] = SC_ACCUMULATE_MIN,
                                     [SC_COMBINE_MAX] = SC_ACCUMULATE_MAX,
                                     [SC_COMBINE_OR] = SC_ACCUMULATE_OR};
    if (field->combine == SC_COMBINE_NONE && is_number(field))
        return sc_fail(err, SC_USAGE, "%s has no sum: make it a key, or ask for min(%s) or max(%s)",
                       field->name, field->name, field->name);
    if (field->combine == SC_COMBINE_NONE)
        return sc_fail(err, SC_USAGE, "%s has no sum: make it a key", field->name);
    *out = (struct sc_result_column){.source = SC_RESULT_ACCUMULATOR, .type = field->type};
    out->a = sc_aggregate_add(a, field, how_of[field->combine]);
    return out->a == UINT32_MAX ? too_many(err) : SC_OK;
}

/* "distinct(dstip/24)": of what could be a key. */
static enum sc_status resolve_distinct(const struct building *b, const struct word *what,
                                       struct sc_field *field, struct sc_result_column *out,
                                       struct sc_error *err)
{
    struct sc_aggregate *a = &b->request->aggregate;
    struct sc_accumulator x = {.how = SC_ACCUMULATE_DISTINCT};
    char label[SC_LABEL_MAX];
    SC_TRY(parse_key(b->learned, what, &x.key, label, err));
    if (x.key.pair)
        return sc_fail(err, SC_USAGE, "distinct(%s): %s stands for two fields; ask for one of them", label,
                       label);
    SC_TRY(room_for_values(a, err));
    x.field = x.key.field;
    SC_TRY(sc_field_find(NULL, "flows", 5, field, err)); /* a number of things */
    *out = (struct sc_result_column){.source = SC_RESULT_DISTINCT, .type = SC_VALUE_UINT};
    out->a = sc_aggregate_add_like(a, &x);
    x.how = SC_ACCUMULATE_HARMONIC;
    out->b = sc_aggregate_add_like(a, &x);
    return out->a == UINT32_MAX || out->b == UINT32_MAX ? too_many(err) : SC_OK;
}

/* "p50", "p99.9": thousandths; 0 for any other word. */
static unsigned percentile_of(const struct word *function)
{
    unsigned permille = 0;
    size_t i = 1;
    if (word_is(function, "median"))
        return 500;
    if (function->length < 2 || tolower((unsigned char)function->text[0]) != 'p')
        return 0;
    for (; i < function->length && i < 3 && isdigit((unsigned char)function->text[i]); i++)
        permille = permille * 10 + (unsigned)(function->text[i] - '0');
    permille *= 10;
    if (i > 1 && i + 2 == function->length && function->text[i] == '.' &&
        isdigit((unsigned char)function->text[i + 1])) {
        permille += (unsigned)(function->text[i + 1] - '0');
        i += 2;
    }
    return i == function->length ? permille : 0;
}

static enum sc_status resolve_percentile(const struct building *b, const struct word *w, unsigned permille,
                                         struct sc_field *field, struct sc_result_column *out,
                                         struct sc_error *err)
{
    struct sc_aggregate *a = &b->request->aggregate;
    struct sc_accumulator x = {
        .how = SC_ACCUMULATE_PERCENTILE, .permille = (uint16_t)permille, .field = *field};
    if (field->type != SC_VALUE_UINT)
        return sc_fail(err, SC_USAGE, "\"%.*s\": percentiles are of numbers and durations; %s is neither",
                       (int)w->length, w->text, field->name);
    SC_TRY(room_for_values(a, err));
    x.key = (struct sc_group_key){.field = *field, .prefix4 = SC_NO_PREFIX, .prefix6 = SC_NO_PREFIX};
    *out = (struct sc_result_column){.source = SC_RESULT_ACCUMULATOR, .type = field->type};
    out->a = sc_aggregate_add_like(a, &x);
    return out->a == UINT32_MAX ? too_many(err) : SC_OK;
}

/* "min(bytes)", "max(..)", "avg(..)", "sum(..)", "distinct(..)", "p95(..)". */
static enum sc_status resolve_function(const struct building *b, const struct word *w, struct sc_field *field,
                                       struct sc_result_column *out, struct sc_error *err)
{
    struct sc_aggregate *a = &b->request->aggregate;
    const char *open = memchr(w->text, '(', w->length);
    struct word function = {w->text, (size_t)(open - w->text)};
    struct word name = {open + 1, w->length - function.length - 2};
    trim(&function);
    trim(&name);
    if (word_is(&function, "distinct"))
        return resolve_distinct(b, &name, field, out, err);
    SC_TRY(sc_field_find(b->learned, name.text, name.length, field, err));
    if (percentile_of(&function) != 0)
        return resolve_percentile(b, w, percentile_of(&function), field, out, err);
    bool avg = word_is(&function, "avg");
    enum sc_accumulate how = word_is(&function, "min")   ? SC_ACCUMULATE_MIN
                             : word_is(&function, "max") ? SC_ACCUMULATE_MAX
                                                         : SC_ACCUMULATE_SUM;
    if (how == SC_ACCUMULATE_SUM && !avg && !word_is(&function, "sum"))
        return sc_fail(err, SC_USAGE,
                       "\"%.*s\": the functions are min, max, avg, sum, distinct, median and p1 to p99.9",
                       (int)function.length, function.text);
    if (!is_number(field))
        return sc_fail(err, SC_USAGE, "%s is no number: it has no %.*s", field->name, (int)function.length,
                       function.text);
    *out = (struct sc_result_column){.source = avg ? SC_RESULT_AVERAGE : SC_RESULT_ACCUMULATOR,
                                     .type = avg ? SC_VALUE_FLOAT : field->type};
    out->a = sc_aggregate_add(a, field, how);
    out->b = avg ? sc_aggregate_add(a, field, SC_ACCUMULATE_COUNT) : 0;
    if (avg)
        field->type = SC_VALUE_FLOAT;
    return out->a == UINT32_MAX || out->b == UINT32_MAX ? too_many(err) : SC_OK;
}

static enum sc_status resolve(const struct building *b, const struct word *w, struct sc_field *field,
                              struct sc_result_column *out, struct sc_error *err)
{
    if (w->length > 2 && w->text[w->length - 1] == ')' && memchr(w->text, '(', w->length) != NULL)
        return resolve_function(b, w, field, out, err);
    SC_TRY(sc_field_find(b->learned, w->text, w->length, field, err));
    return resolve_field(&b->request->aggregate, field, out, err);
}

static enum sc_status add_value(struct building *b, struct word *w, struct sc_error *err)
{
    struct sc_request *r = b->request;
    char label[SC_LABEL_MAX];
    copy_label(label, w->text, w->length);
    if (has_label(r, label))
        return SC_OK;
    if (r->column_count == SC_MAX_COLUMNS)
        return sc_fail(err, SC_USAGE, "at most %u columns", SC_MAX_COLUMNS);
    struct sc_request_column *column = &r->columns[r->column_count];
    SC_TRY(resolve(b, w, &column->field, &column->result, err));
    memcpy(column->label, label, sizeof(label));
    r->column_count++;
    return SC_OK;
}

/* ---- orders ---- */

/* Sizes are best seen from the top, all else from the bottom. */
static bool default_descending(const struct sc_field *field)
{
    return field->combine == SC_COMBINE_SUM || field->type == SC_VALUE_FLOAT ||
           field->computed == SC_COMPUTED_DURATION;
}

static enum sc_status parse_direction(struct word *w, bool *explicit_direction, bool *descending,
                                      struct sc_error *err)
{
    const char *hash = memchr(w->text, '#', w->length);
    *explicit_direction = hash != NULL;
    if (hash == NULL)
        return SC_OK;
    struct word direction = {hash + 1, w->length - (size_t)(hash + 1 - w->text)};
    trim(&direction);
    *descending = word_is(&direction, "desc");
    if (!*descending && !word_is(&direction, "asc"))
        return sc_fail(err, SC_USAGE, "\"#%.*s\": a sort direction is asc or desc", (int)direction.length,
                       direction.text);
    w->length = (size_t)(hash - w->text);
    trim(w);
    return SC_OK;
}

static enum sc_status add_order(struct building *b, struct word *w, struct sc_error *err)
{
    struct sc_request *r = b->request;
    bool given, descending = false;
    struct sc_field field;
    if (r->order_count == SC_MAX_ORDERS)
        return sc_fail(err, SC_USAGE, "at most %u sort keys", SC_MAX_ORDERS);
    SC_TRY(parse_direction(w, &given, &descending, err));
    struct sc_result_order *order = &r->orders[r->order_count];
    /* A label of a column first: with pair keys and prefixes the field alone would not tell which. */
    order->column.source = UINT8_MAX;
    for (uint32_t i = 0; i < r->column_count; i++) {
        if (word_is(w, r->columns[i].label)) {
            order->column = r->columns[i].result;
            field = r->columns[i].field;
        }
    }
    if (order->column.source == UINT8_MAX)
        SC_TRY(resolve(b, w, &field, &order->column, err));
    order->descending = given ? descending : default_descending(&field);
    r->order_count++;
    return add_value(b, w, err);
}

enum sc_status sc_request_aggregate(const struct sc_ie_learned *learned, const char *keys, const char *orders,
                                    const char *fields, struct sc_request *out, struct sc_error *err)
{
    struct building b = {.learned = learned, .request = out};
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "%s", keys);
    SC_TRY(each_word(keys, &b, add_key, err));
    SC_TRY(each_word(chosen(fields, default_group_fields), &b, add_value, err));
    SC_TRY(each_word(orders, &b, add_order, err));
    out->aggregate.seed = sc_hash_draw_seed();
    sc_aggregate_prepare(&out->aggregate);
    return SC_OK;
}

/* ---- statistics ---- */

/* nfdump's way: "srcip/bytes". The word behind the last slash is a statistic, not a prefix. */
static const char *nfdump_order(const char *keys)
{
    static const char *const words[] = {"flows", "packets", "bytes", "pps", "bps", "bpp"};
    const char *slash = strrchr(keys, '/');
    for (unsigned i = 0; slash != NULL && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(slash + 1, words[i]) == 0)
            return slash;
    }
    return NULL;
}

enum sc_status sc_request_split_statistic(const char *text, char *keys, char *orders, struct sc_error *err)
{
    const char *hash = strchr(text, '#');
    size_t length = hash == NULL ? strlen(text) : (size_t)(hash - text);
    memcpy(keys, text, length);
    keys[length] = '\0';
    if (keys[0] == '\0')
        return sc_fail(err, SC_USAGE,
                       "\"%s\": a statistic is KEY[,KEY..][#SORT[#asc|desc]], e.g. srcip#bytes", text);
    static const char by_flows[] = "flows#desc";
    memcpy(orders, by_flows, sizeof(by_flows));
    if (hash != NULL) {
        memcpy(orders, hash + 1, strlen(hash + 1) + 1);
        if (orders[0] == '\0')
            return sc_fail(err, SC_USAGE, "\"%s\": a sort field is missing behind #", text);
        return SC_OK;
    }
    const char *slash = nfdump_order(keys);
    if (slash != NULL) {
        memcpy(orders, slash + 1, strlen(slash + 1) + 1);
        keys[slash - keys] = '\0';
    }
    return SC_OK;
}

/* ---- listings ---- */

enum sc_status sc_request_add_column(struct sc_request_listing *listing, const struct sc_field *field,
                                     const char *label, struct sc_error *err)
{
    uint32_t n = listing->column_count;
    if (n == SC_MAX_COLUMNS)
        return sc_fail(err, SC_LIMIT, "at most %u columns", SC_MAX_COLUMNS);
    snprintf(listing->labels[n], SC_LABEL_MAX, "%s", label);
    listing->fields[n] = *field;
    listing->columns[n] = (struct sc_output_column){.field = *field, .label = listing->labels[n]};
    listing->column_count++;
    return SC_OK;
}

static enum sc_status add_listed(struct building *b, struct word *w, struct sc_error *err)
{
    struct sc_field field;
    char label[SC_LABEL_MAX];
    SC_TRY(sc_field_find(b->learned, w->text, w->length, &field, err));
    copy_label(label, w->text, w->length);
    return sc_request_add_column(b->listing, &field, label, err);
}

static bool is_listed(const struct sc_request_listing *listing, const struct sc_field *field)
{
    bool found = false;
    for (uint32_t i = 0; i < listing->column_count; i++)
        found = found || same_field(&listing->fields[i], field);
    return found;
}

static enum sc_status add_list_order(struct building *b, struct word *w, struct sc_error *err)
{
    struct sc_request_listing *listing = b->listing;
    bool given, descending = false;
    if (listing->order_count == SC_MAX_ORDERS)
        return sc_fail(err, SC_USAGE, "at most %u sort keys", SC_MAX_ORDERS);
    struct sc_list_order *order = &listing->orders[listing->order_count];
    SC_TRY(parse_direction(w, &given, &descending, err));
    SC_TRY(sc_field_find(b->learned, w->text, w->length, &order->field, err));
    if (b->shows_orders && !is_listed(listing, &order->field))
        SC_TRY(add_listed(b, w, err));
    if (order->field.type == SC_VALUE_STRING || order->field.type == SC_VALUE_BYTES)
        return sc_fail(err, SC_USAGE, "records cannot be sorted by %s, which is text", order->field.name);
    order->descending = given ? descending : default_descending(&order->field);
    listing->order_count++;
    return SC_OK;
}

enum sc_status sc_request_list(const struct sc_ie_learned *learned, const char *fields, const char *orders,
                               struct sc_request_listing *out, struct sc_error *err)
{
    struct building b = {.learned = learned, .listing = out, .shows_orders = fields == NULL};
    memset(out, 0, sizeof(*out));
    SC_TRY(each_word(chosen(fields, default_list_fields), &b, add_listed, err));
    return each_word(orders, &b, add_list_order, err);
}

/* ---- sampling ---- */

static void make_local(struct sc_group_key *key)
{
    key->local = key->field.type == SC_VALUE_TIME_MS && sc_time_bucket_is_local(key->bucket);
}

void sc_request_local_time(struct sc_request *request)
{
    struct sc_aggregate *a = &request->aggregate;
    for (uint32_t k = 0; k < a->key_count; k++)
        make_local(&a->keys[k]);
    for (uint32_t i = 0; i < a->accumulator_count; i++)
        make_local(&a->accumulators[i].key);
}

void sc_request_scale(struct sc_request *r)
{
    for (uint32_t k = 0; k < r->aggregate.key_count; k++)
        sc_field_scale(&r->aggregate.keys[k].field);
    for (uint32_t i = 0; i < r->aggregate.accumulator_count; i++) {
        sc_field_scale(&r->aggregate.accumulators[i].field);
        sc_field_scale(&r->aggregate.accumulators[i].key.field);
    }
}

void sc_request_list_scale(struct sc_request_listing *listing)
{
    for (uint32_t i = 0; i < listing->column_count; i++)
        sc_field_scale(&listing->fields[i]);
    for (uint32_t i = 0; i < listing->order_count; i++)
        sc_field_scale(&listing->orders[i].field);
}
