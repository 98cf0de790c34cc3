/* The server as HTTP sees it: name, port, TLS, clock, and what else may stand in the way of a
 * message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scepctl/probe.h"

#define CLOCK_TOLERATED 120 /* seconds */

/* "operation=GetCACaps" with the CA identifier, owned. */
static bool caps_query(const struct probe *p, struct buf *out)
{
    const char *id = p->o->ca_identifier;
    return buf_append_str(out, "operation=GetCACaps") &&
           (!id || (buf_append_str(out, "&message=") && probe_escape(view_str(id), out))) &&
           buf_append(out, "", 1);
}

static bool is_caps(const struct probe *p, const struct probe_answer *a)
{
    struct client_caps caps;
    client_caps_from_answer(buf_view(&a->body), &caps);
    return a->status == 200 && (caps.digests || caps.ciphers || caps.post) &&
           caps.digests == p->caps.digests && caps.ciphers == p->caps.ciphers;
}

/* ---- reach ---- */

static bool first_answer(struct probe *p, const struct probe_request *r, struct probe_answer *a,
                         struct err *err)
{
    if (probe_send(p, r, a, err))
        return true;
    if (!probe_http_is_tls(p->http) || !probe_http_distrusts(p->http))
        return false;
    probe_warn(p, PROBE_TLS, C_ALL, "%s; goes on without checking it", err->text);
    probe_answer_clear(a);
    return probe_send(p, r, a, err);
}

static void check_clock(struct probe *p, const struct probe_answer *a)
{
    int64_t now = probe_now(p);
    long long apart = llabs((long long)(a->date - now));
    if (!a->date)
        probe_skip(p, PROBE_CLOCK, "the server tells no Date");
    else if (apart > CLOCK_TOLERATED)
        probe_warn(p, PROBE_CLOCK, 0, "%lld s %s ours", apart,
                   a->date > now ? "ahead of" : "behind");
    else
        probe_ok(p, PROBE_CLOCK, "%lld s apart", apart);
}

static void check_status(struct probe *p, const struct probe_answer *a)
{
    if (a->status >= 300 && a->status < 400)
        probe_fail(p, PROBE_REDIRECT, 0, "HTTP %ld to \"%s\"; SCEP clients do not follow",
                   a->status, a->location);
    else
        probe_ok(p, PROBE_REDIRECT, "answers itself");
    if (a->status == 200)
        probe_caps(p, buf_view(&a->body));
    else
        probe_fail(p, PROBE_CAPS_ANSWER, 0, "HTTP %ld instead of the list", a->status);
    if (a->status == 200 && strcmp(a->type, "text/plain") != 0)
        probe_warn(p, PROBE_CAPS_TYPE, NOBODY, "\"%s\"", a->has_type ? a->type : "none");
    else if (a->status == 200)
        probe_ok(p, PROBE_CAPS_TYPE, "text/plain");
}

bool probe_reach(struct probe *p, struct err *err)
{
    struct probe_answer a = {0};
    struct buf query = {0};
    bool ok = caps_query(p, &query) || err_memory(err);
    struct probe_request r = {.query = (const char *)query.p};
    ok = ok && first_answer(p, &r, &a, err);
    if (ok) {
        probe_ok(p, PROBE_NAME, "%s port %ld, %.0f ms, %s", a.ip, a.port, a.ms,
                 a.server[0] ? a.server : "no Server header");
        check_clock(p, &a);
        check_status(p, &a);
    }
    if (ok && p->has_caps)
        probe_caps_messages(p, buf_view(&a.body));
    buf_clear(&query);
    probe_answer_clear(&a);
    return ok;
}

/* ---- the rest of HTTP ---- */

static void check_tls(struct probe *p, const char *query)
{
    struct probe_request r = {.query = query, .tls12 = true};
    struct probe_answer a = {0};
    struct err err = {0};
    if (!probe_http_is_tls(p->http))
        probe_ok(p, PROBE_TLS, "plain HTTP, as SCEP is meant to be used");
    else if (!probe_send(p, &r, &a, &err))
        probe_warn(p, PROBE_TLS, C(WINDOWS), "TLS 1.2: %s", err.text);
    else
        probe_ok(p, PROBE_TLS, "trusted, TLS 1.2 is on");
    probe_answer_clear(&a);
}

