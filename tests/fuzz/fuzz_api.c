/* A call of the REST API, from bytes to bytes, over a real store and configuration: the first line
 * is method and target, then headers, an empty line, the body.  "Authorization: own" stands for the
 * token of an administrator, since none can be guessed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/account.h"
#include "api/api.h"
#include "ca/init.h"
#include "fuzz.h"

static int64_t now;
static struct api_world world;
static struct config_rooms rooms;
static char own[API_TOKEN_MAX + 8], home[256];

static const char conf[] =
    "listen: { url = \"http://scep.example.org\"; };\n"
    "store: { path = \"store\"; };\n"
    "challenges: { key_file = \"challenge.key\"; };\n"
    "authorities = ( { name = \"main\"; certificate = \"ca/ca.pem\"; key = \"keys/ca.key\";\n"
    "    ra_certificate = \"ca/ra.pem\"; ra_key = \"keys/ra.key\"; } );\n"
    "templates = ( { name = \"device\"; subject = [\"CN=*!\"]; san = [\"DNS:*\"]; rsa = [2048, "
    "4096];\n"
    "    curves = [\"P-256\"]; ext_key_usage = [\"clientAuth\"]; } );\n"
    "endpoints = ( { path = \"/scep\"; authority = \"main\"; template = \"device\"; challenge = "
    "\"one-time\"; } );\n"
    "api: { port = 8443; };\n"
    "ndes = ( { endpoint = \"/scep\"; } );\n"
    "challenge_hooks = ( { name = \"jamf\"; endpoint = \"/scep\"; } );\n";

static void remove_home(void)
{
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", home);
}

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_api: %s\n", err->text);
    abort();
}

static void complain(void *ctx, const char *message)
{
    fprintf(stderr, "fuzz_api: %s\n", message);
}

static void make_authority(struct err *err)
{
    char path[320];
    struct challenge_key key;
    const struct init_plan plan = {
        .directory = home, .name = "Fuzz CA", .ca_key = "p256", .ra_key = "rsa2048", .now = now};
    must(authority_init(&plan, err), err);
    snprintf(path, sizeof path, "%s/challenge.key", home);
    must(challenge_key_load(path, true, &key, err), err);
    snprintf(path, sizeof path, "%s/scepd.conf", home);
    FILE *f = fopen(path, "w");
    if (!f || fputs(conf, f) < 0 || fclose(f) != 0)
        abort();
    struct config *c = config_load(path, complain, NULL);
    if (!c)
        abort();
    must(config_rooms_load(c, &rooms, err), err);
    world.config = c;
    world.rooms = &rooms;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err err = {0};
    struct api_admin_wish wish = {.name = "root", .role = ROLE_ADMINISTRATOR, .disabled = 0};
    struct store_admin a;
    struct store_token t;
    char text[API_TOKEN_MAX], path[320];
    const char *tmp = getenv("TMPDIR");
    snprintf(home, sizeof home, "%s/fuzz-api-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(home))
        abort();
    atexit(remove_home);
    now = time(NULL);
    make_authority(&err);
    snprintf(path, sizeof path, "%s/store", home);
    const struct store_options o = {.path = path, .map_size = UINT64_C(256) << 20, .create = true};
    must(store_open(&o, &world.store, &err), &err);
    must(api_admin_new(world.store, &wish, "fuzz", now, &a, &err), &err);
    must(api_token_new(world.store, a.id, TOKEN_API, "", 86400, "fuzz", now, text, &t, &err), &err);
    snprintf(own, sizeof own, "Bearer %s", text);
    world.state = api_state_new();
    world.version = "fuzz";
    world.epoch = 1;
    return 0;
}

/* The next line of `rest`, without its end; NULL when there is none. */
static char *line(char **rest)
{
    char *begin = *rest, *end = begin ? strchr(begin, '\n') : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    *rest = end + 1;
    return begin;
}

static bool read_head(char *first, struct api_request *r)
{
    char *space = strchr(first, ' ');
    if (!space || strpbrk(first, "\r\t")) /* no request line has these */
        return false;
    *space = '\0';
    for (int m = HTTP_GET; m <= HTTP_DELETE; m++) {
        if (strcmp(first, http_method_name((enum http_method)m)) != 0)
            continue;
        char *query = strchr(space + 1, '?');
        r->method = (enum http_method)m;
        r->path = space + 1;
        r->query = query ? query + 1 : "";
        if (query)
            *query = '\0';
        return true;
    }
    return false;
}

static void read_header(char *text, struct api_request *r)
{
    char *colon = strstr(text, ": ");
    if (!colon)
        return;
    *colon = '\0';
    for (int i = 0; i < API_HEADERS; i++)
        if (strcmp(api_header_names[i], text) == 0)
            r->header[i] = strcmp(colon + 2, "own") == 0 ? own : colon + 2;
}

/* What every answer must be, whatever was asked. */
static void check(const struct api_reply *y)
{
    if (y->status < 200 || y->status > 599 || !y->request_id[0])
        abort();
    if (y->status == 500) { /* nothing that comes from outside may look like a fault of ours */
        fprintf(stderr, "500: %.*s\n", (int)y->body.n, y->body.p);
        abort();
    }
    for (size_t i = 0; i < y->header_n; i++)
        if (strpbrk(y->header[i].value, "\r\n"))
            abort();
    if (strcmp(y->content_type, "application/json") == 0 ||
        strcmp(y->content_type, "application/problem+json") == 0) {
        json_t *o = json_loadb((const char *)y->body.p, y->body.n, JSON_REJECT_DUPLICATES, NULL);
        if (!o)
            abort();
        json_decref(o);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text, *l;
    static unsigned calls;
    char peer[32]; /* another one each time: the guard would answer all */
    struct api_request r = {.peer = peer, .now = now};
    struct api_reply reply = {0};
    if (!text)
        return 0;
    calls++;
    snprintf(peer, sizeof peer, "10.%u.%u.%u", calls >> 16 & 255, calls >> 8 & 255, calls & 255);
    memcpy(text, data, size);
    text[size] = '\0';
    l = line(&rest);
    if (l && read_head(l, &r)) {
        while ((l = line(&rest)) && *l)
            read_header(l, &r);
        r.body = view_of(data + (rest - text), size - (size_t)(rest - text));
        api_answer(&world, &r, &reply);
        check(&reply);
        api_reply_clear(&reply);
    }
    free(text);
    return 0;
}
