// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the members of a cluster say of themselves, many asked at once (cluster/ask) by a command of each that answers as sc-admin status --json does,
 * and what they hold, compared. A node takes part when its files can be read, whether its collector runs or not. One thread; blocking.
 */
#ifndef SC_CLUSTER_SURVEY_H
#define SC_CLUSTER_SURVEY_H

#include "base/ask.h"
#include "cluster/holdings.h"
#include "conf/cluster.h"

#define SC_SURVEY_PROBLEM_MAX 400u

struct sc_survey_node;

/* Borrowed while the survey runs. */
struct sc_survey_options {
    const char *node; /* the member that this machine is; NULL: none */
    const char *ssh;  /* the command that reaches the others, with options of its own */
    const char *const *here,
        *const *there; /* the words that ask a node, here and behind ssh; NULL behind the last */
    uint64_t timeout_ms;
    uint32_t windows;   /* to compare */
    bool subcollectors; /* only these are asked */
    /* Called several times a second while nodes are asked: of each of these nodes its ask, which runs when it has a pid. NULL: nobody
     * wants to know. */
    void (*watch)(void *arg, const struct sc_survey_node *const *nodes, const struct sc_ask *asks,
                  uint32_t count);
    void *watch_arg;
};

struct sc_survey_node {
    const struct sc_member *member;
    bool left_out; /* it is not asked */
    struct sc_ask ask;
    char *ssh;     /* words of the ask */
    bool answered; /* when it was asked last */
    json_t *root;  /* what it answered; NULL: nothing that makes sense */
    struct sc_holdings held;
    bool has_held;
    uint32_t usable, proxies;            /* see sc_survey_taken_by */
    char problem[SC_SURVEY_PROBLEM_MAX]; /* empty: none */
};

struct sc_survey {
    struct sc_survey_options options;
    const struct sc_cluster *cluster; /* borrowed */
    struct sc_survey_node *nodes;     /* one per member */
    struct sc_horizons horizons;      /* as all who answered know them */
    struct sc_window_copies *windows;
    uint32_t window_count;
};

/*
 * For other questions than that of the status: sc_survey_begin zero-initialises *survey, to be freed in any case; sc_survey_ask asks
 * all that have no problem yet, who read `input` (NULL: nothing), and takes over the object that each answers as its root. Who did not
 * answer has a problem then. @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_survey_begin(struct sc_survey *survey, const struct sc_survey_options *options,
                               const struct sc_cluster *cluster, struct sc_error *err);
void sc_survey_ask(struct sc_survey *survey, const char *input);
/*
 * Asks those for what their stores hold that have no problem yet, in JSON (`request`, taken over): each answers with its name
 * ("node"), and with what it holds ("held", when `with_held`), in nodes[].held then, or with why it cannot ("problem"). Who is another
 * one, or makes no sense, has a problem. @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_survey_request(struct sc_survey *survey, json_t *request, bool with_held,
                                 struct sc_error *err);
void sc_survey_set_problem(struct sc_survey_node *node, const char *sentence);
/* Whether the node is asked, and has no problem. */
bool sc_survey_is_well(const struct sc_survey_node *node);

/* Zero-initialises *survey, to be freed in any case. @return SC_OK, whoever answered; SC_NOMEM. */
enum sc_status sc_survey_run(struct sc_survey *survey, const struct sc_survey_options *options,
                             const struct sc_cluster *cluster, struct sc_error *err);
void sc_survey_free(struct sc_survey *survey);

/* Batches that nobody holds and somebody should, of all windows. */
uint64_t sc_survey_missing(const struct sc_survey *survey);

bool sc_survey_runs(const struct sc_survey_node *node);

/* What a node says that differs between it and others, sentences; NULL or an array, borrowed. */
const json_t *sc_survey_differences(const struct sc_survey_node *node);

/* Ms from the last durable moment of its store to its answer, by its own clock; UINT64_MAX: none was. */
uint64_t sc_survey_lag_ms(const struct sc_survey_node *node);

/* How many of the proxies that answered give batches to the member, of the survey's cluster. */
void sc_survey_taken_by(const struct sc_survey *survey, const struct sc_member *member, uint32_t *usable,
                        uint32_t *proxies);

/* What of the membership and the program differs from here; false when nothing does. */
bool sc_survey_differs(const struct sc_survey *survey, const struct sc_survey_node *node, char *out,
                       size_t size);

#endif
