"""ziggurat itself, by its public face."""

from common import Level, level, main

import ziggurat as zg


def read(path: str) -> list[Level]:
    pyramid = zg.open(path)
    stated = [entry.translation_provenance == "stated" for entry in pyramid.multiscale.levels]
    return [
        level(entry.array[...], entry.scale if said else None, entry.translation if said else None) for entry, said in zip(pyramid.levels, stated, strict=True)
    ]


main(read)
