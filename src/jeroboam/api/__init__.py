"""The ASGI edge: records wishes, shows facts, never drives anything."""
