"""Clusters: made, shown, changed, upgraded; their certificates and their events."""
