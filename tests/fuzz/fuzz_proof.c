/* fuzz_proof.c - any bytes as a proof of a claim or of equivocation. What verifies has one spelling. */
#include "protocol/proof.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static struct verifier_key key_of(const char *text)
{
    struct verifier_key key;
    struct fault fault;

    must(verifier_key_parse(text, strlen(text), &key, &fault) == KAART_OK);
    return key;
}

static void check_claim(const char *text, size_t size)
{
    struct verifier_key key = key_of(NIEUWEGEIN_KEY);
    struct claim_proof proof;
    struct fault fault;
    char *back;
    size_t back_size;

    if (claim_proof_verify(text, size, &key, 1, &proof, &fault) != KAART_OK) {
        must(fault.text[0] != '\0');
        return;
    }
    must(claim_proof_format(&proof, &back, &back_size) == KAART_OK);
    must(back_size == size && memcmp(back, text, size) == 0);
    free(back);
}

static void check_fork(const char *text, size_t size)
{
    struct verifier_key key = key_of(HOUTEN_KEY);
    struct fork_proof proof;
    struct fault fault;
    char *back;
    size_t back_size;

    if (fork_proof_verify(text, size, &key, 1, &proof, &fault) != KAART_OK) {
        must(fault.text[0] != '\0');
        return;
    }
    must(fork_proof_format(&proof, &back, &back_size) == KAART_OK);
    must(back_size == size && memcmp(back, text, size) == 0);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_claim((const char *)data, size);
    check_fork((const char *)data, size);
    return 0;
}
