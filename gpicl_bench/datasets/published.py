"""The original files of base datasets as their authors publish them, with their hashes, and how to read them.

Addresses, sizes and SHA-256 are those that TensorFlow Datasets records of the same files.
"""

from dataclasses import dataclass
from typing import NamedTuple

from gpicl_bench.datasets import formats


class File(NamedTuple):
    """A published file: its name, its address, its size in bytes, its SHA-256."""

    name: str
    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """What a base dataset was published as: a reader, and the files that each part needs."""

    reader: formats.Reader
    train: tuple[File, ...]
    test: tuple[File, ...]

    def files(self, part: str) -> tuple[File, ...]:
        return self.train if part == "train" else self.test


def _file(base: str, name: str, size: int, sha256: str) -> File:
    return File(name, f"{base}/{name}", size, sha256)


def _idx(base: str, *rows: tuple[int, str]) -> Published:
    """The four files of a dataset in MNIST's layout; rows: size and hash, in the order of `names`."""
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = [_file(base, name, *row) for name, row in zip(names, rows, strict=True)]
    return Published(formats.idx, tuple(files[:2]), tuple(files[2:]))


def _cmaterdb(script: str, train: tuple[int, str], test: tuple[int, str]) -> Published:
    base = f"https://raw.githubusercontent.com/prabhuomkar/CMATERdb/master/datasets/{script}-numerals"
    files = [_file(base, f"{name}-images.npz", *row) for name, row in (("training", train), ("testing", test))]
    return Published(formats.cmaterdb, (files[0],), (files[1],))


_CIFAR10 = _file(
    "https://www.cs.toronto.edu/~kriz",
    "cifar-10-binary.tar.gz",
    170052171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_EMNIST = _file(
    "https://biometrics.nist.gov/cs_links/EMNIST",
    "gzip.zip",
    561753746,
    "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
)
_SVHN = "http://ufldl.stanford.edu/housenumbers"

PUBLISHED: dict[str, Published] = {
    "mnist": _idx(
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion_mnist": _idx(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    "kmnist": _idx(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
        (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
    "emnist": Published(formats.emnist, (_EMNIST,), (_EMNIST,)),
    "cifar10": Published(formats.cifar10, (_CIFAR10,), (_CIFAR10,)),
    "svhn_cropped": Published(
        formats.svhn,
        (
            _file(
                _SVHN,
                "train_32x32.mat",
                182040794,
                "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            ),
        ),
        (
            _file(
                _SVHN,
                "test_32x32.mat",
                64275384,
                "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            ),
        ),
    ),
    "cmaterdb_bangla": _cmaterdb(
        "bangla",
        (489289, "502957392649eecad013ac425b54fecc6d06dbc06bc647a46b0cfc6b96e2c130"),
        (98295, "d1c9780ba5decc135175a021bd29961cd7316db009f428d8c04b84ba36a6d67a"),
    ),
    "cmaterdb_devanagari": _cmaterdb(
        "devanagari",
        (234882, "e690d54f7c82e12e3c5ba99221672dc3fc7b6ad493e495077f7e26332558ae86"),
        (47017, "1636fa10484100486b96a3e938cee4c6adeddcfb1e91c9dbb5166fb9a260216d"),
    ),
    "cmaterdb_telugu": _cmaterdb(
        "telugu",
        (241764, "32f9b5b135c8084f0cf646bc6a70358767653b1f8c6d19bd64ad5d5cbf1d9467"),
        (48946, "182806a45091da53b4ad98d4425130c0ebbf9bc1bf50fb58b3e5ea65ee33c7c6"),
    ),
}
