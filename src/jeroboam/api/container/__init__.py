"""The container API (Zun's); each resource has one module."""
