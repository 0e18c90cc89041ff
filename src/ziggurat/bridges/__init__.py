"""Edges to other people's software; each can be imported alone."""
