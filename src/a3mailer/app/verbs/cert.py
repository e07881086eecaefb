"""The certificates of the listeners: which there are, another one by hand, and having them renewed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from a3mailer.app.verbs.office import Nothing, Office, Request
from a3mailer.identity.names import clean_domain
from a3mailer.identity.roles import require
from a3mailer.mail.errors import BadName, NoSuchThing
from a3mailer.ops import pkix
from a3mailer.ops.acme.memory import Memory
from a3mailer.ops.acme.schedule import Trial, renew_at, wishes
from a3mailer.ops.certificates import ACME, IMPORTED, CertificateStore, Kept, key_of, write_whole

REQUESTED: Final = Path("tls") / "requested"
"""Keys of requests whose certificates have not come back."""
MAX_NAMES: Final = 100

Answer = TypeVar("Answer")


class Named(Request, frozen=True, kw_only=True):
    name: str


class Names(Request, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()


class Import(Request, frozen=True, kw_only=True):
    pem: str
    """The chain, the server's own certificate first; with the key, unless this server has it."""


async def list_(office: Office, request: Nothing) -> list[dict[str, object]]:
    """Every certificate there is, and those that should be there and are not. Errors: TryLater."""
    require(office.subject, "cert.list")
    domains = sorted(domain.name for domain in await office.store.domains())
    return await _work(office, partial(_list, office, domains))


def _list(office: Office, domains: list[str]) -> list[dict[str, object]]:
    store, trials = _store(office), Memory(office.directory).trials()
    rows = [_row(office, store, kept, trials.get(kept.name, Trial())) for kept in store.kept]
    if office.settings.acme.directory:
        have = {kept.name for kept in store.kept if kept.source == ACME}
        wanted = [wish for wish in wishes(office.settings, domains) if wish.name not in have]
        rows += [_missing(wish.name, trials[wish.name]) for wish in wanted if wish.name in trials]
    return rows


def _row(office: Office, store: CertificateStore, kept: Kept, trial: Trial) -> dict[str, object]:
    chain = kept.chain
    by_acme = kept.source == ACME
    return {
        "certificate": kept.name,
        "source": kept.source,
        "names": chain.names,
        "shown": [name for name in chain.names if store.pick(name, office.now) is kept],
        "issuer": chain.leaf.issuer.rfc4514_string(),
        "self_signed": kept.self_signed,
        "begins": chain.begins,
        "ends": chain.ends,
        "renewal": round(max(renew_at(chain, trial), trial.not_before)) if by_acme else 0,
        "tried": trial.at if by_acme else 0,
        "error": trial.error if by_acme else "",
        "key": hashlib.sha256(chain.spki).hexdigest(),
    }


def _missing(name: str, trial: Trial) -> dict[str, object]:
    return {
        "certificate": name,
        "source": ACME,
        "names": [],
        "shown": [],
        "issuer": "",
        "self_signed": False,
        "begins": 0,
        "ends": 0,
        "renewal": round(trial.not_before),
        "tried": trial.at,
        "error": trial.error,
        "key": "",
    }


async def show(office: Office, request: Named) -> dict[str, object]:
    """The one that is shown for a host name, with its chain. Errors: NoSuchThing, BadName."""
    require(office.subject, "cert.list")
    name = clean_domain(request.name)

    def work() -> dict[str, object]:
        store = _store(office)
        kept = store.pick(name, office.now)
        if kept is None:
            raise NoSuchThing(f"no certificate covers {name}: clients are shown the one of the host")
        row = _row(office, store, kept, Memory(office.directory).trials().get(kept.name, Trial()))
        return {**row, "file": str(kept.certificate), "pem": kept.chain.pem().decode("ascii")}

    return await _work(office, work)


async def import_(office: Office, request: Import) -> dict[str, object]:
    """Take a certificate in: it is shown from now on. Errors: BadName for one that cannot be used."""
    require(office.subject, "cert.change")

    def work() -> tuple[str, pkix.Chain]:
        octets = request.pem.encode("utf-8", "replace")
        chain = pkix.read_chain(octets)
        key = _key_for(office, octets, chain)
        pkix.check(chain, key, chain.names, office.now)
        _store(office).put(IMPORTED, chain.names[0], chain, key)
        for name in chain.names:
            _requested(office, name).unlink(missing_ok=True)
        return chain.names[0], chain

    name, chain = await _work(office, work)
    await office.change("cert.import", name, names=list(chain.names), ends=chain.ends)
    return {"certificate": name, "names": chain.names, "ends": chain.ends}


