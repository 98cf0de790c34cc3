/* reasons_page > docs/scepd-reasons.7: the manual's page of reasons, made from the one list.  The
 * test `docs-reasons` compares. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "enroll/explain.h"

static const char head[] =
    ".\\\" Made by tests/docs/reasons_page.c from base/reason.h and base/reason_help.c: do not "
    "edit.\n"
    ".Dd November 25, 2026\n"
    ".Dt SCEPD-REASONS 7\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm scepd-reasons\n"
    ".Nd why scepd refused, and what to do\n"
    ".Sh DESCRIPTION\n"
    "Every refusal has one reason, and every reason one code, which is never renamed\n"
    "or used again.\n"
    "It stands in the failInfoText of the CertRep, in the field\n"
    ".Li reason\n"
    "of the log, in the metrics and in\n"
    ".Ic scepctl explain ,\n"
    "which prints the paragraph below with the values of one attempt put in.\n"
    "Words in capitals stand for such values here.\n"
    ".Pp\n"
    "For each: what happened; why, most of the time; what to do; what the device\n"
    "shows, which is what its owner reads out on the telephone.\n"
    ".Sh REASONS\n"
    ".Bl -tag -width Ds\n";

static const char tail[] = ".El\n"
                           ".Sh SEE ALSO\n"
                           ".Xr scepctl 1 ,\n"
                           ".Xr scepd.conf 5 ,\n"
                           ".Xr scepd 8\n";

#define LINE 76

/* A new sentence begins a new line, lines are short, and none begins with a control character.
 * `column`: where the line stands already. */
static void text(const char *s, size_t column)
{
    for (; *s; s++) {
        bool sentence = (*s == '.' || *s == '?') && s[1] == ' ' && isupper((unsigned char)s[2]);
        if (column == 0 && (*s == '.' || *s == '\''))
            fputs("\\&", stdout);
        if (*s == ' ' && column + 1 + strcspn(s + 1, " ") > LINE) {
            putchar('\n');
            column = 0;
            continue;
        }
        if (*s == '\\')
            fputs("\\e", stdout);
        else if (*s == '"')
            fputs("\\(dq", stdout);
        else
            putchar(*s);
        column += *s == '"' ? 4 : 1;
        if (sentence) {
            putchar('\n');
            column = 0;
            s++;
        }
    }
    putchar('\n');
}

static void labelled(const char *label, const char *s)
{
    char filled[EXPLAIN_TEXT];
    explain_fill(s, NULL, filled, sizeof filled);
    printf(".Pp\n%s: ", label);
    text(filled, strlen(label) + 2);
}

int main(void)
{
    char screen[EXPLAIN_TEXT];
    fputs(head, stdout);
    for (int i = 1; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);
        const struct reason_help *help = reason_help((enum reason)i);
        printf(".It Li %s\n%c", info->code, toupper((unsigned char)info->text[0]));
        text(info->text + 1, 1);
        if (info->hresult)
            printf("(failInfo %s, HRESULT 0x%08x)\n", fail_info_name((int)info->fail_info),
                   (unsigned)info->hresult);
        labelled("Why", help->cause);
        labelled("Do", help->fix);
        reason_screen((enum reason)i, screen, sizeof screen);
        labelled("The device shows", screen);
    }
    fputs(tail, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
