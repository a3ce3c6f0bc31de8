"""THE table of base datasets, with everything the protocol pins about each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType

from gpicl_bench import plugins
from gpicl_bench.datasets.views import VIEWS
from gpicl_bench.errors import SuiteNotFound

PARTS = ("train", "test")


class _Hashes(dict[str, str]):
    """The pinned hashes of a dataset by part; of another part the hash of its images."""

    def __init__(self, name: str, pinned: Mapping[str, str]) -> None:
        super().__init__(pinned)
        self._name = name

    def __missing__(self, part: str) -> str:
        from gpicl_bench.datasets.loading import load_part

        return load_part(self._name, part).sha256

    def __reduce__(self) -> tuple[type, tuple[str, dict[str, str]]]:
        return _Hashes, (self._name, dict(self))


@dataclass(frozen=True)
class Dataset:
    """A base dataset.

    Attributes:
        name: as in suite ids.
        title, source, licence, citation: for people; the licence as its publishers state it.
        shape: height, width, channels.
        num_classes: C.
        size: images by part.
        moments: `center` and `std` as they are pinned; None for images that nobody has seen yet.
        sha256: by part, over the canonical order. `sha256[part]` of a part that is not pinned reads its images;
            `in` and `get` tell what is pinned.
        tfds: its name in TensorFlow Datasets; None for a bundled one.
        replacement: whether an episode draws its images with replacement.
        base: for a view, the base dataset that it shows; None for a base dataset itself.
        in_memory: whether it is made of a user's own arrays.
    """

    name: str
    title: str
    shape: tuple[int, int, int]
    num_classes: int
    size: Mapping[str, int] = field(hash=False)
    moments: tuple[int, float] | None
    sha256: Mapping[str, str] = field(hash=False)
    source: str
    licence: str
    citation: str
    tfds: str | None = None
    replacement: bool = False
    base: str | None = None
    in_memory: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", _Hashes(self.name, self.sha256))

    @property
    def center(self) -> int:
        """The mean of all train pixels, rounded half to even. Where it is not pinned, this reads the train images."""
        return self._moments[0]

    @property
    def std(self) -> float:
        """The population standard deviation of all train pixels. Where it is not pinned, this reads them."""
        return self._moments[1]

    @property
    def _moments(self) -> tuple[int, float]:
        if self.moments is not None:
            return self.moments
        from gpicl_bench.datasets.loading import measured

        return measured(self.name)

    @property
    def dimension(self) -> int:
        """D, the pixels of an image."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def view(self) -> str | None:
        """The view's name, as the dataset's own name has it at its end."""
        return None if self.base is None else self.name.removeprefix(f"{self.base}_")

    @property
    def origin(self) -> str:
        """Where the package reads it from."""
        if self.in_memory:
            return "arrays of one's own, in memory"
        return "the published files, or TensorFlow Datasets" if self.tfds else "the package"


def _cmaterdb(script: str, number: str, title: str) -> Dataset:
    """The row of one of CMATERdb's smaller sets of numerals."""
    return Dataset(
        name=f"cmaterdb_{script}",
        title=f"CMATERdb {number}, handwritten {title} numerals",
        shape=(32, 32, 3),
        num_classes=10,
        size={"train": 2400, "test": 600},
        moments=None,
        sha256={},
        source="https://code.google.com/archive/p/cmaterdb/",
        licence="not stated in the archive; see the source",
        citation="Das et al. (2012), A statistical-topological feature combination, Appl. Soft Comput. 12(8)",
        tfds=f"cmaterdb/{script}",
    )


