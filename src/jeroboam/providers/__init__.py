"""Providers, where the nodes of clusters come from: `base` defines the contract, the others are drivers."""
