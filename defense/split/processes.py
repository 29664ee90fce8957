"""Training with the server in a process of its own, and going on when one of the two dies."""

from __future__ import annotations

import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch

from defense.protections import find_protection
from defense.split.channel import PATIENCE_SECONDS, Channel, PeerLost
from defense.split.checkpoints import Checkpoints
from defense.split.config import SplitConfig
from defense.split.halves import ClientHalf, ServerHalf
from defense.split.model import build_client, z_shape
from defense.split.remote import RemoteServer
from defense.split.serving import READY, Order, agreed_for, hello
from defense.split.storage import CHECKPOINTS, save_server
from defense.split.training import Labelled, Trainer, trainer_in_process
from foundation.errors import DeviceError
from foundation.progress import SILENT, Progress

# A server process imports torch first.
START_SECONDS = 120.0
# So often a server may die without a step kept since.
TRIES = 3


@dataclass
class ServerProcess:
    """A server of our own, in a process that ends with this one. A context manager."""

    order: Order
    _folder: Path
    _process: subprocess.Popen[bytes] = field(init=False)

    @classmethod
    def start(
        cls, config: SplitConfig, shape: tuple[int, int, int], directory: Path, **options: object
    ) -> ServerProcess:
        """Start one; `options` are those of `Order`.

        Raises:
            DeviceError: it did not start.
        """
        folder = Path(tempfile.mkdtemp(prefix="edgecat-split-"))
        words = {
            "config": config,
            "z_shape": shape,
            "directory": directory.resolve(),
            "address": str(folder / "server"),
        }
        order = Order.model_validate(words | {"key": secrets.token_hex(32)} | options)
        server = cls(order, folder)
        try:
            server._launch()
        except BaseException:
            server.close()
            raise
        return server

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def connect(self) -> Channel:
        """A channel to it.

        Raises:
            PeerLost: it is gone.
        """
        dialled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            dialled.connect(self.order.address)
        except OSError as error:
            dialled.close()
            raise PeerLost(f"no server answers: {error}") from error
        return Channel(dialled, bytes.fromhex(self.order.key), dialled=True, patience=self.order.patience)

    def close(self) -> None:
        """End it; twice does no harm."""
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _launch(self) -> None:
        command = [sys.executable, "-m", "defense.split.serving"]
        source = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=source)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self.order.model_dump_json().encode() + b"\n")
        self._process.stdin.flush()
        waiting, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        if not waiting or self._process.stdout.readline().decode().strip() != READY:
            raise DeviceError("the server's process did not start", exit_status=self._process.poll())


def train_in_processes(
    config: SplitConfig,
    train: Labelled,
    directory: Path,
    *,
    validation: Labelled | None = None,
    every: int | None = None,
    patience: float = PATIENCE_SECONDS,
    transcript: Path | None = None,
    progress: Progress = SILENT,
) -> Trainer:
    """Train the client's half here, the server's in a process of its own.

    Goes on from the last step that both halves have kept in `directory`, if there is one. A server that dies or falls
    silent is started again, and both go on from there.

    Args:
        config: of network and training; `images` must be those given.
        train: the client's images.
        directory: the server's trained half is written here, and checkpoints of both halves.
        validation: judged after each epoch.
        every: steps between checkpoints; None keeps one after each epoch.
        patience: seconds of silence after which a half counts as frozen.
        transcript: directory for what the server sees; None keeps nothing.
        progress: where to show it.

    Returns:
        the client's side of it: its `client.model.server` went with the server's process.

    Raises:
        DataError: something is no longer a number; checkpoints stay those of steps before.
        PeerLost: the server died over and over.
    """
    client = Client(config, train, directory, validation, every)
    tries = 0
    while True:
        kept = client.checkpoints.steps()
        options = {"patience": patience, "transcript": None if transcript is None else transcript.resolve()}
        with ServerProcess.start(config, client.shape, directory, **options) as server:
            try:
                return client.train(server.connect(), progress)
            except PeerLost as error:
                tries = 1 if client.checkpoints.steps() != kept else tries + 1
                if tries >= TRIES:
                    raise
                progress.say(f"{error.message}; starting another server, which goes on from the last step both have")


def train_in_process(
    config: SplitConfig,
    train: Labelled,
    directory: Path,
    *,
    validation: Labelled | None = None,
    every: int | None = None,
    progress: Progress = SILENT,
) -> Trainer:
    """The same with both halves in this process: same arguments, same files, the same weights to the last bit."""
    protection = find_protection(config.protection)
    trainer = trainer_in_process(
        train,
        config.classes,
        protection,
        config.settings,
        config.seed,
        validation=validation,
        depth=config.depth,
        width=config.width,
    )
    assert isinstance(trainer.server, ServerHalf)
    learner = trainer.server.learner
    clients, servers = (Checkpoints(directory / CHECKPOINTS, half, config.sha256) for half in ("client", "server"))
    common = max({0} | (set(clients.steps()) & set(servers.steps())))
    if common:
        trainer.load_state(*clients.read(common))
        learner.load_state(servers.read(common)[0], "server")
        progress.say(f"going on from step {common}")
    for checkpoints in (clients, servers):
        checkpoints.forget_after(common)

    def keep(step: int) -> None:
        clients.write(step, *trainer.state())
        servers.write(step, learner.state())

    trainer.run(progress, keep, every)
    save_server(directory, learner.network, config)
    return trainer


@dataclass
class Client:
    """The client's side: its images, and where it keeps its checkpoints."""

    config: SplitConfig
    data: Labelled
    directory: Path
    validation: Labelled | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.directory / CHECKPOINTS, "client", self.config.sha256)
        protection = find_protection(self.config.protection)
        network = build_client(
            self.config.image_shape, protection, self.config.seed, self.config.depth, self.config.width
        )
        self.shape = z_shape(network, self.config.image_shape, protection)

    def train(self, channel: Channel, progress: Progress = SILENT) -> Trainer:
        """Train with the server at the other end, from the last step both have, and say goodbye.

        Raises:
            PeerLost: the server is gone, or silent.
        """
        config = self.config
        with channel:
            own = self.checkpoints.steps()
            server = RemoteServer(channel, hello(config, self.shape, own), agreed_for(config, self.shape))
            common = max({0} | (set(own) & set(server.steps)))
            server.go_on(common)
            trainer = self._trainer(server)
            if common:
                trainer.load_state(*self.checkpoints.read(common))
                progress.say(f"going on from step {common}")
            self.checkpoints.forget_after(common)

            def keep(step: int) -> None:
                self.checkpoints.write(step, *trainer.state())
                server.keep(step)

            trainer.run(progress, keep, self.every)
            server.finish(trainer.done)
            server.bye()
        return trainer

    def _trainer(self, server: RemoteServer) -> Trainer:
        config = self.config
        protection = find_protection(config.protection)
        network = build_client(config.image_shape, protection, config.seed, config.depth, config.width)
        generator = torch.Generator().manual_seed(config.seed)
        client = ClientHalf(network, protection, config.settings, config.total, generator, server.module)
        return Trainer(client, server, self.data, config.settings, config.seed, self.validation)
