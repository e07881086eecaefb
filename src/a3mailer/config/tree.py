"""The settings tree: every setting with its default, in one place; a snapshot is frozen.

Each field's doc comment is what ``config describe`` prints (``config/describe.py`` reads it from here).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(max_length=4096)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section of the tree."""


def _d(description: str, ge: float | None = None, le: float | None = None) -> Meta:
    return Meta(description=description, ge=ge, le=le)


class Server(Section, frozen=True, kw_only=True):
    hostname: Annotated[str, _d("The name this server greets with and puts into trace headers.")] = (
        "localhost"
    )
    domain: Annotated[str, _d("The first domain; postmaster and administrator live there.")] = ""
    listen: Annotated[tuple[str, ...], _d("Addresses to bind, IPv4 and IPv6.")] = ("127.0.0.1",)
    port_base: Annotated[int, _d("Added to every standard port.", ge=0, le=64000)] = 0
    workers: Annotated[int, _d("Worker processes; 0 = as many as cores.", ge=0, le=48)] = 0
    profile: Annotated[str, _d("standard, or plain (nothing judges mail).")] = "standard"
    proxy_from: Annotated[tuple[str, ...], _d("Networks whose PROXY header is believed.")] = ()
    drain_seconds: Annotated[int, _d("How long a worker may finish its work at restart.", ge=0)] = 30


class Tls(Section, frozen=True, kw_only=True):
    certificate: Annotated[str, _d("PEM file, relative to the data directory.")] = "tls/cert.pem"
    key: Annotated[str, _d("PEM file of the private key.")] = "tls/key.pem"
    client_authorities: Annotated[
        str,
        _d(
            "PEM file of authorities whose certificates log clients in (SASL EXTERNAL; the account is the "
            "mail address in subjectAltName) where mail is read and submitted; empty = nobody's do."
        ),
    ] = ""


class Acme(Section, frozen=True, kw_only=True):
    directory: Annotated[
        str,
        _d(
            "URL of the ACME directory certificates come from, such as "
            "https://acme-v02.api.letsencrypt.org/directory; empty = none are fetched."
        ),
    ] = ""
    agree: Annotated[bool, _d("You agree to the terms of that authority.")] = False
    contact: Annotated[tuple[str, ...], _d("Mail addresses it may write to.")] = ()
    challenges: Annotated[
        tuple[str, ...],
        _d("Kinds of proof, the preferred one first: tls-alpn-01 (port 443), http-01 (port 80), dns-01."),
    ] = ("tls-alpn-01", "http-01")
    names: Annotated[tuple[str, ...], _d("Further names in the certificate of server.hostname.")] = ()
    domain_names: Annotated[
        tuple[str, ...],
        _d("Names below each domain in a certificate of its own, where the DNS has an address for them."),
    ] = ("mta-sts", "autoconfig", "autodiscover", "ua-auto-config")
    new_key: Annotated[
        bool, _d("A new key at each renewal; else the key stays, and TLSA records with it.")
    ] = False
    eab_kid: Annotated[str, _d("Key id of an external account, where the authority wants one.")] = ""
    eab_key_file: Annotated[str, _d("File of its MAC key (base64url), in the data directory.")] = ""
    dns_server: Annotated[str, _d("For dns-01: the zones' primary server, HOST:PORT (RFC 2136).")] = ""
    dns_key_file: Annotated[str, _d("... and the file of the key it knows, made by tsig-keygen.")] = ""
    dns_seconds: Annotated[float, _d("... and how long its secondaries may take.", ge=0)] = 30.0


