"""Under which licenses what Surtitle is made of may be used, and which of them do not fit.

`python -m tests.deploy.licenses dist/sbom-*.cdx.json` (`make sbom`) says it of every component
of those lists. npm's has licenses in it; of Python's, packages that are installed are asked.
A license that is not known here to fit is named at the end, for a person to look at.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# SPDX names of what may go into a program under Apache-2.0 and be passed on with it. Of the
# weak copyleft ones, MPL-2.0 is of single files, which we do not change.
FIT = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "ISC"),
        *("MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Python-2.0", "Zlib"),
    }
)
# What no metadata says, or not in SPDX's words: from the text of the license in the package.
READ_BY_HAND = {
    "pkg:npm/xmlhttprequest-ssl": "MIT",
    "pkg:pypi/protobuf": "BSD-3-Clause",
    # PyAV's wheels bring FFmpeg, which calls itself LGPL, and beside it x264 and x265.
    "pkg:pypi/av": "BSD-3-Clause AND LGPL-3.0-or-later AND GPL-2.0-or-later",
}
_ELSEWHERE = "of other platforms"
# What older metadata has for a license.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_WORDS = {"Apache 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0", "BSD": "BSD-3-Clause"}


@dataclass(frozen=True, slots=True)
class Component:
    """One of a list. `license` is an SPDX expression, or empty where nobody says."""

    name: str
    version: str
    license: str

    @property
    def fits(self) -> bool:
        """Whether one side of each OR, and every part of an AND, is known to fit."""
        text = self.license.replace("(", "").replace(")", "")
        return text == _ELSEWHERE or any(
            all(part.strip() in FIT for part in choice.split(" AND "))
            for choice in text.split(" OR ")
        )


def of_python(name: str) -> str:
    """The license of a package, by its metadata; empty if that says none."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return _ELSEWHERE
    if expression := about.get("License-Expression"):
        return str(expression)
    classified = [
        _CLASSIFIERS.get(each.rpartition(" :: ")[2], "")
        for each in about.get_all("Classifier") or ()
        if each.startswith("License :: OSI Approved :: ")
    ]
    if any(classified):
        return " OR ".join(filter(None, classified))
    words = str(about.get("License") or "").strip()
    return _WORDS.get(words, words if re.fullmatch(r"[\w.() -]{1,60}", words) else "")


def components(path: Path) -> list[Component]:
    found = []
    for each in json.loads(path.read_text())["components"]:
        declared = [
            entry.get("expression") or entry["license"].get("id") or entry["license"].get("name")
            for entry in each.get("licenses", ())
        ]
        package = each["purl"].partition("@")[0]
        said = READ_BY_HAND.get(package) or " AND ".join(declared)
        if not said and package.startswith("pkg:pypi/"):
            said = of_python(each["name"])
        found.append(Component(each["name"], each["version"], said))
    return sorted(found, key=lambda each: each.name.lower())


def unfit(paths: Iterable[Path]) -> list[str]:
    """Each component whose license nobody has said to fit, and the list it is in."""
    return [
        f"{path.name}: {each.name} {each.version}: {each.license or 'says none'}"
        for path in paths
        for each in components(path)
        if not each.fits
    ]


def main(arguments: list[str]) -> int:
    paths = [Path(each) for each in arguments]
    for path in paths:
        print(f"{path}:")
        for each in components(path):
            print(f"  {each.name} {each.version}\t{each.license or '-'}")
    found = unfit(paths)
    print("\nto be looked at:" if found else "\nevery license is known to fit")
    for line in found:
        print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
