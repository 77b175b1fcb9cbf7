/* replay.c - runs a fuzz target once for each file named, where there is no libFuzzer: `fuzz_entry FILE...` */
#include "tests/fuzz/fuzz.h"

#include <string.h>

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    int code = 1;

    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0) {
        rewind(file);
        data = malloc((size_t)size + 1);
    }
    if (data && fread(data, 1, (size_t)size, file) == (size_t)size) {
        /* exactly as large as the input, so that a read beyond it is seen */
        uint8_t *exact = malloc((size_t)size ? (size_t)size : 1);

        if (exact) {
            memcpy(exact, data, (size_t)size);
            code = LLVMFuzzerTestOneInput(exact, (size_t)size);
        }
        free(exact);
    }
    if (code)
        fprintf(stderr, "%s: cannot be read\n", path);
    free(data);
    if (file)
        fclose(file);
    return code;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%d inputs\n", argc - 1);
    return failed;
}
