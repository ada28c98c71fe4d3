// SPDX-License-Identifier: BSD-3-Clause
#include "cli/query_print.h"

#include "base/clock.h"
#include "base/saturate.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- records ---- */

bool sc_print_write(void *arg, const void *bytes, size_t count)
{
    struct sc_print *print = arg;
    if (print->progress != NULL && count != 0) {
        sc_progress_end(print->progress);
        print->progress = NULL;
    }
    if (!print->failed && count != 0 && fwrite(bytes, 1, count, stdout) != count) {
        print->failed = true;
        print->errnum = errno; /* of this thread, which need not be the one that ends the output */
    }
    return !print->failed;
}

static void put(struct sc_print *print, const char *text)
{
    sc_print_write(print, text, strlen(text));
}

/* Only now: a query that fails before its first record writes nothing at all. */
static void begin_object(struct sc_print *print, struct sc_buf *text)
{
    if (print->format == SC_OUTPUT_JSON && !print->begun)
        sc_buf_append_str(text, "{");
    print->begun = true;
}

static void put_buf(struct sc_print *print, struct sc_buf *buf)
{
    if (sc_buf_ok(buf))
        sc_print_write(print, buf->data, buf->len);
    else
        print->failed = true;
    sc_buf_clear(buf);
}

/* A line of its own before the table: statistic,NAME. */
static void put_csv_name(const char *name, struct sc_buf *out)
{
    size_t length = strlen(name);
    uint8_t *place;
    sc_buf_append_str(out, "statistic,");
    place = sc_buf_reserve(out, 2 * length + 2);
    if (place != NULL)
        out->len +=
            (size_t)(sc_show_csv_string((char *)place, (const uint8_t *)name, length) - (char *)place);
    sc_buf_append_str(out, "\n");
}

void sc_print_begin_records(struct sc_print *print, const char *name, const struct sc_output *output)
{
    struct sc_buf text = {0};
    begin_object(print, &text);
    print->statistic = name;
    if (print->format == SC_OUTPUT_JSON) {
        if (name != NULL) {
            sc_buf_append_str(&text, print->results_open ? ",\n" : "\"results\": [\n");
            print->results_open = true;
            sc_buf_append_str(&text, "{\"name\": ");
            sc_output_json_string(&text, name, strlen(name));
            sc_buf_append_str(&text, ", ");
        }
        sc_buf_append_str(&text, "\"records\": [\n");
    } else {
        bool apart = print->records_written && print->format != SC_OUTPUT_NDJSON;
        if (apart)
            sc_buf_append_str(&text, "\n");
        if (name != NULL && print->format == SC_OUTPUT_PRETTY)
            sc_buf_printf(&text, "statistic %s\n", name);
        if (name != NULL && print->format == SC_OUTPUT_CSV)
            put_csv_name(name, &text);
        if (output != NULL)
            sc_output_header(output, &text);
    }
    print->records_written = true;
    put_buf(print, &text);
    sc_buf_free(&text);
}

static void group_values(const struct sc_request *request, const struct sc_groups *groups,
                         const uint8_t *entry, struct sc_value values[SC_MAX_COLUMNS])
{
    for (uint32_t i = 0; i < request->column_count; i++)
        values[i] = sc_groups_value(groups, entry, &request->columns[i].result);
}

/* More rows than anybody reads are not looked at twice. */
#define MOST_FITTED 1000

void sc_print_fit_groups(const struct sc_print *print, struct sc_output *output,
                         const struct sc_request *request, const struct sc_groups *groups,
                         const struct sc_result *result)
{
    struct sc_value values[SC_MAX_COLUMNS];
    if (print->format != SC_OUTPUT_PRETTY)
        return;
    for (uint64_t i = 0; i < result->count && i < MOST_FITTED; i++) {
        group_values(request, groups, result->entries[i], values);
        sc_output_fit(output, values);
    }
}

