"""Reading and writing videos with PyAV: frames upright with their time stamps, alpha, and the sound that goes along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.data.decoding import check_pixels, open_regular
from wsshm.errors import UserError, first_line
from wsshm.files.whole import whole_file

av.logging.set_level(av.logging.PANIC)  # what FFmpeg would say of a file becomes a sentence

USUAL_RATE = Fraction(25)
SHORT_BY = 0.1  # s, and two frames, that a whole film may end earlier than its header says
TO_16 = 257  # 16-bit values are so many times those of 8 bits: FFmpeg makes 1023 of 65535, but 1020 of 255
PIXELS = {(3, False): "rgb24", (4, False): "rgba", (3, True): "rgb48le", (4, True): "rgba64le"}
BT709 = 1  # FFmpeg's number for its matrix, primaries and transfer


@dataclass(frozen=True)
class Frame:
    """A frame of a film: H x W x 3 uint8 RGB, upright; when it is shown and for how long, in the film's `time_base`."""

    image: NDArray[np.uint8]
    time: int
    duration: int


class Film:
    """A video that is read once, frame by frame.

    Raises UserError for a file that is no video, or holds none. After `frames` has ended, `problem` says in a sentence
    what could not be read, "" for nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.problem = path, ""
        open_regular(path).close()  # a sentence for what is missing, a folder or a pipe
        try:
            self._container = av.open(str(path), metadata_errors="replace")
        except (av.error.FFmpegError, IndexError, ValueError) as error:
            raise self._unreadable(error) from error
        streams = [s for s in self._container.streams.video if not _is_cover(s)]
        if not streams:
            self.close()
            raise UserError(f"{path} holds no video stream; give a file with moving pictures")
        self._stream = streams[0]
        self._stream.thread_type = "AUTO"
        check_pixels(path, self._stream.width or 1, self._stream.height or 1)
        self.time_base: Fraction = self._stream.time_base or Fraction(1, 1000)
        self.rate: Fraction = self._stream.average_rate or self._stream.guessed_rate or USUAL_RATE
        self._timed = self._container.format.name != "avi"  # which stores no times, but the order of decoding
        self.has_sound = bool(self._container.streams.audio)
        self.aspect: Fraction | None = self._stream.sample_aspect_ratio

    @property
    def count(self) -> int | None:
        """How many frames there are as the header says, or about so many; None where it does not."""
        if self._stream.frames:
            return self._stream.frames
        seconds = self._seconds()
        return round(seconds * self.rate) if seconds else None

    def frames(self) -> Iterator[Frame]:
        """The frames in the order they are shown, each later than the one before.

        Damaged pieces are left out; what could not be read is in `problem` then. UserError if nothing could be.
        """
        usual = max(1, round(1 / (self.rate * self.time_base)))
        damaged, count, begin, last, end = 0, 0, None, None, 0
        size: tuple[int, int] | None = None
        for found in self._decoded():
            if found is None:
                damaged += 1
                continue
            duration = found.duration or usual
            time = found.pts
            if time is None or not self._timed:
                time = round(count / (self.rate * self.time_base))
            if last is not None and time <= last:
                time = last + 1
            count += 1
            size = size or (found.width, found.height)
            image = found.to_ndarray(format="rgb24", width=size[0], height=size[1]).astype(np.uint8, copy=False)
            begin, last, end = time if begin is None else begin, time, time + duration
            yield Frame(_upright(image, found.rotation), time, duration)
        if last is None or begin is None:
            raise UserError(f"no frame of {self.path} can be decoded; it may be cut off or damaged, so fetch it again")
        reached, said = float((end - begin) * self.time_base), self._seconds()
        if said and said - reached > SHORT_BY + 2 / self.rate:
            self.problem = (
                f"{self.path} is cut off after {reached:.2f} of {float(said):.2f} s; what is there was matted, fetch it "
                "again for the rest"
            )
        elif damaged:
            self.problem = f"{self.path} has {damaged} damaged pieces, which were left out; fetch it again"

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _decoded(self) -> Iterator[av.VideoFrame | None]:
        """Frames, and None for each packet that cannot be decoded; ends where the file does."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError):
                yield None
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except (av.error.FFmpegError, ValueError):
                yield None

    def _seconds(self) -> Fraction | None:
        """How long the pictures last, as the header says; None where it does not."""
        if self._stream.duration:
            return self._stream.duration * self.time_base
        if tag := self._stream.metadata.get("DURATION"):  # of Matroska and WebM
            with suppress(ValueError):
                hours, minutes, seconds = tag.split(":")
                return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        if self._container.duration and len(self._container.streams) == 1:
            return Fraction(self._container.duration, av.time_base)
        return None

    def _unreadable(self, error: Exception) -> UserError:
        why = getattr(error, "strerror", None) or first_line(error)
        return UserError(
            f"{self.path} cannot be read as a video ({why.lower()}); it may be cut off or of another format, so fetch it "
            "again"
        )


