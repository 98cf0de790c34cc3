/* scepctl status: the checks of /healthz, asked of the running daemon where it can be asked, else
 * looked at here. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "scepctl/ctl.h"
#include "scepd/health.h"

#define TIMEOUT_SECONDS 5L
#define ANSWER_MAX (1u << 20)

/* ---- asking ---- */

static size_t take(char *p, size_t size, size_t n, void *answer)
{
    struct buf *b = answer;
    return b->n + n <= ANSWER_MAX && buf_append(b, p, n) ? n : 0;
}

/* HTTP status, 0 when nobody answers.  Straight there, whatever proxy the environment names. */
static long fetch(const char *url, struct buf *answer)
{
    long status = 0;
    CURL *c = curl_easy_init();
    if (!c)
        return 0;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_TIMEOUT, TIMEOUT_SECONDS);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "scepctl");
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
    if (curl_easy_perform(c) == CURLE_OK)
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(c);
    return status;
}

/* Where somebody on this machine reaches what listens there. */
static void url_of(const char *address, int port, const char *path, char *out, size_t cap)
{
    bool all4 = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "*") == 0;
    bool all6 = strcmp(address, "::") == 0;
    const char *host = all4 ? "127.0.0.1" : all6 ? "::1" : address;
    bool v6 = strchr(host, ':');
    snprintf(out, cap, "http://%s%s%s:%d%s", v6 ? "[" : "", host, v6 ? "]" : "", port, path);
}

/* What the daemon says of itself; NULL when it has no admin listener, or does not answer there. */
static json_t *ask_daemon(const struct config *c)
{
    char url[256];
    struct buf answer = {0};
    json_t *o = NULL;
    if (!c->admin_port)
        return NULL;
    url_of(c->admin_address, c->admin_port, "/healthz", url, sizeof url);
    long status = fetch(url, &answer);
    if (status == 200 || status == 503)
        o = json_loadb((const char *)answer.p, answer.n, 0, NULL);
    buf_clear(&answer);
    if (!json_is_array(json_object_get(o, "checks")) ||
        !json_is_string(json_object_get(o, "status"))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* ---- looking ---- */

/* Without its admin listener the daemon is known by its answers to devices only. */
static void check_daemon(const struct config *c, struct health *h)
{
    char url[512], path[200];
    struct buf answer = {0};
    if (!c->port)
        return;
    snprintf(path, sizeof path, "%s?operation=GetCACaps", c->endpoint[0].path);
    url_of(c->address, c->port, path, url, sizeof url);
    if (fetch(url, &answer) == 200)
        health_add(h, "daemon", HEALTH_PASS, "",
                   "scepd answers devices; signer and queue were not looked at, %s",
                   c->admin_port ? "its admin listener does not answer"
                                 : "there is no admin listener");
    else
        health_add(h, "daemon", HEALTH_FAIL, "systemctl status scepd; its log says why",
                   "scepd does not answer at %s", url);
    buf_clear(&answer);
}

struct families {
    struct family *family[CONFIG_MAX_AUTHORITIES];
    struct authority *member[CONFIG_MAX_MEMBERS];
    size_t n, member_n;
};

static void families_clear(struct families *f)
{
    for (size_t i = 0; i < f->n; i++)
        family_free(f->family[i]);
}

/* Also what has ended: that is what is asked about. */
static bool families_look(const struct config *c, struct families *out, struct err *err)
{
    for (size_t i = 0; i < c->authority_n; i++) {
        if (!config_family_look(c, i, &out->family[i], err))
            return false;
        out->n = i + 1;
        for (size_t k = 0; k < out->family[i]->n; k++)
            out->member[out->member_n++] = out->family[i]->member[k];
    }
    return true;
}

static int look(struct ctl *ctl, json_t **out)
{
    struct families f = {.n = 0};
    struct survey survey;
    struct health h;
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    bool ok = families_look(ctl->config, &f, &err);
    if (ok) {
        struct survey_options o = {ctl->store, ctl->config, f.member, f.member_n};
        ok = survey_take(&o, ctl->now, &survey, &err);
    }
    if (ok) {
        struct health_sources s = {&survey, f.member, f.member_n, NULL};
        health_look(&s, ctl->now, &h);
        check_daemon(ctl->config, &h);
        *out = health_json(&h, NULL);
        ok = *out || err_memory(&err);
    }
    families_clear(&f);
    return ok ? CTL_DONE : ctl_fail_err(ctl, &err, "scepctl config check");
}

/* ---- telling ---- */

static const struct ctl_column columns[] = {
    {"STATUS", "status", CTL_TEXT, false}, {"CHECK", "name", CTL_TEXT, false},
    {"WHAT", "text", CTL_TEXT, true},      {NULL, "value", CTL_TEXT, false},
    {NULL, "unit", CTL_TEXT, false},       {NULL, "limit", CTL_TEXT, false},
    {"FIX", "fix", CTL_TEXT, true},
};

static void list_check(struct ctl_list *l, const json_t *check)
{
    char number[2][24] = {"", ""};
    struct ctl_cell cells[sizeof columns / sizeof *columns];
    for (size_t i = 0, n = 0; i < sizeof columns / sizeof *columns; i++) {
        const json_t *value = json_object_get(check, columns[i].key);
        cells[i] = (struct ctl_cell){json_string_value(value), 0};
        if (json_is_integer(value) && n < 2) {
            snprintf(number[n], sizeof number[n], "%lld", (long long)json_integer_value(value));
            cells[i].text = number[n++];
        }
    }
    ctl_list_row(l, cells);
}

/* How many are not well. */
static size_t tell(struct ctl *ctl, const json_t *health)
{
    size_t i, bad = 0;
    const json_t *check, *checks = json_object_get(health, "checks");
    struct ctl_list *l =
        ctl->json ? NULL : ctl_list_new(ctl, columns, sizeof columns / sizeof *columns);
    json_array_foreach((json_t *)checks, i, check)
    {
        const char *status = json_string_value(json_object_get(check, "status"));
        bad += !status || strcmp(status, health_status_name(HEALTH_PASS)) != 0;
        if (l)
            list_check(l, check);
    }
    if (l) {
        ctl_list_end(l);
    } else {
        json_dumpf(health, stdout, JSON_COMPACT);
        putchar('\n');
    }
    return bad;
}

int ctl_status(struct ctl *ctl, const struct ctl_args *a)
{
    int rc = ctl_need_config(ctl);
    if (rc)
        return rc;
    json_t *health = ask_daemon(ctl->config);
    if (!health && (rc = look(ctl, &health)))
        return rc;
    size_t checks = json_array_size(json_object_get(health, "checks")), bad = tell(ctl, health);
    json_decref(health);
    if (bad)
        ctl_note(ctl, "%zu of %zu checks need attention", bad, checks);
    else
        ctl_note(ctl, "all %zu checks are well", checks);
    return bad ? CTL_PROBLEMS : CTL_DONE;
}
