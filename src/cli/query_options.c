// SPDX-License-Identifier: BSD-3-Clause
#include "cli/query_options.h"

#include "base/machine.h"
#include "base/text.h"
#include "cli/options.h"
#include "conf/config.h"
#include "filter/time_range.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_STORE "/var/lib/securitycloud"

/* A line of the text is a line here. */
/* clang-format off */
static const char usage[] =
    "usage: sc-query [options] [PATH...]\n"
    "       sc-query --cluster[=FILE] [options] [PATH...]\n"
    "PATH is a store, a part of one (year, month, day folder) or a segment; default " DEFAULT_STORE "\n"
    "\n"
    "what\n"
    "  -f, --filter=FILTER        only matching records, e.g. 'src net 10.0.0.0/8 and dst port 53'\n"
    "  -T, --time-range=B[#E]     records with B <= first < E; E defaults to now\n"
    "  -t, --time-point=P         the window (receive time) that holds P\n"
    "      --time-field=FIELD     first (default), last, received or overlap, for -T\n"
    "      --time-zone=ZONE       of times given and shown: a TZ name, or system; default UTC\n"
    "      --record-kind=KIND     flows (default) or options (what exporters tell about themselves)\n"
    "      --scale-sampling       bytes and packets times the sampling interval of their record\n"
    "how\n"
    "  -a, --aggregation=KEYS     group by KEY[,KEY..]; srcip/24/64, first/5m; ip, port, as, if, vlan: either side\n"
    "  -s, --statistic=KEYS[#SORT[#DIR]]\n"
    "                             top 10 by SORT (default flows); several -s share one scan\n"
    "  -o, --order=FIELD[#DIR],.. sort; DIR is asc or desc\n"
    "  -l, --limit=N              at most N records; 0 = all\n"
    "all nodes of a cluster\n"
    "      --cluster[=FILE]       its membership file; default: that of " SC_CONFIG_DEFAULT_FILE "\n"
    "                             %n in PATH is a node's name, %h its machine's; default PATH: each node's store\n"
    "      --ssh=COMMAND          what reaches the nodes, with options; default $SC_SSH, or ssh\n"
    "      --stream               write records at once, not when it is sure that they are right\n"
    "output\n"
    "      --output-format=F      pretty (default), csv, json, ndjson\n"
    "      --output-fields=LIST   columns; in groups also min(F) max(F) avg(F) sum(F)\n"
    "                             distinct(F) p50(F) p95(F); all = every stored column\n"
    "      --output-items=LIST    records (r), processed-records-summary (p), metadata-summary (m)\n"
    "      --output-ts-conv=C  --output-duration-conv=C  --output-tcpflags-conv=C  --output-proto-conv=C  --output-volume-conv=C\n"
    "                             none or pretty | none or str | none or str | none or str | none, metric-prefix or binary-prefix\n"
    "running\n"
    "      --num-threads=N        default: all cores\n"
    "      --timeout=SPAN         stop after 30, 5m, ..: the answer is then partial\n"
    "      --node-timeout=SPAN    --cluster: a node that is silent for so long takes no part (default 10)\n"
    "      --memory-limit=BYTES   for groups; 500M, 4G (default a quarter of the memory)\n"
    "      --no-bfindex           do not use Bloom filters\n"
    "      --progress-bar-type=T  none, total, nodes, json (default: total when stderr is a terminal)\n"
    "      --progress-bar-dest=D  stderr (default), stdout, or a file that is rewritten\n"
    "      --explain[=analyze]    tell on stderr what is read and what is left out; and what the time went into\n"
    "  -v, --verbosity=LEVEL      0 quiet, 1 errors, 2 warnings (default), 3 info\n"
    "      --help  --version\n"
    "\n"
    "exit status: 0 complete, 1 nothing could be answered, 2 usage, 3 partial answer\n";
/* clang-format on */

/* ---- options ---- */

enum { TAKE_ITEMS = SC_OPTION_LETTER, TAKE_CLUSTER, TAKE_EXPLAIN };

static enum sc_status take_items(struct sc_query_options *o, const char *text, struct sc_error *err)
{
    char copy[256];
    snprintf(copy, sizeof(copy), "%s", text);
    o->items_records = o->items_summary = o->items_metadata = false;
    char *state = NULL;
    for (char *item = strtok_r(copy, ",", &state); item != NULL; item = strtok_r(NULL, ",", &state)) {
        if (strcmp(item, "r") == 0 || strcmp(item, "records") == 0)
            o->items_records = true;
        else if (strcmp(item, "p") == 0 || strcmp(item, "processed-records-summary") == 0)
            o->items_summary = true;
        else if (strcmp(item, "m") == 0 || strcmp(item, "metadata-summary") == 0)
            o->items_metadata = true;
        else
            return sc_fail(
                err, SC_USAGE,
                "--output-items takes records (r), processed-records-summary (p) and metadata-summary (m)");
    }
    return o->items_records || o->items_summary || o->items_metadata
               ? SC_OK
               : sc_fail(err, SC_USAGE, "--output-items is empty");
}

