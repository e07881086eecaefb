"""JMAP over HTTP (RFC 8620): session resource, API, uploads and downloads, and the table of methods."""