class Smtp(Section, frozen=True, kw_only=True):
    size: Annotated[int, _d("Largest mail, octets (RFC 1870).", ge=1024)] = 50 * 1024 * 1024
    recipients: Annotated[int, _d("Recipients a transaction (RFC 5321 asks for 100).", ge=1)] = 100
    mails: Annotated[int, _d("Mails a session (RFC 9422 MAILMAX).", ge=1)] = 1000
    bad_commands: Annotated[
        int, _d("Refused commands without an accepted mail in between before the session ends.", ge=1)
    ] = 20
    hops: Annotated[int, _d("Received fields before a mail counts as looping.", ge=1)] = 50
    command_seconds: Annotated[float, _d("Wait for a command (RFC 5321 section 4.5.3.2.7).")] = 300.0
    data_seconds: Annotated[float, _d("Longest time one mail's content may take.")] = 600.0
    subaddress_separator: Annotated[str, _d("Between local part and detail (RFC 5233); empty = none.")] = "+"


class Imap(Section, frozen=True, kw_only=True):
    idle_seconds: Annotated[float, _d("Inactivity before logout, at least 30 minutes (RFC 9051).")] = 1860.0
    login_seconds: Annotated[float, _d("Time to authenticate.")] = 30.0
    append_size: Annotated[int, _d("Largest APPEND, octets (RFC 7889).", ge=1024)] = 50 * 1024 * 1024
    message_limit: Annotated[
        int, _d("Most messages of one FETCH, STORE, COPY, MOVE, SEARCH or UID EXPUNGE.", ge=1_000_000)
    ] = 1_000_000
    command_cpu_seconds: Annotated[
        float,
        _d("Processor time of one SEARCH, SORT or THREAD before it ends with NO [LIMIT]; 0 = any.", ge=0),
    ] = 60.0
    utf8_accept: Annotated[
        bool,
        _d(
            "Offer UTF8=ACCEPT (RFC 6855), which forbids APPEND of headers in UTF-8 to clients that"
            " have not enabled it; off while old mail is moved in by such a client."
        ),
    ] = True


class Jmap(Section, frozen=True, kw_only=True):
    upload_size: Annotated[int, _d("Largest upload, octets (RFC 8620).", ge=1 << 20, le=200 << 20)] = (
        50_000_000
    )
    upload_quota: Annotated[
        int, _d("Octets of uploads an account may have that nothing refers to yet.", ge=1 << 20)
    ] = 200_000_000
    principals: Annotated[
        str,
        Meta(
            description="Whom people see to share mailboxes with (RFC 9670): those of their domains, "
            "of the whole tenant, or those alone with whom something is shared: domain, tenant or shared.",
            pattern="^(domain|tenant|shared)$",
        ),
    ] = "domain"


class Pop3(Section, frozen=True, kw_only=True):
    idle_seconds: Annotated[float, _d("Inactivity before the session ends (RFC 1939: 10 minutes).", ge=1)] = (
        660.0
    )
    login_seconds: Annotated[float, _d("Time to authenticate.")] = 30.0
    login_delay: Annotated[
        int, _d("Seconds between two logins of an account (RFC 2449 LOGIN-DELAY); 0 = none.", ge=0)
    ] = 0


class Store(Section, frozen=True, kw_only=True):
    encryption: Annotated[bool, _d("Encrypt contents at rest.")] = True
    compression: Annotated[bool, _d("Compress contents at rest.")] = True
    vault_days: Annotated[int, _d("Days expunged messages are kept; 0 = not at all.", ge=0)] = 30
    text_index: Annotated[bool, _d("Index the texts of mails, so that searching is quick.")] = True
    dictionary_hours: Annotated[float, _d("Hours between trainings of compression; 0 = none.", ge=0)] = 24.0
    segment_size: Annotated[int, _d("Octets of one segment file.", ge=1 << 20)] = 64 << 20
    reserve_percent: Annotated[float, _d("Disk space kept free: below it mail is answered 452.", ge=0)] = 5.0
    reserve_octets: Annotated[int, _d("... but never more than this many octets.", ge=0)] = 2 << 30


