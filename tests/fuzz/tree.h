/* BER as a tree that can be changed anywhere and written again with every length right: what a mutator of octets cannot
 * do.  Written apart from pkcs7/'s reader. */
#pragma once

#include "base/buf.h"

struct tree {
    uint8_t identifier[6]; /* as it stood, high tag numbers too */
    size_t identifier_n;
    bool constructed;
    bool indefinite;       /* written so */
    uint8_t length_octets; /* at least so many behind the first: not DER; 0: as few as will do */
    uint8_t unused_bits;   /* of a BIT STRING that holds a tree */
    struct buf content;    /* of a primitive one without a tree inside */
    struct tree **child;   /* owned; of a constructed one, or of an OCTET or BIT STRING that holds one tree */
    size_t n, cap;
};

/* One value with nothing behind it, at most 40 deep; NULL for anything else. */
struct tree *tree_read(struct view in);
struct tree *tree_copy(const struct tree *t);
void tree_free(struct tree *t);
/* Appends.  `der`: definite lengths everywhere, whatever the tree says. */
void tree_write(const struct tree *t, bool der, struct buf *out);

bool tree_is(const struct tree *t, unsigned identifier); /* of one octet; false for NULL */
/* NULL when there is none. */
struct tree *tree_child(const struct tree *t, size_t i);
/* Takes `child`; at most at the end. */
void tree_insert(struct tree *t, size_t at, struct tree *child);
struct tree *tree_take(struct tree *t, size_t i);
void tree_replace(struct tree *t, size_t i, struct tree *child);
/* The octets of a string: of a primitive one, of pieces, or of the tree inside.  Appended. */
void tree_octets(const struct tree *t, struct buf *out);
/* Makes it a primitive string of these octets. */
void tree_set_octets(struct tree *t, struct view octets);
size_t tree_count(const struct tree *t);
/* The nth of all, the root first. */
struct tree *tree_nth(struct tree *t, size_t nth);
