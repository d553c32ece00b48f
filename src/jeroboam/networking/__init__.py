"""Networking drivers: what makes the networks of projects safe to be on. `base` is the contract."""
