"""The HTTP door: a table of routes over one connection; metrics, health, well-known paths and the API."""
