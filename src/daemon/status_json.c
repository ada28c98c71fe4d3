// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/status_json.h"

#include "base/array.h"
#include "base/clock.h"
#include "daemon/door.h"
#include "daemon/healing_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static void put(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, number(value));
}

static void put_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, json_string(value));
}

/* Null for 0: it has not happened yet. */
static void put_time(json_t *object, const char *key, uint64_t ms)
{
    char text[32];
    sc_time_format_utc(ms, text, sizeof(text));
    json_object_set_new(object, key, ms == 0 ? json_null() : json_string(text));
}

/* ---- listeners: the sum over the receivers ---- */

static void add_view(struct sc_listener_view *to, const struct sc_listener_view *from)
{
    to->datagrams += from->datagrams;
    to->messages += from->messages;
    to->bytes += from->bytes;
    to->kernel_drops += from->kernel_drops;
    to->receive_buffer += from->receive_buffer;
    to->connections += from->connections;
    to->accepted += from->accepted;
    to->refused += from->refused;
    to->timed_out += from->timed_out;
    to->displaced += from->displaced;
    to->framing_errors += from->framing_errors;
}

static json_t *listener_json(const struct sc_listener_view *v)
{
    json_t *object = json_object();
    put_text(object, "listener", v->name);
    put(object, "messages", v->messages);
    put(object, "bytes", v->bytes);
    if (v->scheme == SC_URL_UDP) {
        put(object, "datagrams", v->datagrams);
        put(object, "kernel_drops", v->kernel_drops);
        put(object, "receive_buffer", v->receive_buffer);
    } else {
        put(object, "connections", v->connections);
        put(object, "accepted", v->accepted);
        put(object, "refused", v->refused);
        put(object, "timed_out", v->timed_out);
        put(object, "displaced", v->displaced);
        put(object, "framing_errors", v->framing_errors);
    }
    return object;
}

static json_t *places_json(const struct sc_status_source *source)
{
    struct sc_places_view view;
    json_t *object = json_object();
    sc_places_get(source->places, &view);
    put(object, "open", view.taken);
    put(object, "limit", view.limits.most);
    put(object, "limit_of_exporter", view.limits.each);
    return object;
}

struct listener_sum {
    struct sc_listener_view views[SC_CONFIG_MAX_LISTENERS * 2]; /* old and new ones of a reload */
    uint32_t count;
};

static void sum_listener(struct listener_sum *sum, const struct sc_listener_view *view)
{
    for (uint32_t i = 0; i < sum->count; i++) {
        if (strcmp(sum->views[i].name, view->name) == 0) {
            add_view(&sum->views[i], view);
            return;
        }
    }
    if (sum->count < sizeof(sum->views) / sizeof(sum->views[0]))
        sum->views[sum->count++] = *view;
}

static json_t *listeners_json(const struct sc_status_source *source)
{
    json_t *array = json_array();
    struct listener_sum *sum = calloc(1, sizeof(*sum));
    for (uint32_t i = 0; sum != NULL && i < source->receiver_count; i++) {
        struct sc_listener_view *views;
        uint32_t count;
        if (sc_receiver_get_listeners(source->receivers[i], &views, &count) != SC_OK)
            continue;
        for (uint32_t k = 0; k < count; k++)
            sum_listener(sum, &views[k]);
        free(views);
    }
    for (uint32_t i = 0; sum != NULL && i < sum->count; i++)
        json_array_append_new(array, listener_json(&sum->views[i]));
    free(sum);
    return array;
}

/* ---- exporters ---- */

static const char *protocol_name(unsigned version)
{
    return version == 5 ? "NetFlow v5" : version == 9 ? "NetFlow v9" : version == 10 ? "IPFIX" : "unknown";
}

