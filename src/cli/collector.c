// SPDX-License-Identifier: BSD-3-Clause
/* sc-collector: receives NetFlow and IPFIX and stores the flows. */
#include "daemon/collector.h"
#include "base/clock.h"
#include "cli/options.h"
#include "collect/import.h"
#include "conf/cluster.h"
#include "daemon/door.h"
#include "forward/forward.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_PARTIAL = 3, EXIT_NOTHING = 1 };

/* A line of the text is a line here. */
/* clang-format off */
static const char usage[] =
    "Usage: sc-collector [OPTION]...\n"
    "Receives NetFlow v5, v9 and IPFIX and stores the flows. Runs in the foreground.\n"
    "\n"
    "  -c, --config FILE      configuration (default " SC_CONFIG_DEFAULT_FILE ", if present)\n"
    "      --listen URL       udp://ADDRESS:PORT or tcp://ADDRESS:PORT; repeatable; instead of the file's listeners\n"
    "                         (default udp://[::]:4739 and udp://[::]:2055)\n"
    "      --store DIR        where to store (default " SC_CONFIG_DEFAULT_STORE "), created when missing\n"
    "      --window SECONDS   length of a window, also as 5m or 1h; divides a day (default 300)\n"
    "      --receivers N      threads that receive and decode (default 1)\n"
    "      --forward URL      send the flows also to a collector at tcp://HOST:PORT or udp://HOST:PORT, as IPFIX;\n"
    "                         repeatable; instead of the file's (which can say NetFlow too)\n"
    "      --read CAPTURE     store a pcap, pcapng, export payload or IPFIX file and exit; repeatable\n"
    "      --check-config     check the configuration and exit\n"
    "      --log-level LEVEL  error, warning, info or debug (default info)\n"
    "      --help             show this text\n"
    "      --version          show the version\n"
    "\n"
    "SIGTERM ends it, SIGHUP reads the configuration again.\n"
    "Exit: 0 done; 1 could not run, nothing could be read, or not all could be stored; 2 usage or configuration;\n"
    "3 with --read: something was malformed or undecodable, the rest is stored.\n";
/* clang-format on */

/* What the command line says; it goes before the file. */
struct arguments {
    const char *config;
    const char *store;
    struct sc_url listeners[SC_CONFIG_MAX_LISTENERS];
    uint32_t listener_count;
    struct sc_config_forward forward[SC_CONFIG_MAX_FORWARD];
    uint32_t forward_count;
    uint32_t window_s;  /* 0: not given */
    uint32_t receivers; /* 0: not given */
    bool has_log_level;
    enum sc_log_level log_level;
    const char **captures;
    uint32_t capture_count;
    bool check_config;
};

static int fail(int code, const struct sc_error *err)
{
    fprintf(stderr, "sc-collector: %s\n", err->message);
    return code;
}

static enum sc_status override(const struct arguments *args, struct sc_config *config, struct sc_error *err)
{
    if (args->listener_count != 0) {
        memcpy(config->listeners, args->listeners, sizeof(args->listeners));
        config->listener_count = args->listener_count;
    }
    if (args->forward_count != 0) {
        memcpy(config->forward, args->forward, sizeof(args->forward));
        config->forward_count = args->forward_count;
    }
    if (args->store != NULL)
        SC_TRY(sc_config_set_store(config, args->store, err));
    if (args->window_s != 0)
        config->window_s = args->window_s;
    if (args->receivers != 0)
        config->receivers = args->receivers;
    if (args->has_log_level)
        config->log_level = args->log_level;
    return SC_OK;
}

/* The default file, once it was there, is missed when it is away: that it is being replaced does not mean the defaults. */
static const char *find_file(struct arguments *args)
{
    if (args->config == NULL && access(SC_CONFIG_DEFAULT_FILE, F_OK) == 0)
        args->config = SC_CONFIG_DEFAULT_FILE;
    return args->config;
}

static enum sc_status configure(void *arg, struct sc_config *config, struct sc_error *err)
{
    struct arguments *args = arg;
    SC_TRY(sc_config_init(config, err));
    enum sc_status status = SC_OK;
    if (find_file(args) != NULL)
        status = sc_config_load(args->config, config, err);
    if (status == SC_OK)
        status = override(args, config, err);
    if (status == SC_OK)
        status = sc_forward_check(config, err);
    if (status != SC_OK)
        sc_config_free(config);
    return status;
}

/* ---- --read ---- */

