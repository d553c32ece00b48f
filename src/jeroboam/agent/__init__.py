"""The agent: our process on a host. It owns the runtime there and reconciles the assigned containers."""
