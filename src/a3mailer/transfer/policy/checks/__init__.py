"""The checks, in the order in which their refusals are told: one file a check, one line here.

A package of somebody else adds its own by the entry-point group ``a3mailer.checks`` (``load.py``).
"""

from a3mailer.transfer.policy.checks.dnsbl import Dnsbl
from a3mailer.transfer.policy.checks.domain_list import DomainList
from a3mailer.transfer.policy.checks.greylist import Greylist
from a3mailer.transfer.policy.checks.harvest import Harvest
from a3mailer.transfer.policy.checks.helo import Helo
from a3mailer.transfer.policy.checks.rate import RecipientRate, SenderRate, SubmittedRate
from a3mailer.transfer.policy.checks.recipient_domain import RecipientDomain
from a3mailer.transfer.policy.checks.sender_domain import SenderDomain
from a3mailer.transfer.policy.stages import Check

CHECKS: tuple[Check, ...] = (
    Dnsbl(),
    Helo(),
    SenderDomain(),
    DomainList(),
    Harvest(),
    SenderRate(),
    SubmittedRate(),
    RecipientDomain(),
    RecipientRate(),
    Greylist(),
)
