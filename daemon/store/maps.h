/*
 * maps.h - the maps of one thread, one for each audience [RES-2]: STATE/map.db of the public feeds, STATE/map-AUDIENCE.db of each other's.
 * Each is a file of its own, so that no query, sum or search can reach what another audience may not see.
 *
 * The mapper has the writing ones, the reader the others; they belong to their thread.
 */
#ifndef KAARTD_STORE_MAPS_H
#define KAARTD_STORE_MAPS_H

#include "daemon/store/map.h"
#include "protocol/limits.h"

/* The audiences of which a node has a map, each once; `public` first. */
struct audiences {
    char names[AUDIENCES_MAX][NAME_MAX_SIZE + 1];
    size_t count;
};

bool audiences_have(const struct audiences *audiences, const char *name);
/* KAART_OK (also where it is there already), or KAART_LIMIT. */
int audiences_add(struct audiences *audiences, const char *name);

struct maps;

/* Of the state directory; opens nothing yet. `write`: the mapper's. KAART_OK or KAART_NOMEM. */
int maps_new(const char *state, bool write, struct maps **out, struct fault *fault);
void maps_free(struct maps *maps);

/* The map of an audience, opened where it was not; borrowed, until maps_keep or maps_free. A reader gets KAART_BUSY where the mapper has
 * not made the file yet. Asks no configuration: the caller knows that there is such an audience. */
int maps_get(struct maps *maps, const char *audience, struct map **out, struct fault *fault);

/* Closes the maps of all other audiences; the mapper also deletes their files, for what nobody follows would hold what its feed has erased.
 * Cheap where nothing changed. KAART_IO: a file could not be deleted; the rest was done. */
int maps_keep(struct maps *maps, const struct audiences *audiences, struct fault *fault);

#endif
