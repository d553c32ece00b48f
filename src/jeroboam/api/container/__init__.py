"""The container API (Zun's): one module a resource."""
