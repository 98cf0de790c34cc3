/* Networks as an administrator writes them, and addresses as http_peer tells them. */
#pragma once

#include <stdbool.h>

/* "10.0.0.0/8", "fd00::/8", "::1": a network, or one address.  False when it is none. */
bool network_valid(const char *text);
/* Does `peer`, an address (with a scope or not), lie in it?  False too when either is none. */
bool network_has(const char *network, const char *peer);
bool network_is_loopback(const char *address);
