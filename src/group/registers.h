// SPDX-License-Identifier: BSD-3-Clause
/* The registers of an estimate of distinct values: group/values.h. */
#ifndef SC_GROUP_REGISTERS_H
#define SC_GROUP_REGISTERS_H

#define SC_REGISTER_BITS 14u
#define SC_REGISTERS     (1u << SC_REGISTER_BITS)
#define SC_MOST_ZEROS    40u /* + 1: what a register can hold at most */

#endif