static json_t *exporter_json(const struct sc_exporter_stats *s)
{
    char address[SC_ADDR_TEXT_MAX];
    json_t *object = json_object();
    sc_addr_format(&s->exporter, address);
    put_text(object, "exporter", address);
    put(object, "port", s->port);
    put_text(object, "transport", s->transport == SC_TRANSPORT_UDP ? "udp" : "tcp");
    put_text(object, "protocol", protocol_name(s->version));
    put(object, "domain", s->domain);
    put_time(object, "last_seen", s->last_seen_ms);
    put(object, "messages", s->messages);
    put(object, "bytes", s->bytes);
    put(object, "flows", s->flows);
    json_object_set_new(object, "flows_per_s", json_real(s->flows_per_s));
    put(object, "options", s->options);
    put(object, "templates", s->templates);
    put(object, "lost", s->lost);
    put(object, "reordered", s->reordered);
    put(object, "restarts", s->restarts);
    put(object, "no_template_sets", s->no_template_sets);
    put(object, "recovered_sets", s->recovered_sets);
    put(object, "malformed", s->malformed);
    put(object, "over_budget", s->over_budget);
    put(object, "dropped", s->dropped);
    put(object, "sampling_rate", s->sampling_rate);
    return object;
}

/* The first of all receivers together. */
struct exporter_list {
    struct sc_exporter_stats *all;
    uint32_t count;
    struct sc_exporters_sum sum;
};

static void join_exporters(struct exporter_list *list, struct sc_receiver *receiver)
{
    struct sc_exporter_stats *some;
    struct sc_exporters_sum sum;
    uint32_t count;
    enum sc_status status = sc_receiver_get_exporters(receiver, &some, &count, &sum);
    list->sum.accounts += sum.accounts;
    list->sum.strangers += sum.strangers;
    list->sum.strangers_messages += sum.strangers_messages;
    list->sum.strangers_no_template_sets += sum.strangers_no_template_sets;
    list->sum.strangers_malformed += sum.strangers_malformed;
    if (status != SC_OK || count == 0)
        return;
    if (sc_array_more(list->all, list->count, count)) {
        memcpy(list->all + list->count, some, count * sizeof(*some));
        list->count += count;
    }
    free(some);
}

static json_t *strangers_json(const struct sc_exporters_sum *sum)
{
    json_t *object = json_object();
    put(object, "accounts", sum->strangers);
    put(object, "messages", sum->strangers_messages);
    put(object, "no_template_sets", sum->strangers_no_template_sets);
    put(object, "malformed", sum->strangers_malformed);
    return object;
}

static void list_exporters(struct exporter_list *list, const struct sc_status_source *source)
{
    for (uint32_t i = 0; i < source->receiver_count; i++)
        join_exporters(list, source->receivers[i]);
    if (list->count != 0)
        qsort(list->all, list->count, sizeof(*list->all), sc_exporters_compare);
}

/* Appends the text of a value, which goes. */
static enum sc_status write_json(json_t *value, struct sc_buf *out)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    json_decref(value);
    if (text == NULL)
        return SC_NOMEM;
    sc_buf_append_str(out, text);
    free(text);
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

static_assert(SC_CONTROL_ROWS == SC_EXPORTERS_TOP, "the status shows as many as are told apart");

/* As the last member of the object that *out holds. */
static enum sc_status write_exporters(const struct exporter_list *list, struct sc_control_status *out)
{
    out->text.len--; /* its brace */
    sc_buf_append_str(&out->text, ",\"exporters\":[");
    out->cuts[0] = out->text.len;
    while (out->rows < list->count && out->rows < SC_CONTROL_ROWS) {
        if (out->rows != 0)
            sc_buf_append_u8(&out->text, ',');
        SC_TRY(write_json(exporter_json(&list->all[out->rows]), &out->text));
        out->cuts[++out->rows] = out->text.len;
    }
    sc_buf_append_str(&out->text, "]}");
    return sc_buf_ok(&out->text) ? SC_OK : SC_NOMEM;
}

static json_t *exporter_memory_json(const struct sc_budget *budget)
{
    json_t *object = json_object();
    put(object, "bytes", sc_budget_used(budget, false));
    put(object, "newcomers_bytes", sc_budget_used(budget, true));
    put(object, "limit_bytes", budget->limit);
    put(object, "newcomers_limit_bytes", budget->limit / SC_BUDGET_NEWCOMERS);
    return object;
}

/* ---- the rest ---- */

