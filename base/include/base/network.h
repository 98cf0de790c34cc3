/* Networks as an administrator writes them, and addresses as http_peer tells them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NETWORK_GROUP 16

/* "10.0.0.0/8", "fd00::/8", "::1": a network, or one address.  False when it is none. */
bool network_valid(const char *text);
/* Does `peer`, an address (with a scope or not), lie in it?  False too when either is none. */
bool network_has(const char *network, const char *peer);
bool network_is_loopback(const char *address);
/* Whom an address belongs to, as far as it tells: an IPv4 address is one party (or what stands behind its NAT), of an IPv6
 * address the first 64 bits, since a host picks the others itself.  All zero for what is no address. */
void network_group(const char *peer, uint8_t out[NETWORK_GROUP]);
/* For tables of such parties, in which nobody outside can know who meets whom. */
void network_secret(uint64_t out[2]);
uint64_t network_group_hash(const uint8_t group[NETWORK_GROUP], const uint64_t secret[2]);
