#include "mutate.h"

#include <stdlib.h>

#define MAX_NODES 4000

struct random random_from(uint32_t seed)
{
    return (struct random){seed * UINT64_C(0x9e3779b97f4a7c15) + 0x1234567};
}

/* splitmix64 */
uint32_t random_below(struct random *r, size_t n)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % n);
}

/* ---- values that matter somewhere ---- */

#define BYTES(s)                            \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }
#define RSA_OID(arc) "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01" arc
#define PKCS7_OID(arc) "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07" arc
#define PKCS9_OID(arc) "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09" arc
#define SCEP_OID(arc) "\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09" arc
#define HASH_OID(arc) "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" arc
#define AES_OID(arc) "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01" arc
#define ECDSA_OID(arc) "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03" arc
#define CE_OID(arc) "\x06\x03\x55\x1d" arc
#define AT_OID(arc) "\x06\x03\x55\x04" arc

static const struct view words[] = {
    BYTES(RSA_OID("\x01")),
    BYTES(RSA_OID("\x04")),
    BYTES(RSA_OID("\x05")),
    BYTES(RSA_OID("\x07")),
    BYTES(RSA_OID("\x08")),
    BYTES(RSA_OID("\x0a")),
    BYTES(RSA_OID("\x0b")),
    BYTES(RSA_OID("\x0c")),
    BYTES(RSA_OID("\x0d")),
    BYTES(PKCS7_OID("\x01")),
    BYTES(PKCS7_OID("\x02")),
    BYTES(PKCS7_OID("\x03")),
    BYTES(PKCS9_OID("\x03")),
    BYTES(PKCS9_OID("\x04")),
    BYTES(PKCS9_OID("\x05")),
    BYTES(PKCS9_OID("\x07")),
    BYTES(PKCS9_OID("\x0e")),
    BYTES(PKCS9_OID("\x01")),
    BYTES(SCEP_OID("\x02")),
    BYTES(SCEP_OID("\x03")),
    BYTES(SCEP_OID("\x04")),
    BYTES(SCEP_OID("\x05")),
    BYTES(SCEP_OID("\x06")),
    BYTES(SCEP_OID("\x07")),
    BYTES(HASH_OID("\x01")),
    BYTES(HASH_OID("\x02")),
    BYTES(HASH_OID("\x03")),
    BYTES(HASH_OID("\x04")),
    BYTES("\x06\x05\x2b\x0e\x03\x02\x1a"),
    BYTES("\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05"),
    BYTES(AES_OID("\x02")),
    BYTES(AES_OID("\x16")),
    BYTES(AES_OID("\x2a")),
    BYTES(AES_OID("\x06")),
    BYTES("\x06\x08\x2a\x86\x48\x86\xf7\x0d\x03\x07"),
    BYTES("\x06\x05\x2b\x0e\x03\x02\x07"),
    BYTES(ECDSA_OID("\x02")),
    BYTES(ECDSA_OID("\x03")),
    BYTES(ECDSA_OID("\x04")),
    BYTES("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"),
    BYTES("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
    BYTES("\x06\x05\x2b\x81\x04\x00\x22"),
    BYTES("\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0e"),
    BYTES("\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03"),
    BYTES("\x06\x08\x2b\x06\x01\x05\x05\x07\x18\x01"),
    BYTES(CE_OID("\x0e")),
    BYTES(CE_OID("\x0f")),
    BYTES(CE_OID("\x11")),
    BYTES(CE_OID("\x13")),
    BYTES(CE_OID("\x23")),
    BYTES(CE_OID("\x25")),
    BYTES(CE_OID("\x1f")),
    BYTES(CE_OID("\x20")),
    BYTES(AT_OID("\x03")),
    BYTES(AT_OID("\x06")),
    BYTES(AT_OID("\x0a")),
    BYTES(AT_OID("\x05")),
    BYTES("\x06\x0a\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"),
    BYTES("\x06\x01\x80"),
    BYTES("\x06\x00"),
    BYTES("\x02\x01\x00"),
    BYTES("\x02\x01\x01"),
    BYTES("\x02\x01\x02"),
    BYTES("\x02\x01\x7f"),
    BYTES("\x02\x01\x80"),
    BYTES("\x02\x01\xff"),
    BYTES("\x02\x02\x00\x80"),
    BYTES("\x02\x02\x00\x01"),
    BYTES("\x02\x09\x01\0\0\0\0\0\0\0\0"),
    BYTES("\x02\x00"),
    BYTES("\x01\x01\xff"),
    BYTES("\x01\x01\x00"),
    BYTES("\x01\x01\x01"),
    BYTES("\x01\x00"),
    BYTES("\x05\x00"),
    BYTES("\x05\x01\x00"),
    BYTES("\x30\x00"),
    BYTES("\x31\x00"),
    BYTES("\xa0\x00"),
    BYTES("\x03\x01\x00"),
    BYTES("\x03\x02\x07\x80"),
    BYTES("\x03\x02\x05\xa0"),
    BYTES("\x03\x02\x00\x06"),
    BYTES("\x03\x02\x05\xff"),
    BYTES("\x03\x03\x07\x00\x80"),
    BYTES("\x04\x00"),
    BYTES("\x04\x01\x00"),
    BYTES("\x0c\x01\x61"),
    BYTES("\x0c\x02\xc3\xa9"),
    BYTES("\x0c\x03\x65\xcc\x81"),
    BYTES("\x0c\x01\xff"),
    BYTES("\x0c\x02\x61\x00"),
    BYTES("\x0c\x03\xe2\x80\xae"),
    BYTES("\x13\x01\x61"),
    BYTES("\x13\x01\x40"),
    BYTES("\x13\x02\x31\x39"),
    BYTES("\x13\x02\x31\x37"),
    BYTES("\x13\x02\x32\x30"),
    BYTES("\x13\x01\x33"),
    BYTES("\x13\x01\x30"),
    BYTES("\x13\x01\x32"),
    BYTES("\x13\x02\x30\x33"),
    BYTES("\x14\x01\xe9"),
    BYTES("\x14\x01\x9b"),
    BYTES("\x16\x01\xe9"),
    BYTES("\x12\x01\x31"),
    BYTES("\x1a\x01\x61"),
    BYTES("\x1e\x02\x00\x61"),
    BYTES("\x1e\x02\xd8\x3d"),
    BYTES("\x1e\x04\xd8\x3d\xde\x00"),
    BYTES("\x1e\x01\x61"),
    BYTES("\x1c\x04\x00\x00\x00\x61"),
    BYTES("\x1c\x04\x00\x11\x00\x00"),
    BYTES("\x1c\x03\x00\x00\x61"),
    BYTES("\x17\x0d"
          "491231235959Z"),
    BYTES("\x17\x0d"
          "500101000000Z"),
    BYTES("\x17\x0b"
          "2601010000Z"),
    BYTES("\x17\x11"
          "260101000000+0100"),
    BYTES("\x17\x0d"
          "260230000000Z"),
    BYTES("\x18\x0f"
          "20500101000000Z"),
    BYTES("\x18\x0f"
          "99991231235959Z"),
    BYTES("\x18\x0f"
          "00000101000000Z"),
    BYTES("\x18\x11"
          "20260101000000.5Z"),
    BYTES("\x18\x13"
          "20260101000000+0100"),
    BYTES("\x18\x0e"
          "20260101000000"),
    BYTES("\x82\x09"
          "a.example"),
    BYTES("\x82\x09"
          "A.EXAMPLE"),
    BYTES("\x82\x02"
          "*."),
    BYTES("\x81\x03"
          "a@b"),
    BYTES("\x86\x07"
          "urn:a:b"),
    BYTES("\x87\x04\x0a\x00\x00\x01"),
    BYTES("\x87\x03\x0a\x00\x00"),
    BYTES("\x88\x03\x55\x1d\x11"),
    BYTES("\xa4\x02\x30\x00"),
    BYTES("\xa0\x11\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x03\x0c\x01\x61"),
};

static const uint8_t tags[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x12, 0x13, 0x14,
                               0x16, 0x17, 0x18, 0x1a, 0x1b, 0x1c, 0x1e, 0x30, 0x31, 0x80, 0x81,
                               0x82, 0x86, 0x87, 0xa0, 0xa1, 0xa2, 0xa3, 0x24, 0x00, 0x1f};

static struct tree *word(struct random *r)
{
    struct tree *t = tree_read(words[random_below(r, sizeof words / sizeof *words)]);
    if (!t)
        abort();
    return t;
}

/* ---- octets ---- */

void octets_mutate(struct buf *b, struct random *r)
{
    if (b->n == 0 || random_one_in(r, 8)) {
        if (!buf_append(b, &(uint8_t){(uint8_t)random_below(r, 256)}, 1))
            abort();
        return;
    }
    size_t at = random_below(r, b->n);
    switch (random_below(r, 5)) {
    case 0:
        b->p[at] ^= (uint8_t)(1u << random_below(r, 8));
        break;
    case 1:
        b->p[at] = (uint8_t)random_below(r, 256);
        break;
    case 2:
        memmove(b->p + at, b->p + at + 1, b->n - at - 1);
        b->n--;
        break;
    case 3:
        b->n = at;
        break;
    default:
        b->p[at] = random_one_in(r, 2) ? 0 : 0xff;
        break;
    }
}

/* ---- one change ---- */

/* Some node with children, or NULL. */
static struct tree *parent(struct tree *t, struct random *r)
{
    size_t count = tree_count(t);
    for (int tries = 0; tries < 20; tries++) {
        struct tree *p = tree_nth(t, random_below(r, count));
        if (p->n)
            return p;
    }
    return t->n ? t : NULL;
}

static void change_content(struct tree *t, struct random *r)
{
    struct tree *leaf = tree_nth(t, random_below(r, tree_count(t)));
    if (leaf->n == 0 && !leaf->constructed)
        octets_mutate(&leaf->content, r);
    else if (leaf->n && tree_is(leaf, 0x03))
        leaf->unused_bits = (uint8_t)random_below(r, 9);
}

/* BER's other ways to write the same. */
static void change_form(struct tree *t, struct random *r)
{
    struct tree *x = tree_nth(t, random_below(r, tree_count(t)));
    if (x->constructed && random_one_in(r, 2))
        x->indefinite = !x->indefinite;
    else if (x->constructed || random_one_in(r, 4))
        x->length_octets = x->length_octets ? 0 : (uint8_t)(1 + random_below(r, 4));
    else if (x->n == 0 && x->content.n > 1 && x->identifier_n == 1) { /* in two pieces */
        struct buf whole = x->content;
        size_t half = random_below(r, whole.n);
        unsigned piece = (x->identifier[0] & 0xc0) ? 0x04 : x->identifier[0];
        x->content = (struct buf){0};
        x->identifier[0] |= 0x20;
        x->constructed = true;
        for (int i = 0; i < 2; i++) {
            struct tree *p = tree_read(view_of("\x04\x00", 2));
            p->identifier[0] = (uint8_t)piece;
            tree_set_octets(p,
                            i ? view_of(whole.p + half, whole.n - half) : view_of(whole.p, half));
            tree_insert(x, (size_t)i, p);
        }
        buf_clear(&whole);
    }
}

static void change_tag(struct tree *t, struct random *r)
{
    struct tree *x = tree_nth(t, random_below(r, tree_count(t)));
    uint8_t tag = tags[random_below(r, sizeof tags)];
    if (random_one_in(r, 3))
        tag = (uint8_t)(x->identifier[0] ^ (1u << random_below(r, 5)));
    x->identifier[0] = (uint8_t)((tag & ~0x20u) | (x->constructed ? 0x20u : 0));
    x->identifier_n = 1;
    if ((tag & 0x1f) == 0x1f) {
        x->identifier[1] = 0x1f;
        x->identifier_n = 2;
    }
}

static void change_children(struct tree *t, struct random *r)
{
    struct tree *p = parent(t, r), *from;
    if (!p)
        return;
    size_t i = random_below(r, p->n), k = random_below(r, p->n);
    struct tree *x;
    switch (random_below(r, 8)) {
    case 0:
        tree_free(tree_take(p, i));
        break;
    case 1: /* doubled */
        tree_insert(p, k, tree_copy(p->child[i]));
        break;
    case 2:
        x = p->child[i];
        p->child[i] = p->child[k];
        p->child[k] = x;
        break;
    case 3: /* from elsewhere */
        from = tree_nth(t, random_below(r, tree_count(t)));
        x = tree_copy(from);
        if (random_one_in(r, 2))
            tree_insert(p, i, x);
        else
            tree_replace(p, i, x);
        break;
    case 4:
        tree_insert(p, i, word(r));
        break;
    case 5:
    case 6:
        tree_replace(p, i, word(r));
        break;
    default: /* its children instead of it, or one more around it */
        x = tree_take(p, i);
        if (x->n && random_one_in(r, 2)) {
            for (size_t n = x->n; n-- > 0;)
                tree_insert(p, i, tree_take(x, n));
            tree_free(x);
        } else {
            struct tree *around = tree_read(view_of("\x30\x00", 2));
            around->identifier[0] = random_one_in(r, 2) ? 0x30 : 0xa0;
            tree_insert(around, 0, x);
            tree_insert(p, i, around);
        }
        break;
    }
}

void tree_mutate(struct tree *t, struct random *r)
{
    for (unsigned n = 1 + random_below(r, 4); n > 0; n--) {
        switch (tree_count(t) > MAX_NODES ? 0 : random_below(r, 8)) {
        case 0:
        case 1:
            change_content(t, r);
            break;
        case 2:
            change_form(t, r);
            break;
        case 3:
            change_tag(t, r);
            break;
        default:
            change_children(t, r);
            break;
        }
    }
}
