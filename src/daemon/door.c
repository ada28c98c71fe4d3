// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/door.h"

#include "base/clock.h"
#include "net/client.h"

#define DAY_S 86400

/* All addresses that connections of it may come from, and go to. */
static bool is_here(const struct sc_member *m)
{
    const struct sc_url *at = &m->address;
    bool here = at->numeric ? sc_client_is_local(&at->address) : strcmp(at->host, "localhost") == 0;
    for (uint32_t i = 0; i < m->from_count && here; i++)
        here = sc_client_is_local(&m->from[i]);
    return here;
}

static const struct sc_member *find_elsewhere(const struct sc_cluster *cluster)
{
    const struct sc_member *m = cluster->members, *end = m + cluster->count;
    while (m < end && is_here(m))
        m++;
    return m == end ? NULL : m;
}

enum sc_status sc_door_check_plain(const struct sc_config *config, const struct sc_cluster *cluster,
                                   struct sc_error *err)
{
    const struct sc_member *elsewhere = config->link_plain ? NULL : find_elsewhere(cluster);
    if (elsewhere == NULL)
        return SC_OK;
    return sc_fail(
        err, SC_USAGE,
        "the member %s is on another machine: give `tls: FOLDER` with the certificates that sc-admin "
        "certs makes, or say `link: plain` where nobody else is on the network",
        elsewhere->name);
}

enum sc_status sc_door_open(const struct sc_config *config, const struct sc_cluster *cluster, uint32_t self,
                            struct sc_tls **out, struct sc_error *err)
{
    const struct sc_member *own = &cluster->members[self];
    *out = NULL;
    if (own->subcollector && !own->address.numeric)
        return sc_fail(err, SC_USAGE,
                       "%s: %s: the address of a subcollector is needed as a number, not as the name %s",
                       config->cluster, own->name, own->address.host);
    if (config->tls != NULL && !config->link_plain)
        return sc_tls_load(config->tls, own->name, out, err);
    return sc_door_check_plain(config, cluster, err);
}

int64_t sc_door_days_left(const struct sc_tls *tls)
{
    int64_t left = sc_tls_end_s(tls) - (int64_t)(sc_clock_wall_ms() / 1000);
    return (left < 0 ? left - DAY_S + 1 : left) / DAY_S;
}

void sc_door_tell(const struct sc_cluster *cluster, const struct sc_tls *tls, const struct sc_log *log)
{
    if (tls == NULL && find_elsewhere(cluster) != NULL)
        sc_log(log, SC_LOG_WARNING,
               "link: plain: whoever is on the network can read flows, and say that it is a member");
    if (tls == NULL)
        return;
    int64_t days = sc_door_days_left(tls);
    sc_log(log, days < SC_DOOR_WARN_DAYS ? SC_LOG_WARNING : SC_LOG_INFO,
           "the link's certificate is valid for %lld days; sc-admin certs makes others, SIGHUP reads them",
           (long long)days);
}
