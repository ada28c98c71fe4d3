// SPDX-License-Identifier: BSD-3-Clause
/* Rows whose only key is an address, by the codes of the row group's dictionary. Only files of this room include it. */
#ifndef SC_GROUP_CODES_H
#define SC_GROUP_CODES_H

/* `use` of the code of each row j < n; a null row has that behind the last. */
#define SC_EACH_CODE_OF(type, use)                                                                           \
    for (uint32_t j = 0; j < n; j++) {                                                                       \
        uint32_t code = ((const type *)dict->values)[rows[j]];                                               \
        if (dict->nulls != 0 && sc_column_is_null(dict, rows[j]))                                            \
            code = dict->dict.count;                                                                         \
        use;                                                                                                 \
    }

#define SC_EACH_CODE(use)                                                                                    \
    do {                                                                                                     \
        if (dict->width == 1)                                                                                \
            SC_EACH_CODE_OF(uint8_t, use)                                                                    \
        else if (dict->width == 2)                                                                           \
            SC_EACH_CODE_OF(uint16_t, use)                                                                   \
        else                                                                                                 \
            SC_EACH_CODE_OF(uint32_t, use)                                                                   \
    } while (0)

#endif
