// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/launch.h"

#include "cluster/reach.h"
#include "cluster/ssh.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * What Open MPI listens on, on every machine and only while a query runs (docs/operations.md, for firewalls). Its daemons bind all
 * ports that they are given, and none that connections of an earlier query still linger on: so each query draws a few.
 */
#define DAEMON_PORT_FIRST 23000u
#define DAEMON_PORT_COUNT 250u /* for IPv4, and as many behind them for IPv6 */
#define DAEMON_PORTS      3u
#define RANK_PORT_FIRST   "23500" /* each rank takes the first that is free */
#define RANK_PORT_COUNT   "500"

/* ssh must ask nobody and give up soon; Open MPI divides it at blanks. */
#define SSH_OPTIONS                                                                                          \
    "-x -o BatchMode=yes -o ConnectTimeout=%u -o ServerAliveInterval=2 -o ServerAliveCountMax=2"

static void add_mca(struct sc_words *words, const char *name, const char *value)
{
    sc_words_add(words, "--mca");
    sc_words_add(words, name);
    sc_words_add(words, value);
}

static void add_daemon_ports(const char *parameter, uint32_t first, uint64_t draw, struct sc_words *words)
{
    char list[DAEMON_PORTS * 8] = "";
    int at = 0;
    for (unsigned i = 0; i < DAEMON_PORTS; i++, draw /= DAEMON_PORT_COUNT)
        at += snprintf(list + at, sizeof(list) - (size_t)at, "%s%u", i == 0 ? "" : ",",
                       first + (unsigned)(draw % DAEMON_PORT_COUNT));
    add_mca(words, parameter, list);
}

/* The guard as its ssh: cluster/reach.h. */
static void add_agent(const struct sc_launch *l, struct sc_words *words)
{
    struct sc_buf agent = {0};
    sc_buf_printf(&agent, "%s --reach ", l->guard);
    for (uint32_t i = 0; i < l->rank_count; i++) {
        sc_reach_put(&agent, l->ranks[i].host == NULL ? "" : l->ranks[i].host);
        sc_buf_append_u8(&agent, ',');
    }
    sc_buf_append_u8(&agent, ' ');
    sc_reach_put(&agent, l->ssh);
    sc_buf_printf(&agent, " " SSH_OPTIONS, l->connect_s);
    sc_buf_append_u8(&agent, 0);
    if (sc_buf_ok(&agent))
        add_mca(words, "plm_rsh_agent", (const char *)agent.data);
    words->failed = words->failed || !sc_buf_ok(&agent);
    sc_buf_free(&agent);
}

static void add_options(const struct sc_launch *l, struct sc_words *words)
{
    sc_words_add(words, l->mpiexec);
    if (geteuid() == 0)
        sc_words_add(words, "--allow-run-as-root");
    sc_words_add(words, "--oversubscribe"); /* a rank brings threads of its own: slots mean nothing */
    sc_words_add(words, "--bind-to");
    sc_words_add(words, "none");
    add_agent(l, words);
    add_mca(words, "plm_rsh_no_tree_spawn", "1"); /* all from here: no node needs a key for another */
    add_mca(words, "btl", "tcp,self");
    add_mca(words, "pml", "ob1");
    add_mca(words, "orte_base_help_aggregate", "0");
    add_mca(words, "odls_base_sigkill_timeout", "0"); /* a rank that is ended has nothing to put in order */
    add_daemon_ports("oob_tcp_dynamic_ipv4_ports", DAEMON_PORT_FIRST, l->draw, words);
    add_daemon_ports("oob_tcp_dynamic_ipv6_ports", DAEMON_PORT_FIRST + DAEMON_PORT_COUNT, l->draw, words);
    add_mca(words, "btl_tcp_port_min_v4", RANK_PORT_FIRST);
    add_mca(words, "btl_tcp_port_range_v4", RANK_PORT_COUNT);
    add_mca(words, "btl_tcp_port_min_v6", RANK_PORT_FIRST);
    add_mca(words, "btl_tcp_port_range_v6", RANK_PORT_COUNT);
}

static void add_rank(const struct sc_launch *l, uint32_t index, struct sc_words *words)
{
    const struct sc_launch_rank *rank = &l->ranks[index];
    char number[SC_REACH_NUMBER_MAX];
    sc_reach_number(index, number);
    if (index != 0)
        sc_words_add(words, ":");
    sc_words_add(words, "-n");
    sc_words_add(words, "1");
    sc_words_add(words, "--host");
    sc_words_add(words, rank->host == NULL ? "localhost" : number);
    sc_words_add(words, l->guard);
    sc_words_add(words, l->program);
    sc_words_add(words, "--supervised");
    sc_words_add(words, "--node");
    sc_words_add(words, rank->node);
    if (index != 0)
        return; /* rank 0 tells it the query */
    for (char *const *word = l->first; word != NULL && *word != NULL; word++)
        sc_words_add(words, *word);
    sc_words_add(words, "--");
    for (char *const *word = l->query; *word != NULL; word++)
        sc_words_add(words, *word);
}

/* A word that is ":" alone would begin another program for mpiexec. */
static bool are_safe(char *const *words)
{
    for (; words != NULL && *words != NULL; words++) {
        if (strcmp(*words, ":") == 0)
            return false;
    }
    return true;
}

enum sc_status sc_launch_words(const struct sc_launch *l, struct sc_words *out, struct sc_error *err)
{
    for (uint32_t i = 0; i < l->rank_count; i++) {
        if (l->ranks[i].host != NULL)
            SC_TRY(sc_ssh_check_host(l->ranks[i].host, err));
    }
    if (!are_safe(l->first) || !are_safe(l->query))
        return sc_fail(err, SC_USAGE, "a word \":\" cannot be handed to other nodes");
    add_options(l, out);
    for (uint32_t i = 0; i < l->rank_count; i++)
        add_rank(l, i, out);
    return out->failed ? sc_fail_nomem(err, "the command for the nodes") : SC_OK;
}
