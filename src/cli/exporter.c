// SPDX-License-Identifier: BSD-3-Clause
/* sc-exporter: sends flows as NetFlow v5, v9 or IPFIX. Manual: man/sc-exporter.1. */
#include "base/clock.h"
#include "cli/options.h"
#include "export/from_store.h"
#include "export/generate.h"
#include "export/network.h"
#include "export/replay.h"
#include "filter/filter.h"
#include "filter/time_range.h"
#include "store/elements.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_SENT = 0, EXIT_NOT_SENT = 1 };
enum { DEFAULT_FLOWS = 1000000, UDP_PAYLOAD_MAX = 65507 };

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

struct arguments {
    bool generate;
    const char *read;
    const char *store;
    const char *filter;
    const char *generator_option; /* last one given, NULL: none */
    const char *encoder_option;
    bool start_given;
    bool help;
    bool version;
    uint64_t flows;
    uint64_t rate;
    const char *truth;
    struct sc_generate_options options;
    struct sc_target targets[SC_SENDER_TARGETS];
    uint32_t target_count;
};

/* A line of the text is a line here. */
/* clang-format off */
#define USAGE \
    "usage: sc-exporter --generate --to URL [options]\n" \
    "       sc-exporter --read FILE --to URL [options]\n" \
    "       sc-exporter --store DIR [-f FILTER] --to URL [options]\n" \
    "       sc-exporter --help | --version\n"

static const char help[] = USAGE
    "\n"
    "Sends flows as NetFlow v5, NetFlow v9 or IPFIX.\n"
    "\n"
    "Source:\n"
    "  --generate            make flows: realistic, and always the same from one seed\n"
    "    --flows N           how many; 0: until a signal (default 1000000)\n"
    "    --seed S            number that all follows from (default 1)\n"
    "    --hosts N           hosts that talk, 64 to 10000000 (default 65536)\n"
    "    --ipv6 PERCENT      share of IPv6 flows, not with v5 (default 0)\n"
    "    --exporters N       exporters that the flows come from, 1 to 1024 (default 1)\n"
    "    --start TIME        export time of the first flow (default: now, or without --rate so that\n"
    "                        10000 flows/s end about now)\n"
    "  --read FILE           the export messages of a capture (pcap, pcapng), raw payload or IPFIX file,\n"
    "                        byte for byte\n"
    "  --store DIR           the flows of a store, encoded anew\n"
    "    -f, --filter FILTER only those that match, as in sc-query\n"
    "\n"
    "Target:\n"
    "  --to udp://HOST:PORT  datagrams\n"
    "  --to tcp://HOST:PORT  IPFIX over TCP\n"
    "  --write FILE          FILE.pcap: packets with the messages; FILE.ipfix: IPFIX file (RFC 5655)\n"
    "                        --to and --write may be given together and several times\n"
    "  --protocol P          v5, v9 or ipfix (default ipfix)\n"
    "  --message-size BYTES  largest v9 or IPFIX message (default 1400)\n"
    "  --rate FLOWS/S        pace; 0: as fast as possible (default), on an export clock of 10000 flows/s\n"
    "  --truth FILE          write what was sent as JSON: totals, top sources and ports\n"
    "\n"
    "Exit status: 0 all sent, 1 could not send, 2 wrong usage. Manual: sc-exporter(1).\n";
/* clang-format on */

/* ---- arguments ---- */

static enum sc_status parse_protocol(const char *text, struct arguments *a, struct sc_error *err)
{
    if (strcmp(text, "v5") == 0)
        a->options.encoder.protocol = SC_EXPORT_V5;
    else if (strcmp(text, "v9") == 0)
        a->options.encoder.protocol = SC_EXPORT_V9;
    else if (strcmp(text, "ipfix") == 0)
        a->options.encoder.protocol = SC_EXPORT_IPFIX;
    else
        return sc_fail(err, SC_USAGE, "--protocol %s: v5, v9 or ipfix is expected", text);
    return SC_OK;
}

static enum sc_status add_target(struct arguments *a, const char *text, bool file, struct sc_error *err)
{
    if (a->target_count == SC_SENDER_TARGETS)
        return sc_fail(err, SC_USAGE, "more than %u targets", SC_SENDER_TARGETS);
    struct sc_target *t = &a->targets[a->target_count++];
    return file ? sc_target_parse_file(text, t, err) : sc_target_parse_url(text, t, err);
}

enum { TAKE_START = SC_OPTION_LETTER, TAKE_TO, TAKE_WRITE, TAKE_PROTOCOL };

static enum sc_status take(void *out, int id, const char *value, struct sc_error *err)
{
    struct arguments *a = out;
    if (id == TAKE_PROTOCOL)
        return parse_protocol(value, a, err);
    if (id != TAKE_START)
        return add_target(a, value, id == TAKE_WRITE, err);
    a->start_given = true;
    return sc_time_parse(value, sc_clock_wall_ms(), false, &a->options.generator.start_ms, err);
}

