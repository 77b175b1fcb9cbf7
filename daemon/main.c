/*
 * main.c - kaartd: options, signals, the loop. What runs is in node.c.
 *
 *   start -> load configuration -> node_start -> loop --SIGHUP--> reload (errors keep the old one) -> loop
 *                                                     --SIGTERM or SIGINT--> node_stop -> exit 0
 */
#include "daemon/config/config.h"
#include "daemon/config/policy_config.h"
#include "daemon/log.h"
#include "daemon/node.h"

#include <curl/curl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#define DEFAULT_CONFIG "/etc/kaartd/kaartd.conf"

enum { EXIT_USAGE = 2 };

struct program {
    uv_loop_t loop;
    struct node *node;
    const char *config_path;
    uv_signal_t hangup, terminate, interrupt;
    bool stopping;
};

static void usage(FILE *to)
{
    fputs("usage: kaartd [-c FILE] [--check] [-v]\n"
          "\n"
          "  -c, --config FILE   configuration (default " DEFAULT_CONFIG ")\n"
          "      --check         check the configuration, print every error as file:line: message, exit 0 or "
          "1\n"
          "  -v, --verbose       log what is otherwise only counted\n"
          "      --version       print the version\n"
          "  -h, --help          this text\n"
          "\n"
          "Runs in the foreground. SIGHUP reloads the configuration and keeps the old one on error; SIGTERM "
          "ends cleanly.\n"
          "peers.example.conf explains the configuration; kaartctl talks to the running node.\n",
          to);
}

static int load(const char *path, struct config **config)
{
    int code = config_load(path, stderr, config);
    if (code != KAART_OK)
        return code;
    struct policy *policy = NULL;
    code = policy_from_config(*config, &policy, stderr);
    policy_release(policy);
    if (code != KAART_OK) {
        config_free(*config);
        *config = NULL;
    }
    return code;
}

static int check(const char *path)
{
    struct config *config = NULL;
    if (load(path, &config) != KAART_OK)
        return EXIT_FAILURE;
    printf("%s: ok: node %s, %zu feeds, %zu peers, %zu sources\n", path, config->node.name,
           config->feed_count, config->peer_count, config->source_count);
    config_free(config);
    return EXIT_SUCCESS;
}

static void on_hangup(uv_signal_t *signal, int number)
{
    (void)number;
    struct program *program = signal->data;
    if (program->stopping)
        return;
    struct config *config = NULL;
    struct fault fault = {{0}};
    if (load(program->config_path, &config) != KAART_OK)
        log_error("config", "%s has errors (see above); the former configuration stays in force",
                  program->config_path);
    else if (node_reload(program->node, config, &fault) != KAART_OK)
        log_error("config", "%s; the former configuration stays in force", fault.text);
    else
        log_info("config", "%s reloaded", program->config_path);
}

static void on_stopped(void *context)
{
    struct program *program = context;
    uv_close((uv_handle_t *)&program->hangup, NULL);
    uv_close((uv_handle_t *)&program->terminate, NULL);
    uv_close((uv_handle_t *)&program->interrupt, NULL);
}

static void on_terminate(uv_signal_t *signal, int number)
{
    struct program *program = signal->data;
    if (program->stopping) {
        log_warning("node", "second signal %d: leaving at once", number);
        _Exit(EXIT_FAILURE);
    }
    program->stopping = true;
    log_info("node", "stopping");
    node_stop(program->node, on_stopped, program);
}

static void watch_signals(struct program *program)
{
    struct {
        uv_signal_t *handle;
        uv_signal_cb callback;
        int number;
    } signals[] = {{&program->hangup, on_hangup, SIGHUP},
                   {&program->terminate, on_terminate, SIGTERM},
                   {&program->interrupt, on_terminate, SIGINT}};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        uv_signal_init(&program->loop, signals[i].handle);
        signals[i].handle->data = program;
        uv_signal_start(signals[i].handle, signals[i].callback, signals[i].number);
    }
}

static int run(const char *path)
{
    struct program program = {.config_path = path};
    struct config *config = NULL;
    struct fault fault = {{0}};
    int status = EXIT_FAILURE;
    if (load(path, &config) != KAART_OK)
        return EXIT_FAILURE;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    uv_loop_init(&program.loop);
    if (node_start(&program.loop, config, &program.node, &fault) != KAART_OK) {
        log_error("node", "%s", fault.text);
        goto cleanup;
    }
    config = NULL; /* the node's now */
    watch_signals(&program);
    uv_run(&program.loop, UV_RUN_DEFAULT);
    log_info("node", "stopped");
    status = EXIT_SUCCESS;
cleanup:
    uv_run(&program.loop, UV_RUN_DEFAULT);
    config_free(config);
    if (uv_loop_close(&program.loop) != 0)
        log_debug("node", "the loop still had handles at the end");
    curl_global_cleanup();
    return status;
}

int main(int argc, char **argv)
{
    enum { OPTION_CHECK = 256, OPTION_VERSION };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, OPTION_CHECK},
        {"verbose", no_argument, NULL, 'v'},      {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    const char *path = DEFAULT_CONFIG;
    bool only_check = false, verbose = false;
    int option;
    while ((option = getopt_long(argc, argv, "c:vh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case OPTION_CHECK:
            only_check = true;
            break;
        case 'v':
            verbose = true;
            break;
        case OPTION_VERSION:
            puts("kaartd " KAARTD_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            usage(stdout);
            return EXIT_SUCCESS;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "kaartd: what is '%s'?\n", argv[optind]);
        usage(stderr);
        return EXIT_USAGE;
    }
    umask(027);
    signal(SIGPIPE, SIG_IGN);
    log_init(verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, getenv("JOURNAL_STREAM") != NULL);
    return only_check ? check(path) : run(path);
}
