/* The page that NDES shows at mscep_admin.  Programs cut the password out by the words around it,
 * some by regular expressions, some by the exact run of words, blanks and tags: docs/NDES.md says
 * which, and tests/interop/test_scrapers.py reads as they do.  One line, words of the original,
 * tags in its mixture of cases. */
#include <stdio.h>
#include <string.h>

#include "ndes.h"
#include "pkcs7/alg.h"

#define MD5_OCTETS 16

static const char head[] =
    "<HTML><Head><Meta HTTP-Equiv=\"Content-Type\" Content=\"text/html; charset=UTF-8\">"
    "<Title>Network Device Enrollment Service</Title></Head><Body BgColor=#FFFFFF>"
    "<H1> Network Device Enrollment Service </H1>"
    "<P> Network Device Enrollment Service allows you to obtain certificates for routers or other "
    "network devices using the Simple Certificate Enrollment Protocol (SCEP).";
static const char needed[] = " <P> To complete certificate enrollment for your network device you "
                             "will need the following information:";
static const char one_time[] =
    " <P> Each enrollment requires a new challenge password. You can refresh this web page to "
    "obtain a new challenge password.";
/* Some look for the words of the label, without its colon, before they look for a reason. */
static const char full[] =
    " <P> The password cache is full. <P> The enrollment challenge password is shown again as soon "
    "as one of those that are open has been used or has expired.";
static const char tail[] = " </Body></HTML>";

/* "A656FA66 AB12B433 A2DA5CF7 CC153D9A": MD5, as devices of those days show it. */
static bool thumbprint(struct view ca, char out[2 * MD5_OCTETS + 4], struct err *err)
{
    uint8_t md5[MD5_OCTETS];
    if (!digest_compute(DIGEST_MD5, ca, md5, err))
        return false;
    for (size_t i = 0; i < MD5_OCTETS; i++)
        out += snprintf(out, 4, "%s%02X", i && i % 4 == 0 ? " " : "", md5[i]);
    return true;
}

static bool add_password(const struct ndes_page *p, struct buf *text, struct err *err)
{
    char print[2 * MD5_OCTETS + 4];
    if (!thumbprint(p->ca, print, err))
        return false;
    bool ok = buf_printf(text,
                         "%s <P> The thumbprint (hash value) for the CA certificate is: <B> %s </B>"
                         " <P> The enrollment challenge password is: <B> %s </B>",
                         needed, print, p->password);
    if (p->show == NDES_SHOW_SINGLE)
        ok =
            ok && buf_append_str(text, " <P> This password can be used multiple times and will not "
                                       "expire.");
    else /* in whole minutes: a little late is better than a surprise */
        ok =
            ok && buf_printf(text,
                             " <P> This password can be used only once and will expire within %lld "
                             "minutes.%s",
                             (long long)((p->validity + 59) / 60), one_time);
    return ok || err_memory(err);
}

static bool add_words(const struct ndes_page *p, struct buf *text, struct err *err)
{
    switch (p->show) {
    case NDES_SHOW_ONE_TIME:
    case NDES_SHOW_SINGLE:
        return add_password(p, text, err);
    case NDES_SHOW_FULL:
        return buf_append_str(text, full) || err_memory(err);
    case NDES_SHOW_FORBIDDEN:
        return buf_append_str(text,
                              " <P> You do not have sufficient permission to enroll with SCEP."
                              "  Please contact your system administrator.") ||
               err_memory(err);
    }
    return err_set(err, ERR_CONFIG, "there is no such page");
}

/* All of it is ASCII. */
static bool encode(struct view text, enum ndes_encoding encoding, struct buf *out)
{
    if (encoding == NDES_UTF8)
        return buf_append(out, text.p, text.n);
    if (!buf_reserve(out, 2 * text.n + 2) ||
        (encoding == NDES_UTF16 && !buf_append(out, "\xff\xfe", 2)))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t unit[2] = {text.p[i], 0};
        if (!buf_append(out, unit, sizeof unit))
            return false;
    }
    return true;
}

bool ndes_page_build(const struct ndes_page *p, struct buf *out, struct err *err)
{
    struct buf text = {0};
    bool ok = buf_reserve(&text, 2048) && buf_append_str(&text, head);
    if (!ok)
        err_memory(err);
    ok = ok && add_words(p, &text, err);
    if (ok && !(buf_append_str(&text, tail) && encode(buf_view(&text), p->encoding, out)))
        ok = err_memory(err);
    buf_wipe(&text);
    return ok;
}
