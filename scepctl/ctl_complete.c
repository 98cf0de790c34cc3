/* scepctl completion: what may stand next on a command line, from the same table as help and
 * manual.  The scripts for the shells ask `scepctl completion words -- WORD... CURRENT`, which
 * answers with a word, a tab and a description on each line.  Never a secret, and soon: lists are
 * looked at only so far. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "scepctl/ctl_fleet.h"

#define OFFERED_MAX 50     /* live identifiers */
#define LOOKED_AT_MAX 5000 /* records, for them */

static const char bash_script[] =
    "# bash completion for scepctl: source <(scepctl completion bash)\n"
    "_scepctl() {\n"
    "    local line\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        COMPREPLY+=(\"${line%%$'\\t'*}\")\n"
    "    done < <(\"${COMP_WORDS[0]}\" completion words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
    "2>/dev/null)\n"
    "}\n"
    "complete -o bashdefault -o default -F _scepctl scepctl\n";

static const char zsh_script[] =
    "#compdef scepctl\n"
    "# zsh completion for scepctl: scepctl completion zsh > _scepctl, in a directory of $fpath\n"
    "_scepctl() {\n"
    "    local -a offered\n"
    "    local line\n"
    "    while IFS= read -r line; do\n"
    "        offered+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "    done < <($words[1] completion words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    if (( $#offered )); then _describe scepctl offered; else _files; fi\n"
    "}\n"
    "compdef _scepctl scepctl\n";

static const char fish_script[] =
    "# fish completion for scepctl: scepctl completion fish > "
    "~/.config/fish/completions/scepctl.fish\n"
    "function __scepctl_words\n"
    "    set -l token (commandline -ct)\n"
    "    scepctl completion words -- (commandline -opc)[2..-1] \"$token\" 2>/dev/null\n"
    "end\n"
    "complete -c scepctl -a '(__scepctl_words)'\n";

/* ---- what stands there already ---- */

struct line {
    struct ctl *ctl;
    const char *current;             /* what is being typed, may be "" */
    const char *noun;                /* NULL: not yet */
    const struct ctl_verb *verb;     /* NULL: not yet */
    const struct ctl_flag *value_of; /* the current word is the value of this flag */
    size_t words;                    /* that stand behind the verb already */
    size_t offered;
};

static void offer(struct line *l, const char *word, const char *about)
{
    char clean[160], described[160];
    if (strncmp(word, l->current, strlen(l->current)) != 0)
        return;
    ctl_clean(word, clean, sizeof clean);
    ctl_clean(about ? about : "", described, sizeof described);
    printf("%s\t%s\n", clean, described);
    l->offered++;
}

static const struct ctl_flag *flag_among(const struct ctl_flag *list, const char *word)
{
    for (; list && list->name; list++)
        if ((word[0] == '-' && word[1] == '-' && strcmp(list->name, word + 2) == 0) ||
            (list->letter && word[0] == '-' && word[1] == list->letter && word[2] == '\0'))
            return list;
    return NULL;
}

static const struct ctl_flag *flag_of(const struct line *l, const char *word)
{
    const struct ctl_flag *f = flag_among(l->verb ? l->verb->flags : NULL, word);
    return f ? f : flag_among(ctl_global_flags, word);
}

static bool same_noun(const char *noun, const char *word)
{
    size_t n = strlen(noun);
    return strncmp(noun, word, n) == 0 && (word[n] == '\0' || strcmp(word + n, "s") == 0);
}

static void take_word(struct line *l, const char *word)
{
    if (l->verb) {
        l->words++;
        return;
    }
    for (const struct ctl_verb *v = ctl_verbs; v->noun; v++) {
        if (!l->noun && same_noun(v->noun, word)) {
            l->noun = v->noun;
            l->verb = v->verb[0] ? NULL : v;
            return;
        }
        if (l->noun && !l->verb && strcmp(v->noun, l->noun) == 0 && strcmp(v->verb, word) == 0) {
            l->verb = v;
            return;
        }
    }
}

static void read_line(struct line *l, const char *const *word, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        const struct ctl_flag *f = word[i][0] == '-' ? flag_of(l, word[i]) : NULL;
        bool takes = f && f->value && !f->value_optional;
        if (takes && i + 2 == n)
            l->value_of = f;
        else if (takes && f == flag_among(ctl_global_flags, "--config"))
            l->ctl->config_option = word[i + 1];
        if (takes)
            i++;
        else if (word[i][0] != '-')
            take_word(l, word[i]);
    }
    l->current = n ? word[n - 1] : "";
}

/* ---- words of the table ---- */

static void offer_nouns(struct line *l)
{
    const char *last = "";
    for (const struct ctl_verb *v = ctl_verbs; v->noun; v++) {
        if (strcmp(last, v->noun) != 0)
            offer(l, v->noun, v->verb[0] ? "" : v->help);
        last = v->noun;
    }
}

static void offer_verbs(struct line *l)
{
    for (const struct ctl_verb *v = ctl_verbs; v->noun; v++)
        if (strcmp(v->noun, l->noun) == 0)
            offer(l, v->verb, v->help);
}

static void offer_flags(struct line *l, const struct ctl_flag *f)
{
    char name[64];
    for (; f && f->name; f++) {
        snprintf(name, sizeof name, "--%s", f->name);
        offer(l, name, f->help);
    }
}

/* "bash|zsh|fish": the lower-case ones are words, the others stand for something. */
static void offer_alternatives(struct line *l, const char *ids)
{
    char copy[128], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", ids);
    for (char *w = strtok_r(copy, "|[]. ", &rest); w; w = strtok_r(NULL, "|[]. ", &rest))
        if (islower((unsigned char)w[0]))
            offer(l, w, "");
}

static void offer_list(struct line *l, const char *words)
{
    char copy[256], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, ",", &rest); w; w = strtok_r(NULL, ",", &rest))
        offer(l, w, "");
}

