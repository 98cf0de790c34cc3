#include "tree.h"

#include <stdlib.h>

#define MAX_DEPTH 40
#define CONSTRUCTED 0x20

static void must(bool ok)
{
    if (!ok)
        abort();
}

static struct tree *tree_new(void)
{
    struct tree *t = calloc(1, sizeof *t);
    must(t != NULL);
    return t;
}

void tree_free(struct tree *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        tree_free(t->child[i]);
    free(t->child);
    buf_clear(&t->content);
    free(t);
}

/* ---- reading ---- */

static bool read_identifier(struct view *in, struct tree *t)
{
    size_t n = 1;
    if (in->n == 0)
        return false;
    if ((in->p[0] & 0x1f) == 0x1f) {
        do
            n++;
        while (n <= in->n && n < sizeof t->identifier && in->p[n - 1] & 0x80);
        if (n > in->n || in->p[n - 1] & 0x80)
            return false;
    }
    memcpy(t->identifier, in->p, n);
    t->identifier_n = n;
    t->constructed = in->p[0] & CONSTRUCTED;
    *in = view_of(in->p + n, in->n - n);
    return true;
}

/* Behind the first, in DER. */
static size_t length_octets_for(size_t n)
{
    size_t octets = 0;
    for (size_t rest = n; n >= 0x80 && rest > 0; rest >>= 8)
        octets++;
    return octets;
}

static bool read_length(struct view *in, struct tree *t, size_t *out)
{
    if (in->n == 0)
        return false;
    size_t octets = in->p[0] & 0x80 ? in->p[0] & 0x7f : 0, length = in->p[0] & 0x7f;
    t->indefinite = in->p[0] == 0x80;
    *in = view_of(in->p + 1, in->n - 1);
    if (t->indefinite)
        return t->constructed;
    if (octets > 4 || octets > in->n)
        return false;
    if (octets)
        length = 0;
    for (size_t i = 0; i < octets; i++)
        length = length << 8 | in->p[i];
    *in = view_of(in->p + octets, in->n - octets);
    if (octets != length_octets_for(length))
        t->length_octets = (uint8_t)(octets ? octets : 1);
    *out = length;
    return length <= in->n;
}

static struct tree *read_one(struct view *in, unsigned depth);

static bool read_children(struct view in, struct tree *t, unsigned depth)
{
    while (in.n > 0) {
        struct tree *c = read_one(&in, depth);
        if (!c)
            return false;
        tree_insert(t, t->n, c);
    }
    return true;
}

static bool read_indefinite(struct view *in, struct tree *t, unsigned depth)
{
    while (!(in->n >= 2 && in->p[0] == 0 && in->p[1] == 0)) {
        struct tree *c = read_one(in, depth);
        if (!c)
            return false;
        tree_insert(t, t->n, c);
    }
    *in = view_of(in->p + 2, in->n - 2);
    return true;
}

/* Extensions, keys and signatures of ECDSA lie in strings; text and digests that happen to read as
 * a value are no harm. */
static void look_inside(struct tree *t, struct view content, unsigned depth)
{
    struct view in = content;
    bool bits = tree_is(t, 0x03);
    if (!bits && !tree_is(t, 0x04))
        return;
    if (bits && (in.n == 0 || in.p[0] != 0))
        return;
    if (bits)
        in = view_of(in.p + 1, in.n - 1);
    if (in.n < 2 || (in.p[0] != 0x30 && in.p[0] != 0x03 && in.p[0] != 0x04))
        return;
    struct tree *inside = read_one(&in, depth);
    if (inside && in.n == 0)
        tree_insert(t, 0, inside);
    else
        tree_free(inside);
}

static struct tree *read_one(struct view *in, unsigned depth)
{
    struct tree *t = tree_new();
    size_t length = 0;
    bool ok = depth < MAX_DEPTH && read_identifier(in, t) && read_length(in, t, &length);
    if (ok && t->indefinite) {
        ok = read_indefinite(in, t, depth + 1);
    } else if (ok) {
        struct view content = view_of(in->p, length);
        *in = view_of(in->p + length, in->n - length);
        if (t->constructed)
            ok = read_children(content, t, depth + 1);
        else
            look_inside(t, content, depth + 1);
        if (ok && t->n == 0 && !t->constructed)
            must(buf_append(&t->content, content.p, content.n));
    }
    if (ok)
        return t;
    tree_free(t);
    return NULL;
}

