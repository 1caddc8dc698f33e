/* Names that a test gives to this machine: whatever ends in ".rds.test" is 127.0.0.1. Loaded before the C library
 * (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    static const char end[] = ".rds.test";
    size_t length = name ? strlen(name) : 0;
    if (length >= sizeof end && strcmp(name + length - (sizeof end - 1), end) == 0)
        name = "127.0.0.1";
    return ((lookup *) dlsym(RTLD_NEXT, "getaddrinfo"))(name, service, hints, found);
}
