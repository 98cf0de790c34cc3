/* scepctl: administers a scepd authority, whether the daemon runs or not. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scepctl/ctl.h"
#include "base/wipe.h"
#include "ca/keyfile.h"
#include "config/suggest.h"

#define NO_FLAGS NULL
#define END                        \
    {                              \
        NULL, 0, NULL, false, NULL \
    }

static const struct ctl_flag init_flags[] = {
    {"home", 0, "DIR", false, "where everything is made ($SCEPD_HOME, /etc/scepd)"},
    {"data", 0, "DIR", false,
     "keys, certificates and store there (beside the configuration; /var/lib/scepd for "
     "/etc/scepd)"},
    {"name", 0, "TEXT", false, "common name of the authority"},
    {"organization", 0, "TEXT", false, "organization in its name"},
    {"url", 0, "URL", false, "address under which devices reach the daemon"},
    {"bind", 0, "ADDRESS", false, "address to listen on (127.0.0.1)"},
    {"port", 0, "N", false, "port to listen on (8080)"},
    {"admin-port", 0, "N", false,
     "port of /healthz and /metrics on 127.0.0.1 (8081; with --demo 0: none)"},
    {"api-port", 0, "N", false,
     "port of the REST API and the console on 127.0.0.1 (8082; with --demo 0: none)"},
    {"key", 0, "KIND", false, "rsa2048, rsa3072, rsa4096, p256 (default), p384"},
    {"root", 0, "KIND", true, "a root above the authority, with a key of this kind (p384)"},
    {"ra-pair", 0, NULL, false,
     "also two RA certificates as NDES has them, and an endpoint for them"},
    {"ca-decrypts", 0, NULL, false, "the authority's own key may open messages (RSA only)"},
    {"user", 0, "NAME", false,
     "for root: keys and store belong to this account, and scepd becomes it (scepd, if there is "
     "one, in /etc/scepd)"},
    {"passphrase-file", 0, "FILE", false,
     "encrypt the private keys; its first line is the passphrase"},
    {"external-root", 0, NULL, false,
     "the root is elsewhere: make a request for it (then: ca install)"},
    {"from", 0, "SOURCE", false,
     "an authority that exists moves in: directory of openssl ca, easy-rsa or scepserver, PKCS#12, "
     "PEM"},
    {"from-passphrase-file", 0, "FILE", false,
     "opens its key: first line of FILE, of - or of fd:N"},
    {"ca-key", 0, "FILE", false, "with --from: where its key is, if not at a usual place"},
    {"ca-chain", 0, "FILE", false, "with --from: its certificate and those above it"},
    {"skip-bad", 0, NULL, false,
     "with --from: leave out what is malformed or of another authority"},
    {"demo", 0, NULL, false, "five endpoints to try everything; the key is rsa2048 then"},
    END,
};
static const struct ctl_flag challenge_new_flags[] = {
    {"count", 0, "N", false, "how many (1)"},
    {"expires", 0, "TIME", false, "life: 30d, 12h, 90m, or never (1h)"},
    {"uses", 0, "N", false, "how many certificates each is good for, 0 for any number (1)"},
    {"subject", 0, "PATTERN", false, "only for a subject that matches: CN=ipad-0113"},
    {"san", 0, "NAME", false, "only for this alternative name: DNS:host.example.org"},
    {"template", 0, "NAME", false, "only for this template"},
    {"endpoint", 0, "PATH", false, "only at this endpoint"},
    {"label", 0, "TEXT", false, "a note; templates may write it into names"},
    {"format", 0, "FORM", false, "groups (default), or hex16 as NDES has it"},
    {"device", 0, "NAME", false, "for this device, with the names that its policy gives it"},
    {"policy", 0, "NAME", false, "with --device: by this policy (the only one it has)"},
    {"new-device", 0, NULL, false, "with --device: make it, and assign the policy, if it is not there"},
    END,
};
static const struct ctl_flag challenge_list_flags[] = {
    {"state", 0, "STATE", false, "active, used, expired, revoked"},
    {"limit", 0, "N", false, "at most so many (50); 0 for all"},
    END,
};
static const struct ctl_flag device_list_flags[] = {
    {"search", 's', "TEXT", false, "whose name or serial number begins so, any case"},
    {"state", 0, "STATE", false, "active, isolated, retired"},
    {"platform", 0, "NAME", false, "apple, windows, android, chromeos, network, linux, other"},
    {"user", 0, "NAME", false, "of this user"},
    {"group", 0, "NAME", false, "in this group, or whose user is"},
    {"policy", 0, "NAME", false, "that have this policy, by whichever way"},
    {"limit", 0, "N", false, "at most so many (50); 0 for all"},
    END,
};
#define DEVICE_MEMBERS                                                                        \
    {"platform", 0, "NAME", false, "apple, windows, android, chromeos, network, linux, other"}, \
        {"serial-number", 0, "TEXT", false, "of its maker"},                                  \
        {"udid", 0, "TEXT", false, "or any other identifier of its platform"},                \
        {"user", 0, "NAME", false, "log-in name or UPN of who has it"},                       \
        {"email", 0, "ADDRESS", false, "of who has it"},                                      \
        {"host", 0, "NAME", false, "its full host name"}
static const struct ctl_flag device_new_flags[] = {DEVICE_MEMBERS, END};
static const struct ctl_flag device_edit_flags[] = {
    {"name", 0, "NAME", false, "a new name"},
    DEVICE_MEMBERS,
    END,
};
static const struct ctl_flag device_note_flags[] = {
    {"note", 0, "TEXT", false, "a word on why; kept in the audit log"},
    END,
};
static const struct ctl_flag device_retire_flags[] = {
    {"note", 0, "TEXT", false, "a word on why; kept in the audit log"},
    {"from", 0, "FILE", false,
     "ids, one a line, as \"device list --ids\" writes them; - for standard input"},
    END,
};
static const struct ctl_flag device_import_flags[] = {
    {"policy", 0, "NAME", false, "assign this policy to every device"},
    {"challenges", 0, "FILE", false,
     "with --policy: a challenge for every device that has no certificate by it, into FILE (mode 0600)"},
    {"expires", 0, "TIME", false, "life of these challenges (as the policy says)"},
    {"format", 0, "FORM", false, "groups (default), or hex16 as NDES has it"},
    {"update", 0, NULL, false, "devices that exist become what the file says"},
    {"partial", 0, NULL, false, "leave out lines with a mistake and take the rest"},
    {"new-groups", 0, NULL, false, "make groups of devices that do not exist"},
    END,
};
static const struct ctl_flag limit_flags[] = {
    {"limit", 0, "N", false, "at most so many (50); 0 for all"},
    END,
};
static const struct ctl_flag name_list_flags[] = {
    {"search", 's', "TEXT", false, "whose name begins so, any case"},
    {"limit", 0, "N", false, "at most so many (50); 0 for all"},
    END,
};
static const struct ctl_flag group_new_flags[] = {
    {"users", 0, NULL, false, "its members are users, whose devices count, instead of devices"},
    {"note", 0, "TEXT", false, "what it is for"},
    END,
};
static const struct ctl_flag group_edit_flags[] = {
    {"name", 0, "NAME", false, "a new name"},
    {"note", 0, "TEXT", false, "what it is for"},
    END,
};
#define POLICY_MEMBERS                                                                          \
    {"subject", 0, "PATTERN", false, "with wildcards: CN=%devicename%,O=Example"},              \
        {"san", 0, "PATTERN", false, "alternative names: DNS:%host%,UPN:%user%@example.org"},   \
        {"endpoint", 0, "PATH", false, "where its devices enrol (the only one)"},               \
        {"challenge", 0, "KIND", false, "one-time, static, upstream or none"},                  \
        {"expires", 0, "TIME", false, "life of a one-time challenge (1h)"},                     \
        {"key", 0, "KIND", false, "rsa2048, rsa3072, rsa4096, p256, p384 (and rsa1024)"},       \
        {"key-usage", 0, "USAGE", false, "signing, encryption or both (what the template gives)"}, \
        {"eku", 0, "NAMES", false, "extended key usages, commas between (the template's)"},     \
        {"retries", 0, "N", false, "how often a device asks again: 0 to 30 (3)"},               \
        {"retry-delay", 0, "TIME", false, "and how long it waits between (10s)"},               \
        {"revoke-on-removal", 0, "yes|no", false,                                               \
         "are certificates revoked when a device loses the policy? (yes)"}
static const struct ctl_flag policy_new_flags[] = {POLICY_MEMBERS, END};
static const struct ctl_flag policy_edit_flags[] = {
    {"name", 0, "NAME", false, "a new name"},
    POLICY_MEMBERS,
    END,
};
static const struct ctl_flag policy_check_flags[] = {
    {"csr", 0, "FILE", false, "would this request of the device get a certificate? PEM or DER, - for standard input"},
    END,
};
static const struct ctl_flag policy_assign_flags[] = {
    {"force", 0, NULL, false, "to a group, though the subject has nothing of the device in it"},
    END,
};
static const struct ctl_flag profile_new_flags[] = {
    {"device", 0, "NAME", false, "for this device"},
    {"policy", 0, "NAME", false, "by this policy (the only one that the device has)"},
    {"new-device", 0, NULL, false, "make the device, and assign the policy, if it is not there"},
    {"expires", 0, "TIME", false, "life of its challenge (as the policy says)"},
    {"out", 'o', "FILE", false, "into this new file, mode 0600, instead of standard output"},
    END,
};
static const struct ctl_flag request_list_flags[] = {
    {"state", 0, "STATE", false, "pending, approved, denied, issued, expired"},
    {"limit", 0, "N", false, "at most so many (50); 0 for all"},
    END,
};
static const struct ctl_flag note_flags[] = {
    {"note", 0, "TEXT", false, "a word on why; kept with the request"},
    END,
};
static const struct ctl_flag cert_list_flags[] = {
    {"state", 0, "STATE", false, "active, revoked, held, superseded, expired"},
    {"search", 's', "TEXT", false, "a part of the subject or an alternative name, any case"},
    {"expires-within", 0, "TIME", false, "valid now, and ending within this time"},
    {"expiring", 0, "TIME", false, "the same as --expires-within"},
    {"since", 0, "WHEN", false, "issued then or later: 2026-11-28, or 30d for 30 days ago"},
    {"until", 0, "WHEN", false, "issued before"},
    {"challenge", 0, "ID", false, "issued for this challenge"},
    {"sort", 0, "ORDER", false, "newest (default) or oldest first"},
    {"endpoint", 0, "PATH", false, "issued at this endpoint"},
    {"template", 0, "NAME", false, "issued by this template"},
    {"device", 0, "NAME", false, "of this device"},
    {"policy", 0, "NAME", false, "by this policy"},
    {"limit", 0, "N", false, "at most so many (50); 0 for all"},
    END,
};
static const struct ctl_flag der_flags[] = {{"der", 0, NULL, false, "DER instead of PEM"}, END};
static const struct ctl_flag revoke_flags[] = {
    {"reason", 0, "REASON", false,
     "unspecified (default), key-compromise, affiliation-changed, superseded, cessation, hold, "
     "privilege-withdrawn"},
    {"device", 0, "DEVICE", false, "all that this device could still show"},
    {"from", 0, "FILE", false,
     "serials, one a line, as \"cert list --ids\" writes them; - for standard input"},
    END,
};
static const struct ctl_flag from_flags[] = {
    {"from", 0, "FILE", false, "serials, one a line; - for standard input"},
    END,
};
static const struct ctl_flag crl_export_flags[] = {
    {"generation", 0, "N", false, "of the authority; the newest that has a list unless said"},
    {"partition", 0, "N", false, "one of its partitions instead of the complete list"},
    {"delta", 0, NULL, false, "the delta to the complete list"},
    {"der", 0, NULL, false, "DER instead of PEM"},
    END,
};
static const struct ctl_flag backup_flags[] = {
    {"keep", 0, "N", false, "in a directory: then remove older backups but the newest N"},
    END,
};
static const struct ctl_flag purge_flags[] = {
    {"older-than", 0, "TIME", false, "what ended so long ago: 365d; 30d at least"},
    END,
};
static const struct ctl_flag verify_flags[] = {
    {"against", 0, "FILE", false,
     "compare with this copy, made by audit export; - for standard input"},
    END,
};
static const struct ctl_flag export_flags[] = {
    {"from", 0, "N", false, "begin at this number"},
    END,
};
static const struct ctl_flag rollover_flags[] = {
    {"key", 0, "KIND", false, "new: rsa2048, rsa3072, rsa4096, p256, p384 (as the current one's)"},
    {"name", 0, "TEXT", false, "new: common name (the current one with the generation's number)"},
    {"validity", 0, "TIME", false, "new: life of its certificate (as the current one's)"},
    {"at", 0, "DAY", false, "new: takes over then: 2027-03-01 (after rollover.announce)"},
    {"by-hand", 0, NULL, false, "new: takes over only when \"activate\" says so"},
    {"root-key", 0, "FILE", false, "new: key of the CA above (rollover.root_key)"},
    {"ra", 0, NULL, false, "new: not a next CA, but new RA certificates at once"},
    END,
};
static const struct ctl_flag ca_export_flags[] = {
    {"next", 0, NULL, false, "the next CA's, before it takes over"},
    {"generation", 0, "N", false, "of this generation (the current one)"},
    {"chain", 0, NULL, false, "with the issuers above, nearest first"},
    {"der", 0, NULL, false, "DER instead of PEM"},
    END,
};
static const struct ctl_flag ca_csr_flags[] = {
    {"next", 0, NULL, false, "for the next CA, with a key of its own that is made here"},
    {"key", 0, "KIND", false, "with --next: kind of its key (as the current one's)"},
    {"name", 0, "TEXT", false, "with --next: its common name (the current one's with a number)"},
    END,
};
static const struct ctl_flag ca_install_flags[] = {
    {"at", 0, "DAY", false, "a next CA: when it takes over (by the rules of the configuration)"},
    {"by-hand", 0, NULL, false, "a next CA: not before ca rollover activate"},
    {"authority", 0, "NAME", false, "of this one (the one that waits, or the only one)"},
    END,
};
static const struct ctl_flag ca_import_flags[] = {
    {"authority", 0, "NAME", false, "into this one (the only one)"},
    {"template", 0, "NAME", false, "by which its devices renew (the only one); none: not at all"},
    {"endpoint", 0, "PATH", false, "where its devices renew, by that endpoint's template"},
    {"skip-bad", 0, NULL, false, "leave out what is malformed or of another authority"},
    {"ra", 0, "FILE", false, "also its RA, key and certificate: devices may go on writing to it"},
    {"ra-signing", 0, "FILE", false, "with --ra-encryption: a pair, as NDES has it"},
    {"ra-encryption", 0, "FILE", false, "the other one"},
    {"ra-passphrase-file", 0, "FILE", false, "opens their keys: first line of FILE, of - or of fd:N"},
    END,
};
static const struct ctl_flag audit_flags[] = {
    {"from", 0, "N", false, "begin at this number"},
    {"event", 0, "NAME", false, "events that begin so: certificate, challenge.revoked"},
    {"actor", 0, "NAME", false, "by this administrator or endpoint"},
    {"object", 0, "ID", false, "about this serial, challenge or request, or its beginning"},
    {"since", 0, "WHEN", false, "then or later: 2026-11-28, or 30d for 30 days ago"},
    {"until", 0, "WHEN", false, "before"},
    {"reads", 0, NULL, false, "also what was only read by way of the API (api.read)"},
    {"limit", 0, "N", false, "at most so many (50); 0 for all"},
    END,
};

/* clang-format off */
const struct ctl_verb ctl_verbs[] = {
    {"init", "", "", 0, 0, "make an authority: keys, certificates, configuration, store", init_flags,
     {"sudo scepctl init --name \"Example Device CA\" --url http://scep.example.org",
      "scepctl init --home ./demo --demo", "scepctl init --home /srv/scepd --from /etc/ssl/demoCA"},
     ctl_init},
    {"status", "", "", 0, 0, "is all well, and for how long? What /healthz says; exit 7 if something is not", NO_FLAGS,
     {"scepctl status", "scepctl status --json", NULL}, ctl_status},
    {"explain", "", "DEVICE|TRANSACTION|SUBJECT|SERIAL|ADDRESS|CHALLENGE|REQUEST|REASON", 1, 1,
     "what a device tried, what was checked, what stopped it, and what to do", ctl_explain_flags,
     {"scepctl explain ipad-0113", "scepctl explain 10.20.4.9", "scepctl explain challenge.used"}, ctl_explain},
    {"ca", "show", "[NAME]", 0, 1, "the authority's certificates, fingerprints and revocation list", NO_FLAGS,
     {"scepctl ca show", "scepctl ca show --json", NULL}, ctl_ca_show},
    {"ca", "export", "[NAME]", 0, 1, "the authority's certificate", ca_export_flags,
     {"scepctl ca export > ca.pem", "scepctl ca export --chain > chain.pem", "scepctl ca export --der > ca.crt"},
     ctl_ca_export},
    {"ca", "rollover", "[new|status|activate|abort [NAME]]", 0, 2,
     "the next key of an authority: make it, see what comes when, let it take over", rollover_flags,
     {"scepctl ca rollover status", "scepctl ca rollover new --dry-run",
      "scepctl ca rollover activate --yes --expect devices"}, ctl_ca_rollover},
    {"ca", "import", "[SOURCE...]", 0, CTL_MAX_IDS,
     "what an older authority with the same key issued and revoked: openssl's, easy-rsa's, scepserver's, PEM and CRL",
     ca_import_flags,
     {"scepctl ca import /etc/ssl/demoCA --dry-run", "scepctl ca import ./depot --yes",
      "scepctl ca import issued.pem old.crl --template device --skip-bad"}, ctl_ca_import},
    {"ca", "csr", "[NAME]", 0, 1, "the request for an outside root, PEM", ca_csr_flags,
     {"scepctl ca csr > ca.csr", "scepctl ca csr --next > next.csr", NULL},
     ctl_ca_csr},
    {"ca", "install", "ANSWER...", 1, CTL_MAX_IDS,
     "the certificate from an outside root, with those above it: PEM, DER or PKCS#7", ca_install_flags,
     {"scepctl ca install ca.pem root.pem", "scepctl ca install answer.p7b --dry-run", NULL}, ctl_ca_install},
    {"ca", "tls", "[NAME]", 0, 1, "certificate and key for the TLS of the API and the console", ctl_ca_tls_flags,
     {"scepctl ca tls --host scepd.example.org", "scepctl ca tls --host scepd.example.org,192.0.2.10 --validity 398d", NULL}, ctl_ca_tls},
    {"challenge", "new", "", 0, 0, "make challenge passwords: on standard output alone, one a line", challenge_new_flags,
     {"scepctl challenge new", "scepctl challenge new --expires 2d --subject CN=ipad-0113",
      "scepctl challenge new --device ipad-0113"}, ctl_challenge_new},
    {"challenge", "list", "", 0, 0, "challenges, never their passwords", challenge_list_flags,
     {"scepctl challenge list --state active", "scepctl challenge list --json", NULL}, ctl_challenge_list},
    {"challenge", "show", "ID", 1, 1, "one challenge: its bounds and its last use", NO_FLAGS,
     {"scepctl challenge show chl_4h7t2m", NULL, NULL}, ctl_challenge_show},
    {"challenge", "revoke", "ID...", 1, CTL_MAX_IDS, "make challenges worthless", NO_FLAGS,
     {"scepctl challenge revoke chl_4h7t2m", NULL, NULL}, ctl_challenge_revoke},
    {"device", "list", "", 0, 0, "devices, by name", device_list_flags,
     {"scepctl device list --state active --policy corp", "scepctl device list -s ipad- --json",
      "scepctl device list --group lab --ids | scepctl device retire --from - --yes --expect 214"}, ctl_device_list},
    {"device", "show", "ID|NAME", 1, 1, "one device: what it is, its groups, policies and certificates", NO_FLAGS,
     {"scepctl device show ipad-0113", NULL, NULL}, ctl_device_show},
    {"device", "new", "NAME", 1, 1, "make a device known; its id is printed", device_new_flags,
     {"scepctl device new ipad-0113 --platform apple --serial-number C02XG0FDH7JY --user anna", NULL, NULL}, ctl_device_new},
    {"device", "edit", "ID|NAME", 1, 1, "change what is known of a device; an empty value takes it away", device_edit_flags,
     {"scepctl device edit ipad-0113 --user ben --email ben@example.org", NULL, NULL}, ctl_device_edit},
    {"device", "isolate", "ID|NAME...", 1, CTL_MAX_IDS, "it may renew what it has and gets nothing new", device_note_flags,
     {"scepctl device isolate ipad-0113 --note \"lost, perhaps\"", NULL, NULL}, ctl_device_isolate},
    {"device", "release", "ID|NAME...", 1, CTL_MAX_IDS, "end the isolation of devices", device_note_flags,
     {"scepctl device release ipad-0113", NULL, NULL}, ctl_device_release},
    {"device", "retire", "[ID|NAME...]", 0, CTL_MAX_IDS,
     "for good: certificates revoked, requests cancelled, challenges void", device_retire_flags,
     {"scepctl device retire ipad-0113 --note sold", "scepctl device retire ipad-0113 --dry-run",
      "scepctl device list --user anna --ids | scepctl device retire --from - --yes --expect 3"}, ctl_device_retire},
    {"device", "history", "ID|NAME", 1, 1, "what it tried and what was done with it, newest first", limit_flags,
     {"scepctl device history ipad-0113", NULL, NULL}, ctl_device_history},
    {"device", "import", "FILE|-", 1, 1, "devices from comma-separated values; the first line names the columns", device_import_flags,
     {"scepctl device import fleet.csv --dry-run", "scepctl device import fleet.csv --policy corp --challenges out.csv",
      "scepctl device import fleet.csv --update --new-groups"}, ctl_device_import},
    {"group", "list", "", 0, 0, "groups of devices or users, by name", name_list_flags,
     {"scepctl group list", NULL, NULL}, ctl_group_list},
    {"group", "show", "ID|NAME", 1, 1, "one group and its policies", NO_FLAGS,
     {"scepctl group show sales", NULL, NULL}, ctl_group_show},
    {"group", "members", "ID|NAME", 1, 1, "who is in it", limit_flags,
     {"scepctl group members sales --limit 0", NULL, NULL}, ctl_group_members},
    {"group", "new", "NAME", 1, 1, "make a group; its id is printed", group_new_flags,
     {"scepctl group new sales", "scepctl group new staff --users", NULL}, ctl_group_new},
    {"group", "edit", "ID|NAME", 1, 1, "change its name or note", group_edit_flags,
     {"scepctl group edit sales --name \"Sales EMEA\"", NULL, NULL}, ctl_group_edit},
    {"group", "add", "GROUP MEMBER...", 2, CTL_MAX_IDS, "devices, or users, join a group and get its policies", NO_FLAGS,
     {"scepctl group add sales ipad-0113 ipad-0114", "scepctl group add staff anna", NULL}, ctl_group_add},
    {"group", "drop", "GROUP MEMBER...", 2, CTL_MAX_IDS, "they leave it, and lose policies that they have by it alone", NO_FLAGS,
     {"scepctl group drop sales ipad-0113 --dry-run", NULL, NULL}, ctl_group_drop},
    {"group", "remove", "ID|NAME", 1, 1, "take a group away, and with it what its members have by it alone", NO_FLAGS,
     {"scepctl group remove sales --dry-run", "scepctl group remove sales --yes --expect 214", NULL}, ctl_group_remove},
    {"group", "history", "ID|NAME", 1, 1, "what was done with it, newest first", limit_flags,
     {"scepctl group history sales", NULL, NULL}, ctl_group_history},
    {"policy", "list", "", 0, 0, "policies, by name", name_list_flags, {"scepctl policy list", NULL, NULL}, ctl_policy_list},
    {"policy", "show", "ID|NAME", 1, 1, "one policy and what it is assigned to", NO_FLAGS,
     {"scepctl policy show corp", NULL, NULL}, ctl_policy_show},
    {"policy", "new", "NAME", 1, 1, "say which certificate devices shall have; its id is printed", policy_new_flags,
     {"scepctl policy new corp --subject CN=%devicename%,O=Example --san DNS:%host% --endpoint /scep/corp", NULL, NULL},
     ctl_policy_new},
    {"policy", "edit", "ID|NAME", 1, 1, "change a policy; open challenges go when names do", policy_edit_flags,
     {"scepctl policy edit corp --retries 10 --retry-delay 60s", NULL, NULL}, ctl_policy_edit},
    {"policy", "pause", "ID|NAME", 1, 1, "nothing is issued or renewed by it until it is resumed", NO_FLAGS,
     {"scepctl policy pause corp", NULL, NULL}, ctl_policy_pause},
    {"policy", "resume", "ID|NAME", 1, 1, "end a pause", NO_FLAGS, {"scepctl policy resume corp", NULL, NULL}, ctl_policy_resume},
    {"policy", "check", "POLICY [DEVICE]", 1, 2, "what a device would get, and whether it may; or: all its devices; exit 7 if not",
     policy_check_flags,
     {"scepctl policy check corp", "scepctl policy check corp ipad-0113", "scepctl policy check corp ipad-0113 --csr ipad.csr"},
     ctl_policy_check},
    {"policy", "assign", "POLICY DEVICE|GROUP...", 2, CTL_MAX_IDS, "these shall have it", policy_assign_flags,
     {"scepctl policy assign corp sales", "scepctl policy assign corp ipad-0113", NULL}, ctl_policy_assign},
    {"policy", "unassign", "POLICY DEVICE|GROUP...", 2, CTL_MAX_IDS,
     "who has it by no other way loses it: certificates, requests, challenges", NO_FLAGS,
     {"scepctl policy unassign corp sales --dry-run", "scepctl policy unassign corp sales --yes --expect 214", NULL},
     ctl_policy_unassign},
    {"policy", "remove", "ID|NAME", 1, 1, "take a policy away from all its devices, and then itself", NO_FLAGS,
     {"scepctl policy remove corp --dry-run", "scepctl policy remove corp --yes --expect 214", NULL}, ctl_policy_remove},
    {"policy", "history", "ID|NAME", 1, 1, "what its devices tried and what was done with it, newest first", limit_flags,
     {"scepctl policy history corp", NULL, NULL}, ctl_policy_history},
    {"profile", "new", "KIND", 1, 1,
     "the file that tells a device what to ask for: apple, windows, android, chromeos, cisco, strongswan, certmonger, jamf",
     profile_new_flags,
     {"scepctl profile new apple --device ipad-0113 -o ipad-0113.mobileconfig",
      "scepctl profile new cisco --device rtr-1 --policy vpn --expires 10m", "scepctl profile new jamf --policy wifi > wifi.mobileconfig"},
     ctl_profile_new},
    {"request", "list", "", 0, 0, "requests that needed or need approval", request_list_flags,
     {"scepctl request list --state pending", "scepctl request list --json", NULL}, ctl_request_list},
    {"request", "show", "ID", 1, 1, "one request", NO_FLAGS,
     {"scepctl request show req_8k2m1c", NULL, NULL}, ctl_request_show},
    {"request", "approve", "ID...", 1, CTL_MAX_IDS, "let the device have its certificate at its next poll", note_flags,
     {"scepctl request approve req_8k2m1c", "scepctl request approve req_8k2m1c --note \"called Anna\"", NULL},
     ctl_request_approve},
    {"request", "cancel", "ID...", 1, CTL_MAX_IDS, "take back a request, or an approval that was not fetched yet", note_flags,
     {"scepctl request cancel req_8k2m1c --note \"wrong device\"", NULL, NULL}, ctl_request_cancel},
    {"request", "deny", "ID...", 1, CTL_MAX_IDS, "refuse; the device is told at its next poll", note_flags,
     {"scepctl request deny req_8k2m1c --note \"not our device\"", NULL, NULL}, ctl_request_deny},
    {"cert", "list", "", 0, 0, "certificates, newest first", cert_list_flags,
     {"scepctl cert list --expires-within 30d", "scepctl cert list -s ipad-0113",
      "scepctl cert list --state revoked --limit 0 --json"}, ctl_cert_list},
    {"cert", "show", "SERIAL|FILE|-", 1, 1, "one certificate by the beginning of its serial, or of a file", NO_FLAGS,
     {"scepctl cert show 5c1f09", "scepctl cert show ./device.pem", "openssl x509 -in x.der -inform DER | scepctl cert show -"},
     ctl_cert_show},
    {"cert", "export", "SERIAL", 1, 1, "one certificate", der_flags,
     {"scepctl cert export 5c1f09 > device.pem", "scepctl cert export 5c1f09 --der > device.crt", NULL}, ctl_cert_export},
    {"cert", "revoke", "[SERIAL...]", 0, CTL_MAX_IDS, "take certificates back for good (or hold them)", revoke_flags,
     {"scepctl cert revoke 5c1f09 --reason key-compromise", "scepctl cert revoke --device ipad-0113 --dry-run",
      "scepctl cert list -s lab- --ids | scepctl cert revoke --from - --yes --expect 214"}, ctl_cert_revoke},
    {"cert", "release", "[SERIAL...]", 0, CTL_MAX_IDS, "end the hold of certificates", from_flags,
     {"scepctl cert release 5c1f09", NULL, NULL}, ctl_cert_release},
    {"crl", "show", "[AUTHORITY|FILE|-]", 0, 1, "the revocation lists: number, times, entries, size", NO_FLAGS,
     {"scepctl crl show", "scepctl crl show ./ca.crl", "curl -s http://ca.example.org/crl/main.crl | scepctl crl show -"},
     ctl_crl_show},
    {"crl", "export", "[AUTHORITY]", 0, 1, "a revocation list", crl_export_flags,
     {"scepctl crl export > ca.crl.pem", "scepctl crl export --der > ca.crl", NULL}, ctl_crl_export},
    {"crl", "publish", "[AUTHORITY]", 0, 1, "make a new revocation list now", NO_FLAGS,
     {"sudo scepctl crl publish", NULL, NULL}, ctl_crl_publish},
    {"crl", "import", "FILE|-", 1, 1, "the list of an issuer above whose key is not here (an offline root), PEM or DER", NO_FLAGS,
     {"scepctl crl import root.crl", "scepctl crl import root.crl --dry-run", NULL}, ctl_crl_import},
    {"ocsp", "import", "FILE|-", 1, 1, "an OCSP answer that such an issuer has signed, DER", NO_FLAGS,
     {"scepctl ocsp import answer.ocsp", NULL, NULL}, ctl_ocsp_import},
    {"config", "check", "[FILE]", 0, 1, "every mistake of the configuration at once; exit 7 if there is any", NO_FLAGS,
     {"scepctl config check", "scepctl config check ./scepd.conf.new", NULL}, ctl_config_check},
    {"config", "show", "[SETTING]", 0, 1, "what the configuration says: all in short, or one value", NO_FLAGS,
     {"scepctl config show", "scepctl config show url", NULL}, ctl_config_show},
    {"config", "schema", "", 0, 0, "every setting with type, default and range", NO_FLAGS,
     {"scepctl config schema", "scepctl config schema --json", NULL}, ctl_config_schema},
    {"store", "stats", "", 0, 0, "how much is stored", NO_FLAGS, {"scepctl store stats", NULL, NULL}, ctl_store_stats},
    {"store", "verify", "", 0, 0, "prove that records, indexes and audit log agree; exit 7 if not", NO_FLAGS,
     {"scepctl store verify", NULL, NULL}, ctl_store_verify},
    {"store", "backup", "DIR|FILE", 1, 1, "copy the store while scepd runs: whole, verified, on the disk", backup_flags,
     {"scepctl store backup /var/backups/scepd --keep 14", "scepctl store backup ./before-upgrade.mdb", NULL},
     ctl_store_backup},
    {"store", "restore", "FILE", 1, 1, "put a backup in the place of a store that is gone; scepd must not run", NO_FLAGS,
     {"scepctl store restore /var/backups/scepd/scepd-20261125T020000Z.mdb",
      "scepctl store restore ./before-upgrade.mdb --dry-run", "scepctl store restore ./b.mdb --yes --expect main"},
     ctl_store_restore},
    {"store", "purge", "requests|challenges|certs|devices|removals...", 1, 5, "forget what ended long ago and nothing needs any more", purge_flags,
     {"scepctl store purge requests challenges --older-than 365d --dry-run", "scepctl store purge certs --older-than 730d", NULL},
     ctl_store_purge},
    {"admin", "list", "", 0, 0, "who may sign in at the API and the console", NO_FLAGS,
     {"scepctl admin list", "scepctl admin list --json", NULL}, ctl_admin_list},
    {"admin", "show", "NAME", 1, 1, "one administrator", NO_FLAGS, {"scepctl admin show anna", NULL, NULL}, ctl_admin_show},
    {"admin", "new", "NAME", 1, 1, "a new administrator", ctl_admin_new_flags,
     {"scepctl admin new anna", "scepctl admin new helpdesk --role operator", "scepctl admin new ben --certificate ben.pem"},
     ctl_admin_new},
    {"admin", "edit", "NAME", 1, 1, "change role, name, certificate, or whether one may sign in", ctl_admin_edit_flags,
     {"scepctl admin edit anna --role auditor", "scepctl admin edit anna --certificate none", "scepctl admin edit anna --enable"},
     ctl_admin_edit},
    {"admin", "disable", "NAME", 1, 1, "let an administrator not sign in any more; what was presented before counts no more", NO_FLAGS,
     {"scepctl admin disable anna", NULL, NULL}, ctl_admin_disable},
    {"admin", "token", "[new NAME|list [NAME]|revoke ID...]", 0, CTL_MAX_IDS,
     "tokens for programs: a new one on standard output alone, once; all that there are", ctl_admin_token_flags,
     {"scepctl admin token new mdm --expires 365d --label Jamf", "scepctl admin token list anna", "scepctl admin token revoke tok_4h7t2mc9"},
     ctl_admin_token},
    {"console", "", "", 0, 0, "a link that signs you in at the console, once, within 5 minutes", ctl_console_flags,
     {"scepctl console", "scepctl console --admin anna", NULL}, ctl_console},
    {"audit", "list", "", 0, 0, "what was done, by whom", audit_flags,
     {"scepctl audit list", "scepctl audit list --from 1 --limit 0 --json", NULL}, ctl_audit_list},
    {"audit", "show", "NUMBER", 1, 1, "one entry", NO_FLAGS, {"scepctl audit show 813", NULL, NULL}, ctl_audit_show},
    {"audit", "verify", "", 0, 0, "prove that no entry was changed, taken out or put in; exit 7 if one was", verify_flags,
     {"scepctl audit verify", "scepctl audit verify --against audit-2026-11.jsonl", NULL}, ctl_audit_verify},
    {"audit", "export", "", 0, 0, "the whole log as JSON, one entry a line, with the values of the chain", export_flags,
     {"scepctl audit export > audit-2026-11.jsonl", "scepctl audit export --from 4711 >> audit.jsonl", NULL}, ctl_audit_export},
    {"client", "caps", "URL", 1, 1, "what a SCEP server says it can", ctl_client_server_flags,
     {"scepctl client caps http://scep.example.org/scep", NULL, NULL}, ctl_client_caps},
    {"client", "getca", "URL", 1, 1, "the certificates that a SCEP server hands out, PEM", ctl_client_server_flags,
     {"scepctl client getca http://scep.example.org/scep > ca.pem", NULL, NULL}, ctl_client_getca},
    {"client", "nextca", "URL", 1, 1, "the certificates that will follow, verified by those that it has now", ctl_client_server_flags,
     {"scepctl client nextca http://scep.example.org/scep > next.pem", NULL, NULL}, ctl_client_nextca},
    {"client", "enrol", "URL", 1, 1, "get a certificate from any SCEP server", ctl_client_enrol_flags,
     {"scepctl client enrol http://scep.example.org/scep --subject CN=my-device --key my.key --out my.pem "
      "--challenge-file pass", NULL, NULL}, ctl_client_enrol},
    {"client", "renew", "URL", 1, 1, "renew a certificate with itself", ctl_client_renew_flags,
     {"scepctl client renew http://scep.example.org/scep --cert my.pem --key my.key --new-key new.key --out new.pem",
      NULL, NULL}, ctl_client_renew},
    {"client", "poll", "URL", 1, 1, "ask whether a waiting request was approved", ctl_client_poll_flags,
     {"scepctl client poll http://scep.example.org/scep --subject CN=my-device --key my.key --out my.pem", NULL, NULL},
     ctl_client_poll},
    {"probe", "", "URL", 1, 1, "what any SCEP server supports, and which clients will stumble over it; exit 7 if it fails one",
     ctl_probe_flags,
     {"scepctl probe http://scep.example.org/scep", "scepctl probe http://scep.example.org/scep --json",
      "scepctl challenge new -q | scepctl probe http://scep.example.org/scep --enrol --challenge-file -"}, ctl_probe},
    {"completion", "", "bash|zsh|fish", 1, CTL_MAX_IDS, "a script that completes scepctl's words in a shell", NO_FLAGS,
     {"source <(scepctl completion bash)", "scepctl completion fish > ~/.config/fish/completions/scepctl.fish", NULL},
     ctl_completion},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, {NULL, NULL, NULL}, NULL},
};
/* clang-format on */

