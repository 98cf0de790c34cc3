/* The configuration: the sample loads; one mutation per rule, each with its exact message and line.
 */
#include "config_world.h"
#include "pkcs7/alg.h"

/* ---- the good cases ---- */

START_TEST(sample_loads)
{
    char text[16384];
    FILE *f = fopen(SAMPLE, "r");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    struct config *c = load(text);
    ck_assert_str_eq(told, "");
    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->endpoint_n, 10);
    ck_assert_uint_eq(c->template_n, 2);
    ck_assert_uint_eq(c->authority_n, 1);
    const struct config_endpoint *legacy = config_endpoint_by_path(c, "/scep/legacy");
    ck_assert_ptr_nonnull(legacy);
    ck_assert(legacy->legacy);
    ck_assert_uint_ne(legacy->digests & ALG_BIT(DIGEST_MD5), 0);
    ck_assert(config_endpoint_by_path(c, "/scep/manual")->manual);
    ck_assert_int_eq(config_endpoint_by_path(c, "/scep/ca")->ra, RA_NONE);
    ck_assert_ptr_null(config_endpoint_by_path(c, "/other"));
    config_free(c);
}
END_TEST

START_TEST(defaults)
{
    char path[128];
    struct config *c = load(base);
    ck_assert_str_eq(told, "");
    ck_assert_ptr_nonnull(c);
    const struct config_endpoint *e = &c->endpoint[0];
    ck_assert_uint_eq(e->digests, ALG_BIT(DIGEST_SHA1) | ALG_BIT(DIGEST_SHA256) |
                                      ALG_BIT(DIGEST_SHA384) | ALG_BIT(DIGEST_SHA512));
    ck_assert_uint_eq(e->ciphers, ALG_BIT(CIPHER_DES3) | ALG_BIT(CIPHER_AES128) |
                                      ALG_BIT(CIPHER_AES192) | ALG_BIT(CIPHER_AES256));
    ck_assert(e->renewal);
    ck_assert(!e->manual && !e->anonymous && !e->legacy);
    ck_assert_int_eq(e->ra, RA_SINGLE);
    ck_assert_uint_eq(e->challenges, CHALLENGE_ONE_TIME);
    ck_assert_int_eq(e->pending_ttl, 7 * 86400);
    ck_assert_int_eq(e->max_pending, 10000);
    ck_assert_int_eq(c->request_timeout, 30);
    ck_assert_uint_eq(c->map_size, UINT64_C(64) << 30);
    ck_assert_int_eq(c->queue, 512);
    ck_assert_uint_eq(c->template[0].rsa_min, 2048);
    ck_assert_uint_eq(c->template[0].rsa_max, 4096);
    ck_assert_uint_eq(c->template[0].eku.n, 1);
    ck_assert_int_eq(c->template[0].backdate, 3600);
    ck_assert_str_eq(c->authority[0].digest, "SHA-256");
    snprintf(path, sizeof path, "%s/store", dir);
    ck_assert_str_eq(c->store_path, path);
    config_free(c);
}
END_TEST

START_TEST(other_forms)
{
    accepted("challenge = \"one-time\"", "challenge = [\"one-time\", \"static\"]; "
                                         "static_challenge_file = \"keys/static-challenge\"");
    accepted("challenge = \"one-time\"", "challenge = \"none\"; approval = \"manual\"");
    accepted("challenge = \"one-time\"",
             "challenge = \"none\"; issue_to_anyone_without_a_challenge = true");
    accepted("challenge = \"one-time\"", "legacy = true; digests = [\"MD5\"]; ciphers = [\"DES\"]");
    accepted("subject = [\"CN=*!\", \"O=*\"];", "subject_build = \"CN=${csr.cn}\"; rsa = [];");
    accepted("url = \"http://127.0.0.1:8080\"", "url = \"https://scep.example.org\"");
    accepted("path = \"/scep\";", "path = \"/scep\"; aliases = [\"/certsrv/mscep/mscep.dll\"];");
}
END_TEST

