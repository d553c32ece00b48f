"""Our process on a host: it owns the runtime there and reconciles what is assigned to it."""
