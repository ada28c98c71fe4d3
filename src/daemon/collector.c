// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/collector.h"

#include "base/clock.h"
#include "collect/keeper.h"
#include "daemon/accepts.h"
#include "daemon/announce.h"
#include "daemon/changes.h"
#include "daemon/control.h"
#include "daemon/door.h"
#include "daemon/healing_json.h"
#include "daemon/notify.h"
#include "daemon/own_facts.h"
#include "daemon/status_json.h"
#include "daemon/watch.h"
#include "net/socket.h"
#include "net/wake.h"
#include "relay/handover.h"
#include "relay/holder.h"
#include "relay/proxy.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const char ended_by_loss[] = "the loss of its store";

static const int handled_signals[] = {SIGTERM, SIGINT, SIGHUP};
#define SIGNAL_COUNT (sizeof(handled_signals) / sizeof(handled_signals[0]))

struct collector {
    struct sc_collector_options options;
    struct sc_config config;
    struct sc_log log;
    struct sc_queue *queue;
    struct sc_budget exporter_memory;
    struct sc_forward *forward;
    struct sc_storer *storer; /* NULL in a cluster */
    struct sc_cluster cluster;
    uint32_t self;      /* member */
    struct sc_tls *tls; /* of the link; NULL: plain */
    struct sc_own_facts facts;
    bool proxy_role, subcollector_role;
    struct sc_proxy *proxy;
    struct sc_handover handover; /* of a proxy */
    struct sc_holder *holder;
    struct sc_hold hold; /* of a store in which this process writes no segments */
    struct sc_watch *watch;
    uint64_t wiped;                  /* how often the store was deleted, as far as the keeper knows */
    uint64_t descriptors;            /* that the process may open */
    struct sc_places *places;        /* for connections of exporters */
    struct sc_complaints complaints; /* of all receivers */
    struct sc_receiver *receivers[SC_CONFIG_MAX_RECEIVERS];
    uint32_t receiver_count;
    struct sc_url open[SC_CONFIG_MAX_LISTENERS]; /* listeners in use; config.listeners are those asked for */
    uint32_t open_count;
    uint64_t asked_ms, next_open_ms; /* monotonic: of what is not open yet */
    bool told_missing;               /* since it was asked for */
    struct event_base *base;
    struct event *signals[SIGNAL_COUNT];
    struct event *keep;
    struct sc_control *control;
    uint64_t started_ms, started_mono_ms;
    struct sc_keeper *keeper;
    const char *ended_by;
};

/* Flows of exporters come to nodes that store them or are proxies. */
static bool takes_flows(const struct collector *c)
{
    return c->holder == NULL || c->proxy_role;
}

/* ---- listeners ---- */

static void say_listening(const struct collector *c, int fd, const struct sc_url *url)
{
    struct sc_url local = *url;
    char text[SC_URL_TEXT_MAX];
    if (sc_socket_local(fd, &local, NULL) != SC_OK)
        return;
    sc_url_format(&local, text);
    const char *scheme = sc_url_scheme_name(local.scheme);
    fprintf(c->options.stream, "listening %s %s\n", scheme, text + strlen(scheme) + strlen("://"));
    fflush(c->options.stream);
}

static void close_all(int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
}

/*
 * A socket for each receiver. Sockets that share a port would share it with a second collector too, so the
 * port is first tried alone.
 */
static enum sc_status open_sockets(const struct collector *c, const struct sc_url *url, int *fds,
                                   struct sc_error *err)
{
    struct sc_socket_options how = {.receive_buffer = c->config.receive_buffer};
    struct sc_url at = *url;
    if (c->receiver_count == 1)
        return sc_socket_listen(url, &how, &fds[0], err);
    int probe;
    SC_TRY(sc_socket_listen(url, &how, &probe, err));
    enum sc_status status = sc_socket_local(probe, &at, err);
    at.address = url->address;
    close(probe);
    SC_TRY(status);
    how.share_port = true;
    how.spread_by_address = c->config.template_scope_address ? c->receiver_count : 0;
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        status = sc_socket_listen(&at, &how, &fds[i], err);
        if (status != SC_OK) {
            close_all(fds, i);
            return status;
        }
    }
    return SC_OK;
}