class Queue(Section, frozen=True, kw_only=True):
    retry: Annotated[tuple[int, ...], _d("Seconds between attempts; the last repeats.")] = (
        300, 600, 1800, 3600, 7200, 14400,
    )  # fmt: skip
    expire_seconds: Annotated[int, _d("Age at which a mail is returned.")] = 5 * 86400
    delay_notice_seconds: Annotated[int, _d("Age of the first delay notice.")] = 4 * 3600
    language: Annotated[str, _d("en or zh: of what notifications say to people.")] = "en"
    relay: Annotated[str, _d("Smart host HOST:PORT; empty = the recipients' MX.")] = ""
    rules: Annotated[
        tuple[str, ...],
        _d(
            "How mail leaves, the first that applies: to=, from=, account= say which; via=HOST:PORT, tls=, "
            "login=, secret=FILE, source=ADDRESS, ehlo=NAME or hold say how."
        ),
    ] = ()
    suppress_after: Annotated[
        int, _d("Mails refused as for nobody before submission refuses an address; 0 = never.", ge=0)
    ] = 0
    suppress_days: Annotated[int, _d("... for so many days.", ge=1)] = 30
    inside: Annotated[
        tuple[str, ...],
        _d("Private networks where the MX of a domain may be; what queue.rules names may be anywhere."),
    ] = ()
    smtp_port: Annotated[int, _d("Port of other servers' MX.", ge=1, le=65535)] = 25
    tls_policy: Annotated[
        tuple[str, ...],
        _d("DOMAIN=LEVEL (may, must, sts, dane, never): TLS out; .DOMAIN for all below it, * for all."),
    ] = ()
    concurrency: Annotated[int, _d("Connections out a worker that do not hang (for 10 s).", ge=1)] = 20
    hold_seconds: Annotated[
        int, _d("How long a submitted mail may be held (FUTURERELEASE, RFC 4865); 0 = not at all.", ge=0)
    ] = 30 * 86400
    priority_trusted: Annotated[
        tuple[str, ...],
        _d("Who may raise the priority of his mail (RFC 6710): ADDRESS, @DOMAIN of accounts, networks."),
    ] = ()


class Forward(Section, frozen=True, kw_only=True):
    srs: Annotated[bool, _d("Mail an alias sends on gets a reverse-path of ours (SRS), for SPF.")] = True
    arc: Annotated[bool, _d("Mail an alias sends on gets an ARC set of ours, where it was judged.")] = True
    srs_domain: Annotated[str, _d("The domain of such reverse-paths; empty = server.domain.")] = ""


class Dkim(Section, frozen=True, kw_only=True):
    sign: Annotated[bool, _d("Sign submitted mail and notices with the keys of their domain.")] = True


class Auth(Section, frozen=True, kw_only=True):
    plaintext: Annotated[bool, _d("Allow authentication without TLS on loopback.")] = False
    scram: Annotated[bool, _d("Keep SCRAM verifiers for chosen passwords (ADR 0008).")] = False
    cache_seconds: Annotated[float, _d("How long a verified credential is remembered.")] = 300.0


class Limits(Section, frozen=True, kw_only=True):
    profile: Annotated[str, _d("standard, or off (loopback listeners only).")] = "standard"
    connections: Annotated[int, _d("Connections a worker.", ge=1)] = 100_000
    connections_per_ip: Annotated[int, _d("Connections of one address.", ge=1)] = 50
    full_days: Annotated[
        int, _d("Days after which mail for a full mailbox goes back instead of waiting; 0 = never.", ge=0)
    ] = 7
    tarpit_seconds: Annotated[float, _d("Delay of an answer to an offender.")] = 2.0


class Dns(Section, frozen=True, kw_only=True):
    servers: Annotated[tuple[str, ...], _d("ADDRESS:PORT; empty = the system's resolvers.")] = ()
    timeout: Annotated[float, _d("Seconds for one question.")] = 5.0
    dnssec: Annotated[
        str,
        _d("auto, libunbound (or do not start), resolver (the AD bit of one on this machine), or off."),
    ] = "auto"
    trust_anchor: Annotated[str, _d("File of DNSKEY or DS records; empty = the root zone's.")] = ""
    check_hours: Annotated[
        float, _d("Hours between looks at what the DNS says of the domains of ours; 0 = none.", ge=0)
    ] = 24.0
    unsigned: Annotated[tuple[str, ...], _d("Zones taken without signatures, such as private ones.")] = ()


