"""One step of many sites at once: the setpoints, the coordinators that grant power, the batteries."""
