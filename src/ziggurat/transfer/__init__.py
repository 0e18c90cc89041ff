"""Doing what `conversion` plans: documents and chunks, in place or into a new store."""

from __future__ import annotations

from ziggurat.transfer.upgrades import UpgradeResult, upgrade

__all__ = ["UpgradeResult", "upgrade"]
