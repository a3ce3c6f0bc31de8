"""What the splits of a suite share, on a terminal."""

import math

from gpicl_bench.disjointness import Count, Overlap
from gpicl_bench.nearness import NEAR, SHARES, Duplicates

_WIDEST = 10**12  # a larger whole number is shown as a power of ten
_ROW = "{:52} {:>10} {:>9} {:>12} {:>7}"
_LEVELS = {0: "least", 0.5: "median"}


def print_overlap(found: Overlap) -> None:
    """Each quantity, observed beside expected, and the images that are most alike."""
    pool, asked = f"0 … {found.num_tasks - 1:,} of {found.pool}", f"0 … {found.tasks.of - 1:,} of {found.meta_test}"
    print(f"{found.suite}: the pool, tasks {pool}, beside tasks {asked}")
    print(_ROW.format("", "observed", "expected", "of", "").rstrip())
    _print_count("different label permutations in the pool", found.pool_label_maps)
    _print_count("meta_test tasks with a label permutation of the pool", found.label_maps)
    _print_count("meta_test tasks with an input transform of the pool", found.inputs)
    _print_count("meta_test tasks with both, of one task of the pool", found.tasks)
    _print_images(found.images)


def _print_count(name: str, count: Count) -> None:
    expected = f"{count.expected:,.1f}" if count.expected >= 0.1 else f"{count.expected:.1e}"
    _print_row(name, count.observed, expected, count.of)


def _print_images(images: Duplicates) -> None:
    _print_row("test images that are train images", images.copies, _expected_copies(images), images.test)
    _print_row("  one with another label", images.copies_of_another_label, "0", images.test)
    _print_row("test images with a near-duplicate in train", images.near, "-", images.test)
    _print_row("test images that repeat an earlier one", images.test_repeats, "-", images.test)
    _print_row("train images that repeat an earlier one", images.train_repeats, "-", images.train)
    if images.same_parts:
        print("Both parts are the same images.")
    levels = [f"{_LEVELS.get(s, f'{s:.0%}')} {value:.3g}" for s, value in zip(SHARES, images.quantiles, strict=True)]
    print(f"distance of a test image to the nearest train image: {', '.join(levels)}")
    print(f"  (mean squared pixel difference / pixel variance; at most {NEAR} is a near-duplicate)")
    print("the closest pairs, by their numbers in canonical order:")
    for pair in images.closest:
        test, train = f"test {pair.test} (label {pair.test_label})", f"train {pair.train} (label {pair.train_label})"
        print(f"  {test:24} {train:26} {pair.distance:.3g}")


def _expected_copies(images: Duplicates) -> str:
    return f"{images.test:,}" if images.same_parts else "0"


def _print_row(name: str, observed: int, expected: str, of: int) -> None:
    share = f"{observed / of:.1%}" if observed == 0 or observed / of >= 0.001 else "<0.1%"
    print(_ROW.format(name, f"{observed:,}", expected, _whole(of), share))


def _whole(value: int) -> str:
    if value < _WIDEST:
        return f"{value:,}"
    exponent = math.floor(math.log10(value))
    return f"{10 ** (math.log10(value) - exponent):.2f}e+{exponent}"