static enum sc_status hand_over(struct collector *c, const struct sc_url *url, int *fds, struct sc_error *err)
{
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        enum sc_status status = sc_receiver_add(c->receivers[i], url, fds[i], err);
        if (status != SC_OK) {
            close_all(fds + i, c->receiver_count - i);
            return status;
        }
    }
    return SC_OK;
}

static void remove_listener(struct collector *c, const struct sc_url *url)
{
    for (uint32_t i = 0; i < c->receiver_count; i++)
        sc_receiver_remove(c->receivers[i], url, NULL);
}

static enum sc_status open_listener(struct collector *c, const struct sc_url *url, struct sc_error *err)
{
    int fds[SC_CONFIG_MAX_RECEIVERS];
    SC_TRY(open_sockets(c, url, fds, err));
    int first = dup(fds[0]);
    enum sc_status status = hand_over(c, url, fds, err);
    if (status != SC_OK)
        remove_listener(c, url);
    if (first >= 0) {
        if (status == SC_OK)
            say_listening(c, first, url);
        close(first);
    }
    return status;
}

/* All are opened before any is announced. */
static enum sc_status open_listeners(struct collector *c, struct sc_error *err)
{
    if (!takes_flows(c) || c->config.listener_count == 0)
        return SC_OK;
    int(*fds)[SC_CONFIG_MAX_RECEIVERS] = calloc(c->config.listener_count, sizeof(*fds));
    if (fds == NULL)
        return sc_fail_nomem(err, "the listeners");
    enum sc_status status = SC_OK;
    uint32_t opened = 0, handed = 0;
    while (opened < c->config.listener_count && status == SC_OK) {
        status = open_sockets(c, &c->config.listeners[opened], fds[opened], err);
        opened += status == SC_OK;
    }
    for (; handed < opened && status == SC_OK; handed++) {
        say_listening(c, fds[handed][0], &c->config.listeners[handed]);
        status = hand_over(c, &c->config.listeners[handed], fds[handed], err);
        c->open[c->open_count++] = c->config.listeners[handed];
    }
    for (; handed < opened; handed++)
        close_all(fds[handed], c->receiver_count);
    free(fds);
    return status;
}

static void close_unwanted(struct collector *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->open_count; i++) {
        if (sc_changes_is_among(&c->open[i], c->config.listeners, c->config.listener_count))
            c->open[kept++] = c->open[i];
        else
            remove_listener(c, &c->open[i]);
    }
    c->open_count = kept;
}

#define OPEN_QUIET_MS 1000u /* a listener that was removed may still have the address */
#define OPEN_AGAIN_MS 1000u

/* Opens what is asked for and not open, and tries again until it is. */
static void open_missing(struct collector *c, uint64_t now_ms)
{
    struct sc_error err;
    bool late = now_ms >= c->asked_ms + OPEN_QUIET_MS;
    if (now_ms < c->next_open_ms)
        return;
    c->next_open_ms = now_ms + (late ? OPEN_AGAIN_MS : 0);
    for (uint32_t i = 0; i < c->config.listener_count; i++) {
        const struct sc_url *url = &c->config.listeners[i];
        if (sc_changes_is_among(url, c->open, c->open_count))
            continue;
        if (open_listener(c, url, &err) == SC_OK)
            c->open[c->open_count++] = *url;
        else if (late && !c->told_missing)
            sc_log(&c->log, SC_LOG_ERROR, "%s; it is tried again each second", err.message);
    }
    c->told_missing = late;
}

/* ---- a new configuration ---- */

/* The removed ones go first: a new one may want the address. The others are not touched. */
static void apply_listeners(struct collector *c, const struct sc_config *fresh)
{
    memcpy(c->config.listeners, fresh->listeners, sizeof(fresh->listeners));
    c->config.listener_count = fresh->listener_count;
    if (!takes_flows(c))
        return;
    c->asked_ms = sc_clock_mono_ms();
    c->next_open_ms = 0;
    c->told_missing = false;
    close_unwanted(c);
    open_missing(c, c->asked_ms);
}

static void apply_forward(struct collector *c, const struct sc_config *fresh)
{
    struct sc_error err;
    c->config.forward_memory = fresh->forward_memory;
    if (takes_flows(c) && sc_forward_apply(c->forward, fresh, &err) != SC_OK) {
        sc_log(&c->log, SC_LOG_ERROR, "%s", err.message);
        return;
    }
    memcpy(c->config.forward, fresh->forward, sizeof(fresh->forward));
    c->config.forward_count = fresh->forward_count;
}

