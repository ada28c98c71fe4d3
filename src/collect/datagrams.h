// SPDX-License-Identifier: BSD-3-Clause
/* The datagrams of UDP listeners. */
#ifndef SC_COLLECT_DATAGRAMS_H
#define SC_COLLECT_DATAGRAMS_H

#include "collect/sockets.h"

/* Takes a bounded share of what waits in a UDP socket. True: there may be more. */
bool sc_datagrams_read(struct sc_listener *listener);
void sc_datagrams_refresh_drops(struct sc_listener *listener);

#endif
