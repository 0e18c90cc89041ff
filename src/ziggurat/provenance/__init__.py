"""Provenance: are the samples of a level what its metadata says, and if it says nothing we know, what are they?

`recompute` makes sampled blocks of our own levels again and compares every sample. `explain` asks of levels that anyone made which
reduction and which place in the finer level would give these samples. Both read a few small regions of each level and work on
anything with a shape, a dtype and slicing; no store, no document.
"""

from ziggurat.provenance.explaining import Explanation, explain
from ziggurat.provenance.judging import judge
from ziggurat.provenance.recomputing import Difference, Given, Recipe, Recomputed, recipe_of, recompute

__all__ = ["Difference", "Explanation", "Given", "Recipe", "Recomputed", "explain", "judge", "recipe_of", "recompute"]