/* Singular nouns; the plural is understood. */
static bool same_noun(const char *noun, const char *word)
{
    size_t n = strlen(noun);
    return strncmp(noun, word, n) == 0 &&
           (word[n] == '\0' || (word[n] == 's' && word[n + 1] == '\0'));
}

static const struct ctl_verb *find_noun(const char *word)
{
    for (const struct ctl_verb *v = ctl_verbs; v->noun; v++)
        if (same_noun(v->noun, word))
            return v;
    return NULL;
}

static int unknown_noun(struct ctl *ctl, const char *word)
{
    char clean[96], hint[128];
    struct suggest near = suggest_start(word);
    for (const struct ctl_verb *v = ctl_verbs; v->noun; v++)
        suggest_offer(&near, v->noun);
    ctl_clean(word, clean, sizeof clean);
    return ctl_fail(ctl, CTL_USAGE, "scepctl --help", "there is no \"%s\"%s", clean,
                    suggest_text(&near, hint, sizeof hint));
}

/* What people look for there, and where it is. */
static const struct {
    const char *fix, *noun, *word;
} elsewhere[] = {
    {"scepctl cert revoke --device NAME, and the device stays; scepctl device retire NAME, for good",
     "device", "revoke"},
    {"scepctl device retire NAME", "device", "remove"},
    {"scepctl device retire NAME", "device", "delete"},
};

