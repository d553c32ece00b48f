"""The cluster loop, and the steps that it takes."""