#define AT(member) offsetof(struct arguments, member)

/* A row of the table is a row here. */
/* clang-format off */
static const struct sc_option rows[] = {
    {"generate", 0, SC_OPTION_FLAG, .place = AT(generate)},
    {"read", 0, SC_OPTION_TEXT, .place = AT(read)},
    {"store", 0, SC_OPTION_TEXT, .place = AT(store)},
    {"filter", 'f', SC_OPTION_TEXT, .place = AT(filter)},
    {"flows", 0, SC_OPTION_NUMBER, .place = AT(flows), .given = AT(generator_option), .most = UINT64_C(1) << 48},
    {"seed", 0, SC_OPTION_NUMBER, .place = AT(options.generator.seed), .given = AT(generator_option)},
    {"hosts", 0, SC_OPTION_SMALL, .place = AT(options.generator.hosts), .given = AT(generator_option), .least = SC_NETWORK_HOSTS_MIN, .most = SC_NETWORK_HOSTS_MAX},
    {"ipv6", 0, SC_OPTION_SMALL, .place = AT(options.generator.ipv6_percent), .given = AT(generator_option), .most = 100},
    {"exporters", 0, SC_OPTION_SMALL, .place = AT(options.generator.exporters), .given = AT(generator_option), .least = 1, .most = SC_SENDER_EXPORTERS_MAX},
    {"start", TAKE_START, SC_OPTION_TAKE, .given = AT(generator_option)},
    {"to", TAKE_TO, .type = SC_OPTION_TAKE},
    {"write", TAKE_WRITE, .type = SC_OPTION_TAKE},
    {"protocol", TAKE_PROTOCOL, SC_OPTION_TAKE, .given = AT(encoder_option)},
    {"message-size", 0, SC_OPTION_SMALL, .place = AT(options.encoder.max_message), .given = AT(encoder_option), .least = SC_ENCODER_MESSAGE_MIN, .most = SC_ENCODER_MESSAGE_MAX},
    {"rate", 0, SC_OPTION_NUMBER, .place = AT(rate), .most = 1000000000},
    {"truth", 0, SC_OPTION_TEXT, .place = AT(truth)},
    {"help", 0, SC_OPTION_FLAG, .place = AT(help)},
    {"version", 0, SC_OPTION_FLAG, .place = AT(version)},
};
/* clang-format on */

static const struct sc_options options = {.program = "sc-exporter",
                                          .hint = USAGE,
                                          .rows = rows,
                                          .count = sizeof(rows) / sizeof(rows[0]),
                                          .take = take,
                                          .own_words = true};

static bool has_target(const struct arguments *a, enum sc_target_kind kind)
{
    for (uint32_t i = 0; i < a->target_count; i++)
        if (a->targets[i].kind == kind)
            return true;
    return false;
}

/* Whether all targets are served as a stream: IPFIX only, templates once. */
static bool has_stream(const struct arguments *a)
{
    return has_target(a, SC_TARGET_TCP) || has_target(a, SC_TARGET_IPFIX_FILE);
}

static bool has_datagrams(const struct arguments *a)
{
    return has_target(a, SC_TARGET_UDP) || has_target(a, SC_TARGET_PCAP);
}

static enum sc_status check_protocol(const struct arguments *a, struct sc_error *err)
{
    const struct sc_encoder_options *e = &a->options.encoder;
    if (has_stream(a) && e->protocol != SC_EXPORT_IPFIX)
        return sc_fail(err, SC_USAGE, "TCP and .ipfix files carry IPFIX only: use --protocol ipfix");
    if (has_datagrams(a) && e->max_message > UDP_PAYLOAD_MAX)
        return sc_fail(err, SC_USAGE, "--message-size: a datagram carries at most %d bytes", UDP_PAYLOAD_MAX);
    if (e->protocol == SC_EXPORT_V5 && a->options.generator.ipv6_percent != 0)
        return sc_fail(err, SC_USAGE,
                       "NetFlow v5 cannot carry IPv6: use --protocol v9 or ipfix, or no --ipv6");
    return SC_OK;
}

static enum sc_status check(const struct arguments *a, struct sc_error *err)
{
    if (a->generate + (a->read != NULL) + (a->store != NULL) != 1)
        return sc_fail(err, SC_USAGE,
                       "one source of flows is needed: --generate, --read FILE or --store DIR");
    if (a->filter != NULL && a->store == NULL)
        return sc_fail(err, SC_USAGE, "--filter goes with --store only");
    if (!a->generate && a->generator_option != NULL)
        return sc_fail(err, SC_USAGE, "--%s goes with --generate only", a->generator_option);
    if (a->read != NULL && a->encoder_option != NULL)
        return sc_fail(err, SC_USAGE, "--%s does not go with --read: its messages are sent as they are",
                       a->encoder_option);
    if (a->target_count == 0)
        return sc_fail(err, SC_USAGE,
                       "no target: use --to udp://HOST:PORT, --to tcp://HOST:PORT or --write FILE");
    return check_protocol(a, err);
}

