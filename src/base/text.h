// SPDX-License-Identifier: BSD-3-Clause
/*
 * Texts that others chose (names, sentences of peers) on their way to a terminal or a log. What such a text could do beside being read
 * is written as \xHH, byte by byte: control characters (C0 with newline and tab, DEL, C1), bytes that are no UTF-8, and characters that
 * move or hide others: U+061C, U+180E, U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF, U+FFF9 to U+FFFB, U+E0000 to
 * U+E0FFF (directions, zero widths, line separators, tags).
 */
#ifndef SC_BASE_TEXT_H
#define SC_BASE_TEXT_H

#include "base/buf.h"

#include <stdio.h>

/* Bytes of the UTF-8 sequence at s (1 to 4), 0 when there is no valid one. */
unsigned sc_utf8_length(const uint8_t *s, size_t left);

/* True when those bytes, a valid sequence, are to be escaped. */
bool sc_text_is_obeyed(const uint8_t *s, unsigned length);

/* Writes what is shown of the text and returns its end; room for 4 * length bytes. */
char *sc_text_put_visible(char *p, const uint8_t *text, size_t length);

/* The same, appended. */
void sc_buf_append_visible(struct sc_buf *buf, const char *text, size_t length);

/* "BEFORE TEXT" as a line, for a person. */
void sc_say(FILE *stream, const char *before, const char *text);

/* A whole number in digits alone, of 64 bits; with `units` k, M, G or T may stand behind it, powers of 1000. False: it is none. */
bool sc_text_number(const char *text, bool units, uint64_t *out);

/* The code point of a valid sequence. */
uint32_t sc_utf8_code_point(const uint8_t *s, unsigned length);

#endif
