"""Metrics of all processes in one shared memory map, aggregated when they are read (ADR 0006).

Every metric is one line of METRICS. Each process owns one row of 8-octet floats in an anonymous map
made by the supervisor before it forks, so an increment is one array store, a dead worker's counts stay,
and any process can print the sum of all.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

ROWS: Final = 64
"""Processes that can hold a row: supervisor, writer, workers and helpers; a replaced worker keeps its row."""
SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Bucket bounds of histograms, in seconds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table. ``kind``: counter, gauge (summed over processes) or histogram (seconds)."""

    name: str
    kind: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ()
    """The label's values: a closed list, so that a stranger cannot make new series."""


ANSWERS: Final = (
    "accepted", "throttled", "greylisted", "blocked", "full", "no_such_user", "policy", "unreachable",
    "temporary", "permanent",
)  # fmt: skip
"""``mail.answers.Answer``."""
PROVIDERS: Final = (
    "apple", "cisco", "comcast", "fastmail", "google", "ionos", "mailru", "microsoft",
    "mimecast", "netease", "proofpoint", "proton", "qq", "telekom", "yahoo", "yandex", "zoho", "other",
)  # fmt: skip
"""``transfer.destinations.providers.PROVIDERS``."""
LISTENERS: Final = (
    "smtp", "submission", "submissions", "lmtp", "imap", "imaps", "http", "https", "metrics", "pop3", "pop3s",
    "managesieve",
)  # fmt: skip

