"""The ASGI application: it records wishes and shows facts. It never drives a provider, a COE or a runtime."""
