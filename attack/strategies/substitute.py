"""What a strategy reads off its substitute: probabilities of its classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, softmax
from torch import Tensor, nn

from victim.step import as_input
from victim.training import predict

BATCH = 256


def probabilities(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The substitute's probability of each class, float32 [N, classes], of images uint8 [N, H, W, C]."""
    return np.asarray(softmax(predict(network, images), axis=1), np.float32)


def entropy(chances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy in nats, float32 [N], of probabilities float32 [N, classes]."""
    return np.asarray(entr(chances).sum(axis=1), np.float32)


def in_batches(images: NDArray[np.uint8], judge: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    """Apply `judge` (float32 [B, C, H, W] in [0, 1] to [B, ...]) to images uint8 [N, H, W, C], N >= 1, in pieces."""
    pieces = [judge(as_input(images[k : k + BATCH])) for k in range(0, len(images), BATCH)]
    return np.asarray(torch.cat(pieces).numpy(), np.float32)
