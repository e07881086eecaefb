"""Reports: ours to others, and those of others about us, by kind."""

from typing import Final

from a3mailer.ops.reports import arf, dmarc, tls
from a3mailer.ops.reports.kind import Kind

KINDS: Final[tuple[Kind, ...]] = (dmarc.KIND, tls.KIND, arf.KIND)
