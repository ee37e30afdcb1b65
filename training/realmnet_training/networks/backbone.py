"""TinyViT from timm, with window shapes that exporters and quantisers can read.

timm's blocks compute their window partition from the traced tensor's shape and cache the gathered
position biases in evaluation mode. The first breaks conversion after quantisation; the second
breaks `copy.deepcopy` and folds the gathered tables into the exported file (85 -> 183 MB for 21M
at 384). The two subclasses here keep timm's parameters and names and replace only the forward.
"""

from __future__ import annotations

from typing import Final, Literal, cast

import timm
from timm.models.tiny_vit import Attention, TinyVit, TinyVitBlock
from torch import Tensor, nn
from torch.nn import functional

from realmnet_runtime.errors import ConfigurationError

Size = Literal["5m", "11m", "21m"]
SIZES: Final[tuple[Size, ...]] = ("5m", "11m", "21m")
STRIDE: Final = 32
SMALLEST_IMAGE: Final = 64


class WindowAttention(Attention):
    """timm's attention without its cache of gathered position biases."""

    def train(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, mode: bool = True
    ) -> WindowAttention:
        """Switch between training and evaluation, answering the module itself."""
        # timm's override answers None, which breaks chained calls such as `model.eval()`
        nn.Module.train(self, mode)
        return self

    def gathered_biases(self) -> Tensor:
        """Gather the (heads, positions, positions) biases from the (heads, offsets) table."""
        return self.attention_biases[:, cast("Tensor", self.attention_bias_idxs)]

    def forward(self, x: Tensor) -> Tensor:
        """Attend inside windows: (windows, positions, channels) -> the same shape."""
        positions = self.resolution[0] * self.resolution[1]
        per_head = 2 * self.key_dim + self.val_dim
        projected = self.qkv(self.norm(x)).view(-1, positions, self.num_heads, per_head)
        query, key, value = projected.permute(0, 2, 1, 3).split(
            [self.key_dim, self.key_dim, self.val_dim], dim=3
        )
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self.gathered_biases()
        )
        return cast("Tensor", self.proj(mixed.transpose(1, 2).reshape(-1, positions, self.out_dim)))


class WindowBlock(TinyVitBlock):
    """timm's block with its token grid fixed at construction."""

    grid: int

    def forward(self, x: Tensor) -> Tensor:
        """Mix windows, neighbours and channels: (N, grid, grid, channels) -> the same shape."""
        x = x + self.drop_path1(self._attend(x))
        local = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        tokens = local.reshape(-1, self.grid * self.grid, self.dim)
        tokens = tokens + self.drop_path2(self.mlp(tokens))
        return cast("Tensor", tokens.view(-1, self.grid, self.grid, self.dim))

    def _attend(self, x: Tensor) -> Tensor:
        grid, window, channels = self.grid, self.window_size, self.dim
        if grid == window:
            mixed = self.attn(x.reshape(-1, grid * grid, channels))
            return cast("Tensor", mixed.view(-1, grid, grid, channels))
        across = grid // window
        x = x.view(-1, across, window, across, window, channels).transpose(2, 3)
        x = self.attn(x.reshape(-1, window * window, channels))
        x = x.view(-1, across, across, window, window, channels).transpose(2, 3)
        return x.reshape(-1, grid, grid, channels)


def token_grids(image: int) -> tuple[int, int, int, int]:
    """Side of each stage's token grid for a square image: strides 4, 8, 16, 32, rounded up.

    Raises:
        ConfigurationError: `image` is below 64 or no multiple of 4.
    """
    if image < SMALLEST_IMAGE or image % 4:
        raise ConfigurationError(
            f"image size {image}; RealMNet takes multiples of 4 from {SMALLEST_IMAGE} px on, "
            "the paper uses 224, 384 and 512"
        )
    return (image // 4, -(-image // 8), -(-image // 16), -(-image // STRIDE))


def window_sizes(image: int, third_window: int = 0) -> tuple[int, int, int, int]:
    """Attention windows by stage for a square image, in tokens.

    Stages 3 and 4 attend over their whole grid; stage 2 uses the smallest window of at least
    image / 32 that tiles its grid. This gives the published 7, 7, 14, 7 at 224, 12, 12, 24, 12 at
    384 and 16, 16, 32, 16 at 512; stage 1 is convolutional and ignores its entry.

    Args:
        image: side of the square input, pixels.
        third_window: another window for stage 3, whose products of tokens with tokens dominate
            attention: 12 at 384 px has a quarter of them. 0 keeps the whole grid.

    Raises:
        ConfigurationError: an image size that has no token grid, or a window that does not tile
            the third stage's.
    """
    _, second, third, fourth = token_grids(image)
    tiles = next(
        window for window in range(-(-image // STRIDE), second + 1) if second % window == 0
    )
    # a window of one token would attend to itself alone
    fitting = [window for window in range(2, third + 1) if third % window == 0]
    if third_window and third_window not in fitting:
        raise ConfigurationError(
            f"third_window = {third_window} does not tile the third stage's grid of {third} x "
            f"{third} tokens at {image} px; {', '.join(map(str, fitting))} do, and 0 is the "
            "whole grid"
        )
    return (tiles, tiles, third_window or third, fourth)


def build_backbone(
    size: Size, image: int, drop_path: float = 0.0, third_window: int = 0
) -> TinyVit:
    """Build an untrained TinyViT without pooling or classifier.

    Args:
        size: 5m, 11m or 21m.
        image: side of the square input, pixels.
        drop_path: stochastic depth of the last block, 0 to below 1, rising linearly over the 12.
        third_window: attention window of stage 3, tokens; 0 is its whole grid.

    Returns:
        timm's model; `forward_features` gives (N, channels, image / 32, image / 32) without the
        final norm, which is `head.norm`.

    Raises:
        ConfigurationError: an unknown size, an image size that has no token grid, or a window
            that does not tile it.
    """
    backbone = build_timm_backbone(size, image, drop_path, third_window)
    grids = token_grids(image)
    for stage, grid in zip(backbone.stages, grids, strict=True):
        for module in stage.modules():
            # exchanging the class keeps timm's construction, parameters and state-dict names
            if isinstance(module, TinyVitBlock):
                module.__class__ = WindowBlock
                cast("WindowBlock", module).grid = grid
            elif isinstance(module, Attention):
                module.__class__ = WindowAttention
    return backbone


def build_timm_backbone(
    size: Size, image: int, drop_path: float = 0.0, third_window: int = 0
) -> TinyVit:
    """Build the same as `build_backbone`, with every forward as timm wrote it.

    Parameters, names and answers are the same; latency is quoted against it.

    Raises:
        ConfigurationError: as `build_backbone`.
    """
    if size not in SIZES:
        raise ConfigurationError(f"model size '{size}'; RealMNet has {', '.join(SIZES)}")
    return cast(
        "TinyVit",
        timm.create_model(
            f"tiny_vit_{size}_224",
            num_classes=0,
            global_pool="",
            window_sizes=list(window_sizes(image, third_window)),
            drop_path_rate=drop_path,
        ),
    )
