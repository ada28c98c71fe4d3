// SPDX-License-Identifier: BSD-3-Clause
/*
 * How mpiexec reaches the nodes: by numbers. It would cut an IPv6 address at its first colon, a name at its first dot (so that two
 * nodes become one), and what stands for ssh at a colon, too. So it is given neither. Nodes are 0.0.0.1, 0.0.0.2 and so on for it,
 * addresses in form, so that it asks no name service; and as its ssh it runs
 *
 *     sc-query-guard --reach HOST,HOST,... SSH [OPTION...] 0.0.0.N COMMAND...
 *
 * which becomes SSH [OPTION...] with the host in place of its number. Colons of hosts and of ssh's words are written as %3A on the way.
 */
#ifndef SC_CLUSTER_REACH_H
#define SC_CLUSTER_REACH_H

#include "base/buf.h"

#define SC_REACH_MOST       65535u /* hosts that have numbers */
#define SC_REACH_NUMBER_MAX 16u

/* What mpiexec calls a host of the list, of which the first is 0. */
void sc_reach_number(uint32_t index, char out[SC_REACH_NUMBER_MAX]);

/* Appends text for the way through mpiexec. */
void sc_reach_put(struct sc_buf *out, const char *text);

/*
 * `words`, NULL behind the last: the list, the program to run, its words, among them a number. They are changed in place: the program
 * and its words are then what is to be run. @return false: no host has such a number.
 */
bool sc_reach_resolve(char **words);

#endif
