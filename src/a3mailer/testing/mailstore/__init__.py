"""The compliance suite of store backends: what every one of them must do, stated as tests.

    class TestMine(MailStoreCompliance):
        async def open_store(self, directory, settings): return await MyStore.open(...)

A backend that keeps nothing over a close says ``durable = False``.
"""

from a3mailer.testing.mailstore.suite import MailStoreCompliance

__all__ = ["MailStoreCompliance"]
