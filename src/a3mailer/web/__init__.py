"""Webmail, self-service and administration pages will live here, as built assets (source in /frontend)."""
