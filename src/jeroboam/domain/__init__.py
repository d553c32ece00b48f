"""The domain: frozen dataclasses and pure functions, without event loop, HTTP or SQL."""