static bool show_progress(void *arg, const struct sc_import_summary *so_far)
{
    (void)arg;
    unsigned percent = so_far->bytes == 0 ? 0 : (unsigned)(so_far->bytes_read * 100 / so_far->bytes);
    fprintf(stderr, "\r%3u%% %llu messages, %llu flows\033[K", percent > 100 ? 100 : percent,
            (unsigned long long)so_far->intake.messages, (unsigned long long)so_far->intake.flows);
    return true;
}

static void print_skipped(uint64_t count, const char *what)
{
    if (count != 0)
        printf(", %llu %s", (unsigned long long)count, what);
}

static void print_summary(const struct sc_import_summary *s)
{
    printf("%llu messages, %llu flows, %llu options records, %llu malformed, %llu data sets without template",
           (unsigned long long)s->intake.messages, (unsigned long long)s->intake.flows,
           (unsigned long long)s->intake.options, (unsigned long long)s->intake.malformed,
           (unsigned long long)sc_import_undecodable(s));
    print_skipped(s->intake.refused, "messages dropped");
    print_skipped(s->capture.fragments, "IP fragments skipped");
    print_skipped(s->capture.truncated, "truncated packets skipped");
    print_skipped(s->capture.broken, "broken packets skipped");
    print_skipped(s->capture.damaged_bytes, "damaged bytes skipped");
    print_skipped(s->bad_files, "files not read whole");
    putchar('\n');
}

static int judge(const struct sc_import_summary *s)
{
    const struct sc_intake_stats *in = &s->intake;
    const struct sc_capture_stats *capture = &s->capture;
    if (in->flows + in->options + in->templates == 0)
        return EXIT_NOTHING;
    bool whole =
        in->malformed + in->refused + in->dropped_full + in->dropped_aside + sc_import_undecodable(s) == 0 &&
        capture->fragments + capture->truncated + capture->broken + capture->damaged_bytes == 0 &&
        s->bad_files == 0;
    return whole ? EXIT_SUCCESS : EXIT_PARTIAL;
}

static int read_captures(struct arguments *args)
{
    struct sc_config config;
    struct sc_import_summary summary;
    struct sc_error err;
    if (configure(args, &config, &err) != SC_OK)
        return fail(SC_EXIT_USAGE, &err);
    bool terminal = isatty(STDERR_FILENO) == 1;
    const struct sc_log log = {.stream = stderr, .level = config.log_level};
    const struct sc_import_options options = {
        .config = &config, .log = &log, .progress = terminal ? show_progress : NULL};
    enum sc_status status = sc_import(&options, args->captures, args->capture_count, &summary, &err);
    if (terminal)
        fputs("\r\033[K", stderr);
    sc_config_free(&config);
    if (status != SC_OK)
        return fail(status == SC_USAGE ? SC_EXIT_USAGE : EXIT_NOTHING, &err);
    print_summary(&summary);
    return judge(&summary);
}

/* ---- the daemon ---- */

static enum sc_status check_member(const struct sc_config *config, struct sc_error *err)
{
    struct sc_cluster cluster;
    uint32_t self;
    struct sc_tls *tls;
    SC_TRY(sc_cluster_load_for(config->cluster, config->node, &cluster, &self, err));
    enum sc_status status = sc_door_open(config, &cluster, self, &tls, err);
    sc_tls_release(tls);
    sc_cluster_free(&cluster);
    return status;
}

/* All that the daemon reads before it begins. */
static enum sc_status check_files(struct arguments *args, struct sc_error *err)
{
    struct sc_config config;
    SC_TRY(configure(args, &config, err));
    enum sc_status status = config.cluster == NULL ? SC_OK : check_member(&config, err);
    sc_config_free(&config);
    return status;
}

static int check(struct arguments *args)
{
    const char *file = find_file(args);
    struct sc_error err;
    if (check_files(args, &err) != SC_OK)
        return fail(SC_EXIT_USAGE, &err);
    if (file == NULL)
        puts("there is no " SC_CONFIG_DEFAULT_FILE "; the defaults are valid");
    else
        printf("%s: the configuration is valid\n", file);
    return EXIT_SUCCESS;
}

static int collect(struct arguments *args)
{
    struct sc_error err;
    if (check_files(args, &err) != SC_OK)
        return fail(SC_EXIT_USAGE, &err);
    const struct sc_collector_options options = {.stream = stderr, .configure = configure, .arg = args};
    enum sc_status status = sc_collector_run(&options, &err);
    return status == SC_OK ? EXIT_SUCCESS : fail(status == SC_USAGE ? SC_EXIT_USAGE : EXIT_FAILURE, &err);
}

/* ---- arguments ---- */

