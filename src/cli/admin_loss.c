// SPDX-License-Identifier: BSD-3-Clause
#include "cli/admin_loss.h"

#include "base/array.h"
#include "conf/cluster.h"
#include "source/source.h"
#include "store/catalogue.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what is missing ---- */

static bool is_meant(const struct sc_admin_found *a, uint64_t stream)
{
    return !a->what->one_stream || a->what->stream == stream;
}

static void on_lost(void *arg, const struct sc_tally *tally, const struct sc_loss *loss)
{
    struct sc_admin_found *a = arg;
    struct sc_stream stream = {.stream = tally->stream};
    memcpy(stream.proxy, tally->proxy, sizeof(stream.proxy));
    if (!is_meant(a, tally->stream))
        return;
    a->short_of_memory = a->short_of_memory || sc_losses_add(&a->losses, loss) != SC_OK ||
                         sc_losses_add_stream(&a->losses, &stream) != SC_OK;
}

static void on_silent(void *arg, const struct sc_stream *stream)
{
    struct sc_admin_found *a = arg;
    struct sc_stream closed = *stream;
    closed.closed = true;
    if (is_meant(a, stream->stream))
        a->short_of_memory = a->short_of_memory || sc_losses_add_stream(&a->losses, &closed) != SC_OK;
}

struct sc_loss_sink sc_admin_loss_sink(struct sc_admin_found *found)
{
    return (struct sc_loss_sink){on_lost, on_silent, found};
}

const uint64_t *sc_admin_loss_stream(const struct sc_admin_loss *what)
{
    return what->one_stream ? &what->stream : NULL;
}

/* Flows, then options: a source reads one kind. What cannot be read is not lost yet. */
static enum sc_status find_losses(struct sc_admin_found *a, struct sc_error *err)
{
    const struct sc_loss_sink sink = sc_admin_loss_sink(a);
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

/* ---- whether these are the stores of all ---- */

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

struct lanes {
    uint32_t *list;
    uint32_t count;
};

static enum sc_status note_lane(struct lanes *lanes, uint32_t lane)
{
    for (uint32_t i = 0; i < lanes->count; i++) {
        if (lanes->list[i] == lane)
            return SC_OK;
    }
    if (!sc_array_more(lanes->list, lanes->count, 1))
        return SC_NOMEM;
    lanes->list[lanes->count++] = lane;
    return SC_OK;
}

/* Where batches ought to go, by what the proxies told. */
static enum sc_status note_told(struct lanes *lanes, const char *store)
{
    struct sc_catalogue catalogue = {.replicas = true};
    enum sc_status status = sc_catalogue_add(&catalogue, store, NULL) == SC_NOMEM ? SC_NOMEM : SC_OK;
    for (uint32_t i = 0; i < catalogue.tally_count && status == SC_OK; i++) {
        struct sc_tally tally;
        if (sc_tally_read(catalogue.tallies[i].path, &tally, NULL) != SC_OK)
            continue; /* the answer says so */
        for (uint32_t l = 0; l < tally.lane_count && status == SC_OK; l++)
            status = tally.lanes[l].lane == SC_DROPPED_LANE ? SC_OK : note_lane(lanes, tally.lanes[l].lane);
        sc_tally_free(&tally);
    }
    sc_catalogue_free(&catalogue);
    return status;
}

/* Of whom the store holds copies. */
static enum sc_status note_replicas(struct lanes *lanes, const char *store)
{
    char folder[4096];
    const struct dirent *entry;
    enum sc_status status = SC_OK;
    snprintf(folder, sizeof(folder), "%s/" SC_REPLICA_FOLDER, store);
    DIR *dir = opendir(folder);
    while (dir != NULL && status == SC_OK && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            status = note_lane(lanes, sc_cluster_lane(entry->d_name));
    }
    if (dir != NULL)
        closedir(dir);
    return status;
}

/* The subcollectors that the stores know of; 0: they are of no cluster. */
static enum sc_status count_lanes(const struct sc_admin_loss *what, uint32_t *count)
{
    struct lanes lanes = {0};
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < what->store_count && status == SC_OK; i++) {
        status = note_told(&lanes, what->stores[i]);
        if (status == SC_OK)
            status = note_replicas(&lanes, what->stores[i]);
    }
    *count = lanes.count;
    free(lanes.list);
    return status;
}

