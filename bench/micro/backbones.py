"""Which of timm's families work here: a small member of each is built, trained for a step, and run on pictures.

A backbone *works* if all of that succeeds, is *refused* if the check before training says in a sentence why it cannot, and
*fails* if it passed the check and breaks later, which is a fault of ours.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wsshm.config import LossConfig, ModelConfig
from wsshm.errors import UserError
from wsshm.losses import Target, sample_losses
from wsshm.models import families
from wsshm.models.network import MattingModel, build_model
from wsshm.models.trial import Size, check_backbone, sizes_met, stride_of
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.protocols import NATIVE

_NAMES = """
resnet18 resnet50_gn resnetv2_50x1_bit skresnet18 resnest14d res2net50_14w_8s regnety_002 densenet121 dla34 vgg11
hrnet_w18_small dpn48b xception41 selecsls42b ese_vovnet19b_dw tresnet_m cs3darknet_focus_s cspresnet50 repvgg_a0
mobileone_s0 gernet_s nf_resnet26 eca_nfnet_l0 legacy_seresnet18 efficientnet_b0 tf_efficientnet_lite0 mixnet_s
mobilenetv3_small_050 mobilenetv4_conv_small mobilenetv4_hybrid_medium mobilenetv5_base hardcorenas_a rexnet_100
ghostnet_050 lcnet_050 tinynet_e repghostnet_050 lcnetv2_small inception_v3 inception_v4 inception_resnet_v2
legacy_xception nasnetalarge pnasnet5large convnext_atto convnextv2_atto inception_next_atto rdnet_tiny fasternet_t0
starnet_s1 hgnetv2_b0 mambaout_femto cspnext_s repvit_m0_9 csatv2 shvit_s1 poolformer_s12 caformer_s18
edgenext_xx_small swiftformer_xs fastvit_t8 efficientvit_b0 efficientvit_m0 efficientvim_m1 nextvit_small
tiny_vit_5m_224 pvt_v2_b0 davit_tiny focalnet_tiny_srf twins_svt_small mobilevit_xxs mobilevitv2_050 lowformer_b0
cpubone_b0_bfrobust iformer_t swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_ns_224
hiera_tiny_224 sam2_hiera_tiny maxvit_tiny_rw_224 maxvit_rmlp_pico_rw_256 maxxvitv2_nano_rw_256 coatnet_nano_rw_224
coat_lite_tiny efficientformer_l1 efficientformerv2_s0 mvitv2_tiny gcvit_xxtiny nest_tiny pit_ti_224 visformer_tiny
levit_128s lambda_resnet26t halonet26t botnet26t_256 bat_resnext26ts vit_tiny_patch16_224 vit_small_patch14_dinov2
vit_small_patch16_dinov3 vit_small_r26_s32_224 vit_relpos_small_patch16_224 vit_betwixt_patch16_reg4_gap_256
flexivit_small vitamin_small_224 samvit_base_patch16 naflexvit_base_patch16_gap deit_tiny_patch16_224
deit3_small_patch16_224 eva02_tiny_patch14_224 beit_base_patch16_224 cait_xxs24_224 convit_tiny xcit_nano_12_p16_224
volo_d1_224 tnt_s_patch16_224 crossvit_tiny_240 sequencer2d_s convmixer_768_32 mixer_s32_224 gmlp_s16_224
resmlp_12_224 qwen3_vit_88m_enc gemma4_vit_167m deepseek_vit_412m aimv2_large_patch14_224
"""
MEMBERS = tuple(_NAMES.split())
"""A small member of each of timm's families that gives feature maps."""

BATCH = 2
WORKS, REFUSED, FAILS = "works", "refused", "fails"


@dataclass(frozen=True)
class Outcome:
    """What became of one backbone: `works`, `refused` before training, or `fails` after the check passed it, and why."""

    backbone: str
    status: str
    reason: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.backbone:34} {self.status:8} {self.seconds:5.1f} s{f'  {self.reason}' if self.reason else ''}"


def run(
    backbones: Sequence[str], sizes: Sequence[Size], train_size: int, say: Callable[[str], None] = print
) -> list[Outcome]:
    """Try each backbone, with a line for each as it ends and a summary; `sizes` are pictures' (height, width)."""
    outcomes = []
    for backbone in backbones:
        outcomes.append(tried(backbone, sizes, train_size))
        say(str(outcomes[-1]))
    counts = Counter(outcome.status for outcome in outcomes)
    say(
        f"{counts[WORKS]} of {len(outcomes)} work ({counts[WORKS] / len(outcomes):.1%}), {counts[REFUSED]} refused before"
        f" training, {counts[FAILS]} failed after the check had passed them"
    )
    return outcomes


def tried(backbone: str, sizes: Sequence[Size], train_size: int) -> Outcome:
    """One backbone: checked as before any training, trained for a step at `train_size` px, and run on pictures."""
    begin = time.monotonic()

    def outcome(status: str, reason: str = "") -> Outcome:
        return Outcome(backbone, status, reason, time.monotonic() - begin)

    kwargs = families.fitted(backbone, {}, train_size)
    try:
        stride = stride_of(backbone, kwargs)
        padded = [(-(-height // stride) * stride, -(-width // stride) * stride) for height, width in sizes]
        check_backbone(backbone, kwargs, [*sizes_met(train_size, False, stride), *padded])
    except UserError as error:
        return outcome(REFUSED, str(error))
    try:
        torch.manual_seed(0)
        model = build_model(ModelConfig(backbone=backbone, weights="none", backbone_kwargs=kwargs))
        _train_a_step(model, train_size)
        for height, width in sizes:
            picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
            matte = predict_matte(model.eval(), picture, NATIVE).matte
            if matte.shape != (height, width) or not np.isfinite(matte).all():
                return outcome(FAILS, f"the matte of a picture of {width}x{height} px is {matte.shape} or not finite")
    except Exception as error:  # whatever a family raises is the finding
        return outcome(FAILS, f"{type(error).__name__}: {str(error)[:200]}")
    return outcome(WORKS)


def _train_a_step(model: MattingModel, size: int) -> None:
    images, matte = torch.rand(BATCH, 3, size, size), torch.rand(BATCH, 1, size, size)
    target = Target(matte, matte, torch.ones_like(matte), torch.ones_like(matte))
    optimiser = torch.optim.SGD(model.train().parameters(), 1e-3)
    loss = sample_losses(model(images), target, LossConfig()).mean()
    loss.backward()
    optimiser.step()
    if not all(value.isfinite().all() for value in (loss, *model.parameters())):
        raise ArithmeticError("a step leaves values that are not finite")
