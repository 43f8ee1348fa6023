"""Keyed random streams: every draw's numbers follow from what it is, never from what was drawn before it."""

from __future__ import annotations

import hashlib
from collections import abc

import torch


def key_seed(*key: object) -> int:
    """A 63-bit seed from a key such as (run seed, step, phase, repeat, name)."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_states() -> dict[str, torch.Tensor]:
    """States of torch's default generators, which only parts with dropout use."""
    found = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore_generators(states: abc.Mapping[str, torch.Tensor]) -> None:
    """Set torch's default generators."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


class Streams:
    """One generator per device, reseeded for every draw."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        # The meta device has no generator; nothing is drawn there.
        self.generator = torch.Generator("cpu" if device.type == "meta" else device)

    def at(self, *key: object) -> torch.Generator:
        """The generator at the start of the stream of this key."""
        self.generator.manual_seed(key_seed(self.seed, *key))
        return self.generator