METRICS: Final[tuple[Metric, ...]] = (
    Metric("a3_connections_total", "counter", "Connections accepted.", "listener", LISTENERS),
    Metric("a3_connections_open", "gauge", "Connections open now.", "listener", LISTENERS),
    Metric(
        "a3_connections_refused_total", "counter", "Connections refused by a limit.", "listener", LISTENERS
    ),
    Metric(
        "a3_smtp_mails_total",
        "counter",
        "Mails by the final answer.",
        "answer",
        ("accepted", "transient", "refused"),
    ),
    Metric(
        "a3_callouts_total",
        "counter",
        "Recipients of relayed domains by what is known of them at the next server.",
        "known",
        ("exists", "nobody", "unsaid"),
    ),
    Metric(
        "a3_policy_refusals_total",
        "counter",
        "Refusals of checks by stage.",
        "stage",
        ("connect", "ehlo", "auth", "mail", "rcpt", "data"),
    ),
    Metric("a3_smtp_octets_total", "counter", "Content octets accepted."),
    Metric("a3_smtp_end_of_data_seconds", "histogram", "From the end of the content to the reply."),
    Metric("a3_deliveries_total", "counter", "Messages put into mailboxes."),
    Metric(
        "a3_bimi_indicators_total",
        "counter",
        "Pictures of authors that were fetched, by what they are.",
        "state",
        ("verified", "asserted", "refused", "missed"),
    ),
    Metric(
        "a3_dkim_replays_total",
        "counter",
        "Mails whose DKIM signature came to too many recipients, by what was done.",
        "act",
        ("tag", "junk", "refuse"),
    ),
    Metric(
        "a3_dmarc_total",
        "counter",
        "Mails from other servers by what DMARC says of them.",
        "result",
        ("pass", "fail", "none", "permerror", "temperror"),
    ),
    Metric(
        "a3_reports_received_total", "counter", "Reports of others, read.", "kind", ("dmarc", "tls", "arf")
    ),
    Metric("a3_reports_sent_total", "counter", "Reports mailed to others.", "kind", ("dmarc", "failure")),
    Metric("a3_logins_total", "counter", "Authentications.", "result", ("ok", "failed")),
    Metric(
        "a3_http_requests_total", "counter", "HTTP requests by answer.", "class", ("2xx", "3xx", "4xx", "5xx")
    ),
    Metric("a3_jmap_calls_total", "counter", "JMAP method calls by outcome.", "result", ("ok", "error")),
    Metric("a3_jmap_pushes_total", "counter", "Pushes to subscriptions.", "result", ("taken", "failed")),
    Metric("a3_jmap_listeners", "gauge", "Event sources and WebSockets that listen."),
    Metric("a3_hook_posts_total", "counter", "Events posted to hooks.", "result", ("taken", "failed")),
    Metric("a3_imap_commands_total", "counter", "IMAP commands by outcome.", "result", ("ok", "no", "bad")),
    Metric(
        "a3_managesieve_commands_total", "counter", "ManageSieve commands by outcome.", "result", ("ok", "no")
    ),
    Metric("a3_pop3_commands_total", "counter", "POP3 commands by outcome.", "result", ("ok", "err")),
    Metric("a3_imap_idle", "gauge", "Connections parked in IDLE."),
    Metric("a3_store_commits_total", "counter", "Transactions committed."),
    Metric("a3_store_batches_total", "counter", "Group commits (one sync each)."),
    Metric("a3_store_commit_seconds", "histogram", "One group commit of the writer."),
    Metric("a3_segment_sync_seconds", "histogram", "One segment fdatasync."),
    Metric("a3_queue_entries", "gauge", "Mails in the queue.", "state", ("waiting", "trying", "held")),
    Metric(
        "a3_relay_attempts_total",
        "counter",
        "Delivery attempts out.",
        "result",
        ("relayed", "waiting", "failed", "put_off"),
    ),
    Metric(
        "a3_relay_answers_total", "counter", "Attempts out by what the answer was about.", "answer", ANSWERS
    ),
    Metric("a3_relay_taken_total", "counter", "Mails taken, by who took them.", "provider", PROVIDERS),
    Metric("a3_relay_throttled_total", "counter", "Answers that we send too fast.", "provider", PROVIDERS),
    Metric(
        "a3_relay_tls_total",
        "counter",
        "Sessions out by TLS policy and outcome.",
        "outcome",
        (
            "tlsa ok",
            "tlsa failed",
            "sts ok",
            "sts failed",
            "no-policy-found ok",
            "no-policy-found failed",
        ),
    ),
    Metric("a3_bounces_total", "counter", "Delivery status notifications made."),
    Metric("a3_dkim_signed_total", "counter", "Mails that left with a DKIM signature of ours."),
    Metric("a3_arc_total", "counter", "Forwarded mails by ARC set.", "act", ("sealed", "not_sealed")),
    Metric(
        "a3_masked_senders_total",
        "counter",
        "Domains that wrote to a masked address for the first time.",
        "who",
        ("site", "other"),
    ),
    Metric(
        "a3_lists_total",
        "counter",
        "What became of mails to mailing lists and their commands.",
        "act",
        ("spread", "held", "dropped", "forged", "approved", "rejected", "joined", "left", "suspended"),
    ),
    Metric(
        "a3_sieve_actions_total",
        "counter",
        "What scripts have done at delivery; failed: one of them could not be followed.",
        "action",
        ("keep", "store", "redirect", "vacation", "notify", "remember", "discard", "reject", "failed"),
    ),
    Metric(
        "a3_sieve_events_total",
        "counter",
        "Scripts that ran for what a client of IMAP did; failed: they could not be followed.",
        "result",
        ("done", "failed"),
    ),
    Metric(
        "a3_srs_total",
        "counter",
        "Reverse-paths of forwarded mails, and bounces to them.",
        "act",
        ("rewritten", "too_long", "returned", "refused"),
    ),
    Metric(
        "a3_returns_total",
        "counter",
        "Mails that came back to reverse-paths of their recipients' own.",
        "kind",
        ("permanent", "transient", "not_failed", "refused"),
    ),
    Metric("a3_certificates_total", "counter", "Certificates fetched.", "result", ("issued", "failed")),
    Metric("a3_certificate_seconds", "gauge", "Until the host's certificate ends; below 0: it has."),
    Metric("a3_search_indexed_total", "counter", "Mails taken into the index of texts."),
    Metric("a3_search_accounts_waiting", "gauge", "Accounts with mails that are not yet indexed."),
    Metric("a3_search_lag_seconds", "gauge", "How long the first of them has been waiting."),
    Metric("a3_worker_restarts_total", "counter", "Processes replaced after they died."),
    Metric("a3_hints_total", "counter", "Change hints received by workers."),
)