/* ---- one mutation each ---- */

START_TEST(unknown_settings)
{
    refused("workers = 0", "worker = 0",
            "2: unknown setting \"worker\" in the file (did you mean \"workers\"?)\n");
    refused(
        "challenge = \"one-time\"", "chalenge = \"one-time\"",
        "19: unknown setting \"chalenge\" in endpoint \"/scep\" (did you mean \"challenge\"?)\n");
    refused("validity = \"24h\"", "zzzzz = \"24h\"",
            "9: unknown setting \"zzzzz\" in authorities.crl\n");
    refused("log: {", "logg: {",
            "3: unknown setting \"logg\" in the file (did you mean \"log\"?)\n");
    refused("level = \"info\"", "levle = \"info\"",
            "3: unknown setting \"levle\" in log (did you mean \"level\"?)\n");
}
END_TEST

START_TEST(wrong_types)
{
    refused("workers = 0", "workers = \"0\"", "2: workers must be a number without quotes\n");
    refused("workers = 0", "workers = 0.5", "2: workers must be a number without quotes\n");
    refused("address = \"127.0.0.1\"", "address = 127", "1: address must be a text in quotes\n");
    refused("subject = [\"CN=*!\", \"O=*\"]", "subject = \"CN=*!\"",
            "13: subject must be a list of texts: [\"...\", \"...\"]\n");
    refused("subject = [\"CN=*!\", \"O=*\"]", "subject = [1, 2]",
            "13: subject must be a list of texts: [\"...\", \"...\"]\n");
    refused("log: { level = \"info\"; };", "log = \"info\";",
            "3: log must be a section: log: { ... }\n");
    refused("validity = \"365d\";", "validity = \"365d\"; rsa = [2048];",
            "14: rsa must be a list of two numbers, smallest and largest, or []\n");
    refused("challenge = \"one-time\"", "renewal = \"yes\"",
            "19: renewal must be true or false, without quotes\n");
    refused("key = \"keys/ca.key\";", "key = true;", "6: key must be a file in quotes\n");
}
END_TEST

START_TEST(missing)
{
    refused(" url = \"http://127.0.0.1:8080\";", "", "1: listen needs \"url\"\n");
    refused("key = \"keys/ca.key\";", "", "4: authority \"demo\" needs \"key\"\n");
    refused("name = \"device\";", "",
            "11: template needs \"name\"\n"
            "19: endpoint \"/scep\": there is no template \"device\"\n"
            "21: endpoint \"/two\": there is no template \"device\"\n");
    refused("path = \"/scep\";", "", "18: endpoint needs \"path\"\n");
    refused("subject = [\"CN=*!\", \"O=*\"];", "",
            "11: template \"device\" needs \"subject\" or \"subject_build\"\n");
    refused("templates = (", "templates2 = (",
            "11: unknown setting \"templates2\" in the file (did you mean \"templates\"?)\n"
            " the list \"templates\" is missing\n");
}
END_TEST

