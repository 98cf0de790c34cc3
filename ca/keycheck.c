#include "ca/keycheck.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <pthread.h>

/* Everything modular is done on 64-bit words: a few passes over the modulus, no big-number
 * division.  Only the square root that Fermat's method starts from needs BIGNUMs. */

#define RSA_MAX_BITS 8192 /* pubkey_parse's bound */
#define RSA_MAX_WORDS (RSA_MAX_BITS / 64)
#define EXPONENT_MIN 65537u

#define SMALL_FACTOR_LIMIT \
    752 /* certificates.md's bound, the one of the public web PKI's linters */
#define ROCA_LIMIT 167
#define FERMAT_ROUNDS 100

__extension__ typedef unsigned __int128 word128;

struct words {
    uint64_t w[RSA_MAX_WORDS]; /* most significant first */
    size_t n;
};

static const uint16_t primes[] = {
    3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
    73,  79,  83,  89,  97,  101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    173, 179, 181, 191, 193, 197, 199, 211, 223, 227, 229, 233, 239, 241, 251, 257, 263, 269, 271,
    277, 281, 283, 293, 307, 311, 313, 317, 331, 337, 347, 349, 353, 359, 367, 373, 379, 383, 389,
    397, 401, 409, 419, 421, 431, 433, 439, 443, 449, 457, 461, 463, 467, 479, 487, 491, 499, 503,
    509, 521, 523, 541, 547, 557, 563, 569, 571, 577, 587, 593, 599, 601, 607, 613, 617, 619, 631,
    641, 643, 647, 653, 659, 661, 673, 677, 683, 691, 701, 709, 719, 727, 733, 739, 743, 751,
};
#define PRIMES (sizeof primes / sizeof primes[0])

static bool words_of(struct view big_endian, struct words *out)
{
    if (big_endian.n == 0 || big_endian.n > RSA_MAX_BITS / 8)
        return false;
    out->n = (big_endian.n + 7) / 8;
    size_t at = 0, first = big_endian.n - 8 * (out->n - 1);
    for (size_t i = 0; i < out->n; i++) {
        uint64_t w = 0;
        for (size_t k = i ? 8 : first; k > 0; k--)
            w = w << 8 | big_endian.p[at++];
        out->w[i] = w;
    }
    return true;
}

static uint64_t words_mod(const struct words *x, uint64_t m)
{
    uint64_t r = 0;
    for (size_t i = 0; i < x->n; i++)
        r = (uint64_t)(((word128)r << 64 | x->w[i]) % m);
    return r;
}

/* Is r a power of 65537 modulo the prime p? */
static bool power_of_65537(uint64_t r, uint64_t p)
{
    uint64_t g = 65537 % p, x = 1;
    do {
        if (x == r)
            return true;
        x = x * g % p;
    } while (x != 1);
    return false;
}

/* The residues of n modulo every prime below the limit, several primes to one pass.  CVE-2017-15361
 * (ROCA): primes of the form k * M + (65537^a mod M), so that n is a power of 65537 modulo every
 * prime that divides M.  A sound modulus is so by chance once in 2^27. */
static bool check_residues(const struct words *n, struct err *err)
{
    bool roca = true;
    for (size_t i = 0; i < PRIMES;) {
        uint64_t product = 1;
        size_t end = i;
        while (end < PRIMES && product <= UINT64_MAX / primes[end])
            product *= primes[end++];
        uint64_t r = words_mod(n, product);
        for (; i < end; i++) {
            uint64_t residue = r % primes[i];
            if (residue == 0)
                return err_refuse(err, REASON_KEY_WEAK, "the RSA modulus is divisible by %u",
                                  primes[i]);
            if (roca && primes[i] <= ROCA_LIMIT)
                roca = power_of_65537(residue, primes[i]);
        }
    }
    return !roca || err_refuse(err, REASON_KEY_WEAK,
                               "the RSA key has the ROCA fingerprint (CVE-2017-15361)");
}

/* ---- Fermat: n = p * q with p and q close together ---- */

