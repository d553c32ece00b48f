"""The loops of containers and manifests inside bays, and the connection to a cluster."""