static struct sc_retention retention_of(const struct sc_config *config)
{
    return (struct sc_retention){.age_s = config->retention_age_s, .bytes = config->retention_bytes};
}

static struct sc_archive_command archive_of(const struct sc_config *config)
{
    return (struct sc_archive_command){config->archive, config->archive_timeout_s};
}

/* Who stores copies the command. */
static enum sc_status set_archive(const struct collector *c, const struct sc_config *config)
{
    const struct sc_archive_command command = archive_of(config);
    if (c->storer != NULL)
        return sc_storer_set_archive(c->storer, &command);
    return c->holder != NULL ? sc_holder_set_archive(c->holder, &command) : SC_OK;
}

static void apply(struct collector *c, struct sc_config *fresh)
{
    const struct sc_retention retention = retention_of(fresh);
    c->config.log_level = fresh->log_level;
    sc_log_set_level(&c->log, fresh->log_level);
    sc_changes_tell_fixed(&c->config, fresh, c->tls != NULL, &c->log);
    if (!takes_flows(c))
        sc_changes_tell_unused(&c->config, fresh, &c->log);
    apply_listeners(c, fresh);
    apply_forward(c, fresh);
    /* First: nothing that goes by the new retention goes without the new archive. */
    if (set_archive(c, fresh) != SC_OK)
        sc_log(&c->log, SC_LOG_ERROR, "the archive command stays as it is: out of memory");
    if (c->storer != NULL)
        sc_storer_set_retention(c->storer, &retention);
    if (c->holder != NULL)
        sc_holder_set_retention(c->holder, &retention);
    c->config.retention_age_s = fresh->retention_age_s;
    c->config.retention_bytes = fresh->retention_bytes;
}

/* What this node itself is cannot change while it runs; what others are can. */
static enum sc_status check_members(const struct collector *c, const struct sc_cluster *fresh, uint32_t self,
                                    struct sc_error *err)
{
    const struct sc_member *before = &c->cluster.members[c->self], *now = &fresh->members[self];
    if (fresh->version < c->cluster.version)
        return sc_fail(err, SC_USAGE, "%s: its version is %llu, that in use is %llu: versions only go up",
                       c->config.cluster, (unsigned long long)fresh->version,
                       (unsigned long long)c->cluster.version);
    if (fresh->version == c->cluster.version)
        return sc_fail(err, SC_USAGE, "%s: it has changed, but its version is still %llu: count it up",
                       c->config.cluster, (unsigned long long)fresh->version);
    if (c->tls == NULL)
        SC_TRY(sc_door_check_plain(&c->config, fresh, err));
    if (now->proxy != before->proxy || now->subcollector != before->subcollector ||
        now->address.port != before->address.port || strcmp(now->address.host, before->address.host) != 0)
        sc_log(&c->log, SC_LOG_WARNING,
               "the roles and the address of this node itself change with a restart");
    return SC_OK;
}

static enum sc_status hand_out_members(struct collector *c, const struct sc_cluster *fresh, uint32_t self,
                                       struct sc_error *err)
{
    enum sc_status status = c->holder == NULL ? SC_OK : sc_holder_set_cluster(c->holder, fresh);
    if (status == SC_OK && c->proxy != NULL)
        status = sc_proxy_set_cluster(c->proxy, fresh, self);
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "the members");
}

/* Each part has a copy of its own, which it exchanges when it is ready to. */
static void reload_cluster(struct collector *c)
{
    struct sc_cluster fresh;
    struct sc_error err;
    uint32_t self;
    enum sc_status status = sc_cluster_load_for(c->config.cluster, c->config.node, &fresh, &self, &err);
    if (status == SC_OK && sc_cluster_equal(&fresh, &c->cluster)) {
        sc_cluster_free(&fresh);
        return;
    }
    if (status == SC_OK) {
        status = check_members(c, &fresh, self, &err);
        if (status == SC_OK)
            status = hand_out_members(c, &fresh, self, &err);
        if (status != SC_OK)
            sc_cluster_free(&fresh);
    }
    if (status != SC_OK) {
        sc_log(&c->log, SC_LOG_ERROR, "the members stay as they are: %s", err.message);
        return;
    }
    sc_cluster_free(&c->cluster);
    c->cluster = fresh;
    c->self = self;
    if (c->tls == NULL)
        sc_door_tell(&c->cluster, NULL, &c->log);
    sc_log(&c->log, SC_LOG_INFO, "version %llu of the membership file is in use, with %u members",
           (unsigned long long)fresh.version, fresh.count);
}