/* @return -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *a)
{
    struct sc_error err;
    a->options.generator = sc_generator_default_options();
    a->options.encoder = sc_encoder_default_options();
    int code = sc_options_read(&options, argc, argv, a);
    if (code >= 0)
        return code;
    if (a->version || a->help) {
        fputs(a->version ? "sc-exporter " SC_VERSION "\n" : help, stdout);
        return EXIT_SENT;
    }
    if (optind < argc)
        sc_fail(&err, SC_USAGE, "unexpected argument %s", argv[optind]);
    else if (check(a, &err) == SC_OK)
        return -1;
    return sc_options_fail(&options, err.message);
}

/* The export clock runs at the asked rate, else at the generator's default, and ends about now. */
static void set_clock(struct arguments *a)
{
    struct sc_generator_options *g = &a->options.generator;
    a->options.flows = a->flows;
    a->options.rate = a->rate;
    a->options.encoder.reliable = !has_datagrams(a);
    if (a->rate != 0)
        g->rate = a->rate;
    if (a->start_given)
        return;
    g->start_ms = sc_clock_wall_ms();
    if (a->rate == 0)
        g->start_ms -= a->flows / g->rate * 1000;
}

/* ---- running ---- */

static void show_progress(void *arg, const struct sc_export_totals *totals)
{
    const uint64_t *started_ms = arg;
    double seconds = (double)(sc_clock_mono_ms() - *started_ms) / 1000;
    fprintf(stderr, "\r%" PRIu64 " flows, %" PRIu64 " messages, %.0f flows/s ", totals->flows,
            totals->messages, seconds > 0 ? (double)totals->flows / seconds : 0);
}

static void print_more(uint64_t count, const char *what)
{
    if (count != 0)
        printf(", %" PRIu64 " %s", count, what);
}

static void show_summary(const struct sc_export_totals *totals, const struct sc_sender_stats *sent,
                         uint64_t ms)
{
    double seconds = (double)ms / 1000;
    printf("%" PRIu64 " flows in %" PRIu64 " messages, %.3f s, %.0f flows/s", totals->flows, totals->messages,
           seconds, ms == 0 ? (double)totals->flows * 1000 : (double)totals->flows / seconds);
    print_more(totals->skipped, "flows skipped that the protocol cannot express");
    print_more(totals->values_dropped, "values left out that the protocol cannot express");
    print_more(totals->damaged, "damaged row groups left out");
    print_more(totals->not_export, "datagrams of the file that are no export messages left out");
    print_more(sent->refused, "refusals by the target");
    print_more(sent->failed, "datagrams not sent");
    putchar('\n');
}

static enum sc_status write_truth(const struct arguments *a, const struct sc_truth *truth,
                                  const struct sc_export_totals *totals, struct sc_error *err)
{
    struct sc_truth_export sent = {totals->messages, totals->skipped, totals->values_dropped};
    struct sc_buf text = {0};
    enum sc_status status = sc_truth_write(truth, &sent, &text);
    if (status == SC_OK) {
        FILE *file = fopen(a->truth, "we");
        bool failed = file == NULL || fwrite(text.data, text.len, 1, file) != 1;
        int reason = errno;
        if (file != NULL && fclose(file) != 0 && !failed) {
            failed = true;
            reason = errno;
        }
        if (failed)
            status = sc_fail_errno(err, reason, "cannot write %s", a->truth);
    } else {
        sc_fail_nomem(err, "the truth");
    }
    sc_buf_free(&text);
    return status;
}

static int fail(const struct sc_error *err)
{
    fprintf(stderr, "sc-exporter: %s\n", err->message);
    return err->status == SC_USAGE ? SC_EXIT_USAGE : EXIT_NOT_SENT;
}

/* What the outcome means for the caller, once the summary is shown. */
static int judge(const struct arguments *a, enum sc_status status, const struct sc_sender_stats *sent,
                 const struct sc_error *err)
{
    if (status == SC_CANCELLED && (a->flows != 0 || !a->generate)) {
        fputs("sc-exporter: stopped by a signal before all was sent\n", stderr);
        return EXIT_NOT_SENT;
    }
    if (status != SC_OK && status != SC_CANCELLED)
        return fail(err);
    if (sent->messages != 0 && sent->sent == 0) {
        fputs("sc-exporter: no message could be sent\n", stderr);
        return EXIT_NOT_SENT;
    }
    return EXIT_SENT;
}

