"""The doors: sockets on one side, use cases on the other."""
