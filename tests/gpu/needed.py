"""Says which packages are missing before anything is run: `python tests/gpu/needed.py cuda`."""

from __future__ import annotations

import importlib.util
import sys

NEEDED = {
    # module: the distribution that brings it
    **{"torch": "torch", "torchvision": "torchvision", "timm": "timm", "safetensors": "safetensors", "numpy": "numpy"},
    **{"scipy": "scipy", "numba": "numba", "cv2": "opencv-python-headless", "PIL": "pillow", "pyarrow": "pyarrow"},
    **{"pydantic": "pydantic", "pydantic_core": "pydantic-core", "annotated_types": "annotated-types"},
    **{
        "typing_inspection": "typing-inspection",
        "yaml": "pyyaml",
        "typer": "typer",
        "rich": "rich",
        "psutil": "psutil",
    },
    **{"kornia": "kornia", "kornia_rs": "kornia_rs"},
    **{"huggingface_hub": "huggingface-hub", "pytest": "pytest", "hypothesis": "hypothesis"},
}


def main(device: str) -> int:
    """The exit status: 2 if a package or the device is missing."""
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(
            f"missing: {', '.join(missing)}; put their wheels into wheels/, as tests/gpu/README.md says",
            file=sys.stderr,
        )
        return 2
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU here; --device cpu --quick tries out the script itself", file=sys.stderr)
        return 2
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device == 'cuda' else 'the CPU'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
