/* fuzz.h - what the fuzz targets share. Each is one function that libFuzzer calls, or replay.c with files. */
#ifndef KAARTD_TESTS_FUZZ_H
#define KAARTD_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that holds whatever the input. */
#define must(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                    \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* The verifier keys of spec/vectors, so that its notes are seeds that open. */
#define HOUTEN_KEY "houten.example/public+a8ab48dc+AcDWzR0J8BEwvPGL3+3I3cIbvp3pi2J2OAoUsL2xM+3p"
#define NIEUWEGEIN_KEY "nieuwegein.example/public+51628027+ARcQd5dYVGm5FFEcFKiGDiBrqfR7THQGgwnGYtv7/GH0"

#endif
