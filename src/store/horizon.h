// SPDX-License-Identifier: BSD-3-Clause
/*
 * STORE/horizon: windows that begin before it were expired on purpose, so that a reader, or another node, can tell expired from
 * missing. It only grows, until what was expired too early is here again, from other members of a cluster. The file is two lines that say the same:
 *
 *   00000001800000000000 0123456789abcdef    20 digits: ms since 1970, in decimal; a space; XXH3 64 of the digits, in hexadecimal;
 *   00000001800000000000 0123456789abcdef    a line feed: 38 bytes
 *
 * The horizon is the greatest of the lines whose hash is right. The file is replaced as a whole (sc_io_replace), but on a full disk,
 * where retention is what makes room, that can't be done: then the lines are written over in their place, which takes no space, one
 * after the other, each synced before the next. First goes the one that the horizon was not read from. So one line is always whole,
 * wherever the machine stops, and a reader finds the old horizon or the new one: the old one hides nothing that was kept, the new one
 * forgets nothing that was deleted, for files go when both lines stand.
 *
 * Earlier versions wrote digits and a line feed only. That holds while no line is whole; a program of theirs reads the first number.
 */
#ifndef SC_STORE_HORIZON_H
#define SC_STORE_HORIZON_H

#include "store/io.h"

/* Windows before this were expired on purpose; 0: none, or nobody can read it. */
uint64_t sc_store_horizon(const char *store);

/* Durable when it returns SC_OK; one that is there and greater stays: an administrator may have set it meanwhile. A damaged one is
 * replaced. SC_IO: it cannot be read, or written; SC_FULL: the disk is full, and there is no file to be written over. `io` NULL: the
 * system's. */
enum sc_status sc_store_set_horizon(const char *store, uint64_t horizon_ms, struct sc_io *io,
                                    struct sc_error *err);

/* Back to it, durably, when it is later: all that was expired from there on is here again, from others. @return as sc_store_set_horizon. */
enum sc_status sc_store_take_back_horizon(const char *store, uint64_t horizon_ms, struct sc_io *io,
                                          struct sc_error *err);

/* For those who will write to the store: there is a file now that can be written over when the disk is full. SC_DAMAGED, SC_IO: what is
 * there can't be read, and stays. */
enum sc_status sc_store_prepare_horizon(const char *store, struct sc_io *io, struct sc_error *err);

#endif
