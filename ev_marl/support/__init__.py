"""What every room may use: compiled kernels and their cache, files, errors, registries, HiGHS, Ray."""