/* Connections that there are keep what they began with. */
static void reload_tls(struct collector *c, struct sc_config *fresh)
{
    struct sc_tls *tls;
    struct sc_error err;
    if (c->tls == NULL || !sc_changes_uses_tls(fresh))
        return;
    if (sc_tls_load(fresh->tls, c->cluster.members[c->self].name, &tls, &err) != SC_OK) {
        sc_log(&c->log, SC_LOG_ERROR, "the link's certificates stay as they are: %s", err.message);
        return;
    }
    if (c->holder != NULL)
        sc_holder_set_tls(c->holder, tls);
    if (c->proxy != NULL)
        sc_proxy_set_tls(c->proxy, tls);
    sc_tls_release(c->tls);
    c->tls = tls;
    sc_door_tell(&c->cluster, tls, &c->log);
}

static void reload(struct collector *c)
{
    struct sc_config fresh = {0};
    struct sc_error err;
    if (c->options.configure(c->options.arg, &fresh, &err) != SC_OK) {
        sc_log(&c->log, SC_LOG_ERROR, "the configuration stays as it is: %s", err.message);
        return;
    }
    apply(c, &fresh);
    reload_tls(c, &fresh);
    sc_config_free(&fresh);
    sc_log(&c->log, SC_LOG_INFO, "the configuration is read again");
    if (c->config.cluster != NULL)
        reload_cluster(c);
}

/* ---- events of the main loop ---- */

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct collector *c = arg;
    (void)what;
    if (number == SIGHUP) {
        reload(c);
        return;
    }
    c->ended_by = number == SIGTERM ? "SIGTERM" : "SIGINT";
    event_base_loopbreak(c->base);
}

/* What is known of the store by who looks after it; up to a second old. */
static void look_at_store(const struct collector *c, struct sc_stores_stats *out)
{
    struct sc_storer_stats storer;
    struct sc_holder_stats holder;
    struct sc_watch_view view;
    if (c->storer != NULL) {
        sc_storer_get_stats(c->storer, &storer);
        *out = storer.stores;
    } else if (c->holder != NULL) {
        sc_holder_get_stats(c->holder, &holder);
        *out = holder.store.stores;
    } else {
        sc_watch_look(c->watch, &view);
        *out = (struct sc_stores_stats){.wiped = view.wiped, .wiped_ms = view.wiped_ms, .taken = view.taken};
    }
}

/* Of the store that others write; the watch's thread asks. */
static void tell_lock_id(void *arg, struct sc_file_id *out)
{
    struct sc_stores_stats now;
    look_at_store(arg, &now);
    *out = now.lock;
}

/* It may have been deleted: then its other files are made anew here. When another collector has it now, this one is over. */
static void follow_store(struct collector *c)
{
    struct sc_stores_stats now;
    look_at_store(c, &now);
    sc_control_take_over(c->control);
    if (now.taken) {
        c->ended_by = ended_by_loss;
        sc_keeper_give_up(c->keeper);
        event_base_loopbreak(c->base);
    } else if (now.wiped != c->wiped) {
        c->wiped = now.wiped;
        sc_keeper_begin_anew(c->keeper);
    }
}

static void tell_facts(struct collector *c)
{
    const struct sc_own_facts_source source = {.cluster = &c->cluster,
                                               .self = c->self,
                                               .window_s = c->config.window_s,
                                               .holder = c->holder,
                                               .log = &c->log};
    if (c->config.cluster != NULL)
        sc_own_facts_tick(&c->facts, &source);
}

/* What the receivers learned of templates goes to the disk and to other proxies, and comes from them. */
static void on_keep(evutil_socket_t fd, short what, void *arg)
{
    struct collector *c = arg;
    (void)fd;
    (void)what;
    follow_store(c);
    sc_keeper_tick(c->keeper);
    if (c->proxy_role)
        sc_handover_take(&c->handover, c->receivers, c->receiver_count);
    if (takes_flows(c))
        open_missing(c, sc_clock_mono_ms());
    tell_facts(c);
    sc_log_tell_left_out(&c->log, sc_clock_mono_ms());
}

