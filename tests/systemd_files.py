# SPDX-License-Identifier: BSD-3-Clause
"""What was written for systemd, read back after systemd's own rules."""

from __future__ import annotations

ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"'}


def read_environment_file(text):
    """ref: systemd.exec(5), EnvironmentFile=; the value is quoted whole, or not at all."""
    found, rest = {}, text
    while rest := rest.lstrip():
        assert rest[0] not in "#;", "the rest of the line would be a comment"
        name, _, rest = rest.partition("=")
        value, position, is_quoted = "", 0, False
        while position < len(rest) and (is_quoted or rest[position] != "\n"):
            character = rest[position]
            if character == '"':
                is_quoted = not is_quoted
            elif character == "\\":
                position += 1
                value += {"\n": ""}.get(rest[position], ("" if rest[position] in '"\\`$' else "\\") + rest[position])
            else:
                assert is_quoted, "what stands outside of quotes is trimmed and may mean something"
                value += character
            position += 1
        assert not is_quoted
        found[name], rest = value, rest[position:]
    return found


def read_unit(text):
    """The settings of a unit file by section. ref: systemd.syntax(7)"""
    lines, sections = [""], []
    for line in text.split("\n"):
        lines[-1] += line
        trailing = len(lines[-1]) - len(lines[-1].rstrip("\\"))
        if trailing % 2:
            lines[-1] = lines[-1][:-1] + " "
        else:
            lines.append("")
    for line in filter(None, lines):
        if line.startswith("["):
            sections.append((line, []))
        elif line[0] not in "#;":
            key, equals, value = line.partition("=")
            assert equals, f"systemd ignores {line!r}"
            sections[-1][1].append((key, value))
    return dict(sections)


def read_words(text):
    """The words of a command line. ref: systemd.service(5), COMMAND LINES"""
    words, position = [], 0
    while position < len(text):
        assert text[position] == '"'
        word, position = "", position + 1
        while text[position] != '"':
            if text[position] == "\\":
                position += 1
                word += ESCAPES[text[position]]
            else:
                word += text[position]
            position += 1
        assert text[position + 1 : position + 2] in ("", " ")
        position += 2
        for sign in "%$":
            assert word.replace(2 * sign, "").count(sign) == 0, f"systemd would expand what follows {sign}"
            word = word.replace(2 * sign, sign)
        words.append(word)
    return words
