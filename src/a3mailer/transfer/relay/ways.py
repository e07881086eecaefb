"""By which way mail leaves: the operator's rules (``queue.rules``), else the smart host, else the MX.

Mail of a domain that we hand on goes where the domain says, whatever the rules are.

A way is a value: mails of one way and one destination share transactions and sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from a3mailer.config.routes import NULL_SENDER, Rule, parse_rule
from a3mailer.config.tree import Settings
from a3mailer.identity.relaying import Relaying
from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.transfer.relay.destinations.mx import Host, smart_host
from a3mailer.transfer.relay.tls_policy import MAY, NEVER, Demand
from a3mailer.wire.smtp.client import Login

Secrets = Callable[[str], str]
"""The password in a file of the data directory. Errors: ValueError, in words."""
SMART_HOST: Final = "smart host"
"""The one destination there is when a smart host takes all mail."""


def no_secrets(name: str) -> str:
    """Where there is no data directory."""
    raise ValueError(f"nobody reads {name} here")


@dataclass(frozen=True, slots=True)
class Way:
    """How a mail leaves."""

    host: Host | None = None
    """Where to, instead of the recipients' MX."""
    tls: str = ""
    """What a rule demands of that host's TLS; empty: what ``queue.tls_policy`` does."""
    login: Login | None = field(default=None, repr=False)
    sources: tuple[str, ...] = ()
    """Addresses to send from; empty: the system's choice."""
    ehlo: str = ""
    hold: bool = False
    name: str = ""
    """Empty for the way without a rule."""
    says: str = "queue.rules"
    """Where ``tls`` is said."""

    def to(self, domain: str) -> Onward:
        """Where mail for ``domain`` goes on this way."""
        return Onward(domain if self.host is None else "", self)

    def source_to(self, address: str) -> str | None:
        """The address to send from to this one; empty: any. None: there is none of its family."""
        if not self.sources:
            return ""
        return next((s for s in self.sources if (":" in s) == (":" in address)), None)

    def demand(self) -> Demand | None:
        """What a rule demands of the TLS of ``host``; None: nothing of its own."""
        if self.host is None or not self.tls:
            return None
        why = f"{self.says} says "
        if self.tls == "may":
            return Demand((MAY, NEVER))
        if self.tls == "must":
            return Demand((TlsPlan(TlsLevel.MUST, reason=why + self.tls),))
        return Demand((TlsPlan(TlsLevel.STS, names=(self.host.name,), reason=why + self.tls),))


USUAL: Final = Way()
"""To the recipients' MX."""


def way_onward(relaying: Relaying, port: int) -> Way:
    """Of a domain that we hand on; ``port`` where it names none."""
    if not relaying.host:
        return USUAL
    host = Host(relaying.host, relaying.port or port, authentic=True)
    return Way(host, relaying.tls, name=f"relay {relaying} {relaying.tls}".strip(), says="relay_tls")


class Onward(NamedTuple):
    """A destination: mails to the same one may share a transaction."""

    domain: str
    """Empty where the way has one host for all domains."""
    way: Way = USUAL

    @property
    def name(self) -> str:
        """Unique among the destinations of one snapshot of the settings."""
        return f"{self.domain} {self.way.name}".strip()


class Ways:
    """The rules of one snapshot of the settings."""

    __slots__ = ("_port", "_rules", "by_account", "single", "usual")

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        """Errors: ValueError when ``queue.relay`` is no host or a secret cannot be read."""
        queue = settings.queue
        self._port = queue.smtp_port
        relay = smart_host(queue.relay, queue.smtp_port) if queue.relay else None
        self.usual = USUAL if relay is None else Way(relay, name=SMART_HOST)
        """Of what no rule is about."""
        rules = [(parse_rule(text), text) for text in queue.rules]
        self._rules: Sequence[tuple[Rule, Way]] = [
            (rule, self._way(rule, text, secrets)) for rule, text in rules
        ]
        self.by_account = any(rule.account for rule, _ in rules)
        """Whether rules ask who submitted a mail."""
        self.single = relay is not None and not rules
        """One host takes all mail: nobody else is there who could be kept from anything."""

    def _way(self, rule: Rule, text: str, secrets: Secrets) -> Way:
        login = Login(rule.login, secrets(rule.secret)) if rule.login else None
        host = Host(rule.host, rule.port, authentic=True) if rule.host else self.usual.host
        return Way(host, rule.tls, login, rule.sources, rule.ehlo, rule.hold, text)

    def onward(self, relaying: Relaying) -> Way:
        """Of a domain that we hand on."""
        return way_onward(relaying, self._port)

    def of(self, to: str, sender: str, account: str) -> Way:
        """The first rule that applies: ``to`` a domain, from a domain (empty: null), submitted by a login."""
        to, sender = to.lower(), sender.lower() or NULL_SENDER
        for rule, way in self._rules:
            if rule.applies(to, sender, account):
                return way
        return self.usual
