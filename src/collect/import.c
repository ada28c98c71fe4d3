// SPDX-License-Identifier: BSD-3-Clause
#include "collect/import.h"

#include "base/clock.h"
#include "collect/missing.h"
#include "collect/storer.h"

#include <sys/stat.h>

#define PATIENCE_MS     3600000u /* the store thread gives up first, and closes the queue */
#define PROGRESS_MS     200u
#define MESSAGES_TURN   64u /* between looks at the clock */
#define MOST_COMPLAINTS 20u

struct import {
    const struct sc_import_options *options;
    struct sc_import_summary *summary;
    struct sc_intake *intake;
    uint64_t next_progress_ms;
    uint64_t bytes_before; /* of the files already read */
    uint32_t complaints;
};

uint64_t sc_import_undecodable(const struct sc_import_summary *summary)
{
    const struct sc_intake_stats *s = &summary->intake;
    return s->no_template_sets > s->recovered_sets ? s->no_template_sets - s->recovered_sets : 0;
}

static void complain(struct import *im, const char *path, uint64_t number, const struct sc_error *err)
{
    if (++im->complaints > MOST_COMPLAINTS)
        return;
    sc_log(im->options->log, SC_LOG_WARNING, "%s: message %llu: %s%s", path, (unsigned long long)number,
           err->message, im->complaints == MOST_COMPLAINTS ? " (further ones are counted only)" : "");
}

static void add_capture(struct sc_capture_stats *to, const struct sc_capture_stats *s)
{
    to->packets += s->packets;
    to->fragments += s->fragments;
    to->truncated += s->truncated;
    to->broken += s->broken;
    to->other += s->other;
    to->messages += s->messages;
    to->damaged_bytes += s->damaged_bytes;
    to->resyncs += s->resyncs;
}

static bool report_progress(struct import *im, const struct sc_capture *capture)
{
    uint64_t now = sc_clock_mono_ms();
    if (im->options->progress == NULL || now < im->next_progress_ms)
        return true;
    struct sc_capture_stats stats;
    sc_capture_get_stats(capture, &stats);
    im->next_progress_ms = now + PROGRESS_MS;
    im->summary->bytes_read = im->bytes_before + stats.bytes_read;
    im->summary->intake = *sc_intake_stats_of(im->intake);
    return im->options->progress(im->options->arg, im->summary);
}

static enum sc_status read_messages(struct import *im, const char *path, uint32_t number,
                                    struct sc_capture *capture, struct sc_error *err)
{
    bool stream = sc_capture_kind_of(capture) == SC_CAPTURE_STREAM;
    struct sc_message_source source = {.transport = stream ? SC_TRANSPORT_FILE : SC_TRANSPORT_UDP,
                                       .connection = stream ? number : 0};
    for (uint64_t n = 1;; n++) {
        struct sc_capture_message message;
        struct sc_error bad;
        SC_TRY(sc_capture_next(capture, &message, err));
        source.exporter = message.from;
        source.port = message.port;
        source.receive_ms = message.time_ms;
        if (sc_intake_message(im->intake, &source, message.bytes, message.length, &bad) != SC_OK)
            complain(im, path, n, &bad);
        if (n % MESSAGES_TURN == 0 && !report_progress(im, capture))
            return SC_CANCELLED;
    }
}

/* @return SC_OK or SC_CANCELLED; a bad file is counted. */
static enum sc_status read_file(struct import *im, const char *path, uint32_t number)
{
    struct sc_capture *capture;
    struct sc_capture_stats stats;
    struct sc_error err;
    enum sc_status status = sc_capture_open(path, &capture, &err);
    if (status != SC_OK) {
        sc_log(im->options->log, SC_LOG_ERROR, "%s", err.message);
        im->summary->bad_files++;
        return SC_OK;
    }
    status = read_messages(im, path, number, capture, &err);
    sc_capture_get_stats(capture, &stats);
    add_capture(&im->summary->capture, &stats);
    im->bytes_before += stats.file_bytes;
    sc_capture_close(capture);
    im->summary->files++;
    if (status != SC_END && status != SC_CANCELLED) {
        sc_log(im->options->log, SC_LOG_ERROR, "%s", err.message);
        im->summary->bad_files++;
    }
    return status == SC_CANCELLED ? SC_CANCELLED : SC_OK;
}