START_TEST(durations)
{
    refused("validity = \"365d\"", "validity = \"365\"",
            "14: validity = \"365\": a duration needs a unit: 30d, 12h, 90m\n");
    refused("validity = \"365d\"", "validity = 365",
            "14: validity = 365: a duration is a text with a unit: \"30d\", \"12h\", \"90m\"\n");
    refused("validity = \"365d\"", "validity = \"soon\"",
            "14: validity = \"soon\" is no duration like 30d, 12h, 90m\n");
    refused("validity = \"365d\"", "validity = \"9999d\"",
            "14: validity = \"9999d\" is out of range: 5m to 1187d\n");
    refused(
        "renew_before = \"60d\"", "renew_before = \"365d\"",
        "15: template \"device\": renew_before (365 d) must be shorter than validity (365 d)\n");
    refused("validity = \"365d\"", "validity = \"90d\"; min_validity = \"100d\"",
            "14: template \"device\": min_validity must not be longer than validity\n");
    refused("period = \"1h\"", "period = \"24h\"",
            "9: authority \"demo\": crl.period must be shorter than crl.validity, or there is a "
            "time without a list\n");
    refused("period = \"1h\"", "period = \"1h\"; shards = 129",
            "9: shards = 129 is out of range: 1 to 128\n");
    refused_for("period = \"1h\"", "period = \"1h\"; shards = 2",
                "partitions need a crl.url that ends in .crl");
    refused_for("period = \"1h\"", "period = \"1h\"; delta = true",
                "a delta needs a crl.url that ends in .crl");
    refused_for("authorities = (", "crl_directory = \"/nonexistent\"; authorities = (",
                "crl_directory \"/nonexistent\" is no directory");
}
END_TEST

START_TEST(ranges_and_words)
{
    refused("port = 8080", "port = 65536", "1: port = 65536 is out of range: 0 to 65535\n");
    refused("port = 8080", "port = -1", "1: port = -1 is out of range: 0 to 65535\n");
    refused("port = 8080", "port = 99999999999L",
            "1: port = 99999999999 is out of range: 0 to 65535\n");
    refused("level = \"info\"", "level = \"inof\"",
            "3: level = \"inof\" is none of: error, warning, notice, info, debug (did you mean "
            "\"info\"?)\n");
    refused("validity = \"365d\";", "validity = \"365d\"; rsa = [1023, 4096];",
            "14: rsa = 1023 is out of range: 1024 to 8192\n");
    refused("validity = \"365d\";", "validity = \"365d\"; rsa = [4096, 2048];",
            "14: rsa = [4096, 2048]: the smallest comes first\n");
    refused("validity = \"365d\";", "validity = \"365d\"; rsa = []; curves = [];",
            "11: template \"device\" allows no key: rsa and curves are both empty\n");
    refused("validity = \"365d\";", "validity = \"365d\"; ext_key_usage = [\"clientauth!\"];",
            "14: ext_key_usage = \"clientauth!\" is neither a known purpose nor a dotted OID\n");
    refused("key = \"keys/ca.key\";", "key = \"keys/ca.key\"; digest = \"SHA-1\";",
            "6: digest = \"SHA-1\" is none of: SHA-256, SHA-384, SHA-512\n");
}
END_TEST

START_TEST(references)
{
    char expected[512];
    refused("authority = \"demo\"; template = \"device\"; challenge",
            "authority = \"dmeo\"; template = \"devic\"; challenge",
            "19: endpoint \"/scep\": there is no authority \"dmeo\" (did you mean \"demo\"?)\n"
            "19: endpoint \"/scep\": there is no template \"devic\" (did you mean \"device\"?)\n");
    snprintf(expected, sizeof expected,
             "5: certificate names %s/ca/none.pem: No such file or directory\n", dir);
    refused("ca/ca.pem", "ca/none.pem", expected);
    snprintf(expected, sizeof expected, "6: key names %s/keys: not a file\n", dir);
    refused("keys/ca.key", "keys", expected);
    refused("path = \"/two\"", "path = \"/scep\"",
            "20: path \"/scep\" is taken already by endpoint \"/scep\"\n");
    refused("path = \"/two\"", "path = \"/SCEP\"",
            "20: path \"/SCEP\" is taken already by endpoint \"/scep\"\n");
    refused("path = \"/two\";", "path = \"/two\"; aliases = [\"/scep\"];",
            "20: path \"/scep\" is taken already by endpoint \"/scep\"\n");
    refused("path = \"/two\";", "path = \"/two\"; aliases = [\"/a\", \"/a\"];",
            "20: path \"/a\" is taken already by endpoint \"/two\"\n");
    refused("path = \"/two\"", "path = \"two\"",
            "20: path \"two\" must begin with /, must not end in / and has only characters of a "
            "plain URL path\n");
    refused("path = \"/two\"",
            "path = \"/0123456789012345678901234567890123456789012345678901234567890123\"",
            "20: path \"/0123456789012345678901234567890123456789012345678901234567890123\" is too "
            "long: 65 octets, at most 63\n");
    refused("path = \"/two\"", "path = \"/tw\\x1bo\"",
            "20: path \"/tw\\x1bo\" must begin with /, must not end in / and has only characters "
            "of a plain URL path\n");
}
END_TEST

