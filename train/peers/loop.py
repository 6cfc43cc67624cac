"""The one training loop of all peers: Adam on minibatches of preprocessed events, as their READMEs have it."""

from collections.abc import Iterator

import torch
from torch import Tensor

from sideband.benchmarks.events.task import Task
from sideband.train.nets.preprocessing import LogitStandardise, MassScale
from sideband.train.peers import Peer
from sideband.train.peers.race import Array, Clock, Race

BATCH = 256  # CATHODE's (arXiv:2109.00546), and that of torchcfm's tutorial
LEARNING_RATE = 1e-3  # Adam's default, that of zuko's README, and that of the examples of nflows and torchcfm


class Trained:
    """A peer with the preprocessing around it: masses in, features out, in physical units.

    Features are mapped to (0, 1), through a logit, and to zero mean and unit variance, as ANODE and CATHODE do.
    """

    def __init__(self, peer: Peer, task: Task) -> None:
        data = task.events("data")
        sidebands = data[~task.inside(data)]
        self.peer, self.features, self.scale = peer, LogitStandardise(task.width), MassScale()
        self.features.fit(torch.from_numpy(sidebands.features))
        self.scale.fit(*task.mass_range)
        self.x = self.features(torch.from_numpy(sidebands.features).T)[0].T.contiguous()
        self.mass = self.scale(torch.from_numpy(sidebands.mass))[:, None]

    @torch.no_grad()
    def __call__(self, masses: Array) -> Array:
        """Features `[N, d]` of background events at masses `[N]`."""
        made = self.peer.sample(self.scale(torch.from_numpy(masses))[:, None])
        return self.features.inverse(made.T).T.numpy()

    def train(self, race: Race, clock: Clock) -> None:
        """Train until the race is over."""
        optimizer = torch.optim.Adam(self.peer.model.parameters(), lr=LEARNING_RATE)
        for rows in _batches(len(self.x)):
            loss = self.peer.loss(self.x[rows], self.mass[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if not clock.due():
                continue
            spent = clock.read()
            with clock.paused():
                if race.over(spent, self(race.masses)):
                    return


def _batches(number: int) -> Iterator[Tensor]:
    """Rows of one minibatch after the other, in a new order each epoch."""
    while True:
        yield from torch.split(torch.randperm(number), BATCH)
