// SPDX-License-Identifier: BSD-3-Clause
/* Parts of sc-admin. All return its exit status. */
#ifndef SC_CLI_ADMIN_H
#define SC_CLI_ADMIN_H

#include "cluster/survey.h"
#include "conf/config.h"
#include "store/store.h"

#include <jansson.h>

enum { SC_ADMIN_EXIT_UNREADABLE = 1, SC_ADMIN_EXIT_DAMAGED = 3 };

struct sc_admin_cluster {
    const char *file;        /* the membership file; NULL: that of the configuration */
    const char *config_file; /* as given to sc-admin, or NULL */
    const char *store;       /* likewise */
    const char *ssh;         /* the command; NULL: SC_SSH of the environment, else ssh */
    uint64_t timeout_ms;
    uint32_t windows;
    bool json;
};

/* status over all nodes of a cluster. */
int sc_admin_cluster_status(const struct sc_admin_cluster *request, const struct sc_config *config);
/* What all nodes say of themselves (sc_survey_run). */
enum sc_status sc_admin_survey(const struct sc_admin_cluster *request, const struct sc_config *config,
                               const struct sc_cluster *cluster, struct sc_survey *survey,
                               struct sc_error *err);
/* What a node answers to it: the collector's status as JSON, with what the store holds of its last windows; that also when no collector
 * runs (1). */
int sc_admin_node_status(const struct sc_config *config, uint32_t windows);

struct sc_admin_loss {
    const char *const *stores;
    uint32_t store_count;
    bool one_stream; /* else all */
    uint64_t stream;
    bool dry_run;
    bool undo;  /* takes back what was accepted */
    bool force; /* with fewer stores than there are */
};

/* Deletes windows as retention does, with `archive` each after the command of the configuration has it, where there is one. */
int sc_admin_expire(const struct sc_config *config, const struct sc_retention *retention, bool dry_run,
                    bool archive);

struct sc_admin_compact {
    bool quick, dry_run;
    uint64_t bytes_per_s; /* 0: no bound */
};

/* Sealed files in less room (store/compact.h). */
int sc_admin_compact(const struct sc_config *config, const struct sc_admin_compact *what);

struct sc_admin_certs {
    const char *cluster; /* the membership file */
    const char *folder;
    bool renew; /* also those that are good for a while yet */
};

/* What the running subcollector lacks is pulled at once, and waited for; `dry_run`: only shown. */
int sc_admin_heal(const struct sc_config *config, bool dry_run);

int sc_admin_make_certs(const struct sc_admin_certs *what);

struct sc_admin_drain {
    const char *member;
    enum sc_member_state state; /* that it is to have */
    bool force;                 /* gone, although somebody may need it still */
};

/* The membership file with another state of a member. */
int sc_admin_drain(const struct sc_admin_drain *what, const struct sc_admin_cluster *request,
                   const struct sc_config *config);

/* Of the stores that are named, of all members by ssh, and what one of these answers to it. */
int sc_admin_accept_loss(const struct sc_admin_loss *what, const struct sc_config *config);
int sc_admin_accept_loss_cluster(const struct sc_admin_loss *what, const struct sc_admin_cluster *request,
                                 const struct sc_config *config);
int sc_admin_accept_loss_member(const struct sc_config *config);

/* Whether all that ought to be in the stores of a cluster is whole there, with all its copies: members are asked by ssh; and what one of
 * these answers to it. */
int sc_admin_verify_cluster(const struct sc_admin_cluster *request, const struct sc_config *config);
int sc_admin_verify_member(const struct sc_config *config);

/* What a member was asked, on stdin, to be released; NULL: it was no JSON. @return SC_OK; SC_LIMIT, SC_IO. */
enum sc_status sc_admin_read_request(json_t **out, struct sc_error *err);
/* Releases it. @return whether it was written. */
bool sc_admin_write_json(json_t *root);

/* The path of this very program, by which this node is asked, so that it may have a configuration or a store of its own. */
enum sc_status sc_admin_own_path(char *out, size_t size, struct sc_error *err);
/* The membership file that is meant. @return SC_OK; SC_USAGE: there is none. */
enum sc_status sc_admin_membership(const struct sc_admin_cluster *request, const struct sc_config *config,
                                   const char **file, struct sc_error *err);
/* It, loaded. @return also as sc_cluster_load. */
enum sc_status sc_admin_members(const struct sc_admin_cluster *request, const struct sc_config *config,
                                struct sc_cluster *out, struct sc_error *err);
/* What reaches the other members. */
const char *sc_admin_ssh(const struct sc_admin_cluster *request);

#endif
