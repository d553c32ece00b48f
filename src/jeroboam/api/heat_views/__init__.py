"""Clusters as Heat would show their stacks, for programs that look there: an option, `[api] heat_views`."""
