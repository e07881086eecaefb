"""Who stands behind a host that takes mail: the large providers, by the names of their MX hosts.

What one of them answers is said for all of its domains, and each has words of its own (``SAYINGS``): plain
data, from their postmaster pages and from what is met. Phrases are in lower case and looked for anywhere in a
reply.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from a3mailer.mail.answers import Answer

HOSTS_KNOWN: Final = 4096
"""Hosts whose provider is remembered: they are asked for with every mail."""
OTHER: Final = "other"
"""Everybody else."""

HOSTS: Final[dict[str, str]] = {
    "google.com": "google",
    "googlemail.com": "google",
    "smtp.goog": "google",
    "mail.protection.outlook.com": "microsoft",
    "olc.protection.outlook.com": "microsoft",
    "mx.microsoft": "microsoft",
    "hotmail.com": "microsoft",
    "yahoodns.net": "yahoo",
    "mail.icloud.com": "apple",
    "apple.com": "apple",
    "qq.com": "qq",
    "netease.com": "netease",
    "163.com": "netease",
    "126.com": "netease",
    "yeah.net": "netease",
    "gmx.net": "ionos",
    "gmx.com": "ionos",
    "web.de": "ionos",
    "mail.com": "ionos",
    "kundenserver.de": "ionos",
    "ionos.com": "ionos",
    "ionos.de": "ionos",
    "t-online.de": "telekom",
    "mail.ru": "mailru",
    "yandex.ru": "yandex",
    "yandex.net": "yandex",
    "comcast.net": "comcast",
    "protonmail.ch": "proton",
    "messagingengine.com": "fastmail",
    "zoho.com": "zoho",
    "zoho.eu": "zoho",
    "pphosted.com": "proofpoint",
    "ppe-hosted.com": "proofpoint",
    "mimecast.com": "mimecast",
    "iphmx.com": "cisco",
}
"""Domain that the name of an MX host is or lies under -> provider."""

PROVIDERS: Final = (*sorted(set(HOSTS.values())), OTHER)

SAYINGS: Final[dict[str, tuple[tuple[str, Answer], ...]]] = {
    "google": (
        ("user you are trying to contact is receiving mail", Answer.TEMPORARY),
        ("unusual rate of unsolicited mail", Answer.THROTTLED),
        ("temporarily rate limited", Answer.THROTTLED),
        ("rate limited", Answer.THROTTLED),
        ("p=unsolicitedratelimiterror", Answer.THROTTLED),
        ("p=unsolicitedmessageerror", Answer.BLOCKED),
        ("very low reputation", Answer.BLOCKED),
        ("p=unauthorizedmtaerror", Answer.BLOCKED),
        ("p=overquota", Answer.FULL),
        ("p=nosuchuser", Answer.NO_SUCH_USER),
        ("p=disableduser", Answer.NO_SUCH_USER),
    ),
    "microsoft": (
        ("temporarily rate limited", Answer.THROTTLED),
        ("server busy. please try again later from", Answer.THROTTLED),
        ("(rp-001)", Answer.THROTTLED),
        ("(rp-002)", Answer.THROTTLED),
        ("(rp-003)", Answer.THROTTLED),
        ("(s3140)", Answer.BLOCKED),
        ("(s3150)", Answer.BLOCKED),
        ("banned sending ip", Answer.BLOCKED),
        ("(as3150)", Answer.BLOCKED),
        ("recipient address rejected: access denied", Answer.NO_SUCH_USER),
        ("requested action not taken: mailbox unavailable", Answer.NO_SUCH_USER),
        ("recipient not found by smtp address lookup", Answer.NO_SUCH_USER),
        ("quotaexceededexception", Answer.FULL),
    ),
    "yahoo": (
        ("[tss", Answer.THROTTLED),
        ("[ts01]", Answer.THROTTLED),
        ("[ts02]", Answer.THROTTLED),
        ("[ts03]", Answer.BLOCKED),
        ("[gl01]", Answer.GREYLISTED),
        ("[bl2", Answer.BLOCKED),
        ("[ipts", Answer.BLOCKED),
        ("[ph01]", Answer.POLICY),
        ("this user doesn't have a", Answer.NO_SUCH_USER),
        ("mailbox not found", Answer.NO_SUCH_USER),
    ),
    "apple": (
        ("[hm07]", Answer.BLOCKED),
        ("[hm08]", Answer.BLOCKED),
        ("[cs01]", Answer.POLICY),
    ),
    "qq": (
        ("frequency limited", Answer.THROTTLED),
        ("suspected spam ip", Answer.BLOCKED),
        ("suspected bounce attacks", Answer.BLOCKED),
        ("mail content denied", Answer.POLICY),
        ("mailbox unavailable or access denied", Answer.NO_SUCH_USER),
    ),
    "netease": (
        ("hl:icc", Answer.THROTTLED),
        ("hl:ifc", Answer.THROTTLED),
        ("mi:dmc", Answer.THROTTLED),
        ("mi:sfq", Answer.THROTTLED),
        ("rp:qrc", Answer.THROTTLED),
        ("rp:drc", Answer.THROTTLED),
        ("hl:rep", Answer.BLOCKED),
        ("hl:mep", Answer.BLOCKED),
        ("hl:ipb", Answer.BLOCKED),
        ("dt:rbl", Answer.BLOCKED),
        ("dt:spm", Answer.POLICY),
    ),
    "ionos": (
        ("reject due to policy restrictions", Answer.POLICY),
        ("ip address is block listed", Answer.BLOCKED),
    ),
    "telekom": (("bad reputation", Answer.BLOCKED), ("ask your postmaster for help", Answer.BLOCKED)),
    "comcast": (("rl0000", Answer.THROTTLED), ("bl0000", Answer.BLOCKED)),
}
"""Provider -> what its phrases mean; the first that is found counts."""


@lru_cache(HOSTS_KNOWN)
def provider_of(host: str) -> str:
    """The provider behind a host's name."""
    name = host.lower().rstrip(".")
    while name:
        if name in HOSTS:
            return HOSTS[name]
        name = name.partition(".")[2]
    return OTHER


@lru_cache(HOSTS_KNOWN)
def lane_of(host: str) -> str:
    """Whose patience it is that counts: a provider's for all its domains, else the host's own."""
    provider = provider_of(host)
    return host.lower().rstrip(".") if provider == OTHER else provider
