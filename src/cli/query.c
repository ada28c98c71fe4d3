// SPDX-License-Identifier: BSD-3-Clause
/* sc-query: lists, filters, sorts and aggregates the records of stores. */
#include "base/clock.h"
#include "cli/query_print.h"
#include "query/filter.h"
#include "query/request.h"
#include "query/time_range.h"
#include "store/elements.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_STORE  "/var/lib/securitycloud"
#define MAX_STATISTICS 16
/* Flows are exported at most so long after their end: their windows may lie so far behind the times asked for. */
#define EXPORT_LAG_MS UINT64_C(1800000)

enum exit_code { EXIT_COMPLETE = 0, EXIT_NOTHING = 1, EXIT_BAD_USAGE = 2, EXIT_PARTIAL = 3 };

static const char usage[] =
    "usage: sc-query [options] [PATH...]\n"
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
    "  -a, --aggregation=KEYS     group by KEY[,KEY..]; srcip/24/64, first/5m; ip, port, as, if, vlan: "
    "either side\n"
    "  -s, --statistic=KEYS[#SORT[#DIR]]\n"
    "                             top 10 by SORT (default flows); several -s share one scan\n"
    "  -o, --order=FIELD[#DIR],.. sort; DIR is asc or desc\n"
    "  -l, --limit=N              at most N records; 0 = all\n"
    "output\n"
    "      --output-format=F      pretty (default), csv, json, ndjson\n"
    "      --output-fields=LIST   columns; in groups also min(F) max(F) avg(F) sum(F); all = every stored "
    "column\n"
    "      --output-items=LIST    records (r), processed-records-summary (p), metadata-summary (m)\n"
    "      --output-ts-conv=C  --output-duration-conv=C  --output-tcpflags-conv=C  --output-proto-conv=C  "
    "--output-volume-conv=C\n"
    "                             none or pretty | none or str | none or str | none or str | none, "
    "metric-prefix or binary-prefix\n"
    "running\n"
    "      --num-threads=N        default: all cores\n"
    "      --timeout=SPAN         stop after 30, 5m, ..: the answer is then partial\n"
    "      --memory-limit=BYTES   for groups; 500M, 4G\n"
    "      --no-bfindex           do not use Bloom filters\n"
    "      --progress-bar-type=T  none, total, json (default: total when stderr is a terminal)\n"
    "      --progress-bar-dest=D  stderr (default), stdout, or a file that is rewritten\n"
    "      --explain              tell on stderr what is read and what is left out\n"
    "  -v, --verbosity=LEVEL      0 quiet, 1 errors, 2 warnings (default), 3 info\n"
    "      --help  --version\n"
    "\n"
    "exit status: 0 complete, 1 nothing could be answered, 2 usage, 3 partial answer\n";

struct options {
    const char *filter;
    const char *time_range, *time_point, *time_zone;
    enum sc_time_field time_field;
    bool options_records;
    bool scale;
    const char *aggregation;
    const char *statistics[MAX_STATISTICS];
    unsigned statistic_count;
    const char *order;
    bool limit_given;
    uint64_t limit;
    const char *fields;
    struct sc_output_options output;
    bool items_given, items_records, items_summary, items_metadata;
    unsigned threads;
    uint64_t timeout_ms;
    uint64_t memory_limit;
    bool no_bloom;
    bool explain;
    unsigned verbosity;
    enum sc_progress_type progress;
    bool progress_given;
    const char *progress_dest;
    const char *const *paths;
    unsigned path_count;
};