static struct sc_status_source status_source(const struct collector *c)
{
    return (struct sc_status_source){
        .config = &c->config,
        .receivers = c->receivers,
        .receiver_count = c->receiver_count,
        .places = c->places,
        .queue = c->queue,
        .exporter_memory = &c->exporter_memory,
        .forward = c->forward,
        .storer = c->storer,
        .keeper = c->keeper,
        .cluster = c->config.cluster == NULL ? NULL : &c->cluster,
        .self = c->self,
        .tls = c->tls,
        .facts = c->facts.facts,
        .proxy = c->proxy,
        .holder = c->holder,
        .watch = c->watch,
        .started_ms = c->started_ms,
        .started_mono_ms = c->started_mono_ms,
    };
}

static enum sc_status answer_status(void *arg, struct sc_control_status *out)
{
    const struct sc_status_source source = status_source(arg);
    return sc_status_json(&source, out);
}

static enum sc_status answer_accepts(void *arg, struct sc_control_status *out)
{
    const struct sc_status_source source = status_source(arg);
    return sc_accepts_json(&source, out);
}

static enum sc_status answer_healing(void *arg, struct sc_control_status *out)
{
    const struct collector *c = arg;
    return sc_healing_answer(c->holder == NULL ? NULL : sc_holder_healer(c->holder), out);
}

static enum sc_status answer_heal(void *arg, struct sc_control_status *out)
{
    struct collector *c = arg;
    if (c->holder != NULL)
        sc_healer_hurry(sc_holder_healer(c->holder));
    return answer_healing(arg, out);
}

static enum sc_status create_events(struct collector *c, struct sc_error *err)
{
    const struct timeval often = {.tv_usec = SC_KEEPER_TICK_MS * 1000};
    c->base = event_base_new();
    if (c->base == NULL)
        return sc_fail(err, SC_IO, "cannot create an event loop");
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        c->signals[i] = evsignal_new(c->base, handled_signals[i], on_signal, c);
        if (c->signals[i] == NULL || event_add(c->signals[i], NULL) != 0)
            return sc_fail(err, SC_IO, "cannot handle signals");
    }
    c->keep = event_new(c->base, -1, EV_PERSIST, on_keep, c);
    if (c->keep == NULL || event_add(c->keep, &often) != 0)
        return sc_fail_nomem(err, "the collector");
    return SC_OK;
}

/* ---- start ---- */

static enum sc_status start_storer(struct collector *c, struct sc_error *err)
{
    const struct sc_storer_options options = {
        .store = c->config.store,
        .window_s = c->config.window_s,
        .queue = c->queue,
        .log = c->log,
        .retention = retention_of(&c->config),
        .archive = archive_of(&c->config),
        .verify = c->config.verify_full ? SC_VERIFY_FULL : SC_VERIFY_HASH,
    };
    return sc_storer_start(&options, &c->storer, err);
}

static enum sc_status load_cluster(struct collector *c, struct sc_error *err)
{
    SC_TRY(sc_cluster_load_for(c->config.cluster, c->config.node, &c->cluster, &c->self, err));
    SC_TRY(sc_door_open(&c->config, &c->cluster, c->self, &c->tls, err));
    sc_door_tell(&c->cluster, c->tls, &c->log);
    if (sc_own_facts_open(&c->facts) != SC_OK)
        return sc_fail_nomem(err, "the cluster");
    c->proxy_role = c->cluster.members[c->self].proxy;
    c->subcollector_role = c->cluster.members[c->self].subcollector;
    tell_facts(c); /* before the first connection: who greets is told at once */
    return SC_OK;
}

static enum sc_status start_holder(struct collector *c, struct sc_error *err)
{
    const struct sc_member *self = &c->cluster.members[c->self];
    const struct sc_holder_options options = {
        .store = {.store = c->config.store,
                  .cluster = &c->cluster,
                  .self = c->self,
                  .window_s = c->config.window_s,
                  .retention = retention_of(&c->config),
                  .archive = archive_of(&c->config),
                  .verify = c->config.verify_full ? SC_VERIFY_FULL : SC_VERIFY_HASH,
                  .reference = sc_facts_reference(c->facts.facts),
                  .log = c->log},
        .listen = self->address,
        .tls = c->tls,
        .facts = c->facts.facts,
    };
    return sc_holder_start(&options, &c->holder, err);
}

