/* `scepctl probe`: the command, and its report for people, pipes and programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "scepctl/probe.h"

#define DEFAULT_TIMEOUT 10 /* seconds of one request */
#define DEFAULT_TOTAL 120  /* seconds of all */
#define WIDE 110           /* columns from which two findings stand side by side */

const struct ctl_flag ctl_probe_flags[] = {
    {"ca-identifier", 0, "NAME", false, "sent as the message of GetCACaps and GetCACert"},
    {"enrol", 0, "SUBJECT", true,
     "also get a certificate, judge and renew it (CN=scepd-probe-...)"},
    {"san", 0, "NAMES", false, "with --enrol: \"DNS:host.example.org,IP:192.0.2.1\""},
    {"challenge-file", 0, "FILE", false,
     "with --enrol: its first line is the challenge password; - for standard input"},
    {"timeout", 0, "DURATION", false, "for one HTTP exchange (default 10s)"},
    {"total", 0, "DURATION", false, "for all of them (default 120s)"},
    {NULL, 0, NULL, false, NULL},
};

static const char *const status_words[] = {"ok", "warn", "fail", "skip"};

/* ---- what the findings mean to each kind of client ---- */

enum verdict { WORKS, STUMBLES, FAILS };

static enum verdict verdict_of(const struct probe *p, enum probe_client client)
{
    enum verdict v = WORKS;
    for (enum probe_check c = 0; c < PROBE_COUNT; c++) {
        const struct probe_finding *f = &p->finding[c];
        if (!(f->clients & (1u << client)))
            continue;
        if (f->status == PROBE_FAIL)
            return FAILS;
        if (f->status == PROBE_WARN)
            v = STUMBLES;
    }
    return v;
}

static void client_names(unsigned clients, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    if ((clients & C_ALL) == C_ALL) {
        snprintf(out, cap, "every client");
        return;
    }
    for (enum probe_client c = 0; c < PC_COUNT && n < cap; c++)
        if (clients & (1u << c))
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "; " : "", probe_client_name(c));
}

static size_t count_of(const struct probe *p, enum probe_status s)
{
    size_t n = 0;
    for (enum probe_check c = 0; c < PROBE_COUNT; c++)
        n += p->finding[c].status == s;
    return n;
}

/* ---- fingerprints ---- */

/* As NDES's page writes it: "A656FA66 AB12B433 A2DA5CF7 CC153D9A". */
static void ndes_groups(const char *colons, char *out, size_t cap)
{
    size_t n = 0, digits = 0;
    for (const char *c = colons; *c && n + 2 < cap; c++) {
        if (*c == ':')
            continue;
        if (digits && digits % 8 == 0)
            out[n++] = ' ';
        out[n++] = *c;
        digits++;
    }
    out[n] = '\0';
}

struct prints {
    char md5[3 * 64], sha1[3 * 64], sha256[3 * 64], ndes[64];
};

static bool prints_of(const struct cert *c, struct prints *out)
{
    struct err ignored;
    if (!cert_fingerprint(c, DIGEST_MD5, out->md5, &ignored) ||
        !cert_fingerprint(c, DIGEST_SHA1, out->sha1, &ignored) ||
        !cert_fingerprint(c, DIGEST_SHA256, out->sha256, &ignored))
        return false;
    ndes_groups(out->md5, out->ndes, sizeof out->ndes);
    return true;
}

static const char *role_of(const struct probe *p, const struct cert *c)
{
    struct view der = buf_view(&c->der);
    bool recipient = view_eq(der, buf_view(&p->ca.recipient->der));
    bool signer = view_eq(der, buf_view(&p->ca.reply_signer->der));
    if (view_eq(der, buf_view(&p->ca.issuer->der)))
        return "CA";
    return recipient && signer ? "RA"
           : recipient         ? "RA encryption"
           : signer            ? "RA signing"
                               : "issuer";
}

/* ---- JSON ---- */

static json_t *clients_json(unsigned clients)
{
    json_t *list = json_array();
    for (enum probe_client c = 0; c < PC_COUNT; c++)
        if (clients & (1u << c))
            json_array_append_new(list, json_string(probe_client_name(c)));
    return list;
}

