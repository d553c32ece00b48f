"""Tests of the API edge, in process, on a real store."""
