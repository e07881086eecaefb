"""Random acts on a store, drawn small so that they meet: few accounts, mailboxes, uids and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from a3mailer.mail.flags import ALL_FLAGS, DELETED, SEEN
from a3mailer.mail.ids import (
    DEFAULT_TENANT,
    SYSTEM_ACCOUNT,
    AccountId,
    EmailId,
    MailboxId,
    QueueId,
    TenantId,
    Uid,
)
from a3mailer.store import operations as op
from a3mailer.testing.store.case import mail
from a3mailer.testing.store.parts import attachment, with_parts

DAY: Final = 86_400
PART: Final = attachment(66_000)
CONTENTS: Final = (
    mail("lunch", message_id="1@b.test"),
    mail("Re: lunch", message_id="2@b.test", references="1@b.test"),
    mail("long", "All work and no play.\r\n" * 200),
    b"",
    b"\x00\xff not a mail \r\n\r\n",
    with_parts(PART, subject="lunch, with a plan"),
    with_parts(PART, attachment(70_000, 9), PART, subject="Re: lunch, with a plan"),
)


@dataclass(frozen=True)
class Pass:
    """Time passes (or, ``jump``, the clock is set)."""

    seconds: int
    jump: bool = False


Act = Pass | tuple[op.Operation, ...]
"""What happens next: time, or one transaction."""


def weighted(*choices: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One of them, as often as it is named (``one_of`` takes each but once)."""
    return st.integers(0, len(choices) - 1).flatmap(choices.__getitem__)


accounts = st.sampled_from([AccountId(n) for n in (*[1] * 9, 2, 2, 3)])
mailboxes = st.sampled_from([MailboxId(n) for n in (*[1] * 8, *[2] * 6, 3, 6, 7, 8)])
uid_sets = st.lists(st.integers(1, 9).map(Uid), min_size=1, max_size=5).map(tuple)
emails = st.lists(st.integers(1, 10).map(EmailId), min_size=1, max_size=5).map(tuple)
flags = st.integers(0, 31)
words = st.lists(st.sampled_from(["a", "b", "$Junk"]), max_size=3).map(tuple)
names = st.sampled_from(["a", "a/b", "a/b/c", "inbox/x", "Sent", "z", "z/b", "a//b"])
addresses = st.sampled_from(
    [f"{who}@{where}" for who in ("alice", "bob", "eve") for where in ("a.test", "b.test")]
)
readers = st.sampled_from([SYSTEM_ACCOUNT, AccountId(1), AccountId(2), AccountId(2)])
masks = st.sampled_from([ALL_FLAGS, ALL_FLAGS, SEEN, DELETED, ALL_FLAGS & ~SEEN, 0])
contents = st.integers(0, len(CONTENTS) - 1)
owners = st.sampled_from(["one", "two"])
queues = st.integers(0, 3).map(QueueId)
"""The n-th entry that was ever enqueued: backends number them as they like (``named``)."""
states = st.sampled_from(["waiting", "waiting", "relayed", "failed", "expired"])
moments = st.integers(-1, 4).map(lambda days: days * DAY)
"""Relative to now: ``named`` makes them absolute."""

outcomes = st.lists(
    st.builds(
        op.RecipientOutcome,
        number=st.integers(0, 1),
        state=states,
        code=st.sampled_from([0, 250, 450]),
        next_attempt=moments,
        delay_notified=st.booleans(),
    ),
    max_size=2,
    unique_by=lambda o: o.number,
).map(tuple)

