"""Nodes as containers on a Docker Engine."""
