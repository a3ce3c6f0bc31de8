"""Suites and splits: random access to tasks and episodes, and meta-training batches.

Everything is a pure function of numbers: task i, episode e, step s. Nothing is drawn before it is
asked for, and nothing depends on what was asked before.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, SupportsIndex, overload

import numpy as np
from jaxtyping import Float32, Int8, Int32, Int64, UInt

from gpicl_bench import tasks
from gpicl_bench.datasets import Dataset, Part, dataset, load_part
from gpicl_bench.errors import DataCorrupt, InvalidArgument, check_integer
from gpicl_bench.registration import SuiteSpec
from gpicl_bench.streams import Key, below, child_key, root_key, words

if TYPE_CHECKING:
    from os import PathLike

    from jax.sharding import Mesh

    from gpicl_bench.exporting import Item, TaskSlice
    from gpicl_bench.sampling import ImplicitSampler, Sampler

PROTOCOL = 1
_FINGERPRINT_TASKS = 4
_TASK_SET = re.compile("meta_train(@[0-9a-f]{16})?|meta_validation|meta_test(@[0-9a-f]{64})?")


@dataclass(frozen=True, eq=False)
class Task:
    """One draw of the input transform and of the label map.

    Attributes:
        number: i, 0 ≤ i < 2^64.
        label_map: ρ: the task's label of each class of the base dataset.
        projection: A_int, for the input transform `proj`, else None.
        pixel_order: q, for the input transform `pixperm`, else None.
    """

    number: int
    label_map: Int32[np.ndarray, " C"]
    projection: Int8[np.ndarray, "D D"] | None = None
    pixel_order: Int64[np.ndarray, " D"] | None = None


@dataclass(frozen=True, eq=False)
class Episode:
    """T labelled examples of one task, in order; `indices` point into the canonical order of the part."""

    x: Float32[np.ndarray, "T D"]
    y: Int32[np.ndarray, " T"]
    indices: Int32[np.ndarray, " T"]


class Batch(NamedTuple):
    """B episodes for meta-training.

    `task` and `episode` are their numbers: uint64 `[B]` on the host, uint32 `[B, 2]` (high, low) in JAX.
    """

    x: Float32[Any, "B T D"]
    y: Int32[Any, "B T"]
    task: UInt[Any, "B *pair"]
    episode: UInt[Any, "B *pair"]
    label_map: Int32[Any, "B C"]


class ImplicitBatch(NamedTuple):
    """B episodes for meta-training, of tasks that have the law of a suite's, and no number."""

    x: Float32[Any, "B T D"]
    y: Int32[Any, "B T"]
    label_map: Int32[Any, "B C"]


@dataclass(frozen=True)
class Info:
    """What a learner is told of a suite: its id, the dimensions, and no data.

    Attributes:
        id: the suite.
        D: inputs of an example.
        C: classes.
        T: examples of an episode.
    """

    id: str
    D: int
    C: int
    T: int


