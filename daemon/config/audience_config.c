/*
 * audience_config.c - see audience_config.h.
 */
#include "daemon/config/audience_config.h"

#include "protocol/record.h"

#include <string.h>

int audiences_from_config(const struct config *config, struct audiences *out)
{
    out->count = 0;
    int code = audiences_add(out, AUDIENCE_PUBLIC);
    for (size_t i = 0; i < config->feed_count && !code; i++)
        code = audiences_add(out, config->feeds[i].audience);
    for (size_t i = 0; i < config->peer_count; i++)
        for (size_t k = 0; k < config->peers[i].feed_key_count && !code; k++) {
            const char *slash = strchr(config->peers[i].feed_keys[k].name, '/');
            code = slash ? audiences_add(out, slash + 1) : KAART_OK;
        }
    return code;
}
