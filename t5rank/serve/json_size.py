"""How many values a JSON text has, counted without parsing it.

A parser of JSON lets all other threads wait. It takes a second or more for a text of 8 MB with
millions of empty objects or thousands of long numbers, and a hundredth of that for one long string.
"""

from collections.abc import Iterator

import numpy as np

_PART = 1 << 18  # bytes that are looked at together
_IN_NUMBER = np.isin(np.arange(256), list(b"0123456789+-.eE"))


def most_values(text: bytes | bytearray) -> int:
    """The most values and keys that a parser can find before it ends, or meets an error.

    They are at most one more than the commas, colons and opening brackets.
    """
    return 1 + sum(
        int(np.count_nonzero(_structure(letters) & outside)) for letters, outside in _parts(text)
    )


def longest_number(text: bytes | bytearray) -> int:
    """Letters of the longest number that a parser can find."""
    longest = run = 0
    for letters, outside in _parts(text):
        others = np.flatnonzero(~(outside & _IN_NUMBER[letters]))
        longest = max(longest, int(np.diff(others, prepend=-1 - run).max(initial=1)) - 1)
        run = len(letters) - 1 - int(others[-1]) if len(others) else run + len(letters)
    return max(longest, run)


def large_exponents(text: bytes | bytearray) -> int:
    """About how many numbers have an exponent of three digits, as 1e300: each takes long."""
    return sum(_exponents(letters, outside) for letters, outside in _parts(text))


def _exponents(letters: np.ndarray, outside: np.ndarray) -> int:
    digit = (letters >= ord("0")) & (letters <= ord("9"))
    three = digit[:-2] & digit[1:-1] & digit[2:]
    begins = ((letters | 32) == ord("e")) & outside
    signed = (letters[1:-3] == ord("+")) | (letters[1:-3] == ord("-"))
    plain = np.count_nonzero(begins[:-3] & three[1:])
    return int(plain + np.count_nonzero(begins[:-4] & signed & three[2:]))


def _parts(text: bytes | bytearray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The bytes without escapes, and whether each byte is outside of strings."""
    start, inside = 0, False
    while start < len(text):
        part = text[start : start + _PART]
        if (len(part) - len(part.rstrip(b"\\"))) % 2:  # the letter that is escaped comes next
            part = text[start : start + _PART + 1]
        start += len(part)
        letters = np.frombuffer(part.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
        if len(letters):
            # An odd number of quotes up to a letter says that it is within a string.
            within = np.logical_xor.accumulate(letters == ord('"')) ^ inside
            inside = bool(within[-1])
            yield letters, ~within


def _structure(letters: np.ndarray) -> np.ndarray:
    found = letters == ord(",")
    for letter in b":[{":
        found |= letters == letter
    return found