def _key_for(office: Office, octets: bytes, chain: pkix.Chain) -> pkix.ServerKey:
    """The key beside it, of the request it answers, or of the one before it. Errors: ValueError."""
    if b"PRIVATE KEY-----" in octets:
        return pkix.read_key(octets)
    for name in chain.names:
        path = _requested(office, name)
        if path.exists():
            key = pkix.read_key(path.read_bytes())
            if pkix.spki(key) == chain.spki:
                return key
    for kept in _store(office).kept:
        if kept.chain.spki == chain.spki:
            return key_of(kept)
    raise ValueError("the key is neither in the file nor here")


async def remove(office: Office, request: Named) -> dict[str, object]:
    """Let an imported certificate go; the best of the others is shown. Errors: NoSuchThing, BadName."""
    require(office.subject, "cert.change")
    name = request.name.lower()
    if not await _work(office, lambda: _store(office).remove(IMPORTED, name)):
        raise NoSuchThing(f"no imported certificate {name}")
    await office.change("cert.remove", name)
    return {"certificate": name}


async def renew(office: Office, request: Names) -> dict[str, object]:
    """Have certificates fetched now; none named: all. Errors: BadName where no authority is set."""
    require(office.subject, "cert.change")
    if not office.settings.acme.directory:
        raise BadName("no authority is set: config set acme.directory URL")
    domains = sorted(domain.name for domain in await office.store.domains())
    known = wishes(office.settings, domains)
    names = tuple(map(clean_domain, request.names))
    for name in names:
        if not any(name in (wish.name, *wish.names) for wish in known):
            raise NoSuchThing(f"no certificate of {name} is fetched here")
    asked = [wish.name for wish in known if not names or {wish.name, *wish.names} & set(names)]
    await _work(office, lambda: Memory(office.directory).ask(names))
    await office.change("cert.renew", ", ".join(names) or "all")
    return {"asked": asked, "at": office.clock.now()}


async def busy(office: Office, request: Nothing) -> dict[str, object]:
    """Is the server still to fetch what was asked for, or at it?"""
    require(office.subject, "cert.list")
    return {"busy": await _work(office, Memory(office.directory).is_busy)}


async def make_request(office: Office, request: Names) -> dict[str, object]:
    """A certificate request for an authority without ACME; its key stays here. Errors: BadName."""
    require(office.subject, "cert.change")
    names = tuple(map(_host_name, request.names)) or (office.settings.server.hostname.lower(),)
    if len(names) > MAX_NAMES:
        raise BadName(f"more than {MAX_NAMES} names")

    def work() -> x509.CertificateSigningRequest:
        kept = _store(office).pick(names[0], office.now)
        key = key_of(kept) if kept is not None else pkix.new_key()
        path = _requested(office, names[0])
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, pkix.key_pem(key))
        return pkix.request(key, names)

    made = await _work(office, work)
    await office.change("cert.request", names[0], names=list(names))
    return {"names": names, "pem": made.public_bytes(Encoding.PEM).decode("ascii")}


def _host_name(text: str) -> str:
    """A name as it is in a certificate; ``*.`` may stand before it. Errors: BadName."""
    wild = text.startswith("*.")
    return ("*." if wild else "") + clean_domain(text.removeprefix("*."))


def _requested(office: Office, name: str) -> Path:
    return office.directory / REQUESTED / f"{name.replace('*', '_')}.pem"


def _store(office: Office) -> CertificateStore:
    """After a look."""
    store = CertificateStore(office.directory, office.settings)
    store.look(office.now)
    return store


async def _work(office: Office, work: Callable[[], Answer]) -> Answer:
    """File and key work in a thread. Errors: BadName for files that cannot be used."""
    try:
        return await office.pool.run(work, bounded=False)
    except (OSError, ValueError) as error:
        raise BadName(str(error)) from error
