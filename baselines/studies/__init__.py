"""The paper's questions as grids of small runs, each one command: `python -m baselines study NAME`.

>>> from baselines.studies import studies
>>> list(studies())
['transition', 'state-size', 'plateau', 'bias', 'transfer', 'length']
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baselines.studies.study import Study


def studies() -> "dict[str, Study]":
    """All studies by name."""
    from baselines.studies import bias, length, plateau, state_size, transfer, transition

    modules = (transition, state_size, plateau, bias, transfer, length)
    return {module.STUDY.name: module.STUDY for module in modules}