void sc_print_group(struct sc_print *print, const struct sc_output *output, const struct sc_request *request,
                    const struct sc_groups *groups, const uint8_t *entry, bool more)
{
    struct sc_value values[SC_MAX_COLUMNS];
    struct sc_buf text = {0};
    group_values(request, groups, entry, values);
    for (uint32_t i = 0; i < request->column_count; i++) {
        print->saturated = print->saturated || values[i].saturated;
        print->estimated = print->estimated || values[i].estimated;
    }
    if (more && print->format == SC_OUTPUT_JSON)
        sc_buf_append_str(&text, ",\n");
    size_t begin = text.len;
    if (print->statistic != NULL && print->format == SC_OUTPUT_NDJSON) { /* the first member of its object */
        sc_buf_append_str(&text, "{\"statistic\":");
        sc_output_json_string(&text, print->statistic, strlen(print->statistic));
        begin = text.len;
    }
    sc_output_row(output, values, &text);
    if (begin != 0 && sc_buf_ok(&text) && begin < text.len && print->format == SC_OUTPUT_NDJSON)
        text.data[begin] = text.data[begin + 1] == '}' ? ' ' : ',';
    put_buf(print, &text);
    sc_buf_free(&text);
}

void sc_print_end_records(struct sc_print *print)
{
    if (print->format == SC_OUTPUT_JSON)
        put(print, print->results_open ? "\n]}" : "\n]");
}

/* ---- the end ---- */

/* Of statistics. */
#define NO_PROTOCOL 256
#define PROTOCOLS   (NO_PROTOCOL + 1)

static const char *const protocol_names[PROTOCOLS] = {
    [1] = "ICMP", [6] = "TCP", [17] = "UDP", [58] = "ICMPv6", [NO_PROTOCOL] = "none"};

/* Some sum of the answer reached the greatest number that 64 bits hold. */
static bool is_saturated(const struct sc_print *print, const struct sc_print_end *end)
{
    const struct sc_summary *s = end->summary;
    bool found =
        print->saturated ||
        (s != NULL && (s->flows == SC_SATURATED || s->packets == SC_SATURATED || s->bytes == SC_SATURATED));
    for (uint32_t i = 0; end->totals != NULL && i < end->totals->protocol_count && !found; i++) {
        const struct sc_protocol_total *p = &end->totals->protocols[i];
        found = p->flows == SC_SATURATED || p->packets == SC_SATURATED || p->bytes == SC_SATURATED;
    }
    return found;
}

static void json_summary(const struct sc_summary *s, bool scaled, struct sc_buf *out)
{
    sc_buf_printf(out,
                  "\"summary\": {\"records\": %" PRIu64 ", \"flows\": %" PRIu64 ", \"packets\": %" PRIu64
                  ", \"bytes\": %" PRIu64 ", \"sampled_records\": %" PRIu64 ", \"sampling_intervals\": [",
                  s->records, s->flows, s->packets, s->bytes, s->sampled);
    for (uint32_t i = 0; i < s->interval_count; i++)
        sc_buf_printf(out, "%s%" PRIu64, i == 0 ? "" : ", ", s->intervals[i]);
    sc_buf_printf(out, "], \"scaled\": %s}", scaled ? "true" : "false");
}

static void json_totals(const struct sc_row_stats *t, struct sc_buf *out)
{
    sc_buf_append_str(out, "\"metadata\": [");
    for (uint32_t i = 0; i < t->protocol_count; i++) {
        const struct sc_protocol_total *p = &t->protocols[i];
        sc_buf_append_str(out, i == 0 ? "{\"proto\": " : ", {\"proto\": ");
        if (p->protocol == NO_PROTOCOL)
            sc_buf_append_str(out, "null");
        else
            sc_buf_append_u64(out, p->protocol);
        sc_buf_printf(out,
                      ", \"records\": %" PRIu64 ", \"flows\": %" PRIu64 ", \"packets\": %" PRIu64
                      ", \"bytes\": %" PRIu64 "}",
                      p->records, p->flows, p->packets, p->bytes);
    }
    sc_buf_append_str(out, "]");
}

static void json_sentences(const char *key, char *const *sentences, uint32_t count, struct sc_buf *out)
{
    sc_buf_printf(out, "\"%s\": [", key);
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0)
            sc_buf_append_str(out, ", ");
        sc_output_json_string(out, sentences[i], strlen(sentences[i]));
    }
    sc_buf_append_str(out, "], ");
}