/* Closes the targets, shows the summary, writes the truth: also of what was sent before an error. */
static int finish(const struct arguments *a, struct sc_export_run *run, enum sc_status status,
                  const struct sc_export_totals *totals, uint64_t started_ms, struct sc_error *err)
{
    struct sc_sender_stats sent;
    struct sc_error late;
    enum sc_status closed = sc_sender_close(run->sender, &sent, &late);
    uint64_t ms = sc_clock_mono_ms() - started_ms;
    if (closed != SC_OK && (status == SC_OK || status == SC_CANCELLED)) {
        status = closed;
        *err = late;
    }
    if (run->progress != NULL)
        fputc('\n', stderr);
    show_summary(totals, &sent, ms);
    if (a->truth != NULL) {
        enum sc_status written = write_truth(a, run->truth, totals, status == SC_OK ? err : &late);
        status = status == SC_OK ? written : status;
    }
    return judge(a, status, &sent, err);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* How many exporters the source has. */
static enum sc_status count_exporters(const struct arguments *a, uint32_t *exporters, struct sc_error *err)
{
    struct sc_replay_info info;
    *exporters = a->options.generator.exporters;
    if (a->read == NULL)
        return SC_OK;
    SC_TRY(sc_replay_scan(a->read, &info, err));
    if (info.not_ipfix != 0 && has_stream(a))
        return sc_fail(err, SC_USAGE, "%s holds NetFlow v5 or v9: TCP and .ipfix files carry IPFIX only",
                       a->read);
    *exporters = info.exporters;
    return SC_OK;
}

static enum sc_status open_run(const struct arguments *a, struct sc_export_run *run, struct sc_error *err)
{
    uint32_t exporters;
    SC_TRY(count_exporters(a, &exporters, err));
    if (a->truth != NULL && (run->truth = sc_truth_create()) == NULL)
        return sc_fail_nomem(err, "the truth");
    run->sender = sc_sender_open(a->targets, a->target_count, exporters, err);
    return run->sender != NULL ? SC_OK : err->status;
}

static bool match_row(void *arg, const struct sc_column *const *columns, uint32_t column_count, uint32_t row)
{
    return sc_filter_match(arg, columns, column_count, row);
}

static enum sc_status send_store(const struct arguments *a, struct sc_filter *filter,
                                 struct sc_export_run *run, struct sc_export_totals *totals,
                                 struct sc_error *err)
{
    struct sc_from_store_options from = {.path = a->store,
                                         .encoder = a->options.encoder,
                                         .match = filter == NULL ? NULL : match_row,
                                         .arg = filter};
    return sc_export_from_store(run, &from, totals, err);
}

static enum sc_status send_all(const struct arguments *a, struct sc_filter *filter, struct sc_export_run *run,
                               struct sc_export_totals *totals, struct sc_error *err)
{
    if (a->store != NULL)
        return send_store(a, filter, run, totals, err);
    if (a->read != NULL)
        return sc_export_replay(run, a->read, totals, err);
    return sc_export_generate(run, &a->options, totals, err);
}

/* As sc-query has it: with the names of elements that exporters defined. */
static enum sc_status parse_filter(const struct arguments *a, struct sc_filter **filter, struct sc_error *err)
{
    struct sc_ie_learned learned = {0};
    if (a->filter == NULL)
        return SC_OK;
    enum sc_status status = sc_elements_load(a->store, &learned, err);
    if (status != SC_NOMEM)
        status = sc_filter_parse(&learned, a->filter, filter, err);
    sc_ie_learned_free(&learned);
    return status;
}

static int run_exporter(struct arguments *a)
{
    struct sc_filter *filter = NULL;
    struct sc_error err = {0};
    uint64_t started_ms;
    struct sc_export_totals totals;
    struct sc_export_run run = {.stop = &stop_signal};
    if (has_target(a, SC_TARGET_UDP) || has_target(a, SC_TARGET_TCP))
        run.rate = a->rate; /* files need no pace; the export clock keeps it */
    if (parse_filter(a, &filter, &err) != SC_OK || open_run(a, &run, &err) != SC_OK) {
        sc_filter_free(filter);
        sc_truth_free(run.truth);
        return fail(&err);
    }
    if (isatty(STDERR_FILENO)) {
        run.progress = show_progress;
        run.arg = &started_ms;
    }
    catch_signals();
    set_clock(a);
    started_ms = sc_clock_mono_ms();
    enum sc_status status = send_all(a, filter, &run, &totals, &err);
    int code = finish(a, &run, status, &totals, started_ms, &err);
    sc_filter_free(filter);
    sc_truth_free(run.truth);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments a = {.flows = DEFAULT_FLOWS};
    int code = parse(argc, argv, &a);
    return code >= 0 ? code : run_exporter(&a);
}
