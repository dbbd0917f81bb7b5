"""Groups of near-duplicate texts: MinHash candidates, verified by similarity.

There are no false alarms, and a pair at the threshold is missed once in some two thousand. What is held of a text is
some 150 bytes, however long it is. Neither the order of texts nor the machine has a say.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.common_text import SAMPLE, CommonText
from finetune_trainer.data.min_hash import BANDS, ROWS, band_keys, buckets, min_hashes
from finetune_trainer.data.shingles import Ragged, plain
from finetune_trainer.data.text_similarity import Judge, sketches

_BATCH_ROWS, _BATCH_CHARACTERS = 4096, 1 << 20
_LEADERS = 32
_LARGE, _REMEMBERED = 8, 1 << 16
"""Members from which a bucket is known again, as rows alike but for a word or two meet in many bands; how many are."""
_CANDIDATE = 0.6
"""Share of equal MinHashes from which the similarity is computed: four deviations below what similar texts have."""

Groups = NDArray[np.int64]


class NearDuplicates:
    """Groups of near-duplicate texts, and the comparison of any two texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Find the groups."""
        self._texts = texts
        _, self._first, inverse = np.unique(_digests(texts), return_index=True, return_inverse=True)
        self.equal: Groups = smallest_members(inverse)
        """The number of each text's group of equal ones: of the same letters, digits and marks [n]."""
        self._common = CommonText(map(self._plain, _batches(self._first[:SAMPLE], texts)))
        self._judge = Judge(texts, self._common)
        parents = np.arange(len(self._first), dtype=np.int64)
        owners, keys, minima = self._signatures()
        self._join_all(buckets(keys), owners, minima, parents)
        roots = np.asarray([root_of(parents, index) for index in range(len(parents))], dtype=np.int64)
        self.groups: Groups = smallest_members(roots[inverse])
        """The number of each text's group, the smallest index in it [n]. A text like no other is its own group."""

    def alike(self, left: int, right: int) -> bool:
        """Whether two texts, by their indices, are near-duplicates."""
        return bool(self.equal[left] == self.equal[right]) or self._judge.alike(left, right)

    def _plain(self, rows: Groups) -> Ragged:
        return plain([self._texts[row] for row in rows.tolist()])

    def _signatures(self) -> tuple[Groups, NDArray[np.uint32], NDArray[np.uint8]]:
        """Text index, band keys [sketches, bands] and last bytes of the MinHashes [sketches, hashes]."""
        owners = [np.zeros(0, np.int64)]
        keys = [np.zeros((0, BANDS), np.uint32)]
        minima = [np.zeros((0, BANDS * ROWS), np.uint8)]
        done = 0
        for rows in _batches(self._first, self._texts):
            for found in sketches(self._common.rests(self._plain(rows))):
                smallest = min_hashes(found.hashes, found.counts)
                owners.append(found.texts + done)
                keys.append(band_keys(smallest, found.kinds))
                minima.append(smallest.astype(np.uint8))
            done += len(rows)
        return np.concatenate(owners), np.concatenate(keys), np.concatenate(minima)

    def _join_all(self, found: Iterator[Groups], owners: Groups, minima: NDArray[np.uint8], parents: Groups) -> None:
        """Merge groups within each bucket; buckets already seen since the last merge are skipped."""
        joins, seen = 0, dict[bytes, int]()
        for bucket in found:
            digest = blake2b(bucket.tobytes(), digest_size=16).digest() if len(bucket) >= _LARGE else b""
            if digest and seen.get(digest) == joins:
                continue
            if len(seen) == _REMEMBERED:
                seen.clear()
            seen[digest] = joins
            joins += self._join(bucket, owners, minima, parents)

    def _join(self, bucket: Groups, owners: Groups, minima: NDArray[np.uint8], parents: Groups) -> int:
        """Merge the groups of similar members; returns the number of merges.

        Each member is compared with one of each group that is in the bucket. The number of groups compared with is
        bounded, so that a bucket of many unlike texts stays cheap.
        """
        leaders, joins = list[int](), 0
        for member in bucket.tolist():
            index = int(owners[member])
            root, is_new = root_of(parents, index), True
            likely = (minima[leaders] == minima[member]).mean(axis=1) >= _CANDIDATE if leaders else ()
            for leader, may_be in zip(leaders, likely, strict=True):
                other = root_of(parents, int(owners[leader]))
                if other != root and may_be and self._alike(int(owners[leader]), index):
                    root, joined = sorted((root, other))
                    parents[joined] = root
                    joins += 1
                is_new &= root_of(parents, int(owners[leader])) != root
            if is_new and len(leaders) < _LEADERS:
                leaders.append(member)
        return joins

    def _alike(self, left: int, right: int) -> bool:
        return self._judge.alike(int(self._first[left]), int(self._first[right]))


def root_of(parents: Groups, index: int) -> int:
    """Root of a union-find tree; compresses the path."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index


def smallest_members(groups: Groups) -> Groups:
    """Groups numbered by the smallest index in each [n]."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


def _digests(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Hash of each normalised text [n]."""
    found = np.zeros(len(texts), dtype=np.uint64)
    for rows in _batches(np.arange(len(texts)), texts):
        batch = plain([texts[row] for row in rows.tolist()])
        for number, row in enumerate(rows.tolist()):
            digest = blake2b(batch.text(number).tobytes(), digest_size=8).digest()
            found[row] = int.from_bytes(digest, "little")
    return found


def _batches(rows: Groups, texts: Sequence[str]) -> Iterator[Groups]:
    """Cut rows into batches of bounded size."""
    start, characters = 0, 0
    for end, row in enumerate(rows.tolist()):
        size = len(texts[row])
        if end > start and (end - start == _BATCH_ROWS or characters + size > _BATCH_CHARACTERS):
            yield rows[start:end]
            start, characters = end, 0
        characters += size
    if len(rows) > start:
        yield rows[start:]