static void json_node(const struct sc_node_figures *n, bool records, struct sc_buf *out)
{
    sc_buf_append_str(out, "{\"name\": ");
    sc_output_json_string(out, n->name, strlen(n->name));
    if (n->problem[0] != '\0') {
        sc_buf_append_str(out, ", \"answered\": false, \"problem\": ");
        sc_output_json_string(out, n->problem, strlen(n->problem));
        sc_buf_append_str(out, "}");
        return;
    }
    sc_buf_append_str(out, ", \"answered\": true, \"version\": ");
    sc_output_json_string(out, n->version, strlen(n->version));
    sc_buf_printf(out,
                  ", \"batches\": {\"home\": %" PRIu64 ", \"replica\": %" PRIu64 "}, \"row_groups\": %" PRIu64
                  ", \"row_groups_left_out\": %" PRIu64 ", \"rows_read\": %" PRIu64
                  ", \"bytes_read\": %" PRIu64,
                  n->home_batches, n->replica_batches, n->scan.units_read, n->scan.units_pruned,
                  n->scan.rows_read, n->scan.bytes_read);
    if (records)
        sc_buf_printf(out, ", \"records\": %" PRIu64, n->records);
    sc_buf_append_str(out, "}");
}

static void json_cluster(const struct sc_figures *c, bool records, struct sc_buf *out)
{
    uint64_t home = 0, replica = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        home += c->nodes[i].home_batches;
        replica += c->nodes[i].replica_batches;
    }
    sc_buf_printf(out, "\"cluster\": {\"asked\": %u, \"answered\": %u, ", c->count, c->answered);
    if (c->attempts != 0)
        sc_buf_printf(out, "\"attempts\": %u, ", c->attempts);
    sc_buf_printf(
        out, "\"rounds\": %u, \"batches\": {\"home\": %" PRIu64 ", \"replica\": %" PRIu64 "}, \"nodes\": [",
        c->rounds, home, replica);
    for (uint32_t i = 0; i < c->count; i++) {
        if (i != 0)
            sc_buf_append_str(out, ", ");
        json_node(&c->nodes[i], records, out);
    }
    sc_buf_append_str(out, "]}, ");
}

struct when {
    char text[32];
};

static struct when when(uint64_t ms)
{
    struct when w;
    sc_time_format_utc(ms, w.text, sizeof(w.text));
    return w;
}

static void json_missing(const struct sc_print *print, const struct sc_print_end *end, struct sc_buf *out)
{
    sc_buf_printf(out, "\"complete\": %s, ", end->missing_count == 0 ? "true" : "false");
    json_sentences("missing", end->missing, end->missing_count, out);
    json_sentences("damage", end->damage, end->damage_count, out);
    if (is_saturated(print, end))
        sc_buf_append_str(out, "\"saturated\": true, ");
    if (print->estimated)
        sc_buf_append_str(out, "\"estimated\": {\"standard_error\": 0.0081}, ");
    if (end->known_lost->windows != 0)
        sc_buf_printf(out,
                      "\"known_lost\": {\"windows\": %" PRIu64 ", \"batches\": %" PRIu64
                      ", \"records\": %" PRIu64 "}, ",
                      end->known_lost->windows, end->known_lost->batches, end->known_lost->records);
    if (end->kept_since_ms != 0)
        sc_buf_printf(out, "\"kept_since\": \"%s\", ", when(end->kept_since_ms).text);
    if (end->cluster != NULL)
        json_cluster(end->cluster, end->summary != NULL, out);
    sc_buf_printf(out, "\"elapsed_ms\": %" PRIu64, end->elapsed_ms);
}

/* The members that stand at the end of an object, and its brace. */
static void json_last(const struct sc_print *print, const struct sc_print_end *end, const char *between,
                      struct sc_buf *out)
{
    if (end->summary != NULL) {
        json_summary(end->summary, end->scaled, out);
        sc_buf_append_str(out, between);
    }
    if (end->totals != NULL) {
        json_totals(end->totals, out);
        sc_buf_append_str(out, between);
    }
    json_missing(print, end, out);
    sc_buf_append_str(out, "}\n");
}

