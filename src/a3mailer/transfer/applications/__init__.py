"""Mail of programs: by the HTTP API, its templates, and by sendmail."""