static enum sc_status start_proxy(struct collector *c, struct sc_error *err)
{
    char outbox[4096];
    snprintf(outbox, sizeof(outbox), "%s/outbox", c->config.store);
    c->handover = (struct sc_handover){.board = sc_board_create(), .log = c->log};
    snprintf(c->handover.proxy, sizeof(c->handover.proxy), "%s", c->cluster.members[c->self].name);
    if (c->handover.board == NULL)
        return sc_fail_nomem(err, "the proxy");
    const struct sc_proxy_options options = {
        .outbox = outbox,
        .cluster = &c->cluster,
        .self = c->self,
        .window_s = c->config.window_s,
        .queue = c->queue,
        .board = c->handover.board,
        .how = {.limit_bytes = c->config.outbox_bytes, .sync = c->config.outbox_sync},
        .tls = c->tls,
        .facts = c->facts.facts,
        .reference = sc_facts_reference(c->facts.facts),
        .log = c->log,
    };
    return sc_proxy_start(&options, &c->proxy, err);
}

static enum sc_status start_forward(struct collector *c, struct sc_error *err)
{
    c->forward = sc_forward_create(&c->log);
    if (c->forward == NULL)
        return sc_fail_nomem(err, "forwarding");
    if (takes_flows(c))
        return sc_forward_apply(c->forward, &c->config, err);
    if (c->config.forward_count != 0)
        sc_log(&c->log, SC_LOG_WARNING,
               "forward: this node is a subcollector only and forwards nothing; the proxies can");
    return SC_OK;
}

/* What this node does with flows: stores them, sends them on, or stores what others send. */
static enum sc_status start_roles(struct collector *c, struct sc_error *err)
{
    c->queue = sc_queue_create(c->config.queue_memory);
    if (c->queue == NULL)
        return sc_fail_nomem(err, "the queue");
    if (c->config.cluster == NULL)
        return start_storer(c, err);
    SC_TRY(load_cluster(c, err));
    SC_TRY(c->subcollector_role ? start_holder(c, err) : sc_hold_take(&c->hold, c->config.store, NULL, err));
    return c->proxy_role ? start_proxy(c, err) : SC_OK;
}

/*
 * Descriptors that are not for exporters: the store's live files and seals, or the connections of the link that have not greeted; the
 * outbox, template state, control clients, logs; and by number those of receivers, listeners, destinations, of members, which have
 * some connections each, and of lanes.
 */
#define RESERVED        192u
#define RESERVED_MEMBER 4u

static uint64_t reserved_descriptors(const struct collector *c)
{
    const struct sc_config *f = &c->config;
    return RESERVED + (uint64_t)f->receivers * (f->listener_count + 4) + 2 * (uint64_t)SC_CONFIG_MAX_FORWARD +
           RESERVED_MEMBER * (uint64_t)c->cluster.count +
           (c->subcollector_role ? sc_lane_store_descriptors(c->cluster.count) : 0);
}

static enum sc_status create_places(struct collector *c, struct sc_error *err)
{
    const struct sc_places_limits wanted = {c->config.tcp_connections, c->config.tcp_of_exporter};
    const struct sc_places_limits limits = sc_places_limits(c->descriptors, reserved_descriptors(c), wanted);
    if (limits.most < (wanted.most != 0 ? wanted.most : SC_PLACES_MOST))
        sc_log(&c->log, wanted.most != 0 ? SC_LOG_WARNING : SC_LOG_INFO,
               "%llu descriptors (ulimit -n) leave room for %u TCP connections of exporters",
               (unsigned long long)c->descriptors, limits.most);
    c->places = sc_places_create(limits);
    return c->places == NULL ? sc_fail_nomem(err, "the receivers") : SC_OK;
}

static struct sc_decoder_limits decoder_limits(const struct collector *c)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.template_lifetime_s = c->config.template_lifetime_s;
    limits.share_bytes = c->config.exporter_share;
    limits.shares = c->config.exporter_shares;
    limits.share_count = c->config.exporter_share_count;
    limits.template_scope =
        c->config.template_scope_address ? SC_TEMPLATE_SCOPE_ADDRESS : SC_TEMPLATE_SCOPE_SESSION;
    return limits;
}

