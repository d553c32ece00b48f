"""Node groups of a cluster."""