class Web(Section, frozen=True, kw_only=True):
    inside: Annotated[bool, _d("Outbound HTTPS may reach private addresses (loopback listeners only).")] = (
        False
    )
    authorities: Annotated[str, _d("PEM file of further authorities to trust, in the data directory.")] = ""
    mta_sts: Annotated[
        str, _d("Mode of our own MTA-STS policy, for the domains of ours: none, testing or enforce.")
    ] = "testing"
    port: Annotated[int, _d("Port of other domains' MTA-STS policy servers.", ge=1, le=65535)] = 443


class Policy(Section, frozen=True, kw_only=True):
    dnsbl: Annotated[tuple[str, ...], _d("DNS lists of addresses that clients are looked up in.")] = ()
    domain_lists: Annotated[tuple[str, ...], _d("DNS lists of domains for those of senders.")] = ()
    helo: Annotated[bool, _d("Look at the name a client greets with.")] = True
    sender_domain: Annotated[bool, _d("Look whether the sender's domain takes mail (RFC 7505).")] = True
    recipient_domain: Annotated[
        bool, _d("Refuse what is submitted to domains that take no mail or do not exist.")
    ] = False
    refuse: Annotated[
        tuple[str, ...], _d("Checks whose findings refuse (dnsbl, domain_list, helo, sender_domain).")
    ] = ()
    header_rules: Annotated[
        tuple[str, ...],
        _d("DOOR FIELD PATTERN => REPLACEMENT: change a field; empty: take it out. A door: smtp, any ..."),
    ] = ()
    scripts: Annotated[
        tuple[str, ...],
        _d("STAGE=FILE: Sieve of yours at connect, ehlo, auth, mail, rcpt or data (whole mails)."),
    ] = ()
    script_doors: Annotated[tuple[str, ...], _d("Whose mail they see: smtp, submission, lmtp.")] = (
        "smtp", "submission",
    )  # fmt: skip
    script_steps: Annotated[int, _d("Steps one run may take, about a microsecond each.", ge=100)] = 20_000
    seconds: Annotated[float, _d("Longest time the checks of one stage may take.", ge=0)] = 5.0
    greylist: Annotated[bool, _d("Ask unknown senders to come back (RFC 6647).")] = False
    greylist_seconds: Annotated[float, _d("... after this time.", ge=1)] = 300.0
    verify: Annotated[bool, _d("Ask the next server of relayed domains whether a recipient exists.")] = False
    verify_failure: Annotated[
        str, _d("... when it does not say: accept, or tempfail (the sender tries again).")
    ] = "accept"
    verify_sender: Annotated[str, _d("... as whom: null (<>), or postmaster (of server.domain).")] = "null"
    verify_known_seconds: Annotated[float, _d("... and believe for so long that he does.", ge=1)] = 86_400.0
    verify_unknown_seconds: Annotated[float, _d("... that he does not.", ge=1)] = 3600.0
    verify_rate: Annotated[
        int, _d("... so many addresses an hour for one network of strangers; 0 = no limit.", ge=0)
    ] = 1000
    sender_rate: Annotated[int, _d("Mails an hour from one sender address; 0 = no limit.", ge=0)] = 0
    domain_rate: Annotated[int, _d("... from one sender domain.", ge=0)] = 0
    network_rate: Annotated[
        int, _d("... from one network of strangers (an IPv4 address, an IPv6 /64).", ge=0)
    ] = 0
    account_rate: Annotated[int, _d("... submitted by one account.", ge=0)] = 0
    account_recipients: Annotated[int, _d("... recipients of all of them together.", ge=0)] = 0
    account_domain_rate: Annotated[
        int, _d("... submitted by all accounts that send from one domain.", ge=0)
    ] = 0
    account_domain_recipients: Annotated[int, _d("... recipients of all of them together.", ge=0)] = 0
    unknown_rate: Annotated[
        int, _d("... that do not exist from one network of strangers, before all its mail waits.", ge=0)
    ] = 100
    recipient_rate: Annotated[int, _d("... to one recipient from strangers.", ge=0)] = 0


