"""Which module has the verbs of which first word. A module is imported only when its word is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Final

from a3mailer.app.cli.verb import Verb


@dataclass(frozen=True, slots=True)
class Family:
    """One first word. ``table`` is the name of the tuple of verbs in ``module``."""

    word: str
    help: str
    module: str
    table: str = "VERBS"

    def verbs(self) -> tuple[Verb, ...]:
        """Its verbs."""
        found: tuple[Verb, ...] = getattr(
            importlib.import_module(f"a3mailer.app.cli.{self.module}"), self.table
        )
        return tuple(v for v in found if v.path.partition(" ")[0] == self.word)


FAMILIES: Final = (
    Family("init", "make a data directory", "init"),
    Family("quickstart", "make a mail server of this machine", "quickstart"),
    Family("serve", "run the server in the foreground", "server"),
    Family("status", "say whether the server is ready", "server"),
    Family("stop", "stop the server", "server"),
    Family("reload", "make the server take its settings anew", "server"),
    Family("restart", "make the server start its new code", "server"),
    Family("account", "people and their credentials", "account"),
    Family("domain", "the domains mail is received for", "domain", "DOMAINS"),
    Family("cert", "the certificates that are shown", "cert"),
    Family("dkim", "the keys mail is signed with", "dkim"),
    Family("alias", "addresses that lead elsewhere", "domain", "ALIASES"),
    Family("group", "addresses that reach several people", "domain", "GROUPS"),
    Family("list", "mailing lists", "lists"),
    Family("share", "who may use the mailboxes of a shared account", "share"),
    Family("masked", "an address for each site", "masked"),
    Family("role", "who may administer what", "records", "ROLES"),
    Family("token", "bearer tokens", "records", "TOKENS"),
    Family("queue", "mail that waits to be relayed", "queue"),
    Family("report", "what others report about our mail", "report"),
    Family("sendmail", "send a mail that a program hands over", "sendmail"),
    Family("config", "settings and where they come from", "config"),
    Family("backup", "copy everything into one file, sealed to the recovery key", "upkeep"),
    Family("restore", "make a data directory of a backup", "upkeep"),
    Family("verify", "prove a backup, or a data directory", "upkeep"),
    Family("export", "write mail into files that any mail program reads", "export"),
    Family("doctor", "name everything that is wrong, and mend what can be", "upkeep"),
    Family("logs", "what the server logged", "logs"),
    Family("top", "what the server does at this moment", "top"),
    Family("audit", "what was done, and by whom", "records", "AUDIT"),
    Family("check", "what SPF, DKIM, ARC, DMARC, BIMI and S/MIME say", "check"),
    Family("search", "the index of the texts of mails", "search"),
    Family("sieve", "scripts that filter mail", "sieve"),
    Family("message", "look into a mail", "message"),
    Family("completion", "print a completion script for a shell", "tools"),
    Family("version", "print the version", "tools"),
)
BY_WORD: Final = {family.word: family for family in FAMILIES}


def all_verbs() -> tuple[Verb, ...]:
    """Every verb, in the order of the table; imports everything."""
    return tuple(verb for family in FAMILIES for verb in family.verbs())
