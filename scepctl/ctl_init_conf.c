/* The configuration that scepctl init writes: complete for what was asked, with the next wishes in
 * comments. */
#include "scepctl/ctl_init.h"

/* A path or address inside double quotes. */
static bool append_quoted(struct buf *out, const char *text)
{
    bool good = true;
    for (; *text && good; text++)
        good = (*text != '"' && *text != '\\') || buf_append(out, "\\", 1)
                   ? buf_append(out, text, 1)
                   : false;
    return good;
}

static bool append_head(const char *home, struct buf *out)
{
    return buf_append_str(out, "# Configuration of scepd; scepd.conf(5) explains every setting.\n"
                               "# scepctl config check reports every mistake at once.\n\n") &&
           (home ? buf_append_str(out, "home = \"") && append_quoted(out, home) &&
                       buf_append_str(out, "\";   # relative paths are taken from here\n")
                 : buf_append_str(out,
                                  "# Relative paths are taken from the directory of this file.\n"));
}

static bool append_server(const struct init_settings *s, struct buf *out)
{
    return buf_printf(out,
                      "listen: {\n"
                      "    address = \"%s\";   # \"0.0.0.0\" or \"::\" for all\n"
                      "    port = %d;\n"
                      "    url = \"%s\";   # under which devices reach it\n"
                      "    max_connections = 1024;\n"
                      "    request_timeout = \"30s\";\n"
                      "};\n"
                      "# How it is, for administrators and Prometheus: /healthz and /metrics.\n"
                      "admin: { address = \"127.0.0.1\"; port = %d; };   # port 0: nowhere\n"
                      "# The REST API and the console.  Anywhere but on loopback they need TLS: scepctl ca tls.\n"
                      "api: { address = \"127.0.0.1\"; port = %d; };   # port 0: nowhere\n"
                      "workers = 0;   # 0: one per core\n"
                      "queue = 512;\n"
                      "%suser = \"%s\";   # when root starts the daemon\n"
                      "store: { path = \"store\"; };\n"
                      "challenges: { key_file = \"keys/challenge.key\"; };\n"
                      "log: { level = \"info\"; format = \"logfmt\"; };\n\n",
                      s->bind, s->port, s->url, s->admin_port, s->api_port, s->user ? "" : "# ",
                      s->user ? s->user : "scepd");
}

static bool append_authority(const struct init_settings *s, struct buf *out)
{
    bool good = buf_printf(out,
                           "authorities = ( {\n"
                           "    name = \"%s\";\n"
                           "    certificate = \"ca/ca.pem\";\n"
                           "    key = \"keys/ca.key\";\n",
                           s->authority);
    if (s->passphrase_file[0])
        good = good && buf_append_str(out, "    passphrase_file = \"") &&
               append_quoted(out, s->passphrase_file) && buf_append_str(out, "\";\n");
    if (s->root_key)
        good =
            good &&
            buf_append_str(
                out, "    chain = [\"ca/root.pem\"];   # keys/root.key belongs off this machine\n");
    if (s->outside || s->chain.n)
        good = good &&
               buf_append_str(out, "    chain = [\"ca/chain.pem\"];   # the issuers above it\n");
    good = good &&
           buf_append_str(
               out,
               "    # The RA opens and signs messages, so that the authority's own key need not.\n"
               "    ra_certificate = \"ca/ra.pem\";\n"
               "    ra_key = \"keys/ra.key\";\n");
    if (s->ra_pair)
        good = good &&
               buf_append_str(out, "    ra_signing_certificate = \"ca/ra-signing.pem\";\n"
                                   "    ra_signing_key = \"keys/ra-signing.key\";\n"
                                   "    ra_encryption_certificate = \"ca/ra-encryption.pem\";\n"
                                   "    ra_encryption_key = \"keys/ra-encryption.key\";\n");
    if (s->ca_decrypts)
        good = good && buf_append_str(
                           out, "    ca_decrypts = true;   # for endpoints with ra = \"none\"\n");
    return good &&
           buf_printf(
               out,
               "    crl: { url = \"%s/crl/%s.crl\"; validity = \"24h\"; period = \"1h\"; };\n"
               "    issuer_url = \"%s/ca/%s.crt\";\n"
               "    ocsp_url = \"%s/ocsp/%s\";\n"
               "} );\n\n",
               s->public_url, s->authority, s->public_url, s->authority, s->public_url,
               s->authority);
}

