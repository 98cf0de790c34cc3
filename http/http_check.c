#include "http_check.h"

#include <ctype.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

/* More decimal digits than any length within our limits has. */
#define MAX_LENGTH_DIGITS 18

struct seen {
    unsigned host, content_length, transfer_encoding;
    bool body; /* one is announced that is not empty, or may not be */
};

/* RFC 9110 section 5.6.2: token. */
static bool is_token(const char *s)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    if (!*s)
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(marks, *s))
            return false;
    return true;
}

/* RFC 9110 section 8.6: digits only; evhttp takes a sign as well. */
static bool is_length(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n > 0 && n <= MAX_LENGTH_DIGITS && s[n] == '\0';
}

static const char *check_header(const struct evkeyval *h, struct seen *seen)
{
    if (!is_token(h->key))
        return "a header name is not a token";
    if (strcasecmp(h->key, "Host") == 0)
        seen->host++;
    if (strcasecmp(h->key, "Content-Length") == 0) {
        seen->content_length++;
        if (!is_length(h->value))
            return "Content-Length is not a number";
        seen->body |= h->value[strspn(h->value, "0")] != '\0';
    }
    if (strcasecmp(h->key, "Transfer-Encoding") == 0) {
        seen->transfer_encoding++;
        seen->body = true;
        if (strcasecmp(h->value, "chunked") != 0)
            return "Transfer-Encoding is not \"chunked\"";
    }
    return NULL;
}

/* RFC 8894 section 4.1 */
static bool check_size(struct evhttp_request *r, size_t max_header, int *status, const char **why)
{
    size_t n = strlen(evhttp_request_get_uri(r));
    const struct evkeyval *h;
    if (n > max_header) {
        *status = 414;
        *why = "the request line is too long";
        return false;
    }
    TAILQ_FOREACH(h, evhttp_request_get_input_headers(r), next)
    n += strlen(h->key) + strlen(h->value) + 4;
    if (n > max_header) {
        *status = 431;
        *why = "the headers are too long";
        return false;
    }
    return true;
}

/* A list, of which evhttp knows only a lone "close". */
static bool has_close(const char *options)
{
    static const char between[] = ", \t";
    for (size_t n; *(options += strspn(options, between)); options += n) {
        n = strcspn(options, between);
        if (n == strlen("close") && strncasecmp(options, "close", n) == 0)
            return true;
    }
    return false;
}

bool http_asks_to_close(struct evhttp_request *r)
{
    const struct evkeyval *h;
    TAILQ_FOREACH(h, evhttp_request_get_input_headers(r), next)
    {
        if (strcasecmp(h->key, "Connection") == 0 && has_close(h->value))
            return true;
    }
    return false;
}

bool http_check(struct evhttp_request *r, size_t max_header, int *status, const char **why)
{
    struct seen seen = {0};
    if (!check_size(r, max_header, status, why))
        return false;
    *status = 400;
    *why = NULL;
    if (r->major != 1) {
        *status = 505;
        *why = "only HTTP/1.0 and HTTP/1.1 are spoken here";
        return false;
    }
    const struct evkeyval *h;
    TAILQ_FOREACH(h, evhttp_request_get_input_headers(r), next)
    {
        *why = check_header(h, &seen);
        if (*why)
            return false;
    }
    if (seen.content_length > 1)
        *why = "more than one Content-Length";
    else if (seen.transfer_encoding > 1)
        *why = "more than one Transfer-Encoding";
    else if (seen.content_length && seen.transfer_encoding)
        *why = "Content-Length together with Transfer-Encoding";
    else if (evhttp_request_get_command(r) == EVHTTP_REQ_HEAD && seen.body)
        *why = "a body with HEAD"; /* evhttp would read it as the next request */
    else if (seen.host > 1)
        *why = "more than one Host";
    else if (seen.host == 0 && r->minor >= 1) /* RFC 9112 section 3.2 */
        *why = "HTTP/1.1 without Host";
    return *why == NULL;
}