static json_t *finding_json(const struct probe *p, enum probe_check c)
{
    const struct probe_info *info = probe_info(c);
    const struct probe_finding *f = &p->finding[c];
    json_t *o = json_object();
    bool bad = f->status == PROBE_WARN || f->status == PROBE_FAIL;
    ctl_json_text(o, "id", info->id);
    ctl_json_text(o, "title", info->title);
    ctl_json_text(o, "status", status_words[f->status]);
    ctl_json_text(o, "value", f->value);
    ctl_json_text(o, "reference", info->reference);
    json_object_set_new(o, "clients", clients_json(f->clients));
    ctl_json_text(o, "fix", bad && info->fix ? info->fix : "");
    return o;
}

static json_t *certificate_json(const struct probe *p, const struct cert *c)
{
    json_t *o = json_object();
    struct prints f;
    char text[NAME_TEXT_MAX];
    ctl_json_text(o, "role", role_of(p, c));
    name_der_text(c->subject, text, sizeof text);
    ctl_json_text(o, "subject", text);
    text_time(c->not_before, text);
    ctl_json_text(o, "not_before", text);
    text_time(c->not_after, text);
    ctl_json_text(o, "not_after", text);
    if (prints_of(c, &f)) {
        ctl_json_text(o, "sha256", f.sha256);
        ctl_json_text(o, "sha1", f.sha1);
        ctl_json_text(o, "md5", f.md5);
        ctl_json_text(o, "ndes", f.ndes);
    }
    return o;
}

static json_t *summary_json(const struct probe *p)
{
    json_t *o = json_object();
    for (enum probe_status s = PROBE_OK; s <= PROBE_SKIP; s++)
        json_object_set_new(o, status_words[s], json_integer((json_int_t)count_of(p, s)));
    return o;
}

