"""Doing what `conversion` plans: documents and chunks, in place or into a new store."""

from __future__ import annotations

from ziggurat.transfer.conversions import ConversionResult, convert
from ziggurat.transfer.upgrades import UpgradeResult, upgrade

__all__ = ["ConversionResult", "UpgradeResult", "convert", "upgrade"]
