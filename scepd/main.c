/* scepd: the arguments, the configuration, then the daemon. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ca/keyfile.h"
#include "config/config_live.h"
#include "console/console.h"
#include "scepd/daemon.h"
#include "scepd/memory.h"
#include "store/store.h"

/* Exit codes that scepctl has as well. */
enum { EXIT_USAGE = 2, EXIT_PROBLEMS = 7 };

struct arguments {
    const char *config, *listen, *console;
    bool check;
};

static const char help[] =
    "usage: scepd [-c FILE] [--listen ADDRESS:PORT]\n"
    "       scepd [-c FILE] --check-config\n"
    "\n"
    "The SCEP daemon; stays in the foreground and logs to stderr.\n"
    "\n"
    "  -c, --config FILE       the configuration; else $SCEPD_CONF, $SCEPD_HOME/scepd.conf,\n"
    "                          /etc/scepd/scepd.conf\n"
    "      --listen ADDR:PORT  instead of listen.address and listen.port\n"
    "      --console-dir DIR   the console's files from there, as they are now: for work on them\n"
    "      --check-config      tells every mistake in the configuration; exit code 7 if there is "
    "one\n"
    "      --version\n"
    "  -h, --help\n";

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"listen", required_argument, NULL, 'l'},
        {"check-config", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"console-dir", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            out->config = optarg;
            break;
        case 'l':
            out->listen = optarg;
            break;
        case 'd':
            out->console = optarg;
            break;
        case 'k':
            out->check = true;
            break;
        case 'v':
            printf("scepd %s\n", SCEPD_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            fputs(help, stdout);
            return EXIT_SUCCESS;
        default:
            fprintf(stderr, "fix: scepd --help lists the options\n");
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "scepd: unexpected argument \"%s\"\nfix: scepd --help lists the options\n",
                argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

static void complain(void *count, const char *message)
{
    ++*(unsigned *)count;
    fprintf(stderr, "%s\n", message);
}

static void warn(void *count, const char *message)
{
    fprintf(stderr, "warning: %s\n", message);
}

static int check(const struct config *c, const char *file, unsigned problems)
{
    if (c)
        daemon_check(c, complain, warn, &problems);
    if (problems) {
        fprintf(stderr, "%s: %u problem%s\n", file, problems, problems == 1 ? "" : "s");
        return EXIT_PROBLEMS;
    }
    printf("%s: no problems; endpoints: %zu, templates: %zu, authorities: %zu\n", file,
           c->endpoint_n, c->template_n, c->authority_n);
    return EXIT_SUCCESS;
}

/* Takes the configuration. */
static int run(struct config *c, const struct arguments *arguments)
{
    struct daemon_options o = {.listen = arguments->listen, .version = SCEPD_VERSION};
    struct console *console = NULL;
    struct err err = {0};
    if (arguments->console && !console_load(arguments->console, &console, &err)) {
        fprintf(stderr,
                "scepd: --console-dir: %s\nfix: name a directory like console/web of the source\n",
                err.text);
        config_free(c);
        return EXIT_USAGE;
    }
    o.console = console;
    int code = daemon_run(c, &o);
    console_free(console);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    char file[512];
    unsigned problems = 0;
    if (!file_keep_standard())
        return EXIT_FAILURE; /* and nowhere to say so */
    store_tell_damage();
    if (!memory_watch()) {
        fprintf(stderr, "scepd: OpenSSL allocated before it was told how\n");
        return EXIT_FAILURE;
    }
    int code = parse(argc, argv, &arguments);
    if (code >= 0)
        return code;
    config_find(arguments.config, file);
    struct config *c = config_load(file, complain, &problems);
    if (arguments.check) {
        code = check(c, file, problems);
    } else if (!c) {
        fprintf(stderr, "scepd: not started, %u problem%s in %s\n", problems,
                problems == 1 ? "" : "s", file);
        code = EXIT_FAILURE;
    } else if (arguments.listen && !config_set_listen(c, arguments.listen)) {
        fprintf(stderr, "scepd: --listen %s: not ADDRESS:PORT\nfix: --listen 127.0.0.1:8080\n",
                arguments.listen);
        code = EXIT_USAGE;
    } else {
        code = run(c, &arguments);
        c = NULL;
    }
    config_free(c);
    return code;
}
