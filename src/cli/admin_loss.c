// SPDX-License-Identifier: BSD-3-Clause
#include "cli/admin.h"

#include "source/source.h"
#include "store/catalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct acceptance {
    const struct sc_admin_loss *what;
    struct sc_losses losses;
    bool short_of_memory;
};

static bool is_meant(const struct acceptance *a, uint64_t stream)
{
    return !a->what->one_stream || a->what->stream == stream;
}

static void on_lost(void *arg, const struct sc_tally *tally, const struct sc_loss *loss)
{
    struct acceptance *a = arg;
    struct sc_stream stream = {.stream = tally->stream};
    memcpy(stream.proxy, tally->proxy, sizeof(stream.proxy));
    if (!is_meant(a, tally->stream))
        return;
    a->short_of_memory = a->short_of_memory || sc_losses_add(&a->losses, loss) != SC_OK ||
                         sc_losses_add_stream(&a->losses, &stream) != SC_OK;
}

static void on_silent(void *arg, const struct sc_stream *stream)
{
    struct acceptance *a = arg;
    struct sc_stream closed = *stream;
    closed.closed = true;
    if (is_meant(a, stream->stream))
        a->short_of_memory = a->short_of_memory || sc_losses_add_stream(&a->losses, &closed) != SC_OK;
}

/* Flows, then options: a source reads one kind. What cannot be read is not lost yet. */
static enum sc_status find_losses(struct acceptance *a, struct sc_error *err)
{
    const struct sc_loss_sink sink = {on_lost, on_silent, a};
    for (int options = 0; options < 2; options++) {
        const struct sc_source_bounds bounds = {.options = options != 0, .sink = &sink};
        struct sc_source source;
        SC_TRY(sc_source_open(a->what->stores, a->what->store_count, &bounds, &source, err));
        enum sc_status status = SC_OK;
        if (source.unread != 0)
            status = sc_fail(err, SC_DAMAGED, "%.400s; repair or leave out what cannot be read first",
                             source.missing[0]);
        sc_source_close(&source);
        SC_TRY(status);
    }
    return a->short_of_memory ? sc_fail_nomem(err, "what is lost") : SC_OK;
}

/* In a part of a store, or in what it holds for another lane, a lot seems lost that lies beside it. */
static enum sc_status check_whole(const char *store, struct sc_error *err)
{
    char streams[4096];
    struct stat st;
    struct sc_catalogue catalogue = {.replicas = true};
    snprintf(streams, sizeof(streams), "%s/" SC_STREAMS_FOLDER, store);
    if (stat(streams, &st) == 0)
        return SC_OK;
    enum sc_status status = sc_catalogue_add(&catalogue, store, err);
    if (status == SC_OK && catalogue.count + catalogue.tally_count != 0)
        status = sc_fail(err, SC_USAGE,
                         "%s is not the whole store of a node of a cluster (it has no " SC_STREAMS_FOLDER
                         "): name the stores themselves, no parts of them",
                         store);
    sc_catalogue_free(&catalogue);
    return status;
}

static enum sc_status check_stores(const struct acceptance *a, struct sc_error *err)
{
    for (uint32_t i = 0; i < a->what->store_count && a->losses.stream_count != 0; i++)
        SC_TRY(check_whole(a->what->stores[i], err));
    return SC_OK;
}

static void print_stream(const struct acceptance *a, const struct sc_stream *s)
{
    uint64_t batches = 0, flows = 0, options = 0, windows = 0, window_ms = UINT64_MAX;
    for (uint32_t i = 0; i < a->losses.count; i++) {
        const struct sc_loss *l = &a->losses.list[i];
        if (l->stream != s->stream)
            continue;
        windows += l->window_ms != window_ms;
        window_ms = l->window_ms;
        batches += l->lost.batches[0] + l->lost.batches[1];
        flows += l->lost.records[0];
        options += l->lost.records[1];
    }
    printf("proxy %s, stream %016" PRIx64 ": %" PRIu64 " batches with %" PRIu64 " flows and %" PRIu64
           " options records in %" PRIu64 " windows%s\n",
           s->proxy, s->stream, batches, flows, options, windows,
           s->closed ? "; it is silent, and closed" : "");
}

/* In each store: whichever of them is asked later knows it. */
static enum sc_status record(struct acceptance *a, struct sc_error *err)
{
    for (uint32_t i = 0; i < a->what->store_count; i++) {
        struct sc_losses all = {0};
        enum sc_status status = sc_losses_read(a->what->stores[i], &all, err);
        for (uint32_t k = 0; k < a->losses.count && status == SC_OK; k++)
            status = sc_losses_add(&all, &a->losses.list[k]);
        for (uint32_t k = 0; k < a->losses.stream_count && status == SC_OK; k++)
            status = sc_losses_add_stream(&all, &a->losses.streams[k]);
        if (status == SC_OK)
            status = sc_losses_write(a->what->stores[i], &all, NULL, err);
        else if (status == SC_NOMEM)
            sc_fail_nomem(err, "what is lost");
        sc_losses_free(&all);
        SC_TRY(status);
    }
    return SC_OK;
}

int sc_admin_accept_loss(const struct sc_admin_loss *what)
{
    struct acceptance a = {.what = what};
    struct sc_error err;
    enum sc_status status = find_losses(&a, &err);
    if (status == SC_OK)
        status = check_stores(&a, &err);
    for (uint32_t i = 0; i < a.losses.stream_count && status == SC_OK; i++)
        print_stream(&a, &a.losses.streams[i]);
    if (status == SC_OK && a.losses.stream_count != 0 && !what->dry_run)
        status = record(&a, &err);
    if (status == SC_OK && a.losses.stream_count == 0)
        puts("nothing is missing");
    else if (status == SC_OK)
        puts(what->dry_run ? "nothing is recorded (--dry-run)" : "recorded as lost for good");
    sc_losses_free(&a.losses);
    if (status == SC_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "sc-admin: %s\n", err.message);
    return status == SC_DAMAGED ? 3 : 1;
}