enum {
    TAKE_LISTEN = SC_OPTION_LETTER,
    TAKE_FORWARD,
    TAKE_STORE,
    TAKE_WINDOW,
    TAKE_RECEIVERS,
    TAKE_READ,
    TAKE_LOG
};

static enum sc_status add_listener(struct arguments *args, const char *text, struct sc_error *err)
{
    if (args->listener_count == SC_CONFIG_MAX_LISTENERS)
        return sc_fail(err, SC_USAGE, "more than %u listeners", SC_CONFIG_MAX_LISTENERS);
    SC_TRY(sc_config_listener(text, args->listeners, args->listener_count,
                              &args->listeners[args->listener_count], err));
    args->listener_count++;
    return SC_OK;
}

static enum sc_status add_forward(struct arguments *args, const char *text, struct sc_error *err)
{
    if (args->forward_count == SC_CONFIG_MAX_FORWARD)
        return sc_fail(err, SC_USAGE, "more than %u destinations", SC_CONFIG_MAX_FORWARD);
    SC_TRY(sc_config_forward(text, NULL, NULL, args->forward, args->forward_count,
                             &args->forward[args->forward_count], err));
    args->forward_count++;
    return SC_OK;
}

static enum sc_status take(void *out, int id, const char *value, struct sc_error *err)
{
    struct arguments *args = out;
    switch (id) {
    case TAKE_LISTEN:
        return add_listener(args, value, err);
    case TAKE_FORWARD:
        return add_forward(args, value, err);
    case TAKE_STORE:
        args->store = value;
        return value[0] != '\0' ? SC_OK : sc_fail(err, SC_USAGE, "a folder is needed");
    case TAKE_WINDOW:
        return sc_config_window(value, &args->window_s, err);
    case TAKE_RECEIVERS:
        return sc_config_receivers(value, &args->receivers, err);
    case TAKE_READ:
        args->captures[args->capture_count++] = value;
        return SC_OK;
    default:
        args->has_log_level = true;
        return sc_config_log_level(value, &args->log_level, err);
    }
}

static const struct sc_option rows[] = {
    {"config", 'c', SC_OPTION_TEXT, .place = offsetof(struct arguments, config)},
    {"listen", TAKE_LISTEN, .type = SC_OPTION_TAKE},
    {"forward", TAKE_FORWARD, .type = SC_OPTION_TAKE},
    {"store", TAKE_STORE, .type = SC_OPTION_TAKE},
    {"window", TAKE_WINDOW, .type = SC_OPTION_TAKE},
    {"receivers", TAKE_RECEIVERS, .type = SC_OPTION_TAKE},
    {"read", TAKE_READ, .type = SC_OPTION_TAKE},
    {"check-config", 0, SC_OPTION_FLAG, .place = offsetof(struct arguments, check_config)},
    {"log-level", TAKE_LOG, .type = SC_OPTION_TAKE},
    {"help", 0, SC_OPTION_SAY, .wrong = usage},
    {"version", 0, SC_OPTION_SAY, .wrong = "sc-collector " SC_VERSION "\n"},
};

static const struct sc_options options = {.program = "sc-collector",
                                          .hint = "Try sc-collector --help.\n",
                                          .rows = rows,
                                          .count = sizeof(rows) / sizeof(rows[0]),
                                          .take = take,
                                          .names_taken = true};

/* @return -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *args)
{
    struct sc_error err;
    int code = sc_options_read(&options, argc, argv, args);
    if (code >= 0)
        return code;
    if (optind < argc) {
        sc_fail(&err, SC_USAGE, "unknown argument \"%s\"; did you mean --read %s?", argv[optind],
                argv[optind]);
        return sc_options_fail(&options, err.message);
    }
    if (args->capture_count != 0 && args->listener_count != 0)
        return sc_options_fail(&options, "--read stores files and exits; it does not go with --listen");
    if (args->capture_count != 0 && args->forward_count != 0)
        return sc_options_fail(&options,
                               "--read stores files and exits; sc-exporter --read FILE --to URL sends them");
    return -1;
}

static int run(int argc, char **argv, struct arguments *args)
{
    int code = parse(argc, argv, args);
    if (code >= 0)
        return code;
    if (args->check_config)
        return check(args);
    return args->capture_count != 0 ? read_captures(args) : collect(args);
}

int main(int argc, char **argv)
{
    struct arguments args = {.captures = calloc((size_t)argc, sizeof(char *))};
    if (args.captures == NULL) {
        fputs("sc-collector: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    int code = run(argc, argv, &args);
    free(args.captures);
    return code;
}
