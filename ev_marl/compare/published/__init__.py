"""Results that others have published, to be computed again: one YAML file each, which names its source."""
