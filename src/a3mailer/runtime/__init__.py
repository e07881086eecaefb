"""Async mechanics that know nothing of mail: supervise, connections, clocks, resolver, limiter, spool."""
