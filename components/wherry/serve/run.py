"""Wires the model server: a GGUF file in, an address that answers."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.contracts import Digest, digest_bytes, digest_file, read_settings
from wherry.contracts.errors import (
    DigestError,
    ExtraMissingError,
    MissingError,
    TemplateError,
    WherryError,
    as_wherry_error,
)
from wherry.gguf_template import chat_template
from wherry.serve.settings import ServeSettings
from wherry.serve.step import Drain, Engine, Line

if TYPE_CHECKING:
    from wherry.serve.adapters.dispatch import ThreadDispatcher


def run(
    model: Path,
    name: str,
    port: int = 8080,
    host: str = "127.0.0.1",
    threads: int = 0,
    context: int = 1024,
    parallel: int = 4,
    expect_digest: str = "",
    expect_template: str = "",
    control_fd: int = -1,
    tag: str = "",
) -> None:
    """Serves a GGUF model over HTTP until SIGTERM or Ctrl-C.

    Args:
        model: the GGUF file; its own chat template is used.
        name: what clients call the model.
        port: the TCP port listened on.
        host: the address listened on.
        threads: threads that compute, or 0 for all cores.
        context: tokens of one conversation, question and answer together.
        parallel: conversations answered at the same time.
        expect_digest: what the file must hash to, ``sha256:…``, or empty.
        expect_template: what the chat template must hash to, or empty.
        control_fd: an inherited socket to the deployer, see `adapters.control`, or -1.
        tag: free text by which a process list shows who started the server.
    """
    del tag  # stands in the command line, which is where it is read
    line = _line(control_fd)
    options = {
        "name": name,
        "host": host,
        "port": port,
        "threads": threads,
        "context": context,
        "parallel": parallel,
        "expect_digest": expect_digest or None,
        "expect_template": expect_template or None,
    }
    try:
        settings = read_settings(ServeSettings, options, where="the options")
        serve(model, settings, line, announce=lambda: _announce(settings))
    except (WherryError, OSError) as raised:
        if line:
            error = as_wherry_error(raised)
            line.say(state="failed", code=error.code, message=error.message, remedy=error.remedy)
        raise


def _line(descriptor: int) -> Line | None:
    if descriptor < 0:
        return None
    from wherry.serve.adapters.control import Control

    return Control(descriptor)


def serve(
    model: Path, settings: ServeSettings, line: Line | None = None, *, announce: Callable[[], None]
) -> None:
    """Serves a GGUF model as `run` does.

    Args:
        model: the GGUF file.
        settings: where it listens, and what it may use.
        line: to the deployer, if one started this server.
        announce: called once it listens.
    """
    with _extra():
        from wherry.serve.adapters import listener
    public = listener.bind(settings.host, settings.port, shared=line is not None)
    drain = Drain()
    with public:
        address = str(public.getsockname()[0])
        application, dispatcher = _application(model, settings, address, drain)
        listener.serve(application, public, line=line, drain=drain, announce=announce)
    if dispatcher.busy:
        # llama.cpp cannot be told to stop, and unloading it at work crashes.
        os._exit(0)


def _application(
    model: Path, settings: ServeSettings, address: str, drain: Drain
) -> tuple[object, "ThreadDispatcher"]:
    from wherry.serve.adapters.dispatch import ThreadDispatcher

    with _extra(), ThreadPoolExecutor(1) as pool:
        # llama.cpp reads the file while this thread imports KServe.
        loading = pool.submit(_load, model, settings)
        with _no_arguments():
            from wherry.serve.adapters.guard import Guard
            from wherry.serve.adapters.kserve_app import build_application, observe_chat
        digest, engine = loading.result()
    dispatcher = ThreadDispatcher(engine, settings.parallel)
    application = build_application(settings.name, digest, int(model.stat().st_mtime), dispatcher)
    guard = Guard(
        application,
        drain=drain,
        observe=observe_chat(settings.name),
        host=settings.host,
        address=address,
    )
    return guard, dispatcher


def _load(model: Path, settings: ServeSettings) -> tuple[Digest, Engine]:
    if not model.is_file():
        raise MissingError(f"There is no model file {model}.", remedy="Correct --model.")
    digest = digest_file(model)
    if settings.expect_digest not in (None, digest):
        raise DigestError(
            f"{model} has digest {digest}, expected {settings.expect_digest}.",
            remedy="Restore the file or make the artifact again.",
        )
    template = digest_bytes(chat_template(model).encode())
    if settings.expect_template not in (None, template):
        raise TemplateError(
            f"The chat template of {model} has digest {template}, "
            f"expected {settings.expect_template}.",
            remedy="Quantize the model again with the template that it was trained with.",
        )
    from wherry.serve.adapters.llama import LlamaEngine

    return digest, LlamaEngine(model, settings)


def _announce(settings: ServeSettings) -> None:
    print(f"serving {settings.name} at {settings.url}", file=sys.stderr, flush=True)


@contextmanager
def _no_arguments() -> Iterator[None]:
    """Hides the process's arguments: kserve reads them while it is imported."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = arguments


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Serving needs the package {error.name!r}.", remedy='Run: pip install "wherry[serve]".'
        ) from error
    except ImportError as error:
        raise ExtraMissingError(
            f"Serving needs a library of the system: {error}.",
            remedy="Install it: libgomp.so.1, which llama.cpp computes with, is Debian's libgomp1.",
        ) from error