static bool on_missing(void *arg, const struct sc_missing_template *missing)
{
    return sc_missing_tell(arg, missing);
}

/* Of all files together, before anything expires: the clock stands at 0. */
static void tell_missing(const struct import *im)
{
    struct sc_missing_minute minute = {0};
    struct sc_missing_lines lines = {.log = im->options->log, .minute = &minute};
    const struct sc_care care = {.missing = on_missing, .missing_before_ms = UINT64_MAX, .arg = &lines};
    sc_missing_begin(&lines, sc_clock_mono_ms());
    while (!sc_decoder_care(sc_intake_decoder(im->intake), UINT32_MAX, 0, &care))
        continue;
    sc_missing_end(&lines);
}

static enum sc_status read_all(struct import *im, const char *const *paths, uint32_t count)
{
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < count; i++) {
        struct stat info;
        if (stat(paths[i], &info) == 0)
            im->summary->bytes += (uint64_t)info.st_size;
    }
    for (uint32_t i = 0; i < count && status == SC_OK; i++)
        status = read_file(im, paths[i], i + 1);
    sc_intake_flush(im->intake);
    tell_missing(im);
    im->summary->intake = *sc_intake_stats_of(im->intake);
    im->summary->bytes_read = im->bytes_before;
    return status;
}

static struct sc_intake *create_intake(const struct sc_config *config, struct sc_queue *queue,
                                       struct sc_error *err)
{
    struct sc_intake_options options = {
        .limits = sc_decoder_default_limits(),
        .window_s = config->window_s,
        .queue = queue,
        .patience_ms = PATIENCE_MS,
    };
    options.limits.template_lifetime_s = config->template_lifetime_s;
    options.limits.share_bytes = config->exporter_share;
    options.limits.shares = config->exporter_shares;
    options.limits.share_count = config->exporter_share_count;
    options.limits.template_scope =
        config->template_scope_address ? SC_TEMPLATE_SCOPE_ADDRESS : SC_TEMPLATE_SCOPE_SESSION;
    return sc_intake_create(&options, err);
}

/* A store is made only for something that can go there. */
static bool any_readable(const char *const *paths, uint32_t count)
{
    struct sc_capture *capture;
    for (uint32_t i = 0; i < count; i++) {
        if (sc_capture_open(paths[i], &capture, NULL) == SC_OK) {
            sc_capture_close(capture);
            return true;
        }
    }
    return false;
}

static enum sc_status run(struct import *im, struct sc_queue *queue, const char *const *paths, uint32_t count,
                          struct sc_error *err)
{
    const struct sc_storer_options options = {
        .store = im->options->config->store,
        .window_s = im->options->config->window_s,
        .queue = queue,
        .log = im->options->log == NULL ? (struct sc_log){0} : *im->options->log,
        .import = true,
        .verify = im->options->config->verify_full ? SC_VERIFY_FULL : SC_VERIFY_HASH,
    };
    struct sc_storer *storer;
    if (!any_readable(paths, count))
        return read_all(im, paths, count); /* says why not */
    SC_TRY(sc_storer_start(&options, &storer, err));
    enum sc_status status = read_all(im, paths, count);
    sc_queue_close(queue);
    enum sc_status stored = sc_storer_finish(storer, true, NULL, err);
    return stored == SC_OK ? status : stored;
}

enum sc_status sc_import(const struct sc_import_options *options, const char *const *paths, uint32_t count,
                         struct sc_import_summary *out, struct sc_error *err)
{
    *out = (struct sc_import_summary){0};
    struct import im = {.options = options, .summary = out};
    struct sc_queue *queue = sc_queue_create(options->config->queue_memory);
    if (queue == NULL)
        return sc_fail_nomem(err, "the queue");
    im.intake = create_intake(options->config, queue, err);
    enum sc_status status = im.intake == NULL ? SC_NOMEM : run(&im, queue, paths, count, err);
    sc_queue_free(queue);
    sc_intake_free(im.intake);
    return status;
}
