/* tty_state: the program's view of its terminal, session and process group.
 * Trap: a launcher that takes the foreground, changes modes, or puts its child into a group that is not in
 * front.
 */
#include "victim.h"
#include <termios.h>

int main(void) {
    struct termios modes;
    for (int fd = 0; fd < 3; fd++) say("fd %d is %s\n", fd, isatty(fd) ? "a terminal" : "no terminal");
    SHOW(tcgetattr(0, &modes));
    say("modes %x %x %x %x\n", modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag);
    say("foreground: %d\n", tcgetpgrp(0) == getpgrp());
    say("in the terminal's session: %d\n", tcgetsid(0) == getsid(0));
    int terminal = open("/dev/tty", O_RDWR);
    say("controlling terminal: %d\n", terminal);
    char line[64];
    ssize_t len = read(0, line, sizeof line);
    say("read %zd: %.*s", len, len > 0 ? (int)len : 0, line);
    return 0;
}
