// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/changes.h"

#include <stdio.h>
#include <string.h>

bool sc_changes_is_among(const struct sc_url *url, const struct sc_url *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_url *l = &list[i];
        if (l->scheme == url->scheme && l->port == url->port && sc_addr_equal(&l->address, &url->address))
            return true;
    }
    return false;
}

static bool same_text(const char *x, const char *y)
{
    return x == y || (x != NULL && y != NULL && strcmp(x, y) == 0);
}

static bool same_shares(const struct sc_config *x, const struct sc_config *y)
{
    if (x->exporter_share_count != y->exporter_share_count)
        return false;
    for (uint32_t i = 0; i < x->exporter_share_count; i++) {
        const struct sc_budget_share *a = &x->exporter_shares[i], *b = &y->exporter_shares[i];
        if (a->bits != b->bits || a->bytes != b->bytes || !sc_addr_equal(&a->network, &b->network))
            return false;
    }
    return true;
}

bool sc_changes_uses_tls(const struct sc_config *config)
{
    return config->tls != NULL && !config->link_plain;
}

void sc_changes_tell_fixed(const struct sc_config *now, const struct sc_config *fresh, bool tls,
                           const struct sc_log *log)
{
    const struct {
        const char *name;
        bool same;
    } fixed[] = {
        {"store", strcmp(now->store, fresh->store) == 0},
        {"window", now->window_s == fresh->window_s},
        {"receivers", now->receivers == fresh->receivers},
        {"template-scope", now->template_scope_address == fresh->template_scope_address},
        {"template-lifetime", now->template_lifetime_s == fresh->template_lifetime_s},
        {"verify-seals", now->verify_full == fresh->verify_full},
        {"tcp",
         now->tcp_connections == fresh->tcp_connections && now->tcp_of_exporter == fresh->tcp_of_exporter},
        {"receive-buffer", now->receive_buffer == fresh->receive_buffer},
        {"queue-memory", now->queue_memory == fresh->queue_memory},
        {"exporter-memory", now->exporter_memory == fresh->exporter_memory},
        {"exporter-share", now->exporter_share == fresh->exporter_share},
        {"exporter-shares", same_shares(now, fresh)},
        {"cluster", same_text(now->cluster, fresh->cluster)},
        {"node", same_text(now->node, fresh->node)},
        {"link", now->cluster == NULL || sc_changes_uses_tls(fresh) == tls},
        {"outbox", now->outbox_bytes == fresh->outbox_bytes && now->outbox_sync == fresh->outbox_sync},
    };
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (!fixed[i].same)
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used == 0 ? "" : ", ",
                                     fixed[i].name);
    }
    if (used != 0)
        sc_log(log, SC_LOG_WARNING,
               "configuration: what is changed of these takes effect at the next start: %s", names);
}

static bool same_listeners(const struct sc_config *x, const struct sc_config *y)
{
    bool same = x->listener_count == y->listener_count;
    for (uint32_t i = 0; same && i < x->listener_count; i++)
        same = sc_changes_is_among(&x->listeners[i], y->listeners, y->listener_count);
    return same;
}

static bool same_forward(const struct sc_config *x, const struct sc_config *y)
{
    bool same = x->forward_count == y->forward_count && x->forward_memory == y->forward_memory;
    for (uint32_t i = 0; same && i < x->forward_count; i++) {
        const struct sc_config_forward *a = &x->forward[i], *b = &y->forward[i];
        same = a->to.scheme == b->to.scheme && a->to.port == b->to.port &&
               strcmp(a->to.host, b->to.host) == 0 && a->protocol == b->protocol &&
               a->round_robin == b->round_robin;
    }
    return same;
}

void sc_changes_tell_unused(const struct sc_config *now, const struct sc_config *fresh,
                            const struct sc_log *log)
{
    bool listeners = !same_listeners(now, fresh), forward = !same_forward(now, fresh);
    if (listeners || forward)
        sc_log(log, SC_LOG_WARNING,
               "configuration: %s%s%s: this node is a subcollector only, which uses none; the proxies do",
               listeners ? "listeners" : "", listeners && forward ? ", " : "", forward ? "forward" : "");
}
