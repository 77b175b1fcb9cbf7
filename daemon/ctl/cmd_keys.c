/*
 * cmd_keys.c - keygen makes a feed's key; key shows the public halves and the section for other nodes' configurations.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/hash.h"
#include "protocol/note.h"
#include "protocol/syntax.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- keygen ---- */

/* Never overwrites; what was written stays only if all of it was. */
static int write_key(const char *path, const struct signing_key *key)
{
    char text[SIGNING_KEY_TEXT_SIZE + 1];
    int code = CTL_DONE;
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 && errno == EEXIST)
        return ctl_say(CTL_FAILED,
                       "%s exists already, and a key is never overwritten: name another file (during a "
                       "change of keys both are needed)",
                       path);
    if (file < 0)
        return ctl_say(CTL_FAILED, "%s cannot be made: %s", path, strerror(errno));
    signing_key_format(key, text);
    size_t size = strlen(text);
    text[size++] = '\n';
    if (fchmod(file, 0600) < 0 || write(file, text, size) != (ssize_t)size || fsync(file) < 0) {
        code = ctl_say(CTL_FAILED, "%s cannot be written: %s", path, strerror(errno));
        unlink(path);
    }
    close(file);
    OPENSSL_cleanse(text, sizeof(text));
    return code;
}

int ctl_keygen(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    char **words, verifier[VERIFIER_KEY_TEXT_SIZE];
    size_t count;
    uint8_t seed[ED25519_SIZE];
    struct signing_key key;
    struct fault fault;
    int code = ctl_read_options(ctl, command, argc, argv, NULL, 0, 2, 2, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (!syntax_is_feed(words[0], strlen(words[0])))
        return ctl_say(CTL_USAGE,
                       "\"%s\" is not a feed: the node's name, a slash and the audience, as in "
                       "nieuwegein.example/public",
                       words[0]);
    if (RAND_priv_bytes(seed, sizeof(seed)) != 1)
        return ctl_say(CTL_FAILED, "the system gives no random numbers");
    code = signing_key_from_seed(words[0], seed, &key, &fault) == 0 ? write_key(words[1], &key)
                                                                    : ctl_say(CTL_FAILED, "%s", fault.text);
    OPENSSL_cleanse(seed, sizeof(seed));
    OPENSSL_cleanse(key.seed, sizeof(key.seed));
    if (code != CTL_DONE)
        return code;
    verifier_key_format(&key.verifier, verifier);
    if (ctl->json) {
        cJSON *json = cJSON_CreateObject();
        cJSON_AddStringToObject(json, "feed", words[0]);
        cJSON_AddStringToObject(json, "file", words[1]);
        cJSON_AddStringToObject(json, "verifierKey", verifier);
        return ctl_print_json(json);
    }
    puts(verifier);
    if (isatty(STDERR_FILENO))
        fprintf(
            stderr,
            "The secret half is in %s. Keep a copy of it off this machine, and nobody else's hands on it.\n",
            words[1]);
    return CTL_DONE;
}

/* ---- key ---- */

/* "sha256/BASE64" of the certificate's public key; false if the file holds none. */
static bool pin_of(const char *certificate, char pin[64])
{
    struct hash hash;
    unsigned char *bytes = NULL;
    FILE *file = certificate ? fopen(certificate, "r") : NULL;
    X509 *x509 = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    int size = x509 ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &bytes) : -1;
    struct hasher *hasher = size > 0 ? hasher_new() : NULL;
    bool done = hasher && hasher_digest(hasher, bytes, (size_t)size, &hash) == 0;
    if (done) {
        strcpy(pin, "sha256/");
        base64_encode(hash.bytes, HASH_SIZE, pin + 7);
    }
    hasher_free(hasher);
    OPENSSL_free(bytes);
    X509_free(x509);
    if (file)
        fclose(file);
    return done;
}

static cJSON *describe_keys(const struct config *config)
{
    char text[VERIFIER_KEY_TEXT_SIZE], pin[64];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "peer", config->node.name);
    cJSON *keys = cJSON_AddArrayToObject(json, "feedKeys"), *pins = cJSON_AddArrayToObject(json, "tlsPins"),
          *client = cJSON_AddArrayToObject(json, "clientPins"),
          *areas = cJSON_AddArrayToObject(json, "areas");
    for (size_t i = 0; i < config->feed_count; i++) {
        verifier_key_format(&config->feeds[i].key.verifier, text);
        cJSON_AddItemToArray(keys, cJSON_CreateString(text));
        verifier_key_format(&config->feeds[i].next_key.verifier, text);
        if (config->feeds[i].next_key_path)
            cJSON_AddItemToArray(keys, cJSON_CreateString(text));
    }
    for (size_t i = 0; i < config->listen_count; i++)
        if (pin_of(config->listens[i].tls_certificate, pin))
            cJSON_AddItemToArray(pins, cJSON_CreateString(pin));
    if (pin_of(config->node.client_certificate, pin))
        cJSON_AddItemToArray(client, cJSON_CreateString(pin));
    for (char **area = config->node.areas; *area; area++)
        cJSON_AddItemToArray(areas, cJSON_CreateString(*area));
    return json;
}

static void print_list(const char *name, const cJSON *list, const char *comment)
{
    if (!list->child)
        return;
    printf("  %s = {", name);
    for (const cJSON *item = list->child; item; item = item->next)
        printf(" \"%s\"%s", item->valuestring, item->next ? "," : "");
    printf(" }%s\n", comment);
}

static void print_section(const cJSON *json)
{
    const char *name = cJSON_GetObjectItemCaseSensitive(json, "peer")->valuestring;
    printf(
        "# %s, for the configuration of other nodes: a file of its own in their include-dir, say %s.conf.\n"
        "# Hand it over by a way you both trust, or compare the keys by telephone.\n"
        "peer %s {\n"
        "  url = \"https://HOST:PORT\"   # to be filled in: where others reach this node\n",
        name, name, name);
    print_list("feed-keys", cJSON_GetObjectItemCaseSensitive(json, "feedKeys"), "");
    print_list("tls-pins", cJSON_GetObjectItemCaseSensitive(json, "tlsPins"),
               "   # instead of the system's CAs; leave out if its certificate is from one of them");
    print_list("client-pins", cJSON_GetObjectItemCaseSensitive(json, "clientPins"), "");
    print_list("areas", cJSON_GetObjectItemCaseSensitive(json, "areas"),
               "   # what it is to speak for: yours to decide");
    puts("}");
}

int ctl_key(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    char **words;
    size_t count;
    struct config *config = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, NULL, 0, 0, 0, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (config_load(ctl->config_path, stderr, &config) < 0)
        return ctl_say(
            CTL_FAILED,
            "the configuration cannot be used; it names the keys (to read them, be root or the user kaartd)");
    cJSON *json = describe_keys(config);
    if (config->feed_count == 0) {
        code = ctl_say(
            CTL_FAILED,
            "%s has no feed section, so this node has no keys; make one with kaartctl keygen %s/public FILE",
            ctl->config_path, config->node.name);
        cJSON_Delete(json);
    } else if (ctl->json) {
        code = ctl_print_json(json);
    } else {
        print_section(json);
        cJSON_Delete(json);
    }
    config_free(config);
    return code;
}
