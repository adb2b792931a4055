import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from t5rank.lists.negatives import NearDuplicates, shuffled

TEXTS = st.lists(st.sampled_from(["a", "B", "cost", "sales-", "Straße", "STRASSE"]), max_size=9)


def grams(words):
    plain = [word.casefold().strip("-") for word in words]
    return {tuple(plain[i : i + 3]) for i in range(len(plain) - 2)} or {tuple(plain)}


@given(st.lists(TEXTS, max_size=3), TEXTS, st.sampled_from([0, 0.1, 0.3, 0.5, 0.9, 1]))
def test_near_duplicates_are_those_of_the_definition(documents, text, threshold):
    own = grams(text)
    similarities = [len(own & other) / len(own | other) for other in map(grams, documents)]
    expected = threshold > 0 and any(s >= threshold for s in similarities)
    assert (" ".join(text) in NearDuplicates(map(" ".join, documents), threshold)) == expected


def test_every_order_is_as_likely():
    drawn = Counter(tuple(shuffled("abc", 0, f"q{i}")) for i in range(6000))
    assert set(drawn) == set(itertools.permutations("abc"))
    assert all(880 < times < 1120 for times in drawn.values())  # 4 standard deviations of 29
