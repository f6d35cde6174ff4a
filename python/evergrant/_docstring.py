"""Takes a parameter's entry out of a docstring, in the Google, NumPy and Sphinx styles."""

from __future__ import annotations

import re

_GOOGLE_SECTION = re.compile(
    r"^(\s*)(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters):\s*$"
)
_NUMPY_SECTION = re.compile(r"^(\s*)(?:Parameters|Other Parameters)\s*$")
_NUMPY_UNDERLINE = re.compile(r"^\s*-{3,}\s*$")


def without_parameter(text: str, name: str) -> str:
    """`text` without the entry that documents the parameter `name`; the same text where there is none."""
    lines = text.splitlines(keepends=True)
    lines = _without_field(lines, name)
    lines = _without_entry(lines, name)
    return "".join(lines)


def _without_field(lines: list[str], name: str) -> list[str]:
    """Sphinx: `:param name: …`, `:param type name: …`, `:type name: …`."""
    words = r"param|parameter|arg|argument|key|keyword|kwarg"
    field = re.compile(
        rf"^\s*:(?:(?:{words})(?:\s+[^:]*?)?\s+\*{{0,2}}{re.escape(name)}|(?:kw)?type\s+{re.escape(name)})\s*:"
    )
    kept: list[str] = []
    index = 0
    while index < len(lines):
        if field.match(lines[index]):
            index = _end_of_entry(lines, index)
        else:
            kept.append(lines[index])
            index += 1
    return kept


def _without_entry(lines: list[str], name: str) -> list[str]:
    """Google and NumPy: an entry of a section, with the lines that belong to it; an emptied section goes too."""
    google = re.compile(rf"^\s*\*{{0,2}}{re.escape(name)}\s*(?:\([^)]*\))?\s*:")
    numpy = re.compile(rf"^\s*\*{{0,2}}{re.escape(name)}\s*(?::.*)?$")
    index = 0
    while index < len(lines):
        section = _section_at(lines, index)
        if section is None:
            index += 1
            continue
        first, numbered, indent = section
        last = _end_of_section(lines, first, indent, numpy=numbered)
        entries = _entries(lines, first, last)
        pattern = numpy if numbered else google
        found = [(start, end) for start, end in entries if pattern.match(lines[start])]
        if found:
            start, end = found[0]
            if len(entries) == 1:
                return _joined(lines[:index], lines[last:])
            return lines[:start] + lines[end:]
        index = last
    return lines


def _section_at(lines: list[str], index: int) -> tuple[int, bool, int] | None:
    """First line of the parameter section whose heading is at `index`, whether it is NumPy's, and its indentation."""
    if heading := _GOOGLE_SECTION.match(lines[index]):
        return index + 1, False, len(heading[1])
    heading = _NUMPY_SECTION.match(lines[index])
    if heading and index + 1 < len(lines) and _NUMPY_UNDERLINE.match(lines[index + 1]):
        return index + 2, True, len(heading[1])
    return None


def _end_of_section(lines: list[str], first: int, indent: int, *, numpy: bool) -> int:
    for index in range(first, len(lines)):
        if not lines[index].strip():
            continue
        depth = _depth(lines[index])
        if numpy:
            underlined = index + 1 < len(lines) and _NUMPY_UNDERLINE.match(lines[index + 1])
            if depth < indent or (depth == indent and underlined):
                return index
        elif depth <= indent:
            return index
    return len(lines)


def _entries(lines: list[str], first: int, last: int) -> list[tuple[int, int]]:
    """First and last-but-one line of each entry: those at the depth of the first one."""
    filled = [index for index in range(first, last) if lines[index].strip()]
    if not filled:
        return []
    depth = _depth(lines[filled[0]])
    starts = [index for index in filled if _depth(lines[index]) == depth]
    ends = [_trimmed(lines, start, end) for start, end in zip(starts, [*starts[1:], last], strict=True)]
    return list(zip(starts, ends, strict=True))


def _end_of_entry(lines: list[str], start: int) -> int:
    depth = _depth(lines[start])
    for index in range(start + 1, len(lines)):
        if not lines[index].strip() or _depth(lines[index]) <= depth:
            return index
    return len(lines)


def _trimmed(lines: list[str], start: int, end: int) -> int:
    """`end` without the blank lines before it: they separate what stays."""
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    return end


def _joined(before: list[str], after: list[str]) -> list[str]:
    """Both parts without the section between them and the blank lines that led to it."""
    while before and not before[-1].strip():
        before = before[:-1]
    if not any(line.strip() for line in after):
        return before
    return [*before, "\n", *after]


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
