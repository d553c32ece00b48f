"""Identity of callers: checks tokens against Keystone, and runs a Keystone of our own if there is none."""
