// SPDX-License-Identifier: BSD-3-Clause
/* Tells the service manager how we are (sd_notify(3)): one datagram to the socket in $NOTIFY_SOCKET, if there
 * is one. */
#ifndef SC_DAEMON_NOTIFY_H
#define SC_DAEMON_NOTIFY_H

/* `state` such as "READY=1\n". Without the variable, or when nobody listens, nothing happens. */
void sc_notify(const char *state);

#endif