struct tree *tree_read(struct view in)
{
    struct tree *t = read_one(&in, 0);
    if (t && in.n == 0)
        return t;
    tree_free(t);
    return NULL;
}

/* ---- writing ---- */

static void put(struct buf *out, const void *p, size_t n)
{
    must(buf_append(out, p, n));
}

static void write_length(size_t n, size_t at_least, struct buf *out)
{
    uint8_t octets[6];
    size_t used = length_octets_for(n);
    used = used < at_least ? at_least : used;
    octets[0] = (uint8_t)(used ? 0x80 | used : n);
    for (size_t i = 0; i < used; i++)
        octets[1 + i] = (uint8_t)(n >> (8 * (used - 1 - i)));
    put(out, octets, 1 + used);
}

static void write_content(const struct tree *t, bool der, struct buf *out)
{
    put(out, t->content.p, t->content.n);
    if (t->n && !t->constructed && tree_is(t, 0x03))
        put(out, &t->unused_bits, 1);
    for (size_t i = 0; i < t->n; i++)
        tree_write(t->child[i], der, out);
}

void tree_write(const struct tree *t, bool der, struct buf *out)
{
    struct buf content = {0};
    bool indefinite = t->indefinite && t->constructed && !der;
    write_content(t, der, &content);
    put(out, t->identifier, t->identifier_n);
    if (indefinite)
        put(out, "\x80", 1);
    else
        write_length(content.n, der ? 0 : t->length_octets, out);
    put(out, content.p, content.n);
    if (indefinite)
        put(out, "\0\0", 2);
    buf_clear(&content);
}

struct tree *tree_copy(const struct tree *t)
{
    struct tree *c = tree_new();
    *c = *t;
    c->content = (struct buf){0};
    c->child = NULL;
    c->n = c->cap = 0;
    put(&c->content, t->content.p, t->content.n);
    for (size_t i = 0; i < t->n; i++)
        tree_insert(c, i, tree_copy(t->child[i]));
    return c;
}

/* ---- looking and changing ---- */

bool tree_is(const struct tree *t, unsigned identifier)
{
    return t && t->identifier_n == 1 && t->identifier[0] == identifier;
}

struct tree *tree_child(const struct tree *t, size_t i)
{
    return t && i < t->n ? t->child[i] : NULL;
}

void tree_insert(struct tree *t, size_t at, struct tree *child)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 4;
        t->child = realloc(t->child, t->cap * sizeof *t->child);
        must(t->child != NULL);
    }
    at = at < t->n ? at : t->n;
    memmove(t->child + at + 1, t->child + at, (t->n - at) * sizeof *t->child);
    t->child[at] = child;
    t->n++;
}

struct tree *tree_take(struct tree *t, size_t i)
{
    struct tree *c = t->child[i];
    memmove(t->child + i, t->child + i + 1, (t->n - i - 1) * sizeof *t->child);
    t->n--;
    return c;
}

void tree_replace(struct tree *t, size_t i, struct tree *child)
{
    tree_free(t->child[i]);
    t->child[i] = child;
}

void tree_octets(const struct tree *t, struct buf *out)
{
    if (!t->constructed) {
        write_content(t, false, out);
        return;
    }
    for (size_t i = 0; i < t->n; i++)
        tree_octets(t->child[i], out);
}

void tree_set_octets(struct tree *t, struct view octets)
{
    struct buf copy = {0};
    put(&copy, octets.p, octets.n);
    while (t->n)
        tree_free(tree_take(t, t->n - 1));
    buf_clear(&t->content);
    t->content = copy;
    t->constructed = t->indefinite = false;
    t->identifier[0] &= (uint8_t)~CONSTRUCTED;
}

size_t tree_count(const struct tree *t)
{
    size_t n = 1;
    for (size_t i = 0; i < t->n; i++)
        n += tree_count(t->child[i]);
    return n;
}

static struct tree *count_down(struct tree *t, size_t *nth)
{
    if ((*nth)-- == 0)
        return t;
    for (size_t i = 0; i < t->n; i++) {
        struct tree *found = count_down(t->child[i], nth);
        if (found)
            return found;
    }
    return NULL;
}

struct tree *tree_nth(struct tree *t, size_t nth)
{
    return count_down(t, &nth);
}
