/*
 * proof.c - proofs of a claim and of equivocation, as text. The formats are in proof.h.
 */
#include "protocol/proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char claim_format[] = "kaartd-proof/v1";
static const char fork_format[] = "kaartd-fork/v1";

/* base64 of a hash */
#define HASH_TEXT_SIZE 44

static const struct hash zero;

/* ---- writing ---- */

/* Grows by realloc; a failure stays and is looked at once. */
struct writer {
    char *text;
    size_t size, capacity;
    bool failed;
};

static void put(struct writer *writer, const char *bytes, size_t size)
{
    if (!writer->failed && writer->capacity - writer->size <= size) {
        size_t capacity = writer->size + size + 4096;
        char *text = realloc(writer->text, capacity);

        writer->failed = !text;
        if (text) {
            writer->text = text;
            writer->capacity = capacity;
        }
    }
    if (writer->failed)
        return;
    memcpy(writer->text + writer->size, bytes, size);
    writer->size += size;
}

static void put_text(struct writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

/* "label N LF" */
static void put_number(struct writer *writer, const char *label, uint64_t number)
{
    char text[64];
    int size = snprintf(text, sizeof text, "%s %llu\n", label, (unsigned long long)number);

    put(writer, text, (size_t)size);
}

/* "label base64 LF" */
static void put_hash(struct writer *writer, const char *label, const struct hash *hash)
{
    char text[HASH_TEXT_SIZE + 2];
    size_t size = base64_encode(hash->bytes, HASH_SIZE, text);

    text[size++] = '\n';
    put_text(writer, label);
    put(writer, " ", 1);
    put(writer, text, size);
}

/* "label H base64 LF" for each sibling that is not zero */
static void put_siblings(struct writer *writer, const char *label, const struct hash siblings[TREE_HEIGHT])
{
    for (int i = 0; i < TREE_HEIGHT; i++) {
        char text[64];

        if (hash_is_zero(&siblings[i]))
            continue;
        snprintf(text, sizeof text, "%s %d", label, i);
        put_hash(writer, text, &siblings[i]);
    }
}

static int finish(struct writer *writer, char **text, size_t *size)
{
    put(writer, "", 1);
    if (writer->failed) {
        free(writer->text);
        return KAART_NOMEM;
    }
    *text = writer->text;
    *size = writer->size - 1;
    return KAART_OK;
}

int claim_proof_format(const struct claim_proof *proof, char **text, size_t *size)
{
    struct writer writer = {.size = 0};

    put_text(&writer, claim_format);
    put(&writer, "\n", 1);
    put_number(&writer, "position", proof->position);
    if (proof->line.data) {
        put_text(&writer, "entry ");
        put(&writer, proof->line.data, proof->line.size);
        put(&writer, "\n", 1);
    } else {
        put_text(&writer, "dead\n");
    }
    put_siblings(&writer, "sibling", proof->siblings);
    put(&writer, "\n", 1);
    put(&writer, proof->note.data, proof->note.size);
    return finish(&writer, text, size);
}

int fork_proof_format(const struct fork_proof *proof, char **text, size_t *size)
{
    struct writer writer = {.size = 0};

    put_text(&writer, fork_format);
    put(&writer, "\n", 1);
    put_number(&writer, "shorter", proof->shorter.note.size);
    put(&writer, proof->shorter.note.data, proof->shorter.note.size);
    put_number(&writer, "longer", proof->longer.note.size);
    put(&writer, proof->longer.note.data, proof->longer.note.size);
    if (proof->with_position) {
        put_number(&writer, "position", proof->position);
        put_hash(&writer, "shorter-leaf", &proof->shorter.leaf);
        put_siblings(&writer, "shorter-sibling", proof->shorter.siblings);
        put_hash(&writer, "longer-leaf", &proof->longer.leaf);
        put_siblings(&writer, "longer-sibling", proof->longer.siblings);
    }
    return finish(&writer, text, size);
}

/* ---- reading ---- */

/* A cursor over the text whose first fault stays. */
struct reader {
    const char *at, *end;
    const char *wrong; /* what was not as it must be */
};

static bool begins_with(const struct reader *reader, const char *label)
{
    size_t size = strlen(label);

    return !reader->wrong && (size_t)(reader->end - reader->at) >= size &&
           memcmp(reader->at, label, size) == 0;
}

/* The rest of the line behind `label`, which includes the space. */
static struct span take_line(struct reader *reader, const char *label)
{
    struct span value = {"", 0};
    const char *newline =
        reader->at < reader->end ? memchr(reader->at, '\n', (size_t)(reader->end - reader->at)) : NULL;

    if (!newline || !begins_with(reader, label)) {
        if (!reader->wrong)
            reader->wrong = label;
        return value;
    }
    value.data = reader->at + strlen(label);
    value.size = (size_t)(newline - value.data);
    reader->at = newline + 1;
    return value;
}

static uint64_t take_number(struct reader *reader, const char *label, uint64_t max)
{
    struct span value = take_line(reader, label);
    uint64_t number = 0;

    if (!reader->wrong && syntax_decimal_parse(value.data, value.size, max, &number) != KAART_OK)
        reader->wrong = label;
    return number;
}

static void read_hash(struct reader *reader, const char *label, struct span value, struct hash *out)
{
    size_t size = HASH_SIZE;

    if (!reader->wrong &&
        (base64_decode(value.data, value.size, out->bytes, &size) != KAART_OK || size != HASH_SIZE))
        reader->wrong = label;
}

/* Lines "label H base64", H increasing. One spelling only: a zero sibling is left out [PROOF-2]. */
static void take_siblings(struct reader *reader, const char *label, struct hash siblings[TREE_HEIGHT])
{
    uint64_t least = 0;

    memset(siblings, 0, TREE_HEIGHT * sizeof *siblings);
    while (begins_with(reader, label)) {
        struct span value = take_line(reader, label);
        const char *space = value.size ? memchr(value.data, ' ', value.size) : NULL;
        uint64_t height = 0;

        if (!space ||
            syntax_decimal_parse(value.data, (size_t)(space - value.data), TREE_HEIGHT - 1, &height) ||
            height < least) {
            reader->wrong = label;
            return;
        }
        value.size -= (size_t)(space + 1 - value.data);
        value.data = space + 1;
        read_hash(reader, label, value, &siblings[height]);
        if (!reader->wrong && hash_is_zero(&siblings[height]))
            reader->wrong = label;
        least = height + 1;
    }
}

/* "label SIZE LF" and that many bytes */
static struct span take_note(struct reader *reader, const char *label)
{
    struct span note = {"", 0};
    uint64_t size = take_number(reader, label, NOTE_SIZE_MAX);

    if (!reader->wrong && size > (uint64_t)(reader->end - reader->at))
        reader->wrong = label;
    if (reader->wrong)
        return note;
    note.data = reader->at;
    note.size = (size_t)size;
    reader->at += size;
    return note;
}

/* Begins to read; the line that names the format is taken. */
static int begin(struct reader *reader, const char *text, size_t size, const char *format,
                 struct fault *fault)
{
    reader->at = text;
    reader->end = text + size;
    reader->wrong = NULL;
    if (size > PROOF_SIZE_MAX)
        return fault_set(fault, KAART_LIMIT, "proof: more than %d bytes [PROOF-6]", PROOF_SIZE_MAX);
    if (take_line(reader, format).size != 0 || reader->wrong)
        return fault_set(fault, KAART_SYNTAX, "proof: does not begin with %s", format);
    return KAART_OK;
}

static int malformed(const struct reader *reader, struct fault *fault)
{
    return fault_set(fault, KAART_SYNTAX, "proof: the line \"%s\" is missing or malformed [PROOF-2]",
                     reader->wrong);
}

/* ---- verifying ---- */

static int open_note(struct span note, const struct verifier_key *keys, size_t key_count,
                     struct checkpoint *out, struct fault *fault)
{
    if (key_count == 0)
        return fault_set(fault, KAART_KEY, "proof: no key to verify it with");
    return checkpoint_open(note.data, note.size, keys[0].name, keys, key_count, out, fault);
}

/* Whether leaf and siblings lead to the signed root [TREE-4]. */
static int check_path(struct hasher *hasher, uint64_t position, const struct hash *leaf,
                      const struct hash siblings[TREE_HEIGHT], const struct checkpoint *checkpoint,
                      struct fault *fault)
{
    struct hash root;

    if (tree_root_of_path(hasher, position, leaf, siblings, &root) != KAART_OK)
        return fault_set(fault, KAART_NOMEM, "proof: out of memory");
    if (!hash_equal(&root, &checkpoint->root))
        return fault_set(fault, KAART_ROOT,
                         "proof: leaf and siblings of position %llu do not lead to the signed root [TREE-5]",
                         (unsigned long long)position);
    return KAART_OK;
}

static int read_claim(struct reader *reader, struct claim_proof *out, struct fault *fault)
{
    out->position = take_number(reader, "position ", SEQ_MAX);
    out->line = (struct span){NULL, 0};
    if (begins_with(reader, "dead\n"))
        reader->at += 5;
    else
        out->line = take_line(reader, "entry ");
    take_siblings(reader, "sibling ", out->siblings);
    if (!reader->wrong && !begins_with(reader, "\n"))
        reader->wrong = "sibling ";
    if (reader->wrong)
        return malformed(reader, fault);
    out->note = (struct span){reader->at + 1, (size_t)(reader->end - reader->at - 1)};
    if (!out->line.data)
        return KAART_OK;
    if (entry_parse(out->line.data, out->line.size, &out->entry, fault) != KAART_OK) {
        fault_prefix(fault, "proof");
        return KAART_SYNTAX;
    }
    if (out->entry.seq != out->position)
        return fault_set(fault, KAART_SYNTAX, "proof: entry %llu at position %llu [PROOF-1]",
                         (unsigned long long)out->entry.seq, (unsigned long long)out->position);
    return KAART_OK;
}

int claim_proof_verify(const char *text, size_t size, const struct verifier_key *keys, size_t key_count,
                       struct claim_proof *out, struct fault *fault)
{
    struct hasher *hasher = NULL;
    struct hash leaf = zero;
    struct reader reader;
    int code;

    memset(out, 0, sizeof *out);
    code = begin(&reader, text, size, claim_format, fault);
    if (code == KAART_OK)
        code = read_claim(&reader, out, fault);
    if (code == KAART_OK)
        code = open_note(out->note, keys, key_count, &out->checkpoint, fault);
    if (code != KAART_OK)
        return code;
    hasher = hasher_new();
    if (!hasher || (out->line.data && hasher_leaf(hasher, out->line.data, out->line.size, &leaf) != KAART_OK))
        code = fault_set(fault, KAART_NOMEM, "proof: out of memory");
    else
        code = check_path(hasher, out->position, &leaf, out->siblings, &out->checkpoint, fault);
    hasher_free(hasher);
    return code;
}

static int read_fork(struct reader *reader, struct fork_proof *out, struct fault *fault)
{
    out->shorter.note = take_note(reader, "shorter ");
    out->longer.note = take_note(reader, "longer ");
    out->with_position = begins_with(reader, "position ");
    if (out->with_position) {
        out->position = take_number(reader, "position ", SEQ_MAX);
        read_hash(reader, "shorter-leaf ", take_line(reader, "shorter-leaf "), &out->shorter.leaf);
        take_siblings(reader, "shorter-sibling ", out->shorter.siblings);
        read_hash(reader, "longer-leaf ", take_line(reader, "longer-leaf "), &out->longer.leaf);
        take_siblings(reader, "longer-sibling ", out->longer.siblings);
    }
    if (!reader->wrong && reader->at != reader->end)
        reader->wrong = out->with_position ? "longer-sibling " : "position ";
    return reader->wrong ? malformed(reader, fault) : KAART_OK;
}

/* [DEATH-2] (a) to (c) */
static int check_heads(const struct fork_proof *proof, struct fault *fault)
{
    if (checkpoint_compare(&proof->shorter.checkpoint, &proof->longer.checkpoint) == CHECKPOINT_FORK)
        return KAART_OK;
    return fault_set(fault, KAART_INVALID,
                     "proof: both notes are genuine, but can be of one history [DEATH-2]");
}

/* [DEATH-2] (d), as [PROOF-5] has it */
static int check_position(const struct fork_proof *proof, struct fault *fault)
{
    const struct fork_side *shorter = &proof->shorter, *longer = &proof->longer;
    struct hasher *hasher = hasher_new();
    int code;

    if (!hasher)
        return fault_set(fault, KAART_NOMEM, "proof: out of memory");
    code =
        check_path(hasher, proof->position, &shorter->leaf, shorter->siblings, &shorter->checkpoint, fault);
    if (code == KAART_OK)
        code =
            check_path(hasher, proof->position, &longer->leaf, longer->siblings, &longer->checkpoint, fault);
    hasher_free(hasher);
    if (code != KAART_OK)
        return code;
    if (proof->position >= shorter->checkpoint.size || hash_is_zero(&longer->leaf) ||
        hash_equal(&shorter->leaf, &longer->leaf))
        return fault_set(fault, KAART_INVALID,
                         "proof: both paths are genuine, but position %llu can only have died "
                         "[DEATH-1]",
                         (unsigned long long)proof->position);
    return KAART_OK;
}

int fork_proof_verify(const char *text, size_t size, const struct verifier_key *keys, size_t key_count,
                      struct fork_proof *out, struct fault *fault)
{
    struct reader reader;
    int code;

    memset(out, 0, sizeof *out);
    code = begin(&reader, text, size, fork_format, fault);
    if (code == KAART_OK)
        code = read_fork(&reader, out, fault);
    if (code == KAART_OK)
        code = open_note(out->shorter.note, keys, key_count, &out->shorter.checkpoint, fault);
    if (code == KAART_OK)
        code = open_note(out->longer.note, keys, key_count, &out->longer.checkpoint, fault);
    if (code != KAART_OK)
        return code;
    if (out->shorter.checkpoint.epoch != out->longer.checkpoint.epoch)
        return fault_set(fault, KAART_INVALID, "proof: the notes are of different epochs [PROOF-4]");
    if (out->shorter.checkpoint.size > out->longer.checkpoint.size)
        return fault_set(fault, KAART_SYNTAX, "proof: the shorter one is longer [PROOF-4]");
    return out->with_position ? check_position(out, fault) : check_heads(out, fault);
}
