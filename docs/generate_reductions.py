"""Writes `docs/reductions.md` from the table of reductions. Run it after changing the table; a test compares the two."""

from pathlib import Path

from ziggurat import reductions

if __name__ == "__main__":
    Path(__file__).with_name("reductions.md").write_text(reductions.markdown(), encoding="utf-8")
