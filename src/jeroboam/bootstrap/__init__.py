"""The composition root: it reads the settings and builds the parts, in one process or in many."""
