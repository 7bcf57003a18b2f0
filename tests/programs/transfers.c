/* transfers: bytes that move inside the kernel, asynchronously, or by number: reported by the close of each
 * file.
 * Trap: none of them passes read or write, so a copy looks like a file that was opened for nothing.
 * run: (no arguments)
 */
#include "victim.h"
#include <aio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static char buffer[4096];

static int made(const char *name) { return open(name, O_CREAT | O_RDWR, 0600); }

static void asynchronous(void) {
    struct aiocb write_block = {.aio_fildes = made("transfers.aio"), .aio_buf = buffer, .aio_nbytes = 70};
    const struct aiocb *list[1] = {&write_block};
    SHOW(aio_write(&write_block));
    SHOW(aio_suspend(list, 1, NULL));
    SHOW(aio_return(&write_block));
    struct aiocb read_block = {.aio_fildes = write_block.aio_fildes, .aio_buf = buffer, .aio_nbytes = 30};
    read_block.aio_lio_opcode = LIO_READ;
    struct aiocb *several[1] = {&read_block};
    SHOW(lio_listio(LIO_WAIT, several, 1, NULL));
    SHOW(aio_return(&read_block));
    SHOW(close(write_block.aio_fildes));
}

int main(void) {
    int source = made("transfers.source"), target = made("transfers.sendfile"), ends[2], others[2];
    off_t zero = 0;
    SHOW(write(source, buffer, 1000));
    SHOW(sendfile(target, source, &zero, 600));
    SHOW(sendfile(target, -1, NULL, 600));
    SHOW(close(target));

    target = made("transfers.copied");
    SHOW(lseek(source, 0, SEEK_SET));
    SHOW(copy_file_range(source, NULL, target, NULL, 200, 0));
    SHOW(close(target));

    SHOW(pipe(ends));
    SHOW(pipe(others));
    target = made("transfers.spliced");
    struct iovec part = {buffer, 50};
    SHOW(lseek(source, 0, SEEK_SET));
    SHOW(splice(source, NULL, ends[1], NULL, 100, 0));
    SHOW(tee(ends[0], others[1], 100, 0));
    SHOW(splice(ends[0], NULL, target, NULL, 100, 0));
    SHOW(vmsplice(ends[1], &part, 1, 0));
    SHOW(close(target));
    SHOW(close(source)); /* wrote 1000; read 600 + 200 + 100 */

    target = made("transfers.numbers");
    SHOW(syscall(SYS_write, target, buffer, 11));
    SHOW(syscall(SYS_pwritev, target, &part, 1, 0, 0));
    SHOW(syscall(SYS_preadv, target, &part, 1, 0, 0));
    SHOW(syscall(SYS_sendfile, others[1], target, &zero, 20)); /* `zero` is 600: the end */
    SHOW(close(target)); /* wrote 61; read 50 */
    SHOW(syscall(SYS_fcntl, others[0], F_DUPFD_CLOEXEC, 100));
    SHOW(close(100));

    asynchronous();
    return 0;
}
