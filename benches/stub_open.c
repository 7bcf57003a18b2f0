// A preloaded `open` that does nothing, behind the sensor: the loops that use it measure the hook alone.
int open(const char *path, int flags, ...) {
    (void)path;
    (void)flags;
    return 900;
}