def has_one_picture(path: Path) -> bool:
    """Whether a GIF holds a single picture, as far as it can be read."""
    with suppress(UserError), _opened(Film(path)) as film:
        return film.count == 1
    return False


@contextmanager
def _opened(film: Film) -> Iterator[Film]:
    try:
        yield film
    finally:
        film.close()


@dataclass(frozen=True)
class Kind:
    """A file format for films: container, codecs by preference, pixel format, options of the first codec.

    `holds` are the codecs of sound that are kept as they are, `sound` is what others become. `even`: sizes must be.
    """

    ending: str
    container: str
    codecs: tuple[str, ...]
    pixels: str
    options: dict[str, str]
    sound: str
    holds: frozenset[str]
    even: bool = False

    def codec(self) -> str:
        """The first of its codecs that this PyAV can write. UserError for none."""
        for name in self.codecs:
            if name in av.codecs_available:
                with suppress(av.error.FFmpegError, ValueError):
                    av.Codec(name, "w")
                    return name
        raise UserError(
            f"this PyAV can write none of {', '.join(self.codecs)}; install PyAV from PyPI (pip install av), or give "
            "--video frames"
        )


_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac"})
_MOV = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s16be", "pcm_s24be"})
_WEBM = frozenset({"opus", "vorbis"})
_VP9 = {"crf": "20", "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "5", "auto-alt-ref": "0"}
KINDS = {
    ("prores", "cutout"): Kind(".mov", "mov", ("prores_ks",), "yuva444p10le", {"profile": "4444"}, "pcm_s16le", _MOV),
    ("prores", "alpha"): Kind(".mov", "mov", ("prores_ks",), "yuv422p10le", {"profile": "hq"}, "pcm_s16le", _MOV),
    ("webm", "cutout"): Kind(".webm", "webm", ("libvpx-vp9",), "yuva420p", _VP9, "libopus", _WEBM),
    ("webm", "alpha"): Kind(".webm", "webm", ("libvpx-vp9",), "yuv420p", _VP9, "libopus", _WEBM),
}
COMPOSITE = Kind(".mp4", "mp4", ("libx264", "libopenh264", "mpeg4"), "yuv420p", {"crf": "18"}, "aac", _MP4, even=True)


def kind_of(layer: str, video: str) -> Kind:
    """The format that a layer of a film is written in, of `--video prores` or `webm`."""
    return COMPOSITE if layer == "composite" else KINDS[video, layer]


class Writer:
    """A film being written: frames by their time stamps, and the sound of the film that they came from."""

    def __init__(self, path: Path, kind: Kind, source: Film, size: tuple[int, int], sound: bool) -> None:
        height, width = size
        self.kind = kind
        self._grown = (height % 2, width % 2) if kind.even else (0, 0)
        self._container = av.open(str(path), "w", format=kind.container)
        codec = kind.codec()
        options = kind.options if codec in kind.codecs[:1] else {}
        self._stream = cast(Any, self._container.add_stream(codec, rate=source.rate, options=options))
        self._stream.width, self._stream.height = width + self._grown[1], height + self._grown[0]
        self._stream.pix_fmt = kind.pixels
        context: Any = self._stream.codec_context
        context.time_base = source.time_base
        if source.aspect and source.aspect != 1:
            context.sample_aspect_ratio = source.aspect
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1  # limited
        self._time_base = source.time_base
        self._sound = Sound(source.path, self._container, kind) if sound and source.has_sound else None

    def write(self, pixels: NDArray, frame: Frame) -> None:
        """Add a frame, H x W (grey), H x W x 3 or H x W x 4, shown when `frame` is."""
        if pixels.ndim == 2:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
        if any(self._grown):
            pixels = cv2.copyMakeBorder(pixels, 0, self._grown[0], 0, self._grown[1], cv2.BORDER_REPLICATE)
        deep = "10" in self.kind.pixels
        if deep and pixels.dtype == np.uint8:
            pixels = pixels.astype(np.uint16) * np.uint16(TO_16)
        elif not deep and pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        made = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=PIXELS[pixels.shape[2], deep])
        made = made.reformat(format=self.kind.pixels, dst_colorspace="ITU709")
        made.pts, made.time_base, made.duration = frame.time, self._time_base, frame.duration
        if self._sound:
            self._sound.until(float(frame.time * self._time_base))
        self._container.mux(self._stream.encode(made))

    def finish(self) -> None:
        """Write what is still held back, and the rest of the sound."""
        if self._sound:
            self._sound.until(None)
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Close the file, finished or not."""
        if self._sound:
            self._sound.close()
        self._container.close()


class Sound:
    """The sound of a film on its way into another: copied as it is where the container can hold it, else encoded."""

    def __init__(self, source: Path, target: Any, kind: Kind) -> None:
        self._source = av.open(str(source), metadata_errors="replace")
        self._target = target
        self._from: Any = self._source.streams.audio[0]
        self._packets = self._source.demux(self._from)
        self._resampler: av.AudioResampler | None = None
        if self._from.codec_context.name in kind.holds:
            self._to: Any = target.add_stream_from_template(self._from)
        else:
            rate = 48000 if kind.sound == "libopus" else self._from.rate
            self._to = target.add_stream(kind.sound, rate=rate, layout=self._from.layout.name)
            context = self._to.codec_context
            context.open()
            self._resampler = av.AudioResampler(context.format, context.layout, rate, context.frame_size or None)
        self._held: Any = None

    def until(self, seconds: float | None) -> None:
        """Write what is heard before a time, None for all that is left. What cannot be read any more is left out."""
        while True:
            packet, self._held = self._held or self._next(), None
            if packet is None:
                return
            if seconds is not None and packet.pts is not None and float(packet.pts * packet.time_base) > seconds:
                self._held = packet
                return
            self._write(packet)

    def close(self) -> None:
        """Close the film that it is read from."""
        self._source.close()

    def _next(self) -> Any:
        with suppress(av.error.FFmpegError, ValueError):
            return next(self._packets, None)
        return None

    def _write(self, packet: Any) -> None:
        if self._resampler is None:
            if packet.dts is not None:  # not the empty packet at the end
                packet.stream = self._to
                self._target.mux(packet)
            return
        with suppress(av.error.FFmpegError, ValueError):
            for frame in packet.decode():
                for even in self._resampler.resample(frame):
                    self._target.mux(self._to.encode(even))
            if packet.dts is None:
                for even in self._resampler.resample(None):
                    self._target.mux(self._to.encode(even))
                self._target.mux(self._to.encode(None))


@contextmanager
def new_film(target: Path, kind: Kind, source: Film, size: tuple[int, int], sound: bool) -> Iterator[Writer]:
    """A film under a temporary name that becomes `target` when the block ends well."""
    with whole_file(target) as temporary:
        writer = Writer(temporary, kind, source, size, sound)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


def _upright(image: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """A frame turned as its display matrix says, in quarter turns counterclockwise."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
