/*
 * policy_config.c - from the configuration to a policy. spec/resolution.md [POL-5].
 */
#include "daemon/config/policy_config.h"

static int say(FILE *errors, const char *file, int line, const char *what, const char *name,
               const struct fault *fault)
{
    fprintf(errors, "%s:%d: %s %s: %s\n", file ? file : "configuration", line, what, name, fault->text);
    return KAART_INVALID;
}

static const char *const *list(char **words)
{
    return (const char *const *)words;
}

int policy_from_config(const struct config *config, struct policy **out, FILE *errors)
{
    struct fault fault = {""};
    struct policy_builder *builder = policy_builder_new();
    int result = KAART_OK;
    if (!builder) {
        fputs("out of memory\n", errors);
        return KAART_NOMEM;
    }
    for (size_t i = 0; i < config->group_count; i++) {
        const struct config_group *group = &config->groups[i];
        if (policy_builder_group(builder, group->name, list(group->order), group->stale_after, &fault))
            result = say(errors, group->file, group->line, "group", group->name, &fault);
    }
    if (policy_builder_origin(builder, config->node.name, list(config->node.areas), NULL, NULL, true, false,
                              &fault))
        result = say(errors, config->path, 1, "node", config->node.name, &fault);
    for (size_t i = 0; i < config->peer_count; i++) {
        const struct config_peer *peer = &config->peers[i];
        if (policy_builder_origin(builder, peer->name, list(peer->areas), list(peer->roles),
                                  list(peer->kinds), peer->steward, peer->suspended, &fault))
            result = say(errors, peer->file, peer->line, "peer", peer->name, &fault);
    }
    if (result == KAART_OK) {
        result = policy_builder_finish(builder, out, &fault);
        if (result)
            fprintf(errors, "policy: %s\n", fault.text);
    }
    policy_builder_free(builder);
    return result;
}
