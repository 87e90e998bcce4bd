"""What is thought of the rest of the episode: known, present, or expected."""