def _layout() -> tuple[dict[tuple[str, str], int], int]:
    slots: dict[tuple[str, str], int] = {}
    at = 0
    for metric in METRICS:
        for value in metric.values or ("",):
            slots[metric.name, value] = at
            at += len(SECONDS) + 2 if metric.kind == "histogram" else 1
    return slots, at


_SLOTS, _WIDTH = _layout()


class Metrics:
    """One process's view of the shared table."""

    __slots__ = ("_all", "_at", "_map")

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, ROWS * _WIDTH * 8)
        self._all = memoryview(self._map).cast("d")
        self._at = 0

    def take_row(self, row: int) -> None:
        """Count into ``row`` from now on (after a fork). Gauges of a former owner are cleared."""
        if not 0 <= row < ROWS:
            raise ValueError(f"row {row} outside 0..{ROWS - 1}")
        self._at = row * _WIDTH
        for metric in METRICS:
            if metric.kind == "gauge":
                for value in metric.values or ("",):
                    self._all[self._at + _SLOTS[metric.name, value]] = 0.0

    def count(self, name: str, value: str = "", by: float = 1.0) -> None:
        """Add to a counter or gauge."""
        self._all[self._at + _SLOTS[name, value]] += by

    def state(self, name: str, value: str, amount: float) -> None:
        """Set a gauge that any process can know as a whole: it stands in the supervisor's row for all."""
        self._all[_SLOTS[name, value]] = amount

    def observe(self, name: str, seconds: float) -> None:
        """Add one duration to a histogram."""
        slot = self._at + _SLOTS[name, ""]
        self._all[slot + bisect_left(SECONDS, seconds)] += 1.0
        self._all[slot + len(SECONDS) + 1] += seconds

    def total(self, name: str, value: str = "") -> float:
        """The sum over all processes of a counter or gauge."""
        slot = _SLOTS[name, value]
        return sum(self._all[row * _WIDTH + slot] for row in range(ROWS))

    def totals(self) -> dict[str, dict[str, float]]:
        """Every metric's sums by label; of a histogram ``count`` and ``sum`` (seconds)."""
        found: dict[str, dict[str, float]] = {}
        for metric in METRICS:
            if metric.kind == "histogram":
                sums = self._sums(metric.name)
                found[metric.name] = {"count": sum(sums[:-1]), "sum": sums[-1]}
            else:
                found[metric.name] = {v: self.total(metric.name, v) for v in metric.values or ("",)}
        return found

    def exposition(self) -> str:
        """Everything in the Prometheus text format, summed over all processes."""
        out: list[str] = []
        for metric in METRICS:
            out += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
            if metric.kind == "histogram":
                out += self._histogram(metric.name)
                continue
            for value in metric.values or ("",):
                label = f'{{{metric.label}="{value}"}}' if value else ""
                out.append(f"{metric.name}{label} {self.total(metric.name, value):.17g}")
        return "\n".join(out) + "\n"

    def _sums(self, name: str) -> list[float]:
        """Of each bucket of a histogram, then of the seconds."""
        slot = _SLOTS[name, ""]
        return [
            sum(self._all[row * _WIDTH + slot + i] for row in range(ROWS)) for i in range(len(SECONDS) + 2)
        ]

    def _histogram(self, name: str) -> list[str]:
        sums = self._sums(name)
        out, running = [], 0.0
        for bound, n in zip((*SECONDS, float("inf")), sums, strict=False):
            running += n
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            out.append(f'{name}_bucket{{le="{le}"}} {running:.17g}')
        return [*out, f"{name}_sum {sums[-1]:.17g}", f"{name}_count {running:.17g}"]


SHARED: Final = Metrics()
"""Made at import, before any fork: all processes of one server count here."""
count: Final = SHARED.count
observe: Final = SHARED.observe
state: Final = SHARED.state