/* The demo renews at any time: who tries it out will not wait for ten months. */
static bool append_template(const struct init_settings *s, struct buf *out)
{
    return buf_printf(
        out,
        "templates = ( {\n"
        "    name = \"device\";\n"
        "    # What a request may ask for; a pattern ending in ! must be met.\n"
        "    subject = [\"CN=*!\", \"O=*\", \"OU=*\", \"C=*\", \"ST=*\", \"L=*\", "
        "\"serialNumber=*\", \"emailAddress=*\",\n"
        "               \"UID=*\", \"unstructuredName=*\", \"DC=*\"];\n"
        "    # subject_build = \"CN=${csr.cn},O=Example\";   # builds it anew instead\n"
        "    san = [\"DNS:*\", \"email:*\", \"URI:*\", \"IP:*\", \"UPN:*\"];\n"
        "    rsa = [2048, 4096];\n"
        "    curves = [\"P-256\", \"P-384\"];\n"
        "    key_usage = \"both\";   # \"signing\", \"encryption\"\n"
        "    ext_key_usage = [\"clientAuth\"];\n"
        "    validity = \"365d\";\n"
        "    backdate = \"1h\";\n"
        "    renew_before = \"%s\";   # 0s: at any time\n"
        "} );\n\n",
        s->demo ? "0s" : "60d");
}

enum when { NO_PAIR, DEMO, DEMO_DECRYPTS, PAIR };

/* Paths that devices have built in: those of Cisco's CA and of NDES.  With a pair the latter belong
 * to its endpoint, which looks like NDES. */
#define CGI_PATH "\"/cgi-bin/pkiclient.exe\""
#define NDES_PATHS "\"/certsrv/mscep/mscep.dll\", \"/certsrv/mscep\""

static const struct {
    enum when when;
    const char *path, *rest;
} endpoints[] = {
    {NO_PAIR, "/scep",
     "challenge = \"one-time\";\n      aliases = [" CGI_PATH ", " NDES_PATHS "];"},
    {PAIR, "/scep", "challenge = \"one-time\";\n      aliases = [" CGI_PATH "];"},
    {DEMO, "/scep/static",
     "challenge = \"static\"; static_challenge_file = \"keys/static-challenge\";"},
    {DEMO_DECRYPTS, "/scep/ca", "ra = \"none\"; challenge = \"one-time\";"},
    {DEMO, "/scep/manual", "challenge = \"none\"; approval = \"manual\"; pending_ttl = \"7d\";"},
    {DEMO, "/scep/legacy",
     "challenge = \"one-time\"; legacy = true;\n"
     "      digests = [\"MD5\", \"SHA-1\", \"SHA-256\", \"SHA-384\", \"SHA-512\"];\n"
     "      ciphers = [\"DES\", \"3DES\", \"AES-128\", \"AES-192\", \"AES-256\"];"},
    {PAIR, "/scep/ndes",
     "ra = \"pair\"; challenge = \"one-time\";\n      aliases = [" NDES_PATHS "];"},
};

static bool wanted(const struct init_settings *s, enum when when)
{
    switch (when) {
    case NO_PAIR:
        return !s->ra_pair;
    case DEMO:
        return s->demo;
    case DEMO_DECRYPTS:
        return s->demo && s->ca_decrypts;
    case PAIR:
        return s->ra_pair;
    }
    return false;
}

static bool append_endpoints(const struct init_settings *s, struct buf *out)
{
    bool good =
        buf_append_str(out, "# Each endpoint is a URL path with its own rules.\nendpoints = (\n");
    const char *before = "";
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0] && good; i++) {
        if (!wanted(s, endpoints[i].when))
            continue;
        good = buf_printf(
            out, "%s    { path = \"%s\"; authority = \"%s\"; template = \"device\";\n      %s }",
            before, endpoints[i].path, s->authority, endpoints[i].rest);
        before = ",\n";
    }
    if (!s->demo)
        good = good &&
               buf_append_str(
                   out, "\n    # Also possible: challenge = \"static\"; static_challenge_file = "
                        "\"keys/static-challenge\";\n"
                        "    # or: challenge = \"none\"; approval = \"manual\";");
    return good && buf_append_str(out, "\n);\n");
}

bool init_conf(const struct init_settings *s, const char *home, struct buf *out)
{
    return append_head(home, out) && append_server(s, out) && append_authority(s, out) &&
           append_template(s, out) && append_endpoints(s, out);
}
