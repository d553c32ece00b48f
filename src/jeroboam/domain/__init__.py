"""The words of this project as frozen dataclasses and pure functions: no event loop, no HTTP, no SQL."""