class Msgauth(Section, frozen=True, kw_only=True):
    enabled: Annotated[bool, _d("Check SPF, DKIM, DMARC and iprev of mail from other servers.")] = True
    seconds: Annotated[float, _d("Longest time the checks of one mail may take.", ge=0.1)] = 20.0
    dmarc: Annotated[
        str,
        _d(
            "When DMARC fails: tag (say so in the header), junk (file what its domain wants quarantined or "
            "rejected to Junk), enforce (refuse what it wants rejected)."
        ),
    ] = "tag"
    replay_count: Annotated[
        int, _d("Recipients an hour that one DKIM signature may come to before it is told of; 0 = any.", ge=0)
    ] = 200
    replay: Annotated[
        str, _d("... then: tag, or where it comes from many networks: junk (file to Junk), refuse.")
    ] = "tag"
    replay_networks: Annotated[int, _d("... which are this many at least.", ge=1)] = 3
    arc_trusted: Annotated[
        tuple[str, ...], _d("Domains whose ARC seals excuse a failed DMARC (lists and forwarders you know).")
    ] = ()
    bimi: Annotated[bool, _d("Look up which picture (BIMI) a proved author wants shown beside his mail.")] = (
        False
    )
    bimi_authorities: Annotated[
        str, _d("... PEM file, in the data directory, of the authorities whose mark certificates count.")
    ] = ""
    bimi_unverified: Annotated[
        bool, _d("... also pictures that no certificate vouches for; they are told apart.")
    ] = False
    smime_authorities: Annotated[
        str,
        _d(
            "file, in the data directory, of the authorities whose certificates count in S/MIME"
            " signatures; empty: those of the system."
        ),
    ] = ""
    smime_revoked: Annotated[
        str, _d("... and of lists (CRL) of certificates that were revoked; none is fetched.")
    ] = ""


class Milter(Section, frozen=True, kw_only=True):
    servers: Annotated[tuple[str, ...], _d("Filters to ask in turn: HOST:PORT, unix:PATH.")] = ()
    doors: Annotated[tuple[str, ...], _d("Whose mail they see: smtp, submission, lmtp.")] = (
        "smtp", "submission",
    )  # fmt: skip
    early: Annotated[
        bool,
        _d("Tell them each command as it comes, so that they can refuse one recipient; off: whole mails."),
    ] = True
    failure: Annotated[str, _d("When one fails: tempfail, or accept without it.")] = "tempfail"
    seconds: Annotated[float, _d("Longest wait for one of its answers.", ge=0.1)] = 20.0


class PolicyHook(Section, frozen=True, kw_only=True):
    url: Annotated[str, _d("A service of yours that is asked about mail (JSON by POST); empty = none.")] = ""
    stages: Annotated[
        tuple[str, ...],
        _d("When it is asked: connect, ehlo, auth, mail, rcpt, data, and message (whole mails)."),
    ] = ("rcpt", "message")
    doors: Annotated[tuple[str, ...], _d("Whose mail it is asked about: smtp, submission, lmtp.")] = (
        "smtp", "submission",
    )  # fmt: skip
    failure: Annotated[str, _d("When it does not answer: tempfail, or accept without it.")] = "tempfail"
    seconds: Annotated[
        float, _d("Longest wait for an answer; at a stage never more than policy.seconds.", ge=0.1)
    ] = 3.0


