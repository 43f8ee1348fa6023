"""What is said of pictures that cannot be read, or are smaller than asked for."""

from __future__ import annotations

from collections import abc
from typing import Literal

import attrs

from latentkit.data.decoding import Fault, Wanted
from latentkit.data.listing import listed

Small = Literal["refuse", "skip", "enlarge"]
Unreadable = Literal["refuse", "skip"]


@attrs.frozen(kw_only=True)
class Rule:
    """What is done with pictures at fault."""

    where: str
    """Opens each message: which source, and which of its options."""
    small: Small
    unreadable: Unreadable

    @property
    def skips(self) -> bool:
        """Whether some may be left out."""
        return "skip" in (self.small, self.unreadable)

    def refuses(self, fault: Fault) -> bool:
        """Whether it is an error."""
        return (self.small if fault.size else self.unreadable) == "refuse"

    def refusal(self, faults: abc.Sequence[Fault], wanted: Wanted, count: int | None = None) -> str:
        """The message of pictures that are refused, among so many where that is known."""
        among = "" if count is None else f"of {count} pictures "
        lines = [f"{self.where}: {among}{said(faults, wanted)}"]
        if any(not fault.size for fault in faults):
            lines.append('repair or remove what cannot be read, or leave it out with unreadable = "skip"')
        if any(fault.size for fault in faults):
            lines.append('choose a smaller resolution, or say small = "enlarge" or small = "skip"')
        return "\n  ".join(lines)


def said(faults: abc.Sequence[Fault], wanted: Wanted) -> str:
    """How many and which cannot be read, all of them, and are small, the first few of them."""
    unreadable = [fault.name for fault in faults if not fault.size]
    small = [f"{fault.name} ({fault.size})" for fault in faults if fault.size]
    found = [f"{len(unreadable)} cannot be read: {', '.join(unreadable)}"] if unreadable else []
    if small:
        number = "is" if len(small) == 1 else "are"
        least = f"{wanted.height} x {wanted.width}"
        found.append(f"{len(small)} {number} smaller than {least} (height x width): {listed(small)}")
    return "; ".join(found)