static int fail_usage(const char *sentence)
{
    fprintf(stderr, "sc-query: %s\nTry 'sc-query --help'.\n", sentence);
    return EXIT_BAD_USAGE;
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
    OPT_MEMORY,
    OPT_NO_BLOOM,
    OPT_PROGRESS_TYPE,
    OPT_PROGRESS_DEST,
    OPT_EXPLAIN,
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
    {"memory-limit", required_argument, NULL, OPT_MEMORY},
    {"no-bfindex", no_argument, NULL, OPT_NO_BLOOM},
    {"progress-bar-type", required_argument, NULL, OPT_PROGRESS_TYPE},
    {"progress-bar-dest", required_argument, NULL, OPT_PROGRESS_DEST},
    {"explain", no_argument, NULL, OPT_EXPLAIN},
    {"verbosity", required_argument, NULL, 'v'},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

/* A whole number, with k M G T (powers of 1000) when `units`. */
static bool parse_number(const char *text, bool units, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (end == text || errno != 0 || text[0] == '-' || text[0] == '+')
        return false;
    static const char suffixes[] = "kMGT";
    const char *suffix = *end == '\0' || !units ? NULL : strchr(suffixes, *end == 'K' ? 'k' : *end);
    for (const char *s = suffixes; suffix != NULL && s <= suffix; s++) {
        if (v > UINT64_MAX / 1000)
            return false;
        v *= 1000;
    }
    *out = v;
    return *end == '\0' || (suffix != NULL && end[1] == '\0');
}

struct choice {
    const char *name;
    int value;
};

static int choose(const char *option, const char *text, const struct choice *choices, int *out)
{
    for (const struct choice *c = choices; c->name != NULL; c++) {
        if (strcasecmp(text, c->name) == 0) {
            *out = c->value;
            return 0;
        }
    }
    fprintf(stderr, "sc-query: --%s=%s: choose", option, text);
    for (const struct choice *c = choices; c->name != NULL; c++)
        fprintf(stderr, "%s %s", c == choices ? "" : ",", c->name);
    fprintf(stderr, "\n");
    return EXIT_BAD_USAGE;
}

static int parse_items(const char *text, struct options *o)
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
            return fail_usage(
                "--output-items takes records (r), processed-records-summary (p) and metadata-summary (m)");
    }
    return o->items_records || o->items_summary || o->items_metadata ? 0
                                                                     : fail_usage("--output-items is empty");
}

static int parse_conversion(int option, const char *text, struct options *o)
{
    static const struct choice volume[] = {
        {"none", 0}, {"metric-prefix", 1}, {"binary-prefix", 2}, {NULL, 0}};
    static const struct choice other[] = {
        {"none", SC_CONVERT_NONE}, {"str", SC_CONVERT_STR}, {"pretty", SC_CONVERT_PRETTY}, {NULL, 0}};
    const struct option *named = long_options;
    int value = 0, code;
    if (option == OPT_VOLUME_CONV) {
        code = choose("output-volume-conv", text, volume, &value);
        o->output.volume = value == 0 ? SC_CONVERT_NONE : SC_CONVERT_PRETTY;
        o->output.metric_volume_si = value == 2;
        return code;
    }
    while (named->val != option)
        named++;
    code = choose(named->name, text, other, &value);
    enum sc_convert *place = option == OPT_TS_CONV         ? &o->output.timestamp
                             : option == OPT_DURATION_CONV ? &o->output.duration
                             : option == OPT_FLAGS_CONV    ? &o->output.tcpflags
                                                           : &o->output.protocol;
    *place = (enum sc_convert)value;
    return code;
}

static int parse_choice(int option, const char *text, struct options *o)
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
    static const struct choice bars[] = {
        {"none", SC_PROGRESS_NONE}, {"total", SC_PROGRESS_TOTAL}, {"json", SC_PROGRESS_JSON}, {NULL, 0}};
    int value = 0, code;
    switch (option) {
    case OPT_FORMAT:
        code = choose("output-format", text, formats, &value);
        o->output.format = (enum sc_output_format)value;
        return code;
    case OPT_TIME_FIELD:
        code = choose("time-field", text, times, &value);
        o->time_field = (enum sc_time_field)value;
        return code;
    case OPT_RECORD_KIND:
        code = choose("record-kind", text, kinds, &value);
        o->options_records = value == 1;
        return code;
    default:
        code = choose("progress-bar-type", text, bars, &value);
        o->progress = (enum sc_progress_type)value;
        o->progress_given = true;
        return code;
    }
}