static json_t *intake_json(const struct sc_status_source *source)
{
    struct sc_intake_stats sum = {0};
    for (uint32_t i = 0; i < source->receiver_count; i++) {
        struct sc_intake_stats s;
        sc_receiver_get_intake(source->receivers[i], &s);
        sum.messages += s.messages;
        sum.flows += s.flows;
        sum.options += s.options;
        sum.lost += s.lost;
        sum.malformed += s.malformed;
        sum.no_template_sets += s.no_template_sets;
        sum.recovered_sets += s.recovered_sets;
        sum.over_budget += s.over_budget;
        sum.refused += s.refused;
        sum.dropped_full += s.dropped_full;
        sum.dropped_aside += s.dropped_aside;
        sum.dropped_batches += s.dropped_batches;
    }
    json_t *object = json_object();
    put(object, "messages", sum.messages);
    put(object, "flows", sum.flows);
    put(object, "options", sum.options);
    put(object, "lost", sum.lost);
    put(object, "malformed", sum.malformed);
    put(object, "no_template_sets", sum.no_template_sets);
    put(object, "recovered_sets", sum.recovered_sets);
    put(object, "over_budget", sum.over_budget);
    put(object, "refused", sum.refused);
    put(object, "dropped_full", sum.dropped_full);
    put(object, "dropped_aside", sum.dropped_aside);
    put(object, "dropped_batches", sum.dropped_batches);
    return object;
}

static json_t *queue_json(const struct sc_status_source *source)
{
    struct sc_queue_stats stats;
    json_t *object = json_object();
    sc_queue_get_stats(source->queue, &stats);
    put(object, "batches_waiting", stats.waiting);
    put(object, "batches_held", stats.held);
    put(object, "bytes", stats.bytes);
    put(object, "peak_bytes", stats.peak_bytes);
    put(object, "limit_bytes", stats.limit_bytes);
    put(object, "filling_bytes", stats.filling_bytes);
    put(object, "aside_bytes", stats.aside_bytes);
    return object;
}

static void put_counts(json_t *object, const char *key, const struct sc_forward_counts *c)
{
    json_t *counts = json_object();
    put(counts, "offered", c->offered);
    put(counts, "sent", c->sent);
    put(counts, "dropped", c->dropped);
    put(counts, "skipped", c->skipped);
    put(counts, "waiting", c->waiting);
    json_object_set_new(object, key, counts);
}

static json_t *destination_json(const struct sc_forward_view *v)
{
    static const char *const states[] = {"connecting", "up", "stalled"};
    json_t *object = json_object();
    put_text(object, "to", v->name);
    put_text(object, "protocol", protocol_name(v->protocol));
    put_text(object, "mode", v->round_robin ? "round-robin" : "all");
    put_text(object, "state", states[v->state]);
    put_counts(object, "flows", &v->flows);
    put_counts(object, "options", &v->options);
    put(object, "messages", v->messages);
    put(object, "bytes", v->bytes);
    put(object, "connects", v->connects);
    put(object, "refused", v->refused);
    put(object, "queue_bytes", v->queue_bytes);
    put(object, "queue_peak_bytes", v->queue_peak_bytes);
    put(object, "queue_limit_bytes", v->queue_limit_bytes);
    json_object_set_new(object, "last_error", v->error[0] == '\0' ? json_null() : json_string(v->error));
    put_time(object, "last_error_time", v->error_ms);
    return object;
}

static json_t *forward_json(const struct sc_status_source *source)
{
    struct sc_forward_view *views;
    uint32_t count;
    json_t *array = json_array();
    if (sc_forward_get(source->forward, &views, &count) != SC_OK)
        return array;
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(array, destination_json(&views[i]));
    free(views);
    return array;
}

/* What a subcollector stored; zeros on a node that stores nothing, but for the disk of its outbox. */
static void holder_as_storer(const struct sc_status_source *source, struct sc_storer_stats *out)
{
    struct sc_holder_stats stats;
    *out = (struct sc_storer_stats){0};
    if (source->holder == NULL) {
        struct sc_proxy_stats proxy = {0};
        if (source->proxy != NULL)
            sc_proxy_get_stats(source->proxy, &proxy);
        out->stores.disk = proxy.disk;
        struct sc_watch_view view;
        sc_watch_look(source->watch, &view);
        out->stores.wiped = view.wiped;
        out->stores.wiped_ms = view.wiped_ms;
        return;
    }
    sc_holder_get_stats(source->holder, &stats);
    out->stores = stats.store.stores;
    out->blocked = stats.store.full;
    snprintf(out->problem, sizeof(out->problem), "%s", stats.store.problem);
    out->retries = stats.store.refused;
}

