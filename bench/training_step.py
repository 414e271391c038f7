"""One training step and one forward pass of EfficientNet on a CPU: timm as it comes, and what may make it faster.

python bench/training_step.py [--models efficientnet_b0] [--batch-size 16] [--compile] [--rounds 5] [--quick]
                              [--csv OUT.csv]

Arms live in two processes, one with and one without the memory that stays (prebake.memory), and are called in turn.
``--preload`` adds a third whose allocator is another library (LD_PRELOAD).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import measuring

SIDE = 256


@dataclass(frozen=True)
class Arm:
    """One way to do a step; the defaults are timm's and torch's."""

    channels_last: bool = False
    kept: bool = False
    in_place: bool = True
    bfloat16: bool = False
    compiled: bool = False
    flush: bool = False
    fused: bool = False
    threads: int = 0
    matmul: str = "highest"
    drop_path: float = 0.0
    optimizer: dict[str, bool] = field(default_factory=dict)
    zeroed: bool = False
    forward: bool = False
    batch: float = 1.0
    no_grad: bool = False
    environment: tuple[tuple[str, str], ...] = ()


PREBAKE = Arm(channels_last=True, kept=True, in_place=False)
PREDICT = Arm(channels_last=True, kept=True, forward=True)
TRAINING = {
    "timm": Arm(),
    "channels_last": Arm(channels_last=True),
    "memory kept": Arm(kept=True),
    "channels_last, memory kept": Arm(channels_last=True, kept=True),
    "prebake (+ SiLU not in place)": PREBAKE,
    "prebake, huge pages": replace(PREBAKE, environment=(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),)),
    "prebake, bf16 autocast": replace(PREBAKE, bfloat16=True),
    "prebake, torch.compile": replace(PREBAKE, compiled=True),
    "prebake, AdamW fused": replace(PREBAKE, optimizer={"fused": True}),
    "prebake, AdamW foreach": replace(PREBAKE, optimizer={"foreach": True}),
    "prebake, gradients set to zero": replace(PREBAKE, zeroed=True),
    "prebake, matmul precision medium": replace(PREBAKE, matmul="medium"),
    "prebake, denormals flushed": replace(PREBAKE, flush=True),
    "prebake, drop_path 0.2": replace(PREBAKE, drop_path=0.2),
    "prebake, one thread": replace(PREBAKE, threads=1),
}
FORWARD = {
    "timm": Arm(forward=True, no_grad=True),
    "inference_mode": Arm(forward=True),
    "channels_last, inference_mode": Arm(channels_last=True, forward=True),
    "prebake (+ memory kept)": PREDICT,
    "prebake, conv and norm fused": replace(PREDICT, fused=True),
    "prebake, bf16 autocast": replace(PREDICT, bfloat16=True),
    "prebake, torch.compile": replace(PREDICT, compiled=True),
    "prebake, batch / 4": replace(PREDICT, batch=0.25),
    "prebake, batch x 2": replace(PREDICT, batch=2),
    "prebake, batch x 4": replace(PREDICT, batch=4),
}


class Step:
    """A model with all that an arm needs; calling it does one step and returns its seconds."""

    def __init__(self, name: str, arm: Arm, size: int) -> None:
        import timm
        import torch

        torch.manual_seed(0)
        self.arm, self.torch = arm, torch
        layout = torch.channels_last if arm.channels_last else torch.contiguous_format
        model = timm.create_model(name, num_classes=1, drop_path_rate=arm.drop_path).to(memory_format=layout)
        if not arm.in_place:
            from prebake.training.learner import save_inputs

            save_inputs(model)
        self.model = model.eval() if arm.forward else model.train()
        self.count = int(size * arm.batch)
        self.images = torch.randn(self.count, 3, SIDE, SIDE).contiguous(memory_format=layout)
        self.labels = torch.rand(self.count)
        if arm.fused:
            fuse(self.model, self.images[:1])
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-3, **arm.optimizer)
        self.call: Callable[..., Any] = torch.compile(self.model) if arm.compiled else self.model
        self.warm = 0.0
        self.warm = self()

    def __call__(self) -> float:
        """Do one step."""
        with self.settings():
            start = time.perf_counter()
            self.forward() if self.arm.forward else self.train()
            return (time.perf_counter() - start) / self.count

    def forward(self) -> Any:
        """Predict."""
        guard = self.torch.no_grad if self.arm.no_grad else self.torch.inference_mode
        with guard(), self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.arm.bfloat16):
            return self.call(self.images)

    def train(self) -> None:
        """Forward, backward, optimizer."""
        with self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.arm.bfloat16):
            raw = self.call(self.images).squeeze(1).float()
        loss = self.torch.nn.functional.mse_loss(raw, self.labels)
        self.optimizer.zero_grad(set_to_none=not self.arm.zeroed)
        loss.backward()
        self.optimizer.step()

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """Apply what holds for the whole process, and put it back."""
        threads = self.torch.get_num_threads()
        self.torch.set_flush_denormal(self.arm.flush)
        self.torch.set_float32_matmul_precision(self.arm.matmul)
        self.torch.set_num_threads(self.arm.threads or threads)
        try:
            yield
        finally:
            self.torch.set_num_threads(threads)
            self.torch.set_float32_matmul_precision("highest")
            self.torch.set_flush_denormal(False)


def fuse(model: Any, images: Any) -> None:
    """Put every batch norm of a model that predicts into the convolution before it, as a forward pass pairs them."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    made: dict[int, tuple[Any, Any]] = {}
    pairs: list[tuple[Any, Any]] = []

    def after(module: Any, given: Any, result: Any) -> None:
        if isinstance(module, torch.nn.Conv2d):
            made[id(result)] = (module, result)
        elif isinstance(module, torch.nn.BatchNorm2d) and id(given[0]) in made:
            pairs.append((made[id(given[0])][0], module))

    hooks = [module.register_forward_hook(after) for module in model.modules()]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    names = {id(module): name for name, module in model.named_modules()}
    for conv, norm in pairs:
        found = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.weight, conv.bias = found
        parent, _, own = names[id(norm)].rpartition(".")
        setattr(model.get_submodule(parent), own, getattr(norm, "act", torch.nn.Identity()))