static void report_json(const struct probe *p)
{
    static const char *const verdicts[] = {"works", "stumbles", "fails"};
    json_t *o = json_object(), *checks = json_array(), *certs = json_array(),
           *clients = json_object();
    char when[32];
    for (enum probe_check c = 0; c < PROBE_COUNT; c++)
        json_array_append_new(checks, finding_json(p, c));
    for (size_t i = 0; p->has_ca && i < p->cert_n; i++)
        json_array_append_new(certs, certificate_json(p, p->cert[i]));
    for (enum probe_client c = 0; c < PC_COUNT; c++)
        json_object_set_new(clients, probe_client_name(c), json_string(verdicts[verdict_of(p, c)]));
    text_time(p->ctl->now, when);
    ctl_json_text(o, "url", p->o->url);
    ctl_json_text(o, "time", when);
    json_object_set_new(o, "requests", json_integer(p->requests));
    json_object_set_new(o, "summary", summary_json(p));
    ctl_json_text(o, "capabilities", p->caps.words);
    ctl_json_text(o, "issued", p->serials);
    json_object_set_new(o, "clients", clients);
    json_object_set_new(o, "certificates", certs);
    json_object_set_new(o, "checks", checks);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

/* ---- pipes ---- */

static void report_lines(const struct probe *p)
{
    static const struct ctl_column columns[] = {
        {"CHECK", "id", CTL_TEXT, false},     {"STATUS", "status", CTL_TEXT, false},
        {"VALUE", "value", CTL_TEXT, true},   {NULL, "clients", CTL_TEXT, false},
        {NULL, "reference", CTL_TEXT, false}, {NULL, "fix", CTL_TEXT, false},
    };
    struct ctl_list *l = ctl_list_new(p->ctl, columns, sizeof columns / sizeof columns[0]);
    for (enum probe_check c = 0; c < PROBE_COUNT; c++) {
        const struct probe_finding *f = &p->finding[c];
        char clients[400];
        bool bad = f->status == PROBE_WARN || f->status == PROBE_FAIL;
        client_names(f->clients, clients, sizeof clients);
        ctl_list_row(l, (struct ctl_cell[]){{.text = probe_info(c)->id},
                                            {.text = status_words[f->status]},
                                            {.text = f->value},
                                            {.text = clients},
                                            {.text = probe_info(c)->reference},
                                            {.text = bad ? probe_info(c)->fix : NULL}});
    }
    ctl_list_end(l);
}

/* ---- people ---- */

/* Ends `line` with ".." at `width` octets, not within a character. */
static void cut(char *line, size_t width)
{
    size_t n = width - 2;
    while (n > 0 && (line[n] & 0xc0) == 0x80)
        n--;
    memcpy(line + n, "..", 3);
}

/* Two side by side where the terminal is wide enough. */
static void print_good(const struct probe *p)
{
    size_t width = ctl_terminal_width(), columns = width >= WIDE ? 2 : 1,
           cell = width / columns - 1, at = 0;
    for (enum probe_check c = 0; c < PROBE_COUNT; c++) {
        char value[PROBE_VALUE], line[PROBE_VALUE + 64];
        if (p->finding[c].status != PROBE_OK)
            continue;
        ctl_clean_for(stdout, p->finding[c].value, value, sizeof value);
        snprintf(line, sizeof line, "ok    %-20s %s", probe_info(c)->title, value);
        if (strlen(line) > cell)
            cut(line, cell);
        if (++at % columns == 0)
            puts(line);
        else
            printf("%-*s ", (int)cell, line);
    }
    if (at % columns)
        putchar('\n');
}

static void print_bad(const struct probe *p, enum probe_status status)
{
    for (enum probe_check c = 0; c < PROBE_COUNT; c++) {
        const struct probe_finding *f = &p->finding[c];
        char value[PROBE_VALUE], clients[400];
        if (f->status != status)
            continue;
        ctl_clean_for(stdout, f->value, value, sizeof value);
        client_names(f->clients, clients, sizeof clients);
        printf("%s  %-20s %s\n", status == PROBE_FAIL ? "FAIL" : "warn", probe_info(c)->title,
               value);
        if (*clients)
            printf("      %-20s %s: %s\n", "", status == PROBE_FAIL ? "cannot work" : "stumble",
                   clients);
        if (probe_info(c)->fix)
            printf("      %-20s fix: %s\n", "", probe_info(c)->fix);
        printf("      %-20s more: %s%s%s\n", "", probe_info(c)->id,
               *probe_info(c)->reference ? ", " : "", probe_info(c)->reference);
    }
}

static void print_prints(const struct probe *p)
{
    for (size_t i = 0; p->has_ca && i < p->cert_n; i++) {
        struct prints f;
        char subject[NAME_TEXT_MAX], clean[NAME_TEXT_MAX];
        if (!prints_of(p->cert[i], &f))
            continue;
        name_der_text(p->cert[i]->subject, subject, sizeof subject);
        ctl_clean_for(stdout, subject, clean, sizeof clean);
        printf("%-6s%s\n", role_of(p, p->cert[i]), clean);
        printf("      %-32s %s\n", "Windows CAThumbprint, sha1", f.sha1);
        printf("      %-32s %s\n", "Apple CAFingerprint, sha256", f.sha256);
        printf("      %-32s %s\n", "Cisco, md5", f.md5);
        printf("      %-32s %s\n", "NDES page", f.ndes);
    }
}

static void print_clients(const struct probe *p)
{
    static const char *const words[] = {"would work:", "would stumble:", "cannot work:"};
    for (enum verdict v = WORKS; v <= FAILS; v++) {
        unsigned who = 0;
        char names[400];
        for (enum probe_client c = 0; c < PC_COUNT; c++)
            if (verdict_of(p, c) == v)
                who |= 1u << c;
        client_names(who, names, sizeof names);
        if (who)
            printf("%-15s %s\n", words[v], names);
    }
}

static void report_people(const struct probe *p)
{
    if (!p->ctl->quiet)
        print_good(p);
    print_bad(p, PROBE_WARN);
    print_bad(p, PROBE_FAIL);
    if (!p->ctl->quiet)
        print_prints(p);
    print_clients(p);
}

static void tell_sum(const struct probe *p)
{
    size_t fail = count_of(p, PROBE_FAIL), warn = count_of(p, PROBE_WARN),
           skip = count_of(p, PROBE_SKIP);
    ctl_note(p->ctl, "%zu problem%s, %zu warning%s, %zu fine, %zu not tried; %u requests", fail,
             fail == 1 ? "" : "s", warn, warn == 1 ? "" : "s", count_of(p, PROBE_OK), skip,
             p->requests);
    if (*p->serials)
        ctl_note(p->ctl,
                 "issued, to be revoked when it has served (scepd: scepctl cert revoke): %s",
                 p->serials);
}

void probe_report(const struct probe *p)
{
    bool list = p->ctl->csv || p->ctl->ids || p->ctl->columns;
    if (p->ctl->json)
        report_json(p);
    else if (ctl_stdout_is_terminal() && !list)
        report_people(p);
    else
        report_lines(p);
    tell_sum(p);
}

/* ---- the command ---- */

static int read_challenge(struct ctl *ctl, const struct ctl_args *a, struct buf *out)
{
    const char *path = ctl_arg(a, "challenge-file");
    if (!path)
        return CTL_DONE;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!f)
        return ctl_fail(ctl, CTL_FAILED, NULL, "cannot read %s", path);
    char line[CSR_MAX_CHALLENGE + 2] = "";
    if (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = '\0';
        buf_append_str(out, line);
    }
    explicit_bzero(line, sizeof line);
    if (f != stdin)
        fclose(f);
    return CTL_DONE;
}

