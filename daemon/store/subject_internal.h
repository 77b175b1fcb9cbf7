/*
 * subject_internal.h - what subject.c, subject_erase.c and the readers and writers of claims share.
 */
#ifndef KAARTD_STORE_SUBJECT_INTERNAL_H
#define KAARTD_STORE_SUBJECT_INTERNAL_H

#include "daemon/store/feeds_internal.h"
#include "daemon/store/subject.h"

enum subject_action {
    SUBJECT_NONE,
    SUBJECT_PART, /* elements of lists go */
    SUBJECT_ALL,  /* the claim goes */
};

/* What values are held against: a text that somebody asked for, or the hashes that were kept. */
struct subject_test {
    struct feeds *feeds;
    char *canonical; /* NULL: the kept hashes */
    bool telephone;
    bool keep; /* keep the hashes of what is hit; in a transaction */
    uint8_t key[HASH_SIZE];
    cJSON *fields; /* array for pointers, or NULL; borrowed */
    bool removed, failed;
};

/* The form under which values are compared; malloc'ed. */
char *subject_canonical(const char *text);
int subject_test_text(struct feeds *feeds, const char *text, struct subject_test *test, struct fault *fault);
/* From here on hashes of hits are kept, beginning with that of the text itself; in a transaction. The key must be there. */
int subject_test_keep(struct subject_test *test, const char *text, struct fault *fault);
/* *any false: nothing is blocked, and the test is not to be used. */
int subject_test_blocked(struct feeds *feeds, struct subject_test *test, bool *any, struct fault *fault);
/* Forgets the hash of a value; *was: it was kept. In a transaction. */
int subject_test_forget(struct subject_test *test, const char *value, bool *was, struct fault *fault);
void subject_test_clear(struct subject_test *test);
/* Makes the key, where there is none yet; outside a transaction. */
int subject_key_ensure(struct feeds *feeds, struct fault *fault);
/* Takes hits out of a body. */
enum subject_action subject_redact(struct subject_test *test, cJSON *body);

/* A line as it may be shown here: *shown NULL if it may be shown as it is, else malloc'ed: without blocked list elements, or a retraction. */
int subject_show(struct feeds *feeds, const char *line, size_t size, char **shown, struct fault *fault);
/* An own claim's body: *kept malloc'ed for SUBJECT_PART. */
int subject_filter(struct feeds *feeds, const char *body, char **kept, enum subject_action *action,
                   struct fault *fault);

#endif
