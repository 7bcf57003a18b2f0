/* held: closes a socket whose lock another thread holds, which sends from memory whose server (this program) does
 * not answer meanwhile. Its word: a work folder. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MUST(holds) ((holds) ? (void)0 : abort())
#define LEN 4096

static char *page;
static int asked;

static void *sends(void *nothing) {
    MUST(send(asked, page, LEN, 0) == LEN);
    return nothing;
}

static void make(const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    MUST(fd >= 0 && close(fd) == 0);
}

int main(int argc, char **argv) {
    MUST(argc >= 2 && chdir(argv[1]) == 0);
    int faults = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = {.api = UFFD_API};
    MUST(faults >= 0 && ioctl(faults, UFFDIO_API, &api) == 0);
    page = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register served = {{(unsigned long)page, LEN}, UFFDIO_REGISTER_MODE_MISSING};
    MUST(page != MAP_FAILED && ioctl(faults, UFFDIO_REGISTER, &served) == 0);

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    MUST(bind(listener, (void *)&address, len) == 0 && listen(listener, 5) == 0);
    MUST(getsockname(listener, (void *)&address, &len) == 0);
    asked = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(asked, (void *)&address, len) == 0);

    pthread_t thread;
    MUST(pthread_create(&thread, NULL, sends, NULL) == 0);
    struct pollfd waits = {.fd = faults, .events = POLLIN};
    MUST(poll(&waits, 1, -1) == 1);
    make("before");
    MUST(close(asked) == 0);
    make("after");
    struct uffdio_zeropage zeroes = {.range = {(unsigned long)page, LEN}};
    MUST(ioctl(faults, UFFDIO_ZEROPAGE, &zeroes) == 0);
    MUST(pthread_join(thread, NULL) == 0);
    make("last");
    return 0;
}
