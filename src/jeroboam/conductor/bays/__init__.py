"""The loops of containers and manifests inside bays, and the way into a cluster."""
