// The least cost of a preloaded library: there is nothing in it.
static int nothing __attribute__((used));