/* What the member tells of itself, by way of whoever; null: nothing of late. */
static json_t *facts_json(const struct sc_status_source *source, const struct sc_member *m)
{
    struct sc_link_facts facts;
    int64_t ahead_ms;
    json_t *object = json_object();
    if (!sc_facts_get(source->facts, m->name, sc_facts_now(), &facts, &ahead_ms)) {
        json_decref(object);
        return json_null();
    }
    put_text(object, "version", facts.program);
    put(object, "age_ms", facts.age_ms);
    json_object_set_new(object, "clock_ahead_ms", json_integer(ahead_ms));
    put(object, "horizon_ms", facts.horizon_ms);
    put(object, "free_bytes", facts.free_bytes);
    put(object, "membership_version", facts.cluster_version);
    put(object, "replication", facts.copies);
    put(object, "window_s", facts.window_s);
    return object;
}

static json_t *member_json(const struct sc_status_source *source, uint32_t i)
{
    const struct sc_member *m = &source->cluster->members[i];
    json_t *object = json_object();
    char address[SC_URL_TEXT_MAX];
    sc_url_format(&m->address, address);
    put_text(object, "name", m->name);
    put_text(object, "address", address + strlen("tcp://"));
    json_object_set_new(object, "proxy", json_boolean(m->proxy));
    json_object_set_new(object, "subcollector", json_boolean(m->subcollector));
    put_text(object, "state", sc_member_state_name(m->state));
    json_object_set_new(object, "facts", facts_json(source, m));
    struct sc_peer_view view;
    struct sc_dispatch_member queue;
    if (source->proxy == NULL || !m->subcollector ||
        !sc_proxy_get_member(source->proxy, m->lane, &view, &queue))
        return object;
    json_object_set_new(object, "connected", json_boolean(view.connected));
    json_object_set_new(object, "usable", json_boolean(view.usable));
    json_object_set_new(object, "slow", json_boolean(queue.slow));
    json_object_set_new(object, "full", json_boolean(view.full));
    put(object, "free_bytes", view.free_bytes);
    put(object, "waiting", queue.waiting);
    put(object, "in_flight", queue.in_flight);
    put(object, "acknowledged", queue.acknowledged);
    put(object, "refused", queue.refused);
    put(object, "bytes_sent", view.bytes_sent);
    put(object, "connects", view.connects);
    put(object, "deaths", view.deaths);
    json_object_set_new(object, "problem", view.problem[0] == '\0' ? json_null() : json_string(view.problem));
    return object;
}

static json_t *refusals_json(const uint64_t counts[SC_REFUSAL_COUNT])
{
    json_t *object = json_object();
    for (int why = SC_REFUSAL_NONE + 1; why < SC_REFUSAL_COUNT; why++)
        put(object, sc_refusal_name((enum sc_refusal)why), counts[why]);
    return object;
}

static json_t *proxy_json(struct sc_proxy *proxy)
{
    struct sc_proxy_stats stats;
    char stream[24];
    json_t *object = json_object();
    sc_proxy_get_stats(proxy, &stats);
    snprintf(stream, sizeof(stream), "%016llx", (unsigned long long)stats.stream);
    put_text(object, "stream", stream);
    put(object, "batches", stats.batches);
    put(object, "records", stats.records);
    put(object, "replayed", stats.replayed);
    put(object, "waiting_batches", stats.dispatch.batches);
    put(object, "waiting_records", stats.dispatch.records);
    put(object, "held_bytes", stats.dispatch.held_bytes);
    put(object, "released", stats.dispatch.released);
    put(object, "released_short", stats.dispatch.released_short);
    put(object, "copied_late", stats.dispatch.copied_late);
    put(object, "unreadable_batches", stats.dispatch.unreadable);
    put(object, "unreadable_records", stats.dispatch.unreadable_records);
    put(object, "outbox_bytes", stats.outbox.bytes);
    put(object, "outbox_limit_bytes", stats.outbox.limit_bytes);
    put(object, "outbox_damaged", stats.outbox.damaged);
    put(object, "outbox_skipped_bytes", stats.outbox.skipped_bytes);
    put(object, "outbox_refused", stats.outbox.refused);
    put(object, "outbox_deleted_files", stats.outbox.deleted_files);
    put(object, "outbox_deleted_batches", stats.outbox.deleted_batches);
    json_object_set_new(object, "link_refused", refusals_json(stats.refused));
    json_object_set_new(object, "blocked", json_boolean(stats.blocked));
    json_object_set_new(object, "problem",
                        stats.problem[0] == '\0' ? json_null() : json_string(stats.problem));
    return object;
}

