// SPDX-License-Identifier: BSD-3-Clause
/*
 * The collector's configuration, plain data: its defaults, and single values as the file and the command line take them.
 * sc_config_free releases what it points to.
 */
#ifndef SC_CONF_VALUES_H
#define SC_CONF_VALUES_H

#include "base/budget.h"
#include "base/log.h"
#include "base/url.h"

#define SC_CONFIG_DEFAULT_STORE "/var/lib/securitycloud"

#define SC_CONFIG_MAX_LISTENERS 64u
#define SC_CONFIG_MAX_RECEIVERS 64u
#define SC_CONFIG_MAX_FORWARD   16u
#define SC_CONFIG_MAX_SHARES    256u
#define SC_CONFIG_MIN_SHARE     (UINT64_C(1) << 20)

/* A third-party collector that gets the flows too. */
struct sc_config_forward {
    struct sc_url to;
    uint8_t protocol; /* 5, 9, 10: NetFlow v5, v9, IPFIX */
    bool round_robin; /* shares the flows with the others that have this; else it gets all */
};

struct sc_config {
    struct sc_url listeners[SC_CONFIG_MAX_LISTENERS];
    uint32_t listener_count;
    char *store;
    uint32_t window_s;        /* divides a day */
    uint64_t retention_age_s; /* 0: no bound */
    uint64_t retention_bytes; /* 0: no bound */
    char **
        archive; /* words of a command that gets each window before it goes, NULL behind the last; NULL: none */
    uint32_t archive_timeout_s;
    uint32_t receivers;          /* threads that receive and decode */
    bool template_scope_address; /* templates belong to the exporter's address, not to its address and port */
    uint32_t template_lifetime_s;
    bool verify_full; /* all of a sealed file is decoded before what it was made of goes */
    enum sc_log_level log_level;
    uint32_t tcp_connections; /* of exporters; 0: as descriptors allow */
    uint32_t tcp_of_exporter; /* of one; 0: a share */
    uint64_t receive_buffer;  /* of each UDP socket, bytes */
    uint64_t queue_memory;    /* bytes of flows that wait for the disk */
    uint64_t exporter_memory; /* bytes of all that is kept of exporters: templates, names, accounts */
    uint64_t exporter_share;  /* of them, those of one exporter */
    struct sc_budget_share exporter_shares[SC_CONFIG_MAX_SHARES]; /* where it is another */
    uint32_t exporter_share_count;
    struct sc_config_forward forward[SC_CONFIG_MAX_FORWARD];
    uint32_t forward_count;
    uint64_t forward_memory; /* bytes of flows that wait for one destination */
    /* Of a member of a cluster; cluster is NULL on a single node. */
    char *cluster;         /* the membership file */
    char *node;            /* this node's name in it */
    char *tls;             /* the folder of certificates; NULL: none */
    bool link_plain;       /* between members, though there be certificates */
    uint64_t outbox_bytes; /* of a proxy: batches that wait for subcollectors */
    bool outbox_sync;      /* a batch is on the disk before it counts as accepted */
};

/* The defaults: udp://[::]:4739 and udp://[::]:2055, windows of 300 s, one receiver. @return SC_OK or
 * SC_NOMEM. */
enum sc_status sc_config_init(struct sc_config *config, struct sc_error *err);
void sc_config_free(struct sc_config *config);

/* One value as the file and the command line take it. @return SC_OK, or SC_USAGE with "\"TEXT\" is ...". */
enum sc_status sc_config_window(const char *text, uint32_t *window_s, struct sc_error *err);
enum sc_status sc_config_receivers(const char *text, uint32_t *receivers, struct sc_error *err);
enum sc_status sc_config_listener(const char *text, const struct sc_url *others, uint32_t count,
                                  struct sc_url *url, struct sc_error *err); /* none of the `others` again */
/* `protocol` ("v5", "v9", "ipfix") and `mode` ("all", "round-robin") may be NULL: IPFIX, all. */
enum sc_status sc_config_forward(const char *text, const char *protocol, const char *mode,
                                 const struct sc_config_forward *others, uint32_t count,
                                 struct sc_config_forward *out, struct sc_error *err);
/* A network with its prefix length, "192.0.2.0/24", and the bytes that each exporter in it may hold. */
enum sc_status sc_config_share(const char *network, const char *bytes, struct sc_budget_share *out,
                               struct sc_error *err);
enum sc_status sc_config_log_level(const char *text, enum sc_log_level *level, struct sc_error *err);

/* Replaces a text of *config. SC_NOMEM leaves it. */
enum sc_status sc_config_set_text(char **text, const char *value, struct sc_error *err);
/* Words of a command, NULL behind the last. */
enum sc_status sc_config_set_archive(struct sc_config *config, char *const *words, struct sc_error *err);
enum sc_status sc_config_set_store(struct sc_config *config, const char *store, struct sc_error *err);

#endif
