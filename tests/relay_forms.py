"""Attack row 6: forms of RCPT that might make a server relay, and what a user may not make ours relay to.

Ours are ``example.test`` (bob, the alias away to away@partner.test), ``all.test`` (catch-all bob) and
``xn--bcher-kva.test``; ``relayed.test`` is one we hand on. Everything else is somebody else's. What stands
here is all between the brackets.
"""

from typing import Final

STRANGERS: Final[tuple[bytes, ...]] = (
    # plain, in every spelling
    b"eve@example.org", b"EVE@EXAMPLE.ORG", b"eve+x@example.org", b"eve@sub.example.test",
    b"eve@example.test.example.org", b"eve@notexample.test", b"eve@example-test", b"eve@test", b"eve@org",
    b"postmaster@example.org", b"abuse@example.org", b"root@localhost", b"eve@localhost.localdomain",
    b"eve@mx", b"eve@ip6-localhost", b"eve@example.test.", b"eve@example.org.", b"eve@.example.org",
    b"eve@example..org", b"eve@-example.org", b"eve@example.org-",
    # percent, bang, UUCP, DECnet, a second @ (RFC 5321 section 3.3, appendix F.2)
    b"eve%example.org@example.test", b"eve%example.org@all.test", b"eve%example.org@localhost",
    b"eve%example.org@[127.0.0.1]", b"eve%example.org@[192.0.2.25]", b"eve%example.org", b"eve%",
    b"eve%25example.org@example.test", b"eve%40example.org@example.test", b"eve%example.org%example.test",
    b"eve%a.test%example.org@example.test", b"%eve%example.org@example.test",
    b"example.org!eve@example.test", b"example.org!eve@all.test", b"example.org!eve", b"!example.org!eve",
    b"example.org!a.test!eve@example.test", b"example.test!example.org!eve", b"example.test!eve@example.org",
    b"example.org::eve@example.test", b"EXAMPLE::eve", b"eve@example.org@example.test",
    b"eve@example.test@example.org", b"eve@@example.org", b"@eve@example.org", b"eve@example.org@",
    b"bob@example.test@", b"eve@example.org,bob@example.test", b"bob@example.test,eve@example.org",
    b"eve@example.org;bob@example.test", b"bob@example.test;eve@example.org",
    b"bob@example.test eve@example.org", b"bob@example.test\teve@example.org",
    b"bob@example.test|eve@example.org", b"bob@example.test(eve@example.org)",
    b"eve@example.org(@example.test)", b"(eve@example.org)bob@example.test",
    # source routes (RFC 5321 appendix C)
    b"@example.test:eve@example.org", b"@all.test:eve@example.org", b"@[127.0.0.1]:eve@example.org",
    b"@[IPv6:::1]:eve@example.org", b"@localhost:eve@example.org",
    b"@example.test,@example.org:eve@example.org",
    b"@example.test:@example.org:eve@example.org", b"@example.test:eve%example.org@example.test",
    b"@example.test:bob@example.test:eve@example.org", b"@:eve@example.org", b"@example.test:",
    b"@example.test:eve", b"example.test:eve@example.org", b"@example.test eve@example.org",
    b"@example.test:\"eve@example.org\"@example.test",
    # quoted local parts
    b'"eve@example.org"', b'"eve@example.org"@example.test', b'"eve@example.org"@all.test',
    b'"eve%example.org"@example.test', b'"example.org!eve"@example.test', b'"@example.test:eve@example.org"',
    b'"@example.org:eve"@example.test', b'"eve"@example.org', b'"eve"example.org', b'"eve"@"example.org"',
    b'"eve\\@example.org"@example.test', b'eve\\@example.org@example.test', b'eve"@example.org"@example.test',
    b'"bob@example.test"@example.org', b'"bob@example.test>"@example.org', b'"bob"@example.test@example.org',
    b'"eve@example.org', b'eve@example.org"', b'""@example.org', b'" "@example.org',
    b'"bob@example.test> RCPT TO:<eve@example.org"', b'"\\"eve@example.org\\""@example.test',
    b"'eve@example.org'@example.test", b"`eve@example.org`", b"\\eve@example.org",
    # literals and numbers
    b"eve@[127.0.0.1]", b"eve@[192.0.2.25]", b"eve@[192.0.2.1]", b"eve@[10.0.0.1]", b"eve@[8.8.8.8]",
    b"eve@[IPv6:::1]", b"eve@[IPv6:::ffff:127.0.0.1]", b"eve@[IPv6:2001:db8::1]", b"eve@[::1]",
    b"eve@[IPv6:fe80::1%eth0]", b"eve@[0x7f.1]", b"eve@[127.1]", b"eve@[2130706433]", b"eve@[0177.0.0.1]",
    b"eve@[127.0.0.1", b"eve@127.0.0.1]", b"eve@127.0.0.1", b"eve@192.0.2.25", b"eve@2130706433",
    b"eve@0x7f000001", b"eve@[example.org]", b"eve@[x-any:example.org]", b"eve@[]", b"eve@[127.0.0.1].test",
    b"eve@example.test[127.0.0.1]", b"bob@[127.0.0.1]@example.org",
    # look-alikes and what other decoders make of octets
    "eve@\u0435xample.test".encode(), "eve@example\uff0eorg".encode(), "eve@example\u3002org".encode(),
    "eve@\uff45xample.org".encode(), "eve\uff20example.org@example.test".encode(),
    "eve\u0000@example.org".encode(), b"bob@example.test\0.example.org", b"bob@example.org\0@example.test",
    b"bob\0@example.org", b"eve@example.org\x01", b"eve@example.test\x7f.example.org",
    "eve@b\u00fccher.test.example.org".encode(), b"eve@xn--bcher-kva.example.org",
    b"eve@xn--.org", b"eve@b\xfccher.test", b"eve@example.test\xff", "eve@example\u00ad.org".encode(),
    "eve@\u202eexample.org".encode(), "eve@exam\u200bple.org".encode(),
    b"=?utf-8?q?eve=40example.org?=@example.test", b"eve=40example.org@example.test",
    b"eve+40example.org@example.test", b"+ADw-eve@example.org", b"&eve@example.org",
    # addresses that servers make themselves
    b"SRS0=AAAA=AA=example.org=eve@example.test", b"SRS0=AAAAAAAA=AA=example.org=eve@all.test",
    b"SRS1=AAAA=example.org==AAAA=AA=example.net=eve@example.test",
    b"srs0+aaaa=aa=example.org=eve@example.test",
    b"bounce+eve=example.org@example.test", b"prvs=1234567890=eve@example.org",
    b"eve=example.org@example.test",
    b"btv1==0123456789a==eve@example.org", b"x-eve=example.org@example.test",
    # pipes, files, programs, lists
    b"|/bin/sh@example.test", b'"|/bin/sh -c id"@example.test', b"/etc/passwd@example.test",
    b":include:/etc/passwd@example.test", b"../../etc/passwd@example.test", b"$(id)@example.test",
    b"eve@example.org%0d%0aRCPT", b"mailto:eve@example.org", b"smtp:[127.0.0.1]@example.test",
    b"smtp:eve@example.org", b"eve@smtp:example.org", b"lmtp:unix:/tmp/x", b"eve@example.org:25",
    b"eve@example.org/25", b"eve@example.test:2525",
    # nothing at all
    b"eve", b"@", b"eve@", b"@example.org", b"", b" ", b" eve@example.org", b"eve@example.org ",
    b"eve @example.org", b"eve@ example.org", b"eve@example .org", b"<eve@example.org>", b"<eve@example.org",
    b"x" * 400 + b"@example.org", b"eve@" + b"a." * 150 + b"org", b"eve@" + b"a" * 64 + b".org",
)  # fmt: skip
"""What a stranger may write; on ``all.test`` some reach bob, who is ours."""

