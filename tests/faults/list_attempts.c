/* list_attempts STORE: every attempt that the store has, newest first, a line each: result,
 * transaction, serial, challenge, HTTP status and reason, with a tab between; for tests that
 * compare them with the certificates. */
#include <stdio.h>

#include "store/store.h"

static const char *const results[] = {"issued",  "renewed", "pending", "repeated",
                                      "refused", "failed",  "counted", "silent"};

static bool show(void *ctx, const struct store_attempt *a)
{
    return printf("%s\t%s\t%s\t%s\t%u\t%s\n", results[a->result], a->transaction, a->serial,
                  a->challenge, a->status, a->reason) > 0;
}

int main(int argc, char **argv)
{
    struct store *s = NULL;
    struct err err = {0};
    struct store_options o = {.path = argc > 1 ? argv[1] : ""};
    bool ok = store_open(&o, &s, &err) && store_attempt_list(s, 0, show, NULL, &err);
    store_close(s);
    if (!ok)
        fprintf(stderr, "list_attempts: %s\n", err.text);
    return ok ? 0 : 1;
}
