"""The commands: what they refuse, and the whole way from documents to figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slm.main import COMMANDS, main
from tests.slm.small_models import write_small_configuration


def slm(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)), prog_name="slm")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_large(name: str) -> None:
    program = (
        "import sys\nfrom slm.main import main\n"
        f"main([{name!r}, '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'gguf', 'tokenizers', 'onnxruntime', 'engine'} & set(sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert (told.returncode, told.stderr) == (0, "")
    assert "--" in told.stdout


@pytest.mark.parametrize("method", ["gptq", "bitsandbytes", "AWQ"])
def test_a_method_of_other_runtimes_is_refused_by_name(tmp_path: Path, method: str) -> None:
    result = slm("quantize", "--model", tmp_path, "--method", method, "-o", tmp_path / "model.gguf")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert method.lower() in result.stderr.lower()
    assert "--to int4" in result.stderr


def test_what_is_not_installed_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("torch", "slm.t", "slm.e"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = slm("export-gguf", "--model", tmp_path, "-o", tmp_path / "model.gguf")
    assert result.exit_code == 1
    assert result.stderr == "error: this needs torch: pip install 'weos-engine[slm]'\n"


def test_data_is_prepared_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(40):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"The cat number {number} sat on the mat. " * 3)
    result = slm("prepare-data", "--dataset", tmp_path / "texts", "-o", tmp_path / "data", "--held-out-share", "0.2")
    assert result.exit_code == 0, result.stderr
    description = json.loads((tmp_path / "data" / "data.json").read_text())
    assert description["documents"] + description["held_out_documents"] == 40
    assert f"{description['documents']} documents to train with" in result.stdout


@pytest.mark.usefixtures("absent_socket")
def test_the_whole_way(tmp_path: Path, absent_socket: Path) -> None:
    pytest.importorskip("torch", reason="make test-slm runs it")
    data, run, small = tmp_path / "data", tmp_path / "run", write_small_configuration(tmp_path / "small.toml")
    trained = ("--config", small, "--data", data, "-o", run, "--threads", "1")
    engine = ("--socket", absent_socket)
    steps = [
        slm("prepare-data", "--dataset", "demonstration", "--documents", "300", "--config", small, "-o", data),
        slm("train", *trained, "--max-steps", "30"),
        slm("export-gguf", "--model", run, "-o", tmp_path / "model.gguf"),
        slm("quantize", "--model", run, "--to", "int4", "--data", data, "-o", tmp_path / "int4.gguf", *engine),
        slm("quantize", "--model", run, "--to", "fp16", "-o", tmp_path / "fp16.gguf"),
    ]
    files = [option for name in ("model", "int4", "fp16") for option in ("--gguf", tmp_path / f"{name}.gguf")]
    judged = slm("evaluate", "--model", run, "--data", data, "--json", *files, *engine)
    assert [one.exit_code for one in (*steps, judged)] == [0] * 6, [one.stderr for one in (*steps, judged)]
    assert "trained at step 30" in steps[1].stdout
    assert {"training.jsonl", "loss.png", "events", "tokenizer.json"} <= {one.name for one in run.iterdir()}
    unigram, four_gram, pytorch, f32, int4, fp16 = (row["bits_per_byte"] for row in json.loads(judged.stdout))
    assert four_gram < unigram
    assert f32 == pytest.approx(pytorch, rel=1e-4)
    assert [int4, fp16] == pytest.approx([pytorch] * 2, rel=0.01)
    again = slm("train", *trained, "--max-steps", "30")
    assert (again.exit_code, "--resume" in again.stderr) == (1, True)