mail_operations = weighted(
    st.builds(op.CreateMailbox, accounts, names, st.just(""), st.booleans()),
    st.builds(op.RenameMailbox, accounts, mailboxes, names),
    st.builds(op.DeleteMailbox, accounts, mailboxes),
    st.builds(
        op.SetMailbox,
        accounts,
        mailboxes,
        st.sampled_from([None, True, False]),
        st.sampled_from([None, "", "\\Junk"]),
        st.sampled_from([None, 0, 1, 1]),
    ),
    st.builds(
        op.ChangeGrant,
        accounts,
        st.one_of(mailboxes, st.just(MailboxId(0))),
        st.sampled_from(["account:1", "account:2", "-account:2", "group:alice@a.test", "anyone"]),
        st.sampled_from("+-="),
        st.sampled_from(["lr", "lrs", "a", ""]),
    ),
    *[
        st.builds(
            op.Append,
            accounts,
            mailboxes,
            contents,
            flags,
            words,
            st.sampled_from([0, 12345]),
            st.booleans(),
            st.sampled_from([b"", b"", b"key"]),
            st.sampled_from([(), (), (MailboxId(2),), (MailboxId(2), MailboxId(3))]),
        )
    ]
    * 4,
    *[
        st.builds(
            op.ChangeEmail,
            accounts,
            st.integers(1, 6).map(EmailId),
            flags,
            flags,
            words,
            st.one_of(words, st.none()),
            st.one_of(st.none(), st.lists(mailboxes, max_size=2).map(tuple)),
            st.lists(mailboxes, max_size=2).map(tuple),
            st.lists(mailboxes, max_size=2).map(tuple),
        )
    ]
    * 2,
    st.builds(op.DestroyEmails, accounts, emails),
    st.builds(
        op.RememberSignature, accounts, st.integers(1, 6).map(EmailId), st.binary(max_size=3), st.booleans()
    ),
    *[st.builds(op.Copy, accounts, mailboxes, uid_sets, mailboxes, st.booleans())] * 2,
    st.builds(
        op.Copy, accounts, mailboxes, uid_sets, mailboxes, st.booleans(), readers, masks, st.booleans()
    ),
    st.builds(op.SeeNewest, accounts, mailboxes, accounts, st.integers(-1, 3)),
    st.builds(op.Notice, accounts, mailboxes, st.integers(0, 9)),
    *[
        st.builds(
            op.StoreFlags,
            accounts,
            mailboxes,
            uid_sets,
            st.sampled_from("+-="),
            flags,
            words,
            st.integers(-1, 12),
            readers,
            masks,
            st.booleans(),
        )
    ]
    * 2,
    *[
        st.builds(
            op.StoreFlags,
            accounts,
            mailboxes,
            uid_sets,
            st.sampled_from("+-="),
            flags,
            words,
            st.integers(-1, 12),
        )
    ]
    * 2,
    *[st.builds(op.Expunge, accounts, mailboxes, uid_sets, st.booleans())] * 2,
    *[st.builds(op.Undelete, accounts, emails, mailboxes)] * 2,
    *[st.builds(op.PurgeVault, moments, st.integers(1, 4))] * 2,
    st.builds(op.ExpireMailboxes, moments, st.integers(1, 4)),
    st.builds(op.EraseEmails, accounts, emails),
    st.builds(op.DropTombstones, moments),
)
queue_operations = weighted(
    st.builds(
        op.Enqueue,
        st.sampled_from([AccountId(1), AccountId(2), SYSTEM_ACCOUNT]),
        st.just(DEFAULT_TENANT),
        contents,
        addresses,
        st.lists(st.builds(op.QueueRecipient, addresses), min_size=2, max_size=2).map(tuple),
        not_before=st.sampled_from([0, DAY]),
        lease_owner=owners,
        lease_until=st.sampled_from([0, 60]),
    ),
    st.builds(op.ClaimQueue, owners, st.just(0), st.sampled_from([60, DAY])),
    st.builds(op.SettleQueue, queues, owners, outcomes, st.just(0), st.sampled_from([0, DAY])),
    st.builds(
        op.ChangeQueue, queues, st.sampled_from(["hold", "release", "retry", "remove", "eat"]), st.just(0)
    ),
)
directory_operations = weighted(
    st.builds(
        op.PutDomain, st.sampled_from([DEFAULT_TENANT, TenantId(2)]), st.sampled_from(["b.test", "a.test"])
    ),
    st.builds(op.RemoveDomain, st.sampled_from(["b.test", "a.test"])),
    st.builds(op.CreateAccount, st.just(DEFAULT_TENANT), addresses, quota=st.sampled_from([0, 9000])),
    st.builds(
        op.ChangeAccount,
        accounts,
        st.sampled_from([None, "x"]),
        st.sampled_from([None, 0, 300]),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, "user", "auditor"]),
    ),
    st.builds(op.RenameAccount, accounts, addresses),
    st.builds(op.RemoveAccount, accounts, moments),
    st.builds(op.ResetAccount, accounts),
    st.builds(
        op.PutAlias,
        st.just(DEFAULT_TENANT),
        addresses,
        st.lists(addresses, max_size=2, unique=True).map(tuple),
        st.sampled_from(["alias", "group"]),
    ),
    st.builds(op.RemoveAlias, addresses, moments),
    st.builds(
        op.PutCredential, accounts, st.sampled_from(["", "phone"]), st.just("password"), st.just("hash")
    ),
    st.builds(
        op.RenewCredential,
        accounts,
        st.sampled_from(["", "phone"]),
        st.just("password"),
        st.sampled_from(["hash", "renewed"]),
        st.just("renewed"),
    ),
    st.builds(op.RemoveCredential, accounts, st.sampled_from(["", "phone"]), st.just("password")),
    st.builds(
        op.PutToken,
        accounts,
        st.sampled_from([b"d", b"e"]),
        st.just("t"),
        st.just(""),
        st.just(0),
        st.just(0),
    ),
    st.builds(op.RemoveToken, accounts, st.sampled_from([b"d", b"e"])),
    st.builds(op.BumpEpoch, accounts),
    st.builds(op.Sweep, moments),
    st.builds(op.Audit, st.just(DEFAULT_TENANT), addresses, st.just("act"), addresses, st.just("done")),
    st.builds(op.PutSetting, st.sampled_from(["a.b", "c.d"]), st.sampled_from(["", "x", "y"])),
)
operations = weighted(*[mail_operations] * 6, *[queue_operations] * 2, directory_operations)
transactions: st.SearchStrategy[Act] = weighted(
    *[operations.map(lambda operation: (operation,))] * 3,
    st.lists(operations, min_size=2, max_size=4).map(tuple),
)
times: st.SearchStrategy[Act] = weighted(
    st.integers(1, 2 * DAY).map(Pass),
    st.sampled_from([-400 * DAY, -60, 400 * DAY]).map(lambda s: Pass(s, True)),
)
_chapters = st.lists(weighted(*[transactions] * 8, times), min_size=1, max_size=12)
histories = st.lists(_chapters, min_size=1, max_size=8).map(
    lambda chapters: [act for c in chapters for act in c]
)
"""Some twenty acts; lists of lists, because plain ones are either short or do not shrink."""


