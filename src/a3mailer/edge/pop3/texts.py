"""The texts of answers, one line a text, one column a language (RFC 6856 section 3)."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.pop3.engine import Wrong

DEFAULT: Final = "i-default"
"""Until a client asks for another language (RFC 2277 section 4.5): English."""
NAMES: Final = {"en": "English", "zh": "中文"}
"""Languages by tag, each in its own words."""
_COLUMNS: Final = {DEFAULT: 0, "en": 0, "zh": 1}

TEXTS: Final[dict[str, tuple[str, str]]] = {
    # positive
    "greeting": ("A3Mailer is ready", "A3Mailer 已就绪"),
    "name": ("who is it?", "请提供密码"),
    "open": ("maildrop has {} messages ({} octets)", "信箱有 {} 封邮件（{} 字节）"),
    "capabilities": ("capabilities follow", "功能列表如下"),
    "mechanisms": ("mechanisms follow", "认证机制如下"),
    "languages": ("languages follow", "语言列表如下"),
    "language": ("this is the language from now on", "从现在起使用该语言"),
    "utf8": ("UTF-8 from now on", "从现在起使用 UTF-8"),
    "tls": ("begin TLS now", "现在开始 TLS"),
    "listing": ("{} messages ({} octets)", "{} 封邮件（{} 字节）"),
    "identities": ("unique-ids follow", "唯一标识如下"),
    "octets": ("{} octets", "{} 字节"),
    "top": ("the top of it follows", "邮件开头如下"),
    "marked": ("message {} deleted", "邮件 {} 已删除"),
    "nothing": ("done", "完成"),
    "bye": ("bye", "再见"),
    "updated": ("bye, {} messages deleted", "再见，已删除 {} 封邮件"),
    # negative: what was said
    Wrong.LINE_END.value: ("a line must end in CRLF", "行必须以 CRLF 结尾"),
    Wrong.TOO_LONG.value: ("line too long", "行太长"),
    Wrong.OCTETS.value: ("control characters", "含有控制字符"),
    Wrong.UNKNOWN.value: ("unknown command", "未知命令"),
    Wrong.STATE.value: ("not now", "当前状态下不可用"),
    Wrong.ARGUMENTS.value: ("bad arguments", "参数错误"),
    Wrong.BASE64.value: ("not base64", "不是 base64"),
    Wrong.CANCELLED.value: ("authentication cancelled", "认证已取消"),
    "no_tls": ("there is no TLS here", "此处没有 TLS"),
    "has_tls": ("TLS is active already", "TLS 已启用"),
    "injected": ("octets after STLS", "STLS 之后有多余数据"),
    "late_tls": ("STLS comes before UTF8", "STLS 必须在 UTF8 之前"),
    "no_language": ("that language is not known here", "没有这种语言"),
    "too_many": ("too many errors", "错误太多"),
    # negative: what went wrong
    "no_message": ("no such message", "没有这封邮件"),
    "damaged": ("the message is damaged", "邮件已损坏"),
    "credentials": ("wrong name or password", "用户名或密码错误"),
    "ended": ("these credentials are no longer valid", "登录凭据已失效"),
    "in_use": ("the maildrop is in use by another session", "信箱正被另一会话使用"),
    "too_soon": ("wait some seconds between two logins", "两次登录之间请稍候"),
    "forbidden": ("not permitted", "没有权限"),
    "privacy": ("start TLS first", "请先启用 TLS"),
    "mechanism": ("that mechanism is not offered here", "不支持该认证机制"),
    "exchange": ("the response does not follow the mechanism", "响应不符合认证机制"),
    "later": ("try later", "请稍后再试"),
    "kept": ("some deleted messages were not removed", "部分已删除的邮件未能移除"),
    "impossible": ("not possible", "无法完成"),
}


def known(tag: str) -> str:
    """The language that is meant by a tag or a longer one (RFC 4647 section 3.4); "" when there is none."""
    wanted = tag.lower()
    while wanted and wanted not in _COLUMNS:
        wanted = wanted.rpartition("-")[0]
    return wanted


def text(key: str, language: str, *values: object) -> bytes:
    """UTF-8."""
    return TEXTS[key][_COLUMNS[language]].format(*values).encode()
