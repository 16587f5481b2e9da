"""What a minute of video costs: ``python -m benchmarks.video`` makes one (1080p, H.264, a key frame every two seconds)
and prints CPU seconds, which other programs change little, for choosing its frames and for embedding them.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from retrieval.encoders.registry import load_encoder
from retrieval.pictures.decoders import Decoders
from retrieval.pictures.video import FRAMES_PER_MINUTE, MOST_FRAMES, read_video

WIDTH, HEIGHT, RATE, SCENE_S = 1920, 1080, 30, 6


def make(path: Path, minutes: float, seconds_between_keys: float) -> None:
    """Scenes of drifting blocks with some noise, which cost about what a phone's recording costs to decode."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(
            "libx264", rate=RATE, options={"preset": "ultrafast", "crf": "23", "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size = round(seconds_between_keys * RATE)
        for number in range(round(60 * minutes * RATE)):
            if number % (SCENE_S * RATE) == 0:
                blocks = random.integers(0, 230, (HEIGHT // 40, WIDTH // 40, 3), dtype=np.uint8)
                scene = blocks.repeat(40, 0).repeat(40, 1)
                scene = scene + random.integers(0, 24, scene.shape, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(np.roll(scene, 4 * number, axis=1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--keys", type=float, default=2.0, help="seconds from one key frame to the next")
    parser.add_argument("--file", type=Path, help="a video of yours instead")
    options = parser.parse_args()
    encoder = load_encoder("builtin-224")
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "clip.mp4"
        if options.file is None:
            make(path, options.minutes, options.keys)
        found = path.stat()
        asked = {"side": 224, "per_minute": FRAMES_PER_MINUTE, "most": MOST_FRAMES, "max_pixels": 1 << 28}
        asked |= {"path": str(path), "bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
        costs = []
        for rounds in (1, 4):  # the difference is without the start of the process
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            decoders = Decoders()
            for _ in range(rounds):
                decoders.decode("video", b"", "video", **asked)
            decoders.close()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        video = read_video(str(path), (found.st_size, found.st_mtime_ns), encoder.spec.preprocessing)
        pixels = np.stack(video.pixels)
        encoder.encode_images(pixels)
        started = time.process_time()
        encoder.encode_images(pixels)
        encoding = time.process_time() - started
        minutes = video.duration / 60
        print(f"{video.width}x{video.height}, {video.duration:.0f} s, {found.st_size / 1e6:.1f} MB")
        print(f"frames kept           {len(video.times)}")
        print(f"decoding, CPU s/min   {(costs[1] - costs[0]) / 3 / minutes:.2f}")
        print(f"embedding, CPU s/min  {encoding / minutes:.2f}")
        print(f"starting the decoder  {(4 * costs[0] - costs[1]) / 3:.2f} CPU s, once")


if __name__ == "__main__":
    main()
