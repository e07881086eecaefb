"""The SMTP door (RFC 5321, RFC 6409): events from the engine become use cases, errors become replies."""
