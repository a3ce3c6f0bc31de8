"""THE table of built-in suites and benchmarks.

A suite's row holds the pinned fingerprints of its splits at seed 0, in the order meta_train,
meta_validation, meta_test, seen. They never change: other bits are another version. None stands for a
split whose images nobody has seen yet; a suite without a pinned meta_test is provisional.
"""

Fingerprints = tuple[str | None, str | None, str | None, str | None]

_PINNED: dict[str, Fingerprints] = {
    "digits-proj-perm-v0": (
        "7e26b1491230a54e12c33670c26526a4736f0021a9e8ba3121cce140984f0f14",
        "903173281d4a9f7e29b5b51cdd2e691778fda0252ffc84fbe0c8d3c943031122",
        "bb691ba7ea6ba04fafd2cec503de0e3fcfae9e5c8133ec60b7ad35622b14025b",
        "6929c075ccdb36e7b9143466acd3b996063d55e3a97fc58775377163c0c53c4b",
    ),
    "digits-pixperm-perm-v0": (
        "e29acf686b2fb495bf637b31c228abe51ad8cf86602728817689463e042f5362",
        "e6c6f4841c35b29a24fceae9743057c9d1c9f4940f27704d3b72183ae46a0321",
        "ff4d779935fdd9189c2639885cfeb68e42f9c4945bc61d2deea281d60be50990",
        "93c8cbeca16c607fae9e6cbc5605bd2aa366271b35301961fd0e665f06fc5e0b",
    ),
    "digits-none-perm-v0": (
        "fa2dd5a059381d30d81164d10422bd8c9390dc4298e647ec594ff53057907981",
        "31c8add5ab7f22cfa3daf42abfb20e0729dad8debddcedb31b71d51797365081",
        "e145ed7601645ba03e593ec5b7e9bf98d30df01dc2df848d747d2988f20cd206",
        "024069b7813a8937c2bba8063238fab00ca21e6af56aa0be1f1fbf5d5ea8a454",
    ),
    "random-proj-perm-v0": (
        "478556d86b39472e01eb59912e28018b59308dffcfbc546bd7b0be45f09ea682",
        "a597083f4c7702c120cc7bc5a6b20cabbf1cbc61004cf25bf2229268d110dcba",
        "4e468bbf11351ed07c667e8d280ed9141ec9639308db45ea312e33711a745788",
        "433334c23139702f1ae0283dab735d64f65a5b328bab69dd0ac69992266087aa",
    ),
    "random-pixperm-perm-v0": (
        "be40634b8f883bf2b524902ce60586bc5cc68381396d9acb710878e50923f67f",
        "79d1a03e4a88c442fd8c5c4bc4d4ea9f27e59e12025120d11aa1ff98b827633f",
        "696c36efc28aaadb2a74ea761479179fbeb1705b13836d693ff3738fea30a7e9",
        "eee7b1ad225c3034ee95ac08ba9a56fbc7fda4a0a544d1e1ff2747f1222522fb",
    ),
    "random-none-perm-v0": (
        "52d2484d3d4e7666defe485258cb4a78b3a4cf363ce20ee4fe3afc1e1aa794f0",
        "6e6433f1071041697d1459919e40ce892188f1fc83c83254664b41a7cbe0c740",
        "db08a58fa8a2dd70f75081af4b0f9cfec00a188d649fc963139a2430e71ef2ca",
        "1f04e1f0bb46df1cd9eee6c019a49f9c1968d01a3afd39af1c4ac4b376f0f589",
    ),
    "mnist-proj-perm-v0": (
        "4444316b6c5b9ad64a0d2ed5ecac4036f6e4ef9ad851a2dd1de79db9ca01fe28",
        "7ab245ee7c9fc929e9ecd0e9b46fa896c72be4c67513d366269029c06ee24ab5",
        "726153796d7cdf96b6ce1fe92d2cea749afb5c8595a15aea649a3070e59d61fd",
        "f72ca8b652312f5257b8b956ee48d1909034c096d480b04bc077c81147efd8cd",
    ),
    "mnist-pixperm-perm-v0": (
        "2dcd9603da11136f217471d130b52ee13c4a19004e535c2f3e650a331c7a55b0",
        "4d5cbde42eeb37148920fdb6e6996bf5d1febc4c78860fe23e5de396534ad857",
        "891ea159a9ac048118af042d990728f3fb12b7486a8f9ded5c5cf25eb5629cea",
        "eaa093247f15f30c8f9e5a400d2ae44fb25f9085dd36a8fc8b6ad19ac1064b18",
    ),
    "mnist-none-perm-v0": (
        "36466c5fd238dd0ad6dbb89799fb908883158b9d16d8fd6b9a61bffc4f151550",
        "764afdd5b09bfe6424f7f4d0195b4bb5d2ce5ed4871922b9853f4f2baa49ba93",
        "5903f45e57a42e513e1636417566db4601ec57d71459b88080458b7fa95171a2",
        "a312f2a3ddee1e90cfbe5ff3d3d1ae9aa08662036b791f15659db842b602ef49",
    ),
    "fashion_mnist-proj-perm-v0": (
        "03eb034f390e81a0eb51a5f4c32efd0318e8910b3fcef057b1ba522f3b283af1",
        "7c3c8e19ee576ee6f662cb5e236e359448a3d49b3c3d047e67b5fc555b4ede33",
        "e14f1c9b409ea9d475f0351d1dd765d7137e12b869f6f55e5f90f87086e0f08a",
        "0eaf5419f34d6f835083b1307d2ead5df2c5028ed50b991b0aa0189d52fa40ce",
    ),
    "fashion_mnist-pixperm-perm-v0": (
        "694c732d6abda1c007495df9f598960bff55c45ba4aa92ee2b013985c134e15a",
        "58f1b50200ae04bb686fca7931515ffe9d7fef8b8868ff9d25fe38bb54dc5c54",
        "6d60b11c33cc2d33bce1fed1518645ed81ba16970a841e51d80a17a3a1196506",
        "6626faf67b4a0afc4a24b821ab638a58075a9ca009cd493cdc743c19630a8130",
    ),
    "fashion_mnist-none-perm-v0": (
        "40c91144578342929e06cbcc7dbd8c4d50fb28fd494adf4f40e39fe1feed165f",
        "ac134f193b31be5b6b9ad27d0397e3b397dc3677c8a2443d8d56fb3ccd0f4dae",
        "5b795132ffa5514fca1fa88683a9d26fbc98bf69244ea5f993b76528e43eb8f8",
        "0de0af87ad8cd565cef23f65ccd78f4c5ec00a6ed0be703715a5d17ad90b65b2",
    ),
    "cmaterdb_bangla-proj-perm-v0": (
        "28f60d371c6fa6b424bed9c069d9621450b5b56adfb919095640a30254bf8f44",
        "0d3a8a79187152b50f40849f68315531c684dd3b928b83290c84a1345dff65d7",
        "3d8a2023735073f3633d19d1c5d6abac763ba52ee6f60d73cdc915f557589adb",
        "3ce4bcf1c2b0cc033adc429d73a72ad93c221c5d0635b68a97092293a95db1d4",
    ),
    "cmaterdb_bangla-pixperm-perm-v0": (
        "d30394a68896bc44d75718cbf762a9cd6bdfd773a4983b882fd2bc84eb222428",
        "f749a053a123b9651c4cfe5d26a42403232e9434eda2c296dac5d6a1e1d10371",
        "04c4344a38c40a115a67f473fce38461f116226aaa8e4f07aa9f539d1c143125",
        "fb9fe099dfbdc04fd61878b3c53f00ca6c2c764880b2112cab404b9346b8bef6",
    ),
    "cmaterdb_bangla-none-perm-v0": (
        "d030aacc304faef15e8a3591315177f5304dd4cb6cd43eb23bf80c145e14df28",
        "5e626ecabdb2a63c1d14c9775956ad3b6571122d78454b520959f409377845f1",
        "95a13f5f4888fa1e0026fa946bfa8457456fed19b84e78133cb88190cd7b07f1",
        "cfbff6a573d11b5dec2b2fc7358b4315e195d2c70df0bb70e46b98b94d317945",
    ),
    "random_rgb32-proj-perm-v0": (
        "449d79d6fb66f9fe3a5b759de6313955e16718d784e2aee8da7f3b2b7c0c8284",
        "b5994eafc76fc475da80728c7f2ec51d08a2a4b7f4e0ae3c16ce13a248ce4329",
        "b4cabbf7b1d70bf604866c1af99face6d5c90b157921e9afd316aa8bc1b7d49a",
        "262cbc0533aa37484cb7f13d720d3278a692099c69b546df3215b74d328ecd50",
    ),
    "mnist_rgb32-proj-perm-v0": (
        "2f5c6bb2e288307d57288f5dd3ee0ca5b261092f277e648ceed23a458c6bada4",
        "02f9b81be7e07a775f4d77bb15c76e48233e7a32a51c944851aaafff5abf4dc7",
        "f916b2c0b1ed93a6cb20dd275fff0a5ccce5e48582f77e3048c6cdd6e8f88337",
        "7f68a4cc953b01d6e109841b0845ef522cda70230f3e2596d00fed9e7c9e99d6",
    ),
    "fashion_mnist_rgb32-proj-perm-v0": (
        "429c1fb1164e2599930b341edde22d39e52ed6822fb742854f21296d56ce93e6",
        "453cbff2a7a815dc1d70409fc660557debd3ee5bd95723127019dcb2a2180dd5",
        "e237f025ee27e2d21ca5776738c702d2ee767a4bd9760e9bcd4b78d71a3237a2",
        "d5a90c537238ce612a0f00ff649c7ae2e96d80649a29e687d3bd260e46bf5293",
    ),
    "cmaterdb_bangla_28-proj-perm-v0": (
        "2eefc5ca0242d1186bf757eb548cdde5e6dffb8266b3c6c2c084457a18669940",
        "581235c339baedf09296be0eb9381948d28daa685ba0594429f060cbfc12e375",
        "dc54cac077b287ced3cff4b9e371993bd9a79c43ed27f82b98767d4d8205a194",
        "c357fe34be415eee6091af92f5a16c5b65361671163cd868181630819c4619a6",
    ),
    "random_8-proj-perm-v0": (
        "6e6de5ac0f4c7d0e40edc8ba038e307f18e3050db6429ebe14d5f7a575a6a5bb",
        "b7bfe9bd6304483488973c92031dcca5b9436cb9c273bcd43845563ffb8b8f93",
        "ddf91c83ecabb9cf4b4dc984d34b88f84393c82ec0721754b63d6af3876b8967",
        "ffd88700f72cf87e0b326793aaff96003576ff287193fc28e58097cde31e7f0a",
    ),
    "mnist_8-proj-perm-v0": (
        "6e688dd26afeaf61f5e0ab8648b7ed5b405f72c8fe6d69818887b3786d05157f",
        "986b8e9352e08f503600741abf371889de760aaa81613daef07a8062cb9c2b90",
        "22cae782e8d1cc09551543001cef4e3f4e820375db26fa6f7d2e0af95648fe90",
        "3b637581c16ab1a8f55fcfa6afd21f5b1a48da645e932087240cdd026aa7379d",
    ),
    "fashion_mnist_8-proj-perm-v0": (
        "a4d90fe01b41b978d497606c19bc48f01f37fe922593be981a119eedd1c4fead",
        "e314d4c624759d115ddf25e4fffc289845921fc50ac0a46e9d71f81fa21be01c",
        "ed1328a8385329e981456567b4828172c7401df8593b5201b4ab5d4fe98ddc3b",
        "ea8b1a8625650f1455cae457e662af9cd2c00904239ff0e88be90f9c790b4d94",
    ),
    "kmnist-proj-perm-v0": (
        None,
        None,
        "bc2d2f06708a9ecce8eca784826395b99cfa355736d87a849213ee46bee0da8f",
        "3d9f8073a7eef372843308302d0cb15b6889e887d99499d53cda2f0406e25d59",
    ),
    "kmnist-pixperm-perm-v0": (
        None,
        None,
        "2095ed64b44e680efcfa2278a29ee2ecfbcf19e2bf97fcf9a2fce801dfaf9ffd",
        "abf423fbe9739f30810a2ad28ffd78cd87bf8aad7373ff56caa1f2ea8fb1ea9b",
    ),
    "kmnist-none-perm-v0": (
        None,
        None,
        "41b3192798cfcc0f60c539a81487644a5c7de5c16bf598ec102a27c9349ab2a9",
        "df7165b750230e7f7d86edb3259353a9f14b03aaafdb2439b1f37f63948fb6de",
    ),
}

