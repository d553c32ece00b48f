"""Clusters: create, show, change and upgrade; their certificates and their events."""
