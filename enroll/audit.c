#include "enroll/audit.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

void audit_fill(struct store_audit *a, int64_t at, const char *event, const char *actor,
                const char *object, const char *fmt, ...)
{
    *a = (struct store_audit){.at = at};
    text_printable(view_str(event), a->event, sizeof a->event);
    text_printable(view_str(actor), a->actor, sizeof a->actor);
    text_printable(view_str(object), a->object, sizeof a->object);
    char text[4 * STORE_SUBJECT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_printable(view_str(text), a->text, sizeof a->text);
}
