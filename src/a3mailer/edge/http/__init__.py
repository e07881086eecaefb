"""The HTTP doors: metrics and health today; JMAP, DAV and the API will live here."""
