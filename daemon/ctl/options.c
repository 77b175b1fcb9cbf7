/*
 * options.c - command lines, and what kaartctl says when they are wrong.
 */
#include "daemon/ctl/ctl.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 24
enum { OPTION_JSON = 1000, OPTION_HELP, OPTION_CONFIG, OPTION_FIRST };

int ctl_say(int code, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "kaartctl: %s\n", ctl_text_clean(text));
    return code;
}

void ctl_print_help(const struct ctl_command *command, FILE *out)
{
    fprintf(out, "usage: kaartctl [-c FILE] [--json] %s%s%s\n\n%s\n", command->name,
            *command->arguments ? " " : "", command->arguments, command->summary);
    if (*command->help)
        fprintf(out, "\n%s", command->help);
}

static int usage(const struct ctl_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int usage(const struct ctl_command *command, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "kaartctl %s: %s\nusage: kaartctl %s%s%s (more: kaartctl %s --help)\n", command->name,
            ctl_text_clean(text), command->name, *command->arguments ? " " : "", command->arguments,
            command->name);
    return CTL_USAGE;
}

static int take_option(struct ctl *ctl, const struct ctl_command *command, int code, const char *written,
                       const struct ctl_option *options)
{
    switch (code) {
    case OPTION_JSON:
        ctl->json = true;
        return CTL_DONE;
    case OPTION_HELP:
    case 'h':
        ctl_print_help(command, stdout);
        return CTL_HELP_SHOWN;
    case OPTION_CONFIG:
    case 'c':
        ctl->config_path = optarg;
        return CTL_DONE;
    case ':':
        return usage(command, "%s wants a value", written);
    case '?':
        return usage(command, "%s is no option of it", written);
    default:
        break;
    }
    const struct ctl_option *option = &options[code - OPTION_FIRST];
    if (option->type == CTL_FLAG) {
        *(bool *)option->target = true;
    } else if (option->type == CTL_LIST) {
        const char **list = option->target;
        size_t count = 0;
        while (count < CTL_LIST_MAX && list[count])
            count++;
        if (count == CTL_LIST_MAX)
            return usage(command, "--%s is given more than %d times", option->name, CTL_LIST_MAX);
        list[count] = optarg;
    } else {
        *(const char **)option->target = optarg;
    }
    return CTL_DONE;
}

int ctl_read_options(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
                     const struct ctl_option *options, size_t option_count, size_t min, size_t max,
                     char ***rest, size_t *rest_count)
{
    struct option known[OPTIONS_MAX + 4] = {{"json", no_argument, NULL, OPTION_JSON},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {"config", required_argument, NULL, OPTION_CONFIG}};
    for (size_t i = 0; i < option_count && i < OPTIONS_MAX; i++)
        known[3 + i] =
            (struct option){options[i].name, options[i].type == CTL_FLAG ? no_argument : required_argument,
                            NULL, OPTION_FIRST + (int)i};
    optind = 0;
    opterr = 0;
    for (;;) {
        int before = optind > 0 ? optind : 1;
        int code = getopt_long(argc, argv, ":hc:", known, NULL);
        if (code == -1)
            break;
        int result = take_option(ctl, command, code, argv[optind > before ? optind - 1 : before], options);
        if (result != CTL_DONE)
            return result;
    }
    *rest = argv + optind;
    *rest_count = (size_t)(argc - optind);
    if (*rest_count < min)
        return usage(command, "something is missing");
    if (*rest_count > max)
        return usage(command, "\"%s\" is too much", (*rest)[max]);
    return CTL_DONE;
}

const struct config *ctl_config(struct ctl *ctl)
{
    if (ctl->config || config_load_node(ctl->config_path, stderr, &ctl->config) == 0)
        return ctl->config;
    if (ctl->config)
        ctl_say(CTL_FAILED,
                "the configuration has errors; a running kaartd goes on with what it had loaded before");
    else
        ctl_say(CTL_FAILED, "the configuration cannot be used; name another with -c FILE");
    return ctl->config;
}