/* Squares are rare modulo these: one number in about 2^14 passes all of them. */
static const uint8_t sieve[] = {64, 63, 65, 11, 17, 19, 23, 29, 31, 37, 41, 43};
#define SIEVES (sizeof sieve / sizeof sieve[0])
/* Their product: one pass over a number gives all its residues. */
#define SIEVE_PRODUCT (64ull * 63 * 65 * 11 * 17 * 19 * 23 * 29 * 31 * 37 * 41 * 43)

/* squares[i], bit r: r is a square modulo sieve[i].  65 has one bit too many, which stands apart.
 */
static uint64_t squares[SIEVES];
static bool square_64_of_65;
static pthread_once_t squares_once = PTHREAD_ONCE_INIT;

static void squares_fill(void)
{
    for (size_t i = 0; i < SIEVES; i++) {
        for (unsigned x = 0; x < sieve[i]; x++) {
            unsigned r = x * x % sieve[i];
            if (r == 64)
                square_64_of_65 = true;
            else
                squares[i] |= 1ull << r;
        }
    }
}

struct sieve_state {
    uint8_t a[SIEVES], n[SIEVES]; /* residues */
};

/* `a` and `n` modulo SIEVE_PRODUCT. */
static void sieve_start(struct sieve_state *s, uint64_t a, uint64_t n)
{
    pthread_once(&squares_once, squares_fill);
    for (size_t i = 0; i < SIEVES; i++) {
        s->a[i] = (uint8_t)(a % sieve[i]);
        s->n[i] = (uint8_t)(n % sieve[i]);
    }
}

/* May (a + step)^2 - n be a square? */
static bool sieve_passes(const struct sieve_state *s, unsigned step)
{
    for (size_t i = 0; i < SIEVES; i++) {
        unsigned m = sieve[i], a = (s->a[i] + step) % m, r = (a * a + m - s->n[i]) % m;
        if (r == 64 ? !square_64_of_65 : !(squares[i] >> r & 1))
            return false;
    }
    return true;
}

/* floor(sqrt(x)) of at most 62 bits, or one more than it. */
static uint64_t root_of_word(uint64_t x)
{
    uint64_t estimate = 1ull << 32;
    for (uint64_t better; (better = (estimate + x / estimate) / 2) < estimate;)
        estimate = better;
    return estimate + 1;
}

/* One step of Newton's iteration towards sqrt(x), from above: 1 when root became smaller, 0 when it
 * is floor(sqrt(x)), -1: failure. */
static int newton_step(BIGNUM *root, const BIGNUM *x, BN_CTX *ctx)
{
    int result = -1;
    BN_CTX_start(ctx);
    BIGNUM *next = BN_CTX_get(ctx);
    if (!next || !BN_div(next, NULL, x, root, ctx) || !BN_add(next, next, root) ||
        !BN_rshift1(next, next))
        goto out;
    result = BN_cmp(next, root) < 0;
    if (result && !BN_copy(root, next))
        result = -1;
out:
    BN_CTX_end(ctx);
    return result;
}

/* floor(sqrt(x)).  Each step doubles the bits that are right, so that the early ones are taken with
 * the leading bits of x only: nearly all the work is in the last two. */
static bool square_root(BIGNUM *root, const BIGNUM *x, BN_CTX *ctx)
{
    bool ok = false;
    BN_CTX_start(ctx);
    BIGNUM *leading = BN_CTX_get(ctx);
    int shift = BN_num_bits(x) - 62, known = 31, moved = 1;
    shift = shift < 0 ? 0 : shift + (shift & 1);
    if (!leading || !BN_rshift(leading, x, shift) ||
        !BN_set_word(root, root_of_word(BN_get_word(leading))))
        goto out;
    while (shift > 0) {
        int down = 2 * known - 4 < shift ? 2 * known - 4 : shift; /* both are even */
        shift -= down;
        known += down / 2;
        if (!BN_rshift(leading, x, shift) || !BN_lshift(root, root, down / 2) ||
            newton_step(root, leading, ctx) < 0 || (shift > 0 && !BN_add_word(root, 1)))
            goto out; /* one more, so that it is above the next one's root, too */
    }
    while (moved > 0)
        moved = newton_step(root, x, ctx);
    ok = moved == 0;
out:
    BN_CTX_end(ctx);
    return ok;
}