static enum sc_status count_members(const char *file, uint32_t *count, struct sc_error *err)
{
    struct sc_cluster cluster;
    SC_TRY(sc_cluster_load(file, &cluster, err));
    *count = 0;
    for (uint32_t i = 0; i < cluster.count; i++)
        *count += cluster.members[i].subcollector;
    sc_cluster_free(&cluster);
    return SC_OK;
}

/* One that is named twice is one. */
static uint32_t count_stores(const struct sc_admin_loss *what)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < what->store_count; i++) {
        struct stat one = {0}, other = {0};
        uint32_t k = 0;
        stat(what->stores[i], &one);
        while (k < i && (stat(what->stores[k], &other) != 0 || other.st_dev != one.st_dev ||
                         other.st_ino != one.st_ino))
            k++;
        count += k == i;
    }
    return count;
}

/* What some lack others may hold. How many there are is told by the membership file, or by what lies in the stores. */
static enum sc_status check_count(const struct sc_admin_loss *what, const struct sc_config *config,
                                  struct sc_error *err)
{
    uint32_t members = 0, stores = count_stores(what);
    if (count_lanes(what, &members) != SC_OK)
        return sc_fail_nomem(err, "the lanes");
    if (members != 0 && config->cluster != NULL)
        SC_TRY(count_members(config->cluster, &members, err));
    if (stores >= members)
        return SC_OK;
    return sc_fail(
        err, SC_USAGE,
        "%" PRIu32 " of the %" PRIu32 " stores that %s: what is missing may lie in the others. Name "
        "those of all nodes, or let all be asked (--cluster); --force when the others are gone for good",
        stores, members,
        config->cluster != NULL ? "the membership file knows of" : "the cluster had by what lies in them");
}

static enum sc_status check_stores(const struct sc_admin_found *a, const struct sc_config *config,
                                   struct sc_error *err)
{
    if (a->losses.stream_count == 0)
        return SC_OK;
    for (uint32_t i = 0; i < a->what->store_count; i++)
        SC_TRY(check_whole(a->what->stores[i], err));
    return a->what->force ? SC_OK : check_count(a->what, config, err);
}

/* ---- words ---- */

static void print_stream(const struct sc_losses *losses, const struct sc_stream *s)
{
    uint64_t batches = 0, flows = 0, options = 0, windows = 0, window_ms = UINT64_MAX;
    for (uint32_t i = 0; i < losses->count; i++) {
        const struct sc_loss *l = &losses->list[i];
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

void sc_admin_print_losses(const struct sc_losses *losses)
{
    for (uint32_t i = 0; i < losses->stream_count; i++)
        print_stream(losses, &losses->streams[i]);
}

/* ---- by paths ---- */

/* In each store: whichever of them is asked later knows it. */
static enum sc_status record(const struct sc_admin_found *a, struct sc_error *err)
{
    for (uint32_t i = 0; i < a->what->store_count; i++)
        SC_TRY(sc_losses_record(a->what->stores[i], &a->losses, NULL, err));
    return SC_OK;
}

static enum sc_status accept(struct sc_admin_found *a, const struct sc_config *config, struct sc_error *err)
{
    SC_TRY(find_losses(a, err));
    SC_TRY(check_stores(a, config, err));
    sc_admin_print_losses(&a->losses);
    if (a->losses.stream_count != 0 && !a->what->dry_run)
        SC_TRY(record(a, err));
    puts(a->losses.stream_count == 0 ? "nothing is missing"
         : a->what->dry_run          ? "nothing is recorded (--dry-run)"
                                     : "recorded as lost for good");
    return SC_OK;
}

static enum sc_status undo(struct sc_admin_found *a, struct sc_error *err)
{
    for (uint32_t i = 0; i < a->what->store_count; i++)
        SC_TRY(sc_losses_undo(a->what->stores[i], sc_admin_loss_stream(a->what), a->what->dry_run, &a->losses,
                              NULL, err));
    sc_admin_print_losses(&a->losses);
    puts(a->losses.stream_count == 0 ? "nothing was recorded as lost"
         : a->what->dry_run          ? "nothing is taken back (--dry-run)"
                                     : "taken back: it is not called lost any more");
    return SC_OK;
}

int sc_admin_accept_loss(const struct sc_admin_loss *what, const struct sc_config *config)
{
    struct sc_admin_found found = {.what = what};
    struct sc_error err;
    enum sc_status status = what->undo ? undo(&found, &err) : accept(&found, config, &err);
    sc_losses_free(&found.losses);
    if (status == SC_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "sc-admin: %s\n", err.message);
    return status == SC_DAMAGED ? 3 : 1;
}
