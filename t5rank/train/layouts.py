"""Batches of lists: padded, in length buckets, or packed with several documents a row.

All start from the padded batches of the seqio task, so that the lists of a step are the same ones,
and end in a closed set of shapes, so that few programs are compiled. A function of this module is
the `LAYOUT` of a recipe: it takes endless batches and gives endless batches, from number `start`
on, which a run resumes with.

Documents of MS MARCO fill a third of rows of 256 tokens; packed rows are about 95% full. A packed
batch comes in groups, as many as devices and microbatches, each with lists of its own:

* `encoder_input_tokens`, `encoder_segment_ids` `[groups, rows, length]`: the documents of a row are
  numbered from 1; 0 is padding.
* `label`, `mask`, `list_ids` `[groups, rows, slots]`: of each of a row's documents; the lists of a
  group are numbered from 0.

A batch of queries and documents apart (see `t5rank.models.retrieval`) has `keys`, laid out as the
labels are, and, list by list, `query_slots` and `relevant_keys`.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from t5rank.checks import check_integer
from t5rank.inference.batching import BatchShapes
from t5rank.text.vocabulary import PAD_ID

HostBatch = Mapping[str, np.ndarray]
Layout = Callable[[Iterable[HostBatch], int, int], Iterator[HostBatch]]
_LENGTHS = BatchShapes(tokens=1)  # those of scoring
_OF_ITEMS = ("label", "mask", "keys")


def size_bucket(size: int) -> int:
    """`size` rounded up to five significant bits: at most a sixteenth is added to it.

    >>> [size_bucket(n) for n in (1, 15, 17, 33, 63, 300)]
    [1, 15, 17, 34, 64, 304]
    """
    step = 1 << max(int(size).bit_length() - 5, 0)
    return -(-size // step) * step


def document_lengths(tokens: np.ndarray) -> np.ndarray:
    """Tokens without padding of each row `[..., length]`."""
    return np.sum(tokens != PAD_ID, axis=-1)


def padded(batches: Iterable[HostBatch], groups: int = 1, start: int = 0) -> Iterator[HostBatch]:
    """Batches as they are: every document is padded to the input length."""
    del groups
    yield from itertools.islice(batches, start, None)


def bucketed(batches: Iterable[HostBatch], groups: int = 1, start: int = 0) -> Iterator[HostBatch]:
    """Batches of lists whose longest documents are about equally long, padded to that length.

    Lists wait until there is a batch of their length: a step has others than when padded.
    """
    del groups
    yield from itertools.islice(_by_length(batches), start, None)


def _by_length(batches: Iterable[HostBatch]) -> Iterator[HostBatch]:
    waiting: dict[int, list[HostBatch]] = {}
    for batch in batches:
        size = len(batch["label"])
        for i in range(size):
            one = {name: array[i] for name, array in batch.items()}
            length = _LENGTHS.length(int(document_lengths(one["encoder_input_tokens"]).max()))
            lists = waiting.setdefault(length, [])
            lists.append(one)
            if len(lists) == size:
                whole = {name: np.stack([one[name] for one in lists]) for name in batch}
                whole["encoder_input_tokens"] = whole["encoder_input_tokens"][..., :length]
                waiting[length] = []
                yield whole


def packed(
    batches: Iterable[HostBatch],
    groups: int = 1,
    start: int = 0,
    row_length: int | None = None,
    slots: int | None = None,
    rows: int | None = None,
) -> Iterator[HostBatch]:
    """Batches with several documents a row, each batch the lists of a padded one.

    Args:
      batches: padded batches.
      groups: parts of a batch, each with whole lists.
      start: how many batches to leave out.
      row_length: tokens a row; by default at least 256, but the input length where the documents of
        the first batch fill three quarters of it, as they do where it cuts most of them.
      slots: documents a row, at most; by default half as many again as there would be on average,
        as an empty slot costs as much as a token.
      rows: of a group, always; by default as many as a batch needs, of a closed set.

    Raises:
      ValueError: a row is shorter than a document, or has no slot, or there are too few.
    """
    for name, value in {"row_length": row_length, "slots": slots, "rows": rows}.items():
        check_integer(f"Layout '{name}'", value, optional=True)
    batches = iter(batches)
    for first in batches:
        length = row_length or _row_length(first)
        for batch in itertools.islice(itertools.chain([first], batches), start, None):
            yield pack(batch, groups, length, slots, rows)


def _row_length(batch: HostBatch) -> int:
    tokens = batch["encoder_input_tokens"]
    input_length = tokens.shape[-1]
    is_full = document_lengths(tokens).sum() >= 0.75 * input_length * _items(batch).sum()
    return input_length if is_full else max(input_length, 256)


def pack(
    batch: HostBatch,
    groups: int,
    row_length: int,
    slots: int | None = None,
    rows: int | None = None,
) -> dict[str, np.ndarray]:
    """One packed batch of a padded one; see `packed`."""
    tokens, is_item = batch["encoder_input_tokens"], _items(batch)
    lengths = np.where(is_item, np.maximum(document_lengths(tokens), 1), 0)
    if slots is None:
        slots = 2 * int(np.ceil(0.75 * row_length * is_item.sum() / max(lengths.sum(), 1)))
    if slots < 1 or lengths.max() > row_length:
        raise ValueError(
            f"Packed row has {row_length} tokens and {slots} slots; expected at least the "
            f"{lengths.max()} tokens of the longest document and one slot."
        )
    members = _balanced(lengths.sum(-1), groups, alike=_has_queries(batch))
    placed = [_best_fit(lengths, lists, row_length, slots) for lists in members]
    needed = max(1, *(len(filled) for filled in placed))
    rows = size_bucket(needed) if rows is None else rows
    if needed > rows:
        raise ValueError(
            f"Packed lists need {needed} rows of {row_length} tokens; expected at most {rows}. "
            "Raise the number of rows."
        )
    packed_batch = {
        "encoder_input_tokens": np.full((groups, rows, row_length), PAD_ID, tokens.dtype),
        "encoder_segment_ids": np.zeros((groups, rows, row_length), np.int32),
        "list_ids": np.zeros((groups, rows, slots), np.int32),
    }
    of_items = [name for name in _OF_ITEMS if name in batch]
    for name in of_items:
        packed_batch[name] = np.zeros((groups, rows, slots), batch[name].dtype)
    places = np.zeros(lengths.shape, np.int32)  # of each item, among the slots of its group
    for group, filled in enumerate(placed):
        number = {i: n for n, i in enumerate(members[group])}
        for row, items in enumerate(filled):
            start = 0
            for slot, (i, j) in enumerate(items):
                end = start + lengths[i, j]
                packed_batch["encoder_input_tokens"][group, row, start:end] = tokens[
                    i, j, : end - start
                ]
                packed_batch["encoder_segment_ids"][group, row, start:end] = slot + 1
                packed_batch["list_ids"][group, row, slot] = number[i]
                for name in of_items:
                    packed_batch[name][group, row, slot] = batch[name][i, j]
                places[i, j] = row * slots + slot
                start = end
    if _has_queries(batch):
        packed_batch["query_slots"] = np.stack([places[lists, 0] for lists in members])
        packed_batch["relevant_keys"] = np.stack([batch["relevant_keys"][m] for m in members])
    return packed_batch


def _has_queries(batch: HostBatch) -> bool:
    """Whether the first item of each list is its query."""
    return "relevant_keys" in batch


def _items(batch: HostBatch) -> np.ndarray:
    """Which `[lists, items]` are there: documents, and queries that are items of their own."""
    is_item = batch["mask"]
    if _has_queries(batch):
        is_item = is_item.copy()
        is_item[:, 0] = True
    return is_item


def _balanced(sizes: np.ndarray, groups: int, alike: bool = False) -> list[list[int]]:
    """The lists of each group, of about equally many tokens: the largest goes to the emptiest.

    With `alike` every group has as many lists.
    """
    most = len(sizes) // groups if alike else len(sizes)
    members: list[list[int]] = [[] for _ in range(groups)]
    emptiest = [(0, group) for group in range(groups)]
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        total, group = heapq.heappop(emptiest)
        members[group].append(i)
        if len(members[group]) < most:
            heapq.heappush(emptiest, (total + int(sizes[i]), group))
    return members


def _best_fit(
    lengths: np.ndarray, lists: list[int], row_length: int, slots: int
) -> list[list[tuple[int, int]]]:
    """The documents `(list, number)` of each row: the longest first, to the fullest row it fits."""
    documents = [(i, j) for i in lists for j in range(lengths.shape[1]) if lengths[i, j]]
    documents.sort(key=lambda place: -lengths[place])
    rows: list[list[tuple[int, int]]] = []
    with_room: list[list[int]] = [[] for _ in range(row_length + 1)]  # rows by free tokens
    for place in documents:
        length = int(lengths[place])
        free = next((n for n in range(length, row_length + 1) if with_room[n]), None)
        if free is None:
            free = row_length
            with_room[free].append(len(rows))
            rows.append([])
        row = with_room[free].pop()
        rows[row].append(place)
        if len(rows[row]) < slots:
            with_room[free - length].append(row)
    return rows