START_TEST(shapes)
{
    refused("challenge = \"one-time\"", "ra = \"pair\"",
            "19: endpoint \"/scep\": ra = \"pair\" needs ra_signing_certificate and "
            "ra_encryption_certificate in authority "
            "\"demo\"\n");
    refused(
        "challenge = \"one-time\"", "ra = \"none\"",
        "19: endpoint \"/scep\": ra = \"none\" needs ca_decrypts = true in authority \"demo\"\n");
    refused(" ra_key = \"keys/ra.key\";", "",
            "7: authority \"demo\": ra_certificate needs ra_key\n");
    refused("ra_certificate = \"ca/ra.pem\"; ra_key = \"keys/ra.key\";", "",
            "18: endpoint \"/scep\": ra = \"single\" needs ra_certificate in authority \"demo\"\n"
            "20: endpoint \"/two\": ra = \"single\" needs ra_certificate in authority \"demo\"\n");
}
END_TEST

/* RFC 8894 section 2.4 */
START_TEST(safety)
{
    refused("challenge = \"one-time\"", "digests = [\"MD5\", \"SHA-256\"]",
            "19: endpoint \"/scep\": MD5 is taken only with legacy = true\n");
    refused("challenge = \"one-time\"", "ciphers = [\"DES\"]",
            "19: endpoint \"/scep\": DES is taken only with legacy = true\n");
    refused("challenge = \"one-time\"", "challenge = \"none\"",
            "19: endpoint \"/scep\" would give a certificate to whoever reaches it: challenge = "
            "\"none\" needs approval = "
            "\"manual\", a webhook (validate), or issue_to_anyone_without_a_challenge = true\n");
    refused("url = \"http://127.0.0.1/crl\"", "url = \"https://127.0.0.1/crl\"",
            "8: url = \"https://127.0.0.1/crl\" must begin with http://: the list and the "
            "certificate are signed "
            "themselves, and what fetches them often speaks no https\n");
    refused("url = \"http://127.0.0.1:8080\"", "url = \"ftp://127.0.0.1\"",
            "1: url = \"ftp://127.0.0.1\" is no address like http://scep.example.org\n");
    refused("url = \"http://127.0.0.1:8080\"", "url = \"http://a b\"",
            "1: url = \"http://a b\" has a character that no URL may have\n");
}
END_TEST

START_TEST(static_challenge)
{
    char expected[512];
    refused("      static_challenge_file = \"keys/static-challenge\"; }", "}",
            "22: endpoint \"/two\": challenge = \"static\" needs static_challenge_file\n");
    refused("challenge = \"static\"", "challenge = \"one-time\"",
            "23: endpoint \"/two\": static_challenge_file is only for challenge = \"static\"\n");
    write_file("keys/static-challenge", "a static challenge\n", 0640);
    snprintf(expected, sizeof expected,
             "23: endpoint \"/two\": %s/keys/static-challenge has mode 0640: others can read the "
             "challenge (chmod 600)\n",
             dir);
    refused("workers = 0", "workers = 1", expected);
    write_file("keys/static-challenge", "short\r\nbut more below\n", 0600);
    snprintf(expected, sizeof expected,
             "23: endpoint \"/two\": the first line of %s/keys/static-challenge has 5 characters: "
             "a static challenge needs 8 "
             "to 256\n",
             dir);
    refused("workers = 0", "workers = 1", expected);
}
END_TEST

