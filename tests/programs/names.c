/* names: looking up names that need no name server.
 * Trap: getaddrinfo returns EAI_*, errno only with EAI_SYSTEM, and its result is valid only on 0; the
 * reentrant gethostbyname_r returns an errno value and its answer by pointer.
 * run: (no arguments)
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

static void look(const char *host, const char *service, int flags) {
    struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found = (void *)-1;
    errno = ERRNO_SENTINEL;
    int result = getaddrinfo(host, service, &hints, &found);
    say("getaddrinfo %s %s: %d\n", host ? host : "null", service ? service : "null", result);
    if (result != 0) return;
    for (struct addrinfo *one = found; one; one = one->ai_next) {
        char text[64];
        struct sockaddr_in *address = (struct sockaddr_in *)one->ai_addr;
        say("  %s port %d\n", inet_ntop(AF_INET, &address->sin_addr, text, sizeof text), ntohs(address->sin_port));
    }
    freeaddrinfo(found);
}

int main(void) {
    look("localhost", "80", 0);
    look("127.0.0.1", "443", AI_NUMERICHOST);
    look(NULL, "1", AI_PASSIVE);
    look("not numeric", NULL, AI_NUMERICHOST);
    look("localhost", "no-such-service", 0);
    look(NULL, NULL, 0);
    struct hostent *host = gethostbyname("localhost");
    say("gethostbyname: %s\n", host ? host->h_name : "null");
    host = gethostbyname("127.0.0.2");
    say("gethostbyname: %s\n", host ? host->h_name : "null");
    struct hostent entry, *answer = NULL;
    char buffer[2048];
    int error = 0;
    int result = gethostbyname_r("localhost", &entry, buffer, sizeof buffer, &answer, &error);
    say("gethostbyname_r: %d %s\n", result, answer ? answer->h_name : "null");
    result = gethostbyname_r("localhost", &entry, buffer, 1, &answer, &error);
    say("gethostbyname_r: %d %s\n", result, answer ? "set" : "null"); /* ERANGE */
    result = gethostbyname2_r("localhost", AF_INET, &entry, buffer, sizeof buffer, &answer, &error);
    say("gethostbyname2_r: %d %s\n", result, answer ? answer->h_name : "null");

    /* The name last resolved to an address goes with a connect to it. */
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    MUST(bind(listening, (void *)&address, len) == 0 && listen(listening, 1) == 0);
    MUST(getsockname(listening, (void *)&address, &len) == 0);
    MUST(getaddrinfo("localhost", NULL, &hints, &found) == 0);
    ((struct sockaddr_in *)found->ai_addr)->sin_port = address.sin_port;
    SHOW(connect(client, found->ai_addr, found->ai_addrlen));
    freeaddrinfo(found);
    SHOW(close(client));
    SHOW(close(listening));
    return 0;
}
