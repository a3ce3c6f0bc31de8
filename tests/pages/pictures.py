"""A picture of a suite, as SVG: eight images, and what two tasks make of them."""

import base64
import io

import numpy as np
from PIL import Image

from gpicl_bench import tasks

EXAMPLES = 8
SHOWN = 3.0  # black is x = -3, white is x = 3
CELL, GAP, TEXT, MARGIN = 56, 8, 24, 84


def picture(suite):
    """Images of the first meta-test episode, and their x and y in tasks 0 and 1, as an SVG document."""
    rows = [("image", *images(suite))]
    rows += [(f"task {i}", *seen_in(suite, i)) for i in (0, 1)]
    parts = []
    for row, (name, values, captions) in enumerate(rows):
        top = row * (CELL + TEXT) + GAP
        parts.append(f'<text x="0" y="{top + CELL / 2 + 5:g}">{name}</text>')
        for column, (value, caption) in enumerate(zip(values, captions, strict=True)):
            left = MARGIN + column * (CELL + GAP)
            parts.append(
                f'<image x="{left}" y="{top}" width="{CELL}" height="{CELL}" href="data:image/png;base64,{png(value)}"/>'
            )
            parts.append(f'<text x="{left + CELL / 2:g}" y="{top + CELL + 15}" class="c">{caption}</text>')
    width, height = MARGIN + EXAMPLES * (CELL + GAP), len(rows) * (CELL + TEXT) + GAP
    style = "text{font:13px system-ui,sans-serif;fill:#808080}.c{text-anchor:middle}image{image-rendering:pixelated}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{style}</style>'
    return "\n".join([head, *parts, "</svg>", ""])


def chosen(suite):
    """The places of the images in the test part: the first of episode 0 of task 0."""
    return suite.meta_test.episode(0).indices[:EXAMPLES]


def images(suite):
    """The images, in 0 … 1, and their classes."""
    part = suite.meta_test.part
    brightest = 16 if suite.spec.base == "digits" and part.images.max() <= 16 else 255
    return part.images[chosen(suite)] / brightest, [f"class {c}" for c in part.labels[chosen(suite)]]


def seen_in(suite, i):
    """x of the same images in task i, in 0 … 1, in the shape of an image, and their y."""
    split, known = suite.meta_test, suite.meta_test.dataset
    task, pixels = split.task(i), split.part.pixels[chosen(suite)]
    if task.projection is not None:
        whole = tasks.project(task.projection, pixels, known.center)
        x = whole.astype(np.float32) * tasks.projection_scale(known.dimension, known.std)
    else:
        order = slice(None) if task.pixel_order is None else task.pixel_order
        x = tasks.standardise(pixels[:, order], known.center, known.std)
    labels = task.label_map[split.part.labels[chosen(suite)]]
    return np.clip(x / (2 * SHOWN) + 0.5, 0, 1).reshape(-1, *known.shape), [f"y = {y}" for y in labels]


def png(value):
    """A PNG of 16 levels a channel, in base64: few bytes, and all that an eye sees."""
    levels = (np.rint(value * 15) * 17).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
