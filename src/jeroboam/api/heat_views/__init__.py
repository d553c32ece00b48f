"""Clusters in the shape of Heat's stacks, for programs that read those. Enabled by the option `[api] heat_views`."""
