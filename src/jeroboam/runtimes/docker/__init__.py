"""The runtime `docker`: containers on a Docker Engine."""
