#include "service_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ca/init.h"
#include "ca/keyfile.h"

static const char conf_head[] =
    "listen: { address = \"127.0.0.1\"; port = 18080; url = \"http://127.0.0.1:18080\"; };\n"
    "store: { path = \"store\"; map_size_gib = 1; };\n"
    "challenges: { key_file = \"keys/challenge.key\"; };\n"
    "authorities = ( { name = \"demo\"; certificate = \"ca/ca.pem\"; key = \"keys/ca.key\";\n"
    "  ra_certificate = \"ca/ra.pem\"; ra_key = \"keys/ra.key\";\n"
    "  ra_signing_certificate = \"ca/ra-signing.pem\"; ra_signing_key = \"keys/ra-signing.key\";\n"
    "  ra_encryption_certificate = \"ca/ra-encryption.pem\"; ra_encryption_key = "
    "\"keys/ra-encryption.key\";\n"
    "  ca_decrypts = %s; crl: { url = \"http://127.0.0.1:18080/crl/demo.crl\"; }; } );\n"
    "templates = ( { name = \"device\"; subject = [\"CN=*!\", \"O=*\", \"OU=*\", \"C=*\"]; san = "
    "[\"DNS:*\"];\n"
    "  rsa = [2048, 4096]; curves = [\"P-256\", \"P-384\"]; key_usage = \"both\"; ext_key_usage = "
    "[\"clientAuth\"];\n"
    "  validity = \"365d\"; backdate = \"1h\"; renew_before = \"0s\"; } );\n"
    "endpoints = (\n"
    "  { path = \"/scep\"; authority = \"demo\"; template = \"device\"; challenge = \"one-time\"; "
    "},\n"
    "  { path = \"/static\"; authority = \"demo\"; template = \"device\"; challenge = \"static\";\n"
    "    static_challenge_file = \"keys/static\"; },\n"
    "  { path = \"/open\"; authority = \"demo\"; template = \"device\"; challenge = \"none\";\n"
    "    issue_to_anyone_without_a_challenge = true; },\n"
    "  { path = \"/manual\"; authority = \"demo\"; template = \"device\"; challenge = \"none\"; "
    "approval = \"manual\"; },\n"
    "  { path = \"/pair\"; authority = \"demo\"; template = \"device\"; ra = \"pair\"; challenge = "
    "\"one-time\"; },\n";
static const char conf_ca[] = "  { path = \"/ca\"; authority = \"demo\"; template = \"device\"; ra "
                              "= \"none\"; challenge = \"one-time\"; },\n";
static const char conf_tail[] = "  { path = \"/legacy\"; authority = \"demo\"; template = "
                                "\"device\"; challenge = \"one-time\"; legacy = true;\n"
                                "    digests = [\"MD5\", \"SHA-1\", \"SHA-256\"]; ciphers = "
                                "[\"DES\", \"3DES\", \"AES-128\"]; }\n"
                                ");\n";

static bool write_file(const struct service_fixture *f, const char *name, const char *text,
                       unsigned mode, struct err *err)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    return file_replace(path, view_str(text), mode, err);
}

static void complain(void *ctx, const char *message)
{
    err_set(ctx, ERR_CONFIG, "%s", message);
}

static bool make_files(struct service_fixture *f, bool rsa, const char *key, struct err *err)
{
    char path[128], text[4096];
    struct challenge_key unused;
    struct init_plan plan = {.directory = f->directory,
                             .name = "Fixture CA",
                             .ca_key = key,
                             .ra_key = "rsa2048",
                             .ra_pair = true,
                             .ca_decrypts = rsa,
                             .now = time(NULL)};
    snprintf(text, sizeof text, conf_head, rsa ? "true" : "false");
    strcat(text, rsa ? conf_ca : "");
    strcat(text, conf_tail);
    snprintf(path, sizeof path, "%s/keys/challenge.key", f->directory);
    return authority_init(&plan, err) && challenge_key_load(path, true, &unused, err) &&
           write_file(f, "keys/static", "static-secret\n", 0600, err) &&
           write_file(f, "scepd.conf", text, 0600, err);
}

