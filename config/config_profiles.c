/* Rules between settings, for the files that devices get. */
#include <string.h>

#include "config_internal.h"

static bool identifier_chars(const char *s)
{
    for (; *s; s++)
        if (!((*s >= '0' && *s <= '9') || ((*s | 32) >= 'a' && (*s | 32) <= 'z') || *s == '-' ||
              *s == '.'))
            return false;
    return true;
}

void config_check_profiles(struct loader *l)
{
    const struct config_profiles *p = &l->c->profiles;
    const config_setting_t *at = config_at(l->root, "profiles");
    if (!identifier_chars(p->identifier))
        config_mistake(l, config_at(at, "identifier"),
                       "profiles.identifier may have letters, digits, '-' and '.' only");
    if (p->certificate[0] && !p->key[0])
        config_mistake(l, config_at(at, "certificate"), "profiles.certificate needs profiles.key");
    if (p->key[0] && !p->certificate[0])
        config_mistake(l, config_at(at, "key"), "profiles.key needs profiles.certificate");
    if (p->passphrase_file[0] && !p->key[0])
        config_mistake(l, config_at(at, "passphrase_file"),
                       "profiles.passphrase_file needs profiles.key");
    if (p->key[0] && config_key_file(l->c, p->key))
        config_mistake(l, config_at(at, "key"),
                       "profiles.key is a key of an authority: a key of its own is needed");
}