START_TEST(profiles)
{
    struct config *c = behind_accepted("profiles: { };");
    ck_assert_str_eq(c->profiles.identifier, "scepd");
    ck_assert_str_eq(c->profiles.organization, "");
    config_free(c);
    c = behind_accepted(
        "profiles: { organization = \"Example & Co\"; identifier = \"org.example.scep\"; "
        "certificate = \"ca/ra.pem\"; key = \"keys/static-challenge\"; };");
    ck_assert_str_eq(c->profiles.organization, "Example & Co");
    config_free(c);
    behind_refused("profiles: { identifier = \"org example\"; };",
                   "25: profiles.identifier may have letters, digits, '-' and '.' only\n");
    behind_refused("profiles: { certificate = \"ca/ra.pem\"; };",
                   "25: profiles.certificate needs profiles.key\n");
    behind_refused("profiles: { key = \"keys/static-challenge\"; };",
                   "25: profiles.key needs profiles.certificate\n");
    behind_refused("profiles: { passphrase_file = \"keys/static-challenge\"; };",
                   "25: profiles.passphrase_file needs profiles.key\n");
    behind_refused("profiles: { certificate = \"ca/ca.pem\"; key = \"keys/ca.key\"; };",
                   "25: profiles.key is a key of an authority: a key of its own is needed\n");
}
END_TEST

START_TEST(all_at_once)
{
    char *one = replaced(base, "port = 8080", "port = 99999"),
         *two = replaced(one, "workers", "wrokers");
    char *three = replaced(two, "\"365d\"", "\"365\"");
    ck_assert_ptr_null(load(three));
    ck_assert_str_eq(told,
                     "2: unknown setting \"wrokers\" in the file (did you mean \"workers\"?)\n"
                     "1: port = 99999 is out of range: 0 to 65535\n"
                     "14: validity = \"365\": a duration needs a unit: 30d, 12h, 90m\n");
    free(one);
    free(two);
    free(three);
}
END_TEST

START_TEST(syntax_and_files)
{
    refused("workers = 0;", "workers = ;", "2: syntax error\n");
    refused("endpoints = (", "endpoints = ); x = (", "17: syntax error\n");
    told[told_n = 0] = '\0';
    ck_assert_ptr_null(load(""));
    ck_assert_str_eq(strstr(told, "the list") ? "lists" : "", "lists");
}
END_TEST

static char last[512];

static void keep_last(void *ctx, const char *message)
{
    snprintf(last, sizeof last, "%s", message);
}

