"""What samples look like: which plane is shown (`planes`), between which values (`contrast`), in which colours (`colours`, `painting`),
as a file (`png`) or in a terminal (`blocks`). Arrays in, 8-bit pictures out.

Pyramids and files are for the rooms above; nothing here reads a store, and nothing is imported that is not asked for.
"""
