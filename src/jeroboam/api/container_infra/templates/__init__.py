"""Cluster templates: their fields, their routes, and the handlers."""