/* 1: n = a * a - b * b for an integer b (found after `step` rounds), 0: not so, -1: failure. */
static int difference_of_squares(const BIGNUM *n, const BIGNUM *first, unsigned step, BN_CTX *ctx)
{
    int result = -1;
    BN_CTX_start(ctx);
    BIGNUM *a = BN_CTX_get(ctx), *b2 = BN_CTX_get(ctx), *b = BN_CTX_get(ctx);
    if (!b || !BN_copy(a, first) || !BN_add_word(a, step) || !BN_sqr(b2, a, ctx) ||
        !BN_sub(b2, b2, n))
        goto out;
    if (BN_is_zero(b2) || BN_is_negative(b2)) {
        result = BN_is_zero(b2);
        goto out;
    }
    if (!square_root(b, b2, ctx) || !BN_sqr(a, b, ctx))
        goto out;
    result = BN_cmp(a, b2) == 0;
out:
    BN_CTX_end(ctx);
    return result;
}

static bool check_fermat(struct view modulus, const struct words *words, struct err *err)
{
    bool ok = false;
    struct sieve_state s;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *n = BN_bin2bn(modulus.p, (int)modulus.n, NULL), *a = BN_new();
    if (!ctx || !n || !a || !square_root(a, n, ctx)) {
        err_set(err, ERR_CRYPTO, "cannot compute a square root");
        goto out;
    }
    uint64_t a_residue = BN_mod_word(a, SIEVE_PRODUCT);
    if (a_residue >= SIEVE_PRODUCT) {
        err_memory(err);
        goto out;
    }
    sieve_start(&s, a_residue, words_mod(words, SIEVE_PRODUCT));
    for (unsigned step = 0; step <= FERMAT_ROUNDS; step++) { /* step 0: n is a square */
        if (!sieve_passes(&s, step))
            continue;
        int found = difference_of_squares(n, a, step, ctx);
        if (found < 0) {
            err_set(err, ERR_CRYPTO, "cannot compute a square root");
            goto out;
        }
        if (found) {
            err_refuse(err, REASON_KEY_WEAK,
                       "the primes of the RSA key are close together (Fermat, round %u)", step);
            goto out;
        }
    }
    ok = true;
out:
    ERR_clear_error();
    BN_free(a);
    BN_free(n);
    BN_CTX_free(ctx);
    return ok;
}

/* 65537 by default; larger odd exponents are sound too (up to pubkey_parse's 256 bits). */
static bool check_exponent(struct view e, struct err *err)
{
    if (e.n == 0 || (e.p[e.n - 1] & 1) == 0)
        return err_refuse(err, REASON_KEY_WEAK, "the RSA exponent is even");
    if (e.n > 4)
        return true;
    uint64_t value = 0;
    for (size_t i = 0; i < e.n; i++)
        value = value << 8 | e.p[i];
    return value >= EXPONENT_MIN ||
           err_refuse(err, REASON_KEY_WEAK, "the RSA exponent is %llu, at least %u is needed",
                      (unsigned long long)value, EXPONENT_MIN);
}

static bool check_rsa(const struct pubkey *key, struct err *err)
{
    struct words n;
    if (!words_of(key->n, &n))
        return err_refuse(err, REASON_KEY_TYPE, "the RSA modulus has %zu octets", key->n.n);
    if ((n.w[n.n - 1] & 1) == 0)
        return err_refuse(err, REASON_KEY_WEAK, "the RSA modulus is even");
    return check_exponent(key->e, err) && check_residues(&n, err) && check_fermat(key->n, &n, err);
}

/* The curve is one of three by name, with cofactor 1: a point on it is sound.  Loading it checks
 * that. */
static bool check_ec(const struct pubkey *key, struct err *err)
{
    EVP_PKEY *pkey = NULL;
    if (!pubkey_load(key, &pkey, err))
        return false;
    EVP_PKEY_free(pkey);
    return true;
}

bool key_check(const struct pubkey *key, struct err *err)
{
    return key->type == KEY_RSA ? check_rsa(key, err) : check_ec(key, err);
}
