// SPDX-License-Identifier: BSD-3-Clause
#include "cli/query_options.h"

#include "base/text.h"
#include "conf/config.h"
#include "filter/time_range.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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
    "      --output-fields=LIST   columns; in groups also min(F) max(F) avg(F) sum(F); all = every stored column\n"
    "      --output-items=LIST    records (r), processed-records-summary (p), metadata-summary (m)\n"
    "      --output-ts-conv=C  --output-duration-conv=C  --output-tcpflags-conv=C  --output-proto-conv=C  --output-volume-conv=C\n"
    "                             none or pretty | none or str | none or str | none or str | none, metric-prefix or binary-prefix\n"
    "running\n"
    "      --num-threads=N        default: all cores\n"
    "      --timeout=SPAN         stop after 30, 5m, ..: the answer is then partial\n"
    "      --node-timeout=SPAN    --cluster: a node that is silent for so long takes no part (default 10)\n"
    "      --memory-limit=BYTES   for groups; 500M, 4G\n"
    "      --no-bfindex           do not use Bloom filters\n"
    "      --progress-bar-type=T  none, total, nodes, json (default: total when stderr is a terminal)\n"
    "      --progress-bar-dest=D  stderr (default), stdout, or a file that is rewritten\n"
    "      --explain              tell on stderr what is read and what is left out\n"
    "  -v, --verbosity=LEVEL      0 quiet, 1 errors, 2 warnings (default), 3 info\n"
    "      --help  --version\n"
    "\n"
    "exit status: 0 complete, 1 nothing could be answered, 2 usage, 3 partial answer\n";
/* clang-format on */

int sc_query_fail_usage(const char *sentence)
{
    fprintf(stderr, "sc-query: %s\nTry 'sc-query --help'.\n", sentence);
    return SC_EXIT_BAD_USAGE;
}

/* ---- options ---- */

enum long_option {
    OPT_TIME_FIELD = 256,
    OPT_TIME_ZONE,
    OPT_RECORD_KIND,
    OPT_SCALE,
    OPT_FORMAT,
    OPT_FIELDS,
    OPT_ITEMS,
    OPT_TS_CONV,
    OPT_DURATION_CONV,
    OPT_FLAGS_CONV,
    OPT_PROTO_CONV,
    OPT_VOLUME_CONV,
    OPT_THREADS,
    OPT_TIMEOUT,
    OPT_NODE_TIMEOUT,
    OPT_MEMORY,
    OPT_NO_BLOOM,
    OPT_PROGRESS_TYPE,
    OPT_PROGRESS_DEST,
    OPT_EXPLAIN,
    OPT_CLUSTER,
    OPT_SSH,
    OPT_STREAM,
    OPT_NOW,
    OPT_HELP,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"filter", required_argument, NULL, 'f'},
    {"time-range", required_argument, NULL, 'T'},
    {"time-point", required_argument, NULL, 't'},
    {"time-field", required_argument, NULL, OPT_TIME_FIELD},
    {"time-zone", required_argument, NULL, OPT_TIME_ZONE},
    {"record-kind", required_argument, NULL, OPT_RECORD_KIND},
    {"scale-sampling", no_argument, NULL, OPT_SCALE},
    {"aggregation", required_argument, NULL, 'a'},
    {"statistic", required_argument, NULL, 's'},
    {"order", required_argument, NULL, 'o'},
    {"limit", required_argument, NULL, 'l'},
    {"output-format", required_argument, NULL, OPT_FORMAT},
    {"output-fields", required_argument, NULL, OPT_FIELDS},
    {"output-items", required_argument, NULL, OPT_ITEMS},
    {"output-ts-conv", required_argument, NULL, OPT_TS_CONV},
    {"output-duration-conv", required_argument, NULL, OPT_DURATION_CONV},
    {"output-tcpflags-conv", required_argument, NULL, OPT_FLAGS_CONV},
    {"output-proto-conv", required_argument, NULL, OPT_PROTO_CONV},
    {"output-volume-conv", required_argument, NULL, OPT_VOLUME_CONV},
    {"num-threads", required_argument, NULL, OPT_THREADS},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"node-timeout", required_argument, NULL, OPT_NODE_TIMEOUT},
    {"memory-limit", required_argument, NULL, OPT_MEMORY},
    {"no-bfindex", no_argument, NULL, OPT_NO_BLOOM},
    {"progress-bar-type", required_argument, NULL, OPT_PROGRESS_TYPE},
    {"progress-bar-dest", required_argument, NULL, OPT_PROGRESS_DEST},
    {"explain", no_argument, NULL, OPT_EXPLAIN},
    {"cluster", optional_argument, NULL, OPT_CLUSTER},
    {"ssh", required_argument, NULL, OPT_SSH},
    {"stream", no_argument, NULL, OPT_STREAM},
    {"now", required_argument, NULL, OPT_NOW},
    {"verbosity", required_argument, NULL, 'v'},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

struct choice {
    const char *name;
    int value;
};

