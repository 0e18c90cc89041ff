"""What `ziggurat.open` returns: a multiscale on a store, its levels as lazy arrays, and the choice of a level."""

from ziggurat.pyramid.arrays import LazyArray
from ziggurat.pyramid.levels import LevelView, Pyramid
from ziggurat.pyramid.members import Collection
from ziggurat.pyramid.opening import check, list_multiscales, open, open_collection
from ziggurat.pyramid.surveys import Survey, survey

__all__ = ["Collection", "LazyArray", "LevelView", "Pyramid", "Survey", "check", "list_multiscales", "open", "open_collection", "survey"]
