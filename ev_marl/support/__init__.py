"""What every room may use: compiled kernels and their cache, errors, registries, HiGHS, Ray."""