static int unknown_verb(struct ctl *ctl, const struct ctl_verb *noun, const char *word)
{
    char clean[96], hint[128], fix[128];
    struct suggest near = suggest_start(word);
    for (const struct ctl_verb *v = noun; v->noun && strcmp(v->noun, noun->noun) == 0; v++)
        suggest_offer(&near, v->verb);
    ctl_clean(word, clean, sizeof clean);
    snprintf(fix, sizeof fix, "scepctl %s", noun->noun);
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (strcmp(elsewhere[i].noun, noun->noun) == 0 && strcmp(elsewhere[i].word, word) == 0)
            snprintf(fix, sizeof fix, "%s", elsewhere[i].fix);
    return ctl_fail(ctl, CTL_USAGE, fix, "%s has no verb \"%s\"%s", noun->noun, clean,
                    suggest_text(&near, hint, sizeof hint));
}

static int print_version(void)
{
    printf("scepctl %s\n", SCEPD_VERSION);
    return CTL_DONE;
}

static int run_verb(struct ctl *ctl, const struct ctl_verb *v, int argc, char **argv)
{
    struct ctl_args args = {0};
    int used, help = 0, rc = ctl_args_parse(ctl, argc, argv, v, false, &used, &args, &help);
    char fix[96];
    snprintf(fix, sizeof fix, "scepctl %s%s%s --help", v->noun, v->verb[0] ? " " : "", v->verb);
    if (help == CTL_HELP_VERSION)
        return print_version();
    if (help) {
        ctl_help_verb(v, help == CTL_HELP_LONG);
        return CTL_DONE;
    }
    if (rc)
        return rc;
    if (ctl->json + ctl->csv + ctl->ids > 1)
        return ctl_fail(ctl, CTL_USAGE, fix, "--json, --csv and --ids exclude each other");
    if (ctl->dry_run && strcmp(v->noun, "client") == 0)
        return ctl_fail(ctl, CTL_USAGE, NULL, "client has no --dry-run: nothing was sent");
    if (args.id_n < v->ids_min)
        return ctl_fail(ctl, CTL_USAGE, fix, "%s%s%s needs %s", v->noun, *v->verb ? " " : "", v->verb, v->ids);
    if (args.id_n > v->ids_max) {
        char clean[96];
        ctl_clean(args.id[v->ids_max], clean, sizeof clean);
        return ctl_fail(ctl, CTL_USAGE, fix, "%s%s%s does not take \"%s\"", v->noun,
                        v->verb[0] ? " " : "", v->verb, clean);
    }
    return v->run(ctl, &args);
}

