/* test_policy_config.c - from the configuration to a policy, every error with its file and line. */
#include "daemon/config/policy_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *none[] = {NULL}, *here[] = {"GM0356", NULL}, *there[] = {"GM0321", NULL},
            *editor[] = {"editor", NULL}, *order[] = {"provider@home", "editor", NULL},
            *wrong[] = {"redacteur", NULL};
static char path[] = "kaartd.conf", peers[] = "peers.d/houten.conf";

static struct config_peer peer(char *name, int line)
{
    return (struct config_peer){
        .name = name, .areas = there, .roles = editor, .kinds = none, .file = peers, .line = line};
}

static void makes_a_policy(void **state)
{
    struct config_peer list[2] = {peer("houten.example", 3), peer("gone.example", 20)};
    struct config_group group = {
        .name = "contact", .order = order, .stale_after = "2 years", .file = path, .line = 9};
    struct config config = {.path = path, .peers = list, .peer_count = 2, .groups = &group, .group_count = 1};
    struct policy *policy = NULL;
    (void)state;
    config.node.name = "nieuwegein.example";
    config.node.areas = here;
    list[1].suspended = true;
    assert_int_equal(policy_from_config(&config, &policy, stderr), KAART_OK);
    const char *text = policy_text(policy, NULL);
    assert_non_null(strstr(text, "\ngroup contact stale-after=24m order=provider@home,editor\n"));
    assert_non_null(
        strstr(text, "\norigin nieuwegein.example areas=GM0356 roles=* kinds=* steward=yes suspended=no\n"
                     "origin houten.example areas=GM0321 roles=editor kinds=* steward=no suspended=no\n"
                     "origin gone.example areas=GM0321 roles=editor kinds=* steward=no suspended=yes\n"));
    policy_release(policy);
}

static void says_every_error(void **state)
{
    struct config_peer list[2] = {peer("houten.example", 3), peer("nieuwegein.example", 20)};
    struct config_group groups[2] = {{.name = "contact", .order = wrong, .file = path, .line = 9},
                                     {.name = "colour", .order = order, .file = path, .line = 12}};
    struct config config = {.path = path, .peers = list, .peer_count = 2, .groups = groups, .group_count = 2};
    struct policy *policy = NULL;
    char *text = NULL;
    size_t size;
    FILE *errors = open_memstream(&text, &size);
    (void)state;
    config.node.name = "nieuwegein.example";
    config.node.areas = here;
    list[0].areas = wrong;
    assert_int_equal(policy_from_config(&config, &policy, errors), KAART_INVALID);
    fclose(errors);
    assert_null(policy);
    assert_non_null(strstr(text, "kaartd.conf:9: group contact: unknown role \"redacteur\""));
    assert_non_null(strstr(text, "kaartd.conf:12: group colour: unknown group \"colour\""));
    assert_non_null(
        strstr(text, "peers.d/houten.conf:3: peer houten.example: area \"redacteur\" is not a CBS code"));
    assert_non_null(strstr(
        text,
        "peers.d/houten.conf:20: peer nieuwegein.example: origin \"nieuwegein.example\" is given twice"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_a_policy),
        cmocka_unit_test(says_every_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
