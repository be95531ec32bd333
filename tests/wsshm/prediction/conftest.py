import pytest

from tests.wsshm.prediction.echo import CARD, Echo
from wsshm.__main__ import main
from wsshm.models import checkpoint
from wsshm.prediction import matter as matters


@pytest.fixture
def model():
    return Echo()


@pytest.fixture
def command(model, monkeypatch, tmp_path, capsys):
    """Runs `wsshm predict` with `model`, trained at 64 px; returns (exit status, stdout, stderr)."""
    monkeypatch.setattr(matters, "load_model", lambda folder: (model, CARD))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / checkpoint.CARD).touch()  # what it holds is not looked at here

    def run(*arguments, out="out"):
        words = [*map(str, arguments), "--out", str(tmp_path / out), "--device", "cpu"]
        monkeypatch.setattr("sys.argv", ["wsshm", "predict", str(folder), *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return run