static enum sc_status create_receivers(struct collector *c, struct sc_error *err)
{
    struct sc_receiver_options options = {
        .intake = {.limits = decoder_limits(c),
                   .window_s = c->config.window_s,
                   .queue = c->queue,
                   .offer = sc_forward_offer,
                   .offer_arg = c->forward},
        .log = c->log,
        .places = c->places,
        .complaints = &c->complaints,
    };
    sc_complaints_init(&c->complaints);
    c->exporter_memory.limit = c->config.exporter_memory;
    options.intake.limits.budget = &c->exporter_memory;
    if (c->proxy_role) {
        options.intake.rows = SC_PROXY_ROWS;
        options.intake.age_ms = SC_PROXY_AGE_MS;
        options.intake.reference = sc_facts_reference(c->facts.facts);
        options.asks = c->cluster.count > 2; /* two others make a median */
    }
    for (; c->receiver_count < c->config.receivers; c->receiver_count++) {
        c->receivers[c->receiver_count] = sc_receiver_create(&options, err);
        if (c->receivers[c->receiver_count] == NULL)
            return err->status;
    }
    return SC_OK;
}

static enum sc_status start_keeper(struct collector *c, struct sc_error *err)
{
    const struct sc_keeper_options options = {.store = c->config.store,
                                              .receivers = c->receivers,
                                              .count = c->receiver_count,
                                              .limits = decoder_limits(c),
                                              .log = c->log,
                                              .tell = c->proxy_role ? sc_handover_tell : NULL,
                                              .arg = &c->handover};
    c->keeper = sc_keeper_create(&options);
    if (c->keeper == NULL)
        return sc_fail_nomem(err, "the collector");
    sc_keeper_load(c->keeper);
    return SC_OK;
}

static enum sc_status start_watch(struct collector *c, struct sc_error *err)
{
    const struct sc_watch_options options = {.store = c->config.store,
                                             .control = c->control,
                                             .hold = c->hold.handle >= 0 ? &c->hold : NULL,
                                             .lock_id = tell_lock_id,
                                             .arg = c,
                                             .log = c->log};
    return sc_watch_start(&options, &c->watch, err);
}

static enum sc_status start_receivers(struct collector *c, struct sc_error *err)
{
    for (uint32_t i = 0; i < c->receiver_count; i++)
        SC_TRY(sc_receiver_start(c->receivers[i], err));
    return SC_OK;
}

/* The order matters: the store's lock guards the control socket, and nothing is announced before all stands.
 */
static enum sc_status start(struct collector *c, struct sc_error *err)
{
    c->started_ms = sc_clock_wall_ms();
    c->started_mono_ms = sc_clock_mono_ms();
    c->descriptors = sc_places_raise_descriptors();
    SC_TRY(start_roles(c, err));
    SC_TRY(start_forward(c, err));
    SC_TRY(create_places(c, err));
    SC_TRY(create_receivers(c, err));
    SC_TRY(start_keeper(c, err));
    SC_TRY(create_events(c, err));
    const struct sc_control_answers answers = {.status = answer_status,
                                               .accepts = answer_accepts,
                                               .healing = answer_healing,
                                               .heal = answer_heal,
                                               .arg = c};
    c->control = sc_control_open(c->base, c->config.store, &answers, err);
    if (c->control == NULL)
        return err->status;
    SC_TRY(start_watch(c, err));
    SC_TRY(start_receivers(c, err));
    return open_listeners(c, err);
}

/* ---- end ---- */

#define ROOM_MS  10000u /* for the outbox to get room for what is in the queue */
#define DRAIN_MS 3000u  /* then, for subcollectors to take what it holds */

static void sum_store(struct sc_announce_sums *sums, const struct sc_store_stats *store)
{
    sums->stores = true;
    sums->flows = store->flows;
    sums->options = store->options;
}

/* The proxy first: it may be its own subcollector. */
static void stop_relay(struct collector *c, struct sc_announce_sums *sums)
{
    struct sc_proxy_stats proxy = {0};
    struct sc_lane_store_stats lanes = {0};
    sc_proxy_finish(c->proxy, ROOM_MS, DRAIN_MS, &proxy);
    sc_holder_stop(c->holder, &lanes);
    sums->accepts = c->proxy != NULL;
    sums->accepted = proxy.records;
    sums->waits = proxy.dispatch.records;
    sums->lost += proxy.lost_records;
    if (c->holder != NULL)
        sum_store(sums, &lanes.stores.store);
}

