"""How node images are made: one folder an image, recipe files as package data."""