static enum sc_status take_order(struct sc_query_options *o, const char *text, struct sc_error *err)
{
    if (strcmp(text, "csv") == 0 || strcmp(text, "json") == 0 || strcmp(text, "ndjson") == 0)
        return sc_fail(err, SC_USAGE, "-o takes fields to sort by; the format is --output-format");
    if (o->order != NULL)
        return sc_fail(err, SC_USAGE, "there are two -o: give the fields in one, as in -o bytes,packets");
    o->order = text;
    return SC_OK;
}

static enum sc_status take(void *out, int id, const char *text, struct sc_error *err)
{
    struct sc_query_options *o = out;
    switch (id) {
    case 's':
        if (o->statistic_count == SC_QUERY_MAX_STATISTICS)
            return sc_fail(err, SC_USAGE, "too many -s");
        o->statistics[o->statistic_count++] = text;
        return SC_OK;
    case 'o':
        return take_order(o, text, err);
    case TAKE_ITEMS:
        return take_items(o, text, err);
    case TAKE_EXPLAIN:
        o->explain = true;
        o->analyze = text != NULL;
        return text == NULL || strcmp(text, "analyze") == 0
                   ? SC_OK
                   : sc_fail(err, SC_USAGE, "--explain takes analyze, or nothing");
    default:
        o->of_cluster = true;
        o->cluster = text;
        return SC_OK;
    }
}

static bool read_span(const char *text, uint64_t *ms)
{
    return sc_time_parse_span(text, ms, NULL) == SC_OK;
}

static bool read_bytes(const char *text, uint64_t *bytes)
{
    return sc_text_number(text, true, bytes);
}

#define AT(member) offsetof(struct sc_query_options, member)

/* A row of the tables is a row here. */
/* clang-format off */
static const struct sc_choice times[] = {
    {"first", SC_TIME_FIRST}, {"last", SC_TIME_LAST}, {"received", SC_TIME_RECEIVED}, {"overlap", SC_TIME_OVERLAP}, {NULL, 0}};
static const struct sc_choice kinds[] = {{"flows", false}, {"options", true}, {NULL, 0}};
static const struct sc_choice formats[] = {
    {"pretty", SC_OUTPUT_PRETTY}, {"csv", SC_OUTPUT_CSV}, {"json", SC_OUTPUT_JSON}, {"ndjson", SC_OUTPUT_NDJSON}, {NULL, 0}};
static const struct sc_choice texts[] = {
    {"none", SC_CONVERT_NONE}, {"str", SC_CONVERT_STR}, {"pretty", SC_CONVERT_PRETTY}, {NULL, 0}};
static const struct sc_choice volumes[] = {
    {"none", SC_CONVERT_NONE}, {"metric-prefix", SC_CONVERT_PRETTY}, {"binary-prefix", SC_CONVERT_BINARY}, {NULL, 0}};
static const struct sc_choice bars[] = {
    {"none", SC_PROGRESS_NONE}, {"total", SC_PROGRESS_TOTAL}, {"nodes", SC_PROGRESS_NODES}, {"json", SC_PROGRESS_JSON}, {NULL, 0}};