def named(operation: op.Operation, now: int, entries: list[QueueId]) -> op.Operation:
    """The operation with this backend's own queue ids and with moments made absolute."""
    fields: dict[str, Any] = {name: getattr(operation, name) for name in operation.__struct_fields__}
    if "queue" in fields:
        number = fields["queue"]
        fields["queue"] = entries[number] if number < len(entries) else QueueId(1 << 40)
    for name in ("now", "before", "reserved_until"):
        if name in fields and not isinstance(
            operation, op.CreateAccount | op.PutCredential | op.PutToken | op.Audit
        ):
            fields[name] += now
    if isinstance(operation, op.ClaimQueue):
        fields["until"] += now
    if fields.get("lease_until"):
        fields["lease_until"] += now
    if fields.get("not_before"):
        fields["not_before"] += now
    if "outcomes" in fields:
        fields["outcomes"] = tuple(
            op.RecipientOutcome(o.number, o.state, o.code, next_attempt=now + o.next_attempt,
                                delay_notified=o.delay_notified)
            for o in fields["outcomes"]
        )  # fmt: skip
    return type(operation)(**fields)


def renamed(result: op.Result, entries: list[QueueId]) -> object:
    """The result with queue ids replaced by their numbers; a new entry is noted."""
    if isinstance(result, op.Enqueued):
        entries.append(result.queue)
        return ("enqueued", len(entries) - 1)
    if isinstance(result, op.Claimed):
        return ("claimed", {entries.index(queue) for queue in result.queues}, result.next_due)
    return result


def separate(act: Act) -> list[Act]:
    """The act, in pieces where it makes an account: contents are for accounts that exist before."""
    if isinstance(act, tuple) and any(isinstance(operation, op.CreateAccount) for operation in act):
        return [(operation,) for operation in act]
    return [act]


def used(acts: tuple[op.Operation, ...]) -> tuple[op.Operation, ...]:
    """The operations with their contents numbered from 0, as ``contents_of`` gives them."""
    order = contents_of(acts)
    return tuple(
        _with_content(act, order.index(act.content)) if isinstance(act, op.Append | op.Enqueue) else act
        for act in acts
    )


def contents_of(acts: tuple[op.Operation, ...]) -> list[int]:
    """The contents these operations use, each once."""
    return list(dict.fromkeys(act.content for act in acts if isinstance(act, op.Append | op.Enqueue)))


def _with_content(act: op.Append | op.Enqueue, number: int) -> op.Operation:
    fields: dict[str, Any] = {name: getattr(act, name) for name in act.__struct_fields__}
    return type(act)(**{**fields, "content": number})
