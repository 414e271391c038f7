"""Predicting on a CPU: what the networks cost as timm has them and as prebake runs them, more of them, and more views.

python bench/predicting.py [--models efficientnet_b0] [--batch-size 16] [--rounds 5] [--quick] [--csv OUT.csv]

The photographs are noise, already baked: reading and baking are once for all networks and views, and not in here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import measuring

SIDE = 256
MEMBERS = 3


def seconds(forward: Callable[[], Any], count: int) -> float:
    """Call ``forward`` and return the photographs it did in a second."""
    start = time.perf_counter()
    forward()
    return count / (time.perf_counter() - start)


def arms(name: str, count: int) -> dict[str, Callable[[], float]]:
    """Return the arms, each a call that gives photographs in a second."""
    import timm
    import torch

    from prebake.prediction.fusing import fused
    from prebake.prediction.views import views

    torch.manual_seed(0)
    default = timm.create_model(name, num_classes=1).eval()
    plain = timm.create_model(name, num_classes=1).eval().to(memory_format=torch.channels_last)
    plain.load_state_dict(default.state_dict())
    quick = fused(default, SIDE).to(memory_format=torch.channels_last)
    images = torch.randn(count, 3, SIDE, SIDE)
    last = images.contiguous(memory_format=torch.channels_last)

    def as_timm() -> None:
        with torch.no_grad():
            default(images)

    def run(network: Any) -> None:
        with torch.inference_mode():
            network(last)

    def several() -> None:
        for _ in range(MEMBERS):
            run(quick)

    def turned() -> None:
        with torch.inference_mode():
            for view in views(last):
                quick(view.contiguous(memory_format=torch.channels_last))

    return {
        "timm": partial(seconds, as_timm, count),
        "channels_last, inference_mode": partial(seconds, partial(run, plain), count),
        "prebake (+ batch norms fused)": partial(seconds, partial(run, quick), count),
        f"prebake, {MEMBERS} networks": partial(seconds, several, count),
        "prebake, --tta": partial(seconds, turned, count),
    }


def main() -> None:
    """Measure and print one line for each arm."""
    parser = measuring.parser(__doc__, quick="one model, batches of 4, 3 rounds")
    parser.add_argument("--models", nargs="+", default=["efficientnet_b0", "tf_efficientnet_lite0", "resnet18"])
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    if options.quick:
        options.models, options.batch_size, options.rounds = ["efficientnet_b0"], 4, 3
    lines: list[measuring.Result] = []
    for name in options.models:
        found = measuring.interleaved(arms(name, options.batch_size), rounds=options.rounds)
        what = f"predicting, {name}, {SIDE} px, batches of {options.batch_size}"
        new = measuring.results(found, row="13", what=what, unit="img/s", against="timm", packages=("torch", "timm"))
        measuring.show(new)
        lines += new
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
