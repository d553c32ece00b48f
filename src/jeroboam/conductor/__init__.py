"""The loops: each claims objects, works on them and writes the result."""
