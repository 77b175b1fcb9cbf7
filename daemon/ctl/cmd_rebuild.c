/*
 * cmd_rebuild.c - kaartctl rebuild: the map is derived, so it can be made again at any time.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"

#include <time.h>
#include <unistd.h>

#define POLL_MS 200

/* Whether every map has caught up; *claims: how many the public one has so far. */
static int look(struct ctl *ctl, bool *done, double *claims)
{
    cJSON *status = NULL;
    int code = ctl_ask(ctl, "GET", "status", NULL, 0, &status);
    if (code != CTL_DONE)
        return code;
    const cJSON *map = json_get(status, "map"), *count = json_get(map, "claims"), *other;
    *done = cJSON_IsTrue(json_get(map, "caughtUp"));
    *claims = cJSON_IsNumber(count) ? count->valuedouble : 0;
    cJSON_ArrayForEach(other, json_get(status, "maps"))
    {
        if (cJSON_IsObject(other) && !cJSON_IsTrue(json_get(other, "caughtUp")))
            *done = false;
    }
    cJSON_Delete(status);
    return CTL_DONE;
}

static int wait_for_maps(struct ctl *ctl)
{
    const struct timespec pause = {0, POLL_MS * 1000000L};
    bool done = false, terminal = isatty(STDERR_FILENO);
    double claims = 0;
    char text[32];
    for (;;) {
        int code = look(ctl, &done, &claims);
        if (code != CTL_DONE)
            return code;
        if (terminal)
            fprintf(stderr, "\r%s claims", ctl_count(claims, text));
        if (done)
            break;
        nanosleep(&pause, NULL);
    }
    if (terminal)
        fputc('\n', stderr);
    if (!ctl->json)
        printf("the map is made again, of %s claims\n", ctl_count(claims, text));
    return CTL_DONE;
}

int ctl_rebuild(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    bool wait = false;
    const struct ctl_option options[] = {{"wait", CTL_FLAG, &wait}};
    char **words;
    size_t count;
    cJSON *answer = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, 1, 0, 0, &words, &count);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, "POST", "rebuild", NULL, 0, &answer);
    if (code != CTL_DONE)
        return code;
    if (wait)
        code = wait_for_maps(ctl);
    else if (!ctl->json)
        puts("begun; kaartctl status shows how far it is (or rebuild --wait)");
    if (ctl->json)
        return code == CTL_DONE ? ctl_print_json(answer) : code;
    cJSON_Delete(answer);
    return code;
}