/* ---- what lives in configuration and store ---- */

static bool offer_challenge(void *ctx, const struct store_challenge *c)
{
    struct line *l = ctx;
    bool ended = c->revoked_at || (c->uses && c->used >= c->uses) ||
                 (c->expires_at && c->expires_at <= l->ctl->now);
    if (!ended)
        offer(l, c->id, c->label[0] ? c->label : c->subject);
    return l->offered < OFFERED_MAX;
}

static bool offer_request(void *ctx, const struct store_request *r)
{
    struct line *l = ctx;
    offer(l, r->id, r->subject);
    return l->offered < OFFERED_MAX;
}

struct cert_offer {
    struct line *line;
    size_t looked_at;
};

static bool offer_cert(void *ctx, const struct store_cert *c)
{
    struct cert_offer *o = ctx;
    char serial[2 * STORE_SERIAL_MAX + 1];
    hex_encode(view_of(c->serial, c->serial_len), serial);
    offer(o->line, serial, c->subject);
    return o->line->offered < OFFERED_MAX && ++o->looked_at < LOOKED_AT_MAX;
}

static void offer_certs(struct line *l)
{
    struct cert_offer o = {.line = l};
    struct store_cert_filter f = {.state = -1};
    struct store_cert one = {0};
    struct err err = {0};
    if (strcmp(l->verb->verb, "release") == 0)
        f.state = CERT_HELD;
    if (strlen(l->current) >= 6 && store_cert_by_prefix(l->ctl->store, l->current, &one, &err))
        offer_cert(&o, &one); /* by index: however old it is */
    else
        store_cert_list(l->ctl->store, &f, offer_cert, &o, &err);
    store_cert_clear(&one);
}

static void offer_named(struct line *l, const char *id, const char *name)
{
    const char *first = ctl_plain_name(id, name);
    if (l->offered < OFFERED_MAX)
        offer(l, first, first == id ? name : id);
}

static void offer_device(void *ctx, const struct store_device *d)
{
    if (d->state != DEVICE_RETIRED)
        offer_named(ctx, d->id, d->name);
}

static void offer_group(void *ctx, const struct store_group *g)
{
    offer_named(ctx, g->id, g->name);
}

static void offer_policy(void *ctx, const struct store_policy *p)
{
    offer_named(ctx, p->id, p->name);
}

/* One page of those that begin so: names have an index. */
static void offer_devices(struct line *l)
{
    const struct store_device_filter f = {.text = l->current, .state = -1};
    struct store_page page = {.limit = OFFERED_MAX};
    struct err err = {0};
    store_device_page(l->ctl->store, &f, &page, offer_device, l, &err);
}

static void offer_groups(struct line *l)
{
    struct store_page page = {.limit = OFFERED_MAX};
    struct err err = {0};
    store_group_page(l->ctl->store, l->current, &page, offer_group, l, &err);
}

static void offer_policies(struct line *l)
{
    struct store_page page = {.limit = OFFERED_MAX};
    struct err err = {0};
    store_policy_page(l->ctl->store, l->current, &page, offer_policy, l, &err);
}

/* The first word is of the verb's noun; what follows joins it, or leaves. */
static void offer_fleet(struct line *l)
{
    bool first = l->words == 0, policy = strcmp(l->noun, "policy") == 0;
    if (first && policy)
        offer_policies(l);
    else if (first && strcmp(l->noun, "group") == 0)
        offer_groups(l);
    else
        offer_devices(l);
    if (!first && policy)
        offer_groups(l);
}