static enum sc_status stop_storing(struct collector *c, struct sc_announce_sums *sums, struct sc_error *err)
{
    struct sc_storer_stats stats;
    if (c->queue != NULL)
        sc_queue_close(c->queue);
    stop_relay(c, sums);
    if (c->storer == NULL)
        return SC_OK;
    enum sc_status status = sc_storer_finish(c->storer, false, &stats, err);
    sum_store(sums, &stats.stores.store);
    sums->lost += stats.lost_records;
    if (stats.lost_records != 0)
        sc_log(&c->log, SC_LOG_ERROR, "%llu records could not be stored",
               (unsigned long long)stats.lost_records);
    return status;
}

static void free_events(struct collector *c)
{
    sc_control_close(c->control);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        sc_event_free(c->signals[i]);
    }
    sc_event_free(c->keep);
    sc_loop_free(c->base);
}

static uint64_t count_dropped(const struct collector *c)
{
    uint64_t sum = 0;
    struct sc_intake_stats s;
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        sc_receiver_get_intake(c->receivers[i], &s);
        sum += s.dropped_full + s.dropped_aside;
    }
    return sum;
}

/* Receivers first, so that all they have is in the queue; `err` is that of the storing. */
static enum sc_status stop(struct collector *c, struct sc_announce_sums *sums, struct sc_error *err)
{
    uint64_t until_ms = sc_clock_mono_ms() + SC_RECEIVER_LAST_MS; /* for all of them together */
    sc_watch_stop(c->watch);
    sc_proxy_end(c->proxy); /* it is to give them room */
    for (uint32_t i = 0; i < c->receiver_count; i++)
        sc_receiver_end(c->receivers[i], until_ms);
    for (uint32_t i = 0; i < c->receiver_count; i++)
        sc_receiver_stop(c->receivers[i]);
    *sums = (struct sc_announce_sums){.lost = count_dropped(c)};
    sc_keeper_finish(c->keeper);
    sc_forward_close(c->forward, SC_FORWARD_DRAIN_MS);
    enum sc_status status = stop_storing(c, sums, err);
    sc_forward_free(c->forward);
    free_events(c);
    for (uint32_t i = 0; i < c->receiver_count; i++)
        sc_receiver_free(c->receivers[i]);
    sc_places_free(c->places);
    sc_queue_free(c->queue);
    sc_board_free(c->handover.board);
    sc_own_facts_close(&c->facts);
    sc_tls_release(c->tls);
    return status;
}

/* The threads must not take the signals: blocked here, unblocked in the main thread once they run. */
static void block_signals(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        sigaddset(&set, handled_signals[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

static void say_begun(const struct collector *c)
{
    const struct sc_announce who = {.config = &c->config,
                                    .cluster = c->config.cluster == NULL ? NULL : &c->cluster,
                                    .self = c->self,
                                    .tls = c->tls != NULL};
    sc_announce_begin(&who, &c->log);
}

static enum sc_status run(struct collector *c, struct sc_error *err)
{
    sigset_t before;
    struct sc_error ending;
    struct sc_announce_sums sums;
    block_signals(&before);
    enum sc_status status = start(c, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == SC_OK) {
        say_begun(c);
        sc_notify("READY=1\n");
        event_base_dispatch(c->base);
        sc_notify("STOPPING=1\n");
        sc_log(&c->log, SC_LOG_INFO, "ending, by %s", c->ended_by);
        if (c->ended_by == ended_by_loss)
            status = sc_fail(err, SC_TAKEN, "the store %s was deleted, and another collector has it now",
                             c->config.store);
    }
    enum sc_status stopped = stop(c, &sums, &ending);
    if (c->ended_by != NULL)
        sc_announce_end(c->ended_by, &sums, &c->log);
    if (status == SC_OK && stopped != SC_OK) {
        *err = ending;
        status = stopped;
    }
    return status;
}

enum sc_status sc_collector_run(const struct sc_collector_options *options, struct sc_error *err)
{
    struct collector *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return sc_fail_nomem(err, "the collector");
    c->options = *options;
    c->hold = SC_NO_HOLD;
    enum sc_status status = options->configure(options->arg, &c->config, err);
    if (status == SC_OK) {
        c->log = (struct sc_log){options->stream, c->config.log_level, sc_log_limits_create()};
        status = run(c, err);
        sc_log_tell_left_out(&c->log, UINT64_MAX);
        sc_log_limits_free(c->log.limits);
        sc_config_free(&c->config);
        sc_cluster_free(&c->cluster);
    }
    sc_hold_release(&c->hold);
    free(c);
    return status;
}
