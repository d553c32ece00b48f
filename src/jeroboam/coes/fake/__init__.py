"""A COE in memory."""
