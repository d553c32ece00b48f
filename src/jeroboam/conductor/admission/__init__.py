"""Checks before a wish is stored whether it can be carried out."""
