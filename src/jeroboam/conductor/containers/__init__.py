"""The container loop."""
