/*
 * config_secret.c - files that only their owner may read: signing keys and tokens.
 *
 * The permission is checked on the open file, so that what was checked is what is read.
 */
#include "daemon/config/config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_private(const char *path, char *text, size_t capacity, size_t *size, struct fault *fault)
{
    int rc = 0;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return fault_set(fault, KAART_KEY, "%s cannot be read: %s", path, strerror(errno));
    if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) {
        rc = fault_set(fault, KAART_KEY, "%s is not a file", path);
        goto out;
    }
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        rc = fault_set(fault, KAART_KEY, "%s can be read by others than its owner; type: chmod 600 %s", path,
                       path);
        goto out;
    }
    *size = 0;
    for (ssize_t got = 1; got > 0 && *size < capacity; *size += (size_t)got)
        if ((got = read(file, text + *size, capacity - *size)) < 0) {
            rc = fault_set(fault, KAART_KEY, "%s cannot be read: %s", path, strerror(errno));
            goto out;
        }
    if (*size == capacity)
        rc = fault_set(fault, KAART_KEY, "%s is larger than a secret of one line", path);
out:
    close(file);
    return rc;
}

int config_read_secret(const char *path, char **secret, struct fault *fault)
{
    size_t size = 0;
    char *text = malloc(CONFIG_SECRET_SIZE_MAX + 1);
    if (!text)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    int rc = read_private(path, text, CONFIG_SECRET_SIZE_MAX, &size, fault);
    if (rc < 0)
        goto out;
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    text[size] = '\0';
    for (size_t i = 0; i < size && rc == 0; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
            rc = fault_set(fault, KAART_KEY, "%s is not one line without blanks", path);
    if (rc == 0 && size == 0)
        rc = fault_set(fault, KAART_KEY, "%s is empty", path);
    if (rc == 0) {
        *secret = text;
        text = NULL;
    }
out:
    if (text)
        OPENSSL_cleanse(text, CONFIG_SECRET_SIZE_MAX);
    free(text);
    return rc;
}

int config_read_signing_key(const char *path, struct signing_key *key, struct fault *fault)
{
    char text[SIGNING_KEY_TEXT_SIZE + 8];
    size_t size = 0;
    int rc = read_private(path, text, sizeof(text), &size, fault);
    if (rc == 0) {
        rc = signing_key_parse(text, size, key, fault);
        if (rc < 0)
            fault_prefix(fault, "%s", path);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return rc;
}
