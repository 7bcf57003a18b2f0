/* stdio: bytes that move through streams, in every way that a program has, and never through read or write.
 * Trap: glibc's stdio reads and writes inside libc, so a close shows 0 bytes; what fclose and exit flush
 * comes last.
 * run: (no arguments)
 */
#include "victim.h"
#include <wchar.h>

int main(void) {
    char text[100];
    static char large[100000];

    FILE *stream = fopen("stdio.printf", "w");
    for (int i = 0; i < 1000; i++) fprintf(stream, "%09d\n", i);
    SHOW(fclose(stream));

    stream = fopen("stdio.printf", "r");
    int lines = 0;
    while (fgets(text, sizeof text, stream)) lines++;
    say("lines %d\n", lines);
    SHOW(fclose(stream));

    stream = fopen("stdio.printf", "r");
    while (getc(stream) != EOF) lines--;
    SHOW(fclose(stream));

    stream = fopen("stdio.large", "w+");
    SHOW(fwrite(large, 1, sizeof large, stream));
    SHOW(fseek(stream, 10, SEEK_SET));
    SHOW(fread(large, 1, 1000, stream));
    SHOW(fclose(stream));

    stream = fopen("stdio.wide", "w");
    SHOW(fwprintf(stream, L"%ls", L"wide"));
    SHOW(fclose(stream));

    stream = fopen("stdio.unbuffered", "w");
    setvbuf(stream, NULL, _IONBF, 0);
    for (int i = 0; i < 5; i++) fputc('x', stream);
    SHOW(fclose(stream));

    int fd = open("stdio.fdopen", O_CREAT | O_RDWR, 0600);
    stream = fdopen(fd, "w");
    fputs("twelve bytes", stream);
    SHOW(fclose(stream));
    SHOW(fcntl(fd, F_GETFD));

    stream = fopen("/dev/full", "w");
    fputs("nowhere", stream);
    SHOW(fclose(stream));

    stream = popen("cat > stdio.piped", "w");
    fputs("through a pipe", stream);
    SHOW(pclose(stream));
    stream = fmemopen(text, sizeof text, "w");
    fputs("memory", stream);
    SHOW(fclose(stream));

    stream = fopen("stdio.left-open", "w");
    fputs("flushed by exit", stream);
    return 0;
}