@dataclass(frozen=True)
class Split:
    """A set of tasks over one part of a base dataset.

    Attributes:
        spec: the suite.
        task_set: `meta_train`, `meta_train@<seed>`, `meta_validation`, `meta_test` or `meta_test@<round>`.
        images: the part of the base dataset, `train` or `test`.
    """

    spec: SuiteSpec
    task_set: str
    images: Literal["train", "test"]

    def __post_init__(self) -> None:
        if not _TASK_SET.fullmatch(self.task_set) or self.images not in ("train", "test"):
            raise InvalidArgument(
                "there is no such split",
                expected="meta_train[@<16 hex>], meta_validation or meta_test[@<64 hex>], on train or test images",
                got=f"{self.task_set!r} on {self.images!r}",
            )

    @property
    def dataset(self) -> Dataset:
        return dataset(self.spec.dataset)

    @property
    def info(self) -> Info:
        return Info(self.spec.id, self.dataset.dimension, self.dataset.num_classes, self.spec.num_examples)

    def __len__(self) -> int:
        """2^63 - 1, the most that a length can be: a split has no end. `split[:4096]` has one."""
        from gpicl_bench.exporting import LENGTH

        return LENGTH

    @overload
    def __getitem__(self, index: SupportsIndex) -> "Item": ...

    @overload
    def __getitem__(self, index: slice) -> "TaskSlice": ...

    def __getitem__(self, index: object) -> "Item | TaskSlice":
        """Episode 0 of task `index` as an element of a map-style dataset, (x, y, task, label_map).

        `split[first:end]` is a dataset of these tasks alone, which has a length, and can be shuffled.

        Raises:
            IndexOutOfRange: the index is negative, or 2^63 - 1 or more.
            InvalidArgument: it is neither an integer nor a slice.
        """
        from gpicl_bench.exporting import element

        return element(self, index)

    def to_npz(self, path: "str | PathLike[str]", num_tasks: int, first: int = 0) -> None:
        """Write episode 0 of tasks first … first + num_tasks - 1 to a file that many languages read (docs/data-out.md).

        The file has the same bytes on every machine. One episode at a time is in memory.

        Args:
            path: of the file, which must not exist.
            num_tasks: N, 1 ≤ N < 2^32.
            first: the first task, 0 ≤ first ≤ 2^64 - N.

        Raises:
            ExportError: there is such a file, or it cannot be written; nothing is left behind.
            InvalidArgument: a number is out of range.
        """
        from gpicl_bench.exporting import write_npz

        write_npz(self, path, num_tasks, first)

    @property
    def name(self) -> str:
        """The split's name among `meta_train`, `meta_validation`, `meta_test` and `seen`."""
        kind = self.task_set.partition("@")[0]
        return "seen" if (kind, self.images) == ("meta_train", "test") else kind

    def task(self, i: int) -> Task:
        """Task i, 0 ≤ i < 2^64."""
        key, dimension = child_key(self.key("input"), i), self.dataset.dimension
        return Task(
            i,
            self.label_map(i),
            tasks.projection(key, dimension) if self.spec.input == "proj" else None,
            tasks.pixel_order(key, dimension) if self.spec.input == "pixperm" else None,
        )

    def label_map(self, i: int) -> Int32[np.ndarray, " C"]:
        """ρ of task i, which is quick: its projection is not drawn."""
        if self.spec.label == "none":
            return np.arange(self.dataset.num_classes, dtype=np.int32)
        return tasks.label_map(child_key(self.key("label"), i), self.dataset.num_classes)

    def labels(self, i: int, e: int = 0) -> Int32[np.ndarray, " T"]:
        """y of episode e of task i, which is quick: no input is made."""
        return self.label_map(i)[self.part.labels[self._indices(self.part, i, e)]]

    def episode(self, i: int, e: int = 0) -> Episode:
        """Episode e of task i, both from 0 to 2^64 - 1."""
        return self._episode(self.part, i, e)

    def batch(self, step: int, batch_size: int, num_tasks: int | None = None, seed: int = 0) -> Batch:
        """Meta-training batch number `step`, as NumPy arrays.

        Args:
            step: s ≥ 0; slot b of the batch has number g = s·batch_size + b.
            batch_size: B ≥ 1.
            num_tasks: M, the size of the pool of tasks, 1 ≤ M < 2^32: task drawn from the pool, episode g.
                None: the pool is unbounded: task g, episode 0.
            seed: of meta-training, 0 ≤ seed < 2^64: another seed is another pool in another order.
        """
        self.check_batch(batch_size, num_tasks)
        step = check_integer("step", step, 0, 2**64 // batch_size - 1)
        numbers = range(step * batch_size, (step + 1) * batch_size)
        split = self.at_seed(seed)
        chosen = [split._slot(g, num_tasks) for g in numbers]
        drawn = [split.episode(i, e) for i, e in chosen]
        return Batch(
            np.stack([episode.x for episode in drawn]),
            np.stack([episode.y for episode in drawn]),
            np.array([i for i, _ in chosen], np.uint64),
            np.array([e for _, e in chosen], np.uint64),
            np.stack([split.label_map(i) for i, _ in chosen]),
        )

    def sampler(
        self,
        batch_size: int,
        num_tasks: int | None = None,
        seed: int = 0,
        *,
        pool_bytes: int | None = None,
        mesh: "Mesh | None" = None,
    ) -> "Sampler":
        """The same batches as a pure JAX function of the step, for use inside `jit` and `lax.scan`.

        The function is a pytree of the images and the keys: pass it into a jitted function as an argument.

        Args:
            batch_size: B ≥ 1.
            num_tasks: M, or None, as for `batch`.
            seed: of meta-training, as for `batch`.
            pool_bytes: keep the projections of the pool on the device, num_tasks·D² bytes, at most this many;
                None: draw them in each step.
            mesh: of JAX devices, all of whose axes together divide the batch; None: one device. Same bits.

        Raises:
            InvalidArgument: a number is out of range, the pool is larger than `pool_bytes`, or the mesh does not
                divide the batch.
        """
        from gpicl_bench.sampling import make_sampler

        return make_sampler(self.at_seed(seed), batch_size, num_tasks, pool_bytes, mesh)

    def implicit_sampler(
        self, batch_size: int, num_tasks: int | None = None, seed: int = 0, *, mesh: "Mesh | None" = None
    ) -> "ImplicitSampler":
        """Batches with the law of the tasks and without their identity, faster: for meta-training on fresh tasks.

        Of `meta_train`, with an unbounded pool, of suites with projections. A batch has x, y and label_map, no numbers:
        these are not the tasks of record, and x may differ between devices in its last bits.

        Raises:
            InvalidArgument: a finite pool, another split or another suite was asked for; or as `sampler` does.
        """
        from gpicl_bench.sampling import make_implicit_sampler

        return make_implicit_sampler(self.at_seed(seed), batch_size, num_tasks, mesh)

    def at_seed(self, seed: int) -> "Split":
        """This split at a meta-training seed, 0 ≤ seed < 2^64; 0 leaves it as it is."""
        seed = check_integer("a meta-training seed", seed, 0, 2**64 - 1)
        if seed == 0:
            return self
        if self.task_set != "meta_train":
            raise InvalidArgument("this split has no seed", expected="meta_train", got=f"{self.task_set}, seed {seed}")
        return replace(self, task_set=f"meta_train@{seed:016x}")

    @cached_property
    def fingerprint(self) -> str:
        """One SHA-256 over what the split is and what it gives (protocol, section 7), hex."""
        return self._fingerprint(load_part(self.spec.dataset, self.images))

    @cached_property
    def part(self) -> Part:
        """The images; checked, once, against the pinned fingerprint where there is one."""
        part = load_part(self.spec.dataset, self.images)
        pinned = None if "@" in self.task_set else self.spec.fingerprints.get(self.name)
        if pinned not in (None, self.fingerprint):
            raise DataCorrupt(
                "this split is not what its id means",
                expected=f"fingerprint {pinned}",
                got=self.fingerprint,
                where=f"{self.spec.id}, {self.name}",
                hint="another version of the package, or a defect: report it",
            )
        return part

    def key(self, stream: str) -> Key:
        """The root key of a stream of this task set: `input`, `label`, `slots` or `examples`."""
        suffix = f"/{self.images}" if stream == "examples" else ""
        return root_key(f"gpicl-bench/{PROTOCOL}/{self.spec.id}/{self.task_set}/{stream}{suffix}")

    def check_batch(self, batch_size: int, num_tasks: int | None) -> None:
        """Raise InvalidArgument unless a batch of this size can be drawn from a pool of this size."""
        check_integer("batch_size", batch_size, 1, 2**32 - 1)
        if num_tasks is not None:
            check_integer("num_tasks", num_tasks, 1, 2**32 - 1)

    def _indices(self, part: Part, i: int, e: int) -> Int32[np.ndarray, " T"]:
        key = child_key(child_key(self.key("examples"), i), e)
        return tasks.draw_indices(key, len(part), self.spec.num_examples, self.dataset.replacement)

    def _episode(self, part: Part, i: int, e: int) -> Episode:
        known, task, indices = self.dataset, self.task(i), self._indices(part, i, e)
        pixels = part.pixels[indices]
        if task.projection is not None:
            whole = tasks.project(task.projection, pixels, known.center)
            x = whole.astype(np.float32) * tasks.projection_scale(known.dimension, known.std)
        else:
            order = slice(None) if task.pixel_order is None else task.pixel_order
            x = tasks.standardise(pixels[:, order], known.center, known.std)
        return Episode(x, task.label_map[part.labels[indices]], indices)

    def _slot(self, g: int, num_tasks: int | None) -> tuple[int, int]:
        """Task and episode of slot number g."""
        if num_tasks is None:
            return g, 0
        return int(below(words(child_key(self.key("slots"), g), 1), num_tasks)[0]), g

    def _fingerprint(self, part: Part) -> str:
        known = self.dataset
        about = {
            "center": known.center,
            "dataset": known.name,
            "images": self.images,
            "input": self.spec.input,
            "label": self.spec.label,
            "num_classes": known.num_classes,
            "num_examples": self.spec.num_examples,
            "protocol": PROTOCOL,
            "replacement": known.replacement,
            "shape": list(known.shape),
            "suite": self.spec.id,
            "task_set": self.task_set,
        }
        digest = hashlib.sha256(json.dumps(about, sort_keys=True, separators=(",", ":")).encode())
        digest.update(bytes.fromhex(known.sha256[self.images]))
        for i in range(_FINGERPRINT_TASKS):
            episode = self._episode(part, i, 0)
            for array, layout in ((episode.indices, "<i4"), (episode.y, "<i4"), (episode.x, "<f4")):
                digest.update(array.astype(layout).tobytes())
        return digest.hexdigest()


class Suite:
    """A distribution of tasks over one base dataset, with its splits. `gpicl_bench.make` makes one."""

    def __init__(self, spec: SuiteSpec, round_seed: str | None = None) -> None:
        known = dataset(spec.dataset)
        smallest = min(known.size.values())
        if not known.replacement and spec.num_examples > smallest:
            raise InvalidArgument(
                "an episode is longer than the pool of images",
                expected=f"num_examples ≤ {smallest}, the images of the smaller part of {known.name}",
                got=spec.num_examples,
            )
        self.spec = spec
        self.meta_train = Split(spec, "meta_train", "train")
        self.meta_validation = Split(spec, "meta_validation", "train")
        self.meta_test = Split(spec, "meta_test" if round_seed is None else f"meta_test@{round_seed}", "test")

    def __repr__(self) -> str:
        return f"<Suite {self.id}, T = {self.info.T}, D = {self.info.D}, C = {self.info.C}>"

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def info(self) -> Info:
        return self.meta_test.info

    @property
    def of_record(self) -> bool:
        """Whether results on this suite can stand on a leaderboard."""
        return self.spec.of_record

    def seen(self, seed: int = 0) -> Split:
        """The tasks of a meta-train set on held-out images."""
        return replace(self.meta_train.at_seed(seed), images="test")

    def at_round(self, seed: str) -> "Suite":
        """This suite with the meta-test tasks of a hidden round; `seed` is 64 lower-case hex digits."""
        if not isinstance(seed, str) or not re.fullmatch("[0-9a-f]{64}", seed):
            raise InvalidArgument("this is no round's seed", expected="64 lower-case hex digits", got=repr(seed))
        return Suite(self.spec, seed)