_PROVISIONAL = (
    *(
        f"{dataset}-{input}-perm-v0"
        for dataset in ("emnist", "cifar10", "svhn_cropped", "cmaterdb_devanagari", "cmaterdb_telugu")
        for input in ("proj", "pixperm", "none")
    ),
    *(
        f"{dataset}_28-proj-perm-v0"
        for dataset in ("cifar10", "svhn_cropped", "cmaterdb_devanagari", "cmaterdb_telugu")
    ),
    "kmnist_rgb32-proj-perm-v0",
    "emnist_rgb32-proj-perm-v0",
    "kmnist_8-proj-perm-v0",
    "emnist_8-proj-perm-v0",
)

SUITES: dict[str, Fingerprints] = {**_PINNED, **dict.fromkeys(_PROVISIONAL, (None, None, None, None))}

BENCHMARKS: dict[str, tuple[str, ...]] = {
    # Runs anywhere: no download, minutes on a laptop.
    "offline-v0": (
        "digits-proj-perm-v0",
        "digits-pixperm-perm-v0",
        "digits-none-perm-v0",
        "random-proj-perm-v0",
    ),
    # The columns of the paper's table, at 28×28×1 and at 32×32×3.
    "gpicl-28-v0": (
        "mnist-proj-perm-v0",
        "fashion_mnist-proj-perm-v0",
        "kmnist-proj-perm-v0",
        "random-proj-perm-v0",
        "cifar10_28-proj-perm-v0",
        "svhn_cropped_28-proj-perm-v0",
    ),
    "gpicl-rgb32-v0": (
        "mnist_rgb32-proj-perm-v0",
        "fashion_mnist_rgb32-proj-perm-v0",
        "kmnist_rgb32-proj-perm-v0",
        "random_rgb32-proj-perm-v0",
        "cifar10-proj-perm-v0",
        "svhn_cropped-proj-perm-v0",
    ),
}
