// SPDX-License-Identifier: BSD-3-Clause
#include "relay/lane_names.h"

#include "base/array.h"
#include "store/format.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNNAMED "lane-"

void sc_lane_names_free(struct sc_lane_names *names)
{
    free(names->list);
    *names = (struct sc_lane_names){0};
}

static const char *name_of_member(const struct sc_cluster *c, uint32_t lane)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->members[i].lane == lane)
            return c->members[i].name;
    }
    return NULL;
}

static struct sc_lane_name *find(const struct sc_lane_names *names, uint32_t lane)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->list[i].lane == lane)
            return &names->list[i];
    }
    return NULL;
}

/* Without memory it is not known, and asked for again. */
static bool add(struct sc_lane_names *names, uint32_t lane, const char *folder, bool is_other)
{
    if (!sc_array_more(names->list, names->count, 1))
        return false;
    names->list[names->count] = (struct sc_lane_name){.lane = lane, .is_other = is_other};
    snprintf(names->list[names->count++].folder, SC_LANE_FOLDER_MAX, "%s", folder);
    return true;
}

static void unnamed(uint32_t lane, char out[SC_LANE_FOLDER_MAX])
{
    snprintf(out, SC_LANE_FOLDER_MAX, UNNAMED "%08x", lane);
}

/* The lane of a folder's name. */
static uint32_t lane_of(const char *folder)
{
    const char *hex = folder + strlen(UNNAMED);
    if (strncmp(folder, UNNAMED, strlen(UNNAMED)) == 0 && strlen(hex) == 8 &&
        strspn(hex, "0123456789abcdef") == 8)
        return (uint32_t)strtoul(hex, NULL, 16);
    return sc_cluster_lane(folder);
}

void sc_lane_names_load(struct sc_lane_names *names, const char *store)
{
    char path[4096];
    const struct dirent *entry;
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, store);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        bool fits = entry->d_name[0] != '.' && strlen(entry->d_name) < SC_LANE_FOLDER_MAX;
        if (fits && find(names, lane_of(entry->d_name)) == NULL)
            (void)add(names, lane_of(entry->d_name), entry->d_name, false);
    }
    closedir(dir);
}

void sc_lane_names_keep(struct sc_lane_names *names, const struct sc_cluster *before,
                        const struct sc_cluster *after)
{
    for (uint32_t i = 0; i < before->count; i++) {
        const struct sc_member *m = &before->members[i];
        struct sc_lane_name *known = find(names, m->lane);
        if (name_of_member(after, m->lane) != NULL)
            continue;
        if (known == NULL)
            (void)add(names, m->lane, m->name, false);
        else
            memcpy(known->folder, m->name, sizeof(known->folder));
        if (known != NULL)
            known->is_other = false;
    }
}

bool sc_lane_names_admit(struct sc_lane_names *names, const struct sc_cluster *cluster, uint32_t lane)
{
    char folder[SC_LANE_FOLDER_MAX];
    uint32_t others = 0;
    if (name_of_member(cluster, lane) != NULL || find(names, lane) != NULL)
        return true;
    for (uint32_t i = 0; i < names->count; i++)
        others += names->list[i].is_other && name_of_member(cluster, names->list[i].lane) == NULL;
    if (others >= SC_LANES_OTHER)
        return false;
    unnamed(lane, folder);
    return add(names, lane, folder, true);
}

void sc_lane_names_folder(const struct sc_lane_names *names, const struct sc_cluster *cluster, uint32_t lane,
                          char out[SC_LANE_FOLDER_MAX])
{
    const char *member = name_of_member(cluster, lane);
    const struct sc_lane_name *known = find(names, lane);
    if (member != NULL)
        snprintf(out, SC_LANE_FOLDER_MAX, "%s", member);
    else if (known != NULL)
        memcpy(out, known->folder, SC_LANE_FOLDER_MAX);
    else
        unnamed(lane, out);
}
