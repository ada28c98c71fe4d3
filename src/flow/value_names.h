// SPDX-License-Identifier: BSD-3-Clause
/* Names for numbers: protocols, services, directions, reasons of a flow's end, events of NAT (RFC 8158) and of firewalls. */
#ifndef SC_FLOW_VALUE_NAMES_H
#define SC_FLOW_VALUE_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* The number that a word names among the values of an IANA element, without regard to case; -1: none. */
int sc_value_number(uint16_t element, const char *text, size_t length);

/* The first name of a number, or NULL. */
const char *sc_value_name(uint16_t element, uint64_t value);

#endif
