/* Validation elsewhere: a request that is good as far as we know is asked about, and decided anew
 * when the answer has come. */
#include "decision.h"

bool ask_elsewhere(struct ask *a, bool *go_on, struct err *err)
{
    const struct enroll_asked *asked = a->ctx->asked;
    const char *name = a->policy->validate;
    *go_on = true;
    if (!*name)
        return true;
    trail_begin(a->trail, CHECK_WEBHOOK);
    switch (asked ? asked->state : ENROLL_NOT_ASKED) {
    case ENROLL_NOT_ASKED:
        *go_on = false;
        a->p->kind = CHANGE_NONE;
        a->d->verdict = ENROLL_ASK;
        return true;
    case ENROLL_ALLOWED:
        trail_pass(a->trail, "%s allows it%s%.60s", name, *asked->text ? ": " : "", asked->text);
        return true;
    case ENROLL_DENIED:
        return err_refuse(err, REASON_WEBHOOK_DENIED, "%s: %.240s", name, asked->text);
    case ENROLL_NO_ANSWER:
        break;
    }
    return err_refuse(err, REASON_WEBHOOK_UNREACHABLE, "%s: %.240s", name, asked->text);
}
