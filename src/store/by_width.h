// SPDX-License-Identifier: BSD-3-Clause
/* Loops over integers of 1, 2, 4 or 8 bytes, written once. */
#ifndef SC_STORE_BY_WIDTH_H
#define SC_STORE_BY_WIDTH_H

#include <stdint.h>

/* DO of the type of values that are so wide. */
#define SC_BY_WIDTH(width, DO)                                                                               \
    do {                                                                                                     \
        if ((width) == 1)                                                                                    \
            DO(uint8_t);                                                                                     \
        else if ((width) == 2)                                                                               \
            DO(uint16_t);                                                                                    \
        else if ((width) == 4)                                                                               \
            DO(uint32_t);                                                                                    \
        else                                                                                                 \
            DO(uint64_t);                                                                                    \
    } while (0)

#endif
