// SPDX-License-Identifier: BSD-3-Clause
/* The connections of TCP listeners. */
#ifndef SC_COLLECT_CONNECTIONS_H
#define SC_COLLECT_CONNECTIONS_H

#include "collect/sockets.h"

/* Takes connections that wait, `most` of them. */
void sc_connections_accept(struct sc_listener *listener, int most);
#define SC_CONNECTIONS_IN_TURN     64
#define SC_CONNECTIONS_WHEN_ENDING 1024
/* Once a tick: reads from paused connections again when there is room. */
void sc_connections_resume(struct sc_listener *listener);
/* Once a second: closes connections that owe a message for too long. */
void sc_connections_judge(struct sc_listener *listener, uint64_t now_ms);
/* Their end begins: notes what waits in each connection. */
void sc_connections_weigh(struct sc_listener *listener);
/* Reads a share from each connection, and closes those that have no more, or from `until_ms` on no more of what waited. 0: closes all.
 * True: some are left. */
bool sc_connections_drain(struct sc_listener *listener, uint64_t until_ms);

#endif
