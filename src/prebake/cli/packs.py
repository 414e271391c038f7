"""The verbs that make packs and look into them."""

from __future__ import annotations

from typing import Literal

from prebake import terminal
from prebake.cli.browser import show_in_browser
from prebake.cli.options import (
    Functions,
    Json,
    Layout,
    MaybeOutput,
    MemoryLimit,
    OnError,
    Open,
    Output,
    PacksAndIds,
    Paths,
    TimeLimit,
    Workers,
    allow,
    packs_and_ids,
)
from prebake.errors import OptionError
from prebake.remote import as_url

__all__ = ["audit", "info", "pack", "repair", "show", "split", "verify"]


def pack(
    *sources: str,
    output: Output,
    recipe: str = "kernel",
    size: int | None = None,
    codec: Literal["auto", "raw", "zstd", "gzip"] = "auto",
    labels: str | None = None,
    layout: Layout = "auto",
    workers: Workers = None,
    on_error: OnError = "fail",
    time_limit: TimeLimit = 60,
    memory_limit: MemoryLimit = None,
    max_pack_size: str | None = None,
    scheduler: str | None = None,
    allow_functions: Functions = None,
) -> None:
    """Bake photographs into a pack (one HDF5 file): decode, crop and resize each of them once, in parallel.

    Killed or interrupted, the same command goes on where it was. Run again, it bakes only what changed.

    Parameters
    ----------
    sources
        Folders, .zip or .tar files of photographs, or single photographs; or URLs of such, as s3://bucket/folder.
        Several sources become one pack; their ids then start with the name of the source.
    output
        The pack to write, for example pack.h5.
    recipe
        What is done to a photograph: kernel (the published 2019 preprocessing, bit for bit), ben (today's best version
        of it), crop (field of view, aspect kept, no colour change), graham (the 2015 winner), resize; or a function of
        your own as package.module:function or a .json file.
    size
        Side of the square baked images, in pixels; 256, or what a .json recipe brings.
    codec
        How images are stored: raw is the fastest to read, zstd the smallest that is still fast, gzip opens everywhere;
        auto decides by measured size, memory and disk; prebake info says why.
    labels
        The CSV with ids and labels, where it is not the one that lies with the photographs.
    layout
        How photographs and labels lie in the source; auto recognises the published datasets.
    workers
        Processes that bake; all cores without it.
    on_error
        When a photograph cannot be baked: fail (after all others are done, with a table of reasons) or skip (leave it
        out and list it in the pack).
    max_pack_size
        Such as 50GB: write files OUT-00000-of-00012.h5, ... of at most that size instead of one, each a complete pack.
    scheduler
        Bake on the workers of this dask scheduler, such as tcp://HOST:8786; they must see sources and target under the
        same paths.
    allow_functions
        A function, as package.module:function, that a .json recipe may import and call: it may come from a stranger.
    """
    from prebake.packing import pack as run_pack
    from prebake.store import pattern_of

    allow(allow_functions)
    result = run_pack(
        sources,
        output,
        recipe=recipe,
        size=size,
        codec=codec,
        labels=labels,
        layout=layout,
        workers=workers,
        on_error=on_error,
        time_limit=time_limit,
        memory_limit=memory_limit,
        max_pack_size=max_pack_size,
        scheduler=scheduler,
    )
    terminal.say(terminal.packed(result, output if max_pack_size is None else pattern_of(output)))


def info(*packs: str, json_: Json = False) -> None:
    """Tell what is in a pack: rows, size, recipe, codec, labels, failures.

    Parameters
    ----------
    packs
        The pack; several, or a quoted pattern ("NAME-*.h5"), are told of as one.
    json_
        Print JSON for scripts instead of a table.
    """
    from prebake.store import open_pack, summary

    facts = summary(open_pack(packs))
    terminal.say(terminal.as_json(facts) if json_ else terminal.facts(facts))


def verify(*packs: str) -> None:
    """Check every checksum of a pack; name damaged images; exit code 1 if there are any.

    Parameters
    ----------
    packs
        The pack; or several, or a quoted pattern ("NAME-*.h5").
    """
    from prebake.store import verify_pack

    terminal.say(terminal.verified(verify_pack(packs), packs))


