// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/announce.h"

#include "base/buf.h"

#include <inttypes.h>

static const char *roles_of(const struct sc_member *m)
{
    return m->proxy && m->subcollector ? "proxy and subcollector" : m->proxy ? "proxy" : "subcollector";
}

void sc_announce_begin(const struct sc_announce *who, const struct sc_log *log)
{
    const struct sc_config *f = who->config;
    const struct sc_cluster *c = who->cluster;
    if (c == NULL) {
        sc_log(log, SC_LOG_INFO,
               "sc-collector " SC_VERSION " begins: a single node, store %s, window %" PRIu32 " s", f->store,
               f->window_s);
        return;
    }
    const struct sc_member *own = &c->members[who->self];
    sc_log(log, SC_LOG_INFO,
           "sc-collector " SC_VERSION " begins: node %s, %s, store %s, window %" PRIu32 " s, version %" PRIu64
           " of the membership file with %" PRIu32 " members and %" PRIu32 " copies, link %s",
           own->name, roles_of(own), f->store, f->window_s, c->version, c->count, c->replication,
           who->tls ? "tls" : "plain");
}

void sc_announce_end(const char *why, const struct sc_announce_sums *sums, const struct sc_log *log)
{
    struct sc_buf line = {0};
    if (sums->stores)
        sc_buf_printf(&line, "%" PRIu64 " flows and %" PRIu64 " options records were stored, ", sums->flows,
                      sums->options);
    if (sums->accepts)
        sc_buf_printf(&line, "%" PRIu64 " records were accepted, of which %" PRIu64 " stay in the outbox, ",
                      sums->accepted, sums->waits);
    sc_buf_append_u8(&line, '\0');
    sc_log(log, SC_LOG_INFO, "sc-collector " SC_VERSION " ends, by %s: %s%" PRIu64 " records were lost here",
           why, sc_buf_ok(&line) ? (const char *)line.data : "", sums->lost);
    sc_buf_free(&line);
}
