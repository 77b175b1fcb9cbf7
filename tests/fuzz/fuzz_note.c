/* fuzz_note.c - any bytes as a note, a checkpoint's text, a key; and as a text to be signed. */
#include "protocol/checkpoint.h"
#include "protocol/note.h"
#include "protocol/syntax.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* A key text that is taken has one spelling. */
static void check_keys(const char *text, size_t size)
{
    char back[SIGNING_KEY_TEXT_SIZE];
    struct verifier_key verifier;
    struct signing_key signing;
    struct fault fault;

    if (size > 0 && text[size - 1] == '\n')
        size--;
    if (verifier_key_parse(text, size, &verifier, &fault) == KAART_OK) {
        verifier_key_format(&verifier, back);
        must(strlen(back) == size && memcmp(back, text, size) == 0);
    }
    if (signing_key_parse(text, size, &signing, &fault) == KAART_OK) {
        signing_key_format(&signing, back);
        must(strlen(back) == size && memcmp(back, text, size) == 0);
    }
}

/* A checkpoint that is taken has one spelling. */
static void check_checkpoint(const char *text, size_t size)
{
    char back[CHECKPOINT_TEXT_MAX];
    struct checkpoint checkpoint;
    struct fault fault;

    if (checkpoint_parse(text, size, &checkpoint, &fault) != KAART_OK)
        return;
    must(checkpoint_format(&checkpoint, back) == size && memcmp(back, text, size) == 0);
    must(checkpoint_compare(&checkpoint, &checkpoint) == CHECKPOINT_SAME);
}

/* What can be signed opens under the key, and says the same. */
static void check_signing(const char *text, size_t size)
{
    static const uint8_t seed[ED25519_SIZE] = {1};
    struct signing_key key;
    struct fault fault;
    char *note;
    size_t note_size, text_size;

    must(signing_key_from_seed("houten.example/public", seed, &key, &fault) == KAART_OK);
    if (note_sign(text, size, &key, 1, &note, &note_size, &fault) != KAART_OK)
        return;
    must(note_open(note, note_size, &key.verifier, 1, &text_size, &fault) == KAART_OK);
    must(text_size == size && memcmp(note, text, size) == 0);
    free(note);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct verifier_key key;
    struct fault fault;
    size_t text_size;

    must(verifier_key_parse(HOUTEN_KEY, strlen(HOUTEN_KEY), &key, &fault) == KAART_OK);
    if (note_open(text, size, &key, 1, &text_size, &fault) == KAART_OK) {
        must(text_size > 0 && text_size < size && text[text_size - 1] == '\n' && text[text_size] == '\n');
        must(syntax_is_utf8(text, size));
        check_checkpoint(text, text_size);
    } else {
        must(fault.text[0] != '\0');
    }
    check_checkpoint(text, size);
    check_keys(text, size);
    if (size % 8 == 0) /* signing is slow, and this suffices */
        check_signing(text, size);
    return 0;
}
