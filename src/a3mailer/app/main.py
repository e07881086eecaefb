"""The command line's entry point."""


def main() -> int:
    """Run one verb and return its exit code."""
    raise SystemExit("no verb exists yet")
