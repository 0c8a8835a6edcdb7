"""Croissant metadata of a pack (https://mlcommons.org/croissant/1.0): what it is, its files, its columns."""

from typing import Any

from fer.data.datasets import dataset
from fer.data.pack import Pack

TERMS = (
    "citeAs", "column", "conformsTo", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated",
    "replace", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in TERMS},
    "conformsTo": "dct:conformsTo",
}
COLUMNS = {
    "name": "path of the image within what was downloaded",
    "emotion": "label",
    "split": "train, val, test, or all where the data set has no split of its own",
    "subject": "who is on the image; empty where that is unknown",
}
TABLE = "table.csv"


def croissant(pack: Pack) -> dict[str, Any]:
    """The metadata as JSON-LD. Its records are the rows of the table: row i is image i of `images.npy`."""
    facts = dataset(pack)
    counts = {split: sum(by.values()) for split, by in pack.manifest["counts"].items()}
    shape, digests = pack.manifest["shape"], pack.manifest["sha256"]
    images = f"uint8 array {shape}: image i is row i of {TABLE}; read it with numpy.load"
    files = [(TABLE, "text/csv", "a row for each image"), ("images.npy", "application/octet-stream", images)]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": pack.folder.name,
        "description": (
            f"{facts.title}, {len(pack):,} images of faces labelled with an emotion "
            f"({', '.join(f'{count:,} {split}' for split, count in counts.items())}), packed by fer-experiments from "
            f"{pack.manifest['layout']}. Protocol: {facts.protocol}. {' '.join(facts.caveats)}"
        ),
        "creator": {"@type": "sc:Organization", "name": facts.owner},
        "citeAs": facts.owner,
        "license": facts.licence,
        **({"url": facts.access} if facts.access else {}),
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "description": what,
                "contentUrl": name,
                "encodingFormat": kind,
                "sha256": digests[name],
            }
            for name, kind, what in files
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": f"The rows of {TABLE}.",
                "field": [_field(column, what) for column, what in COLUMNS.items()],
            }
        ],
    }


def _field(column: str, what: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{column}",
        "name": column,
        "description": what,
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": TABLE}, "extract": {"column": column}},
    }