static void offer_ids(struct line *l)
{
    struct err err = {0};
    bool authority = strcmp(l->noun, "ca") == 0 || strcmp(l->noun, "crl") == 0;
    offer_alternatives(l, l->verb->ids);
    if (l->verb->ids[0] == '\0' || (authority ? ctl_need_config(l->ctl) : ctl_need_store(l->ctl)))
        return;
    if (authority)
        for (size_t i = 0; i < l->ctl->config->authority_n; i++)
            offer(l, l->ctl->config->authority[i].name, "authority");
    else if (strcmp(l->noun, "challenge") == 0)
        store_challenge_list(l->ctl->store, offer_challenge, l, &err);
    else if (strcmp(l->noun, "request") == 0)
        store_request_list(l->ctl->store, strcmp(l->verb->verb, "show") == 0 ? -1 : REQUEST_PENDING,
                           offer_request, l, &err);
    else if (strcmp(l->noun, "cert") == 0)
        offer_certs(l);
    else if (ctl_listed("device,group,policy", l->noun) && !ctl_listed("new,import", l->verb->verb))
        offer_fleet(l);
}

static void offer_held(struct line *l, const char *flag)
{
    if (strcmp(flag, "device") == 0)
        offer_devices(l);
    else if (strcmp(flag, "group") == 0)
        offer_groups(l);
    else
        offer_policies(l);
}

static void offer_endpoints(struct line *l)
{
    for (size_t i = 0; ctl_need_config(l->ctl) == CTL_DONE && i < l->ctl->config->endpoint_n; i++)
        offer(l, l->ctl->config->endpoint[i].path, l->ctl->config->endpoint[i].template_name);
}

static void offer_templates(struct line *l)
{
    for (size_t i = 0; ctl_need_config(l->ctl) == CTL_DONE && i < l->ctl->config->template_n; i++)
        offer(l, l->ctl->config->template[i].name, "template");
}

/* Values that are one of few; the verbs check them. */
static const struct {
    const char *noun, *flag, *words; /* noun "": of any */
} values[] = {
    {"", "color", "auto,always,never"},
    {"cert", "state", "active,revoked,held,superseded,expired"},
    {"cert", "sort", "newest,oldest"},
    {"cert", "reason",
     "unspecified,key-compromise,affiliation-changed,superseded,cessation,hold,privilege-"
     "withdrawn"},
    {"challenge", "state", "active,used,expired,revoked"},
    {"challenge", "format", "groups,hex16"},
    {"request", "state", "pending,approved,denied,issued,expired"},
    {"device", "state", "active,isolated,retired"},
    {"device", "platform", "apple,windows,android,chromeos,network,linux,other"},
    {"device", "format", "groups,hex16"},
    {"policy", "challenge", "one-time,static,upstream,none"},
    {"policy", "key", "rsa2048,rsa3072,rsa4096,p256,p384"},
    {"policy", "key-usage", "signing,encryption,both"},
    {"policy", "revoke-on-removal", "yes,no"},
    {"init", "key", "rsa2048,rsa3072,rsa4096,p256,p384"},
};

static void offer_values(struct line *l)
{
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (strcmp(values[i].flag, l->value_of->name) == 0 &&
            (!values[i].noun[0] || (l->noun && strcmp(values[i].noun, l->noun) == 0)))
            offer_list(l, values[i].words);
    const char *flag = l->value_of->name;
    if (strcmp(flag, "endpoint") == 0)
        offer_endpoints(l);
    else if (strcmp(flag, "template") == 0)
        offer_templates(l);
    else if (ctl_listed("device,group,policy", flag) && ctl_need_store(l->ctl) == CTL_DONE)
        offer_held(l, flag);
}

static int complete(struct ctl *ctl, const char *const *word, size_t n)
{
    struct line l = {.ctl = ctl, .current = ""};
    read_line(&l, word, n);
    if (!freopen("/dev/null", "w", stderr)) /* nobody asked for explanations */
        return CTL_FAILED;
    ctl->json = false;
    if (l.value_of) {
        offer_values(&l);
    } else if (l.current[0] == '-') {
        offer_flags(&l, l.verb ? l.verb->flags : NULL);
        offer_flags(&l, ctl_global_flags);
    } else if (!l.noun) {
        offer_nouns(&l);
    } else if (!l.verb) {
        offer_verbs(&l);
    } else {
        offer_ids(&l);
    }
    return CTL_DONE;
}

int ctl_completion(struct ctl *ctl, const struct ctl_args *a)
{
    static const struct {
        const char *shell, *script;
    } known[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    char clean[96];
    if (strcmp(a->id[0], "words") == 0)
        return complete(ctl, a->id + 1, a->id_n - 1);
    for (size_t i = 0; i < sizeof known / sizeof known[0] && a->id_n == 1; i++) {
        if (strcmp(known[i].shell, a->id[0]) == 0) {
            fputs(known[i].script, stdout);
            return CTL_DONE;
        }
    }
    ctl_clean(a->id[0], clean, sizeof clean);
    return ctl_fail(ctl, CTL_USAGE, "scepctl completion --help",
                    "there is a script for bash, zsh and fish, not for \"%s\"", clean);
}
