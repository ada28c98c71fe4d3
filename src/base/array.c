// SPDX-License-Identifier: BSD-3-Clause
#include "base/array.h"

#include <stdlib.h>
#include <string.h>

static bool give_room(void *array, size_t entry_bytes, size_t room)
{
    void *old, *grown;
    if (room == 0 || room > SIZE_MAX / 2 / entry_bytes)
        return false;
    memcpy(&old, array, sizeof(old));
    grown = realloc(old, room * entry_bytes);
    if (grown != NULL)
        memcpy(array, &grown, sizeof(grown));
    return grown != NULL;
}

bool sc_array_grow(void *array, size_t entry_bytes, size_t count, size_t more)
{
    size_t room = more > SIZE_MAX - count ? SIZE_MAX : sc_array_room(count + more);
    return more == 0 || give_room(array, entry_bytes, room);
}

bool sc_array_grow_to(void *array, size_t entry_bytes, uint32_t *capacity, size_t count)
{
    size_t room = sc_array_room(count);
    if (room > UINT32_MAX || !give_room(array, entry_bytes, room))
        return false;
    *capacity = (uint32_t)room;
    return true;
}
