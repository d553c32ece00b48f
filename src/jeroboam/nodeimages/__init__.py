"""Builders of node images: one folder for each image, with recipe files as package data."""