USERS: Final[tuple[bytes, ...]] = (
    b"x@[127.0.0.1]", b"x@[127.255.255.254]", b"x@[0.0.0.0]", b"x@[0.1.2.3]", b"x@[10.0.0.1]",
    b"x@[172.16.0.1]", b"x@[172.31.255.255]", b"x@[192.168.1.1]", b"x@[169.254.169.254]", b"x@[100.64.0.1]",
    b"x@[192.0.0.8]", b"x@[192.0.2.1]", b"x@[198.18.0.1]", b"x@[198.51.100.1]", b"x@[203.0.113.1]",
    b"x@[224.0.0.1]", b"x@[239.255.255.250]", b"x@[240.0.0.1]", b"x@[255.255.255.255]",
    b"x@[IPv6:::1]", b"x@[IPv6:::]", b"x@[IPv6:::ffff:127.0.0.1]", b"x@[IPv6:::ffff:10.0.0.1]",
    b"x@[IPv6:::ffff:a9fe:a9fe]", b"x@[IPv6:::127.0.0.1]", b"x@[IPv6:64:ff9b::7f00:1]",
    b"x@[IPv6:64:ff9b::10.0.0.1]", b"x@[IPv6:2002:7f00:1::]", b"x@[IPv6:2002:a00:1::1]",
    b"x@[IPv6:2001:0:4136:e378:8000:63bf:3fff:fdd2]", b"x@[IPv6:fe80::1]", b"x@[IPv6:fe80::1%eth0]",
    b"x@[IPv6:fec0::1]", b"x@[IPv6:fc00::1]", b"x@[IPv6:fd00:ec2::254]", b"x@[IPv6:ff02::1]",
    b"x@[IPv6:ff0e::1]", b"x@[IPv6:2001:db8::1]", b"x@[IPv6:100::1]", b"x@[::1]", b"x@[127.1]",
    b"x@[0x7f.1]", b"x@[2130706433]", b"x@[0177.0.0.1]", b"x@[127.0.0.1", b"x@[]", b"x@[localhost]",
    b"x@[unix:/run/x]", b"x@127.0.0.1", b"x@10.0.0.1", b"x@127.1", b"x@2130706433", b"x@0x7f000001",
    b"x@0x7f.1", b"x@0x7f.0x1", b"x@017700000001", b"x@0177.0.0.01", b"x@localhost", b"x@LOCALHOST",
    b"x@mail.localhost", b"x@nothing.invalid", b"x@hidden.onion", b"x@", b"x", b"@", b"",
    b"@127.0.0.1:x@[127.0.0.1]", b"@example.org:x@localhost", b'"x"@[127.0.0.1]', b"x@[IPv6:::1]:25",
    b"x@localhost:25", b"x@example.org:25", b"x@example.org@[127.0.0.1]", b"x@[127.0.0.1]@example.org",
    "x@\u2460\u2461\u2466.0.0.1".encode(), "x@127\u30020\u30020\u30021".encode(),
    "x@\uff11\uff12\uff17.1".encode(),
)  # fmt: skip
"""What no user may submit: networks inside, the machine itself, numbers, names that are none."""