static int parse_amount(int option, const char *text, struct options *o)
{
    struct sc_error err = {0};
    uint64_t v = 0;
    switch (option) {
    case 'l':
        o->limit_given = true;
        return parse_number(text, false, &o->limit) ? 0 : fail_usage("-l takes a whole number; 0 means all");
    case OPT_MEMORY:
        return parse_number(text, true, &o->memory_limit)
                   ? 0
                   : fail_usage("--memory-limit takes bytes, such as 500M");
    case OPT_THREADS:
        if (!parse_number(text, false, &v) || v == 0 || v > 256)
            return fail_usage("--num-threads takes a number from 1 to 256");
        o->threads = (unsigned)v;
        return 0;
    case OPT_TIMEOUT:
        if (sc_time_parse_span(text, &o->timeout_ms, &err) != SC_OK || o->timeout_ms == 0)
            return fail_usage("--timeout takes a time span above 0, such as 30 or 5m");
        return 0;
    default:
        if (!parse_number(text, false, &v) || v > 4)
            return fail_usage("-v takes a level from 0 to 4");
        o->verbosity = (unsigned)v;
        return 0;
    }
}

/* Of two the first would be dropped without a word, where both are meant. */
static int set_once(const char **place, const char *text, const char *sentence)
{
    if (*place != NULL)
        return fail_usage(sentence);
    *place = text;
    return 0;
}

static int parse_option(int option, const char *text, struct options *o)
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
        if (o->statistic_count == MAX_STATISTICS)
            return fail_usage("too many -s");
        o->statistics[o->statistic_count++] = text;
        return 0;
    case 'o':
        if (strcmp(text, "csv") == 0 || strcmp(text, "json") == 0 || strcmp(text, "ndjson") == 0)
            return fail_usage("-o takes fields to sort by; the format is --output-format");
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
    case OPT_SCALE:
        o->scale = true;
        return 0;
    default:
        return parse_amount(option, text, o);
    }
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
    int option;
    *o = (struct options){.verbosity = 2, .progress_dest = "stderr"};
    while ((option = getopt_long(argc, argv, "f:T:t:a:s:o:l:v:", long_options, NULL)) != -1) {
        if (option == '?') {
            fputs("Try 'sc-query --help'.\n", stderr);
            return EXIT_BAD_USAGE;
        }
        if (option == OPT_HELP) {
            fputs(usage, stdout);
            return EXIT_COMPLETE;
        }
        if (option == OPT_VERSION) {
            puts("sc-query " SC_VERSION);
            return EXIT_COMPLETE;
        }
        int code = parse_option(option, optarg, o);
        if (code != 0)
            return code;
    }
    static const char *const default_paths[] = {DEFAULT_STORE};
    o->paths = optind < argc ? (const char *const *)argv + optind : default_paths;
    o->path_count = optind < argc ? (unsigned)(argc - optind) : 1;
    if (o->statistic_count != 0 && o->aggregation != NULL)
        return fail_usage("-s and -a exclude each other: -s KEYS#SORT is -a KEYS -o SORT -l 10");
    if (o->time_point != NULL && o->time_range != NULL)
        return fail_usage("-t and -T exclude each other");
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

/* ---- stopping: Ctrl-C and --timeout ---- */

static atomic_int cancel_flag;

static void on_signal(int number)
{
    atomic_store(&cancel_flag, number == SIGALRM ? 2 : 1);
}

/* The first Ctrl-C ends the query with what there is, the second the program. A write to a slow reader goes on. */
static void watch_signals(uint64_t timeout_ms)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    action.sa_flags = SA_RESTART | (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (timeout_ms != 0) {
        timer_t timer;
        struct itimerspec when = {
            .it_value = {(time_t)(timeout_ms / 1000), (long)(timeout_ms % 1000) * 1000000}};
        if (timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0)
            timer_settime(timer, 0, &when, NULL);
    }
}

/* ---- the query ---- */

struct job {
    struct options o;
    struct sc_ie_learned learned; /* elements that exporters defined, of all paths */
    struct sc_filter *filter;
    struct sc_source source;
    struct sc_source_bounds bounds;
    struct sc_scan_options scan;
    struct sc_scan_stats stats;
    struct sc_progress progress;
    struct sc_print print;
    struct sc_request *requests;
    unsigned request_count;
    struct sc_request_listing *listing;
    uint64_t started_ms;
};

static int report(const struct job *job, const struct sc_error *err, int code)
{
    if (job->o.verbosity >= 1)
        fprintf(stderr, "sc-query: %s\n", err->message);
    return code;
}

