// SPDX-License-Identifier: BSD-3-Clause
/* The words by which a node is asked over ssh (base/ask.h). */
#ifndef SC_CLUSTER_SSH_H
#define SC_CLUSTER_SSH_H

#include "base/ask.h"

/*
 * The words that run a command on `host` by ssh: `command`, a program and options of its own divided by blanks (cut up in place;
 * it lives as long as the ask), then what makes ssh ask nobody and give up in time, then the host. The remote words follow.
 * @return SC_OK; SC_USAGE when the host could be taken for an option or has characters that no host has.
 */
enum sc_status sc_ssh_words(struct sc_ask *ask, char *command, const char *host, struct sc_error *err);

/* @return SC_OK; SC_USAGE when the host could be taken for an option or has characters that no host has. */
enum sc_status sc_ssh_check_host(const char *host, struct sc_error *err);

#endif
