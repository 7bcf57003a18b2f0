/* file_names: every libc way to make, change and remove a name, once, each on a path of its own; and by
 * number.
 * Trap: the *at, l*, f* and *64 variants are missed by a list of symbols made by hand; a failing call must
 * not have its bad pointer read. The path's name says what the test expects: `<call>.<...>`.
 * run: (no arguments)
 * differs: mkdtemp.
 */
#include "victim.h"
#include <linux/fs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

int main(void) {
    umask(022);
    MUST(mkdir("dir", 0700) == 0);
    int dir = open("dir", O_RDONLY | O_DIRECTORY);
    int fd = open("fd.file", O_CREAT | O_RDWR, 0600);
    MUST(dir >= 0 && fd >= 0);

    SHOW(mkdir("mkdir.made", 0750));
    SHOW(mkdir("mkdir.made", 0750));
    SHOW(mkdirat(dir, "mkdirat.made", 0711));
    char template[] = "mkdtemp.XXXXXX";
    SHOW_POINTER(mkdtemp(template));
    SHOW(mknod("mknod.file", S_IFREG | 0640, 0));
    SHOW(mknod("mknod.null", S_IFCHR | 0600, makedev(1, 3)) == 0 || errno == EPERM);
    SHOW(mknodat(dir, "mknodat.fifo", S_IFIFO | 0600, 0));
    SHOW(mkfifo("mkfifo.made", 0622));
    SHOW(mkfifoat(dir, "mkfifoat.made", 0600));

    SHOW(chmod("mknod.file", 0604));
    SHOW(chmod("chmod.missing", 0604));
    SHOW(fchmod(fd, 0640));
    SHOW(fchmod(77, 0640));
    SHOW(fchmodat(dir, "mkdirat.made", 0700, 0));
    SHOW(fchmodat(AT_FDCWD, "mknod.file", 04755, 0));
    SHOW(chown("mknod.file", 12, 34));
    SHOW(lchown("mknod.file", -1, 35));
    SHOW(fchown(fd, 13, -1));
    SHOW(fchownat(dir, "mkdirat.made", 14, 36, AT_SYMLINK_NOFOLLOW));
    SHOW(fchownat(fd, "", 15, 37, AT_EMPTY_PATH));
    SHOW(truncate("mknod.file", 4096));
    SHOW(truncate("mknod.file", -1));
    SHOW(ftruncate(fd, 8192));
#ifdef __GLIBC__
    SHOW(lchmod("mknod.file", 0644));
    SHOW(truncate64("mknod.file", 4097));
    SHOW(ftruncate64(fd, 5l << 32));
    extern int __xmknod(int, const char *, mode_t, dev_t *), __xmknodat(int, int, const char *, mode_t, dev_t *);
    dev_t none = 0;
    SHOW(__xmknod(0, "xmknod.file", S_IFREG | 0600, &none));
    SHOW(__xmknodat(0, dir, "xmknodat.file", S_IFREG | 0600, &none));
#endif

    SHOW(setxattr("mknod.file", "user.set", "value", 5, 0));
    SHOW(lsetxattr("mknod.file", "user.lset", "value", 5, XATTR_CREATE));
    SHOW(fsetxattr(fd, "user.fset", "value", 5, 0));
    SHOW(removexattr("mknod.file", "user.set"));
    SHOW(lremovexattr("mknod.file", "user.lset"));
    SHOW(fremovexattr(fd, "user.fset"));
    SHOW(removexattr("xattr.missing", "user.none"));

    SHOW(link("mknod.file", "link.made"));
    SHOW(linkat(AT_FDCWD, "mknod.file", dir, "linkat.made", 0));
    SHOW(symlink("mknod.file", "symlink.made"));
    SHOW(symlink("../mknod.file", "dir/symlink.relative"));
    SHOW(symlinkat("/nowhere/./at-all", dir, "symlinkat.made"));
    SHOW(rename("link.made", "rename.made"));
    SHOW(rename("rename.missing", "rename.never"));
    SHOW(renameat(dir, "linkat.made", AT_FDCWD, "renameat.made"));
#ifdef __GLIBC__
    SHOW(renameat2(AT_FDCWD, "renameat.made", dir, "../renameat2.made", RENAME_NOREPLACE));
#else
    SHOW(rename("renameat.made", "renameat2.made"));
#endif

    SHOW(unlink("rename.made"));
    SHOW(unlink("unlink.missing"));
    SHOW(unlink("mkdir.made"));
    SHOW(unlinkat(dir, "symlink.relative", 0));
    SHOW(unlinkat(dir, "mkdirat.made", AT_REMOVEDIR));
    SHOW(rmdir("mkdir.made"));
    SHOW(rmdir("dir"));
    SHOW(remove("renameat2.made"));
    MUST(mkdir("remove.directory", 0700) == 0);
    errno = ERRNO_SENTINEL;
    say("remove.directory %d\n", remove("remove.directory")); /* glibc leaves EISDIR, and may */
    SHOW(remove("dir"));
    SHOW(remove("remove.missing"));

    /* Bad pointers together with good ones, and errors that come before a pointer is read. */
    char *bad = (char *)0x10;
    SHOW(rename(bad, "bad.new"));
    SHOW(rename("bad.old", bad));
    SHOW(rename("", (char *)0x7fffffff0000));
    SHOW(unlink(bad));
    SHOW(unlink(NULL));
    SHOW(unlinkat(AT_FDCWD, "bad.flags", 0x40000000));
    SHOW(unlinkat(AT_FDCWD, (char *)0x7fffffff0000, 0x40000000));
    SHOW(setxattr((char *)0x7fffffff0000, "", "x", 1, 0));
    SHOW(setxattr("mknod.file", (char *)0x7fffffff0000, "x", 1, 0));
    SHOW(symlink(bad, "bad.link"));
    SHOW(truncate((char *)0x7fffffff0000, -1));
    SHOW(unlinkat(77, "bad.dirfd", 0));
    SHOW(linkat(77, "bad.dirfd", 78, "bad.new", 0));

    /* By number: told under the same names. */
    SHOW(syscall(SYS_mkdirat, AT_FDCWD, "number.dir", 0700));
    SHOW(syscall(SYS_mknodat, AT_FDCWD, "number.file", S_IFREG | 0600, 0));
    SHOW(syscall(SYS_fchmodat, AT_FDCWD, "number.file", 0640));
    SHOW(syscall(SYS_fchmod, fd, 0600));
    SHOW(syscall(SYS_fchownat, AT_FDCWD, "number.file", 16, 38, 0));
    SHOW(syscall(SYS_fchown, fd, 17, 39));
    SHOW(syscall(SYS_truncate, "number.file", 10));
    SHOW(syscall(SYS_ftruncate, fd, 11));
    SHOW(syscall(SYS_setxattr, "number.file", "user.number", "v", 1, 0));
    SHOW(syscall(SYS_fremovexattr, fd, "user.number"));
    SHOW(syscall(SYS_linkat, AT_FDCWD, "number.file", AT_FDCWD, "number.link", 0));
    SHOW(syscall(SYS_symlinkat, "number.file", AT_FDCWD, "number.symlink"));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "number.link", AT_FDCWD, "number.renamed", 0));
    SHOW(syscall(SYS_unlinkat, AT_FDCWD, "number.renamed", 0));
    SHOW(syscall(SYS_unlinkat, AT_FDCWD, "number.dir", AT_REMOVEDIR));
#ifdef SYS_unlink
    SHOW(syscall(SYS_mkdir, "number.dir", 0700));
    SHOW(syscall(SYS_mknod, "number.fifo", S_IFIFO | 0600, 0));
    SHOW(syscall(SYS_chmod, "number.file", 0600));
    SHOW(syscall(SYS_chown, "number.file", 1, 2));
    SHOW(syscall(SYS_lchown, "number.file", 3, 4));
    SHOW(syscall(SYS_link, "number.file", "number.link"));
    SHOW(syscall(SYS_symlink, "number.file", "number.symlink2"));
    SHOW(syscall(SYS_rename, "number.link", "number.renamed"));
    SHOW(syscall(SYS_unlink, "number.renamed"));
    SHOW(syscall(SYS_rmdir, "number.dir"));
#endif
    say_descriptors("at the end");
    return 0;
}