static const struct sc_option rows[] = {
    {"filter", 'f', SC_OPTION_TEXT, .place = AT(filter), .wrong = "there are two filters: join them with and, or or, in one -f"},
    {"time-range", 'T', SC_OPTION_TEXT, .place = AT(time_range), .wrong = "there are two time ranges: give one -T"},
    {"time-point", 't', SC_OPTION_TEXT, .place = AT(time_point), .wrong = "there are two points of time: give one -t"},
    {"time-field", 0, SC_OPTION_CHOICE, .place = AT(time_field), .choices = times},
    {"time-zone", 0, SC_OPTION_TEXT, .place = AT(time_zone)},
    {"record-kind", 0, SC_OPTION_CHOICE, .place = AT(options_records), .choices = kinds},
    {"scale-sampling", 0, SC_OPTION_FLAG, .place = AT(scale)},
    {"aggregation", 'a', SC_OPTION_TEXT, .place = AT(aggregation), .wrong = "there are two -a: give the keys in one, as in -a srcip,dstport"},
    {"statistic", 's', .type = SC_OPTION_TAKE},
    {"order", 'o', .type = SC_OPTION_TAKE},
    {"limit", 'l', SC_OPTION_NUMBER, .place = AT(limit), .given = AT(limit_given), .wrong = "-l takes a whole number; 0 means all"},
    {"output-format", 0, SC_OPTION_CHOICE, .place = AT(output.format), .choices = formats},
    {"output-fields", 0, SC_OPTION_TEXT, .place = AT(fields)},
    {"output-items", TAKE_ITEMS, .type = SC_OPTION_TAKE},
    {"output-ts-conv", 0, SC_OPTION_CHOICE, .place = AT(output.timestamp), .choices = texts},
    {"output-duration-conv", 0, SC_OPTION_CHOICE, .place = AT(output.duration), .choices = texts},
    {"output-tcpflags-conv", 0, SC_OPTION_CHOICE, .place = AT(output.tcpflags), .choices = texts},
    {"output-proto-conv", 0, SC_OPTION_CHOICE, .place = AT(output.protocol), .choices = texts},
    {"output-volume-conv", 0, SC_OPTION_CHOICE, .place = AT(output.volume), .choices = volumes},
    {"num-threads", 0, SC_OPTION_SMALL, .place = AT(threads), .least = 1, .most = 256, .wrong = "--num-threads takes a number from 1 to 256"},
    {"timeout", 0, SC_OPTION_NUMBER, .place = AT(timeout_ms), .read = read_span, .least = 1,
     .wrong = "--timeout takes a time span above 0, such as 30 or 5m"},
    {"node-timeout", 0, SC_OPTION_NUMBER, .place = AT(node_timeout_ms), .read = read_span, .least = 1000,
     .wrong = "--node-timeout takes a time span of a second or more, such as 30"},
    {"memory-limit", 0, SC_OPTION_NUMBER, .place = AT(memory_limit), .read = read_bytes, .wrong = "--memory-limit takes bytes, such as 500M"},
    {"no-bfindex", 0, SC_OPTION_FLAG, .place = AT(no_bloom)},
    {"progress-bar-type", 0, SC_OPTION_CHOICE, .place = AT(progress), .choices = bars},
    {"progress-bar-dest", 0, SC_OPTION_TEXT, .place = AT(progress_dest)},
    {"explain", TAKE_EXPLAIN, .type = SC_OPTION_TAKE_MAYBE},
    {"cluster", TAKE_CLUSTER, .type = SC_OPTION_TAKE_MAYBE},
    {"ssh", 0, SC_OPTION_TEXT, .place = AT(ssh)},
    {"stream", 0, SC_OPTION_FLAG, .place = AT(stream)},
    {"now", 0, SC_OPTION_NUMBER, .place = AT(now_ms), .wrong = "--now takes a number"}, /* between sc-query and its ranks: ms since 1970 */
    {"verbosity", 'v', SC_OPTION_SMALL, .place = AT(verbosity), .most = 4, .wrong = "-v takes a level from 0 to 4"},
    {"help", 0, SC_OPTION_SAY, .wrong = usage},
    {"version", 0, SC_OPTION_SAY, .wrong = "sc-query " SC_VERSION "\n"},
};
/* clang-format on */

static const struct sc_options options = {.program = "sc-query",
                                          .hint = "Try 'sc-query --help'.\n",
                                          .rows = rows,
                                          .count = sizeof(rows) / sizeof(rows[0]),
                                          .take = take};

int sc_query_fail_usage(const char *sentence)
{
    return sc_options_fail(&options, sentence);
}

int sc_query_options_parse(int argc, char **argv, struct sc_query_options *o)
{
    static const char *const default_paths[] = {DEFAULT_STORE};
    *o = (struct sc_query_options){.verbosity = 2, .progress_dest = "stderr"};
    int code = sc_options_read(&options, argc, argv, o);
    if (code >= 0)
        return code;
    o->paths = optind < argc ? (const char *const *)argv + optind : default_paths;
    o->path_count = optind < argc ? (unsigned)(argc - optind) : 1;
    o->paths_given = optind < argc;
    if (o->statistic_count != 0 && o->aggregation != NULL)
        return sc_query_fail_usage("-s and -a exclude each other: -s KEYS#SORT is -a KEYS -o SORT -l 10");
    if (o->time_point != NULL && o->time_range != NULL)
        return sc_query_fail_usage("-t and -T exclude each other");
    if (o->statistic_count != 0 && o->limit_given == NULL)
        o->limit = 10;
    if (!o->items_records && !o->items_summary && !o->items_metadata) {
        o->items_records = true;
        o->items_summary = o->output.format == SC_OUTPUT_PRETTY || o->output.format == SC_OUTPUT_JSON;
    }
    if (o->threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        o->threads = cores < 1 ? 1 : cores > 256 ? 256 : (unsigned)cores;
    }
    if (o->memory_limit == 0)
        o->memory_limit = sc_machine_memory("") / 4;
    return -1;
}