static json_t *holder_json(struct sc_holder *holder)
{
    struct sc_holder_stats stats;
    json_t *object = json_object();
    sc_holder_get_stats(holder, &stats);
    put(object, "connections", stats.connections);
    put(object, "batches", stats.store.batches);
    put(object, "records", stats.store.records);
    put(object, "duplicates", stats.store.duplicates);
    put(object, "refused", stats.store.refused);
    put(object, "damaged", stats.store.damaged);
    put(object, "malformed", stats.refused[SC_REFUSAL_MALFORMED]);
    put(object, "unfinished_bytes", stats.unfinished_bytes);
    json_object_set_new(object, "link_refused", refusals_json(stats.refused));
    put(object, "waiting_bytes", stats.store.waiting_bytes);
    json_object_set_new(object, "full", json_boolean(stats.store.full));
    return object;
}

static void add_problem(void *arg, const char *sentence)
{
    json_array_append_new(arg, json_string(sentence));
}

static void add_healing(json_t *object, json_t *problems, struct sc_holder *holder)
{
    char sentence[384];
    if (holder == NULL)
        return;
    struct sc_healer *healer = sc_holder_healer(holder);
    json_object_set_new(object, "healing", sc_healing_json(healer));
    if (sc_healing_problem(healer, sentence, sizeof(sentence)))
        add_problem(problems, sentence);
}

static void add_clock_problem(const struct sc_status_source *source, json_t *problems)
{
    struct sc_storer_stats stats;
    holder_as_storer(source, &stats);
    if (stats.stores.clock_problem[0] != '\0')
        add_problem(problems, stats.stores.clock_problem);
}

/* Who asks all nodes is to see it too. */
static void add_archive_problem(const struct sc_status_source *source, json_t *problems)
{
    struct sc_holder_stats stats;
    if (source->holder == NULL)
        return;
    sc_holder_get_stats(source->holder, &stats);
    if (stats.store.stores.archive.problem[0] != '\0')
        add_problem(problems, stats.store.stores.archive.problem);
}

static json_t *cluster_json(const struct sc_status_source *source)
{
    json_t *object = json_object(), *members = json_array();
    put_text(object, "node", source->cluster->members[source->self].name);
    put(object, "version", source->cluster->version);
    put(object, "replication", source->cluster->replication);
    put_text(object, "link", source->tls == NULL ? "plain" : "tls");
    if (source->tls != NULL)
        json_object_set_new(object, "certificate_days", json_integer(sc_door_days_left(source->tls)));
    for (uint32_t i = 0; i < source->cluster->count; i++)
        json_array_append_new(members, member_json(source, i));
    json_object_set_new(object, "members", members);
    json_t *problems = json_array();
    sc_facts_compare(source->facts, source->cluster, sc_facts_now(), add_problem, problems);
    add_healing(object, problems, source->holder);
    add_clock_problem(source, problems);
    add_archive_problem(source, problems);
    json_object_set_new(object, "problems", problems);
    if (source->proxy != NULL)
        json_object_set_new(object, "proxy", proxy_json(source->proxy));
    if (source->holder != NULL)
        json_object_set_new(object, "subcollector", holder_json(source->holder));
    return object;
}

/* null: there is no such command. */
static json_t *archive_json(const struct sc_stores_stats *stats)
{
    const struct sc_archiver_stats *a = &stats->archive;
    json_t *object = json_object();
    if (!a->on) {
        json_decref(object);
        return json_null();
    }
    json_object_set_new(object, "running", json_boolean(a->running));
    put_time(object, "window", a->window_ms);
    put(object, "windows", a->windows);
    put(object, "failures", a->failures);
    put(object, "waiting_windows", stats->waiting_windows);
    put(object, "unarchived_windows", stats->unarchived_windows);
    put(object, "unarchived_bytes", stats->unarchived_bytes);
    json_object_set_new(object, "problem", a->problem[0] == '\0' ? json_null() : json_string(a->problem));
    return object;
}