static int check_flags(struct ctl *ctl, const struct ctl_args *a)
{
    static const char *const needs_enrol[] = {"san", "challenge-file"};
    for (size_t i = 0; i < 2; i++)
        if (ctl_arg(a, needs_enrol[i]) && !ctl_arg(a, "enrol"))
            return ctl_fail(ctl, CTL_USAGE, NULL, "--%s is of use with --enrol only",
                            needs_enrol[i]);
    if (ctl->dry_run && ctl_arg(a, "enrol"))
        return ctl_fail(ctl, CTL_USAGE, "leave --enrol out",
                        "--enrol has no --dry-run: nothing was sent");
    return CTL_DONE;
}

static int run(struct ctl *ctl, const struct probe_options *o)
{
    struct probe p = {.ctl = ctl, .o = o};
    struct err err = {0};
    int code = (int)probe_run(&p, &err);
    if (code == CTL_UNAVAILABLE)
        code = ctl_fail(ctl, CTL_UNAVAILABLE, "is the URL right, and the server running?", "%s: %s",
                        o->url, err.text);
    else if (code != CTL_DONE)
        code = ctl_fail(ctl, (enum ctl_exit)code, NULL, "%s", err.text);
    else {
        probe_report(&p);
        code = count_of(&p, PROBE_FAIL) ? CTL_PROBLEMS : CTL_DONE;
    }
    probe_clear(&p);
    return code;
}

int ctl_probe(struct ctl *ctl, const struct ctl_args *a)
{
    int64_t timeout, total;
    struct buf challenge = {0};
    int code = check_flags(ctl, a);
    if (code == CTL_DONE)
        code = ctl_arg_duration(ctl, a, "timeout", DEFAULT_TIMEOUT, &timeout);
    if (code == CTL_DONE)
        code = ctl_arg_duration(ctl, a, "total", DEFAULT_TOTAL, &total);
    if (code == CTL_DONE)
        code = read_challenge(ctl, a, &challenge);
    if (code == CTL_DONE) {
        struct probe_options o = {
            .url = a->id[0],
            .ca_identifier = ctl_arg(a, "ca-identifier"),
            .timeout = (int)(timeout > 0 && timeout < 3600 ? timeout : DEFAULT_TIMEOUT),
            .total = total > 0 ? total : DEFAULT_TOTAL,
            .subject = ctl_arg(a, "enrol"),
            .san = ctl_arg(a, "san"),
            .challenge = buf_view(&challenge),
        };
        code = run(ctl, &o);
    }
    buf_wipe(&challenge);
    return code;
}
