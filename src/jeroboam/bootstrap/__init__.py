"""The composition root: settings in, chosen parts out, in one process or in one of many."""
