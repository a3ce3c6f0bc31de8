"""THE table of base datasets, with everything the protocol pins about each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType

from gpicl_bench.datasets.views import VIEWS
from gpicl_bench.errors import SuiteNotFound


@dataclass(frozen=True)
class Dataset:
    """A base dataset.

    Attributes:
        name: as in suite ids.
        title, source, licence, citation: for people.
        shape: height, width, channels.
        num_classes: C.
        size: images by part.
        center: the mean of all train pixels, rounded half to even.
        std: the population standard deviation of all train pixels.
        sha256: by part, over the canonical order.
        tfds: its name in TensorFlow Datasets; None for a bundled one.
        replacement: whether an episode draws its images with replacement.
        base: for a view, the base dataset that it shows; None for a base dataset itself.
        licence: as its publishers state it.
    """

    name: str
    title: str
    shape: tuple[int, int, int]
    num_classes: int
    size: Mapping[str, int] = field(hash=False)
    center: int
    std: float
    sha256: Mapping[str, str] = field(hash=False)
    source: str
    licence: str
    citation: str
    tfds: str | None = None
    replacement: bool = False
    base: str | None = None

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
        return f"TensorFlow Datasets, {self.tfds}" if self.tfds else "the package"


_TABLE = [
    Dataset(
        name="digits",
        title="Optical recognition of handwritten digits, as bundled with scikit-learn",
        shape=(8, 8, 1),
        num_classes=10,
        size={"train": 1437, "test": 360},
        center=5,
        std=6.009337218322998,
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
        center=127,
        std=74.15535785150074,
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
        center=33,
        std=78.56748998339799,
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
        center=73,
        std=90.02118235130526,
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
        center=173,
        std=119.10881239110181,
        sha256={
            "train": "3a572d1c028bde4d6a85c0362e9b87b384b8e1af134c4178a50076a40deecd4b",
            "test": "1dcb8779b24e3e9afb7b6e85d8f4a6626f75e6b9e6f44e29e11bb01882debfc1",
        },
        source="https://code.google.com/archive/p/cmaterdb/",
        licence="not stated in the archive; see the source",
        citation="Das et al. (2012), A genetic algorithm based region sampling, Appl. Soft Comput. 12(5), 1592-1606",
        tfds="cmaterdb/bangla",
    ),
]


def _view(base: Dataset, name: str, center: int, std: float, train: str, test: str) -> Dataset:
    """The row of a view; `train` and `test` are its hashes."""
    return replace(
        base,
        name=f"{base.name}_{name}",
        title=f"{base.title}, in the view {name}",
        shape=VIEWS[name].gives,
        center=center,
        std=std,
        sha256={"train": train, "test": test},
        base=base.name,
    )


_BY_NAME = {known.name: known for known in _TABLE}
_VIEWS = [
    _view(
        _BY_NAME["random"],
        "rgb32",
        center=97,
        std=84.28169318512973,
        train="0e72fb84de4b8ccf95b5ad9f72ec980cbdb254f1e5bbeeb7a38da163b9462cf0",
        test="0e72fb84de4b8ccf95b5ad9f72ec980cbdb254f1e5bbeeb7a38da163b9462cf0",
    ),
    _view(
        _BY_NAME["mnist"],
        "rgb32",
        center=26,
        std=70.18042327879908,
        train="63df9e6588d41d95b5cd6dae4d0e708eaaf376cbcfb8abfaa248573c1aebd03d",
        test="d611ed83404efd46ff461b9b8e7891b62932460a73de9fda289b0d4ce91a31c8",
    ),
    _view(
        _BY_NAME["fashion_mnist"],
        "rgb32",
        center=56,
        std=84.61190011498954,
        train="eda708437842624d9e76676714792ad1dfef068cdb25969b28a0ccb815a7f793",
        test="869056c573b68e86b3b200b17ea0f452409f07848fd70f998182040c7825b19f",
    ),
]

DATASETS: Mapping[str, Dataset] = MappingProxyType({known.name: known for known in (*_TABLE, *_VIEWS)})


def dataset(name: str) -> Dataset:
    """The base dataset of this name.

    Raises:
        SuiteNotFound: there is none; the error names the nearest.
    """
    if name not in DATASETS:
        near = get_close_matches(name, list(DATASETS), n=1)
        raise SuiteNotFound(
            "no base dataset has this name",
            expected=", ".join(DATASETS),
            got=repr(name),
            hint=f"did you mean {near[0]}?" if near else None,
        )
    return DATASETS[name]