/* `scepctl NOUN [-h] [VERB ...]` */
static int run_noun(struct ctl *ctl, const struct ctl_verb *noun, int argc, char **argv)
{
    struct ctl_args none = {0};
    int used, help = 0;
    if (noun->verb[0] == '\0')
        return run_verb(ctl, noun, argc - 1, argv + 1);
    int rc = ctl_args_parse(ctl, argc - 1, argv + 1, NULL, true, &used, &none, &help);
    if (rc)
        return rc;
    if (help == CTL_HELP_VERSION)
        return print_version();
    if (help || 1 + used == argc) {
        ctl_help_noun(noun->noun);
        return CTL_DONE;
    }
    const char *word = argv[1 + used];
    for (const struct ctl_verb *v = noun; v->noun && strcmp(v->noun, noun->noun) == 0; v++)
        if (strcmp(v->verb, word) == 0)
            return run_verb(ctl, v, argc - 2 - used, argv + 2 + used);
    return unknown_verb(ctl, noun, word);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
    struct ctl_args none = {0};
    int used, help = 0,
              rc = ctl_args_parse(ctl, argc - 1, argv + 1, NULL, true, &used, &none, &help);
    if (rc)
        return rc;
    if (help == CTL_HELP_VERSION)
        return print_version();
    if (help || 1 + used >= argc) {
        ctl_help_all();
        return CTL_DONE;
    }
    const struct ctl_verb *noun = find_noun(argv[1 + used]);
    if (!noun)
        return unknown_noun(ctl, argv[1 + used]);
    return run_noun(ctl, noun, argc - 1 - used, argv + 1 + used);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.now = (int64_t)time(NULL)};
    if (!file_keep_standard())
        return CTL_FAILED; /* and nowhere to say so */
    signal(SIGXFSZ, SIG_IGN); /* above RLIMIT_FSIZE it is as on a full disk */
    json_set_alloc_funcs(malloc, wipe_free);
    ctl_actor(ctl.actor);
    int rc = run(&ctl, argc, argv);
    ctl_clear(&ctl);
    /* A full disk behind a redirection must not look like success. */
    if ((fflush(stdout) || ferror(stdout)) && rc == CTL_DONE)
        rc = ctl_fail(&ctl, CTL_FAILED, NULL, "cannot write to standard output");
    return rc;
}