static void json_end(const struct sc_print *print, const struct sc_print_end *end, struct sc_buf *out)
{
    if (print->results_open)
        sc_buf_append_str(out, "\n]");
    if (print->records_written)
        sc_buf_append_str(out, ",\n");
    json_last(print, end, ",\n", out);
}

static void ndjson_end(const struct sc_print *print, const struct sc_print_end *end, struct sc_buf *out)
{
    if (end->summary == NULL && end->totals == NULL)
        return;
    sc_buf_append_str(out, "{");
    json_last(print, end, ", ", out);
}

static void csv_end(const struct sc_print *print, const struct sc_print_end *end, struct sc_buf *out)
{
    if (end->summary != NULL)
        sc_buf_printf(out, "%srecords,flows,packets,bytes\n%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
                      print->records_written ? "\n" : "", end->summary->records, end->summary->flows,
                      end->summary->packets, end->summary->bytes);
    if (end->totals == NULL)
        return;
    sc_buf_printf(out, "%sproto,records,flows,packets,bytes\n",
                  print->records_written || end->summary != NULL ? "\n" : "");
    for (uint32_t i = 0; i < end->totals->protocol_count; i++) {
        const struct sc_protocol_total *p = &end->totals->protocols[i];
        if (p->protocol != NO_PROTOCOL)
            sc_buf_append_u64(out, p->protocol);
        sc_buf_printf(out, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", p->records, p->flows,
                      p->packets, p->bytes);
    }
}

/* 1234567 as "1.2 M", or exact where conversions are off. */
static void put_volume(const struct sc_print *print, struct sc_buf *out, unsigned width, uint64_t v)
{
    static const char *const metric[] = {"", " k", " M", " G", " T", " P", " E"};
    static const char *const binary[] = {"", " Ki", " Mi", " Gi", " Ti", " Pi", " Ei"};
    bool by_1024 = print->volume == SC_CONVERT_BINARY;
    double step = by_1024 ? 1024 : 1000;
    unsigned unit = 0;
    char text[32];
    double d = (double)v;
    for (; print->volume != SC_CONVERT_NONE && d >= step - 0.05 && unit < 6; unit++)
        d /= step;
    const char *more = v == SC_SATURATED ? "+" : "";
    if (unit == 0)
        snprintf(text, sizeof(text), "%" PRIu64 "%s", v, more);
    else
        snprintf(text, sizeof(text), "%.1f%s%s", d, (by_1024 ? binary : metric)[unit], more);
    sc_buf_printf(out, "%*s", (int)width, text);
}

static void put_volumes(const struct sc_print *print, struct sc_buf *out, unsigned width, uint64_t flows,
                        uint64_t packets, uint64_t bytes)
{
    put_volume(print, out, width, flows);
    sc_buf_append_str(out, " flows, ");
    put_volume(print, out, width, packets);
    sc_buf_append_str(out, " packets, ");
    put_volume(print, out, width, bytes);
    sc_buf_append_str(out, " bytes");
}

static void pretty_totals(const struct sc_print *print, const struct sc_row_stats *t, struct sc_buf *out)
{
    unsigned width = print->volume == SC_CONVERT_NONE ? 15 : 8;
    sc_buf_append_str(out, "stored, by protocol (from statistics):\n");
    for (uint32_t i = 0; i < t->protocol_count; i++) {
        const struct sc_protocol_total *p = &t->protocols[i];
        const char *name = p->protocol < PROTOCOLS ? protocol_names[p->protocol] : NULL;
        if (name != NULL)
            sc_buf_printf(out, "  %-6s", name);
        else
            sc_buf_printf(out, "  %-6u", p->protocol);
        put_volumes(print, out, width, p->flows, p->packets, p->bytes);
        sc_buf_append_str(out, "\n");
    }
    if (t->protocol_count == 0)
        sc_buf_append_str(out, "  nothing\n");
}

