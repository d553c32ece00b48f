"""The container-infra API (Magnum's); each resource has one module."""
