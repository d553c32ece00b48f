"""Small tools that know nothing of containers: clock, ids, tasks, work queue, certificates."""
