/*
 * cmd_policy.h - the parts of kaartctl policy.
 */
#ifndef KAARTD_CTL_CMD_POLICY_H
#define KAARTD_CTL_CMD_POLICY_H

#include "daemon/ctl/ctl.h"

/* policy sums: where the other node is. policy_sums.c */
struct sums_options {
    const char *url; /* https://..., or a peer's name; NULL: only the own sums */
    const char *pin; /* "sha256/BASE64" of that URL's server; NULL */
    const char *ca_file;
};
int ctl_policy_sums(struct ctl *ctl, const struct sums_options *options);

#endif
