"""Who may do what: directory, credentials, tokens, roles."""
