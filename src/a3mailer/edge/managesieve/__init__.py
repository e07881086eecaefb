"""The ManageSieve door: sessions, answers, and errors as response codes."""