static void check_keep_alive(struct probe *p, const char *query)
{
    struct probe_request r = {.query = query};
    struct probe_answer first = {0}, second = {0};
    struct err err = {0};
    r.own_connection = true;
    bool ok = probe_send(p, &r, &first, &err);
    r.own_connection = false;
    if (!ok || !probe_send(p, &r, &second, &err))
        probe_warn(p, PROBE_KEEP_ALIVE, 0, "%s", err.text);
    else if (second.new_connection)
        probe_warn(p, PROBE_KEEP_ALIVE, 0, "the connection is closed after each answer");
    else
        probe_ok(p, PROBE_KEEP_ALIVE, "kept open");
    probe_answer_clear(&first);
    probe_answer_clear(&second);
}

static void check_http10(struct probe *p, const char *query)
{
    struct probe_request r = {.query = query, .http10 = true};
    struct probe_answer a = {0};
    struct err err = {0};
    if (!probe_send(p, &r, &a, &err))
        probe_warn(p, PROBE_HTTP10, 0, "%s", err.text);
    else if (!is_caps(p, &a))
        probe_warn(p, PROBE_HTTP10, 0, "HTTP %ld instead of GetCACaps%s%s", a.status,
                   a.server[0] ? ", from " : "", a.server);
    else
        probe_ok(p, PROBE_HTTP10, "answered");
    probe_answer_clear(&a);
}

/* 501 is the right answer to a method that is not known at all. */
static void check_method(struct probe *p, const char *query, const char *method)
{
    struct probe_request r = {.query = query, .method = method, .own_connection = true};
    struct probe_answer a = {0};
    struct err err = {0};
    bool head = strcmp(method, "HEAD") == 0;
    if (!probe_send(p, &r, &a, &err))
        probe_warn(p, PROBE_METHODS, 0, "%s: %s", method, err.text);
    else if ((a.status >= 500 && a.status != 501) || (!head && a.status < 300))
        probe_warn(p, PROBE_METHODS, NOBODY, "%s: HTTP %ld", method, a.status);
    else
        probe_ok(p, PROBE_METHODS, "%s: %ld", method, a.status);
    probe_answer_clear(&a);
}

static void check_unknown_path(struct probe *p)
{
    struct probe_request r = {.path = "/scepd-probe/there-is-no-such-path"};
    struct probe_answer a = {0};
    struct err err = {0};
    if (!probe_send(p, &r, &a, &err))
        probe_warn(p, PROBE_UNKNOWN_PATH, 0, "%s", err.text);
    else if (a.status >= 500 || (a.status < 400 && strstr(a.type, "html")))
        probe_warn(p, PROBE_UNKNOWN_PATH, NOBODY, "HTTP %ld, %s", a.status,
                   a.has_type ? a.type : "no type");
    else
        probe_ok(p, PROBE_UNKNOWN_PATH, "HTTP %ld", a.status);
    probe_answer_clear(&a);
}

static void check_suffix(struct probe *p, const char *query)
{
    static const char suffix[] = "/pkiclient.exe";
    struct probe_request r = {.query = query, .suffix = suffix};
    struct probe_answer a = {0};
    struct err err = {0};
    size_t n = strcspn(p->o->url, "?");
    if (n > sizeof suffix &&
        strncasecmp(p->o->url + n - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0)
        probe_ok(p, PROBE_SUFFIX, "part of the URL");
    else if (!probe_send(p, &r, &a, &err))
        probe_warn(p, PROBE_SUFFIX, 0, "%s", err.text);
    else if (!is_caps(p, &a))
        probe_warn(p, PROBE_SUFFIX, 0, "HTTP %ld", a.status);
    else
        probe_ok(p, PROBE_SUFFIX, "the same with and without");
    probe_answer_clear(&a);
}

void probe_http_checks(struct probe *p)
{
    struct buf query = {0};
    if (!caps_query(p, &query)) {
        buf_clear(&query);
        return;
    }
    const char *text = (const char *)query.p;
    check_tls(p, text);
    if (p->has_caps) {
        check_keep_alive(p, text);
        check_http10(p, text);
        check_suffix(p, text);
    }
    check_method(p, text, "HEAD");
    check_method(p, text, "PUT");
    check_unknown_path(p);
    buf_clear(&query);
}