static bool open_store(struct service_fixture *f, struct err *err)
{
    struct store_options o = {
        .path = f->config->store_path, .map_size = 1ull << 30, .create = true};
    if (!store_open(&o, &f->store, err))
        return false;
    f->enroll =
        (struct enroll_context){.store = f->store, .challenge_key = &f->rooms.challenge_key};
    return true;
}

bool service_fixture_init(struct service_fixture *f, const char *key, struct err *err)
{
    char path[128];
    *f = (struct service_fixture){0};
    snprintf(f->directory, sizeof f->directory, "/tmp/scepd-fixture-XXXXXX");
    if (!mkdtemp(f->directory))
        return err_errno(err, "temporary directory");
    if (!make_files(f, strncmp(key, "rsa", 3) == 0, key, err))
        return false;
    snprintf(path, sizeof path, "%s/scepd.conf", f->directory);
    if (!(f->config = config_load(path, complain, err)) ||
        !config_rooms_load(f->config, &f->rooms, err) ||
        !signer_local(f->rooms.spec, &f->signer, err) || !open_store(f, err))
        return false;
    for (size_t i = 0; i < f->config->endpoint_n; i++)
        if (!scep_endpoint_init(&f->endpoint[i], &f->config->endpoint[i], &f->rooms.policy[i], err))
            return false;
    return true;
}

bool service_fixture_restart(struct service_fixture *f, struct err *err)
{
    store_close(f->store);
    f->store = NULL;
    return open_store(f, err);
}

bool service_fixture_fresh_store(struct service_fixture *f, struct err *err)
{
    char file[640];
    store_close(f->store);
    f->store = NULL;
    snprintf(file, sizeof file, "%s/data.mdb", f->config->store_path);
    if (unlink(file) != 0)
        return err_errno(err, "%s", file);
    return open_store(f, err);
}

bool service_fixture_reload(struct service_fixture *f, struct err *err)
{
    for (size_t i = 0; i < f->config->endpoint_n; i++)
        scep_endpoint_clear(&f->endpoint[i]);
    signer_free(f->signer);
    f->signer = NULL;
    config_rooms_clear(f->config, &f->rooms);
    if (!config_rooms_load(f->config, &f->rooms, err) ||
        !signer_local(f->rooms.spec, &f->signer, err))
        return false;
    for (size_t i = 0; i < f->config->endpoint_n; i++)
        if (!scep_endpoint_init(&f->endpoint[i], &f->config->endpoint[i], &f->rooms.policy[i], err))
            return false;
    return true;
}

void service_fixture_clear(struct service_fixture *f)
{
    char command[128];
    for (size_t i = 0; f->config && i < f->config->endpoint_n; i++)
        scep_endpoint_clear(&f->endpoint[i]);
    store_close(f->store);
    signer_free(f->signer);
    if (f->config)
        config_rooms_clear(f->config, &f->rooms);
    config_free(f->config);
    snprintf(command, sizeof command, "rm -rf %s", f->directory);
    if (system(command) != 0)
        fprintf(stderr, "%s stays behind\n", f->directory);
    *f = (struct service_fixture){0};
}

const struct scep_endpoint *service_fixture_endpoint(const struct service_fixture *f,
                                                     const char *path)
{
    for (size_t i = 0; i < f->config->endpoint_n; i++)
        if (strcmp(f->endpoint[i].config->path, path) == 0)
            return &f->endpoint[i];
    return NULL;
}

bool service_fixture_ca(const struct service_fixture *f, const struct scep_endpoint *e,
                        struct client_ca *out, struct err *err)
{
    return client_ca_from_answer(buf_view(&e->ca_cert), e->ca_cert_type, out, err);
}