static json_t *store_json(const struct sc_status_source *source)
{
    struct sc_storer_stats stats;
    const struct sc_store_stats *written = &stats.stores.store;
    json_t *object = json_object();
    if (source->storer != NULL)
        sc_storer_get_stats(source->storer, &stats);
    else
        holder_as_storer(source, &stats);
    put_text(object, "path", source->config->store);
    put(object, "window_s", source->config->window_s);
    put(object, "flows", written->flows);
    put(object, "options", written->options);
    put(object, "row_groups", written->row_groups);
    put(object, "bytes_written", written->bytes_written);
    put(object, "segments_sealed", written->segments_sealed);
    put(object, "sync_failures", written->sync_failures);
    put(object, "write_failures", written->write_failures);
    put(object, "full_events", written->full_events);
    put_time(object, "last_sync", written->last_sync_ms);
    json_object_set_new(object, "blocked", json_boolean(stats.blocked));
    json_object_set_new(object, "problem",
                        stats.problem[0] == '\0' ? json_null() : json_string(stats.problem));
    put(object, "retries", stats.retries);
    put(object, "lost_records", stats.lost_records);
    put(object, "wiped", stats.stores.wiped);
    put_time(object, "wiped_at", stats.stores.wiped_ms);
    put(object, "expired_windows", stats.stores.expired_windows);
    put(object, "expired_bytes", stats.stores.expired_bytes);
    put(object, "age_paused_s", stats.stores.age_paused_ms / 1000);
    json_object_set_new(object, "clock_problem",
                        stats.stores.clock_problem[0] == '\0' ? json_null()
                                                              : json_string(stats.stores.clock_problem));
    json_object_set_new(object, "archive", archive_json(&stats.stores));
    if (stats.stores.disk.size_bytes != 0) {
        put(object, "free_bytes", stats.stores.disk.free_bytes);
        put(object, "size_bytes", stats.stores.disk.size_bytes);
    }
    return object;
}

/* What is kept of the exporters' templates for the next start. */
static json_t *templates_json(const struct sc_status_source *source)
{
    json_t *object = json_object();
    struct sc_keeper_view view;
    sc_keeper_look(source->keeper, &view);
    put(object, "state_bytes", view.state_bytes);
    put(object, "journal_bytes", view.journal_bytes);
    put(object, "left_out", view.left_out);
    put_time(object, "saved", view.saved_ms);
    return object;
}

/* All but the rows of exporters. */
static json_t *root_json(const struct sc_status_source *source, const struct sc_exporters_sum *sum)
{
    json_t *root = json_object();
    put_text(root, "program", "sc-collector");
    put_text(root, "version", SC_VERSION);
    put(root, "pid", (uint64_t)getpid());
    put_time(root, "started", source->started_ms);
    put(root, "uptime_s", (sc_clock_mono_ms() - source->started_mono_ms) / 1000);
    put(root, "receivers", source->receiver_count);
    json_object_set_new(root, "tcp", places_json(source));
    json_object_set_new(root, "listeners", listeners_json(source));
    put(root, "exporters_total", sum->accounts);
    json_object_set_new(root, "strangers", strangers_json(sum));
    json_object_set_new(root, "exporter_memory", exporter_memory_json(source->exporter_memory));
    json_object_set_new(root, "received", intake_json(source));
    json_object_set_new(root, "queue", queue_json(source));
    json_object_set_new(root, "store", store_json(source));
    json_object_set_new(root, "templates", templates_json(source));
    json_object_set_new(root, "forward", forward_json(source));
    if (source->cluster != NULL)
        json_object_set_new(root, "cluster", cluster_json(source));
    return root;
}

enum sc_status sc_status_json(const struct sc_status_source *source, struct sc_control_status *out)
{
    struct exporter_list list = {0};
    list_exporters(&list, source);
    enum sc_status status = write_json(root_json(source, &list.sum), &out->text);
    if (status == SC_OK)
        status = write_exporters(&list, out);
    free(list.all);
    return status;
}
