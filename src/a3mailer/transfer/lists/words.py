"""What a list says to people, by what ``queue.language`` says; braces are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENGLISH: Final[Mapping[str, tuple[str, str]]] = {
    "join": (
        "Do you want to join {list}?",
        "Somebody, you we hope, asked to put {about} on the mailing list {list}.\n\n"
        "If you want that, answer this mail; its text does not matter. If you do not, do nothing: "
        "you will not be asked again today.\n",
    ),
    "leave": (
        "Do you want to leave {list}?",
        "Somebody, you we hope, asked to take {about} off the mailing list {list}.\n\n"
        "If you want that, answer this mail; its text does not matter. If you do not, do nothing.\n",
    ),
    "joined": (
        "Welcome to {list}",
        "{about} is on the mailing list {list} now.\n\nWrite to all: {list}\nLeave: {unsubscribe}\n"
        "The people who look after it: {owner}\n",
    ),
    "left": (
        "You have left {list}",
        "{about} is no longer on the mailing list {list}. To come back, write to {subscribe}\n",
    ),
    "held": (
        "{list}: a mail waits for you",
        "A mail to the mailing list {list} waits until somebody lets it through.\n\n"
        "From: {author}\nSubject: {subject}\nWhy: {why}\n\n"
        "Answer this mail to let it through; the text of your answer does not matter.\n"
        "To throw it away, write to {reject}\n"
        "On the server: a3mailer list approve {list} {number}, or list reject.\n",
    ),
    "request": (
        "How {list} works",
        "{list} is a mailing list. What is written to it reaches all members.\n\nJoin: {subscribe}\n"
        "Leave: {unsubscribe}\nThe people who look after it: {owner}\n",
    ),
}
CHINESE: Final[Mapping[str, tuple[str, str]]] = {
    "join": (
        "要加入 {list} 吗？",
        "有人（希望是您本人）请求把 {about} 加入邮件列表 {list}。\n\n"
        "如果您愿意，请直接回复本邮件，内容不限。如果不愿意，什么都不用做：今天不会再询问您。\n",
    ),
    "leave": (
        "要退出 {list} 吗？",
        "有人（希望是您本人）请求把 {about} 从邮件列表 {list} 中移除。\n\n"
        "如果您愿意，请直接回复本邮件，内容不限。如果不愿意，什么都不用做。\n",
    ),
    "joined": (
        "欢迎加入 {list}",
        "{about} 现在已在邮件列表 {list} 中。\n\n写给所有人：{list}\n退出：{unsubscribe}\n管理者：{owner}\n",
    ),
    "left": ("您已退出 {list}", "{about} 已不在邮件列表 {list} 中。要重新加入，请写信到 {subscribe}\n"),
    "held": (
        "{list}：有一封邮件等待您审核",
        "有一封写给邮件列表 {list} 的邮件在等待放行。\n\n发件人：{author}\n主题：{subject}\n原因：{why}\n\n"
        "回复本邮件即可放行，回复内容不限。\n要丢弃它，请写信到 {reject}\n"
        "在服务器上：a3mailer list approve {list} {number}，或 list reject。\n",
    ),
    "request": (
        "{list} 的用法",
        "{list} 是一个邮件列表，写给它的邮件会到达所有成员。\n\n加入：{subscribe}\n退出：{unsubscribe}\n"
        "管理者：{owner}\n",
    ),
}
LANGUAGES: Final = {"en": ENGLISH, "zh": CHINESE}
WHY: Final = {
    "en": {
        "moderated": "all mails to this list are looked at first",
        "doubtful": "it says it is from a member, but that could not be proved",
    },
    "zh": {"moderated": "该列表的所有邮件都要先审核", "doubtful": "它自称来自成员，但无法证实"},
}
