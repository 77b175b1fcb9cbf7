/*
 * map_duplicates.h - inside map_duplicates*.c only: what of a record speaks for its being another one.
 */
#ifndef KAARTD_STORE_MAP_DUPLICATES_H
#define KAARTD_STORE_MAP_DUPLICATES_H

#include "protocol/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* Longer names and addresses are cut: what is equal so far is shown as evidence, a person decides. */
#define TRAIT_SIZE_MAX 160
/* Identifiers, postcodes, numbers and sites of one record that are compared; a record of more has others to be found by. */
#define TRAITS_MAX 32

enum trait_type { TRAIT_IDENTIFIER, TRAIT_POSTCODE, TRAIT_PHONE, TRAIT_WEBSITE };

struct trait {
    enum trait_type type;
    char value[TRAIT_SIZE_MAX]; /* normalised; of an identifier "scheme value" */
};

struct traits {
    struct trait items[TRAITS_MAX];
    size_t count;
    char name[TRAIT_SIZE_MAX]; /* as name_normalise leaves it */
};

/* All of a resolved record's [DUP-2]. */
void traits_of(const char *kind, const cJSON *record, struct traits *out);
bool traits_have(const struct traits *traits, enum trait_type type, const char *value);

/* Lower case, without accents, punctuation, articles and legal forms: "Stichting De Brüg" is "brug". */
void name_normalise(const char *text, char out[TRAIT_SIZE_MAX]);
/* "+31 (0)30 123 45 67" and "030-1234567" are "0301234567"; empty for what is no whole number. */
void phone_normalise(const char *text, char out[TRAIT_SIZE_MAX]);
/* Without scheme, "www.", query, fragment and a slash at the end, host in lower case; empty for what is no site. */
void website_normalise(const char *text, char out[TRAIT_SIZE_MAX]);
/* Of two normalised names, 0 to 100: pairs of letters they share (Dice); 100 if equal, at least 80 if all words of one are in the other. 0 for an empty one. */
int name_similarity(const char *a, const char *b);

#endif