class Reports(Section, frozen=True, kw_only=True):
    addresses: Annotated[
        tuple[str, ...],
        _d("Addresses of ours where reports are read, besides dmarc-reports@, tls-reports@ and abuse@."),
    ] = ()
    days: Annotated[int, _d("Days reports of others are kept.", ge=1)] = 90
    most: Annotated[int, _d("... but no more of them than this.", ge=1)] = 10_000
    failure_send: Annotated[
        bool,
        _d("Tell other domains of single mails that fail DMARC, names hidden, where they ask (RFC 6591)."),
    ] = False
    failure_rate: Annotated[int, _d("... so many times an hour a domain and worker.", ge=1)] = 10
    dmarc_send: Annotated[
        bool,
        _d(
            "Tell other domains once a day what DMARC found of mail in their name, where they ask (RFC 9990)."
        ),
    ] = False
    tls_send: Annotated[
        bool, _d("Tell other domains once a day how TLS with them fared, where they ask for it (RFC 8460).")
    ] = False


class ManageSieve(Section, frozen=True, kw_only=True):
    idle_seconds: Annotated[float, _d("Inactivity before logout, 30 minutes at least (RFC 5804).", ge=1)] = (
        1860.0
    )
    login_seconds: Annotated[float, _d("Time to authenticate.")] = 30.0


class Sieve(Section, frozen=True, kw_only=True):
    scripts: Annotated[int, _d("Sieve scripts an account may keep.", ge=1, le=1000)] = 50
    size: Annotated[int, _d("Octets of one of them.", ge=1024, le=512 * 1024)] = 128 * 1024
    octets: Annotated[int, _d("Octets of all scripts of an account together.", ge=1024)] = 1024 * 1024
    before: Annotated[
        tuple[str, ...],
        _d("FILE or DOMAIN=FILE: Sieve of yours that runs before the script of an account, and without one."),
    ] = ()
    after: Annotated[tuple[str, ...], _d("... and after it, where the mail is still to be kept.")] = ()
    include: Annotated[tuple[str, ...], _d("NAME=FILE: scripts for include :global.")] = ()
    steps: Annotated[
        int, _d("Steps all scripts of one mail may take, about a microsecond each.", ge=1000)
    ] = 100_000
    steps_hour: Annotated[int, _d("... those of an account in an hour; 0 = no limit.", ge=0)] = 20_000_000
    memory: Annotated[int, _d("Octets of texts that a script may make.", ge=65_536)] = 2 * 1024 * 1024
    seconds: Annotated[float, _d("Longest time the scripts of one mail may take.", ge=0.1)] = 2.0
    redirects: Annotated[int, _d("Addresses the scripts of one mail may redirect it to.", ge=0, le=32)] = 4
    redirects_hour: Annotated[int, _d("... in an hour and account; 0 = no limit.", ge=0)] = 500
    answers_hour: Annotated[
        int, _d("Answers (vacation, reject) of an account in an hour; 0 = no limit.", ge=0)
    ] = 200
    notices_hour: Annotated[int, _d("Notices (notify) of an account in an hour; 0 = no limit.", ge=0)] = 60


class Log(Section, frozen=True, kw_only=True):
    level: Annotated[str, _d("debug, info, warning or error.")] = "info"


class Settings(Section, frozen=True, kw_only=True):
    """The whole tree, as one snapshot."""

    server: Server = Server()
    tls: Tls = Tls()
    acme: Acme = Acme()
    smtp: Smtp = Smtp()
    imap: Imap = Imap()
    jmap: Jmap = Jmap()
    pop3: Pop3 = Pop3()
    store: Store = Store()
    queue: Queue = Queue()
    forward: Forward = Forward()
    dkim: Dkim = Dkim()
    auth: Auth = Auth()
    limits: Limits = Limits()
    dns: Dns = Dns()
    web: Web = Web()
    policy: Policy = Policy()
    msgauth: Msgauth = Msgauth()
    milter: Milter = Milter()
    policy_hook: PolicyHook = PolicyHook()
    reports: Reports = Reports()
    sieve: Sieve = Sieve()
    managesieve: ManageSieve = ManageSieve()
    log: Log = Log()
