"""Small videos, written with PyAV, and what is in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MS = Fraction(1, 1000)


def moving(count: int = 6, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames (H,W,3) with a red square that moves to the right over grey, brighter from frame to frame."""
    frames = []
    for index in range(count):
        frame = np.full((height, width, 3), 60 + 10 * index, np.uint8)
        frame[10:30, 4 + 5 * index : 24 + 5 * index] = (220, 30, 40)
        frames.append(frame)
    return frames


def film(path: Path, frames=None, times=None, codec="libx264", pixels="yuv420p", sound=None, **options) -> Path:
    """Write frames shown at `times` in ms, by default every 40; with `sound`, a codec, half a second of a tone."""
    frames = moving() if frames is None else frames
    times = times or [40 * index for index in range(len(frames))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = MS
        tone = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for image, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base, frame.duration = time, MS, 40
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            wave = (np.sin(np.arange(24000) / 20) * 8000).astype(np.int16)[None]
            samples = av.AudioFrame.from_ndarray(wave, "s16", "mono")
            samples.sample_rate, samples.pts = 48000, 0
            context = tone.codec_context  # opened with the first frame
            resampler = av.AudioResampler(context.format, context.layout, 48000, context.frame_size or None)
            for part in [*resampler.resample(samples), *resampler.resample(None)]:
                container.mux(tone.encode(part))
            container.mux(tone.encode(None))
    return path


def gif(path: Path, frames=None, milliseconds: int = 100) -> Path:
    """An animated GIF."""
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in (moving() if frames is None else frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)
    return path


def turned(path: Path) -> Path:
    """Mark an MP4 as filmed by a phone held upright: to be turned by 90 degrees clockwise."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    numbers = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(content)
    return path


def shown(path: Path, pixels: str = "rgb24", decoder: str | None = None) -> tuple[list[np.ndarray], list[float]]:
    """The frames of a film and their times in seconds, decoded by its usual or another decoder."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if decoder:
            context = av.CodecContext.create(decoder, "r")
            found = [frame for packet in container.demux(stream) if packet.size for frame in context.decode(packet)]
            found += context.decode(None)
        else:
            found = list(container.decode(stream))
        return [f.to_ndarray(format=pixels) for f in found], [float(f.pts * stream.time_base) for f in found]


def sounds(path: Path) -> list[tuple[str, float]]:
    """(codec, seconds) of each sound stream."""
    with av.open(str(path)) as container:
        found = []
        for stream in container.streams.audio:
            samples = sum(frame.samples for frame in container.decode(stream))
            found.append((stream.codec_context.name, samples / stream.rate))
            container.seek(0)
        return found