def repair(
    pack: str,
    /,
    *sources: str,
    labels: str | None = None,
    layout: Layout = "auto",
    workers: Workers = None,
    time_limit: TimeLimit = 60,
    memory_limit: MemoryLimit = None,
    allow_functions: Functions = None,
) -> None:
    """Bake the damaged images of a pack again, and no others; the rest of the pack stays what it is, to the byte.

    Killed or interrupted, the pack is what it was, and the same command can be given again. So it is where a photograph
    cannot be baked, or not within the limits: nothing is written then.

    Parameters
    ----------
    pack
        The pack, or a quoted pattern ("NAME-*.h5").
    sources
        What it was packed from, as it was given then; photographs that have changed since are refused, by digest.
    labels
        The CSV with ids and labels, where it is not the one that lies with the photographs.
    layout
        How photographs and labels lie in the source; auto recognises the published datasets.
    workers
        Processes that bake; all cores without it.
    allow_functions
        A function, as package.module:function, that the pack's recipe may import and call: it may come from a stranger.
    """
    from prebake.packing import repair as run_repair
    from prebake.store import expand

    allow(allow_functions)
    if as_url(pack) is not None:
        raise OptionError(
            f"{pack} is not on this machine, and only what is here can be repaired",
            do="copy it here, repair the copy, and copy that back",
        )
    for path in expand(pack):
        ids = run_repair(
            path,
            sources,
            labels=labels,
            layout=layout,
            workers=workers,
            time_limit=time_limit,
            memory_limit=memory_limit,
        )
        terminal.say(terminal.repaired(ids, path))


def show(
    *packs: PacksAndIds,
    output: Output,
    before: Paths = None,
    count: int = 25,
) -> None:
    """Draw a grid of baked images with ids and labels into a PNG.

    Parameters
    ----------
    packs
        The pack, several, or a quoted pattern ("NAME-*.h5"); then the ids of the images to draw, without which an even
        choice over all labels is drawn.
    output
        The PNG to write.
    before
        The sources the pack was made of: each image is drawn beside its photograph.
    count
        How many images to draw when no ids are given.
    """
    from prebake.show import save_grid

    paths, ids = packs_and_ids(packs, "prebake show PACK... [IDS...] -o GRID.png")
    terminal.say(f"wrote {save_grid(paths, output, ids=ids or None, count=count, sources=before)}")


def audit(
    *packs: str,
    output: MaybeOutput = None,
    json_: Json = False,
    open_: Open = False,
) -> None:
    """Look for what makes results wrong before training: copies, conflicting labels, shortcuts, shift, balance.

    Copies within and across packs; how well size, framing, colour and border alone predict the grade, before and after
    the recipe, and tell training from test photographs; labels by source; patients. What is found is no error: the exit
    code is 0.

    Parameters
    ----------
    packs
        Packs, or a quoted pattern ("NAME-*.h5"); several are audited as one data set.
    output
        A page ending in .html, complete in itself; or a folder, which gets a PNG of each cluster of copies.
    json_
        Print JSON for scripts instead of tables.
    open_
        Also open the page in the browser.
    """
    from prebake.auditing import audit as run_audit
    from prebake.report import require_audit_output, save_audit

    require_audit_output(output)
    if open_ and (json_ or output is None or not output.suffix):
        raise OptionError("--open opens a page", expected="-o audit.html, without --json", got=output)
    found = run_audit(packs)
    terminal.say(terminal.as_json(found.to_dict()) if json_ else terminal.audited(found))
    if output is not None:
        written = save_audit(found, output)
        if not json_:
            terminal.say(f"wrote {written}")
        if open_:
            show_in_browser(output)


def split(*packs: str, output: Output, folds: int = 5, seed: int = 0, use_test: bool = False) -> None:
    """Put photographs into folds, balanced in size and labels; a patient and all copies of a photograph stay together.

    Copies are found by file, by pixels, and by looks (saved again, at another size or exposure). The table is plain
    CSV with id_code first and fold last: review it, correct it, use it again.

    Parameters
    ----------
    packs
        Packs, or a quoted pattern ("NAME-*.h5"); the rows of several are put into folds as one data set.
    output
        The CSV to write: id_code, pack, label, group, cluster (of duplicates), fold.
    folds
        How many folds.
    seed
        Another seed gives another set of folds, for repeats.
    use_test
        Also use labelled photographs of a published test set; else they are in no fold.
    """
    from prebake.splits import make_folds

    made = make_folds(packs, folds=folds, seed=seed, use_test=use_test)
    made.save(output)
    terminal.say(terminal.split(made, output))