def serve(pipe: Any, kept: bool) -> None:  # noqa: FBT001
    """Run in a process of its own: make and call steps as told."""
    from prebake.memory import kept_memory

    steps: dict[str, Step] = {}
    with kept_memory() if kept else contextlib.nullcontext():
        while (told := pipe.recv()) is not None:
            key, arguments = told
            if key == "forget":
                steps.clear()
                pipe.send(0.0)
            elif arguments is not None:
                steps[key] = Step(*arguments)
                pipe.send(steps[key].warm)
            else:
                pipe.send(steps[key]())


class Processes:
    """The processes in which arms live: one for each environment, with and without memory that stays."""

    def __init__(self) -> None:
        self.pipes: dict[Any, Any] = {}
        self.context = multiprocessing.get_context("spawn")

    def of(self, arm: Arm) -> Any:
        """Return the pipe to the process of an arm."""
        key = (arm.kept, arm.environment)
        if key not in self.pipes:
            mine, theirs = self.context.Pipe()
            before = dict(os.environ)
            os.environ.update(arm.environment)
            self.context.Process(target=serve, args=(theirs, arm.kept), daemon=True).start()
            os.environ.clear()
            os.environ.update(before)
            self.pipes[key] = mine
        return self.pipes[key]

    def ask(self, arm: Arm, *told: Any) -> float:
        """Tell the process of an arm something and return its answer."""
        pipe = self.of(arm)
        pipe.send(told)
        answer: float = pipe.recv()
        return answer

    def forget(self) -> None:
        """Free all models."""
        for pipe in self.pipes.values():
            pipe.send(("forget", None))
            pipe.recv()


def main() -> None:
    """Measure and print one line for each arm."""
    parser = measuring.parser(__doc__, quick="one model, batches of 4, 3 rounds")
    parser.add_argument("--models", nargs="+", default=["efficientnet_b0", "tf_efficientnet_lite0"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--only", nargs="+", default=[""], help="arms whose name starts with one of these")
    parser.add_argument("--compile", action="store_true", help="also torch.compile: minutes")
    parser.add_argument("--preload", nargs="*", default=[], help="libraries to allocate with, for the record")
    options = parser.parse_args()
    if options.quick:
        options.models, options.batch_size, options.rounds = ["efficientnet_b0"], 4, 3
    wanted = tuple(options.only)
    preloaded = {
        f"channels_last, {Path(path).name.split('.')[0]}": Arm(
            channels_last=True, in_place=False, environment=(("LD_PRELOAD", path),)
        )
        for path in options.preload
    }
    lines: list[measuring.Result] = []
    processes = Processes()
    for model in options.models:
        for what, chosen in (("training step", TRAINING | preloaded), ("forward pass", FORWARD)):
            arms = {
                name: arm
                for name, arm in chosen.items()
                if name == "timm" or (name.startswith(wanted) and (options.compile or not arm.compiled))
            }
            for name, arm in arms.items():
                warm = processes.ask(arm, name, (model, arm, options.batch_size))
                if arm.compiled:
                    print(f"{name}: first step with compilation {warm * options.batch_size:.1f} s")
            calls = {name: partial(processes.ask, arm, name, None) for name, arm in arms.items()}
            found = measuring.interleaved(calls, rounds=options.rounds, warmup=2)
            rates = {name: [1 / value for value in values] for name, values in found.items()}
            about = f"{what}, {model}, {SIDE} px, batches of {options.batch_size}"
            new = measuring.results(
                rates, row="13", what=about, unit="img/s", against="timm", packages=("torch", "timm")
            )
            measuring.show(new)
            lines += new
            processes.forget()
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
