"""What a notification says to people: one set of words a language (the first part of RFC 3464 section 2).

The words for a status are those of its subject and detail (RFC 3463 section 3), without its class: a full
mailbox is full whether the mail waits or has failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from a3mailer.wire.dsn.report import Action


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Braces are filled in."""

    sender: str
    opening: str
    subjects: Mapping[Action, str]
    texts: Mapping[Action, str]
    reasons: Mapping[str, str]
    """By ``subject.detail`` of a status, else by ``subject``."""
    said: str
    until: str
    more: str
    refused: str
    """What stands above the reason of a recipient's mail filter."""

    def reason(self, status: str) -> str:
        """Why, in a sentence; empty where a status says nothing."""
        _, _, rest = status.partition(".")
        return self.reasons.get(rest) or self.reasons.get(rest.partition(".")[0], "")


ENGLISH: Final = Words(
    "Mail Delivery System",
    "This is the mail system at {host}.",
    {
        Action.FAILED: "Your message could not be delivered",
        Action.DELAYED: "Your message is delayed",
        Action.DELIVERED: "Your message was delivered",
        Action.RELAYED: "Your message was handed on",
        Action.EXPANDED: "Your message was sent on to several addresses",
    },
    {
        Action.FAILED: "Your message could not be delivered to the following recipients. "
        "No further attempt will be made.",
        Action.DELAYED: "Your message has not been delivered yet to the following recipients. "
        "You need not send it again:\r\nfurther attempts will be made, "
        "and you will be told if they fail for good.",
        Action.DELIVERED: "Your message was delivered to the following recipients.",
        Action.RELAYED: "Your message was handed on, for the following recipients, to a server that does "
        "not tell\r\nwhat becomes of it.",
        Action.EXPANDED: "Your message was sent on to everybody who gets mail for the following addresses. "
        "You will\r\nbe told if one of them cannot be reached.",
    },
    {
        "1": "Something is wrong with the address.",
        "1.1": "There is no such mailbox.",
        "1.2": "There is no such domain.",
        "1.6": "The mailbox has moved.",
        "1.10": "This domain takes no mail.",
        "2": "Something is wrong with the mailbox.",
        "2.1": "The mailbox is switched off.",
        "2.2": "The mailbox is full.",
        "2.3": "The message is too large for the mailbox.",
        "3": "The server there has a problem.",
        "3.1": "The server there has no room left.",
        "3.2": "The server there takes no mail at the moment.",
        "3.3": "The server there cannot do what the message needs.",
        "3.4": "The message is too large for the server there.",
        "4": "The server there could not be reached.",
        "4.3": "The domain's servers could not be looked up.",
        "4.4": "No way to the domain's servers was found.",
        "4.6": "The message was going in circles.",
        "4.7": "The time for its delivery is over.",
        "5": "The servers did not understand each other.",
        "5.3": "There were too many recipients.",
        "6": "Something in the message cannot be handed on.",
        "7": "The server there refuses the message.",
        "7.4": "No connection was as secure as is asked for.",
        "7.5": "No connection was as secure as is asked for.",
    },
    "{host} said: {text}",
    "attempts go on until {date}",
    "and {count} more",
    "It was refused by the recipient's mail filter. The reason given is as follows:",
)

CHINESE: Final = Words(
    "邮件投递系统",
    "这里是 {host} 的邮件系统。",
    {
        Action.FAILED: "您的邮件未能送达",
        Action.DELAYED: "您的邮件有所延迟",
        Action.DELIVERED: "您的邮件已送达",
        Action.RELAYED: "您的邮件已转交",
        Action.EXPANDED: "您的邮件已转发给多个地址",
    },
    {
        Action.FAILED: "您的邮件未能送达下列收件人，不会再次尝试。",
        Action.DELAYED: "您的邮件尚未送达下列收件人。无需重新发送：\r\n系统会继续尝试；最终失败时会通知您。",
        Action.DELIVERED: "您的邮件已送达下列收件人。",
        Action.RELAYED: "发给下列收件人的邮件已转交给另一台服务器，该服务器不会告知后续结果。",
        Action.EXPANDED: "您的邮件已转发给下列地址的所有收件人；若其中有人无法送达，系统会通知您。",
    },
    {
        "1": "地址有问题。",
        "1.1": "该邮箱不存在。",
        "1.2": "该域名不存在。",
        "1.6": "该邮箱已迁走。",
        "1.10": "该域名不接收邮件。",
        "2": "对方邮箱有问题。",
        "2.1": "该邮箱已停用。",
        "2.2": "对方邮箱已满。",
        "2.3": "邮件过大，对方邮箱无法接收。",
        "3": "对方服务器出现问题。",
        "3.1": "对方服务器空间不足。",
        "3.2": "对方服务器暂不接收邮件。",
        "3.3": "对方服务器不支持这封邮件所需的功能。",
        "3.4": "邮件过大，对方服务器无法接收。",
        "4": "无法连接对方服务器。",
        "4.3": "查询不到该域名的邮件服务器。",
        "4.4": "找不到通往该域名邮件服务器的路径。",
        "4.6": "邮件在服务器之间循环。",
        "4.7": "投递期限已过。",
        "5": "双方服务器未能相互理解。",
        "5.3": "收件人过多。",
        "6": "邮件中有无法转交的内容。",
        "7": "对方服务器拒收这封邮件。",
        "7.4": "没有足够安全的连接。",
        "7.5": "没有足够安全的连接。",
    },
    "{host} 的答复：{text}",
    "将持续尝试至 {date}",
    "另有 {count} 个",
    "该邮件被收件人的邮件过滤规则拒收，给出的原因如下：",
)

LANGUAGES: Final = {"en": ENGLISH, "zh": CHINESE}
"""By what ``queue.language`` says."""
