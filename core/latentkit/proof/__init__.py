"""What is proved before training: on the graph, on the meta device, and by one tiny numeric step.

The three are kept apart: what the graph shows holds always, what meta shows holds for the shapes, and what a probe did
not see is reported as not seen. No data is opened: synthetic values of the declared spaces and ranges stand in.
"""

from __future__ import annotations

from latentkit.proof.proving import prove
from latentkit.proof.report import Report
from latentkit.proof.stages import prove_stages

__all__ = ["Report", "prove", "prove_stages"]
