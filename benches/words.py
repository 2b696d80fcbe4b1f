"""Word error rate: edit distance in words over the number of words said."""

import re

try:  # The measure that the literature uses; without it, a plainer one.
    from whisper_normalizer.english import EnglishTextNormalizer

    normalise, NORMALISER = EnglishTextNormalizer(), "whisper-normalizer"
except ImportError:
    NORMALISER = "lower case, no punctuation"

    def normalise(text):
        return re.sub(r"[^\w' ]+", " ", text.lower().replace("-", " "))


def errors(reference, text):
    """(wrong words, words said)"""
    said, heard = normalise(reference).split(), normalise(text).split()
    row = list(range(len(heard) + 1))
    for i, expected in enumerate(said, 1):
        previous, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (expected != word))
    return row[-1], len(said)
