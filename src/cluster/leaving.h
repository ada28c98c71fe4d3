// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whether a member that leaves may go on: one that drains to `gone`, when all that it holds is with those that are to hold it; one that
 * is gone out of the membership file, when nobody holds anything of its lane. By what all said in a survey: who said nothing, or
 * knows another version of the file, leaves it open.
 */
#ifndef SC_CLUSTER_LEAVING_H
#define SC_CLUSTER_LEAVING_H

#include "cluster/survey.h"

struct sc_leaving {
    bool leaves; /* it drains, or is gone */
    bool may_go; /* on with it */
    char words[SC_SURVEY_PROBLEM_MAX];
};

struct sc_leaving sc_leaving_judge(const struct sc_survey *survey, const struct sc_survey_node *node);

/* Puts into a node's answer of which lanes its store has copies; nothing when that cannot be told. */
void sc_leaving_to_answer(const char *store, json_t *answer);

#endif
