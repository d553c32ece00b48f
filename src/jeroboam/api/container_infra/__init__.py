"""The container-infra API (Magnum's): one module a resource."""
