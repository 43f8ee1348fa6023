"""Recipes in words: equations, routing, shapes, differences, flowcharts."""

from __future__ import annotations

from latentkit.explaining.comparing import Comparison, compare
from latentkit.explaining.page import explain

__all__ = ["Comparison", "compare", "explain"]