/* "CET-1CEST", "<+03>-3": three or more letters or a name in < >, then an offset. */
static bool is_posix_zone(const char *zone)
{
    size_t name = strspn(zone, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    const char *end = zone[0] == '<' ? strchr(zone, '>') : NULL;
    if (end != NULL)
        name = (size_t)(end - zone) + 1;
    if (name < 3)
        return false;
    const char *offset = zone + name + (zone[name] == '+' || zone[name] == '-');
    return *offset >= '0' && *offset <= '9';
}

/* A file of the zone database begins so. */
static bool is_zone_file(const char *path)
{
    char magic[4];
    FILE *f = fopen(path, "re");
    bool is = f != NULL && fread(magic, 1, sizeof(magic), f) == sizeof(magic) &&
              memcmp(magic, "TZif", sizeof(magic)) == 0;
    if (f != NULL)
        fclose(f);
    return is;
}

/* The C library takes a name that it does not know for UTC, without a word. */
static bool zone_exists(const char *zone)
{
    char path[512];
    const char *folder = getenv("TZDIR");
    if (zone[0] == '\0' || zone[0] == '/' || strstr(zone, "..") != NULL)
        return false;
    snprintf(path, sizeof(path), "%s/%s", folder == NULL ? "/usr/share/zoneinfo" : folder, zone);
    return is_zone_file(path) || is_posix_zone(zone);
}

static int set_time_zone(const char *zone)
{
    bool utc = strcasecmp(zone, "UTC") == 0;
    if (utc || strcasecmp(zone, "system") != 0) {
        if (!utc && !zone_exists(zone))
            return fail_usage("--time-zone takes a name such as Europe/Prague, UTC, or system");
        setenv("TZ", utc ? "UTC" : zone, 1);
    }
    tzset();
    return 0;
}

static int parse_times(struct job *job)
{
    struct sc_error err = {0};
    struct options *o = &job->o;
    uint64_t now = sc_clock_wall_ms();
    job->scan.time = (struct sc_time_bounds){0, UINT64_MAX, o->time_field};
    o->output.local_time = o->time_zone != NULL;
    int code = o->time_zone == NULL ? 0 : set_time_zone(o->time_zone);
    if (code != 0)
        return code;
    if (o->time_range != NULL &&
        sc_time_parse_range(o->time_range, now, o->output.local_time, &job->scan.time.begin_ms,
                            &job->scan.time.end_ms, &err) != SC_OK)
        return report(job, &err, EXIT_BAD_USAGE);
    if (o->time_point != NULL &&
        sc_time_parse(o->time_point, now, o->output.local_time, &job->bounds.window_ms, &err) != SC_OK)
        return report(job, &err, EXIT_BAD_USAGE);
    job->bounds.options = o->options_records;
    if (job->scan.time.end_ms != UINT64_MAX || job->scan.time.begin_ms != 0) {
        job->bounds.begin_ms = job->scan.time.begin_ms;
        job->bounds.end_ms = job->scan.time.end_ms > UINT64_MAX - EXPORT_LAG_MS
                                 ? UINT64_MAX
                                 : job->scan.time.end_ms + EXPORT_LAG_MS;
    }
    return 0;
}

static int make_requests(struct job *job)
{
    struct options *o = &job->o;
    struct sc_error err = {0};
    unsigned count = o->aggregation != NULL ? 1 : o->statistic_count;
    if (count == 0)
        return 0;
    job->requests = calloc(count, sizeof(*job->requests));
    if (job->requests == NULL)
        return fail_usage("out of memory");
    for (unsigned i = 0; i < count; i++) {
        enum sc_status status;
        if (o->aggregation != NULL) {
            status = sc_request_aggregate(&job->learned, o->aggregation, o->order, o->fields,
                                          &job->requests[i], &err);
        } else {
            size_t size = strlen(o->statistics[i]) + 16;
            char *keys = malloc(2 * size);
            if (keys == NULL)
                return fail_usage("out of memory");
            status = sc_request_split_statistic(o->statistics[i], keys, keys + size, &err);
            if (status == SC_OK)
                status = sc_request_aggregate(&job->learned, keys, o->order != NULL ? o->order : keys + size,
                                              o->fields, &job->requests[i], &err);
            snprintf(job->requests[i].name, sizeof(job->requests[i].name), "%s", o->statistics[i]);
            free(keys);
        }
        if (status != SC_OK)
            return report(job, &err, EXIT_BAD_USAGE);
        if (o->scale)
            sc_request_scale(&job->requests[i]);
        if (o->output.local_time)
            sc_request_local_time(&job->requests[i]);
        job->request_count++;
    }
    return 0;
}

/* Options records have few of the usual columns, and each kind has its own. */
static bool all_columns(const struct job *job)
{
    const struct options *o = &job->o;
    return o->fields != NULL ? strcasecmp(o->fields, "all") == 0 : o->options_records;
}

static int make_listing(struct job *job)
{
    struct sc_error err = {0};
    job->listing = calloc(1, sizeof(*job->listing));
    if (job->listing == NULL)
        return fail_usage("out of memory");
    if (sc_request_list(&job->learned, all_columns(job) ? "" : job->o.fields, job->o.order, job->listing,
                        &err) != SC_OK)
        return report(job, &err, EXIT_BAD_USAGE);
    if (job->listing->column_count == 0 && !all_columns(job))
        return fail_usage("--output-fields is empty");
    if (job->o.scale)
        sc_request_list_scale(job->listing);
    return 0;
}

/* What cannot be read leaves elements without their names: that is no reason to answer nothing. */
static void load_elements(struct job *job)
{
    for (unsigned i = 0; i < job->o.path_count; i++) {
        struct sc_error err;
        if (sc_elements_load(job->o.paths[i], &job->learned, &err) != SC_OK && job->o.verbosity >= 2)
            fprintf(stderr, "sc-query: %s; elements defined in it may have no names\n", err.message);
    }
}

static int parse_query(struct job *job)
{
    struct sc_error err = {0};
    int code = parse_times(job);
    if (code != 0)
        return code;
    load_elements(job);
    if (job->o.filter != NULL && sc_filter_parse(&job->learned, job->o.filter, &job->filter, &err) != SC_OK)
        return report(job, &err, EXIT_BAD_USAGE);
    code = make_requests(job);
    return code != 0 || job->request_count != 0 ? code : make_listing(job);
}

/* A filter without -f looks like a path that is not there. */
static void hint_filter(const struct job *job)
{
    for (unsigned i = 0; i < job->o.path_count; i++) {
        struct sc_filter *filter;
        if (access(job->o.paths[i], F_OK) != 0 &&
            sc_filter_parse(&job->learned, job->o.paths[i], &filter, NULL) == SC_OK) {
            fprintf(stderr, "sc-query: did you mean -f '%s'?\n", job->o.paths[i]);
            sc_filter_free(filter);
        }
    }
}

static int open_source(struct job *job)
{
    struct sc_error err = {0};
    enum sc_status status = sc_source_open(job->o.paths, job->o.path_count, &job->bounds, &job->source, &err);
    if (status != SC_OK) {
        report(job, &err, EXIT_NOTHING);
        hint_filter(job);
        return EXIT_NOTHING;
    }
    if (job->source.readable_paths < job->o.path_count)
        hint_filter(job);
    return 0;
}

/* The columns of a listing of all, each with what does not fit its learned type. */
struct stored_columns {
    struct sc_schema schema;
    struct sc_field misfits[SC_MAX_COLUMNS];
    bool may_misfit[SC_MAX_COLUMNS], has_misfits[SC_MAX_COLUMNS];
};

static enum sc_status find_misfits(struct stored_columns *columns, uint32_t slot, struct sc_row_group *group,
                                   struct sc_error *err)
{
    const struct sc_column *column;
    bool *found = &columns->has_misfits[slot];
    if (*found || !columns->may_misfit[slot])
        return SC_OK;
    SC_TRY(sc_row_group_column(group, columns->schema.keys[slot], &column, err));
    for (uint32_t row = 0; column != NULL && row < group->rows && !*found; row++)
        *found = !sc_field_value(&columns->misfits[slot], &column, 1, row).null;
    return SC_OK;
}

static enum sc_status note_columns(const struct job *job, struct sc_row_group *group,
                                   struct stored_columns *columns, struct sc_error *err)
{
    for (uint32_t i = 0; i < group->entry_count; i++) {
        if (group->entries[i].role != SC_CHUNK_COLUMN)
            continue;
        struct sc_column_key key = group->entries[i].key;
        uint32_t known = columns->schema.count, slot = sc_schema_slot(&columns->schema, key);
        if (slot == SC_NO_SLOT)
            return sc_fail(err, SC_LIMIT, "more than %u columns: name those you want", SC_MAX_COLUMNS);
        if (slot == known)
            columns->may_misfit[slot] = sc_field_of_misfits(&job->learned, key, &columns->misfits[slot]);
        if (find_misfits(columns, slot, group, err) == SC_NOMEM) /* damage is noted when it is scanned */
            return SC_NOMEM;
    }
    return SC_OK;
}

static enum sc_status add_columns(struct job *job, const struct stored_columns *columns, struct sc_error *err)
{
    struct sc_field field;
    for (uint32_t i = 0; i < columns->schema.count; i++) {
        const struct sc_field *misfits = &columns->misfits[i];
        sc_field_of_column(&job->learned, columns->schema.keys[i], &field);
        SC_TRY(sc_request_add_column(job->listing, &field, field.name, err));
        if (columns->has_misfits[i])
            SC_TRY(sc_request_add_column(job->listing, misfits, misfits->name, err));
    }
    return SC_OK;
}

/* "all": every column that any row group has, under its own name. */
static int add_stored_columns(struct job *job)
{
    struct sc_error err = {0};
    struct stored_columns columns = {0};
    struct sc_read_context context;
    sc_schema_init(&columns.schema, SC_MAX_COLUMNS);
    enum sc_status status = sc_read_context_init(&context);
    for (uint32_t u = 0; u < job->source.unit_count && status == SC_OK; u++) {
        const struct sc_source_unit *unit = &job->source.units[u];
        struct sc_row_group *group;
        sc_read_context_reset(&context);
        if (sc_row_group_open(&context, job->source.segments[unit->segment], unit->group, &group, &err) ==
            SC_OK)
            status = note_columns(job, group, &columns, &err);
    }
    if (status == SC_OK)
        status = add_columns(job, &columns, &err);
    sc_read_context_free(&context);
    sc_schema_free(&columns.schema);
    return status == SC_OK ? 0 : report(job, &err, EXIT_NOTHING);
}

static enum sc_status run_listing(struct job *job, struct sc_summary *summary, struct sc_error *err)
{
    const struct options *o = &job->o;
    struct sc_output *output =
        sc_output_create(&o->output, job->listing->columns, job->listing->column_count);
    if (output == NULL)
        return sc_fail_nomem(err, "the listing");
    struct sc_listing listing = {.output = output,
                                 .fields = job->listing->fields,
                                 .field_count = job->listing->column_count,
                                 .orders = job->listing->orders,
                                 .order_count = job->listing->order_count,
                                 .limit = o->limit,
                                 .separator = o->output.format == SC_OUTPUT_JSON ? ",\n" : "",
                                 .summarize = o->items_summary,
                                 .fit =
                                     o->output.format == SC_OUTPUT_PRETTY && job->listing->column_count != 0};
    struct sc_sink sink = {.write = sc_print_write, .arg = &job->print};
    sc_print_begin_records(&job->print, NULL, listing.fit || job->listing->column_count == 0 ? NULL : output);
    enum sc_status status =
        sc_query_list(&job->source, &job->scan, &listing, &sink, summary, &job->stats, err);
    sc_print_end_records(&job->print);
    sc_output_free(output);
    return status;
}

static uint64_t group_limit(const struct options *o)
{
    return o->limit_given ? o->limit : o->statistic_count != 0 ? 10 : 0;
}

/* Groups that are written between two looks at whether to stop: so many at least are shown after a stop. */
#define SHOWN_AT_LEAST 1024u

static enum sc_status print_result(struct job *job, const struct sc_request *r,
                                   const struct sc_groups *groups, const struct sc_result *result,
                                   struct sc_output *output, struct sc_error *err)
{
    bool stopped = false;
    if (groups != NULL)
        sc_print_fit_groups(&job->print, output, r, groups, result);
    sc_print_begin_records(&job->print, job->o.statistic_count > 1 ? r->name : NULL, output);
    for (uint64_t i = 0; i < result->count && !job->print.failed && !stopped; i++) {
        stopped = i != 0 && i % SHOWN_AT_LEAST == 0 && atomic_load(&cancel_flag) != 0;
        if (!stopped)
            sc_print_group(&job->print, output, r, groups, result->entries[i], i != 0);
    }
    sc_print_end_records(&job->print);
    return stopped ? sc_fail(err, SC_CANCELLED, "before everything was written") : SC_OK;
}

/* `groups` NULL: they were not put together, and none are shown. */
static enum sc_status print_groups(struct job *job, const struct sc_request *r,
                                   const struct sc_groups *groups, struct sc_error *err)
{
    struct sc_output_column columns[SC_MAX_COLUMNS];
    struct sc_result result = {0};
    for (uint32_t i = 0; i < r->column_count; i++)
        columns[i] = (struct sc_output_column){.field = r->columns[i].field, .label = r->columns[i].label};
    struct sc_output *output = sc_output_create(&job->o.output, columns, r->column_count);
    if (output == NULL)
        return sc_fail_nomem(err, "the result");
    enum sc_status status = SC_OK;
    if (groups != NULL)
        status = sc_groups_top(groups, r->orders, r->order_count, group_limit(&job->o), &result, err);
    if (status == SC_OK || status == SC_CANCELLED) {
        enum sc_status printed = print_result(job, r, groups, &result, output, err);
        status = printed == SC_OK ? status : printed;
        free(result.entries);
    }
    sc_output_free(output);
    return status;
}

static enum sc_status run_groups(struct job *job, struct sc_summary *summary, struct sc_error *err)
{
    struct sc_top tops[MAX_STATISTICS];
    struct sc_groups *groups[MAX_STATISTICS] = {NULL};
    for (unsigned i = 0; i < job->request_count; i++) {
        struct sc_request *r = &job->requests[i];
        tops[i] = (struct sc_top){.aggregate = &r->aggregate,
                                  .orders = r->orders,
                                  .order_count = r->order_count,
                                  .limit = group_limit(&job->o)};
    }
    enum sc_status status = sc_query_top(&job->source, &job->scan, tops, job->request_count,
                                         job->o.memory_limit, groups, summary, &job->stats, err);
    bool usable = status == SC_OK || status == SC_CANCELLED;
    for (unsigned i = 0; i < job->request_count && usable; i++) {
        enum sc_status printed = print_groups(job, &job->requests[i], groups[i], err);
        if (printed != SC_OK)
            status = printed;
    }
    for (unsigned i = 0; i < job->request_count; i++)
        sc_groups_free(groups[i]);
    return status;
}

static enum sc_status run_query(struct job *job, struct sc_summary *summary, struct sc_error *err)
{
    const struct options *o = &job->o;
    enum sc_status status = SC_OK;
    if (o->items_records && job->request_count == 0)
        status = run_listing(job, summary, err);
    else if (o->items_records)
        status = run_groups(job, summary, err);
    else if (o->items_summary) {
        struct sc_groups *none[1];
        status = sc_query_aggregate(&job->source, &job->scan, NULL, 0, 0, none, summary, &job->stats, err);
    }
    return status;
}

static void explain(const struct job *job)
{
    struct sc_buf text = {0};
    char begin[32], end[32] = "now or later";
    sc_time_format_utc(job->scan.time.begin_ms, begin, sizeof(begin));
    if (job->scan.time.end_ms != UINT64_MAX)
        sc_time_format_utc(job->scan.time.end_ms, end, sizeof(end));
    if (job->filter != NULL)
        sc_filter_format(job->filter, &text);
    fprintf(stderr,
            "filter: %.*s\ntime: from %s to %s\nsegments: %u, %llu bytes; row groups: %u, of which %llu were "
            "left "
            "out by time, %llu read (%llu bytes)\nthreads: %u\n",
            text.len == 0 ? 3 : (int)text.len, text.len == 0 ? "any" : (const char *)text.data,
            job->scan.time.begin_ms == 0 ? "the beginning" : begin, end, job->source.segment_count,
            (unsigned long long)job->source.bytes, job->source.unit_count,
            (unsigned long long)job->stats.units_pruned, (unsigned long long)job->stats.units_read,
            (unsigned long long)job->stats.bytes_read, job->o.threads);
    sc_buf_free(&text);
}

static int finish(struct job *job, enum sc_status status, const struct sc_summary *summary,
                  struct sc_error *err)
{
    if (status == SC_CANCELLED) {
        char why[sizeof(err->message) + 32];
        snprintf(why, sizeof(why), "%s %s",
                 atomic_load(&cancel_flag) == 2 ? "the --timeout passed" : "interrupted",
                 err->status == SC_CANCELLED ? err->message : "before everything was read");
        sc_source_note_missing(&job->source, why);
    } else if (status != SC_OK) {
        sc_print_abort(&job->print);
        return report(job, err, EXIT_NOTHING);
    }
    struct sc_row_stats totals;
    sc_row_stats_init(&totals);
    if (job->o.items_metadata && sc_print_totals(&job->source, &totals, err) != SC_OK)
        return report(job, err, EXIT_NOTHING);
    struct sc_print_end end = {.summary = job->o.items_summary ? summary : NULL,
                               .totals = job->o.items_metadata ? &totals : NULL,
                               .scaled = job->o.scale,
                               .missing = job->source.missing,
                               .missing_count = job->source.missing_count,
                               .damage = job->source.damage,
                               .damage_count = job->source.damage_count,
                               .known_lost = &job->source.known_lost,
                               .elapsed_ms = sc_clock_mono_ms() - job->started_ms};
    bool written = sc_print_end(&job->print, &end);
    sc_row_stats_free(&totals);
    for (uint32_t i = 0; i < job->source.missing_count && job->o.verbosity >= 2; i++)
        fprintf(stderr, "sc-query: missing: %s\n", job->source.missing[i]);
    for (uint32_t i = 0; i < job->source.damage_count && job->o.verbosity >= 2; i++)
        fprintf(stderr, "sc-query: damage: %s\n", job->source.damage[i]);
    if (!written) {
        fprintf(stderr, "sc-query: cannot write the output: %s\n", strerror(job->print.errnum));
        return EXIT_NOTHING;
    }
    return job->source.missing_count != 0 ? EXIT_PARTIAL : EXIT_COMPLETE;
}

/* Where the records go to a terminal or a pager, a bar would stand between them. */
static bool bar_disturbs(const struct sc_progress *progress)
{
    struct stat st;
    return progress->stream == stdout || fstat(STDOUT_FILENO, &st) != 0 || !S_ISREG(st.st_mode);
}

static void start_output(struct job *job)
{
    const struct options *o = &job->o;
    if (!sc_progress_init(&job->progress, o->progress, o->progress_given, o->progress_dest) &&
        o->verbosity >= 1)
        fprintf(stderr, "sc-query: cannot write the progress to %s: %s\n", o->progress_dest, strerror(errno));
    job->print = (struct sc_print){.format = o->output.format,
                                   .several = o->statistic_count > 1,
                                   .volume = o->output.volume,
                                   .binary_volume = o->output.metric_volume_si,
                                   .progress = bar_disturbs(&job->progress) ? &job->progress : NULL};
    job->scan.progress = job->progress.type == SC_PROGRESS_NONE ? NULL : sc_progress_show;
    job->scan.progress_arg = &job->progress;
}

static int run(struct job *job)
{
    struct sc_error err = {0};
    struct sc_summary summary = {0};
    int code = parse_query(job);
    if (code != 0)
        return code;
    watch_signals(job->o.timeout_ms);
    code = open_source(job);
    if (code != 0)
        return code;
    if (job->listing != NULL && all_columns(job)) {
        code = add_stored_columns(job);
        if (code != 0)
            return code;
    }
    start_output(job);
    job->scan.filter = job->filter;
    job->scan.threads = job->o.threads;
    job->scan.no_bloom = job->o.no_bloom;
    job->scan.scale_sampling = job->o.scale;
    job->scan.no_summary = !job->o.items_summary;
    job->scan.cancel = &cancel_flag;
    enum sc_status status = run_query(job, &summary, &err);
    sc_progress_end(&job->progress);
    code = finish(job, status, &summary, &err);
    if (job->o.explain)
        explain(job);
    return code;
}

int main(int argc, char **argv)
{
    struct job job = {.started_ms = sc_clock_mono_ms()};
    int code = parse_options(argc, argv, &job.o);
    if (code < 0)
        code = run(&job);
    sc_source_close(&job.source);
    sc_filter_free(job.filter);
    sc_ie_learned_free(&job.learned);
    free(job.requests);
    free(job.listing);
    return code;
}