/* Says the name of the option. 0, or the exit status. */
static int choose(int option, const char *text, const struct choice *choices, int *out)
{
    const struct option *named = long_options;
    for (const struct choice *c = choices; c->name != NULL; c++) {
        if (strcasecmp(text, c->name) == 0) {
            *out = c->value;
            return 0;
        }
    }
    while (named->val != option)
        named++;
    fprintf(stderr, "sc-query: --%s=%s: choose", named->name, text);
    for (const struct choice *c = choices; c->name != NULL; c++)
        fprintf(stderr, "%s %s", c == choices ? "" : ",", c->name);
    fprintf(stderr, "\n");
    return SC_EXIT_BAD_USAGE;
}

static int parse_items(const char *text, struct sc_query_options *o)
{
    char copy[256];
    snprintf(copy, sizeof(copy), "%s", text);
    o->items_given = true;
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
            return sc_query_fail_usage(
                "--output-items takes records (r), processed-records-summary (p) and metadata-summary (m)");
    }
    return o->items_records || o->items_summary || o->items_metadata
               ? 0
               : sc_query_fail_usage("--output-items is empty");
}

static int parse_conversion(int option, const char *text, struct sc_query_options *o)
{
    static const struct choice volume[] = {
        {"none", 0}, {"metric-prefix", 1}, {"binary-prefix", 2}, {NULL, 0}};
    static const struct choice other[] = {
        {"none", SC_CONVERT_NONE}, {"str", SC_CONVERT_STR}, {"pretty", SC_CONVERT_PRETTY}, {NULL, 0}};
    int value = 0, code = choose(option, text, option == OPT_VOLUME_CONV ? volume : other, &value);
    if (option == OPT_VOLUME_CONV) {
        o->output.volume = value == 0 ? SC_CONVERT_NONE : SC_CONVERT_PRETTY;
        o->output.metric_volume_si = value == 2;
        return code;
    }
    enum sc_convert *place = option == OPT_TS_CONV         ? &o->output.timestamp
                             : option == OPT_DURATION_CONV ? &o->output.duration
                             : option == OPT_FLAGS_CONV    ? &o->output.tcpflags
                                                           : &o->output.protocol;
    *place = (enum sc_convert)value;
    return code;
}

static int parse_choice(int option, const char *text, struct sc_query_options *o)
{
    static const struct choice formats[] = {{"pretty", SC_OUTPUT_PRETTY},
                                            {"csv", SC_OUTPUT_CSV},
                                            {"json", SC_OUTPUT_JSON},
                                            {"ndjson", SC_OUTPUT_NDJSON},
                                            {NULL, 0}};
    static const struct choice times[] = {{"first", SC_TIME_FIRST},
                                          {"last", SC_TIME_LAST},
                                          {"received", SC_TIME_RECEIVED},
                                          {"overlap", SC_TIME_OVERLAP},
                                          {NULL, 0}};
    static const struct choice kinds[] = {{"flows", 0}, {"options", 1}, {NULL, 0}};
    static const struct choice bars[] = {{"none", SC_PROGRESS_NONE},
                                         {"total", SC_PROGRESS_TOTAL},
                                         {"nodes", SC_PROGRESS_NODES},
                                         {"json", SC_PROGRESS_JSON},
                                         {NULL, 0}};
    const struct choice *choices = option == OPT_FORMAT        ? formats
                                   : option == OPT_TIME_FIELD  ? times
                                   : option == OPT_RECORD_KIND ? kinds
                                                               : bars;
    int value = 0, code = choose(option, text, choices, &value);
    if (option == OPT_FORMAT) {
        o->output.format = (enum sc_output_format)value;
    } else if (option == OPT_TIME_FIELD) {
        o->time_field = (enum sc_time_field)value;
    } else if (option == OPT_RECORD_KIND) {
        o->options_records = value == 1;
    } else {
        o->progress = (enum sc_progress_type)value;
        o->progress_given = true;
    }
    return code;
}

static int parse_amount(int option, const char *text, struct sc_query_options *o)
{
    struct sc_error err = {0};
    uint64_t v = 0;
    switch (option) {
    case 'l':
        o->limit_given = true;
        return sc_text_number(text, false, &o->limit)
                   ? 0
                   : sc_query_fail_usage("-l takes a whole number; 0 means all");
    case OPT_MEMORY:
        return sc_text_number(text, true, &o->memory_limit)
                   ? 0
                   : sc_query_fail_usage("--memory-limit takes bytes, such as 500M");
    case OPT_THREADS:
        if (!sc_text_number(text, false, &v) || v == 0 || v > 256)
            return sc_query_fail_usage("--num-threads takes a number from 1 to 256");
        o->threads = (unsigned)v;
        return 0;
    case OPT_TIMEOUT:
        if (sc_time_parse_span(text, &o->timeout_ms, &err) != SC_OK || o->timeout_ms == 0)
            return sc_query_fail_usage("--timeout takes a time span above 0, such as 30 or 5m");
        return 0;
    case OPT_NODE_TIMEOUT:
        if (sc_time_parse_span(text, &o->node_timeout_ms, &err) != SC_OK || o->node_timeout_ms < 1000)
            return sc_query_fail_usage("--node-timeout takes a time span of a second or more, such as 30");
        return 0;
    default:
        if (!sc_text_number(text, false, &v) || v > 4)
            return sc_query_fail_usage("-v takes a level from 0 to 4");
        o->verbosity = (unsigned)v;
        return 0;
    }
}