static void pretty_summary(const struct sc_print *print, const struct sc_print_end *end, struct sc_buf *out)
{
    const struct sc_summary *s = end->summary;
    sc_buf_append_str(out, "processed records: ");
    put_volumes(print, out, 0, s->flows, s->packets, s->bytes);
    sc_buf_printf(out, "; %.3f seconds\n", (double)end->elapsed_ms / 1000);
    if (s->sampled == 0)
        return;
    sc_buf_printf(out, "%" PRIu64 " of %" PRIu64 " records are sampled, 1 packet in", s->sampled, s->records);
    for (uint32_t i = 0; i < s->interval_count; i++)
        sc_buf_printf(out, "%s %" PRIu64, i == 0 ? "" : ",", s->intervals[i]);
    sc_buf_append_str(out, s->more_intervals ? ", ...; counters are " : "; counters are ");
    sc_buf_append_str(out, end->scaled ? "scaled up\n" : "as exported\n");
}

/* Sentences may quote what exporters, files or other nodes are called. */
static void put_sentence(struct sc_buf *out, const char *before, const char *sentence, uint32_t more)
{
    sc_buf_append_str(out, before);
    sc_buf_append_visible(out, sentence, strlen(sentence));
    if (more != 0)
        sc_buf_printf(out, ", and %u more", more);
    sc_buf_append_str(out, "\n");
}

static void pretty_cluster(const struct sc_figures *c, struct sc_buf *out)
{
    sc_buf_printf(out, "%u of %u nodes answered", c->answered, c->count);
    if (c->attempts > 1)
        sc_buf_printf(out, ", at the %u. attempt", c->attempts);
    if (c->rounds > 1)
        sc_buf_printf(out, ", in %u rounds of reading", c->rounds);
    sc_buf_append_str(out, "\n");
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->nodes[i].problem[0] == '\0')
            continue;
        sc_buf_append_str(out, "node ");
        sc_buf_append_visible(out, c->nodes[i].name, strlen(c->nodes[i].name));
        put_sentence(out, " takes no part: ", c->nodes[i].problem, 0);
    }
}

static void pretty_end(const struct sc_print *print, const struct sc_print_end *end, struct sc_buf *out)
{
    if (print->records_written && (end->summary != NULL || end->totals != NULL))
        sc_buf_append_str(out, "\n");
    if (end->summary != NULL)
        pretty_summary(print, end, out);
    if (end->totals != NULL)
        pretty_totals(print, end->totals, out);
    if (end->summary != NULL && end->known_lost->windows != 0)
        sc_buf_printf(out, "%" PRIu64 " records known lost in %" PRIu64 " windows\n",
                      end->known_lost->records, end->known_lost->windows);
    if (end->summary != NULL && end->asks_older)
        sc_buf_printf(out, "kept since %s: of older windows some or all were deleted on purpose\n",
                      when(end->kept_since_ms).text);
    if (is_saturated(print, end))
        sc_buf_append_str(out, "+: a sum of 18446744073709551615 or more, or made of one\n");
    if (print->estimated)
        sc_buf_append_str(
            out, "~: an estimate, as the values did not fit the memory limit; its standard error is 0.8 %\n");
    if (end->missing_count != 0)
        put_sentence(out, "PARTIAL ANSWER: ", end->missing[0], end->missing_count - 1);
    if (end->damage_count != 0)
        put_sentence(out, "damage: ", end->damage[0], end->damage_count - 1);
    if (end->cluster != NULL && (end->summary != NULL || end->cluster->answered != end->cluster->count))
        pretty_cluster(end->cluster, out);
}

bool sc_print_end(struct sc_print *print, const struct sc_print_end *end)
{
    struct sc_buf text = {0};
    begin_object(print, &text);
    if (print->format == SC_OUTPUT_JSON)
        json_end(print, end, &text);
    else if (print->format == SC_OUTPUT_NDJSON)
        ndjson_end(print, end, &text);
    else if (print->format == SC_OUTPUT_CSV)
        csv_end(print, end, &text);
    else
        pretty_end(print, end, &text);
    put_buf(print, &text);
    sc_buf_free(&text);
    /* A reader that has seen enough (head, less) is no failure. */
    if (fflush(stdout) != 0 && !print->failed) {
        print->failed = true;
        print->errnum = errno;
    }
    return !print->failed || print->errnum == EPIPE;
}

void sc_print_abort(struct sc_print *print)
{
    if (print->format == SC_OUTPUT_JSON && print->begun)
        put(print, "\n");
    fflush(stdout);
}