RELAYED: Final[tuple[bytes, ...]] = (
    # not the domain itself
    b"eve@sub.relayed.test", b"eve@a.b.relayed.test", b"eve@notrelayed.test",
    b"eve@relayed.test.example.org",
    b"eve@relayed.test.", b"eve@.relayed.test", b"eve@relayed-test", b"eve@relayed",
    b"eve@[relayed.test]",
    b"eve@relayed.test@example.org", b"eve@relayed.test:2525", b"eve@relayed.test%example.org",
    b"eve@example.org.relayed.test", "eve@r\u0435layed.test".encode(), "eve@relayed\uff0etest.org".encode(),
    b"eve@relayed.test,example.org", b"eve@example.org,relayed.test", b"eve@example.org relayed.test",
    # a local part that the next server might follow, as it trusts us
    b"eve%example.org@relayed.test", b"eve%example.org%relayed.test@relayed.test", b"%eve@relayed.test",
    b"eve%@relayed.test", b"example.org!eve@relayed.test", b"example.org!a.test!eve@relayed.test",
    b"relayed.test!example.org!eve@relayed.test", b"!eve@relayed.test", b"eve@example.org@relayed.test",
    b'"eve@example.org"@relayed.test', b'"eve%example.org"@relayed.test',
    b'"example.org!eve"@relayed.test',
    b'"@example.org:eve"@relayed.test', b'"eve\\@example.org"@relayed.test',
    b"eve\\@example.org@relayed.test", b'"eve\\%example.org"@relayed.test',
    b'"eve\\!example.org"@relayed.test',
    b"eve%[127.0.0.1]@relayed.test", b"eve%localhost@relayed.test", b'"eve@[127.0.0.1]"@relayed.test',
    b"eve+x%example.org@relayed.test",
    b"bob%example.test@relayed.test",
    # routes through it
    b"@relayed.test:eve@example.org", b"@relayed.test,@example.org:eve@example.net",
    b"@example.org:eve%example.org@relayed.test", b"@relayed.test:example.org!eve@relayed.test",
    b"@relayed.test:@example.org:eve@relayed.test", b"@relayed.test:eve", b"relayed.test:eve@example.org",
    b"relayed.test!eve@example.org", b"eve%relayed.test@example.org", b"eve%relayed.test",
    # somebody else's, beside it
    b"eve@example.org", b"eve@relayed.test;eve@example.org", b"eve@relayed.test|eve@example.org",
    b"eve@relayed.test(@example.org)", b"eve@relayed.test\0.example.org",
)  # fmt: skip
"""What a stranger may not have handed on to the next server of ``relayed.test``."""


HANDED_ON: Final[tuple[bytes, ...]] = (
    b"eve@relayed.test", b"EVE@RELAYED.TEST", b"eve+x@relayed.test", b'"eve"@relayed.test',
    b"@example.org:eve@relayed.test", b"@[127.0.0.1]:eve@relayed.test", b"postmaster@relayed.test",
    b"abuse@relayed.test", b"SRS0=AAAA=AA=example.org=eve@relayed.test", b"eve=example.org@relayed.test",
    b"bounce+eve=example.org@relayed.test", b"BOUNCE=AAAA=AA=x=example.org=eve@relayed.test",
    b"eve+40example.org@relayed.test", "gr\u00fc\u00dfe@relayed.test".encode(),
)  # fmt: skip
"""What it gets, addressed as it came, and to nobody else."""
