"""Runtimes, which start containers on a host: `base` defines the contract, the others are drivers."""
