/*
 * policy_config.h - the policy as the node, peer and policy sections of the configuration say it.
 */
#ifndef KAARTD_DAEMON_POLICY_CONFIG_H
#define KAARTD_DAEMON_POLICY_CONFIG_H

#include "daemon/config/config.h"
#include "protocol/policy.h"

#include <stdio.h>

/*
 * This node first, as steward in all roles for its areas; then the peers in the order of the configuration,
 * suspended ones included; groups as given over the defaults. Every error goes to `errors` as "file:line:
 * message" LF, and reading goes on after one. KAART_OK with *out (policy_release), or KAART_INVALID /
 * KAART_NOMEM.
 */
int policy_from_config(const struct config *config, struct policy **out, FILE *errors);

#endif
