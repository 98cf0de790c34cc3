#include "profile_xml.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <libxml/parser.h>
#include <libxml/xmlwriter.h>
#include <openssl/crypto.h>

struct xml {
    xmlTextWriterPtr writer;
    xmlBufferPtr buffer;
    bool failed;
};

/* ---- memory ---- */

/* The length stands in front, so that all of it can be overwritten; the size keeps alignment. */
union head {
    size_t n;
    max_align_t align;
};

static void *wiping_malloc(size_t n)
{
    if (n > SIZE_MAX - sizeof(union head))
        return NULL;
    union head *h = malloc(sizeof *h + n);
    if (!h)
        return NULL;
    h->n = n;
    return h + 1;
}

static void wiping_free(void *p)
{
    if (!p)
        return;
    union head *h = (union head *)p - 1;
    OPENSSL_cleanse(p, h->n);
    free(h);
}

static void *wiping_realloc(void *p, size_t n)
{
    void *fresh = wiping_malloc(n);
    if (!fresh || !p)
        return fresh;
    size_t had = ((union head *)p - 1)->n;
    memcpy(fresh, p, had < n ? had : n);
    wiping_free(p);
    return fresh;
}

static char *wiping_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = wiping_malloc(n);
    return copy ? memcpy(copy, s, n) : NULL;
}

/* Before libxml2 has allocated anything: nobody else in this program uses it. */
static void set_up(void)
{
    xmlMemSetup(wiping_free, wiping_malloc, wiping_realloc, wiping_strdup);
    xmlInitParser();
}

/* ---- writing ---- */

struct xml *xml_start(const char *const doctype[3])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct xml *x = calloc(1, sizeof *x);
    if (!x || pthread_once(&once, set_up) != 0)
        goto fail;
    x->buffer = xmlBufferCreate();
    x->writer = x->buffer ? xmlNewTextWriterMemory(x->buffer, 0) : NULL;
    if (!x->writer)
        goto fail;
    xmlTextWriterSetIndent(x->writer, 1);
    xmlTextWriterSetIndentString(x->writer, BAD_CAST "  ");
    x->failed =
        xmlTextWriterStartDocument(x->writer, NULL, "UTF-8", NULL) < 0 ||
        (doctype && xmlTextWriterWriteDTD(x->writer, BAD_CAST doctype[0], BAD_CAST doctype[1],
                                          BAD_CAST doctype[2], NULL) < 0);
    return x;
fail:
    if (x && x->buffer)
        xmlBufferFree(x->buffer);
    free(x);
    return NULL;
}

static void note(struct xml *x, int result)
{
    x->failed = x->failed || result < 0;
}

void xml_open(struct xml *x, const char *element)
{
    note(x, xmlTextWriterStartElement(x->writer, BAD_CAST element));
}

void xml_attribute(struct xml *x, const char *name, const char *value)
{
    note(x, xmlTextWriterWriteAttribute(x->writer, BAD_CAST name, BAD_CAST value));
}

void xml_content(struct xml *x, const char *text)
{
    note(x, xmlTextWriterWriteString(x->writer, BAD_CAST text));
}

void xml_close(struct xml *x)
{
    note(x, xmlTextWriterEndElement(x->writer));
}

void xml_text(struct xml *x, const char *element, const char *text)
{
    note(x, xmlTextWriterWriteElement(x->writer, BAD_CAST element, BAD_CAST text));
}

void xml_number(struct xml *x, const char *element, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    xml_text(x, element, text);
}

void xml_base64(struct xml *x, const char *element, struct view bytes)
{
    xml_open(x, element);
    note(x, bytes.n > INT32_MAX
                ? -1
                : xmlTextWriterWriteBase64(x->writer, (const char *)bytes.p, 0, (int)bytes.n));
    xml_close(x);
}

void xml_empty(struct xml *x, const char *element)
{
    xml_open(x, element);
    xml_close(x);
}

bool xml_end(struct xml *x, struct buf *out, struct err *err)
{
    note(x, xmlTextWriterEndDocument(x->writer));
    xmlFreeTextWriter(x->writer); /* flushes into the buffer */
    int n = xmlBufferLength(x->buffer);
    bool ok = !x->failed && n > 0 && buf_append(out, xmlBufferContent(x->buffer), (size_t)n);
    xmlBufferFree(x->buffer);
    free(x);
    return ok || err_set(err, ERR_MEMORY, "the XML of a profile could not be written");
}
