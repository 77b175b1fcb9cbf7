/*
 * subject.h - a person asks to be found, and to be forgotten. spec/feed.md [ENTRY-14].
 *
 *     text --find--> claims that speak of it: own and others', winning or not
 *          --erase-> own claims are erased (or only the contact within them is taken out), those of others are blocked here, and a
 *                    keyed hash of what was found is kept
 *     later, anything that has a blocked value: own appends go on without it, the map does not see it
 *
 * A value is blocked as a whole: HMAC-SHA256 of its canonical form (case and white space folded; of a telephone number its digits)
 * under a key that never leaves this store. Others' lines stay as they are signed, since they are relayed unchanged [HTTP-10]; only
 * their origin can erase them.
 */
#ifndef KAARTD_STORE_SUBJECT_H
#define KAARTD_STORE_SUBJECT_H

#include "daemon/store/feeds.h"

#include <cjson/cJSON.h>

/* A shorter text finds half of the map. In bytes, canonical. */
#define SUBJECT_TEXT_MIN 4
#define SUBJECT_TEXT_MAX 256
/* Claims that one question lists; a person has some dozens. */
#define SUBJECT_MATCHES_MAX 1000

/* What is asked for: a text in some value (all feeds), or an own record's claims. */
struct subject_question {
    const char *text;               /* NULL: the record */
    const char *kind, *id, *source; /* source NULL: all of this node's sources */
};

/*
 * Every live claim that answers the question: {"matches":[{"feed","own","seq","kind","id","source","role","action","fields":[JSON
 * Pointers]}],"ask":[origins],"more":bool}. `action`: "erase" (the claim goes) or "remove" (the contact or other list element that holds it
 * goes, and its list if nothing else is in it) of own claims; "block" or "block-part" of others'; "reject" (with "submission"
 * instead of "seq") of what waits for an editor. Own claims whose `derived_from` names a claim that goes, go with it. Never shows a
 * value. New object. KAART_INVALID: the text is too short or long. Any connection.
 */
int subject_find(struct feeds *feeds, const struct subject_question *question, cJSON **report,
                 struct fault *fault);

/* The keys that sign an own feed. */
struct subject_keys {
    const char *feed;
    struct signing_key keys[2];
    size_t key_count;
};
/* Does what subject_find says, keeps the hashes (for a text), and adds "outcome" to each own match. Errors as of feeds_append; what was done before an error stays done, and
 * the same question can be asked again. Writing connection. */
int subject_erase(struct feeds *feeds, const struct subject_question *question,
                  const struct subject_keys *keys, size_t key_count, int64_t now_ms, cJSON **report,
                  struct fault *fault);

/*
 * The erasures that stand in own feeds, the newest of each first, of one record (kind and id) or all (NULL): {"erasures":[{"feed","epoch","seq","kind","id","source","at"}],
 * "more":bool}. Those that a raised floor dropped [CP-9] are not there any more. New object. Any connection.
 */
int subject_erasures(struct feeds *feeds, const char *kind, const char *id, cJSON **report,
                     struct fault *fault);

/*
 * Takes a block back: the value `text` is let in again, and others' claims that have it are shown again; own ones have to be said anew. A block by
 * a text that was only part of values kept those values, too: each is allowed by itself. KAART_UNKNOWN: it is not blocked. Writing connection.
 */
int subject_allow(struct feeds *feeds, const char *text, struct fault *fault);

#endif
