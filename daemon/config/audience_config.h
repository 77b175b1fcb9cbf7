/*
 * audience_config.h - the audiences of which a configuration names feeds: `public` always; those of the node's own feeds and of the feed keys
 * of its peers. A map is kept for each [RES-2].
 */
#ifndef KAARTD_DAEMON_AUDIENCE_CONFIG_H
#define KAARTD_DAEMON_AUDIENCE_CONFIG_H

#include "daemon/config/config.h"
#include "daemon/store/maps.h"

/* KAART_OK, or KAART_LIMIT where there are more than AUDIENCES_MAX (*out then holds the first of them): config_load refuses that. */
int audiences_from_config(const struct config *config, struct audiences *out);

#endif
