"""Every verb that works on a store, by name: its action, the form of its arguments, what it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from a3mailer.app.verbs import (
    account,
    cert,
    dkim,
    domain,
    lists,
    masked,
    message,
    queue,
    records,
    report,
    scripts,
    search,
    sendmail,
    server,
    share,
)
from a3mailer.app.verbs.office import Nothing, Office, Request
from a3mailer.identity.roles import action
from a3mailer.mail.errors import BadName


@dataclass(frozen=True, slots=True)
class StoreVerb:
    """One line of the table. ``action`` must have a rule, or the import fails."""

    name: str
    action: str
    form: type[Request]
    run: Callable[[Office, Any], Awaitable[object]]

    def __post_init__(self) -> None:
        action(self.action)


TABLE: Final = (
    StoreVerb("account add", "account.add", account.Add, account.add),
    StoreVerb("account import", "account.import", account.Import, account.import_),
    StoreVerb("account list", "account.list", Nothing, account.list_),
    StoreVerb("account reset", "account.reset", account.Named, account.reset),
    StoreVerb("account rename", "account.rename", account.Rename, account.rename),
    StoreVerb("account rm", "account.remove", account.Named, account.remove),
    StoreVerb("account passwd", "account.password", account.Password, account.password),
    StoreVerb("account disable", "account.disable", account.Named, account.disable),
    StoreVerb("account enable", "account.disable", account.Named, account.enable),
    StoreVerb("account export", "account.export", account.Export, account.export),
    StoreVerb("account quota", "account.quota", account.Quota, account.quota),
    StoreVerb("domain add", "domain.add", domain.PutDomainRequest, domain.add),
    StoreVerb("domain set", "domain.add", domain.PutDomainRequest, domain.set_),
    StoreVerb("domain rm", "domain.remove", domain.NamedDomain, domain.remove),
    StoreVerb("domain list", "domain.list", Nothing, domain.list_),
    StoreVerb("domain last", "domain.list", domain.NamedDomain, domain.last),
    StoreVerb("domain dns", "domain.list", domain.Dns, domain.dns),
    StoreVerb("cert list", "cert.list", Nothing, cert.list_),
    StoreVerb("cert show", "cert.list", cert.Named, cert.show),
    StoreVerb("cert import", "cert.change", cert.Import, cert.import_),
    StoreVerb("cert rm", "cert.change", cert.Named, cert.remove),
    StoreVerb("cert renew", "cert.change", cert.Names, cert.renew),
    StoreVerb("cert busy", "cert.list", Nothing, cert.busy),
    StoreVerb("cert request", "cert.change", cert.Names, cert.make_request),
    StoreVerb("dkim list", "domain.list", dkim.NamedDomain, dkim.list_),
    StoreVerb("dkim rotate", "domain.keys", dkim.Rotate, dkim.rotate),
    StoreVerb("dkim seen", "domain.keys", dkim.Seen, dkim.seen),
    StoreVerb("alias add", "alias.add", domain.PutAliasRequest, domain.put_alias),
    StoreVerb("alias rm", "alias.remove", domain.NamedAlias, domain.remove_alias),
    StoreVerb("alias list", "alias.list", domain.Kind, domain.list_aliases),
    StoreVerb("list add", "list.add", lists.Put, lists.add),
    StoreVerb("list set", "list.change", lists.Settings, lists.set_),
    StoreVerb("list rm", "list.remove", lists.NamedList, lists.remove),
    StoreVerb("list list", "list.list", Nothing, lists.list_),
    StoreVerb("list members", "list.list", lists.NamedList, lists.members),
    StoreVerb("list subscribe", "list.change", lists.Person, lists.subscribe),
    StoreVerb("list unsubscribe", "list.change", lists.Person, lists.unsubscribe),
    StoreVerb("list waiting", "list.change", lists.NamedList, lists.waiting),
    StoreVerb("list approve", "list.change", lists.Decision, lists.approve),
    StoreVerb("list reject", "list.change", lists.Decision, lists.reject),
    StoreVerb("list archive", "list.archive", lists.NamedList, lists.archive),
    StoreVerb("share set", "share.change", share.Set, share.set_),
    StoreVerb("share list", "share.list", share.Owner, share.list_),
    StoreVerb("masked add", "masked.change", masked.Add, masked.add),
    StoreVerb("masked list", "masked.list", masked.Owner, masked.list_),
    StoreVerb("masked disable", "masked.change", masked.One, masked.disable),
    StoreVerb("masked enable", "masked.change", masked.One, masked.enable),
    StoreVerb("masked rm", "masked.change", masked.One, masked.remove),
    StoreVerb("masked leaks", "masked.list", masked.Owner, masked.leaks),
    StoreVerb("sieve put", "sieve.change", scripts.Put, scripts.put),
    StoreVerb("sieve list", "sieve.list", scripts.Owner, scripts.list_),
    StoreVerb("sieve get", "sieve.list", scripts.One, scripts.get),
    StoreVerb("sieve activate", "sieve.change", scripts.Activate, scripts.activate),
    StoreVerb("sieve rm", "sieve.change", scripts.One, scripts.remove),
    StoreVerb("sieve members", "sieve.change", scripts.Members, scripts.members),
    StoreVerb("mail submit", "server.submit", sendmail.Submit, sendmail.submit),
    StoreVerb("queue list", "queue.list", queue.Wanted, queue.list_),
    StoreVerb("queue show", "queue.list", queue.Entry, queue.show_),
    StoreVerb("queue change", "queue.change", queue.Change, queue.change),
    StoreVerb("queue changes", "queue.change", queue.Changes, queue.changes),
    StoreVerb("queue suppressed", "queue.list", queue.Suppressed, queue.suppressions),
    StoreVerb("queue suppress", "queue.change", queue.Suppress, queue.suppress),
    StoreVerb("queue unsuppress", "queue.change", queue.Listed, queue.release),
    StoreVerb("message indicator", "indicator.show", message.Picture, message.indicator),
    StoreVerb("message where", "queue.list", message.About, message.where),
    StoreVerb("report list", "report.list", report.Listed, report.list_),
    StoreVerb("report show", "report.list", report.One, report.show),
    StoreVerb("report summary", "report.list", report.Wanted, report.summary),
    StoreVerb("search status", "search.status", search.Whose, search.status),
    StoreVerb("search rebuild", "search.rebuild", search.Whose, search.rebuild),
    StoreVerb("audit note", "store.check", records.Act, records.note),
    StoreVerb("audit query", "audit.query", records.Query, records.query),
    StoreVerb("token add", "token.issue", records.Issue, records.add_token),
    StoreVerb("token list", "token.list", records.Holder, records.list_tokens),
    StoreVerb("token rm", "token.revoke", records.Revoke, records.remove_token),
    StoreVerb("role give", "role.give", account.Role, account.give_role),
    StoreVerb("role list", "role.list", Nothing, records.roles),
    StoreVerb("server metrics", "server.status", Nothing, server.totals),
    StoreVerb("config stored", "config.read", Nothing, records.stored),
    StoreVerb("config pending", "config.read", Nothing, records.pending),
    StoreVerb("config set", "config.change", records.Set, records.set_setting),
)
BY_NAME: Final = {each.name: each for each in TABLE}


async def perform(office: Office, name: str, arguments: object) -> object:
    """Run one verb. Errors: BadName (no such verb, arguments that do not fit) and what the verb raises."""
    verb = BY_NAME.get(name)
    if verb is None:
        raise BadName(f"no such verb: {name} (is the running server of another version?)")
    try:
        form = msgspec.convert(arguments, verb.form)
    except msgspec.ValidationError as error:
        raise BadName(f"{name}: {error}") from error
    return await verb.run(office, form)