_TABLE = [
    Dataset(
        name="digits",
        title="Optical recognition of handwritten digits, as bundled with scikit-learn",
        shape=(8, 8, 1),
        num_classes=10,
        size={"train": 1437, "test": 360},
        moments=(5, 6.009337218322998),
        sha256={
            "train": "83e04df13753d835eeeb8ca25a1ddcf12d778f278c298e5815f1f57a800d8470",
            "test": "991a482473db502aeb2c39bcad800e5137c9c0a6179d03104ba1d299ac115f5d",
        },
        source="UCI Machine Learning Repository, test part of optdigits",
        licence="CC BY 4.0",
        citation="Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, doi:10.24432/C50P49",
    ),
    Dataset(
        name="random",
        title="Ten fixed images of random bytes, one a class",
        shape=(28, 28, 1),
        num_classes=10,
        size={"train": 10, "test": 10},
        moments=(127, 74.15535785150074),
        sha256={
            "train": "731232c72b68031cc7ece19d74601fa85d437d5b5c223cae133e4c258ecf52a9",
            "test": "731232c72b68031cc7ece19d74601fa85d437d5b5c223cae133e4c258ecf52a9",
        },
        source="computed: Threefry words of the stream gpicl-bench/1/dataset/random",
        licence="public domain",
        citation="Kirsch, Harrison, Sohl-Dickstein, Metz (2022), arXiv:2212.04458 (the idea of the dataset)",
        replacement=True,
    ),
    Dataset(
        name="mnist",
        title="MNIST handwritten digits",
        shape=(28, 28, 1),
        num_classes=10,
        size={"train": 60000, "test": 10000},
        moments=(33, 78.56748998339799),
        sha256={
            "train": "9708accc50af27a9627416e78a793007bf42f667a88d0f5c5a06d78ab3c0ae99",
            "test": "ee7813665339043615253a82b48fe15c5d43328266aa3d84b0cbc26975f8a926",
        },
        source="http://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0",
        citation="LeCun, Cortes, Burges (1998), The MNIST database of handwritten digits",
        tfds="mnist",
    ),
    Dataset(
        name="fashion_mnist",
        title="Fashion-MNIST, Zalando's article images",
        shape=(28, 28, 1),
        num_classes=10,
        size={"train": 60000, "test": 10000},
        moments=(73, 90.02118235130526),
        sha256={
            "train": "9671d2d59bad24fb00419b3774e5cab175a732e64c51c8292d9d19154d47c160",
            "test": "b276df0fbe173ef20ce3e20db1324c0a316a72a6fb2959bcc6b013db41865ece",
        },
        source="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT",
        citation="Xiao, Rasul, Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747",
        tfds="fashion_mnist",
    ),
    Dataset(
        name="cmaterdb_bangla",
        title="CMATERdb 3.1.1, handwritten Bangla numerals",
        shape=(32, 32, 3),
        num_classes=10,
        size={"train": 5000, "test": 1000},
        moments=(173, 119.10881239110181),
        sha256={
            "train": "3a572d1c028bde4d6a85c0362e9b87b384b8e1af134c4178a50076a40deecd4b",
            "test": "1dcb8779b24e3e9afb7b6e85d8f4a6626f75e6b9e6f44e29e11bb01882debfc1",
        },
        source="https://code.google.com/archive/p/cmaterdb/",
        licence="not stated in the archive; see the source",
        citation="Das et al. (2012), A genetic algorithm based region sampling, Appl. Soft Comput. 12(5), 1592-1606",
        tfds="cmaterdb/bangla",
    ),
    Dataset(
        name="kmnist",
        title="Kuzushiji-MNIST, cursive Japanese characters",
        shape=(28, 28, 1),
        num_classes=10,
        size={"train": 60000, "test": 10000},
        moments=(49, 88.8165),  # by definition (protocol, section 3): of the published 0.1918 and 0.3483
        sha256={"test": "9b16018bf8a40ed79ffa40e5945e77bbb8ec7c7d1689c09370253de4eaa09aee"},
        source="http://codh.rois.ac.jp/kmnist/",
        licence="CC BY-SA 4.0",
        citation="Clanuwat et al. (2018), Deep Learning for Classical Japanese Literature, arXiv:1812.01718",
        tfds="kmnist",
    ),
    Dataset(
        name="emnist",
        title="EMNIST balanced, handwritten letters and digits",
        shape=(28, 28, 1),
        num_classes=47,
        size={"train": 112800, "test": 18800},
        moments=None,
        sha256={},
        source="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        licence="public domain (NIST)",
        citation="Cohen, Afshar, Tapson, van Schaik (2017), EMNIST, arXiv:1702.05373",
        tfds="emnist/balanced",
    ),
    Dataset(
        name="cifar10",
        title="CIFAR-10, tiny photographs",
        shape=(32, 32, 3),
        num_classes=10,
        size={"train": 50000, "test": 10000},
        moments=None,
        sha256={},
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="not stated; see the source",
        citation="Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images",
        tfds="cifar10",
    ),
    Dataset(
        name="svhn_cropped",
        title="SVHN, cropped digits of street view house numbers",
        shape=(32, 32, 3),
        num_classes=10,
        size={"train": 73257, "test": 26032},
        moments=None,
        sha256={},
        source="http://ufldl.stanford.edu/housenumbers/",
        licence="for non-commercial use; see the source",
        citation="Netzer et al. (2011), Reading Digits in Natural Images with Unsupervised Feature Learning",
        tfds="svhn_cropped",
    ),
    _cmaterdb("devanagari", "3.2.1", "Devanagari"),
    _cmaterdb("telugu", "3.4.1", "Telugu"),
]


