"""docs/performance.md, made of the JSON files of this folder; what a machine has not measured is said to be unmeasured."""

import statistics

from tests.benchmarks.record import FOLDER, read
from tests.benchmarks.rounds import ONE, ratios

PAGE = FOLDER.parents[1] / "docs" / "performance.md"
MACHINES = {"cpu": "CPU", "gpu": "GPU"}
UNMEASURED = "unmeasured"

ASKED = [  # title, ours, theirs, the least ratio that was asked for
    ("exact / product alone", "exact", "product alone", 0.6),
    ("exact / naive NumPy float32", "exact", "naive NumPy float32", 5.0),
    ("product alone / naive NumPy float32", "product alone", "naive NumPy float32", None),
    ("exact / naive JAX vmap", "exact", "naive JAX vmap", 6.0),
    ("implicit / naive NumPy float32", "implicit", "naive NumPy float32", 12.0),
    ("implicit / product alone", "implicit", "product alone", 1.5),
]


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def rate(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def ratio_rows(result):
    rows = []
    for title, ours, theirs, least in ASKED:
        theirs = better(result["measured"], theirs)
        found = ratios(result["measured"], ours, theirs)
        cpu = result["measured"][ours]["tasks_per_cpu_second"] / result["measured"][theirs]["tasks_per_cpu_second"]
        middle = f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"
        rows.append([title, middle, f"{cpu:.2f}", "" if least is None else f"≥ {least:g}"])
    return rows


def better(measured, name):
    """Of a contender with all threads and with one, the faster."""
    names = [n for n in (name, name + ONE) if n in measured]
    return max(names, key=lambda n: measured[n]["tasks_per_second"])


def tasks_section(result):
    measured = result["measured"]
    slowest = measured[better(measured, "naive NumPy float32")]
    rows = [
        [
            name,
            rate(value["tasks_per_second"]),
            f"{value['tasks_per_second'] / slowest['tasks_per_second']:.1f}",
            rate(value["tasks_per_cpu_second"]),
        ]
        for name, value in sorted(measured.items(), key=lambda item: -item[1]["tasks_per_second"])
    ]
    return [
        f"{result['suite']}, T = {result['T']}, D = {result['D']}, {result['batch']} tasks a call.",
        "",
        *table(["ratio", "median of the rounds (range)", "of CPU time", "asked"], ratio_rows(result)),
        "",
        *table(["path", "tasks/s", "× naive NumPy", "tasks/CPU-second"], rows),
    ]


def growth_section(result):
    rows = []
    for name, measured in result.items():
        values = [1000 / measured[path]["tasks_per_second"] for path in ("exact", "implicit", "product alone")]
        rows.append([name, *[f"{value:.3f}" for value in values], f"{values[2] / values[0]:.0%}"])
    return [
        "Milliseconds a task; T = 100, D = 784 and B as above where nothing else is said.",
        "",
        *table(["", "exact", "implicit", "product alone", "product / exact"], rows),
    ]


def exactness_section(result):
    compared, equal = (sum(value[name] for value in result.values()) for name in ("compared", "equal"))
    others = [
        f"{name}: {value['equal']} of {value['compared']}"
        for name, value in result.items()
        if value["equal"] != value["compared"]
    ]
    said = f"{equal:,} of {compared:,} episodes and bytes of the table are equal to the NumPy reference, whatever the default precision of products is."
    return [said, *[f"- {other}" for other in others]]


def harness_section(result):
    free = ", ".join(f"{rate(value)} ({name})" for name, value in result["predictions_per_second"].items())
    added, rounds = result["evaluate_without_tasks_over_bare"] - 1, result["rounds"]
    return [
        *table(
            ["", "measured", "asked"],
            [
                [
                    f"`evaluate` adds to the bare forward pass of a Transformer, {result['num_tasks']:,} tasks of {result['suite']}, tasks and audit apart",
                    f"{added:.1%} ({rounds[0] - 1:.1%} to {rounds[-1] - 1:.1%}) of {result['bare_seconds']:.2f} s",
                    "≤ 10%",
                ],
                ["predictions a second of a free callable, tasks included", free, "≥ 20,000"],
            ],
        )
    ]


def share_section(result):
    rows = [
        [name, f"{value['step']:,.1f}", f"{value['tasks']:,.1f}", f"{value['share']:.1%}"]
        for name, value in result["paths"].items()
    ]
    return [
        f"The Transformer of the preset `paper` on {result['suite']}, batches of {result['batch']:,}, {result['compute']} products.",
        "",
        *table(["tasks", "ms a training step", "ms for its tasks alone", "alone / step"], rows),
    ]


def together_section(result):
    rows = []
    for name, ways in result["sizes"].items():
        for what, title in (
            ("whole", f"whole runs of {result['steps']} steps"),
            ("steps", "their compiled steps alone"),
        ):
            found = ratios(ways[what], "in a row", "at once")  # runs a second: the inverse of times
            row, at_once = (result["runs"] / ways[what][way]["tasks_per_second"] for way in ("in a row", "at once"))
            middle = f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"
            rows.append(
                [f"{name}: {title}", f"{row:.2f}", f"{at_once:.2f}", middle, "≤ 0.5" if what == "whole" else ""]
            )
    return [
        f"{result['runs']} runs of a paired Transformer on digits, two layers, one head: in a row, as `python -m baselines train` does each (without the start of "
        "Python), and at once, as a study does them. A whole run compiles its program; at once that is done a single time. The compiled steps alone show what a "
        "processor gains by more work at a time: where the products of one run fill its cores already, nothing.",
        "",
        *table(["", "s in a row", "s at once", "at once / in a row (range)", "asked"], rows),
    ]


def grid_section(result):
    measured, peak = result["measured"], result["product_flops_per_cpu_second"]
    rows = [
        [
            name,
            f"{value['tasks_per_second']:.2f}",
            f"{value['tasks_per_cpu_second']:.2f}",
            f"{value['tasks_per_cpu_second'] / result['original']:.1f}",
            f"{value['tasks_per_cpu_second'] * result['floor'] / peak:.1%}",
        ]
        for name, value in measured.items()
        if name != "a large product"
    ]
    return [
        f"The gradient of VSML at 784 inputs and 10 classes, T = 100, two ticks an example. The original program trains {result['original']} tasks a CPU-second; "
        f"asked: ≥ 3 times that. With messages once a row and once a column the products of a task are {result['floor'] / 1e9:.1f} GFLOP, there and back; everything "
        f"elementwise, and what is computed a second time to save memory, comes on top. At the rate of one large product, {peak / 1e9:.0f} GFLOP a CPU-second, the products "
        f"would allow {peak / result['floor']:.1f} tasks: the last column says how much of that is reached.",
        "",
        *table(["", "tasks/s", "tasks/CPU-second", "× the original", "of the products' rate"], rows),
    ]


def memory_section(result):
    rows = [
        [name, f"{value['peak']:,.0f}", f"{value['x']:,.0f}" if "x" in value else ""] for name, value in result.items()
    ]
    return [
        "Megabytes (10^6 bytes) of main memory at the peak of a process, libraries and images included.",
        "",
        *table(["", "peak", "of these x"], rows),
    ]


def tried_section(result):
    lines = []
    for path, measured in result.items():
        usual = measured["as it is"]["tasks_per_second"]
        rows = [
            [name, rate(value["tasks_per_second"]), f"{value['tasks_per_second'] / usual:.2f}"]
            for name, value in measured.items()
        ]
        lines += [*table([f"{path} path", "tasks/s", "of what it is"], rows), ""]
    return lines[:-1]


def environments_section(result):
    measured = result["measured"]
    cart = measured["CartPole-v1"]["tasks_per_second"]
    rows = [
        [name, rate(value["tasks_per_second"]), f"{value['tasks_per_second'] / cart:.3f}"]
        for name, value in measured.items()
    ]
    return [
        f"Steps of a sub-environment a second, {result['num_envs']} of them, 100 steps and the reset before them, which draws the tasks. A name alone is a vector environment of its own, sync is "
        "Gymnasium's vector of single ones. CartPole's 100 steps hold the resets of poles that fall. Drawing is by the NumPy reference: *its tasks alone* is the speed that no environment over it can pass.",
        "",
        *table(["", "steps/s", "× CartPole"], rows),
    ]


SECTIONS = {
    "tasks": ("Tasks a second", tasks_section),
    "growth": ("How the cost grows", growth_section),
    "memory": ("Memory", memory_section),
    "exactness": ("The same bits", exactness_section),
    "share": ("Beside a training step", share_section),
    "together": ("Many runs at once", together_section),
    "grid": ("Meta-training VSML", grid_section),
    "harness": ("The harness", harness_section),
    "environments": ("Environments", environments_section),
    "tried": ("Other forms", tried_section),
}

HEAD = """# Performance

This page is generated from the files in [tests/benchmarks](../tests/benchmarks), which one command writes:

```text
python -m tests.benchmarks
```

It measures everything in turn, round by round, on a fixed number of processors, in about a quarter of an hour. On a machine with a GPU the same command fills in
the rows that are unmeasured here. A section alone: `python -m tests.benchmarks tasks --rounds 10`. torch and learn2learn take part where they are installed.

- **exact**: `split.sampler(B)`, the tasks of record, to the bit.
- **exact, pool kept**: `split.sampler(B, M, pool_bytes=…)`, projections of a finite pool drawn once, as int8.
- **implicit**: `split.implicit_sampler(B)`, the law of the tasks without their identity, for meta-training on fresh tasks.
- **product alone**: the images of each task times one and the same matrix: no path with a projection is faster.
- **naive NumPy, naive JAX, torch, learn2learn**: a projection of normals for each task, as people write it. Several libraries' threads in one process disturb each
  other, so those that draw tasks one by one run with all threads and with one; ratios are to the better of the two.
"""

TAIL = """
## What was predicted, and what came

A task of 100 examples of 784 pixels is 123 million floating-point operations of a product, 614,656 bytes of random words and as many normals. CPU time of a task:

| | predicted | came |
|---|---|---|
| the product sets the pace, at 60 to 80 GFLOP/s a core | 1.5 to 2.0 ms | {product:.2f} ms |
| drawing the projection: 153,664 words, a block of Threefry of 130 operations for each, and 614,656 rational functions of 12, in vectors of 16 | 0.4 to 0.6 ms | {drawing:.2f} ms |
| implicit: 31 million operations of products, 78,400 blocks, as many normals, a factorisation | 0.4 + 0.2 + 0.1 + 0.1 ms | {implicit:.2f} ms |

Why the code is as it is; the numbers are in [other forms](#other-forms):

- **What a loop carries is in memory.** XLA fuses the words into whatever takes their bytes, and draws them again for each plane;
  `lax.optimization_barrier` is gone before fusion. Carrying the words of the next task through the loop stops that.
- **The table is a rational function, rounded**: the same 256 integers. It stays 0.004 away from every half, where float32 is off by less than 0.001 in the worst case;
  all 256 are compared on every device that is measured. The prediction was that a gather would be far slower, one load at a time. It is not, on a processor that
  has gathers in vectors: what was slow in earlier sketches were words drawn again and again. The function stays for processors that have none.
- **float32 operands on a CPU**: int8 gained nothing. On an accelerator the operands are bfloat16, as exact: the whole numbers have 8 bits, the sums are float32.
- **One task at a time on a CPU**, where one projection fills the cache; elsewhere as many as fit into half a gigabyte.
- **A normal takes both words of a block.** XLA computes one output a loop, so the second word would cost a block again. The sum of four
  uniforms of 16 bits and a rational function of it need no logarithm and no root.
"""


def write():
    """Write the page; its path."""
    PAGE.write_text(made())
    return PAGE


def made():
    files = {name: read(FOLDER / f"{name}.json") for name in MACHINES}
    lines = [HEAD]
    for section, (title, show) in SECTIONS.items():
        lines += [f"## {title}", ""]
        for name, machine in MACHINES.items():
            found = files[name].get(section)
            if found is None:
                lines += [f"**{machine}**: {UNMEASURED}.", ""]
                continue
            about = found["about"]
            versions = ", ".join(f"{package} {about['versions'][package]}" for package in ("python", "jax", "numpy"))
            rounds = f"{about['rounds']} rounds; " if about["rounds"] else ""
            lines += [f"**{machine}**: {about['device']}; {rounds}{versions}; `{about['command']}`.", ""]
            lines += [*show(found["result"]), ""]
    measured = files["cpu"].get("tasks")
    return "\n".join(lines) + (tail(measured["result"]["measured"]) if measured else "")


def tail(measured):
    spent = {name: 1000 / measured[name]["tasks_per_cpu_second"] for name in ("exact", "implicit", "product alone")}
    return TAIL.format(
        product=spent["product alone"], drawing=spent["exact"] - spent["product alone"], implicit=spent["implicit"]
    )


def summary(section, path):
    """What the command prints: ratios first."""
    title, show = SECTIONS[section]
    return [title, *show(read(path)[section]["result"]), ""]
