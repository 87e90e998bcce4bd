"""One batched step of a site: battery, coordinators, simulator."""
