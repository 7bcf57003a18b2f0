// The least that any preloaded library costs: nothing in it.
static int nothing __attribute__((used));
