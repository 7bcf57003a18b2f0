/* runpath_deepest: must not be found by dlopen_runpath. */
int deepest;