# What is pinned of the views that have been seen: moments, SHA-256 of train and of test.
_SEEN_VIEWS: dict[str, tuple[tuple[int, float], str, str]] = {
    "random_rgb32": (
        (97, 84.28169318512973),
        "0e72fb84de4b8ccf95b5ad9f72ec980cbdb254f1e5bbeeb7a38da163b9462cf0",
        "0e72fb84de4b8ccf95b5ad9f72ec980cbdb254f1e5bbeeb7a38da163b9462cf0",
    ),
    "mnist_rgb32": (
        (26, 70.18042327879908),
        "63df9e6588d41d95b5cd6dae4d0e708eaaf376cbcfb8abfaa248573c1aebd03d",
        "d611ed83404efd46ff461b9b8e7891b62932460a73de9fda289b0d4ce91a31c8",
    ),
    "fashion_mnist_rgb32": (
        (56, 84.61190011498954),
        "eda708437842624d9e76676714792ad1dfef068cdb25969b28a0ccb815a7f793",
        "869056c573b68e86b3b200b17ea0f452409f07848fd70f998182040c7825b19f",
    ),
    "random_8": (
        (97, 38.65567034225865),
        "05cbb54b2e4db531c1bd8ac2115b7ea5a96ef27ca75455a6c2da900e7ff8a7d4",
        "05cbb54b2e4db531c1bd8ac2115b7ea5a96ef27ca75455a6c2da900e7ff8a7d4",
    ),
    "mnist_8": (
        (26, 52.80882115846308),
        "e16f1966ea1128d8f71444d9559dec2722563fc942ed6f80acfa5dde593f8a4f",
        "70ead98833f4aa2603e7c8af87ba5c2c906110572a7d67ebf02c2472f90c7618",
    ),
    "fashion_mnist_8": (
        (56, 72.69646764924202),
        "738b4cb5a6cb50b193551d90e4ddc53842c55a31735e80e141c9cb95ee8797e7",
        "9057ae0d62484c2477bcc366b6b97ec335e397196b62b1dc8af801820054b088",
    ),
    "cmaterdb_bangla_28": (
        (167, 121.23247792133381),
        "d1724efbf089a676a50b6c5f1ec9492b4611c677a08e73e6a33e3996e020cfce",
        "452695871991a1ca6f7d620e701887c0f2cb37519630473f173ff123c205b767",
    ),
}


def _view(base: Dataset, view: str) -> Dataset:
    """The row of a view of a base dataset."""
    name = f"{base.name}_{view}"
    moments, *pinned = _SEEN_VIEWS.get(name, (None,))
    return replace(
        base,
        name=name,
        title=f"{base.title}, in the view {view}",
        shape=VIEWS[view].gives,
        moments=moments,
        sha256=dict(zip(PARTS, pinned, strict=False)),
        base=base.name,
    )


_VIEWS = [_view(base, view) for view, form in VIEWS.items() for base in _TABLE if base.shape == form.takes]
_rows = {known.name: known for known in (*_TABLE, *_VIEWS)}
DATASETS: Mapping[str, Dataset] = MappingProxyType(_rows)
BUILT_IN = tuple(_rows)


def add(row: Dataset) -> None:
    """Put a user's own dataset into the table."""
    _rows[row.name] = row


def dataset(name: str) -> Dataset:
    """The base dataset of this name; where it is not here, plug-ins are loaded.

    Raises:
        SuiteNotFound: there is none; the error names the nearest.
    """
    if name not in DATASETS:
        plugins.load()
    if name not in DATASETS:
        near = get_close_matches(name, list(DATASETS), n=1)
        own = "one of your own? gpicl_bench.register_dataset adds it, in each process"
        raise SuiteNotFound(
            "no base dataset has this name",
            expected=", ".join(DATASETS),
            got=repr(name),
            hint=plugins.or_broken(f"did you mean {near[0]}?" if near else own),
        )
    return DATASETS[name]