/* libconfig's scanner would end the process with the first, and wait for ever with the second. */
START_TEST(includes_are_files)
{
    char path[256];
    snprintf(path, sizeof path, "%s/fifo", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    write_file("more.conf", "\t@include\t\"keys\"\n", 0600);
    write_file("twice.conf", "@include \"twice.conf\"\n@include \"twice.conf\"\n", 0600);
    write_file("good.conf", "queue = 100;\n", 0600);
    refused("workers = 0;", "@include \"keys\"",
            " @include \"keys\" names a directory, not a file\n");
    refused("workers = 0;", "  @include \"fifo\"",
            " @include \"fifo\" names a FIFO, a device or a socket, not a file\n");
    refused("workers = 0;", "@include \"more.conf\"",
            " @include \"keys\" names a directory, not a file\n");
    refused_for("workers = 0;", "@include \"nothing.conf\"", "2: cannot open include file");
    told[told_n = 0] = '\0';
    accepted("workers = 0;", "@include \"good.conf\"\n# @include \"keys\"\nworkers = 0;");
    accepted("workers = 0;", "/* \"\n@include \"keys\"\n// */ workers = 0;");
    refused("workers = 0;", "// /* \"\n# /*\n@include \"keys\"",
            " @include \"keys\" names a directory, not a file\n");
    refused("workers = 0;", "user = \"\\\"/*\"; /**/\n@include \"keys\"",
            " @include \"keys\" names a directory, not a file\n");
    snprintf(path, sizeof path, "%s/twice.conf", dir);
    ck_assert_ptr_null(config_load(path, keep_last, NULL));
    ck_assert_msg(strstr(last, "twice.conf:1: include file nesting too deep") != NULL, "%s", last);
}
END_TEST

/* Who can tell one mistake only tells the first, and that there are more. */
START_TEST(first_mistake)
{
    char path[256], *one = replaced(base, "renew_before", "renew_befor");
    char *two = replaced(one, "subject", "subjct");
    struct err err = {0};
    snprintf(path, sizeof path, "%s/scepd.conf", dir);
    write_file("scepd.conf", base, 0644);
    struct config *c = config_load_first(path, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    config_free(c);
    ck_assert_int_eq(err.kind, ERR_NONE);
    write_file("scepd.conf", one, 0644);
    ck_assert_ptr_null(config_load_first(path, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, "renew_befor") != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, ", and more") == NULL, "%s", err.text);
    write_file("scepd.conf", two, 0644);
    ck_assert_ptr_null(config_load_first(path, &err));
    ck_assert_msg(strstr(err.text, "subjct") != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, ", and more") != NULL, "%s", err.text);
    free(one);
    free(two);
}
END_TEST

START_TEST(unreadable)
{
    char expected[256];
    ck_assert_ptr_null(config_load("/nonexistent/scepd.conf", keep_last, NULL));
    ck_assert_str_eq(last, "/nonexistent/scepd.conf: cannot be read: No such file or directory");
    ck_assert_ptr_null(config_load(dir, keep_last, NULL));
    snprintf(expected, sizeof expected, "%s: is a directory, not a file", dir);
    ck_assert_str_eq(last, expected);
}
END_TEST

/* ---- later generations ---- */

/* A message with a path in it. */
#define SECOND(settings)                                                                         \
    "period = \"1h\"; };\n} );", "period = \"1h\"; };\n}, { certificate = \"ca/ca.pem\"; key = " \
                                 "\"keys/ca.key\"; crl: { }; " settings " } );"

START_TEST(places_of_later_generations)
{
    char path[256];
    struct config *c = load(base);
    ck_assert_ptr_nonnull(c);
    snprintf(path, sizeof path, "%s/authorities/demo", dir);
    ck_assert_str_eq(c->authority[0].directory, path);
    ck_assert(c->authority[0].ra_automatic && c->authority[0].rollover_automatic);
    ck_assert_int_eq(c->authority[0].rollover_announce, 90 * 86400);
    config_free(c);
    refused_for("key = \"keys/ca.key\";", "key = \"keys/ca.key\"; directory = \"keys\";",
                "holds files that the configuration names");
    refused_for("key = \"keys/ca.key\";", "key = \"keys/ca.key\"; directory = \"ca/\";",
                "holds files that the configuration names");
    refused_for(SECOND("name = \"other\"; directory = \"authorities/demo\";"),
                "authority \"demo\" has the same directory");
    refused_for(SECOND("name = \"demo-g2\";"),
                "a later generation of authority \"demo\" has this name");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {sample_loads, defaults,         other_forms, unknown_settings,
                                  wrong_types,  missing,          durations,   ranges_and_words,
                                  references,   shapes,           safety,      static_challenge,
                                  all_at_once,  syntax_and_files, unreadable};
    Suite *s = suite_create("config/config");
    TCase *c = tcase_create("config");
    tcase_add_checked_fixture(c, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    tcase_add_test(c, places_of_later_generations);
    tcase_add_test(c, profiles);
    tcase_add_test(c, includes_are_files);
    tcase_add_test(c, first_mistake);
    suite_add_tcase(s, c);
    return check_main(s);
}
