"""Names of blobs: what is one, and of what."""

import hashlib

import pytest

from a3mailer.access.blobs import Blobs, name_of_script, read_name, read_script_name
from a3mailer.access.scripts import Scripts
from a3mailer.config.tree import Settings
from a3mailer.mail.errors import NoSuchMessage
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import settle_in

DIGEST = hashlib.sha256(b"keep;").hexdigest()


def test_the_name_of_a_script_is_read_back() -> None:
    name = name_of_script(DIGEST, "s1")
    assert read_script_name(name) == (DIGEST, "s1")
    assert read_name(name) is None, "it is no stored content"


@pytest.mark.parametrize(
    "name",
    ["", "S", "S_", f"S{DIGEST}", f"S{DIGEST}_", f"S{DIGEST[1:]}_s1", f"S{DIGEST.upper()}_s1",
     f"B{DIGEST}_s1", "S" + "0" * 63 + "\u0660_s1"],
)  # fmt: skip
def test_no_names_of_scripts(name: str) -> None:
    assert read_script_name(name) is None


async def test_a_script_is_read_as_long_as_it_has_its_octets() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    account = await settle_in(store)
    scripts, blobs = Scripts(store, Settings()), Blobs(store, clock)
    made = await scripts.put(account, "a", b"keep;", 0)
    name = name_of_script(made.digest, made.id)
    assert await blobs.size(account, name) == 5
    assert await blobs.octets(account, name, 1, 3) == b"ee"
    await scripts.alter(account, made.id, b"stop;", 0)
    for wrong in (name, name_of_script(DIGEST, "s9"), name_of_script(DIGEST, "../s1")):
        with pytest.raises(NoSuchMessage):
            await blobs.octets(account, wrong)
    scripts.close()
