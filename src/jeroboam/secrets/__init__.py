"""Seals secrets at rest."""