/* Of two the first would be dropped without a word, where both are meant. */
static int set_once(const char **place, const char *text, const char *sentence)
{
    if (*place != NULL)
        return sc_query_fail_usage(sentence);
    *place = text;
    return 0;
}

static int parse_option(int option, const char *text, struct sc_query_options *o)
{
    switch (option) {
    case 'f':
        return set_once(&o->filter, text, "there are two filters: join them with and, or or, in one -f");
    case 'T':
        return set_once(&o->time_range, text, "there are two time ranges: give one -T");
    case 't':
        return set_once(&o->time_point, text, "there are two points of time: give one -t");
    case 'a':
        return set_once(&o->aggregation, text,
                        "there are two -a: give the keys in one, as in -a srcip,dstport");
    case 's':
        if (o->statistic_count == SC_QUERY_MAX_STATISTICS)
            return sc_query_fail_usage("too many -s");
        o->statistics[o->statistic_count++] = text;
        return 0;
    case 'o':
        if (strcmp(text, "csv") == 0 || strcmp(text, "json") == 0 || strcmp(text, "ndjson") == 0)
            return sc_query_fail_usage("-o takes fields to sort by; the format is --output-format");
        return set_once(&o->order, text, "there are two -o: give the fields in one, as in -o bytes,packets");
    case OPT_FIELDS:
        o->fields = text;
        return 0;
    case OPT_TIME_ZONE:
        o->time_zone = text;
        return 0;
    case OPT_PROGRESS_DEST:
        o->progress_dest = text;
        return 0;
    case OPT_ITEMS:
        return parse_items(text, o);
    case OPT_TS_CONV:
    case OPT_DURATION_CONV:
    case OPT_FLAGS_CONV:
    case OPT_PROTO_CONV:
    case OPT_VOLUME_CONV:
        return parse_conversion(option, text, o);
    case OPT_FORMAT:
    case OPT_TIME_FIELD:
    case OPT_RECORD_KIND:
    case OPT_PROGRESS_TYPE:
        return parse_choice(option, text, o);
    case OPT_NO_BLOOM:
        o->no_bloom = true;
        return 0;
    case OPT_EXPLAIN:
        o->explain = true;
        return 0;
    case OPT_CLUSTER:
        o->of_cluster = true;
        o->cluster = text;
        return 0;
    case OPT_SSH:
        o->ssh = text;
        return 0;
    case OPT_NOW: /* between sc-query and its ranks: ms since 1970 */
        return sc_text_number(text, false, &o->now_ms) ? 0 : sc_query_fail_usage("--now takes a number");
    case OPT_STREAM:
        o->stream = true;
        return 0;
    case OPT_SCALE:
        o->scale = true;
        return 0;
    default:
        return parse_amount(option, text, o);
    }
}

int sc_query_options_parse(int argc, char **argv, struct sc_query_options *o)
{
    int option;
    optind = 1;
    *o = (struct sc_query_options){.verbosity = 2, .progress_dest = "stderr"};
    while ((option = getopt_long(argc, argv, "f:T:t:a:s:o:l:v:", long_options, NULL)) != -1) {
        if (option == '?') {
            fputs("Try 'sc-query --help'.\n", stderr);
            return SC_EXIT_BAD_USAGE;
        }
        if (option == OPT_HELP) {
            fputs(usage, stdout);
            return SC_EXIT_COMPLETE;
        }
        if (option == OPT_VERSION) {
            puts("sc-query " SC_VERSION);
            return SC_EXIT_COMPLETE;
        }
        int code = parse_option(option, optarg, o);
        if (code != 0)
            return code;
    }
    static const char *const default_paths[] = {DEFAULT_STORE};
    o->paths = optind < argc ? (const char *const *)argv + optind : default_paths;
    o->path_count = optind < argc ? (unsigned)(argc - optind) : 1;
    o->paths_given = optind < argc;
    if (o->statistic_count != 0 && o->aggregation != NULL)
        return sc_query_fail_usage("-s and -a exclude each other: -s KEYS#SORT is -a KEYS -o SORT -l 10");
    if (o->time_point != NULL && o->time_range != NULL)
        return sc_query_fail_usage("-t and -T exclude each other");
    bool records_only = o->output.format == SC_OUTPUT_CSV || o->output.format == SC_OUTPUT_NDJSON;
    if (!o->items_given) {
        o->items_records = true;
        o->items_summary = !records_only;
    }
    if (o->threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        o->threads = cores < 1 ? 1 : cores > 256 ? 256 : (unsigned)cores;
    }
    return -1;
}
